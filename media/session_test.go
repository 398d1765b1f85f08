package media_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
	"parklamp/media/rtpio"
)

var (
	ourHost   = netip.MustParseAddr("10.0.0.1")
	farHost   = netip.MustParseAddr("10.0.0.2")
	otherHost = netip.MustParseAddr("10.0.0.3")
)

// bench is an engine and far ends on one network in memory, inside a synctest bubble.
type bench struct {
	t      *testing.T
	net    *mediatest.Net
	engine *media.Engine
}

// inBubble runs f with a running engine and fake time.
func inBubble(t *testing.T, f func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		n := mediatest.NewNet()
		e := media.NewEngine(media.Default(), slog.New(slog.NewTextHandler(io.Discard, nil)),
			media.WithNetwork(n), media.WithClock(media.NewTimerClock()))
		runEngine(t, e, func() { f(t, &bench{t, n, e}) })
	})
}

// runEngine runs f with e running.
func runEngine(t *testing.T, e *media.Engine, f func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	f()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func (b *bench) session() *media.Session {
	b.t.Helper()
	s, err := b.engine.Open(ourHost)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bench) peer(host netip.Addr) *mediatest.Peer {
	b.t.Helper()
	c, err := b.net.Listen(netip.AddrPortFrom(host, 0), rtpio.Socket{})
	if err != nil {
		b.t.Fatal(err)
	}
	p := mediatest.NewPeer(c)
	go p.Record()
	b.t.Cleanup(func() { p.Close() })
	return p
}

// leg is a session with its far end, talking both ways in µ-law.
func (b *bench) leg() (*media.Session, *mediatest.Peer) {
	s, p := b.session(), b.peer(farHost)
	b.configure(s, both(p.Addr(), codec.PCMU))
	return s, p
}

func (b *bench) configure(s *media.Session, p media.Params) {
	b.t.Helper()
	if err := s.Configure(p); err != nil {
		b.t.Fatal(err)
	}
}

func both(remote netip.AddrPort, id codec.ID) media.Params {
	return media.Params{
		Remote: remote, Codec: id, PayloadType: id.PayloadType(), DTMFPayloadType: 101, Send: true, Receive: true,
	}
}

// talk sends samples from a far end in the background.
func (b *bench) talk(p *mediatest.Peer, s *media.Session, id codec.ID, samples []int16) {
	go p.Talk(b.t.Context(), s.LocalAddr(), id, samples)
}

// hears fails unless got holds ref.
func (b *bench) hears(who string, got, ref []int16) {
	b.t.Helper()
	if score, _ := mediatest.Match(got, ref); score < mediatest.Same {
		b.t.Errorf("%s: likeness %.2f of %d samples, want %.2f", who, score, len(got), mediatest.Same)
	}
}

func (b *bench) hearsNot(who string, got, ref []int16) {
	b.t.Helper()
	if score, _ := mediatest.Match(got, ref); score > mediatest.Different {
		b.t.Errorf("%s: likeness %.2f, want at most %.2f", who, score, mediatest.Different)
	}
}

// oneStream fails unless the packets are one stream without a gap that can be heard.
func (b *bench) oneStream(packets []mediatest.Packet) {
	b.t.Helper()
	s := mediatest.Inspect(packets)
	if s.Packets == 0 || s.SSRCs != 1 || s.Lost+s.Backwards+s.ClockBroken > 0 || s.MaxGap > 60*time.Millisecond || s.MaxDrift > 60*time.Millisecond {
		b.t.Errorf("stream has seams: %s", s)
	}
}

func TestTwoWayAudio(t *testing.T) {
	for _, id := range []codec.ID{codec.PCMU, codec.PCMA} {
		t.Run(id.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s, p := b.session(), b.peer(farHost)
				b.configure(s, both(p.Addr(), id))
				ours, theirs := mediatest.Voice(1, 2*time.Second), mediatest.Voice(2, 2*time.Second)
				ear := mediatest.NewRecorder()
				s.Play(mediatest.NewOnce(ours))
				s.Listen(ear)
				b.talk(p, s, id, theirs)
				time.Sleep(3 * time.Second)
				b.hears("the far end", mediatest.Audio(p.Packets()), ours)
				b.hears("the near end", ear.Samples(), theirs)
				seams := mediatest.Inspect(p.Packets())
				if seams.Packets != 100 || seams.Markers != 1 || !p.Packets()[0].Header.Marker {
					t.Errorf("sent %s; want 100 packets, the first one marked", seams)
				}
				if n := len(ear.Samples()); n < 3*8000-400 || n > 3*8000+160 {
					t.Errorf("the sink got %d samples in 3 s, want a frame in each tick", n)
				}
			})
		})
	}
}

