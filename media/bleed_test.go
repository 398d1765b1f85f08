package media_test

import (
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
)

// TestNoCallBleedsIntoTheNext: a port that the next call gets neither plays nor answers what the last call's far end goes
// on sending, and that one is sent nothing of the new call.
func TestNoCallBleedsIntoTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := media.Default()
		cfg.PortMin, cfg.PortMax = 20000, 20003 // two pairs: the third call has the first one's
		n := mediatest.NewNet()
		e := media.NewEngine(cfg, slog.New(slog.DiscardHandler), media.WithNetwork(n), media.WithClock(media.NewTimerClock()))
		b := &bench{t, n, e}
		runEngine(t, e, func() {
			secret, after := mediatest.Voice(1, 6*time.Second), mediatest.Melody(2, time.Second)
			first, old := b.session(), b.peer(farHost)
			b.configure(first, both(old.Addr(), codec.PCMU))
			port := first.LocalAddr()
			b.talk(old, first, codec.PCMU, secret)
			first.Play(mediatest.NewLoop(mediatest.Melody(3, time.Second)))
			time.Sleep(time.Second)
			first.Close()
			old.Forget()
			time.Sleep(500 * time.Millisecond)
			if got := len(old.Packets()); got != 0 {
				t.Errorf("%d packets after the end of the call", got)
			}
			b.session().Close() // the other pair
			next, peer := b.session(), b.peer(otherHost)
			if next.LocalAddr() != port {
				t.Fatalf("the next call has %s, not %s", next.LocalAddr(), port)
			}
			ear := mediatest.NewRecorder()
			next.Listen(ear)
			next.Play(mediatest.NewLoop(after))
			time.Sleep(200 * time.Millisecond) // not configured yet
			b.configure(next, both(peer.Addr(), codec.PCMU))
			voice := mediatest.Voice(4, 2*time.Second)
			b.talk(peer, next, codec.PCMU, voice)
			time.Sleep(2500 * time.Millisecond)
			if got := len(old.Packets()); got != 0 {
				t.Errorf("the last call's far end was sent %d packets of the new call", got)
			}
			b.hearsNot("the new call, of the last one", ear.Samples(), secret)
			b.hears("the new call", ear.Samples(), voice)
			if st := next.Stats(); st.Early == 0 || st.Strangers < 100 || st.Remote != peer.Addr() {
				t.Errorf("%d early, %d of strangers, sending to %s", st.Early, st.Strangers, st.Remote)
			}
		})
	})
}

// TestSprayedPortsStaySilent: whatever is sprayed at every port of the range, before, during and after calls, nothing
// goes to where it came from: an open port amplifies nothing.
func TestSprayedPortsStaySilent(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		stranger := b.peer(netip.MustParseAddr("198.51.100.66"))
		talking, far := b.leg()
		talking.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		b.talk(far, talking, codec.PCMU, mediatest.Voice(1, 4*time.Second))
		relayed, _ := b.leg()
		other, _ := b.leg()
		if _, err := media.Join(relayed, other); err != nil {
			t.Fatal(err)
		}
		idle, gone := b.session(), b.session()
		gone.Close()
		time.Sleep(100 * time.Millisecond)
		for i := range 200 {
			for _, s := range []*media.Session{talking, relayed, other, idle, gone} {
				for _, port := range []uint16{s.LocalAddr().Port(), s.LocalAddr().Port() + 1} {
					to := netip.AddrPortFrom(s.LocalAddr().Addr(), port)
					if err := stranger.Send(to, []uint8{0, 101, 72}[i%3], i == 0, make([]byte, 160), 160); err != nil {
						t.Fatal(err)
					}
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := len(stranger.Packets()); got != 0 {
			t.Errorf("%d packets to a stranger", got)
		}
		for _, s := range []*media.Session{relayed, other} {
			if st := s.Stats(); st.Relayed+st.Sent != 0 {
				t.Errorf("%d packets of a stranger went on to the other leg", st.Relayed)
			}
		}
	})
}
