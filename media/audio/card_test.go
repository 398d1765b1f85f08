package audio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/media"
	"parklamp/media/audio/alsa"
	"parklamp/media/codec"
	"parklamp/media/jitter/lab"
	"parklamp/media/mediatest"
	"parklamp/media/rtpio"
)

// talk is a call that lasts: every 20 ms a frame of a tone goes to the device and one comes from its microphone.
type talk struct {
	t   *testing.T
	c   *Card
	hz  float64
	at  int
	far []int16
}

func (k *talk) run(d time.Duration) {
	var f media.Frame
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(media.FrameDuration) {
		for i := range f {
			f[i] = int16(8000 * math.Sin(2*math.Pi*k.hz*float64(k.at)/8000))
			k.at++
		}
		k.c.Playback().Write(&f, media.Audio)
		k.c.Capture().Next(&f)
		k.far = append(k.far, f[:]...)
	}
}

// clicks counts the steps that a tone of hz and amplitude 8000 does not have.
func clicks(x []int16, hz, rate float64) (n int) {
	limit := 8000*2*math.Pi*hz/rate*1.1 + 3
	for i := 1; i < len(x); i++ {
		if math.Abs(float64(x[i])-float64(x[i-1])) > limit {
			n++
		}
	}
	return n
}

// Minutes with clocks that differ from each other and from the media clock: nothing is lost, nothing clicks, and what
// waits between the clocks does not grow.
func TestClocksThatDiffer(t *testing.T) {
	for _, tc := range []struct{ play, record float64 }{{100, -100}, {-300, 300}, {-5000, 1500}} {
		t.Run(fmt.Sprintf("%+.0f %+.0f ppm", tc.play, tc.record), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCard()
				f.play, f.record = tc.play, tc.record
				c, told := runCard(t, testCard(8000), f)
				f.hum(300)
				c.Open(PathHandset)
				time.Sleep(7 * time.Millisecond)
				k := &talk{t: t, c: c, hz: 300}
				k.run(time.Minute)
				start := c.Stats()
				f.heard()
				k.far = nil
				worst := 0
				for range 12 {
					k.run(6 * time.Second)
					c.mu.Lock()
					worst = max(worst, c.fromCall.level(), c.fromMic.level()-media.FrameSamples) // a frame is due now
					c.mu.Unlock()
				}
				end := c.Stats()
				if end.Gaps != start.Gaps || end.Xruns != 0 {
					t.Errorf("gaps %d to %d, %d xruns", start.Gaps, end.Gaps, end.Xruns)
				}
				if n := clicks(f.heard(), 300, 8000); n > 0 {
					t.Errorf("%d clicks at the ear", n)
				}
				if n := clicks(k.far, 300, 8000); n > 0 {
					t.Errorf("%d clicks at the far end", n)
				}
				if worst > 120 {
					t.Errorf("up to %d samples wait", worst)
				}
				if math.Abs(end.PlaybackPPM-tc.play) > 40 || math.Abs(end.CapturePPM-tc.record) > 40 {
					t.Errorf("found %+.0f and %+.0f ppm", end.PlaybackPPM, end.CapturePPM)
				}
				if x := told(); len(x) != 0 {
					t.Errorf("told %v", x)
				}
				t.Logf("%+v, at most %d samples wait", end, worst)
			})
		})
	}
}

// Of the cards that it may have a phone takes the first that is there whenever it looks for one: an adapter that is plugged in
// later too.
func TestFirstCardThatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCard()
		f.pull(true)
		codec := testCard(16000)
		codec.Card = "Codec"
		c, told := runCard(t, testCard(48000), f, codec)
		time.Sleep(time.Second)
		if x := told(); len(x) != 1 || !strings.Contains(x[0].Error(), `"Codec"`) {
			t.Errorf("without any: %v", x)
		}
		if got := c.Using().Card; got != "Codec" {
			t.Errorf("without any it is %q", got)
		}
		f.mu.Lock()
		f.gone, f.is = false, "Fake"
		f.mu.Unlock()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if x := told(); len(x) != 1 || x[0] != nil || c.Stats().Opened != 1 || f.rate != 48000 {
			t.Errorf("with the second: %v, %+v", x, c.Stats())
		}
		if got := c.Using().Card; got != "Fake" {
			t.Errorf("with the second it is %q", got)
		}
	})
}

func TestCardIsPulledAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCard()
		f.pull(true)
		c, told := runCard(t, testCard(48000), f)
		time.Sleep(3 * time.Second)
		if x := told(); len(x) != 1 || !errors.Is(x[0], alsa.ErrNoCard) || !strings.Contains(x[0].Error(), `"Fake"`) {
			t.Errorf("at the start: %v", x)
		}
		// Prompts end though nobody hears them.
		ended := false
		c.Play(&steady{v: 500, n: 5}, func() { ended = true })
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if !ended {
			t.Error("a prompt without a card does not end")
		}
		f.pull(false)
		time.Sleep(6 * time.Second)
		if x := told(); len(x) != 1 || x[0] != nil {
			t.Errorf("found: %v", x)
		}
		c.Open(PathHandset)
		f.hum(300)
		k := &talk{t: t, c: c, hz: 300}
		k.run(time.Second)
		f.heard()
		f.pull(true) // in the middle of a call
		k.run(2 * time.Second)
		if x := told(); len(x) < 1 || !errors.Is(x[0], alsa.ErrGone) {
			t.Errorf("pulled in a call: %v", x)
		}
		f.pull(false)
		k.run(6 * time.Second)
		if x := told(); len(x) != 1 || x[0] != nil {
			t.Errorf("back: %v", x)
		}
		f.heard()
		k.far = nil
		k.run(time.Second)
		if n := rms(f.heard()); n < 5000 {
			t.Errorf("after its return the ear hears %.0f", n)
		}
		if n := rms(k.far); n < 5000 {
			t.Errorf("after its return the far end hears %.0f", n)
		}
		c.Open(PathClosed)
		time.Sleep(5 * time.Second)
		f.pull(true) // at rest
		time.Sleep(5 * time.Second)
		if x := told(); len(x) < 1 || !errors.Is(x[0], alsa.ErrGone) {
			t.Errorf("pulled at rest: %v", x)
		}
	})
}

func rms(x []int16) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(max(1, len(x))))
}

// A machine that is late now and then: xruns are recovered, the queue becomes longer, and the sound goes on.
func TestXruns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCard()
		c, _ := runCard(t, testCard(16000), f)
		f.hum(300)
		c.Open(PathHandset)
		k := &talk{t: t, c: c, hz: 300}
		k.run(time.Second)
		f.mu.Lock()
		f.late = 12 * time.Millisecond
		f.mu.Unlock()
		k.run(5 * time.Second)
		some := c.Stats()
		if some.Xruns == 0 || some.Xruns > 12 {
			t.Errorf("%d xruns", some.Xruns)
		}
		f.heard()
		k.far = nil
		k.run(5 * time.Second)
		if more := c.Stats(); more.Xruns != some.Xruns || more.Gaps != some.Gaps {
			t.Errorf("it goes on: %+v, then %+v", some, more)
		}
		if a, b := rms(f.heard()), rms(k.far); a < 5500 || b < 5500 {
			t.Errorf("the ear hears %.0f, the far end %.0f", a, b)
		}
	})
}

// ruler is a call that notes when each piece of it was asked for.
type ruler struct {
	origin time.Time
	read   time.Duration // so much of it
	off    []time.Duration
}

func (r *ruler) Rate() int { return media.SampleRate }
func (r *ruler) Read(dst []int16, late time.Duration) media.Kind {
	clear(dst)
	r.off = append(r.off, time.Since(r.origin)-late-r.read)
	r.read += time.Duration(len(dst)) * time.Second / media.SampleRate
	return media.Audio
}

// A call is read as evenly as the card plays, however late the machine is; an xrun moves it on once.
func TestCardReadsEvenly(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCard()
			f.play = 100
			c, _ := runCard(t, testCard(rate), f)
			c.Open(PathHandset)
			r := &ruler{origin: time.Now()}
			c.Playback().(media.Puller).Take(r)
			spread := func(late time.Duration) time.Duration {
				f.mu.Lock()
				f.late = late
				f.mu.Unlock()
				time.Sleep(time.Second)
				synctest.Wait()
				c.mu.Lock()
				defer c.mu.Unlock()
				x := slices.Clone(r.off)
				r.off = nil
				return slices.Max(x) - slices.Min(x)
			}
			spread(0)
			for _, late := range []time.Duration{0, 3 * time.Millisecond, 0} {
				// 100 ppm of a second, and what a converter asks for more or less.
				if d := spread(late); d > 350*time.Microsecond {
					t.Errorf("%d Hz, %s late: the moments are off by up to %s", rate, late, d)
				}
			}
			if n := c.Stats().Xruns; n > 0 {
				t.Errorf("%d Hz: %d xruns", rate, n)
			}
			if d := spread(12 * time.Millisecond); c.Stats().Xruns == 0 || d > 40*time.Millisecond {
				t.Errorf("%d Hz: with %d xruns the moments are off by up to %s", rate, c.Stats().Xruns, d)
			}
		})
	}
}

