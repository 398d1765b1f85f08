package media_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/dtmf"
	"parklamp/media/mediatest"
	"parklamp/media/rtpio"
	"parklamp/media/timeline"
)

func TestRelayCarriesBothWays(t *testing.T) {
	for _, tc := range []struct{ a, b codec.ID }{
		{codec.PCMU, codec.PCMU}, {codec.PCMU, codec.PCMA}, {codec.PCMA, codec.PCMU},
	} {
		t.Run(tc.a.String()+" and "+tc.b.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s1, p1 := b.session(), b.peer(farHost)
				s2, p2 := b.session(), b.peer(otherHost)
				b.configure(s1, both(p1.Addr(), tc.a))
				b.configure(s2, both(p2.Addr(), tc.b))
				v1, v2 := mediatest.Voice(1, 2*time.Second), mediatest.Voice(2, 2*time.Second)
				rel, err := media.Join(s1, s2)
				if err != nil {
					t.Fatal(err)
				}
				b.talk(p1, s1, tc.a, v1)
				b.talk(p2, s2, tc.b, v2)
				time.Sleep(3 * time.Second)
				b.hears("the second", mediatest.Audio(p2.Packets()), v1)
				b.hears("the first", mediatest.Audio(p1.Packets()), v2)
				b.oneStream(p1.Packets())
				b.oneStream(p2.Packets())
				for _, q := range p2.Packets() {
					if q.Header.PayloadType != tc.b.PayloadType() {
						t.Fatalf("payload type %d went to a leg that speaks %s", q.Header.PayloadType, tc.b)
					}
				}
				rel.Close()
				rel.Close()
				if st := s1.Stats(); st.Relayed != 100 || st.Sent != 100 {
					t.Errorf("relayed %d of %d sent, want all of 100", st.Relayed, st.Sent)
				}
			})
		})
	}
}

// RFC 3550 §5.1, RFC 3551 §4.1: a far end that was silent (DTX) when its relay ended leaves its pause in the clock, and what comes
// then is marked.
func TestMusicAfterASilentRelay(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, p1 := b.leg()
		s2, p2 := b.leg()
		s2.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		rel, err := media.Join(s1, s2)
		if err != nil {
			t.Fatal(err)
		}
		p1.Talk(t.Context(), s1.LocalAddr(), codec.PCMU, mediatest.Voice(1, 2*time.Second))
		time.Sleep(10 * time.Second)
		before := len(p2.Packets())
		rel.Close()
		time.Sleep(time.Second)
		got := p2.Packets()
		last, first := got[before-1], got[before]
		clock := time.Duration(timeline.Ticks(first.Header.Timestamp, last.Header.Timestamp)) * time.Second / timeline.ClockRate
		if off := first.At.Sub(last.At) - clock; off.Abs() > media.FrameDuration || !first.Header.Marker {
			t.Errorf("after %s: a step of %s, marker %t", first.At.Sub(last.At), clock, first.Header.Marker)
		}
		b.oneStream(got[before:])
	})
}

func TestRelayForwardsOnReceipt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, p1 := b.leg()
		s2, p2 := b.leg()
		if _, err := media.Join(s1, s2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Millisecond) // between two ticks
		sent := time.Now()
		p1.Send(s1.LocalAddr(), 0, true, make([]byte, 160), 160)
		time.Sleep(time.Millisecond)
		if got := p2.Packets(); len(got) != 1 || got[0].At != sent {
			t.Fatalf("%d packets arrived, want one without waiting for a tick", len(got))
		}
	})
}

// TestMusicPlaysUntilTheOtherSideIsHeard: a fetcher whose first packet is late must not leave the caller in silence.
func TestMusicPlaysUntilTheOtherSideIsHeard(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		caller, p1 := b.leg()
		fetcher, p2 := b.leg()
		music := mediatest.Melody(1, 4*time.Second)
		voice := mediatest.Voice(1, 3*time.Second)
		caller.Play(mediatest.NewLoop(music))
		time.Sleep(205 * time.Millisecond)
		rel, err := media.Join(caller, fetcher)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(700 * time.Millisecond)
		b.hears("the caller before the fetcher speaks", mediatest.Audio(p1.Packets()), music[:7000])
		b.talk(p2, fetcher, codec.PCMU, voice)
		time.Sleep(2500 * time.Millisecond)
		b.hears("the caller", mediatest.Audio(p1.Packets()), voice[:16000])
		rel.Close()
		time.Sleep(2 * time.Second)
		b.oneStream(p1.Packets())
		p1.Forget()
		p2.Forget()
		time.Sleep(time.Second)
		b.hears("the caller when parked again", mediatest.Audio(p1.Packets()), music)
		if n := len(p2.Packets()); n != 0 {
			t.Errorf("%d packets went to the fetcher after the relay", n)
		}
	})
}

