package wire

import (
	"testing"

	"parklamp/media"
	"parklamp/media/mediatest"
)

// The tone of a digit is its two frequencies (ITU-T Q.23) and nothing else.
func TestDigitTone(t *testing.T) {
	tone := &digitTone{code: 5} // 770 and 1336 Hz
	var heard []int16
	for range 5 {
		var f media.Frame
		if !tone.Next(&f) {
			t.Fatal("the tone ends by itself")
		}
		heard = append(heard, f[:]...)
	}
	for hz, want := range map[float64]bool{770: true, 1336: true, 697: false, 852: false, 1209: false, 1477: false} {
		if got := mediatest.Level(heard, hz) > -20; got != want {
			t.Errorf("%v Hz heard: %t, want %t (%.1f dBFS)", hz, got, want, mediatest.Level(heard, hz))
		}
	}
}