func TestNothingIsSentBeforeConfigure(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.session(), b.peer(farHost)
		s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		b.talk(p, s, codec.PCMU, mediatest.Voice(1, time.Second))
		time.Sleep(time.Second)
		if n := len(p.Packets()); n != 0 {
			t.Errorf("%d packets were sent to an address that only sent us some", n)
		}
		if st := s.Stats(); st.Early < 49 || st.Received != 0 {
			t.Errorf("early %d received %d, want all early", st.Early, st.Received)
		}
	})
}

// TestSourcesChangeWithoutASeam is the rule that music has no gap above 60 ms: whatever is done to a session,
// it stays one stream.
func TestSourcesChangeWithoutASeam(t *testing.T) {
	for _, phase := range []time.Duration{0, 1, 6, 10, 14, 19} {
		phase *= time.Millisecond
		t.Run("the other leg sends "+phase.String()+" after our tick", func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s, p := b.leg()
				other, q := b.leg()
				mic, music := mediatest.NewLoop(mediatest.Voice(1, time.Second)), mediatest.NewLoop(mediatest.Melody(1, time.Second))
				s.Play(mic)
				time.Sleep(phase)
				b.talk(q, other, codec.PCMU, mediatest.Voice(2, 12*time.Second))
				// Odd times, so that changes fall everywhere within a tick.
				step := func() { time.Sleep(313 * time.Millisecond) }
				step()
				for range 6 {
					s.Play(music)
					step()
					b.configure(s, both(p.Addr(), codec.PCMA))
					step()
					rel, err := media.Join(s, other)
					if err != nil {
						t.Fatal(err)
					}
					step()
					b.configure(s, both(p.Addr(), codec.PCMU))
					step()
					rel.Close()
					step()
					s.Play(mic)
					step()
				}
				b.oneStream(p.Packets())
			})
		})
	}
}

func TestPauseKeepsTheClockAndMarksTheNextPacket(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		music := mediatest.NewLoop(mediatest.Melody(1, time.Second))
		s.Play(music)
		time.Sleep(205 * time.Millisecond)
		s.Play(nil)
		time.Sleep(500 * time.Millisecond)
		hold := both(p.Addr(), codec.PCMU)
		hold.Send = false
		b.configure(s, hold)
		s.Play(music)
		time.Sleep(500 * time.Millisecond)
		before := len(p.Packets())
		b.configure(s, both(p.Addr(), codec.PCMU))
		time.Sleep(200 * time.Millisecond)
		all := p.Packets()
		if before != 11 {
			t.Fatalf("%d packets before the pause and during hold, want 11 in 205 ms", before)
		}
		a, z := all[before-1].Header, all[before].Header
		if z.SequenceNumber != a.SequenceNumber+1 || z.SSRC != a.SSRC || !z.Marker {
			t.Errorf("after the pause: %v, before: %v; want the next number, the same SSRC, the marker", z, a)
		}
		gap := all[before].At.Sub(all[before-1].At)
		if got := time.Duration(z.Timestamp-a.Timestamp) * time.Second / media.SampleRate; got != gap || gap < 1004*time.Millisecond || gap > 1006*time.Millisecond {
			t.Errorf("timestamp went on by %s over %s, want 1,005 ms: the stream begins again at once", got, gap)
		}
	})
}

