package wav

import (
	"math"

	"parklamp/media/resample"
)

// The filter: a sinc of this many zero crossings to each side under a Kaiser window, passing up to passband of
// the lower rate's half. The stop band is below -80 dB, so nothing folds back into the telephone band.
const (
	crossings = 24
	passband  = 0.94
	kaiser    = 8.0
)

// resampled converts samples of full scale 1 from one rate to another and to 16 bits. It is a polyphase filter:
// for rates in the ratio up:down it keeps one set of coefficients for each of the up phases.
func resampled(in []float32, from, to int) []int16 {
	if len(in) == 0 {
		return nil
	}
	n := int(int64(len(in)) * int64(to) / int64(from))
	out := make([]int16, n)
	if from == to {
		for i, v := range in {
			out[i] = clip(v * 32768)
		}
		return out
	}
	g := gcd(from, to)
	up, down := to/g, from/g
	phases, reach := bank(up, down)
	for i := range out {
		at := int64(i) * int64(down)
		center, phase := int(at/int64(up)), int(at%int64(up))
		var sum float32
		for j, c := range phases[phase] {
			if k := center + j - reach; k >= 0 && k < len(in) {
				sum += c * in[k]
			}
		}
		out[i] = clip(sum * 32768)
	}
	return out
}

// bank makes the coefficients of every phase; coefficient j of a phase weighs the input sample j-reach after
// the one at or before the output's instant.
func bank(up, down int) (phases [][]float32, reach int) {
	scale := passband * math.Min(1, float64(up)/float64(down)) // cut-off against half the input rate
	half := crossings / scale                                  // of the filter, in input samples
	reach = int(math.Ceil(half))
	phases = make([][]float32, up)
	for p := range phases {
		c := make([]float32, 2*reach+2)
		total := 0.0
		for j := range c {
			v := resample.Kernel(float64(j-reach)-float64(p)/float64(up), half, scale, kaiser)
			c[j] = float32(v)
			total += v
		}
		for j := range c {
			c[j] /= float32(total) // every phase passes a constant unchanged
		}
		phases[p] = c
	}
	return phases, reach
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func clip(v float32) int16 {
	return int16(max(-32768, min(32767, math.Round(float64(v)))))
}
