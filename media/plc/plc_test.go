package plc

import (
	"math"
	"testing"
)

const rate = 8000

func rmsOf(s []int16) float64 {
	sum := 0.0
	for _, v := range s {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(len(s)))
}

// vowel is a steady voiced sound of the given pitch.
func vowel(hz float64, n int) []int16 {
	out := make([]int16, n)
	for i := range out {
		x := 2 * math.Pi * hz * float64(i) / rate
		out[i] = int16(6000 * (math.Sin(x) + 0.6*math.Sin(3*x+1) + 0.4*math.Sin(7*x)))
	}
	return out
}

// TestLostFrameOfAVowelIsHardlyMissed compares what is made up with what was lost: silence would score 0 dB.
func TestLostFrameOfAVowelIsHardlyMissed(t *testing.T) {
	for _, hz := range []float64{80, 101, 120, 143, 190} {
		c := New(rate)
		s := vowel(hz, 1600)
		c.Good(append([]int16(nil), s[:800]...), false)
		made := make([]int16, 80)
		c.Conceal(made)
		diff := make([]int16, 80)
		for i := range diff {
			diff[i] = made[i] - s[800+i]
		}
		if gain := 20 * math.Log10(rmsOf(s[800:880])/rmsOf(diff)); gain < 10 {
			t.Errorf("%.0f Hz: the first 10 ms made up are %.1f dB from the truth, want 10", hz, gain)
		}
	}
}

func TestConcealmentFadesIntoBackground(t *testing.T) {
	c := New(rate)
	noise := make([]int16, 160)
	for range 100 {
		for i := range noise {
			noise[i] = int16(white(&c.random) * 50)
		}
		c.Good(noise, false)
	}
	c.Good(vowel(120, 480), false)
	loud := rmsOf(vowel(120, 480))
	var level [10]float64
	for k := range level {
		f := make([]int16, 160)
		c.Conceal(f)
		level[k] = rmsOf(f)
	}
	if level[0] < loud*0.5 {
		t.Errorf("first frame at %.0f of %.0f: a hole", level[0], loud)
	}
	if level[1] >= level[0] || level[2] >= level[1] {
		t.Errorf("levels %v do not fade", level)
	}
	if level[5] < 25 || level[9] > 80 {
		t.Errorf("after the fade %v, want the background of about 50: neither silence nor a buzz", level[4:])
	}
}

// steepest returns the largest step between neighbouring samples.
func steepest(s []int16) (m float64) {
	for i := 1; i < len(s); i++ {
		m = max(m, math.Abs(float64(s[i])-float64(s[i-1])))
	}
	return m
}

func TestNoClickAtAnySeam(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lost  int // frames
		shift int // samples by which the real audio has moved meanwhile
	}{
		{"one frame", 1, 0}, {"three frames", 3, 0}, {"a second", 50, 33}, {"spliced", 0, 41},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := New(rate)
			s := vowel(110, 16000)
			natural := steepest(s)
			out := append([]int16(nil), s[:800]...)
			c.Good(out, false)
			for range tc.lost {
				f := make([]int16, 160)
				c.Conceal(f)
				out = append(out, f...)
			}
			from := 800 + tc.lost*160 + tc.shift
			back := append([]int16(nil), s[from:from+800]...)
			c.Good(back, tc.lost == 0)
			out = append(out, back...)
			if got := steepest(out); got > 2*natural {
				t.Errorf("a step of %.0f in sound whose own steepest is %.0f", got, natural)
			}
			if n := len(back); back[n-1] != s[from+n-1] {
				t.Error("real audio is still changed after 100 ms")
			}
		})
	}
}

func TestGoodAudioIsLeftAlone(t *testing.T) {
	c := New(rate)
	s := vowel(130, 8000)
	for i := range s {
		s[i] = int16(int(s[i]) * (i % 3000) / 3000)
	}
	for i := 0; i+160 <= len(s); i += 160 {
		f := append([]int16(nil), s[i:i+160]...)
		c.Good(f, false)
		for k := range f {
			if f[k] != s[i+k] {
				t.Fatalf("sample %d changed without a loss", i+k)
			}
		}
	}
}

func TestNoAllocation(t *testing.T) {
	c := New(rate)
	f := vowel(100, 160)
	if n := testing.AllocsPerRun(200, func() { c.Good(f, false); c.Conceal(f); c.Conceal(f) }); n != 0 {
		t.Errorf("%.1f allocations", n)
	}
}

func BenchmarkConceal(b *testing.B) {
	b.ReportAllocs()
	c, f := New(rate), vowel(100, 160)
	for b.Loop() {
		c.Good(f, false)
		c.Conceal(f)
	}
}

func BenchmarkGood(b *testing.B) {
	b.ReportAllocs()
	c, f := New(rate), vowel(100, 160)
	for b.Loop() {
		c.Good(f, false)
	}
}
