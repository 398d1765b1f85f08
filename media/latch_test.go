package media_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
)

// TestStrangersAreNeitherHeardNorAnswered is the rtpbleed test: RTP sprayed at open ports from elsewhere is
// not played, gets no packet, and does not draw the stream to it.
func TestStrangersAreNeitherHeardNorAnswered(t *testing.T) {
	for _, tc := range []struct {
		name     string
		attacker netip.Addr
		speaks   bool // whether the true far end has sent something
	}{
		{"from another host, during the call", otherHost, true},
		{"from another host, before the far end speaks", otherHost, false},
		{"from another port of the far end's host, during the call", farHost, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s, p := b.session(), b.peer(farHost)
				params := both(p.Addr(), codec.PCMU)
				params.SignalledFrom = farHost
				b.configure(s, params)
				attacker := b.peer(tc.attacker)
				ear := mediatest.NewRecorder()
				s.Listen(ear)
				s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
				if tc.speaks {
					b.talk(p, s, codec.PCMU, mediatest.Voice(1, 3*time.Second))
					time.Sleep(100 * time.Millisecond)
				}
				attack := mediatest.Voice(2, 2*time.Second)
				b.talk(attacker, s, codec.PCMU, attack)
				time.Sleep(3 * time.Second)
				if n := len(attacker.Packets()); n != 0 {
					t.Errorf("%d packets went to the stranger", n)
				}
				b.hearsNot("the phone, of the stranger", ear.Samples(), attack)
				if st := s.Stats(); st.Strangers != 100 || st.Remote != p.Addr() {
					t.Errorf("%d packets counted as strangers', sending to %s", st.Strangers, st.Remote)
				}
			})
		})
	}
}

// A far end whose address is private may be behind any NAT, and on the same switch: nobody else is sent its call, neither before it
// speaks nor while it is held, whether its SIP came from itself, through a proxy, or from nobody knows where.
func TestPrivateAddressInvitesNobody(t *testing.T) {
	for _, tc := range []struct {
		name string
		via  netip.Addr
		held bool
	}{
		{"before it speaks", farHost, false},
		{"while it is held", farHost, true},
		{"through a proxy, before it speaks", otherHost, false},
		{"through a proxy, while it is held", otherHost, true},
		{"not known from where, before it speaks", netip.Addr{}, false},
		{"not known from where, while it is held", netip.Addr{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s, p, stranger := b.session(), b.peer(farHost), b.peer(netip.MustParseAddr("198.51.100.66"))
				params := both(p.Addr(), codec.PCMU)
				params.SignalledFrom = tc.via
				b.configure(s, params)
				s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
				if tc.held {
					p.Talk(t.Context(), s.LocalAddr(), codec.PCMU, mediatest.Voice(1, 8*time.Second))
					held := params
					held.Receive = false
					b.configure(s, held)
					time.Sleep(1500 * time.Millisecond)
				}
				stranger.Talk(t.Context(), s.LocalAddr(), codec.PCMU, mediatest.Voice(2, 2*time.Second))
				b.configure(s, params)
				p.Forget()
				time.Sleep(time.Second)
				if n, to := len(stranger.Packets()), s.Stats().Remote; n > 0 || to != p.Addr() {
					t.Errorf("%d packets went to a stranger, now they go to %s", n, to)
				}
				b.oneStream(p.Packets())
			})
		})
	}
}

func TestFarEndBehindNAT(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		public := netip.MustParseAddr("203.0.113.7")
		s, nat := b.session(), b.peer(public)
		params := both(netip.MustParseAddrPort("192.168.1.20:4000"), codec.PCMU) // what its SDP says
		params.SignalledFrom = public
		b.configure(s, params)
		voice := mediatest.Voice(1, 10*time.Second)
		ear := mediatest.NewRecorder()
		s.Listen(ear)
		s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		b.talk(nat, s, codec.PCMU, voice)
		time.Sleep(time.Second)
		if s.Stats().Remote != nat.Addr() || len(nat.Packets()) < 40 {
			t.Fatalf("sending to %s, %d packets reached the far end", s.Stats().Remote, len(nat.Packets()))
		}
		// A re-INVITE repeats the private address.
		b.configure(s, params)
		time.Sleep(time.Second)
		if s.Stats().Remote != nat.Addr() {
			t.Errorf("after the re-INVITE: sending to %s", s.Stats().Remote)
		}
		b.hears("the phone", ear.Samples(), voice[:12000])
	})
}

