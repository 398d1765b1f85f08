package audio

import (
	"context"
	"errors"
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
	"parklamp/media/conference"
	"parklamp/media/mediatest"
	"parklamp/media/rtcp"
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

// edge is how many samples of a piece are looked at with the next one, so that a pulse on the seam is seen.
const edge = 8

// trail is what a probe has seen of one direction.
type trail struct {
	mu   sync.Mutex
	last [edge]int16
	at   []time.Duration // of pulses, if their piece were played when it passed
}

func (r *trail) note(x []int16, rate int, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := append(r.last[:], x...)
	if k, ok := peak(all[edge/2-1 : len(all)-edge/2+1]); ok {
		r.at = append(r.at, now+time.Duration((k-edge/2-1)/float64(rate)*1e9))
	}
	copy(r.last[:], all[len(all)-edge:])
}

func (r *trail) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = nil
}

// probe notes when pulses pass from the microphone and to the ear.
type probe struct {
	origin time.Time
	media.WideSource
	media.Timed
	media.Puller
	voice     media.Voice
	said, got trail
}

func (p *probe) Next(f *media.Frame) bool {
	ok := p.WideSource.Next(f)
	p.said.note(f[:], media.SampleRate, time.Since(p.origin))
	return ok
}

func (p *probe) NextWide(f *media.WideFrame) bool {
	ok := p.WideSource.NextWide(f)
	p.said.note(f[:], media.WideRate, time.Since(p.origin))
	return ok
}

func (p *probe) WriteWide(*media.WideFrame, media.Kind) {}

func (p *probe) Take(v media.Voice) {
	p.voice = v
	p.Puller.Take(p)
}

func (p *probe) Drop(media.Voice) { p.Puller.Drop(p) }
func (p *probe) Rate() int        { return p.voice.Rate() }

func (p *probe) Read(dst []int16, late time.Duration) media.Kind {
	k := p.voice.Read(dst, late)
	p.got.note(dst, p.voice.Rate(), time.Since(p.origin))
	return k
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

func measure(t *testing.T, id codec.ID, cfg Config, mixed bool, phase time.Duration) (s stages) {
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
	time.Sleep(phase / 4) // of a period
	b.Open(PathHandset)
	way := &probe{origin: mouth.origin, WideSource: a.Capture(), Timed: a.Capture().(media.Timed), Puller: b.Playback().(media.Puller)}
	// A session gets its place in the 20 ms when its stream begins.
	ends[0].Play(way)
	if mixed {
		m := conference.New()
		_, err := m.AddLocal(b.Capture(), b.Playback())
		party, err2 := m.Add()
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		ends[1].Play(party)
		ends[1].Listen(party)
	} else {
		ends[1].Listen(way)
	}
	time.Sleep(20 * time.Second)
	ear.mu.Lock()
	ear.sounds, ear.queued, ear.writes = nil, 0, 0
	ear.mu.Unlock()
	way.said.forget()
	way.got.forget()
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
	s.capture, _, _ = behind(spoken, way.said.at)
	s.wait, _, _ = behind(way.said.at, way.got.at)
	s.line, _, _ = behind(way.got.at, heard)
	s.line -= s.queue
	if s.total, s.most, n = behind(spoken, heard); n < 5 { // a buffer that shortens its delay may cut pulses out
		t.Errorf("phase %s: %d pulses heard, %d said, %d received", phase, n, len(way.said.at), len(way.got.at))
	}
	// A frame's last sample is sent at once, its first after 20 ms: as if all of it took 20 ms to be packed.
	s.capture -= 20
	return s
}

// What we add on a perfect LAN, packetisation included, is at most 45 ms in the mean of all phases, after 20 s of a call.
func TestMouthToEar(t *testing.T) {
	for _, tc := range []struct {
		name       string
		id         codec.ID
		rate       int
		conference bool
		most       float64
	}{
		{"G.711, card at 8 kHz", codec.PCMU, 8000, false, 45}, {"G.722, card at 16 kHz", codec.G722, 16000, false, 45},
		{"G.711, an ear in a conference", codec.PCMU, 8000, true, 60},
	} {
		var sum stages
		runs := 4 // phases; the last row is there to be looked at
		if tc.conference {
			runs = 1
		}
		least := math.Inf(1)
		for i := range runs {
			synctest.Test(t, func(t *testing.T) {
				s := measure(t, tc.id, testCard(tc.rate), tc.conference, time.Duration(i)*media.FrameDuration/time.Duration(runs)+time.Millisecond)
				sum.capture += s.capture / float64(runs)
				sum.wait += s.wait / float64(runs)
				sum.line += s.line / float64(runs)
				sum.queue += s.queue / float64(runs)
				sum.total += s.total / float64(runs)
				sum.most, least = max(sum.most, s.most), min(least, s.total)
			})
		}
		if tc.conference {
			t.Logf("| mouth to ear, %s | capture %.1f | packet 20.0 | card's queue %.1f | total %.1f ms (%.1f to %.1f by phase) |",
				tc.name, sum.capture, sum.queue, sum.total, least, sum.most)
		} else {
			t.Logf("| mouth to ear, %s | capture %.1f | packet 20.0 | jitter buffer %.1f | playout %.1f | card's queue %.1f | total %.1f ms (%.1f to %.1f by phase) |",
				tc.name, sum.capture, sum.wait, sum.line, sum.queue, sum.total, least, sum.most)
		}
		// What RTCP tells the far end, without the jitter buffer and the way from it, is what is measured here.
		if own := sum.capture + 20 + sum.queue; !tc.conference && math.Abs(own-rtcp.Stages.Seconds()*1e3) > 3 {
			t.Errorf("%s: %.1f ms besides the jitter buffer, and RTCP tells %s", tc.name, own, rtcp.Stages)
		}
		if sum.total > tc.most {
			t.Errorf("%s: %.1f ms in the mean, want at most %.0f", tc.name, sum.total, tc.most)
		}
	}
}
