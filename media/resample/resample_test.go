package resample

import (
	"fmt"
	"math"
	"testing"
)

// sine gives n samples of a tone, amplitude 16000.
func sine(hz float64, rate, n int) []int16 {
	x := make([]int16, n)
	for i := range x {
		x[i] = int16(math.Round(16000 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	return x
}

// most is room for the output of n samples of input at any permitted deviation.
func (c *Converter) most(n int) int {
	return int(float64(uint64(n+1)<<32)/float64(c.nominal)*(1+2*MaxPPM/1e6)) + 2
}

// all converts x in pieces of block samples.
func all(t testing.TB, c *Converter, x []int16, block int) []int16 {
	t.Helper()
	var out []int16
	dst := make([]int16, c.most(block))
	for len(x) > 0 {
		n := min(block, len(x))
		out = append(out, dst[:c.Convert(dst, x[:n])]...)
		x = x[n:]
	}
	return out
}

// fit returns level (dB re amplitude 16000) and signal to noise ratio (dB) of the best sine of hz in x.
func fit(x []int16, hz, rate float64) (level, snr float64) {
	var ss, cc, sc, xs, xc, xx float64
	for i, v := range x {
		s, c := math.Sincos(2 * math.Pi * hz * float64(i) / rate)
		ss, cc, sc = ss+s*s, cc+c*c, sc+s*c
		xs, xc, xx = xs+float64(v)*s, xc+float64(v)*c, xx+float64(v)*float64(v)
	}
	det := ss*cc - sc*sc
	a, b := (xs*cc-xc*sc)/det, (xc*ss-xs*sc)/det
	signal := a*xs + b*xc
	return 20 * math.Log10(math.Hypot(a, b)/16000), 10 * math.Log10(signal/math.Max(xx-signal, 1e-9))
}

func TestTonesPassAndAliasesDoNot(t *testing.T) {
	for _, tc := range []struct {
		in, out int
		hz      float64
	}{
		{8000, 48000, 300}, {8000, 48000, 3200}, {48000, 8000, 3200}, {8000, 16000, 1000}, {16000, 8000, 3200},
		{16000, 48000, 6400}, {48000, 16000, 6400}, {16000, 16000, 6400}, {8000, 8000, 3200}, {48000, 48000, 15000}, {44100, 16000, 3000},
	} {
		c, err := New(tc.in, tc.out)
		if err != nil {
			t.Fatal(err)
		}
		y := all(t, c, sine(tc.hz, tc.in, tc.in), tc.in/200)
		if d := len(y) - tc.out; d < -60 || d > 1 {
			t.Errorf("%d to %d: %d samples of a second", tc.in, tc.out, len(y))
		}
		level, snr := fit(y[len(y)/4:], tc.hz, float64(tc.out))
		if math.Abs(level) > 0.5 || snr < 58 {
			t.Errorf("%d to %d, %.0f Hz: level %.2f dB, signal to noise %.1f dB", tc.in, tc.out, tc.hz, level, snr)
		}
	}
	for _, tc := range []struct {
		in, out int
		hz      float64
	}{{48000, 8000, 4500}, {16000, 8000, 5000}, {48000, 16000, 9000}, {48000, 8000, 20000}} {
		c, _ := New(tc.in, tc.out)
		y := all(t, c, sine(tc.hz, tc.in, tc.in), tc.in/100)
		power := 0.0
		for _, v := range y[len(y)/4:] {
			power += float64(v) * float64(v) / float64(len(y)*3/4)
		}
		if db := 10 * math.Log10(power/(16000*16000/2)); db > -55 {
			t.Errorf("%d to %d lets %.0f Hz alias at %.1f dB", tc.in, tc.out, tc.hz, db)
		}
	}
}

// A ratio that is off by some parts in a million moves the tone by as much and adds no noise, also while it changes.
func TestDrift(t *testing.T) {
	for _, ppm := range []float64{-1000, -37, 250, 5000} {
		c, _ := New(16000, 16000)
		c.SetPPM(ppm)
		y := all(t, c, sine(1000, 16000, 160000), 80)
		level, snr := fit(y[16000:], 1000*(1+ppm/1e6), 16000)
		if math.Abs(level) > 0.1 || snr < 58 {
			t.Errorf("%+.0f ppm: level %.2f dB, signal to noise %.1f dB", ppm, level, snr)
		}
		want := 160000 / (1 + ppm/1e6)
		if d := float64(len(y)) - want; math.Abs(d) > 20 {
			t.Errorf("%+.0f ppm: %d samples, want %.0f", ppm, len(y), want)
		}
	}
	c, _ := New(8000, 48000)
	x := sine(400, 8000, 8000)
	var y []int16
	dst := make([]int16, c.most(80))
	for i := 0; i < len(x); i += 80 {
		c.SetPPM(float64(i%400) - 200)
		y = append(y, dst[:c.Convert(dst, x[i:i+80])]...)
	}
	// The greatest step of a sine of 400 Hz at 48 kHz.
	limit := 16000 * 2 * math.Pi * 400 / 48000 * 1.05
	for i := 1000; i < len(y); i++ {
		if d := math.Abs(float64(y[i]) - float64(y[i-1])); d > limit {
			t.Fatalf("a click of %.0f at sample %d while the ratio changes", d, i)
		}
	}
}

func TestNeedIsExact(t *testing.T) {
	for _, r := range [][2]int{{8000, 48000}, {16000, 48000}, {48000, 8000}, {16000, 16000}, {8000, 44100}} {
		c, _ := New(r[0], r[1])
		src := make([]int16, maxBlock)
		for i := range 2000 {
			c.SetPPM(float64(i%100-50) * 40)
			n := 1 + i%97
			need := c.Need(n)
			dst := make([]int16, n)
			if got := c.Convert(dst, src[:need]); got != n {
				t.Fatalf("%v, round %d: Need(%d) = %d gave %d", r, i, n, need, got)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, r := range [][2]int{{0, 8000}, {8000, 0}, {-1, 8000}, {1000, 48000}} {
		if _, err := New(r[0], r[1]); err == nil {
			t.Errorf("%v accepted", r)
		}
	}
}

func TestDoesNotAllocate(t *testing.T) {
	c, _ := New(16000, 48000)
	src, dst := make([]int16, 80), make([]int16, c.most(80))
	if n := testing.AllocsPerRun(100, func() { c.SetPPM(12); c.Convert(dst, src) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Any cutting of the input gives the same output.
func FuzzPieces(f *testing.F) {
	f.Add([]byte{1, 50, 200, 3}, uint8(0))
	f.Fuzz(func(t *testing.T, cuts []byte, kind uint8) {
		rates := [][2]int{{8000, 48000}, {48000, 8000}, {16000, 16000}, {8000, 16000}}
		r := rates[int(kind)%len(rates)]
		x := sine(700, r[0], 1000)
		whole, _ := New(r[0], r[1])
		want := all(t, whole, x, len(x))
		c, _ := New(r[0], r[1])
		var got []int16
		dst := make([]int16, c.most(256))
		for i := 0; len(x) > 0; i++ {
			n := min(len(x), 37)
			if len(cuts) > 0 {
				n = min(len(x), int(cuts[i%len(cuts)])+1)
			}
			got = append(got, dst[:c.Convert(dst, x[:n])]...)
			x = x[n:]
		}
		if len(got) != len(want) {
			t.Fatalf("%d samples, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("sample %d is %d, want %d", i, got[i], want[i])
			}
		}
	})
}

func BenchmarkConvert(b *testing.B) {
	for _, r := range [][2]int{{8000, 48000}, {16000, 48000}, {48000, 16000}, {48000, 8000}, {16000, 16000}} {
		b.Run(fmt.Sprintf("20ms/%d-%d", r[0], r[1]), func(b *testing.B) {
			c, _ := New(r[0], r[1])
			src := sine(440, r[0], r[0]/50)
			dst := make([]int16, c.most(len(src)))
			b.ReportAllocs()
			for range b.N {
				c.Convert(dst, src)
			}
		})
	}
}
