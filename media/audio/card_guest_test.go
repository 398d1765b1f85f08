//go:build guest

package audio_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/audio"
	"parklamp/media/audio/alsa"
	"parklamp/media/audio/audiotest"
)

// These run on the kernel of `make image-test`: the phone has one end of snd-aloop, the person the other.

// person speaks into and listens at the far side of the loop, with its own two streams.
type person struct {
	hz atomic.Uint64

	mu      sync.Mutex
	heard   []int16                       // at 8 kHz
	said    func(at time.Time, x []int16) // may change what is said; at is when its first sample is played
	pieces  func(at time.Time, x []int16) // what is heard, at is when its last sample was
	stopped chan struct{}
}

// newPerson sits down at the loop until the test or stop ends.
func newPerson(t *testing.T, rate int) (p *person, stop func()) {
	t.Helper()
	p = &person{stopped: make(chan struct{})}
	want := alsa.Params{Rate: rate, Channels: 1, Period: rate / 200, Buffer: rate / 10}
	mouth, err := alsa.Open("Loopback", 1, alsa.Playback, want)
	if err != nil {
		t.Fatal(err)
	}
	ear, err := alsa.Open("Loopback", 1, alsa.Capture, want)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ended := make(chan struct{})
	stop = sync.OnceFunc(func() { close(ended); wg.Wait() })
	t.Cleanup(stop)
	wg.Go(func() { defer mouth.Close(); p.speak(mouth, rate, ended) })
	wg.Go(func() { defer ear.Close(); p.listen(ear, rate, ended) })
	return p, stop
}

func (p *person) say(hz float64) { p.hz.Store(math.Float64bits(hz)) }

func (p *person) speak(s *alsa.PCM, rate int, ended chan struct{}) {
	x := make([]int16, s.Params().Period)
	at, started := 0, false
	for {
		select {
		case <-ended:
			return
		default:
		}
		delay, err := s.Delay()
		if err == nil && delay < 4*len(x) {
			hz := math.Float64frombits(p.hz.Load())
			for i := range x {
				x[i] = int16(8000 * math.Sin(2*math.Pi*hz*float64(at)/float64(rate)))
				at++
			}
			p.mu.Lock()
			if p.said != nil {
				p.said(time.Now().Add(time.Duration(delay)*time.Second/time.Duration(rate)), x)
			}
			p.mu.Unlock()
			_, err = s.Write(x)
			if err == nil && !started && delay+len(x) >= 3*len(x) {
				err, started = s.Start(), true
			}
		} else if err == nil {
			_, err = s.Wait(20 * time.Millisecond)
			time.Sleep(time.Millisecond)
		}
		if errors.Is(err, alsa.ErrXrun) || errors.Is(err, alsa.ErrNotRunning) { // the loop stops a side when the other changes
			err, started = s.Recover(err), false
		}
		if err != nil {
			return
		}
	}
}

func (p *person) listen(s *alsa.PCM, rate int, ended chan struct{}) {
	x := make([]int16, s.Params().Period)
	err := s.Start()
	for {
		select {
		case <-ended:
			return
		default:
		}
		n := 0
		if err == nil {
			if _, err = s.Wait(20 * time.Millisecond); err == nil {
				n, err = s.Read(x)
			}
		}
		if errors.Is(err, alsa.ErrXrun) || errors.Is(err, alsa.ErrNotRunning) { // the loop stops a side when the other changes
			if err = s.Recover(err); err == nil {
				err = s.Start()
			}
			continue
		}
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.pieces != nil {
			p.pieces(time.Now(), x[:n])
		}
		for i := 0; i < n; i += rate / 8000 {
			p.heard = append(p.heard, x[i])
		}
		p.mu.Unlock()
	}
}

func (p *person) take() []int16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.heard
	p.heard = nil
	return x
}

// startCard runs a card on the phone's end of the loop.
func startCard(t *testing.T, cfg audio.Config, report func(error)) *audio.Card {
	t.Helper()
	c := audio.NewCard([]audio.Config{cfg}, slog.New(slog.DiscardHandler), report)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		t.Logf("%+v", c.Stats())
	})
	return c
}

