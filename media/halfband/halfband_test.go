package halfband

import (
	"fmt"
	"math"
	"math/cmplx"
	"testing"
)

// sine is a second of a tone with an amplitude of 10,000.
func sine(hz float64, rate int) []int16 {
	x := make([]int16, rate)
	for i := range x {
		x[i] = int16(math.Round(10000 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	return x
}

// part returns the amplitude and phase of a frequency in the last half second of x.
func part(x []int16, hz float64, rate int) complex128 {
	var sum complex128
	from := len(x) - rate/2
	for i := from; i < len(x); i++ {
		sum += complex(float64(x[i]), 0) * cmplx.Exp(complex(0, -2*math.Pi*hz*float64(i)/float64(rate)))
	}
	return sum * complex(2/float64(rate/2), 0)
}

func dB(x float64) float64 { return 20 * math.Log10(max(x, 1e-9)/10000) }

func TestUp(t *testing.T) {
	for hz := 100.0; hz <= 3600; hz += 100 {
		var u Up
		out := make([]int16, 16000)
		u.Fill(out, sine(hz, 8000))
		if g := dB(cmplx.Abs(part(out, hz, 16000))); math.Abs(g) > 0.05 {
			t.Errorf("%.0f Hz: %.2f dB", hz, g)
		}
		// The image above 4 kHz; rounding to 16 bits leaves noise about 80 dB below.
		if g := dB(cmplx.Abs(part(out, 8000-hz, 16000))); g > -66 {
			t.Errorf("image of %.0f Hz: %.1f dB", hz, g)
		}
	}
}

func TestDown(t *testing.T) {
	for hz := 100.0; hz <= 7900; hz += 100 {
		var d Down
		out := make([]int16, 8000)
		d.Fill(out, sine(hz, 16000))
		switch {
		case hz <= 3600:
			if g := dB(cmplx.Abs(part(out, hz, 8000))); math.Abs(g) > 0.05 {
				t.Errorf("%.0f Hz: %.2f dB", hz, g)
			}
		case hz >= 4400:
			if g := dB(cmplx.Abs(part(out, 8000-hz, 8000))); g > -66 {
				t.Errorf("%.0f Hz comes back at %.0f Hz: %.1f dB", hz, 8000-hz, g)
			}
		}
	}
}

// There and back is the same sound, a little later: the delay that a call through both has.
func TestDelay(t *testing.T) {
	for _, hz := range []float64{300, 1000, 2000, 3000} {
		phase := func(f float64) float64 {
			var u Up
			var d Down
			wide, out := make([]int16, 16000), make([]int16, 8000)
			u.Fill(wide, sine(f, 8000))
			d.Fill(out, wide)
			return cmplx.Phase(part(out, f, 8000) / part(sine(f, 8000), f, 8000))
		}
		turn := math.Mod(phase(hz)-phase(hz+2)+4*math.Pi, 2*math.Pi)
		if ms := 1000 * turn / (2 * math.Pi * 2); ms > 1 {
			t.Errorf("group delay of both at %.0f Hz: %.2f ms", hz, ms)
		} else {
			t.Logf("group delay of both at %.0f Hz: %.2f ms", hz, ms)
		}
	}
}

func TestClipping(t *testing.T) {
	var u Up
	loud := make([]int16, 160)
	for i := range loud {
		loud[i] = 32767
		if i/4%2 == 1 {
			loud[i] = -32768
		}
	}
	out := make([]int16, 320)
	u.Fill(out, loud)
	for i := 40; i < 320; i++ {
		if want := loud[(i-3)/2] > 0; i%8 == 6 && (out[i] > 0) != want {
			t.Fatalf("sample %d wraps around: %d", i, out[i])
		}
	}
}

// Silence after sound becomes zeros, without denormal numbers in between, and nothing allocates.
func TestSilence(t *testing.T) {
	var u Up
	var d Down
	narrow, wide := make([]int16, 160), make([]int16, 320)
	u.Fill(wide, sine(440, 8000)[:160])
	if n := testing.AllocsPerRun(100, func() { u.Fill(wide, narrow); d.Fill(narrow, wide); clear(narrow) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if u.s.out != [sections]float32{} || d.s.out != [sections]float32{} {
		t.Errorf("state of silence: %v, %v", u.s.out, d.s.out)
	}
}

func BenchmarkFrame(b *testing.B) {
	narrow, wide := sine(440, 8000)[:160], sine(440, 16000)[:320]
	for name, f := range map[string]func(){
		"up":   func() func() { var u Up; return func() { u.Fill(wide, narrow) } }(),
		"down": func() func() { var d Down; return func() { d.Fill(narrow, wide) } }(),
	} {
		b.Run(fmt.Sprintf("%s 20 ms", name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