func TestRelayKeepsLossAndOrderVisible(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, p1 := b.leg()
		s2, p2 := b.leg()
		if _, err := media.Join(s1, s2); err != nil {
			t.Fatal(err)
		}
		n := 0
		b.net.Hook(func(d *mediatest.Datagram) {
			if d.From != p1.Addr() {
				return
			}
			n++
			switch {
			case n%10 == 5:
				d.Drop = true
			case n%10 == 7:
				d.Delay = 30 * time.Millisecond
			}
		})
		p1.Talk(t.Context(), s1.LocalAddr(), codec.PCMU, mediatest.Voice(1, 2*time.Second))
		time.Sleep(time.Second)
		got := mediatest.Inspect(p2.Packets())
		if got.Packets != 90 || got.SSRCs != 1 || got.Backwards != 10 {
			t.Errorf("%s; want 90 packets, 10 of them after their successor", got)
		}
		first, seen := p2.Packets()[0].Header, map[uint16]bool{}
		for _, q := range p2.Packets() {
			at := q.Header.SequenceNumber - first.SequenceNumber
			if seen[at] || q.Header.Timestamp-first.Timestamp != uint32(at)*160 {
				t.Fatalf("packet %d has timestamp +%d, or was sent twice", at, q.Header.Timestamp-first.Timestamp)
			}
			seen[at] = true
		}
	})
}

// A packet that comes after its successor goes on however long the relay has been there: also when more numbers than half
// of those that there are lie behind.
func TestRelayForwardsLatePacketsAfterMinutes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, p1 := b.leg()
		s2, _ := b.leg()
		if _, err := media.Join(s1, s2); err != nil {
			t.Fatal(err)
		}
		late := false
		b.net.Hook(func(d *mediatest.Datagram) {
			if d.From == p1.Addr() && late {
				d.Delay = 30 * time.Millisecond
			}
		})
		const packets = 1<<15 + 1000 // eleven minutes
		for n := range packets {
			late = n%1000 == 999
			if err := p1.Send(s1.LocalAddr(), 0, false, make([]byte, 160), 160); err != nil {
				t.Fatal(err)
			}
			time.Sleep(media.FrameDuration)
		}
		time.Sleep(media.FrameDuration)
		if n := s2.Stats().Relayed; n != packets {
			t.Errorf("%d of %d packets went on", n, packets)
		}
	})
}

// Each stream keeps its clock, also where the other leg takes no telephone-events (0, as is the number of PCMU), and over a
// network that delays some packets.
func TestRelayFollowsAChangeOfStream(t *testing.T) {
	for _, tc := range []struct {
		events uint8
		delay  time.Duration // fivefold at most: no packet overtakes another
	}{{101, 0}, {101, 4 * time.Millisecond}, {0, 0}, {0, 4 * time.Millisecond}} {
		inBubble(t, func(t *testing.T, b *bench) {
			s1, p1 := b.leg()
			s2, p2 := b.session(), b.peer(otherHost)
			params := both(p2.Addr(), codec.PCMU)
			params.DTMFPayloadType = tc.events
			b.configure(s2, params)
			if _, err := media.Join(s1, s2); err != nil {
				t.Fatal(err)
			}
			n := 0
			b.net.Hook(func(d *mediatest.Datagram) {
				if d.From == p1.Addr() {
					n++
					d.Delay = time.Duration(n*7%5) * tc.delay
				}
			})
			for i := range 5 {
				from := len(p2.Packets())
				p1.Talk(t.Context(), s1.LocalAddr(), codec.PCMU, mediatest.Voice(uint64(i), time.Second))
				time.Sleep(20 * time.Millisecond)
				got := p2.Packets()[from:]
				for i, q := range got[1:] {
					if step := timeline.Ticks(q.Header.Timestamp, got[i].Header.Timestamp); step != timeline.FrameTicks {
						t.Errorf("%+v: a step of %d ticks", tc, step)
					}
				}
				p1.Jump()
			}
			if tc.delay == 0 {
				b.oneStream(p2.Packets())
			}
		})
	}
}

// A packet of another stream now and then, or another stream beside the one that is relayed, changes nothing in that: it has
// no seam and keeps the far end's clock.
func TestRelayOfOneStreamOfTwo(t *testing.T) {
	for _, every := range []int{7, 1} {
		inBubble(t, func(t *testing.T, b *bench) {
			s1, p1 := b.leg()
			s2, p2 := b.leg()
			if _, err := media.Join(s1, s2); err != nil {
				t.Fatal(err)
			}
			n := 0
			b.net.Hook(func(d *mediatest.Datagram) {
				if d.From == p1.Addr() {
					if n++; n%(every+1) == every {
						d.Data[8] ^= 0x55 // the SSRC
					}
				}
			})
			go p1.Talk(t.Context(), s1.LocalAddr(), codec.PCMU, mediatest.Voice(1, 4*time.Second))
			time.Sleep(5 * time.Second)
			got := p2.Packets()
			if want := 200 - 200/(every+1); len(got) != want {
				t.Errorf("%d of %d packets went on", len(got), want)
			}
			for i, q := range got[1:] {
				step := timeline.Packets(q.Header.SequenceNumber, got[i].Header.SequenceNumber)
				if q.Header.Marker || timeline.Ticks(q.Header.Timestamp, got[i].Header.Timestamp) != step*timeline.FrameTicks {
					t.Fatalf("packet %d: %+v after %+v", i+1, q.Header, got[i].Header)
				}
			}
		})
	}
}

