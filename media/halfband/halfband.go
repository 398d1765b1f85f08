// Package halfband changes audio between 8 kHz and 16 kHz: what lies between a wideband and a narrowband side of a
// call.
//
// The filter is a pair of allpass chains that share the samples of the faster rate among them (a polyphase elliptic
// half-band filter): flat up to 3.6 kHz, at least 66 dB down from 4.4 kHz on, 5 multiplications for each sample
// at 8 kHz, and a delay of 0.2 ms in the middle of speech where a linear-phase filter as steep has 1.5 ms. Its phase
// is not linear, which the ear does not notice in a filter as short.
//
// It is pure: no allocation, clock or goroutine. Up and Down belong to one goroutine each; their zero values are ready.
//
// Sources: R. A. Valenzuela and A. G. Constantinides, "Digital signal processing schemes for efficient interpolation
// and decimation", IEE Proc. 130 G 6, 1983 (structure and design formulas).
package halfband

import "math"

const (
	// sections of the two chains together.
	sections = 5
	// transition is the width between passband and stopband, around a quarter of the faster rate and relative to it.
	transition = 0.05
	// tiny is far below a sample's last bit: state below it is silence, and not left to become denormal numbers,
	// which some processors take a hundred times as long to compute with.
	tiny = 1e-15
)

// coefficients are those of the allpass sections, of one chain and the other in turn.
var coefficients = design()

// design solves the elliptic half-band problem: the theta series of the nome q give the poles.
func design() (c [sections]float32) {
	const order = 2*sections + 1
	k := math.Tan((1 - 2*transition) * math.Pi / 4)
	k *= k
	root := math.Sqrt(math.Sqrt(1 - k*k))
	e := (1 - root) / (1 + root) / 2
	q := e * (1 + math.Pow(e, 4)*(2+math.Pow(e, 4)*(15+150*math.Pow(e, 4))))
	for n := range c {
		at := float64(n+1) * math.Pi / order
		above, below, sign := 0.0, 0.5, 1.0
		for i := range 8 { // q is about 0.05: the powers vanish long before
			above += sign * math.Pow(q, float64(i*(i+1))) * math.Sin(float64(2*i+1)*at)
			sign = -sign
			below += sign * math.Pow(q, float64((i+1)*(i+1))) * math.Cos(float64(2*(i+1))*at)
		}
		w := math.Pow(math.Pow(q, 0.25)*above/below, 2)
		x := math.Sqrt((1-w*k)*(1-w/k)) / (1 + w)
		c[n] = float32((1 - x) / (1 + x))
	}
	return c
}

// chains is the state of both allpass chains: what went into the first section, and what came out of each.
type chains struct {
	in  [2]float32
	out [sections]float32
}

// pass passes a sample through the chain of the even sections (0) or of the odd ones (1).
func (s *chains) pass(chain int, x float32) float32 {
	before := s.in[chain]
	s.in[chain] = x
	for i := chain; i < sections; i += 2 {
		y := coefficients[i]*(x-s.out[i]) + before
		before, s.out[i], x = s.out[i], y, y
	}
	return x
}

// settle forgets what is too small to be heard.
func (s *chains) settle() {
	for i, v := range s.out {
		if v < tiny && v > -tiny {
			s.out[i] = 0
		}
	}
}

// Up makes two samples of each.
type Up struct{ s chains }

// Fill writes len(src) times two samples at 16 kHz to dst, from src at 8 kHz. dst must have that room.
func (u *Up) Fill(dst, src []int16) {
	dst = dst[:2*len(src)]
	for i, v := range src {
		x := float32(v)
		dst[2*i] = round(u.s.pass(0, x))
		dst[2*i+1] = round(u.s.pass(1, x))
	}
	u.s.settle()
}

// Down makes one sample of two.
type Down struct {
	s chains
}

// Fill writes len(src)/2 samples at 8 kHz to dst, from src at 16 kHz, an even number. dst must have that room.
func (d *Down) Fill(dst, src []int16) {
	n := len(src) / 2
	dst, src = dst[:n], src[:2*n]
	for i := range dst {
		dst[i] = round(0.5 * (d.s.pass(0, float32(src[2*i+1])) + d.s.pass(1, float32(src[2*i]))))
	}
	d.s.settle()
}

func round(v float32) int16 {
	if v < 0 {
		v -= 0.5
	} else {
		v += 0.5
	}
	return int16(max(-32768, min(32767, v)))
}