func TestPortsAreClosedAtOnceAndRest(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s := b.session()
		addr := s.LocalAddr()
		if addr.Port()%2 != 0 {
			t.Errorf("RTP port %d is odd", addr.Port())
		}
		s.Close()
		s.Close()
		if b.net.Bound(addr) || b.engine.Sessions() != 0 {
			t.Error("the port is still open after Close")
		}
		next := b.session()
		if next.LocalAddr() == addr {
			t.Error("the next session got the port that was closed a moment ago")
		}
		if err := s.Configure(both(addr, codec.PCMU)); !errors.Is(err, media.ErrClosed) {
			t.Errorf("Configure after Close: %v", err)
		}
		if _, err := media.Join(s, next); !errors.Is(err, media.ErrClosed) {
			t.Errorf("Join after Close: %v", err)
		}
	})
}

func TestSessionsAndPortsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := media.Default()
		cfg.PortMin, cfg.PortMax, cfg.MaxSessions = 20001, 20008, 3
		n := mediatest.NewNet()
		e := media.NewEngine(cfg, slog.New(slog.DiscardHandler), media.WithNetwork(n), media.WithClock(media.NewTimerClock()))
		for range 3 {
			if _, err := e.Open(ourHost); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := e.Open(ourHost); !errors.Is(err, media.ErrFull) {
			t.Errorf("a session too many: %v, want ErrFull", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Run(ctx); err != nil || e.Sessions() != 0 {
			t.Errorf("Run: %v with %d sessions left", err, e.Sessions())
		}
		if _, err := e.Open(ourHost); !errors.Is(err, media.ErrStopped) {
			t.Errorf("Open after Run: %v, want ErrStopped", err)
		}
	})
}

func TestTimeoutIsToldOnceAndArmedByThePacketsThatFollow(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		fired := make(chan time.Time, 10)
		s.OnTimeout(time.Second, func() { fired <- time.Now() })
		start := time.Now()
		b.talk(p, s, codec.PCMU, mediatest.Voice(1, 2*time.Second))
		time.Sleep(10 * time.Second)
		if len(fired) != 1 {
			t.Fatalf("told %d times, want once", len(fired))
		}
		if d := (<-fired).Sub(start); d < 2900*time.Millisecond || d > 3100*time.Millisecond {
			t.Errorf("told after %s, want 1 s after the last packet at 2 s", d)
		}
		b.talk(p, s, codec.PCMU, mediatest.Voice(1, time.Second))
		time.Sleep(5 * time.Second)
		if len(fired) != 1 {
			t.Errorf("told %d times after a second pause, want once", len(fired))
		}
	})
}

func TestDigitsBothWays(t *testing.T) {
	for _, tc := range []struct {
		name string
		lose func(n int) bool
	}{
		{"all arrive", func(int) bool { return false }},
		{"every second packet lost", func(n int) bool { return n%2 == 0 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s, _ := b.leg()
				o := b.session()
				b.configure(s, both(o.LocalAddr(), codec.PCMU))
				b.configure(o, both(s.LocalAddr(), codec.PCMU))
				n := 0
				b.net.Hook(func(d *mediatest.Datagram) { n++; d.Drop = tc.lose(n) })
				got := make(chan byte, 20)
				o.OnDTMF(func(d byte, _ bool) { got <- d })
				s.Play(mediatest.NewLoop(mediatest.Voice(1, time.Second)))
				if err := s.SendDTMF("*68703#", 100*time.Millisecond, 100*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				if text := drain(got); text != "*68703#" {
					t.Errorf("heard %q, want *68703#", text)
				}
			})
		})
	}
}

func drain(digits chan byte) (text string) {
	for len(digits) > 0 {
		text += string(<-digits)
	}
	return text
}

