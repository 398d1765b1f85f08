package audio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"parklamp/media"
	"parklamp/media/halfband"
	"parklamp/media/wav"
)

// errListeners means that as many as can already listen.
var errListeners = errors.New("audio: too many listeners")

// Limits of a simulated device.
const (
	maxListeners = 8
	listenQueue  = 25                    // frames a listener may be behind, half a second; then frames are dropped for it
	maxSpeech    = 10 * time.Minute      // of a clip for the microphone
	simMargin    = 20 * time.Millisecond // a simulated phone runs on busy machines
	maxLate      = 5                     // ticks made up for after the machine stood still; more are skipped
)

// OpenSpeech reads what the microphone is to hear; nil when nothing is configured.
func OpenSpeech(cfg Config) (media.Source, error) {
	if cfg.Speech == "" {
		return nil, nil
	}
	f, err := os.Open(cfg.Speech)
	if err != nil {
		return nil, fmt.Errorf("speech: %w", err)
	}
	defer f.Close()
	x, rate, err := wav.ReadOwn(f, maxSpeech)
	if err != nil {
		return nil, fmt.Errorf("speech %s: %w", cfg.Speech, err)
	}
	if rate == media.WideRate {
		return LoopWide(x), nil
	}
	return Loop(x), nil
}

// Sim is a sound card without sound: a clock that trades frames with its Handset, at 8 kHz, or at 16 kHz while its
// microphone hears something wide.
type Sim struct {
	*Handset

	// owned by Run
	mic, ear, bell media.WideFrame
	down           halfband.Down // for the listeners

	// guarded by simMu; it is never held together with the Handset's
	simMu     sync.Mutex
	speech    media.Source
	listeners map[chan []int16]struct{}
}

var _ Device = (*Sim)(nil)

// NewSim returns a simulated device with a silent microphone.
func NewSim() *Sim {
	return &Sim{Handset: newHandset(simMargin, true), listeners: make(map[chan []int16]struct{})}
}

// Speak lets the microphone hear src from now on, until it ends; nil is silence. It is heard, and goes on, only
// while the path is open: the mouth waits for the handset.
func (s *Sim) Speak(src media.Source) {
	s.simMu.Lock()
	defer s.simMu.Unlock()
	s.speech = src
}

// Listen returns what the person hears at 8 kHz, earpiece and ringer together, frame by frame, until ctx ends; then the
// channel is closed. A listener that is half a second behind misses frames. At most 8 can listen.
func (s *Sim) Listen(ctx context.Context) (<-chan []int16, error) {
	ch := make(chan []int16, listenQueue)
	s.simMu.Lock()
	full := len(s.listeners) >= maxListeners
	if !full {
		s.listeners[ch] = struct{}{}
	}
	s.simMu.Unlock()
	if full {
		return nil, fmt.Errorf("%w: at most %d", errListeners, maxListeners)
	}
	s.change(func() {})
	context.AfterFunc(ctx, func() {
		s.simMu.Lock()
		defer s.simMu.Unlock()
		delete(s.listeners, ch)
		close(ch)
	})
	return ch, nil
}

// Run ticks every 20 ms while there is anything to hear or to say, until ctx ends.
func (s *Sim) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	for {
		var tick <-chan time.Time
		if s.busy() || s.listened() {
			// Deadlines are absolute; a machine that stood still does not make up for all of it.
			now := time.Now()
			if behind := now.Sub(due); behind > maxLate*media.FrameDuration {
				due = now
			}
			timer.Reset(due.Sub(now))
			tick = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick:
			s.tick(time.Since(due))
			due = due.Add(media.FrameDuration)
		}
	}
}

func (s *Sim) listened() bool {
	s.simMu.Lock()
	defer s.simMu.Unlock()
	return len(s.listeners) > 0
}

// tick trades one frame; late is by how much the machine is.
func (s *Sim) tick(late time.Duration) {
	s.simMu.Lock()
	rate, size := media.SampleRate, media.FrameSamples
	wide, ok := s.speech.(media.WideSource)
	if ok {
		rate, size = media.WideRate, media.WideSamples
	}
	mic, ear, bell := s.mic[:size], s.ear[:size], s.bell[:size]
	clear(mic)
	if s.path() != PathClosed && (ok && !wide.NextWide(&s.mic) || !ok && s.speech != nil && !s.speech.Next((*media.Frame)(mic))) {
		s.speech = nil
	}
	s.simMu.Unlock()
	if s.path() != PathClosed {
		s.Hear(rate, mic)
	}
	s.Sound(rate, ear, bell, late)
	for i, v := range bell {
		ear[i] = clip(int32(ear[i]) + int32(v))
	}
	if ok {
		s.down.Fill(ear, ear)
		ear = ear[:media.FrameSamples]
	}
	s.simMu.Lock()
	defer s.simMu.Unlock()
	for ch := range s.listeners {
		select {
		case ch <- append([]int16(nil), ear...):
		default:
		}
	}
}

// Clip is recorded sound, again and again, as a media source. One goroutine uses it.
type Clip struct {
	samples []int16
	at      int
}

var _ media.Source = (*Clip)(nil)

// Loop returns samples at 8 kHz as a source that begins again at its end; without samples it is at its end.
func Loop(samples []int16) *Clip { return &Clip{samples: samples} }

// Next gives the next frame.
func (c *Clip) Next(f *media.Frame) bool {
	if len(c.samples) == 0 {
		return false
	}
	for i := 0; i < len(f); {
		n := copy(f[i:], c.samples[c.at:])
		i += n
		c.at = (c.at + n) % len(c.samples)
	}
	return true
}