func loopConfig(rate int) audio.Config {
	cfg := audio.Default()
	cfg.Card, cfg.Rate = "Loopback", rate
	cfg.Speaker.Echo = "none"
	return cfg
}

func TestLoopPasses(t *testing.T) {
	for _, rate := range []int{48000} { // the others: alsa's tests of tones
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			audiotest.Run(t, func(t *testing.T, f func(*testing.T)) { f(t) }, func(t *testing.T) audiotest.Bench {
				p, _ := newPerson(t, rate)
				c := startCard(t, loopConfig(rate), func(err error) { t.Logf("report: %v", err) })
				return audiotest.Bench{Device: c, Say: p.say, Heard: p.take, Wide: rate > 8000, Slow: true}
			})
		})
	}
}

// pace trades frames with the device as a session does.
func pace(t *testing.T, d audio.Device, frame func(now time.Time, out, in *media.Frame)) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		capture, play := d.Capture(), d.Playback()
		var out, in media.Frame
		for due := time.Now(); ; due = due.Add(media.FrameDuration) {
			select {
			case <-ended:
				return
			case <-time.After(time.Until(due)):
			}
			now := time.Now()
			capture.Next(&in)
			clear(out[:])
			frame(now, &out, &in)
			play.Write(&out, media.Audio)
		}
	}()
	stop = sync.OnceFunc(func() { close(ended); <-done })
	t.Cleanup(stop)
	return stop
}

func setShift(t *testing.T, device int, ppm int) {
	t.Helper()
	m, err := alsa.OpenMixer("Loopback")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Set(fmt.Sprintf("PCM Rate Shift 100000@%d.0", device), fmt.Sprint(100000+ppm/10)); err != nil {
		t.Fatal(err)
	}
}

// The clocks of the loop are shifted: the loop's shift is of its period, so that a positive one is a slow clock.
func TestLoopWithOtherClocks(t *testing.T) {
	setShift(t, 1, 400)
	setShift(t, 0, -600)
	defer setShift(t, 1, 0)
	defer setShift(t, 0, 0)
	p, _ := newPerson(t, 16000)
	p.say(500)
	c := startCard(t, loopConfig(16000), func(err error) { t.Logf("report: %v", err) })
	c.Open(audio.PathHandset)
	pace(t, c, func(now time.Time, out, in *media.Frame) {
		for i := range out {
			out[i] = int16(6000 * math.Sin(2*math.Pi*900*float64(i)/8000))
		}
	})
	time.Sleep(4 * time.Second)
	before := c.Stats()
	time.Sleep(10 * time.Second)
	s := c.Stats()
	t.Logf("found %+.0f ppm at playback, %+.0f ppm at capture; %d gaps, %d xruns in 10 s", s.PlaybackPPM, s.CapturePPM, s.Gaps-before.Gaps, s.Xruns-before.Xruns)
	// An xrun of the emulator begins the count of playback anew; it says nothing then.
	if math.Abs(s.CapturePPM-600) > 250 || s.PlaybackPPM != 0 && math.Abs(s.PlaybackPPM+400) > 250 {
		t.Errorf("found %+.0f and %+.0f ppm, want -400 at playback and +600 at capture", s.PlaybackPPM, s.CapturePPM)
	}
	if n := s.Gaps - before.Gaps; n > 8 {
		t.Errorf("%d gaps in 10 s", n)
	}
}

