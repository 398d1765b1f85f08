package media_test

import (
	"testing"
	"time"

	pion "github.com/pion/rtcp"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/jitter"
	"parklamp/media/mediatest"
	"parklamp/media/rtcp"
)

// TestWhatIsThrownAwayIsTold: packets that a network kept back for 2 s and delivers at once cannot all be played. Whether the ear has no
// room for them or leaves them out to catch up, they are discards (RFC 3611 §4.7.1), which the far end is told of, and which the rating
// takes as what they are to the listener.
func TestWhatIsThrownAwayIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		x, y := b.couple(func(p *media.Params) { p.Extended = true })
		start, held := time.Now(), time.Duration(0)
		taps := b.wiretap(func(d *mediatest.Datagram) {
			if at := time.Since(start); !rtcp.Is(d.Data) && d.From == x.LocalAddr() && at >= 8*time.Second && at < 10*time.Second+held*100*time.Microsecond {
				held++
				d.Delay = 10*time.Second + held*100*time.Microsecond - at // in their order
			}
		})
		time.Sleep(7 * time.Second)
		clean := y.Quality().In
		time.Sleep(13 * time.Second)
		s, q := y.Stats(), y.Quality().In
		if s.Lost != 0 || q.Lost != 0 {
			t.Errorf("%d lost, %d in the rating", s.Lost, q.Lost)
		}
		if missed := s.Concealment; missed < 1500*time.Millisecond || s.Discarded*20 < uint64(missed.Milliseconds())*3/4 || s.Discarded > 100 {
			t.Errorf("%d packets discarded, %s concealed", s.Discarded, missed)
		}
		if q.Discarded != s.Discarded || q.R > clean.R-10 || q.Bursts.Bad < 30 { // the newest 32 can still be told apart
			t.Errorf("rated with %d discards of %d, R %.1f, before %.1f, %d in bursts", q.Discarded, s.Discarded, q.R, clean.R, q.Bursts.Bad)
		}
		x.Play(nil)
		time.Sleep(7 * time.Second)
		report, _ := lastly[*pion.ExtendedReport](taps.take(), above(y.LocalAddr()))
		for _, block := range report.Reports {
			if v, ok := block.(*pion.VoIPMetricsReportBlock); ok && (v.DiscardRate < 10 || v.LossRate != 0) {
				t.Errorf("told: discarded %d/256, lost %d/256", v.DiscardRate, v.LossRate)
			}
		}
		if out := x.Quality().Out; out.Discarded == 0 {
			t.Errorf("x learns of %+v", out)
		}
	})
}

// TestTooLongPackets: packets longer than we ask for are neither heard nor relayed, and counted as what they are.
func TestTooLongPackets(t *testing.T) {
	for _, c := range []struct {
		name string
		join func(b *bench, s *media.Session)
	}{
		{"heard", func(_ *bench, s *media.Session) { s.Listen(mediatest.NewRecorder()) }},
		{"relayed", func(b *bench, s *media.Session) {
			other, _ := b.leg()
			if _, err := media.Join(s, other); err != nil {
				b.t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s, p := b.leg()
				c.join(b, s)
				for _, n := range []int{jitter.MaxPayload, jitter.MaxPayload + 160, jitter.MaxPayload + 1} {
					if err := p.Send(s.LocalAddr(), codec.PCMU.PayloadType(), false, make([]byte, n), n); err != nil {
						t.Fatal(err)
					}
					time.Sleep(80 * time.Millisecond)
				}
				if st := s.Stats(); st.Oversized != 2 || st.Received != 3 || st.Overruns != 0 {
					t.Errorf("%d too long of %d, %d too many at once", st.Oversized, st.Received, st.Overruns)
				}
			})
		})
	}
}
