package conference

// The limiter works on pieces of 2.5 ms: shorter ones would follow the wave of a low voice, longer ones would turn down
// what comes before a loud moment for longer than is needed.
const (
	pieces = 8
	loud   = 32767 // the greatest sum that fits
	// hold is how many pieces the gain stays down, 200 ms: as long as a syllable, and longer than the samples of a tone
	// need to meet its peaks.
	hold = 80
	// recover is how much of the gain comes back in a piece then: 0.4 s from nothing to 1.
	recover = 1.0 / 160
)

// limiter makes sums fit into 16 bits. It only ever turns down: a sum that fits, a good second after one that did not,
// passes unchanged. Within a frame the gain falls before the loud moment comes; at the beginning of a frame it cannot, and
// what exceeds the range while it falls, 2.5 ms at most, is cut.
type limiter struct {
	gain float32 // at the end of the last piece
	down int     // pieces for which it still stays down
}

// run makes a frame of dst out of src, which has the same length.
func (l *limiter) run(dst []int16, src []int32) {
	dst = dst[:len(src)]
	piece := len(src) / pieces
	var most [pieces + 1]float32 // gain at which a piece fits
	fits := true
	for i := range pieces {
		peak := int32(0)
		for _, s := range src[i*piece : (i+1)*piece] {
			peak = max(peak, s, ^s) // ^s is -s-1: -32768 fits
		}
		most[i] = 1
		if peak > loud {
			most[i], fits = loud/float32(peak), false
		}
	}
	most[pieces] = 1
	if fits && l.gain == 1 {
		for i, s := range src {
			dst[i] = int16(s)
		}
		return
	}
	for i := range pieces {
		from, to := l.gain, min(most[i], most[i+1])
		switch {
		case to <= from:
			l.down = hold
		case l.down > 0:
			l.down--
			to = from
		default:
			to = min(to, from+recover)
		}
		step := (to - from) / float32(piece)
		for k, s := range src[i*piece : (i+1)*piece] {
			v := int32(float32(s) * (from + step*float32(k)))
			dst[i*piece+k] = int16(max(-loud-1, min(loud, v)))
		}
		l.gain = to
	}
}