// relayOfTwoSources relays a far end that sends its events with an SSRC of their own, from one address, to p2.
func (b *bench) relayOfTwoSources() (s1 *media.Session, audio, events, p2 *mediatest.Peer) {
	b.t.Helper()
	conn, err := b.net.Listen(netip.AddrPortFrom(farHost, 0), rtpio.Socket{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	s1 = b.session()
	b.configure(s1, both(conn.LocalAddr(), codec.PCMU))
	s2, p2 := b.leg()
	if _, err := media.Join(s1, s2); err != nil {
		b.t.Fatal(err)
	}
	return s1, mediatest.NewPeer(conn), mediatest.NewPeer(conn), p2
}

// Events with an SSRC of their own beside the audio: each key goes on as one, and the audio keeps its clock.
func TestRelayOfEventsOfAnotherSource(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, audio, events, p2 := b.relayOfTwoSources()
		b.talk(audio, s1, codec.PCMU, mediatest.Voice(1, 4*time.Second))
		for key := range byte(3) {
			time.Sleep(500 * time.Millisecond)
			for n := range 10 {
				time.Sleep(media.FrameDuration)
				end := byte(n) / 7 << 7
				events.Send(s1.LocalAddr(), 101, n == 0, []byte{key + 1, end | 10, byte((n + 1) * 160 >> 8), byte((n + 1) * 160)}, 0)
			}
			events.Jump()
		}
		time.Sleep(4 * time.Second)
		var keys dtmf.Receiver
		digits := ""
		var last *mediatest.Packet
		got := p2.Packets()
		for i := range got {
			q := &got[i]
			if i > 0 && q.Header.SequenceNumber != got[i-1].Header.SequenceNumber+1 {
				t.Errorf("number %d after %d", q.Header.SequenceNumber, got[i-1].Header.SequenceNumber)
			}
			if q.Header.PayloadType == 101 {
				digits += string(keys.Put(q.Header.SSRC, q.Header.Timestamp, q.Header.Marker, q.Payload, time.Duration(q.At.UnixNano())))
				continue
			}
			if last != nil && q.Header.Timestamp-last.Header.Timestamp != timeline.FrameTicks {
				t.Errorf("timestamp %d after %d", q.Header.Timestamp, last.Header.Timestamp)
			}
			last = q
		}
		if digits != "123" || len(got) != 230 {
			t.Errorf("digits %q in %d packets", digits, len(got))
		}
	})
}

// An event with an SSRC of its own that overtakes audio: what is late then has lost its number to the event.
func TestRelayGivesNoNumberTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, audio, events, p2 := b.relayOfTwoSources()
		n := 0
		b.net.Hook(func(d *mediatest.Datagram) {
			if d.From == audio.Addr() && d.Data[1]&0x7f == 0 {
				if n++; n == 10 {
					d.Delay = 35 * time.Millisecond // until after the eleventh and the event
				}
			}
		})
		b.talk(audio, s1, codec.PCMU, mediatest.Voice(1, time.Second))
		time.Sleep(210 * time.Millisecond)
		events.Send(s1.LocalAddr(), 101, true, []byte{1, 10, 0, 160}, 0)
		time.Sleep(time.Second)
		got, seen := p2.Packets(), map[uint16]bool{}
		for _, q := range got {
			if seen[q.Header.SequenceNumber] {
				t.Errorf("number %d twice", q.Header.SequenceNumber)
			}
			seen[q.Header.SequenceNumber] = true
		}
		if len(got) != 50 {
			t.Errorf("%d packets went on, want 49 and the event", len(got))
		}
	})
}

