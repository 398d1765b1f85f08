package audio_test

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/media"
	"parklamp/media/audio"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
)

// both keeps what a listener gets and hands it on.
type both struct {
	*mediatest.WideRecorder
	to media.WideSink
}

func (b both) WriteWide(f *media.WideFrame, k media.Kind) {
	b.WideRecorder.WriteWide(f, k)
	b.to.WriteWide(f, k)
}

func (b both) Write(f *media.Frame, k media.Kind) {
	b.WideRecorder.Write(f, k)
	b.to.Write(f, k)
}

// typical is the level of a tone in most tenths of a second: the jitter buffer may leave out or add a period between them.
// Tones at 16 kHz have half their frequency here (mediatest.LevelWide).
func typical(x []int16, hz float64) float64 {
	var levels []float64
	for ; len(x) >= 800; x = x[800:] {
		levels = append(levels, mediatest.Level(x[:800], hz))
	}
	slices.Sort(levels)
	return levels[len(levels)/2]
}

// From the mouth at one phone to the ear at the other, through handset, session, G.722, RTP, jitter buffer and handset: with
// G.722 everything from 60 Hz to 6.9 kHz; with G.711 nothing above 4 kHz, neither as it was nor folded back.
func TestMouthToEar(t *testing.T) {
	for _, id := range []codec.ID{codec.G722, codec.PCMU} {
		t.Run(id.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := media.NewEngine(media.Default(), slog.New(slog.NewTextHandler(io.Discard, nil)),
					media.WithNetwork(mediatest.NewNet()), media.WithClock(media.NewTimerClock()))
				one, two := audio.NewSim(), audio.NewSim()
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan error, 3)
				for _, run := range []func(context.Context) error{e.Run, one.Run, two.Run} {
					go func() { ended <- run(ctx) }()
				}
				low, high := []float64{60, 1000, 3000}, []float64{5200, 6000, 6900}
				one.Speak(audio.LoopWide(mediatest.Chord(time.Second, append(low, high...)...)))
				two.Speak(audio.LoopWide(make([]int16, 16000))) // a device at 16 kHz whose person is silent
				a, err := e.Open(netip.MustParseAddr("10.0.0.1"))
				if err != nil {
					t.Fatal(err)
				}
				b, err := e.Open(netip.MustParseAddr("10.0.0.2"))
				if err != nil {
					t.Fatal(err)
				}
				params := media.Params{Codec: id, PayloadType: id.PayloadType(), Send: true, Receive: true}
				for _, leg := range []struct {
					s, far *media.Session
					sim    *audio.Sim
				}{{a, b, one}, {b, a, two}} {
					params.Remote = leg.far.LocalAddr()
					if err := leg.s.Configure(params); err != nil {
						t.Fatal(err)
					}
					leg.sim.Open(audio.PathHandset)
					leg.s.Play(leg.sim.Capture())
					leg.s.Listen(leg.sim.Playback())
				}
				ear := both{&mediatest.WideRecorder{}, two.Playback()}
				b.Listen(ear)
				sound, err := two.Listen(ctx)
				if err != nil {
					t.Fatal(err)
				}
				var heard []int16
				for len(heard) < 3*8000 {
					heard = append(heard, <-sound...)
				}
				narrow := heard[2*8000:]
				for _, hz := range low {
					if l := typical(narrow, hz); l < -24 || l > -16 {
						t.Errorf("%.0f Hz is heard at %.1f dBFS", hz, l)
					}
				}
				for _, hz := range high { // the listener is told 8 kHz: what would fold
					if l := typical(narrow, 8000-hz); l > -60 {
						t.Errorf("%.0f Hz comes back at %.0f Hz with %.1f dBFS", hz, 8000-hz, l)
					}
				}
				wide, frames := ear.Samples()
				if id == codec.PCMU {
					if len(wide) != 0 || frames == 0 {
						t.Errorf("%d wide samples and %d frames of a G.711 call", len(wide), frames)
					}
				} else if len(wide) < 2*16000 {
					t.Errorf("%d samples at 16 kHz of a G.722 call", len(wide))
				} else {
					for _, hz := range append(low, high...) {
						if l := typical(wide[16000:32000], hz/2); l < -26 || l > -16 {
							t.Errorf("%.0f Hz comes to the ear at %.1f dBFS", hz, l)
						}
					}
				}
				cancel()
				for range sound {
				}
				for range 3 {
					if err := <-ended; err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}