// What a person says goes out with the clock of the microphone: each packet just behind the piece that it ends with, none
// left out or doubled, whatever the clock is.
func TestPacketsFollowTheMicrophone(t *testing.T) {
	for _, ppm := range []float64{100, -100, 1000} {
		synctest.Test(t, func(t *testing.T) {
			network := mediatest.NewNet()
			e := media.NewEngine(media.Default(), slog.New(slog.DiscardHandler), media.WithNetwork(network), media.WithClock(media.NewTimerClock()))
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = e.Run(ctx) })
			defer wg.Wait()
			defer cancel()
			s, err := e.Open(netip.MustParseAddr("10.0.0.1"))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := network.Listen(netip.MustParseAddrPort("10.0.0.2:4000"), rtpio.Socket{})
			if err != nil {
				t.Fatal(err)
			}
			far := mediatest.NewPeer(conn)
			wg.Go(far.Record)
			defer far.Close()
			if err := s.Configure(media.Params{Remote: far.Addr(), Codec: codec.PCMU, Send: true, Receive: true}); err != nil {
				t.Fatal(err)
			}
			f := newFakeCard()
			f.record = ppm
			c, _ := runCard(t, testCard(8000), f)
			f.hum(300)
			c.Open(PathHandset)
			time.Sleep(17 * time.Millisecond)
			s.Play(c.Capture())
			time.Sleep(10 * time.Second)
			far.Forget()
			gaps := c.Stats().Gaps
			time.Sleep(time.Minute)
			synctest.Wait()
			packets := far.Packets()
			for i, p := range packets[1:] {
				q := packets[i]
				apart := p.At.Sub(q.At)
				if p.Header.SequenceNumber != q.Header.SequenceNumber+1 || p.Header.Timestamp != q.Header.Timestamp+media.FrameSamples ||
					apart < 19*time.Millisecond || apart > 21*time.Millisecond || p.Header.Marker {
					t.Fatalf("%+.0f ppm: packet %d comes %s after the one before, timestamps %d apart", ppm, i+1, apart, p.Header.Timestamp-q.Header.Timestamp)
				}
			}
			if n := clicks(mediatest.Audio(packets), 300, 8000); n > 0 {
				t.Errorf("%+.0f ppm: %d clicks", ppm, n)
			}
			found := (float64(len(packets)-1)*0.02/packets[len(packets)-1].At.Sub(packets[0].At).Seconds() - 1) * 1e6
			if math.Abs(found-ppm) > 20 {
				t.Errorf("%+.0f ppm: the packets go with %+.0f", ppm, found)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if slack := c.fromMic.slack; c.fromMic.gaps != gaps || slack > cardMargin+2*time.Millisecond || slack < cardMargin-time.Millisecond {
				t.Errorf("%+.0f ppm: %d gaps, the last sample waits for %s", ppm, c.fromMic.gaps-gaps, slack)
			}
		})
	}
}

func TestPathsSetTheirControls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCard()
		cfg := testCard(16000)
		cfg.Handset.Controls = map[string]string{"Mux": "Handset", "Volume": "80%"}
		cfg.Speaker.Controls = map[string]string{"Mux": "Speaker"}
		cfg.Headset.Controls = map[string]string{"No Such Thing": "on", "Mux": "Headset"}
		cfg.Handset.Gain, cfg.Handset.MicGain = -6, 6
		c, told := runCard(t, cfg, f)
		c.Ring(&steady{v: 100, n: 10000})
		time.Sleep(100 * time.Millisecond)
		if f.control("Mux") != "Speaker" {
			t.Errorf("it rings on %q", f.control("Mux"))
		}
		c.Ring(nil)
		f.hum(300)
		c.Open(PathHandset)
		k := &talk{t: t, c: c, hz: 300}
		k.run(time.Second)
		if f.control("Mux") != "Handset" || f.control("Volume") != "80%" {
			t.Errorf("Mux %s, Volume %s", f.control("Mux"), f.control("Volume"))
		}
		f.heard()
		k.far = nil
		k.run(time.Second)
		if a, b := rms(f.heard())/5657, rms(k.far)/5657; math.Abs(a-0.5) > 0.02 || math.Abs(b-2) > 0.05 {
			t.Errorf("gain at the ear %.2f, of the microphone %.2f", a, b)
		}
		if x := told(); len(x) != 0 {
			t.Errorf("told %v", x)
		}
		c.Open(PathHeadset)
		k.run(time.Second)
		x := told()
		if len(x) != 1 || !errors.Is(x[0], alsa.ErrNoControl) || !strings.HasPrefix(x[0].Error(), "headset.controls") {
			t.Errorf("a control that is not there: %v", x)
		}
		if f.control("Mux") != "Headset" {
			t.Error("the other control was not set")
		}
		c.Open(PathHandset)
		k.run(time.Second)
		if x := told(); len(x) != 1 || x[0] != nil {
			t.Errorf("the fault of the path left: %v", x)
		}
	})
}

