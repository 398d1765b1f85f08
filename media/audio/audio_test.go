package audio

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/media"
	"parklamp/media/tone"
	"parklamp/media/wav"
)

// flat is a frame whose samples are all v.
func flat(v int16) *media.Frame {
	var f media.Frame
	for i := range f {
		f[i] = v
	}
	return &f
}

// steady is a source of n flat frames.
type steady struct {
	v int16
	n int
}

func (s *steady) Next(f *media.Frame) bool {
	if s.n == 0 {
		return false
	}
	s.n--
	*f = *flat(s.v)
	return true
}

// start runs a simulated device and returns it with what its person hears.
func start(t *testing.T) (*Sim, <-chan []int16) {
	t.Helper()
	s := NewSim()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	heard, err := s.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for range heard {
		}
	})
	synctest.Wait()
	return s, heard
}

// ticks lets n ticks pass and returns the first sample of each frame that was heard.
func ticks(heard <-chan []int16, n int) []int16 {
	time.Sleep(time.Duration(n) * media.FrameDuration)
	synctest.Wait()
	var out []int16
	for len(heard) > 0 {
		out = append(out, (<-heard)[0])
	}
	return out
}

func TestCallBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, heard := start(t)
		s.Open(PathHandset)
		s.Speak(&steady{v: 700, n: 1000})
		ticks(heard, 3)
		capture, play := s.Capture(), s.Playback()
		var sent []int16
		var got []int16
		for i := range 20 {
			var f media.Frame
			if !capture.Next(&f) {
				t.Fatal("the microphone gives no frame")
			}
			sent = append(sent, f[159])
			play.Write(flat(int16(1000+i)), media.Audio)
			got = append(got, ticks(heard, 1)...)
		}
		if slices.Contains(sent, 0) || sent[0] != 700 {
			t.Errorf("sent %v", sent)
		}
		// What is received is heard in order, without a gap, 40 ms later at most.
		first := slices.Index(got, 1000)
		if first < 0 || first > 2 {
			t.Fatalf("heard %v", got)
		}
		for i, v := range got[first:] {
			if v != int16(1000+i) {
				t.Fatalf("heard %v", got)
			}
		}
		s.Mute(true)
		ticks(heard, 6)
		var f media.Frame
		for range 6 {
			capture.Next(&f)
		}
		ticks(heard, 3)
		if capture.Next(&f); f != (media.Frame{}) {
			t.Error("muted, and still heard at the far end")
		}
	})
}

func TestClosedPathIsSilentBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, heard := start(t)
		s.Speak(&steady{v: 700, n: 10})
		ended := 0
		s.Play(&steady{v: 500, n: 3}, func() { ended++ })
		for range 8 {
			s.Playback().Write(flat(1000), media.Audio)
			var f media.Frame
			if !s.Capture().Next(&f) || f[0] != 0 {
				t.Errorf("the far end hears %d", f[0])
			}
			for _, v := range ticks(heard, 1) {
				if v != 0 {
					t.Errorf("the ear hears %d", v)
				}
			}
		}
		if ended != 1 {
			t.Errorf("the prompt ended %d times", ended)
		}
		s.Open(PathHandset)
		if got := ticks(heard, 3); slices.ContainsFunc(got, func(v int16) bool { return v != 0 }) {
			t.Errorf("old audio after opening: %v", got)
		}
		var f media.Frame
		if s.Capture().Next(&f); f[0] != 700 {
			t.Error("the mouth did not wait for the handset")
		}
	})
}

func TestPromptsTonesAndRinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, heard := start(t)
		s.Open(PathHandset)
		ticks(heard, 2)
		var ended []string
		s.Play(&steady{v: 500, n: 3}, func() { ended = append(ended, "first") })
		if got := ticks(heard, 5); !slices.Equal(got, []int16{500, 500, 500, 0, 0}) {
			t.Errorf("prompt: %v", got)
		}
		s.Play(&steady{v: 500, n: 30}, func() { ended = append(ended, "replaced") })
		ticks(heard, 2)
		s.Play(&steady{v: 600, n: 4}, nil)
		s.Overlay(&steady{v: 30, n: 2})
		if got := ticks(heard, 5); !slices.Equal(got, []int16{630, 630, 600, 600, 0}) {
			t.Errorf("tone with a beep: %v", got)
		}
		if !slices.Equal(ended, []string{"first"}) {
			t.Errorf("ended: %v", ended)
		}
		s.Open(PathClosed)
		s.Ring(&steady{v: 800, n: 100})
		s.SetRingerVolume(Normal)
		if got := ticks(heard, 2); !slices.Equal(got, []int16{800, 800}) {
			t.Errorf("ringer: %v", got)
		}
		s.SetRingerVolume(0)
		if got := ticks(heard, 2); !slices.Equal(got, []int16{0, 0}) {
			t.Errorf("ringer at 0: %v", got)
		}
		s.Ring(nil)
		s.Open(PathHandset)
		s.SetVolume(MaxVolume + 7)
		s.Play(&steady{v: 20000, n: 9}, nil)
		if got := ticks(heard, 2); !slices.Equal(got, []int16{32767, 32767}) {
			t.Errorf("loudest: %v", got)
		}
		s.SetVolume(Normal - 2)
		if got := ticks(heard, 1); got[0] < 9900 || got[0] > 10100 {
			t.Errorf("6 dB below 20000: %v", got)
		}
	})
}