// A hold outlives the mapping of the NAT, and the phone resumes with another SSRC: the re-INVITE says the same private
// address as before. Who talks on through one stays the only one.
func TestResumeFromAnotherMapping(t *testing.T) {
	for _, tc := range []struct {
		name  string
		hold  time.Duration
		first time.Duration // what the phone says from its first mapping
		moves bool
	}{
		{"after a hold", 2 * time.Minute, 2 * time.Second, true},
		{"after packets that were on their way", 0, 3500 * time.Millisecond, true},
		{"who talked on is silent later", 0, 6 * time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				public := netip.MustParseAddr("203.0.113.7")
				s, nat := b.session(), b.peer(public)
				params := both(netip.MustParseAddrPort("192.168.1.20:4000"), codec.PCMU)
				params.SignalledFrom = public
				b.configure(s, params)
				s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
				b.talk(nat, s, codec.PCMU, mediatest.Voice(1, tc.first))
				time.Sleep(3 * time.Second)
				held := params
				held.Receive = tc.hold == 0
				b.configure(s, held)
				time.Sleep(tc.hold)
				b.configure(s, params)
				time.Sleep(5 * time.Second)
				ear := mediatest.NewRecorder()
				s.Listen(ear)
				voice, next := mediatest.Voice(3, 5*time.Second), b.peer(public)
				b.talk(next, s, codec.PCMU, voice)
				time.Sleep(6 * time.Second)
				if tc.moves {
					b.hears("the phone", ear.Samples(), voice)
					b.hears("the far end", mediatest.Audio(next.Packets()), mediatest.Melody(1, time.Second))
				} else if n := len(next.Packets()); n > 0 || s.Stats().Remote != nat.Addr() {
					t.Errorf("%d packets went to another stream on the same host", n)
				}
			})
		})
	}
}

// A stream goes on in another process, and the answer to a re-INVITE repeats the private address: the far end is sent to where it was,
// also while it is silent, and heard, also from another mapping. Nobody else is.
func TestResumedBehindNAT(t *testing.T) {
	for _, tc := range []struct {
		name  string
		port  bool // is another one: the stream could not go on from the one it had
		moves bool // the far end has another mapping when it speaks again
	}{
		{"as before", false, false},
		{"from another port of ours", true, false},
		{"from another mapping", false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				public := netip.MustParseAddr("203.0.113.7")
				s, nat, stranger := b.session(), b.peer(public), b.peer(otherHost)
				params := both(netip.MustParseAddrPort("192.168.1.20:4000"), codec.PCMU)
				params.SignalledFrom = public
				b.configure(s, params)
				music := mediatest.NewLoop(mediatest.Melody(1, time.Second))
				s.Play(music)
				var told atomic.Int32
				var st media.State
				s.OnLatch(func() { st = s.State(); told.Add(1) })
				b.talk(nat, s, codec.PCMU, mediatest.Voice(1, 2*time.Second))
				time.Sleep(3 * time.Second)
				if told.Load() != 1 || st.Remote != nat.Addr() {
					t.Errorf("told %d times of the far end, then at %s", told.Load(), st.Remote)
				}
				st = s.State()
				s.Close()
				r, err := b.engine.Restore(st)
				if tc.port {
					r.Close()
					r, err = b.engine.Open(ourHost)
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Resume(st); err != nil {
					t.Fatal(err)
				}
				nat.Forget()
				r.Play(music)
				time.Sleep(time.Second)
				b.configure(r, params)
				time.Sleep(2 * time.Second)
				if n := len(nat.Packets()); n < 148 {
					t.Errorf("%d packets in 3 s reached the far end, which is silent", n)
				}
				b.talk(stranger, r, codec.PCMU, mediatest.Voice(2, 10*time.Second))
				voice, ear, far := mediatest.Voice(3, 5*time.Second), mediatest.NewRecorder(), nat
				if tc.moves {
					far = b.peer(public)
				}
				r.Listen(ear)
				b.talk(far, r, codec.PCMU, voice)
				time.Sleep(6 * time.Second)
				b.hears("the phone", ear.Samples(), voice)
				if n, to := len(stranger.Packets()), r.Stats().Remote; n > 0 || to != far.Addr() {
					t.Errorf("%d packets went to a stranger, now they go to %s", n, to)
				}
				if again := r.State(); again.Params.Remote != params.Remote || again.Remote != far.Addr() {
					t.Errorf("stored again: %s agreed, %s believed", again.Params.Remote, again.Remote)
				}
			})
		})
	}
}

