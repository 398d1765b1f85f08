package main

import (
	"math"
	"testing"

	"parklamp/media/wav"
)

// A word between silences comes out without them, at its level and without a click at either end.
func TestFinish(t *testing.T) {
	x := make([]int16, 3*wav.Rate)
	for i := wav.Rate; i < 2*wav.Rate; i++ {
		x[i] = int16(900 * math.Sin(2*math.Pi*300*float64(i)/wav.Rate))
	}
	y := finish(x)
	if d := len(y) - wav.Rate; d < 0 || d > 2*margin+100 {
		t.Errorf("one second became %d samples", len(y))
	}
	if got := 20 * math.Log10(loudness(y)/32768); math.Abs(got-levelDBFS) > 1 {
		t.Errorf("level is %.1f dBFS", got)
	}
	if y[0] != 0 || y[len(y)-1] != 0 {
		t.Errorf("ends at %d and %d", y[0], y[len(y)-1])
	}
	if finish(make([]int16, 100)) != nil {
		t.Error("silence has a sound")
	}
}