// Our share of the way from mouth to ear, measured from outside the program.
func TestLoopDelay(t *testing.T) {
	p, _ := newPerson(t, 16000)
	c := startCard(t, loopConfig(16000), func(err error) { t.Logf("report: %v", err) })
	c.Open(audio.PathHandset)
	var mu sync.Mutex
	var spoken, sent time.Time
	var toWire, toEar []float64
	n := 0
	p.mu.Lock()
	p.said = func(at time.Time, x []int16) {
		if n++; n%40 == 0 { // a click each 200 ms
			x[0], x[1], x[2], x[3] = 12000, 12000, 12000, 12000
			mu.Lock()
			spoken = at
			mu.Unlock()
		}
	}
	p.pieces = func(at time.Time, x []int16) {
		for i, v := range x {
			if v > 4000 {
				mu.Lock()
				if !sent.IsZero() {
					toEar = append(toEar, float64(at.Sub(sent))/1e6-float64(len(x)-i)/16)
					sent = time.Time{}
				}
				mu.Unlock()
				return
			}
		}
	}
	p.mu.Unlock()
	frames := 0
	pace(t, c, func(now time.Time, out, in *media.Frame) {
		mu.Lock()
		defer mu.Unlock()
		for i, v := range in {
			if v > 3000 && !spoken.IsZero() {
				// The frame ends now; its sample i is 20 ms - i/8 older.
				toWire = append(toWire, float64(now.Sub(spoken))/1e6-20+float64(i)/8)
				spoken = time.Time{}
				break
			}
		}
		if frames++; frames%10 == 0 {
			out[0], out[1] = 12000, 12000
			sent = now
		}
	})
	time.Sleep(6 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	median := func(x []float64) float64 {
		if len(x) == 0 {
			return math.Inf(1)
		}
		for i := range x { // insertion sort: a few dozen
			for k := i; k > 0 && x[k] < x[k-1]; k-- {
				x[k], x[k-1] = x[k-1], x[k]
			}
		}
		return x[len(x)/2]
	}
	t.Logf("| mouth to ear, snd-aloop in the guest | mouth to frame %.1f ms (%d) | packet 20.0 | frame to ear %.1f ms (%d) | total without network and jitter buffer %.1f ms |",
		median(toWire), len(toWire), median(toEar), len(toEar), median(toWire)+20+median(toEar))
	if a, b := median(toWire), median(toEar); a > 20 || b > 35 {
		t.Errorf("mouth to frame %.1f ms, frame to ear %.1f ms", a, b)
	}
}

// The driver is switched off and on, as when a USB card is pulled, during a call.
func TestLoopIsPulled(t *testing.T) {
	p, leave := newPerson(t, 16000)
	reports := make(chan error, 100)
	c := startCard(t, loopConfig(16000), func(err error) { reports <- err })
	c.Open(audio.PathHandset)
	pace(t, c, func(now time.Time, out, in *media.Frame) {
		for i := range out {
			out[i] = int16(8000 * math.Sin(2*math.Pi*900*float64(i)/8000))
		}
	})
	time.Sleep(time.Second)
	if at := audiotest.Level(p.take()[4000:], 900, 8000); at < -3 {
		t.Errorf("before: %.1f dB", at)
	}
	leave()
	driver := func(what string) {
		if err := os.WriteFile("/sys/bus/platform/drivers/snd_aloop/"+what, []byte("snd_aloop.0"), 0o200); err != nil {
			t.Error(err)
		}
	}
	driver("unbind") // returns when everybody has closed the card
	select {
	case err := <-reports:
		if !errors.Is(err, alsa.ErrGone) && !errors.Is(err, alsa.ErrNoCard) {
			t.Errorf("report: %v", err)
		}
		t.Log(err)
	case <-time.After(10 * time.Second):
		t.Fatal("the card is gone and nobody is told")
	}
	time.Sleep(2 * time.Second)
	driver("bind")
	for deadline := time.After(15 * time.Second); ; {
		select {
		case err := <-reports:
			if err != nil {
				continue
			}
		case <-deadline:
			t.Fatal("the card is back and nobody noticed")
		}
		break
	}
	p, _ = newPerson(t, 16000)
	time.Sleep(2 * time.Second)
	if x := p.take(); audiotest.Level(x[len(x)-4000:], 900, 8000) < -3 {
		t.Errorf("after its return: %.1f dB", audiotest.Level(x[len(x)-4000:], 900, 8000))
	}
}
