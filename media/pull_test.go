package media_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
)

// card reads a call in pieces by a clock of its own.
type card struct {
	voice media.Voice
	taken int
	heard []int16
}

func (*card) Write(*media.Frame, media.Kind)         {}
func (*card) WriteWide(*media.WideFrame, media.Kind) {}

func (c *card) Take(v media.Voice) { c.voice, c.taken = v, c.taken+1 }

func (c *card) Drop(v media.Voice) {
	if c.voice == v {
		c.voice = nil
	}
}

// run reads for a while: a piece each 5 ms of a clock that is fast by ppm, each read late by up to most.
func (c *card) run(d time.Duration, ppm float64, most time.Duration) {
	r := rand.New(rand.NewPCG(1, 2))
	start := time.Now()
	for n := 0; ; n++ {
		due := start.Add(time.Duration(float64(n) * 5e6 * (1 - ppm*1e-6)))
		if due.Sub(start) >= d {
			return
		}
		late := time.Duration(0)
		if most > 0 {
			late = time.Duration(r.Int64N(int64(most)))
		}
		time.Sleep(time.Until(due) + late)
		var room [80]int16
		x := room[:c.voice.Rate()/200]
		c.voice.Read(x, late)
		c.heard = append(c.heard, x...)
	}
}

// A listener whose clock differs, and who is late now and then, misses nothing, and what waits does not grow.
func TestPullerOfAnotherClock(t *testing.T) {
	for _, ppm := range []float64{0, 100, -100} {
		inBubble(t, func(t *testing.T, b *bench) {
			s, far := b.leg()
			ear := &card{}
			s.Listen(ear)
			speech := mediatest.Voice(1, 70*time.Second)
			b.talk(far, s, codec.PCMU, speech)
			time.Sleep(30 * time.Millisecond)
			ear.run(40*time.Second, ppm, 4*time.Millisecond)
			before := s.Stats()
			ear.heard = nil
			ear.run(20*time.Second, ppm, 4*time.Millisecond)
			after := s.Stats()
			if after.Concealment != before.Concealment || after.Late != 0 || after.Overruns != 0 {
				t.Errorf("%+.0f ppm: %+v", ppm, after)
			}
			if after.PlayoutDelay > 15*time.Millisecond {
				t.Errorf("%+.0f ppm: the delay is %s", ppm, after.PlayoutDelay)
			}
			if ppm == 0 {
				b.hears("the ear", ear.heard[:5*media.SampleRate], speech[38*media.SampleRate:50*media.SampleRate])
			}
		})
	}
}

// A listener that stands still goes on where the far end is by then: the delay does not grow by what it missed.
func TestPullerStandsStill(t *testing.T) {
	for _, gap := range []time.Duration{15 * time.Millisecond, 60 * time.Millisecond, 99 * time.Millisecond, 103 * time.Millisecond, 2 * time.Second} {
		inBubble(t, func(t *testing.T, b *bench) {
			s, far := b.leg()
			ear := &card{}
			s.Listen(ear)
			b.talk(far, s, codec.PCMU, mediatest.Voice(1, time.Minute))
			time.Sleep(30 * time.Millisecond)
			ear.run(40*time.Second, 0, 0)
			before := s.Stats().PlayoutDelay
			time.Sleep(gap)
			ear.run(time.Second, 0, 0)
			after := s.Stats()
			if after.PlayoutDelay > before+18*time.Millisecond || after.Overruns != 0 {
				t.Errorf("still for %s: the delay was %s and is %s; %d packets found no room", gap, before, after.PlayoutDelay, after.Overruns)
			}
			if after.Concealment > 20*time.Millisecond {
				t.Errorf("still for %s: %s concealed", gap, after.Concealment)
			}
		})
	}
}

// A listener that stood still and makes up for it does not run ahead of the far end.
func TestPullerMakesUp(t *testing.T) {
	for _, gap := range []time.Duration{40 * time.Millisecond, 90 * time.Millisecond, 130 * time.Millisecond, 400 * time.Millisecond} {
		inBubble(t, func(t *testing.T, b *bench) {
			s, far := b.leg()
			ear := &card{}
			s.Listen(ear)
			b.talk(far, s, codec.PCMU, mediatest.Voice(1, time.Minute))
			time.Sleep(30 * time.Millisecond)
			ear.run(40*time.Second, 0, 0)
			before := s.Stats()
			time.Sleep(gap)
			for late := min(gap, 100*time.Millisecond); late > 0; late -= 5 * time.Millisecond {
				ear.voice.Read(make([]int16, 40), late)
			}
			ear.run(2*time.Second, 0, 0)
			after := s.Stats()
			if c := after.Concealment - before.Concealment; c > 20*time.Millisecond || after.PlayoutDelay > before.PlayoutDelay+18*time.Millisecond {
				t.Errorf("still for %s: %s concealed, the delay was %s and is %s", gap, c, before.PlayoutDelay, after.PlayoutDelay)
			}
		})
	}
}

// The far end's voice is taken and dropped with the wiring of the session.
func TestPullerIsWired(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, far := b.leg()
		first, second := &card{}, &card{}
		s.Listen(first)
		s.Play(nil)
		s.Listen(first)
		if first.taken != 1 || first.voice.Rate() != media.SampleRate {
			t.Errorf("taken %d times", first.taken)
		}
		b.configure(s, both(far.Addr(), codec.G722))
		if first.taken != 2 || first.voice.Rate() != media.WideRate {
			t.Errorf("wideband: taken %d times", first.taken)
		}
		s.Listen(second)
		if first.voice != nil || second.voice == nil {
			t.Error("the first still hears, or the second does not")
		}
		s.Close()
		if second.voice != nil {
			t.Error("a closed session is heard")
		}
	})
}
