package media_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"parklamp/media/codec"
	"parklamp/media/dtmf"
	"parklamp/media/mediatest"
	"parklamp/media/timeline"
)

// TestEventsAreNoLoss: while the far end's telephone-event takes the place of audio (RFC 4733 §2.1), nothing is missing: whatever
// senders do with the end of an event or with audio beside it, nothing is concealed, and the speech after it is heard in its place.
func TestEventsAreNoLoss(t *testing.T) {
	for _, c := range []struct {
		name   string
		lasts  int  // ticks of 20 ms
		atOnce bool // the three ends; else each in a tick
		beside bool // audio is sent as well, by a clock of its own
		jitter time.Duration
	}{
		{name: "a digit", lasts: 10},
		{name: "its ends at once", lasts: 10, atOnce: true},
		{name: "a long one", lasts: 100, atOnce: true},
		{name: "audio beside it", lasts: 10, atOnce: true, beside: true},
		{name: "over a network that jitters", lasts: 10, atOnce: true, jitter: 30 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s, p := b.leg()
				s.Listen(mediatest.NewRecorder())
				random, last := rand.New(rand.NewPCG(1, 2)), time.Time{}
				b.net.Hook(func(d *mediatest.Datagram) {
					if c.jitter > 0 && d.To == s.LocalAddr() { // in order
						at := time.Now().Add(time.Duration(random.Int64N(int64(c.jitter))))
						if at.Before(last) {
							at = last.Add(time.Microsecond)
						}
						last = at
						d.Delay = time.Until(at)
					}
				})
				var voice [timeline.FrameTicks]byte
				event := func(n int, end bool) {
					var e [dtmf.EventSize]byte
					dtmf.Event{Code: 5, End: end, Duration: uint16(n * timeline.FrameTicks)}.Put(e[:])
					back := 0
					if c.beside { // RFC 4733 §2.2.1: the timestamp is that of the beginning
						back = (n - 1) * timeline.FrameTicks
					}
					p.Skip(-back)
					if err := p.Send(s.LocalAddr(), 101, n == 1, e[:], 0); err != nil {
						t.Fatal(err)
					}
					p.Skip(back)
				}
				speak := func() {
					if err := p.Send(s.LocalAddr(), codec.PCMU.PayloadType(), false, voice[:], len(voice)); err != nil {
						t.Fatal(err)
					}
				}
				talk := func(frames int) {
					for range frames {
						speak()
						time.Sleep(timeline.Frame)
					}
				}
				talk(250)
				before := s.Stats()
				delay := before.PlayoutDelay
				for range 10 {
					for n := 1; n <= c.lasts; n++ {
						event(n, n == c.lasts)
						if c.beside {
							speak()
						}
						time.Sleep(timeline.Frame)
					}
					for range 2 {
						event(c.lasts, true)
						if !c.atOnce {
							time.Sleep(timeline.Frame)
						}
					}
					if !c.beside {
						gone := c.lasts
						if !c.atOnce {
							gone += 2
						}
						p.Skip(gone * timeline.FrameTicks)
					}
					talk(50)
				}
				st := s.Stats()
				if got := st.Concealment - before.Concealment; got > 0 || st.Discarded != before.Discarded || st.Lost > 0 || st.Overruns > 0 {
					t.Errorf("%s concealed, %d packets discarded, %d lost, %d overruns", got, st.Discarded-before.Discarded, st.Lost, st.Overruns)
				}
				if d := st.PlayoutDelay; d > delay+25*time.Millisecond {
					t.Errorf("played %s behind, before the digits %s", d, delay)
				}
			})
		})
	}
}
