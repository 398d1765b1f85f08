package media_test

import (
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
)

// TestRelayedLoop: two far ends that each say that they are where the other one's session is make a ring out of a relay.
// One packet in it must not go round for ever.
func TestRelayedLoop(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, s2 := b.session(), b.session()
		b.configure(s1, both(s2.LocalAddr(), codec.PCMU))
		b.configure(s2, both(s1.LocalAddr(), codec.PCMU))
		if _, err := media.Relay(s1, s2); err != nil {
			t.Fatal(err)
		}
		s1.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second))) // plays until the relay begins
		time.Sleep(time.Second)
		st1, st2 := s1.Stats(), s2.Stats()
		if st1.Relayed+st2.Relayed > 0 || st2.Looped < 49 || st1.Sent > 52 {
			t.Errorf("%d and %d relayed, %d looped, %d sent; want 0, 0, some 50 and 50", st1.Relayed, st2.Relayed, st2.Looped, st1.Sent)
		}
	})
}

// TestLongRelayedLoop: a ring of two relays, of which neither sees its own stream come back.
func TestLongRelayedLoop(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var s [4]*media.Session
		for i := range s {
			s[i] = b.session()
		}
		// 0 and 1 are one relay, 2 and 3 the other. What 1 sends goes to 2, what 3 sends to 0.
		b.configure(s[0], both(s[3].LocalAddr(), codec.PCMU))
		b.configure(s[1], both(s[2].LocalAddr(), codec.PCMU))
		b.configure(s[2], both(s[1].LocalAddr(), codec.PCMU))
		b.configure(s[3], both(s[0].LocalAddr(), codec.PCMU))
		for _, i := range []int{0, 2} {
			if _, err := media.Relay(s[i], s[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		b.net.Hook(func(d *mediatest.Datagram) { d.Delay = 100 * time.Microsecond })
		s[1].Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		time.Sleep(10 * time.Second)
		var all uint64
		for _, s := range s {
			all += s.Stats().Sent
		}
		if all > 4*(500+10*250) {
			t.Errorf("%d packets in 10 s", all)
		}
	})
}

// TestFloodOfTheFarEnd: more than anybody talks is left where it came from; the call goes on when it is over.
func TestFloodOfTheFarEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, p1 := b.leg()
		s2, p2 := b.session(), b.peer(otherHost)
		b.configure(s2, both(p2.Addr(), codec.PCMU))
		if _, err := media.Relay(s1, s2); err != nil {
			t.Fatal(err)
		}
		for range 10_000 {
			p1.Send(s1.LocalAddr(), 0, false, []byte{0xff}, 1)
			time.Sleep(100 * time.Microsecond)
		}
		st := s1.Stats()
		if n := len(p2.Packets()); n > 800 || st.Overruns < 9000 {
			t.Errorf("%d of 10,000 packets of one second were relayed, %d counted as too many", n, st.Overruns)
		}
		time.Sleep(2 * time.Second)
		p2.Forget()
		v := mediatest.Voice(1, time.Second)
		b.talk(p1, s1, codec.PCMU, v)
		time.Sleep(1500 * time.Millisecond)
		b.hears("the second", mediatest.Audio(p2.Packets()), v)
	})
}