func TestSidetone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCard()
		f.play, f.record = 80, -80
		cfg := testCard(48000)
		cfg.Handset.Sidetone = -20
		c, _ := runCard(t, cfg, f)
		f.hum(300)
		c.Open(PathHandset)
		time.Sleep(time.Second)
		f.heard()
		time.Sleep(time.Second)
		if db := 20 * math.Log10(rms(f.heard())/5657); math.Abs(db+20) > 0.5 {
			t.Errorf("sidetone at %.1f dB", db)
		}
		c.Mute(true)
		time.Sleep(100 * time.Millisecond)
		f.heard()
		time.Sleep(time.Second)
		if n := rms(f.heard()); n != 0 {
			t.Errorf("muted, and the sidetone is at %.0f", n)
		}
		c.Mute(false)
		c.Open(PathSpeaker)
		time.Sleep(time.Second)
		f.heard()
		time.Sleep(time.Second)
		if n := rms(f.heard()); n != 0 {
			t.Errorf("the loudspeaker has a sidetone of %.0f", n)
		}
	})
}

// An idle card is asked every two seconds and nothing else happens.
func TestCardRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCard()
		c, _ := runCard(t, testCard(16000), f)
		time.Sleep(time.Hour)
		if n := f.played(); n != 0 {
			t.Errorf("%d samples were played at rest", n)
		}
		c.Play(&steady{v: 500, n: 5}, nil)
		time.Sleep(time.Minute)
		// The sound, and the second that a stream runs on.
		if n := f.played(); n < 16000/10 || n > 3*16000 {
			t.Errorf("%d samples for 100 ms of sound", n)
		}
	})
}

func TestConfigRefusals(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"rate = 44100: allowed is 8000, 16000 or 48000":                        func(c *Config) { c.Rate = 44100 },
		"period = 20ms: allowed is 2ms to 10ms":                                func(c *Config) { c.Period = 20 * time.Millisecond },
		"device = 40: allowed is 0 to 31":                                      func(c *Config) { c.Device = 40 },
		"handset.output = \"front\": allowed is both, left, right":             func(c *Config) { c.Handset.Output = "front" },
		"headset.sidetone = -3: allowed is -40 to -6, or 0 for none":           func(c *Config) { c.Headset.Sidetone = -3 },
		"speaker.echo = \"magic\": allowed is none, duplex":                    func(c *Config) { c.Speaker.Echo = "magic" },
		"speaker.gain = NaN: allowed is -30 to 12":                             func(c *Config) { c.Speaker.Gain = math.NaN() },
		"speaker.sidetone = -20: not with echo = \"duplex\", it would howl":    func(c *Config) { c.Speaker.Sidetone = -20 },
		"capture_card = \"Mic\": allowed with card only":                       func(c *Config) { c.CaptureCard = "Mic" },
		"handset.controls.Mux = \"\": allowed is a control's name and a value": func(c *Config) { c.Handset.Controls = map[string]string{"Mux": ""} },
	} {
		c := Default()
		change(&c)
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	if p := Default().Period; p != lab.Grid {
		t.Errorf("period %s: jitterlab is to ask every %s as the card does", p, lab.Grid)
	}
}

// hostile is a card whose driver lies. Its streams are those of a fakeCard otherwise.
type hostile struct {
	*fakeCard
	empty, flaps bool
}

func (h hostile) Open(card string, device int, dir alsa.Direction, want alsa.Params) (stream, error) {
	s, err := h.fakeCard.Open(card, device, dir, want)
	if err != nil {
		return nil, err
	}
	return &liar{stream: s, h: h}, nil
}

// liar is one whose queue is said to be empty however much is written, or one that runs over as soon as it is started.
type liar struct {
	stream
	h hostile
}

func (l *liar) Delay() (int, error) {
	if l.h.empty {
		return 0, nil
	}
	return l.stream.Delay()
}

func (l *liar) Wait(d time.Duration) (bool, error) {
	if l.h.flaps {
		return false, alsa.ErrXrun
	}
	return l.stream.Wait(d)
}

// A driver that lies costs no more than the sound: the card's goroutines end when they are told to and do not spin.
func TestDriverLies(t *testing.T) {
	for name, h := range map[string]hostile{"empty": {empty: true}, "flaps": {flaps: true}} {
		synctest.Test(t, func(t *testing.T) {
			h.fakeCard = newFakeCard()
			c := newCard([]Config{testCard(16000)}, slog.New(slog.DiscardHandler), func(error) {}, h)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			c.Open(PathHandset)
			time.Sleep(10 * time.Second)
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if n := c.Stats().Xruns; n > 2000 {
				t.Errorf("%s: %d xruns in 10 s", name, n)
			}
		})
	}
}
