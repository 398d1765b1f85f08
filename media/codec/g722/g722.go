// Package g722 is the wideband speech codec of ITU-T Recommendation G.722 at 64 kbit/s: two samples at 16 kHz become
// one byte, so that 50 to 7,000 Hz go through the channel that G.711 fills with half of that.
//
// An Encoder or Decoder is the state of one direction of one stream: the sound before decides how the next byte is
// made and read. It must never be shared. The zero values are ready; no method allocates or starts a goroutine, and
// no input is refused: every byte decodes to something, and a decoder that has missed bytes is right again within
// about 50 ms, because both sides forget (§3.5, §3.6).
//
// Only mode 1 is here, the one that RTP carries (RFC 3551 §4.5.2); the 56 and 48 kbit/s of the auxiliary data channel
// are not. Written from the Recommendation (09/2012), whose block names the comments give; arithmetic is exact to the
// bit, which the tests hold against ITU's own test sequence and another implementation.
package g722

// maxChunk samples at 16 kHz go through the filters at once: 20 ms.
const maxChunk = 320

// Encoder turns samples into bytes.
type Encoder struct {
	past [taps - 2]int16 // what the next filter output needs of the samples before
	low  band
	high band
}

// Encode writes len(src)/2 bytes to dst, which must have that room, and returns their number. An odd last sample is
// left out.
func (e *Encoder) Encode(dst []byte, src []int16) int {
	e.low.begin(minLow)
	e.high.begin(minHigh)
	total := len(src) / 2
	dst = dst[:total]
	var x [taps - 2 + maxChunk]int16
	copy(x[:], e.past[:])
	for len(dst) > 0 {
		n := min(len(dst), maxChunk/2)
		copy(x[taps-2:], src[:2*n])
		for i := range dst[:n] {
			low, high := split((*[taps]int16)(x[2*i:]))
			dst[i] = e.high.encodeHigh(high)<<6 | e.low.encodeLow(low)
		}
		copy(x[:taps-2], x[2*n:])
		dst, src = dst[n:], src[2*n:]
	}
	copy(e.past[:], x[:])
	return total
}

// Decoder turns bytes into samples.
type Decoder struct {
	past [taps - 2]int16 // sums and differences of both bands, before
	low  band
	high band
}

// Decode writes two samples for each byte of src to dst, which must have that room, and returns their number.
func (d *Decoder) Decode(dst []int16, src []byte) int {
	d.low.begin(minLow)
	d.high.begin(minHigh)
	total := 2 * len(src)
	dst = dst[:total]
	var x [taps - 2 + maxChunk]int16
	copy(x[:], d.past[:])
	for len(src) > 0 {
		n := min(len(src), maxChunk/2)
		for i, code := range src[:n] {
			low, high := int32(d.low.decodeLow(code&0x3f)), int32(d.high.decodeHigh(code>>6))
			x[taps-2+2*i], x[taps-2+2*i+1] = int16(low+high), int16(low-high) // two numbers of 15 bits each
			dst[2*i], dst[2*i+1] = join((*[taps]int16)(x[2*i:]))
		}
		copy(x[:taps-2], x[2*n:])
		dst, src = dst[2*n:], src[n:]
	}
	copy(d.past[:], x[:])
	return total
}

// taps is the length of the quadrature mirror filters.
const taps = 24

// The quadrature mirror filters' coefficients, symmetric, times 2^13 (table 11 of §4.4): one half in order is every
// second one of all.
const (
	h0, h1, h2, h3, h4, h5   = 3, -11, -11, 53, 12, -156
	h6, h7, h8, h9, h10, h11 = 32, 362, -210, -805, 951, 3876
)

// phases filters the samples of even and of odd numbers, x[0] being the oldest: the accumulators of §5.2.1 and §5.2.2.
func phases(x *[taps]int16) (even, odd int32) {
	even = h0*int32(x[0]) + h2*int32(x[2]) + h4*int32(x[4]) + h6*int32(x[6]) + h8*int32(x[8]) + h10*int32(x[10]) +
		h11*int32(x[12]) + h9*int32(x[14]) + h7*int32(x[16]) + h5*int32(x[18]) + h3*int32(x[20]) + h1*int32(x[22])
	odd = h1*int32(x[1]) + h3*int32(x[3]) + h5*int32(x[5]) + h7*int32(x[7]) + h9*int32(x[9]) + h11*int32(x[11]) +
		h10*int32(x[13]) + h8*int32(x[15]) + h6*int32(x[17]) + h4*int32(x[19]) + h2*int32(x[21]) + h0*int32(x[23])
	return even, odd
}

// split is the transmit filter, §5.2.1: blocks ACCUMC, ACCUMD, LOWT, HIGHT. Its results have 15 bits.
func split(x *[taps]int16) (low, high int32) {
	even, odd := phases(x)
	return within((odd+even)>>14, 16383), within((odd-even)>>14, 16383)
}

// join is the receive filter, §5.2.2: blocks ACCUMA, ACCUMB, SELECT. Sums stand at even places of x, differences at odd.
func join(x *[taps]int16) (first, second int16) {
	even, odd := phases(x)
	return int16(within(odd>>11, 32767)), int16(within(even>>11, 32767))
}

// within limits v to -limit-1 ... limit.
func within(v, limit int32) int32 { return max(-limit-1, min(limit, v)) }