// Somebody behind the same NAT sends to our port before the far end does (RFC 7362 §5), in the clear: he keeps the call neither
// if he only tries ports, nor if the NAT has kept the far end's port. A far end that was there first stays.
func TestNeighbourBehindTheSameNAT(t *testing.T) {
	private := netip.MustParseAddr("192.168.1.20")
	for _, tc := range []struct {
		name      string
		neighbour time.Duration // how long he sends
		kept      bool          // the far end's port is the one that its SDP says
		late      time.Duration // the neighbour begins so much later than the far end
		wins      bool          // the far end
	}{
		{"he tries ports", 80 * time.Millisecond, false, 0, true},
		{"he goes on, and the port tells", time.Minute, true, 0, true},
		{"he goes on, and nothing tells", time.Minute, false, 0, false}, // SRTP is what helps
		{"he is late", time.Minute, false, time.Second, true},
		{"he is late and has the port", time.Minute, true, 6 * time.Second, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				public := netip.MustParseAddr("203.0.113.7")
				s, far, neighbour := b.session(), b.peer(public), b.peer(public)
				params := both(netip.AddrPortFrom(private, 4000), codec.PCMU)
				if params.SignalledFrom = public; tc.kept {
					owner := far
					if tc.late > 0 {
						owner = neighbour
					}
					params.Remote = netip.AddrPortFrom(private, owner.Addr().Port())
				}
				b.configure(s, params)
				s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
				first, second, wait := neighbour, far, 500*time.Millisecond
				if tc.late > 0 {
					first, second, wait = far, neighbour, tc.late
				}
				says := func(p *mediatest.Peer) {
					d := 30 * time.Second
					if p == neighbour {
						d = min(d, tc.neighbour)
					}
					b.talk(p, s, codec.PCMU, mediatest.Voice(1, d))
				}
				says(first)
				time.Sleep(wait)
				says(second)
				time.Sleep(10 * time.Second)
				if to := s.Stats().Remote; (to == far.Addr()) != tc.wins {
					t.Errorf("our packets go to %s; the far end is %s, the neighbour %s", to, far.Addr(), neighbour.Addr())
				}
			})
		})
	}
}