func TestDigitsLeaveNoSeam(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		s.Play(mediatest.NewLoop(mediatest.Voice(1, time.Second)))
		time.Sleep(101 * time.Millisecond)
		if err := s.SendDTMF("12", 100*time.Millisecond, 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		b.oneStream(p.Packets())
		ends, starts := 0, 0
		for _, q := range p.Packets() {
			if q.Header.PayloadType != 101 {
				continue
			}
			if q.Header.Marker {
				starts++
			}
			if q.Payload[1]&0x80 != 0 {
				ends++
			}
		}
		if starts != 2 || ends != 6 {
			t.Errorf("%d marked and %d end packets, want 2 and 3 for each digit", starts, ends)
		}
	})
}

func TestDigitsAsTonesWhereEventsWereNotAgreed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		params := both(p.Addr(), codec.PCMU)
		params.DTMFPayloadType = 0
		b.configure(s, params)
		if err := s.SendDTMF("5", 200*time.Millisecond, 40*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a := mediatest.Audio(p.Packets())
		if len(a) != 1600 {
			t.Fatalf("%d samples, want 200 ms", len(a))
		}
		for hz, loud := range map[float64]bool{770: true, 1336: true, 697: false, 1477: false, 1209: false} {
			if l := mediatest.Level(a, hz); (l > -20) != loud {
				t.Errorf("%.0f Hz at %.1f dBFS", hz, l)
			}
		}
	})
}

func TestRestoredSessionGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		music := mediatest.NewLoop(mediatest.Melody(1, time.Second))
		s.Play(music)
		time.Sleep(time.Second)
		st := s.State()
		time.Sleep(time.Second)
		s.Close() // the process dies a second after the state was stored
		time.Sleep(200 * time.Millisecond)
		r, err := b.engine.Restore(st)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Resume(st); err != nil {
			t.Fatal(err)
		}
		r.Play(music)
		time.Sleep(time.Second)
		seams := mediatest.Inspect(p.Packets())
		if seams.SSRCs != 1 || seams.Backwards > 0 || seams.ClockBroken > 0 || seams.MaxDrift > 60*time.Millisecond || seams.MaxGap > 300*time.Millisecond {
			t.Errorf("restored stream: %s", seams)
		}
	})
}

// The address of the machine changes: the stream goes on from the new one, and the far end is heard there.
func TestSessionMovesToAnotherAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		time.Sleep(time.Second)
		old := s.LocalAddr()
		if err := s.Move(otherHost); err != nil {
			t.Fatal(err)
		}
		if s.LocalAddr().Addr() != otherHost || b.net.Bound(old) {
			t.Errorf("at %s; the old port is still bound: %v", s.LocalAddr(), b.net.Bound(old))
		}
		time.Sleep(time.Second)
		packets := p.Packets()
		b.oneStream(packets)
		if seams := mediatest.Inspect(packets); seams.MaxGap > 40*time.Millisecond {
			t.Errorf("moved stream: %s", seams)
		}
		if last := packets[len(packets)-1]; last.From != s.LocalAddr() {
			t.Errorf("the last packet came from %s, not %s", last.From, s.LocalAddr())
		}
		ear := mediatest.NewRecorder()
		s.Listen(ear)
		voice := mediatest.Voice(2, time.Second)
		b.talk(p, s, codec.PCMU, voice)
		time.Sleep(2 * time.Second)
		b.hears("the near end", ear.Samples(), voice)
		at := s.LocalAddr()
		s.Close()
		if err := s.Move(ourHost); !errors.Is(err, media.ErrClosed) || b.net.Bound(at) {
			t.Errorf("moving a closed session: %v", err)
		}
	})
}

// A far end that names our own port gets nothing: we would talk to ourselves.
func TestNothingIsSentToOurselves(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s := b.session()
		b.configure(s, both(s.LocalAddr(), codec.PCMU))
		s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		time.Sleep(time.Second)
		if st := s.Stats(); st.Sent != 0 || st.Bad != 0 {
			t.Errorf("%d packets sent, %d came back", st.Sent, st.Bad)
		}
	})
}