func TestRelayCarriesDigits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, _ := b.leg()
		s2, _ := b.leg()
		left, right := b.session(), b.session()
		b.configure(left, both(s1.LocalAddr(), codec.PCMU))
		b.configure(s1, both(left.LocalAddr(), codec.PCMU))
		other := both(right.LocalAddr(), codec.PCMU)
		other.DTMFPayloadType = 96
		b.configure(s2, other)
		far := both(s2.LocalAddr(), codec.PCMU)
		far.DTMFPayloadType = 96
		b.configure(right, far)
		if _, err := media.Join(s1, s2); err != nil {
			t.Fatal(err)
		}
		here, there := make(chan byte, 10), make(chan byte, 10)
		s1.OnDTMF(func(d byte, _ bool) { here <- d })
		right.OnDTMF(func(d byte, _ bool) { there <- d })
		left.Play(mediatest.NewLoop(mediatest.Voice(1, time.Second)))
		time.Sleep(100 * time.Millisecond)
		if err := left.SendDTMF("1#", 80*time.Millisecond, 80*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if a, z := drain(here), drain(there); a != "1#" || z != "1#" {
			t.Errorf("the relay heard %q, the other leg %q; want 1# twice", a, z)
		}
	})
}

// RFC 4733 §2.2.1: however long a key is held, it stays one event with one timestamp.
func TestRelayCarriesALongDigit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, p1 := b.leg()
		s2, p2 := b.leg()
		if _, err := media.Join(s1, s2); err != nil {
			t.Fatal(err)
		}
		p1.Talk(t.Context(), s1.LocalAddr(), codec.PCMU, mediatest.Voice(1, 400*time.Millisecond))
		const held = 150 // packets: 3 s
		for n := range held + 2 {
			e := dtmf.Event{Code: 5, End: n >= held-1, Volume: 10, Duration: uint16(min(n+1, held) * media.FrameSamples)}
			var payload [dtmf.EventSize]byte
			e.Put(payload[:])
			ticks := 0
			if n == held+1 {
				ticks = held * media.FrameSamples
			}
			if err := p1.Send(s1.LocalAddr(), 101, n == 0, payload[:], ticks); err != nil {
				t.Fatal(err)
			}
			time.Sleep(media.FrameDuration)
		}
		p1.Talk(t.Context(), s1.LocalAddr(), codec.PCMU, mediatest.Voice(2, 400*time.Millisecond))
		var keys dtmf.Receiver
		digits, stamps := "", map[uint32]bool{}
		for _, q := range p2.Packets() {
			if q.Header.PayloadType == 101 {
				stamps[q.Header.Timestamp] = true
				digits += string(keys.Put(q.Header.SSRC, q.Header.Timestamp, q.Header.Marker, q.Payload, time.Duration(q.At.UnixNano())))
			}
		}
		if digits != "5" || len(stamps) != 1 {
			t.Errorf("a digit became %q with %d timestamps", digits, len(stamps))
		}
		b.oneStream(p2.Packets())
	})
}

func TestRelayTurnsDigitsIntoTonesForALegWithoutEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, _ := b.leg()
		left := b.session()
		b.configure(left, both(s1.LocalAddr(), codec.PCMU))
		b.configure(s1, both(left.LocalAddr(), codec.PCMU))
		s2, p2 := b.session(), b.peer(otherHost)
		params := both(p2.Addr(), codec.PCMU)
		params.DTMFPayloadType = 0
		b.configure(s2, params)
		if _, err := media.Join(s1, s2); err != nil {
			t.Fatal(err)
		}
		if err := left.SendDTMF("9", 80*time.Millisecond, 80*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a := mediatest.Audio(p2.Packets())
		if len(a) != 800 || mediatest.Level(a, 852) < -20 || mediatest.Level(a, 1477) < -20 {
			t.Errorf("%d samples, 852 Hz at %.1f, 1477 Hz at %.1f dBFS; want 100 ms of digit 9", len(a), mediatest.Level(a, 852), mediatest.Level(a, 1477))
		}
	})
}

func TestOneRelayForEachSession(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, s2, s3 := b.session(), b.session(), b.session()
		rel, err := media.Join(s1, s2)
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range [][2]*media.Session{{s1, s3}, {s3, s2}, {s3, s3}} {
			if _, err := media.Join(pair[0], pair[1]); !errors.Is(err, media.ErrRelayed) {
				t.Errorf("a second relay: %v, want ErrRelayed", err)
			}
		}
		rel.Close()
		if _, err := media.Join(s1, s3); err != nil {
			t.Errorf("after Close: %v", err)
		}
		s3.Close()
		if _, err := media.Join(s1, s2); err != nil {
			t.Errorf("after the other leg was closed: %v", err)
		}
	})
}

func TestHeldLegOfARelayIsSentNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, p1 := b.leg()
		s2, p2 := b.leg()
		if _, err := media.Join(s1, s2); err != nil {
			t.Fatal(err)
		}
		hold := both(p2.Addr(), codec.PCMU)
		hold.Send = false
		b.configure(s2, hold)
		p1.Talk(t.Context(), s1.LocalAddr(), codec.PCMU, mediatest.Voice(1, time.Second))
		if n := len(p2.Packets()); n != 0 {
			t.Errorf("%d packets went to a leg on hold", n)
		}
	})
}
