package speech

import (
	"testing"

	"parklamp/media/dtmf"
)

// TestSpeechIsNoDigit: what is said is not taken for keys, at any speed and loudness of a telephone.
func TestSpeechIsNoDigit(t *testing.T) {
	for who, x := range map[string][]int16{"the caller": Caller(), "the worker": Worker()} {
		for _, speed := range []float64{0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.35} {
			for _, gain := range []float64{0.2, 1, 3} {
				var d dtmf.Detector
				var f [160]int16
				n := 0
				for at := 0.0; int(at)+1 < len(x); at += speed {
					k := int(at)
					v := float64(x[k]) + (float64(x[k+1])-float64(x[k]))*(at-float64(k))
					f[n] = int16(max(-32768, min(32767, gain*v)))
					if n++; n < len(f) {
						continue
					}
					n = 0
					if digit, ok := d.Put(f[:]); ok {
						t.Errorf("%s at speed %v and gain %v: digit %c", who, speed, gain, digit)
					}
				}
			}
		}
	}
}
