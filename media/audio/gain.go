package audio

import (
	"math"

	"parklamp/media"
)

// reader takes a source's frames piece by piece.
type reader struct {
	src   media.Source
	ended func()
	over  bool // src has ended by itself
	frame media.Frame
	left  int // samples of frame that were not taken
}

// add mixes the next samples into dst with a gain in 1/256 and reports whether there were any.
func (r *reader) add(dst []int16, gain int32) bool {
	sounds := false
	for len(dst) > 0 && r.src != nil {
		if r.left == 0 {
			if !r.src.Next(&r.frame) {
				r.src, r.over = nil, true
				break
			}
			r.left = len(r.frame)
		}
		n := min(len(dst), r.left)
		for i, s := range r.frame[len(r.frame)-r.left:][:n] {
			dst[i] = clip(int32(dst[i]) + (int32(s)*gain)>>8)
		}
		r.left -= n
		dst, sounds = dst[n:], true
	}
	return sounds
}

// unity is a gain of 0 dB.
const unity = 256

// gains are the volume steps as factors of 1/256.
var gains = func() (g [MaxVolume + 1]int32) {
	for i := 1; i < len(g); i++ {
		g[i] = factor(3 * float64(i-Normal))
	}
	return g
}()

// factor is a gain in dB as a factor of 1/256.
func factor(db float64) int32 { return int32(math.Round(unity * math.Pow(10, db/20))) }

// scale multiplies x by a gain in 1/256; what is too loud is held at full scale.
func scale(x []int16, gain int32) {
	if gain == unity {
		return
	}
	for i, s := range x {
		x[i] = clip((int32(s) * gain) >> 8)
	}
}

func clip(v int32) int16 { return int16(max(-32768, min(32767, v))) }
