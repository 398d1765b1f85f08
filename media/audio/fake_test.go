package audio

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"parklamp/media/audio/alsa"
)

// fakeCard is a sound card whose clocks are known exactly: they differ from package time's by ppm.
type fakeCard struct {
	mu       sync.Mutex
	gone     bool
	is       string        // its name; "": whichever is asked for
	late     time.Duration // by which an interrupt is late
	speak    func(at time.Duration) float64
	sounds   []sounded
	controls map[string]string
	play     float64 // ppm
	record   float64
	origin   time.Time
	opens    int
	rate     int           // nominal
	queued   time.Duration // sum over writes: how long until their first sample is played
	writes   int
}

// sounded is a sample that the loudspeaker played, first channel.
type sounded struct {
	at time.Duration
	v  int16
}

func newFakeCard() *fakeCard {
	return &fakeCard{origin: time.Now(), controls: map[string]string{}, speak: func(time.Duration) float64 { return 0 }}
}

func (f *fakeCard) Open(card string, device int, dir alsa.Direction, want alsa.Params) (stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone || f.is != "" && f.is != card {
		return nil, &alsa.Error{Card: card, Err: alsa.ErrNoCard, Allowed: "none"}
	}
	f.opens++
	f.rate = want.Rate
	s := &fakeStream{card: f, dir: dir, p: want, wake: want.Period}
	ppm := f.play
	if dir == alsa.Capture {
		ppm = f.record
	}
	s.rate = float64(want.Rate) * (1 + ppm/1e6)
	return s, nil
}

func (f *fakeCard) Mixer(string) (mixer, error) { return f, nil }
func (f *fakeCard) Close() error                { return nil }

func (f *fakeCard) Set(label, value string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(label, "No ") {
		return &alsa.Error{Card: "Fake", Param: "control", Value: label, Err: alsa.ErrNoControl, Allowed: "Mux"}
	}
	f.controls[label] = value
	return nil
}

func (f *fakeCard) control(label string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.controls[label]
}

func (f *fakeCard) pull(out bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = out
}

// played returns how many samples were given to the card.
func (f *fakeCard) played() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sounds)
}

// heard returns what was played until now, at 8 kHz of the card's own clock, and forgets it.
func (f *fakeCard) heard() []int16 {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Since(f.origin)
	n := 0
	var x []int16
	for n < len(f.sounds) && f.sounds[n].at <= now {
		if n%(f.rate/8000) == 0 {
			x = append(x, f.sounds[n].v)
		}
		n++
	}
	f.sounds = append([]sounded(nil), f.sounds[n:]...)
	return x
}

type fakeStream struct {
	card    *fakeCard
	dir     alsa.Direction
	p       alsa.Params
	rate    float64
	wake    int
	began   time.Time
	running bool
	broken  bool // xrun
	moved   int  // frames written or read since the start
}

func (s *fakeStream) Params() alsa.Params       { return s.p }
func (s *fakeStream) SetWake(n int) error       { s.wake = n; return s.check() }
func (s *fakeStream) Close() error              { return nil }
func (s *fakeStream) Recover(cause error) error { return s.Prepare() }

func (s *fakeStream) check() error {
	s.card.mu.Lock()
	defer s.card.mu.Unlock()
	if s.card.gone {
		return fmt.Errorf("fake: %w", alsa.ErrGone)
	}
	return nil
}

func (s *fakeStream) Alive() error { return s.check() }
func (s *fakeStream) Drop() error  { s.running = false; return s.check() }
func (s *fakeStream) Prepare() error {
	s.running, s.broken, s.moved = false, false, 0
	return s.check()
}
func (s *fakeStream) Start() error { s.running, s.began = true, time.Now(); return s.check() }

// position is how many frames the converter has done; avail how many can be moved.
func (s *fakeStream) position() float64 { return time.Since(s.began).Seconds()*s.rate + 1e-3 }

func (s *fakeStream) avail() int {
	if !s.running {
		if s.dir == alsa.Playback {
			return s.p.Buffer - s.moved
		}
		return 0
	}
	if s.dir == alsa.Playback {
		return s.p.Buffer - (s.moved - int(s.position()))
	}
	return int(s.position()) - s.moved
}

func (s *fakeStream) state() error {
	if err := s.check(); err != nil {
		return err
	}
	if s.running && s.avail() >= s.p.Buffer {
		s.broken = true
	}
	if s.broken {
		return fmt.Errorf("fake: %w", alsa.ErrXrun)
	}
	return nil
}

func (s *fakeStream) Delay() (int, error) {
	err := s.state()
	if s.dir == alsa.Playback {
		return s.p.Buffer - s.avail(), err
	}
	return s.avail(), err
}

// Wait wakes at the interrupt that ends a period, and then only if enough can be moved.
func (s *fakeStream) Wait(timeout time.Duration) (bool, error) {
	end := time.Now().Add(timeout)
	for {
		if err := s.check(); err != nil {
			return false, err
		}
		if s.avail() >= s.wake {
			return true, nil
		}
		if !time.Now().Before(end) {
			return false, nil
		}
		period := float64(s.p.Period)
		next := (math.Floor(s.position()/period) + 1) * period
		until := s.began.Add(time.Duration(math.Ceil(next / s.rate * 1e9)))
		if !s.running || until.After(end) {
			until = end
		}
		s.card.mu.Lock()
		late := s.card.late
		s.card.mu.Unlock()
		time.Sleep(time.Until(until) + late)
	}
}

func (s *fakeStream) Read(buf []int16) (int, error) {
	if err := s.state(); err != nil {
		return 0, err
	}
	s.card.mu.Lock()
	defer s.card.mu.Unlock()
	n := min(s.avail(), len(buf)/s.p.Channels)
	for i := range n {
		at := s.began.Add(time.Duration(float64(s.moved) / s.rate * 1e9)).Sub(s.card.origin)
		for c := range s.p.Channels {
			buf[i*s.p.Channels+c] = int16(s.card.speak(at))
		}
		s.moved++
	}
	return n, nil
}

func (s *fakeStream) Write(buf []int16) (int, error) {
	if err := s.state(); err != nil {
		return 0, err
	}
	s.card.mu.Lock()
	defer s.card.mu.Unlock()
	n := min(s.avail(), len(buf)/s.p.Channels)
	began := s.began
	if !s.running {
		began = time.Now() // Start follows at once
	}
	if n > 0 {
		s.card.writes++
		s.card.queued += time.Until(began.Add(time.Duration(float64(s.moved) / s.rate * 1e9)))
	}
	for i := range n {
		at := began.Add(time.Duration(float64(s.moved) / s.rate * 1e9)).Sub(s.card.origin)
		s.card.sounds = append(s.card.sounds, sounded{at, buf[i*s.p.Channels]})
		s.moved++
	}
	return n, nil
}

// hum makes the person hum.
func (f *fakeCard) hum(hz float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.speak = func(at time.Duration) float64 { return 8000 * math.Sin(2*math.Pi*hz*at.Seconds()) }
}

// testCard is a Config for the fake.
func testCard(rate int) Config {
	c := Default()
	c.Card, c.Rate = "Fake", rate
	c.Speaker.Echo = "none"
	return c
}

// runCard runs a Card on a fake until the test ends, and collects what it reports.
func runCard(t *testing.T, cfg Config, f *fakeCard, better ...Config) (*Card, func() []error) {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var told []error
	c := newCard(append(better, cfg), slog.New(slog.DiscardHandler), func(err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, err)
	}, f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c, func() []error {
		mu.Lock()
		defer mu.Unlock()
		x := told
		told = nil
		return x
	}
}
