// Package comfort is the comfort noise of RFC 3389: what a listener hears while nobody speaks and nothing is sent.
//
// Noise makes the noise that a packet describes, with its level and, if it is given, its spectrum. Gate is the sender's side:
// it tells speech from silence, and describes the silence. Both are for one direction of one stream, belong to one
// goroutine, allocate nothing and know no packets, clocks or payload types.
//
// Spectra are of sound at 8 kHz, which is the clock of payload type 13, also beside a wideband codec.
//
// Standards: RFC 3389 §3 (payload), §4 (use); ITU-T G.711 Appendix II, on which it builds.
package comfort

import (
	"math"

	"parklamp/media/halfband"
	"parklamp/media/timeline"
)

const (
	// order is the most reflection coefficients that are used; RFC 3389 §3 lets a receiver leave the others out.
	order = 12
	// fullScale is the rms of 0 dBov, a square wave at full scale. RFC 3389 §3.1.
	fullScale = 32767
	// unsaid is the level of noise whose packet does not give one, in dB below fullScale.
	unsaid = 78
	// chunk samples at 8 kHz are made at once.
	chunk = timeline.FrameTicks
)

// Noise makes comfort noise. The zero value is silent.
type Noise struct {
	k      [order]float32 // reflection coefficients
	state  [order]float32 // of the lattice: what runs backwards through it
	gain   float32        // of the excitation, now
	target float32        // where gain goes
	seed   uint32
	up     halfband.Up
	half   bool // one sample of a pair at 16 kHz is left
	last   int16
}

// Describe takes the payload of a packet: a level and reflection coefficients (RFC 3389 §3.3); either may be missing.
func (n *Noise) Describe(payload []byte) {
	level := byte(unsaid)
	n.k = [order]float32{}
	if len(payload) > 0 {
		// RFC 3389 §3.1: the most significant bit is not used.
		level = max(payload[0]&0x7f, 1)
		for i, b := range payload[1:min(len(payload), 1+order)] {
			// RFC 3389 §3.2: 258 (N - 127) / 32768 for N from 0 to 254.
			n.k[i] = 258 * float32(int(min(b, 254))-127) / 32768
		}
	}
	// The filter must not change the level: its excitation is what the prediction of such a noise would leave.
	left := 1.0
	for _, k := range n.k {
		left *= 1 - float64(k)*float64(k)
	}
	n.target = float32(fullScale * math.Pow(10, -float64(level)/20) * math.Sqrt(left))
	if n.gain == 0 {
		n.gain = n.target
	}
}

// Fill writes the next samples at a rate of 8,000 or 16,000.
func (n *Noise) Fill(dst []int16, rate int) {
	if rate != timeline.WideRate {
		n.narrow(dst)
		return
	}
	if n.half && len(dst) > 0 {
		dst[0], dst, n.half = n.last, dst[1:], false
	}
	var room [chunk]int16
	for len(dst) > 1 {
		part := room[:min(len(dst)/2, chunk)]
		n.narrow(part)
		n.up.Fill(dst, part)
		dst = dst[2*len(part):]
	}
	if len(dst) == 1 {
		var pair [2]int16
		n.narrow(room[:1])
		n.up.Fill(pair[:], room[:1])
		dst[0], n.last, n.half = pair[0], pair[1], true
	}
}

// narrow makes noise at 8 kHz.
func (n *Noise) narrow(dst []int16) {
	for i := range dst {
		n.gain += (n.target - n.gain) * 0.01 // another level comes in about 12 ms, without a click
		f := n.white() * n.gain
		// The all-pole lattice of the coefficients: stable for whatever a packet says, as they are all below 1.
		for m := order - 1; m >= 0; m-- {
			f -= n.k[m] * n.state[m]
			if m+1 < order {
				n.state[m+1] = n.state[m] + n.k[m]*f
			}
		}
		n.state[0] = f
		dst[i] = clip(f)
	}
}

// white returns uniform noise with an rms of one (xorshift, Marsaglia 2003).
func (n *Noise) white() float32 {
	if n.seed == 0 {
		n.seed = 0x9e3779b9
	}
	n.seed ^= n.seed << 13
	n.seed ^= n.seed >> 17
	n.seed ^= n.seed << 5
	return float32(int32(n.seed)) * (1.7320508 / (1 << 31))
}

func clip(v float32) int16 { return int16(max(-32768, min(32767, v))) }
