package audio

import (
	"context"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
)

// The way from a mouth at one phone to an ear at another, in exact time: two cards with clocks of their own, two engines
// whose ticks have any phase, a network that takes no time. The mouth says a pulse five times a second.
const (
	pulseEvery = 200 * time.Millisecond
	pulseHalf  = 375 * time.Microsecond
)

func pulse(at time.Duration) float64 {
	d := at%pulseEvery - pulseEvery/2
	if d < -pulseHalf || d > pulseHalf {
		return 0
	}
	return 6000 * (1 + math.Cos(math.Pi*float64(d)/float64(pulseHalf)))
}

// peak finds the top of a pulse in x, as a position between samples.
func peak(x []int16) (float64, bool) {
	at := -1
	for i, v := range x {
		if v > 4000 && (at < 0 || v > x[at]) {
			at = i
		}
	}
	if at <= 0 || at >= len(x)-1 {
		return 0, false
	}
	a, b, c := float64(x[at-1]), float64(x[at]), float64(x[at+1])
	return float64(at) + (a-c)/(2*(a-2*b+c)), true
}

// probe notes when pulses pass in frames.
type probe struct {
	origin time.Time
	source media.WideSource
	sink   media.WideSink

	mu sync.Mutex
	at []time.Duration // the pulse, if its frame were played when it passed
}

func (p *probe) note(f []int16, rate int) {
	if k, ok := peak(f); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.at = append(p.at, time.Since(p.origin)+time.Duration(k/float64(rate)*1e9))
	}
}

func (p *probe) Next(f *media.Frame) bool {
	ok := p.source.Next(f)
	p.note(f[:], media.SampleRate)
	return ok
}

func (p *probe) NextWide(f *media.WideFrame) bool {
	ok := p.source.NextWide(f)
	p.note(f[:], media.WideRate)
	return ok
}

func (p *probe) Write(f *media.Frame, k media.Kind) {
	p.note(f[:], media.SampleRate)
	p.sink.Write(f, k)
}

func (p *probe) WriteWide(f *media.WideFrame, k media.Kind) {
	p.note(f[:], media.WideRate)
	p.sink.WriteWide(f, k)
}

// behind returns how much later the pulses of y are than those of x, mean and greatest, in ms.
func behind(x, y []time.Duration) (mean, most float64, n int) {
	for _, b := range y {
		i := slices.IndexFunc(x, func(a time.Duration) bool { return a <= b && b-a < pulseEvery-20*time.Millisecond })
		if i < 0 {
			continue
		}
		d := float64(b-x[i]) / 1e6
		mean, most, n = mean+d, max(most, d), n+1
	}
	return mean / float64(max(n, 1)), most, n
}

// stages is one measurement, in ms.
type stages struct{ capture, wait, line, queue, total, most float64 }

func measure(t *testing.T, id codec.ID, cfg Config, phase time.Duration) (s stages) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	network := mediatest.NewNet()
	var ends [2]*media.Session
	hosts := [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range ends {
		e := media.NewEngine(media.Default(), log, media.WithNetwork(network), media.WithClock(media.NewTimerClock()))
		wg.Go(func() { _ = e.Run(ctx) })
		var err error
		if ends[i], err = e.Open(hosts[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range ends {
		if err := e.Configure(media.Params{Remote: ends[1-i].LocalAddr(), Codec: id, PayloadType: id.PayloadType(), Send: true, Receive: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(phase)
	}
	mouth, ear := newFakeCard(), newFakeCard()
	mouth.play, mouth.record, ear.play, ear.record = 20, 20, -30, -30
	mouth.speak = pulse
	a, _ := runCard(t, cfg, mouth)
	b, _ := runCard(t, cfg, ear)
	a.Open(PathHandset)
	time.Sleep(3 * time.Millisecond)
	b.Open(PathHandset)
	said := &probe{origin: mouth.origin, source: a.Capture()}
	got := &probe{origin: mouth.origin, sink: b.Playback()}
	// A session gets its place in the 20 ms when its stream begins.
	ends[0].Play(said)
	ends[1].Listen(got)
	time.Sleep(20 * time.Second)
	ear.mu.Lock()
	ear.sounds, ear.queued, ear.writes = nil, 0, 0
	ear.mu.Unlock()
	said.mu.Lock()
	said.at = nil
	said.mu.Unlock()
	got.mu.Lock()
	got.at = nil
	got.mu.Unlock()
	first := time.Since(mouth.origin)
	time.Sleep(4 * time.Second)

	var spoken, heard []time.Duration
	for at := pulseEvery / 2; at < time.Since(mouth.origin); at += pulseEvery {
		if at > first {
			spoken = append(spoken, at)
		}
	}
	offset := ear.origin.Sub(mouth.origin)
	ear.mu.Lock()
	x := make([]int16, len(ear.sounds))
	for i, s := range ear.sounds {
		x[i] = s.v
	}
	for i := 0; i+400 < len(x); i += 200 {
		if k, ok := peak(x[i : i+400]); ok && k >= 100 && k < 300 {
			n := i + int(k)
			heard = append(heard, ear.sounds[n].at+offset+time.Duration((k-math.Floor(k))/float64(ear.rate)*1e9))
		}
	}
	s.queue = float64(ear.queued) / 1e6 / float64(max(1, ear.writes))
	ear.mu.Unlock()
	cancel()
	wg.Wait()
	var n int
	s.capture, _, _ = behind(spoken, said.at)
	s.wait, _, _ = behind(said.at, got.at)
	s.line, _, _ = behind(got.at, heard)
	s.line -= s.queue
	if s.total, s.most, n = behind(spoken, heard); n < 5 { // a buffer that shortens its delay may cut pulses out
		t.Errorf("phase %s: %d pulses heard, %d said, %d received", phase, n, len(said.at), len(got.at))
	}
	// A frame's last sample is sent at once, its first after 20 ms: as if all of it took 20 ms to be packed.
	s.capture -= 20
	return s
}

// What the sound device adds, both ends together and packetisation included, is at most 42 ms; the jitter buffer's share
// depends on the phase of the two pacers and on what it has learnt in 20 s.
func TestMouthToEar(t *testing.T) {
	for _, tc := range []struct {
		name string
		id   codec.ID
		rate int
	}{{"G.711, card at 8 kHz", codec.PCMU, 8000}, {"G.722, card at 16 kHz", codec.G722, 16000}} {
		var sum stages
		const runs = 4
		least := math.Inf(1)
		for i := range runs {
			synctest.Test(t, func(t *testing.T) {
				s := measure(t, tc.id, testCard(tc.rate), time.Duration(i)*media.FrameDuration/runs+time.Millisecond)
				sum.capture += s.capture / runs
				sum.wait += s.wait / runs
				sum.line += s.line / runs
				sum.queue += s.queue / runs
				sum.total += s.total / runs
				sum.most, least = max(sum.most, s.most), min(least, s.total)
			})
		}
		t.Logf("| mouth to ear, %s | capture %.1f | packet 20.0 | jitter buffer %.1f | playout %.1f | card's queue %.1f | total %.1f ms (%.1f to %.1f by phase) |",
			tc.name, sum.capture, sum.wait, sum.line, sum.queue, sum.total, least, sum.most)
		if ours := sum.capture + 20 + sum.line + sum.queue; ours > 42 {
			t.Errorf("%s: %.1f ms in the mean without the jitter buffer, want at most 42", tc.name, ours)
		}
	}
}
