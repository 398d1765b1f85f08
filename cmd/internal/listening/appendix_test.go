package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"parklamp/cmd/internal/speech"
	"parklamp/media/jitter/lab"
	"parklamp/media/plc"
)

const (
	packet   = 160
	pitchMin = 40
	pitchMax = 120
	memory   = 390 // samples of history
	part     = 80  // 10 ms
)

// appendix conceals as ITU-T G.711 Appendix I describes it, for comparison; without its delay of 3.75 ms, so that the
// overlap before the loss is the only thing left out: it is made on the first samples that are lost.
type appendix struct {
	past  []float64
	cycle []float64 // the last pitch periods, 1 to 3
	pitch int
	parts int // of 10 ms concealed
	at    int
}

func (a *appendix) good(pcm []int16) {
	if a.parts > 0 {
		n := min(a.pitch/4+32*(a.parts-1), part)
		for i := range n {
			w := float64(i+1) / float64(n+1)
			pcm[i] = int16(float64(pcm[i])*w + a.next()*a.gain()*(1-w))
		}
	}
	a.parts = 0
	for _, s := range pcm {
		a.past = append(a.past, float64(s))
	}
	a.past = a.past[max(0, len(a.past)-memory):]
}

func (a *appendix) gain() float64 { return max(0, 1-0.2*float64(max(0, a.parts-1))) }

func (a *appendix) conceal(pcm []int16) {
	for at := 0; at < len(pcm); at += part {
		if a.parts == 0 {
			a.find()
		}
		if a.parts < 3 {
			a.periods(a.parts + 1)
		}
		from := a.gain()
		a.parts++
		to := max(0, 1-0.2*float64(max(0, a.parts-1)))
		if a.parts > 5 {
			to = 0
		}
		for i := range part {
			g := from + (to-from)*float64(i)/part
			pcm[at+i] = int16(a.next() * g)
		}
	}
}

func (a *appendix) next() float64 {
	v := a.cycle[a.at%len(a.cycle)]
	a.at++
	return v
}

func (a *appendix) find() {
	h := a.past
	best, score := pitchMax, math.Inf(-1)
	for lag := pitchMin; lag <= pitchMax; lag++ {
		cross, energy := 0.0, 1.0
		for i := len(h) - packet; i < len(h); i++ {
			cross += h[i] * h[i-lag]
			energy += h[i-lag] * h[i-lag]
		}
		if c := cross / math.Sqrt(energy); c > score {
			best, score = lag, c
		}
	}
	a.pitch, a.at = best, 0
}

// periods takes the last n pitch periods; their end runs into their start over a quarter of one.
func (a *appendix) periods(n int) {
	h, length, q := a.past, n*a.pitch, a.pitch/4
	length = min(length, len(h)-q)
	a.cycle = append([]float64(nil), h[len(h)-length:]...)
	for i := range q {
		w := float64(i+1) / float64(q+1)
		a.cycle[length-q+i] = a.cycle[length-q+i]*(1-w) + h[len(h)-length-q+i]*w
	}
	a.at %= a.pitch
}

// TestConcealmentAgainstAppendixI: on both speakers, with losses of several lengths, what we make up is no further from
// what was lost than what Appendix I makes up.
func TestConcealmentAgainstAppendixI(t *testing.T) {
	for _, tc := range []struct {
		name string
		rate float64
		run  float64 // frames
	}{{"single frames", 0.03, 1}, {"runs of two", 0.05, 2}, {"runs of four", 0.05, 4}} {
		var ours, theirs float64
		for _, said := range [][]int16{speech.Caller(), speech.Worker()} {
			r := rand.New(rand.NewPCG(1, uint64(len(said))))
			mine, his := plc.New(8000), &appendix{past: make([]float64, memory)}
			var a, b []int16
			lost := map[int]bool{} // windows that touch a loss or the 10 ms after it
			bad := false
			for at := 0; at+packet <= len(said); at += packet {
				if bad {
					bad = r.Float64() > 1/tc.run
				} else {
					bad = r.Float64() < tc.rate/tc.run
				}
				x, y := make([]int16, packet), make([]int16, packet)
				if copy(x, said[at:]); bad && at > 10*packet {
					mine.Conceal(x)
					his.conceal(y)
					for k := at / part; k < (at+packet)/part+1; k++ {
						lost[k] = true
					}
				} else {
					copy(y, x)
					mine.Good(x, false)
					his.good(y)
				}
				a, b = append(a, x...), append(b, y...)
			}
			wanted := func(at int) bool { return lost[at/part] }
			ours += lab.Apart(a, said, wanted) / 2
			theirs += lab.Apart(b, said, wanted) / 2
		}
		t.Logf("%s: ours %.2f dB, Appendix I %.2f dB", tc.name, ours, theirs)
		if ours > theirs+0.05 {
			t.Errorf("%s: ours is %.2f dB from what was lost, Appendix I %.2f", tc.name, ours, theirs)
		}
	}
}
