package media_test

import (
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/comfort"
	"parklamp/media/mediatest"
)

// roomWith is the noise of a place at -55 dBov, for a second, and then a voice in it for another, again and again.
func roomWith(voice []int16) []int16 {
	var n comfort.Noise
	n.Describe([]byte{55, 30, 180, 100})
	x := make([]int16, 2*media.SampleRate)
	n.Fill(x, media.SampleRate)
	for i, v := range voice[:media.SampleRate] {
		x[media.SampleRate+i] = int16(max(-32768, min(32767, int(v)+int(x[media.SampleRate+i]))))
	}
	return x
}

func suppressing(t *testing.T, f func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		n := mediatest.NewNet()
		cfg := media.Default()
		cfg.SilenceSuppression = true
		e := media.NewEngine(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), media.WithNetwork(n), media.WithClock(media.NewTimerClock()))
		runEngine(t, e, func() { f(t, &bench{t, n, e}) })
	})
}

// Who agreed to comfort noise is told the silence, hears it as noise of the same level, and every word whole; the stream's
// numbers and clock go on. Nobody else gets anything but audio.
func TestSilenceIsToldNotSent(t *testing.T) {
	for _, id := range []codec.ID{codec.PCMU, codec.G722} {
		t.Run(id.String(), func(t *testing.T) {
			suppressing(t, func(t *testing.T, b *bench) {
				s1, s2 := b.session(), b.session()
				p := b.peer(otherHost)
				listener, plain := both(s1.LocalAddr(), id), both(p.Addr(), id)
				speaker := both(s2.LocalAddr(), id)
				speaker.NoisePayloadType = 13
				s3 := b.session()
				b.configure(s1, speaker)
				b.configure(s2, listener)
				b.configure(s3, plain)
				voice := mediatest.Voice(5, time.Second)
				x := roomWith(voice)
				ear := mediatest.NewRecorder()
				s1.Play(mediatest.NewLoop(x))
				s2.Listen(ear)
				s3.Play(mediatest.NewLoop(x))
				time.Sleep(6 * time.Second)
				st, un := s1.Stats(), s3.Stats()
				if st.Sent < 150 || st.Sent > 230 {
					t.Errorf("%d packets in 6 s of which half is silence", st.Sent)
				}
				if un.Sent < 299 {
					t.Errorf("%d packets to who has not agreed, want all 300", un.Sent)
				}
				for _, q := range p.Packets() {
					if q.Header.PayloadType != id.PayloadType() {
						t.Fatalf("payload type %d to who has not agreed", q.Header.PayloadType)
					}
				}
				heard := ear.Samples()
				b.hears("the listener", heard[2*media.SampleRate:], voice)
				if n := ear.Frames(media.Comfort); n < 60 {
					t.Errorf("%d frames of comfort noise", n)
				}
				if n := ear.Frames(media.Concealed); n > 3 {
					t.Errorf("%d frames concealed: a silence was taken for loss", n)
				}
				// In the middle of the third second of noise.
				from := 4*media.SampleRate + media.SampleRate/2
				if l := mediatest.RMS(heard[from : from+media.SampleRate/4]); l < -58 || l > -48 {
					t.Errorf("the silence is heard at %.1f dBFS", l)
				}
			})
		})
	}
}

// A muted handset costs a packet a second.
func TestMutedHandsetIsTold(t *testing.T) {
	suppressing(t, func(t *testing.T, b *bench) {
		s, p := b.session(), b.peer(farHost)
		params := both(p.Addr(), codec.PCMA)
		params.NoisePayloadType = 13
		b.configure(s, params)
		s.Play(mediatest.NewLoop(make([]int16, 160)))
		time.Sleep(2 * time.Second)
		p.Forget()
		time.Sleep(5 * time.Second)
		got := p.Packets()
		if len(got) < 4 || len(got) > 6 {
			t.Errorf("%d packets in 5 s", len(got))
		}
		for i, q := range got {
			if q.Header.PayloadType != 13 || q.Payload[0] != 127 || q.Header.Marker {
				t.Errorf("packet %d: %+v, %v", i, q.Header, q.Payload)
			}
			if i > 0 && q.Header.Timestamp-got[i-1].Header.Timestamp != 8000 {
				t.Errorf("packet %d is %d ticks later", i, q.Header.Timestamp-got[i-1].Header.Timestamp)
			}
		}
	})
}

// A relay passes comfort noise on to who takes it, in its number, and to nobody else.
func TestRelayPassesComfortNoise(t *testing.T) {
	for _, number := range []uint8{0, 13, 97} {
		inBubble(t, func(t *testing.T, b *bench) {
			s1, p1 := b.session(), b.peer(farHost)
			s2, p2 := b.session(), b.peer(otherHost)
			b.configure(s1, both(p1.Addr(), codec.G722))
			params := both(p2.Addr(), codec.PCMA)
			params.NoisePayloadType = number
			b.configure(s2, params)
			if _, err := media.Join(s1, s2); err != nil {
				t.Fatal(err)
			}
			p1.Talk(t.Context(), s1.LocalAddr(), codec.G722, mediatest.Voice(1, 200*time.Millisecond))
			p1.Send(s1.LocalAddr(), 13, false, []byte{60, 100}, 160)
			time.Sleep(100 * time.Millisecond)
			noise := 0
			for _, q := range p2.Packets() {
				if codec.ByPayloadType(q.Header.PayloadType) == codec.None {
					noise++
					if q.Header.PayloadType != number || string(q.Payload) != "\x3c\x64" {
						t.Errorf("%d: %v", q.Header.PayloadType, q.Payload)
					}
				}
			}
			if want := min(1, int(number)); noise != want {
				t.Errorf("number %d: %d packets of noise, want %d", number, noise, want)
			}
		})
	}
}