func TestNATRebindingIsFollowedOnlyForTheSameStream(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		moved := netip.AddrPortFrom(farHost, 50000)
		rebind := func(d *mediatest.Datagram) {
			switch {
			case d.From == p.Addr():
				d.From = moved
			case d.To == moved:
				d.To = p.Addr()
			}
		}
		s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		b.talk(p, s, codec.PCMU, mediatest.Voice(1, 10*time.Second))
		time.Sleep(time.Second)
		b.net.Hook(rebind)
		time.Sleep(500 * time.Millisecond)
		if r := s.Stats().Remote; r != p.Addr() {
			t.Errorf("followed to %s at once: any spoofed packet could do that", r)
		}
		time.Sleep(time.Second)
		if r := s.Stats().Remote; r != moved {
			t.Errorf("sending to %s, want the new mapping %s", r, moved)
		}
		// Another stream from a third port after a silence is not the far end moved again.
		b.net.Hook(func(d *mediatest.Datagram) { d.Drop = true })
		time.Sleep(2 * time.Second)
		b.net.Hook(nil)
		q := b.peer(farHost)
		b.net.Hook(func(d *mediatest.Datagram) { d.Drop = d.From == p.Addr() })
		b.talk(q, s, codec.PCMU, mediatest.Voice(3, time.Second))
		time.Sleep(time.Second)
		if st := s.Stats(); st.Remote != moved || st.Latched != 1 {
			t.Errorf("latched %d times, sending to %s", st.Latched, st.Remote)
		}
	})
}

func TestNewRemoteAtReInvite(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		q := b.peer(otherHost)
		s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		b.talk(p, s, codec.PCMU, mediatest.Voice(1, 5*time.Second))
		time.Sleep(1003 * time.Millisecond) // between two ticks
		b.configure(s, both(q.Addr(), codec.PCMU))
		p.Forget()
		time.Sleep(time.Second)
		if n := len(p.Packets()); n > 0 {
			t.Errorf("%d packets went to the old address", n)
		}
		b.oneStream(q.Packets())
		before := s.Stats().Received
		b.talk(q, s, codec.PCMU, mediatest.Voice(2, time.Second))
		time.Sleep(time.Second)
		if got := s.Stats().Received - before; got != 50 {
			t.Errorf("%d packets taken from the new source and the old, want 50 from the new", got)
		}
	})
}

func TestHoldByUnspecifiedAddressSendsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		b.configure(s, both(netip.MustParseAddrPort("0.0.0.0:4000"), codec.PCMU))
		time.Sleep(time.Second)
		if n, st := len(p.Packets()), s.Stats(); n != 0 || st.Sent != 0 || st.SendErrors != 0 {
			t.Errorf("%d packets, %d sent, %d errors", n, st.Sent, st.SendErrors)
		}
	})
}

func TestGarbageIsCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		ear := mediatest.NewRecorder()
		s.Listen(ear)
		from := p.Addr()
		good := append([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}, make([]byte, 160)...)
		send := func(change func(b []byte) []byte) {
			b.net.Hook(func(d *mediatest.Datagram) {
				if d.From == from {
					d.Data = change(append([]byte(nil), good...))
				}
			})
			p.Send(s.LocalAddr(), 0, false, []byte{1}, 160)
		}
		bad := []func(b []byte) []byte{
			func(b []byte) []byte { return nil },
			func(b []byte) []byte { return b[:11] },
			func(b []byte) []byte { return b[:12] },
			func(b []byte) []byte { b[0] = 0x40; return b },
			func(b []byte) []byte { b[0] = 0x8f; return b[:20] },
			func(b []byte) []byte { b[0] = 0x90; return b[:14] },
			func(b []byte) []byte { b[0] = 0xa0; b[len(b)-1] = 255; return b },
			func(b []byte) []byte { b[0] = 0xa0; return b },
		}
		for _, f := range bad {
			send(f)
			time.Sleep(time.Millisecond)
		}
		for _, pt := range []byte{99, 72, 200} { // the last two are RTCP, and ill-formed
			send(func(b []byte) []byte { b[1] = pt; return b })
			time.Sleep(time.Millisecond)
		}
		if st := s.Stats(); st.Bad != uint64(len(bad)) || st.Unwanted != 1 || st.ReportsRefused != 2 || st.Received != 0 {
			t.Errorf("bad %d, unwanted %d, reports %d, received %d; want %d, 1, 2, 0", st.Bad, st.Unwanted, st.ReportsRefused, st.Received, len(bad))
		}
	})
}
