package g722

// The least step sizes, which are the first (table 12 of §5.1): DETL and DETH.
const (
	minLow  = 32
	minHigh = 8
)

// The greatest logarithmic step sizes: blocks LOGSCL and LOGSCH.
const (
	topLow  = 18432
	topHigh = 22528
)

// levels are the decision levels of the low band's quantizer (LL6), in units of the step size / 4,096.
var levels = [...]int32{35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
	1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919}

// levelHigh is the one of the high band's quantizer.
const levelHigh = 564

// The values that codes stand for, in units of the step size / 32,768: the six bits of the low band (QM6), its upper four,
// which are all that adapts it (QM4), and the two of the high band (QM2). The lowest four codes of six bits are not sent.
var (
	values6 = [64]int32{-136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
		-9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688,
		-1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576,
		6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136}
	values4 = [16]int32{0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0}
	values2 = [4]int32{-7408, -1616, 7408, 1616}
)

// What a code does to the logarithmic step size: WL by way of RL4, and WH by way of IH2.
var (
	growth4 = [16]int32{-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60}
	growth2 = [4]int32{798, -214, 798, -214}
)

// antilog is 2^(i/32) times 2,048: ILB.
var antilog = [32]int32{2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
	2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008}

// band is the adaptive predictor and step size of one of the two bands, the same in an encoder and its decoder.
type band struct {
	step    int32 // DET; 0 before begin
	logStep int32 // NB

	guess int32 // S: what the next sample is expected to be
	zeros int32 // SZ: the part of guess that comes from the last six differences

	p1, p2 int32    // PLT1, PLT2: of which the signs count
	a1, a2 int32    // poles
	b      [6]int32 // zeros
	d      [6]int32 // twice the last six differences, limited: what the filter and the signs need
	double int32    // twice the sample before (RLT1), limited
}

// begin gives the zero value its step size.
func (s *band) begin(least int32) {
	if s.step == 0 {
		s.step = least
	}
}

// encodeLow gives the code of a sample of the low band.
func (s *band) encodeLow(x int32) byte {
	// Blocks SUBTRA, QUANTL.
	e := within(x-s.guess, 32767)
	size := e ^ e>>31 // of a negative difference one less
	from, to := 0, len(levels)
	for from < to {
		if at := (from + to) / 2; size < levels[at]*s.step>>12 {
			to = at
		} else {
			from = at + 1
		}
	}
	code := byte(61 - from) // ILP: upwards from the smallest
	if e < 0 {
		// ILN: the two smallest stand apart.
		if code = 33 - byte(from); from < 2 {
			code = 63 - byte(from)
		}
	}
	s.adaptLow(code)
	return code
}

// decodeLow gives the sample of a code of the low band.
func (s *band) decodeLow(code byte) int16 {
	// Blocks INVQBL, RECONS, LIMIT.
	y := within(s.guess+s.step*values6[code&0x3f]>>15, 16383)
	s.adaptLow(code)
	return int16(y)
}

// adaptLow goes on to the next sample.
func (s *band) adaptLow(code byte) {
	four := code >> 2 & 0xf
	d := s.step * values4[four] >> 15 // INVQAL
	s.scaleLow(four)
	s.predict(d)
}

// scaleLow takes the upper four bits of a code: LOGSCL, SCALEL.
func (s *band) scaleLow(four byte) {
	s.logStep = max(0, min(topLow, s.logStep*127>>7+growth4[four]))
	s.step = antilog[s.logStep>>6&31] << 1 >> (9 - s.logStep>>11) << 2
}

// encodeHigh gives the code of a sample of the high band.
func (s *band) encodeHigh(x int32) byte {
	// Blocks SUBTRA, QUANTH.
	e := within(x-s.guess, 32767)
	code := byte(3)
	if e < 0 {
		code = 1
	}
	if e^e>>31 >= levelHigh*s.step>>12 {
		code--
	}
	s.adaptHigh(code)
	return code
}

// decodeHigh gives the sample of a code of the high band.
func (s *band) decodeHigh(code byte) int16 {
	// Blocks INVQAH, RECONS, LIMIT.
	y := within(s.guess+s.step*values2[code&3]>>15, 16383)
	s.adaptHigh(code)
	return int16(y)
}

// adaptHigh goes on to the next sample.
func (s *band) adaptHigh(code byte) {
	d := s.step * values2[code&3] >> 15 // INVQAH
	s.scaleHigh(code)
	s.predict(d)
}

// scaleHigh takes a code: LOGSCH, SCALEH.
func (s *band) scaleHigh(code byte) {
	s.logStep = max(0, min(topHigh, s.logStep*127>>7+growth2[code&3]))
	s.step = antilog[s.logStep>>6&31] << 1 >> (11 - s.logStep>>11) << 2
}

// predict takes the quantized difference and expects the next sample: block 4 of §5.2.3 and §5.2.4, the same for both.
func (s *band) predict(d int32) {
	// PARREC, RECONS: what the decoder has so far.
	p := within(s.zeros+d, 32767)
	r := within(s.guess+d, 32767)

	// UPPOL2. other is 0 where two signs are the same and -1 where not; (v ^ other) - other then is v or -v.
	other1, other2 := (p^s.p1)>>31, (p^s.p2)>>31
	turn := within(s.a1<<2, 32767)
	turn = min((turn^^other1)-^other1, 32767)
	a2 := turn>>7 + (128 ^ other2) - other2 + s.a2*32512>>15
	a2 = max(-12288, min(12288, a2))
	// UPPOL1, LIMIT.
	a1 := (192 ^ other1) - other1 + s.a1*32640>>15
	limit := 15360 - a2
	a1 = max(-limit, min(limit, a1))

	// UPZERO.
	move := int32(128)
	if d == 0 {
		move = 0
	}
	// DELAYA and FILTEZ in the same turn, the oldest difference first. Each addition is to be limited, so their order
	// counts; sounds that come near the limit are rare enough to be added up anew.
	sum, beyond := int32(0), int32(0)
	for i := len(s.b) - 1; i > 0; i-- {
		other := (d ^ s.d[i]) >> 31
		s.b[i] = (move ^ other) - other + s.b[i]*32640>>15
		s.d[i] = s.d[i-1]
		sum += s.b[i] * s.d[i] >> 15
		beyond |= (sum + 32768) >> 16
	}
	other := (d ^ s.d[0]) >> 31
	s.b[0] = (move ^ other) - other + s.b[0]*32640>>15
	s.d[0] = within(2*d, 32767)
	sum += s.b[0] * s.d[0] >> 15
	if beyond |= (sum + 32768) >> 16; beyond != 0 {
		sum = 0
		for i := len(s.b) - 1; i >= 0; i-- {
			sum = within(sum+s.b[i]*s.d[i]>>15, 32767)
		}
	}

	// FILTEP, PREDIC.
	r2 := within(2*r, 32767)
	poles := within(a1*r2>>15+a2*s.double>>15, 32767)
	s.zeros = sum
	s.guess = within(poles+s.zeros, 32767)
	s.double, s.p2, s.p1, s.a1, s.a2 = r2, s.p1, p, a1, a2
}