// With the path closed, nothing to play and nobody listening the device sleeps.
func TestRestsWithoutTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSim()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Hour)
		speech := &steady{v: 1, n: 1000}
		s.Speak(speech)
		s.Open(PathHandset)
		time.Sleep(10*media.FrameDuration + media.FrameDuration/2)
		synctest.Wait()
		if got := 1000 - speech.n; got != 11 {
			t.Errorf("%d ticks in 210 ms after an hour of rest, want 11", got)
		}
		s.Open(PathClosed)
		time.Sleep(time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestListenersAreLimitedAndMayBeSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, heard := start(t)
		s.Open(PathHandset)
		ctx, cancel := context.WithCancel(t.Context())
		var more []<-chan []int16
		for {
			ch, err := s.Listen(ctx)
			if err != nil {
				if !errors.Is(err, errListeners) {
					t.Error(err)
				}
				break
			}
			more = append(more, ch)
		}
		if len(more) != maxListeners-1 {
			t.Errorf("%d listeners", len(more)+1)
		}
		if got := ticks(heard, 2*listenQueue); len(got) != listenQueue {
			t.Errorf("a slow listener has %d frames", len(got))
		}
		cancel()
		synctest.Wait()
		for range more[0] {
		}
		if _, err := s.Listen(t.Context()); err != nil {
			t.Errorf("after the others left: %v", err)
		}
	})
}

func TestClip(t *testing.T) {
	var f media.Frame
	if Loop(nil).Next(&f) {
		t.Error("a loop of nothing gives frames")
	}
	x := make([]int16, 50)
	for i := range x {
		x[i] = int16(i)
	}
	l := Loop(x)
	for i := range 10 {
		if !l.Next(&f) || f[0] != int16(i*media.FrameSamples%50) {
			t.Fatalf("frame %d begins with %d", i, f[0])
		}
	}
}

func TestOpenSpeech(t *testing.T) {
	if src, err := OpenSpeech(Default()); src != nil || err != nil {
		t.Errorf("nothing configured: %v, %v", src, err)
	}
	path := filepath.Join(t.TempDir(), "speech.wav")
	if _, err := OpenSpeech(Config{Speech: path}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	var b bytes.Buffer
	if err := wav.Write(&b, []int16{7, 8, 9}, wav.Rate); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := OpenSpeech(Config{Speech: path})
	if err != nil {
		t.Fatal(err)
	}
	var f media.Frame
	if !src.Next(&f) || f[0] != 7 || f[3] != 7 {
		t.Errorf("hears %v", f[:4])
	}
}

// murmur is a call that says something forever.
type murmur int

func (m murmur) Rate() int { return int(m) }
func (m murmur) Read(dst []int16, _ time.Duration) media.Kind {
	for i := range dst {
		dst[i] = int16(i)
	}
	return media.Audio
}

func TestTradingDoesNotAllocate(t *testing.T) {
	for _, oneClock := range []bool{true, false} {
		h := newHandset(0, oneClock)
		h.Open(PathHandset)
		h.Play(tone.New("us", tone.Dial), nil)
		var f media.Frame
		var w media.WideFrame
		mic, ear, bell := make([]int16, 240), make([]int16, 240), make([]int16, 240)
		capture, play := h.Capture(), h.Playback()
		for _, voice := range []media.Voice{nil, murmur(media.SampleRate), murmur(media.WideRate)} {
			play.(media.Puller).Take(voice)
			for _, wide := range []bool{false, true} {
				if n := testing.AllocsPerRun(25, func() {
					if wide {
						play.WriteWide(&w, media.Audio)
					} else {
						play.Write(&f, media.Audio)
					}
					for range 4 {
						h.Hear(48000, mic)
						h.Sound(48000, ear, bell, 0)
					}
					if wide {
						capture.NextWide(&w)
					} else {
						capture.Next(&f)
					}
				}); n != 0 {
					t.Errorf("voice %v, wide %v: %v allocations a tick", voice, wide, n)
				}
			}
		}
	}
}

// A tick of a card at 48 kHz with periods of 5 ms.
func BenchmarkTick(b *testing.B) {
	h := newHandset(0, false)
	h.Open(PathHandset)
	h.Play(tone.New("us", tone.Dial), nil)
	h.Playback().(media.Puller).Take(murmur(media.SampleRate))
	var f media.Frame
	mic, ear, bell := make([]int16, 240), make([]int16, 240), make([]int16, 240)
	b.ReportAllocs()
	for range b.N {
		for range 4 {
			h.Hear(48000, mic)
			h.Sound(48000, ear, bell, 0)
		}
		h.Capture().Next(&f)
	}
}
