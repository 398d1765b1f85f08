package stretch

import (
	"math"
	"slices"
	"testing"
)

// vowel is a steady voiced sound.
func vowel(rate int, hz float64, n int) []int16 {
	out := make([]int16, n)
	for i := range out {
		x := 2 * math.Pi * hz * float64(i) / float64(rate)
		out[i] = int16(5000 * (math.Sin(x) + 0.6*math.Sin(3*x+1) + 0.4*math.Sin(7*x)))
	}
	return out
}

func hiss(n int) []int16 {
	out := make([]int16, n)
	x := uint32(1)
	for i := range out {
		x = x*1664525 + 1013904223
		out[i] = int16(int32(x)>>16) / 4
	}
	return out
}

func steepest(s []int16) (m float64) {
	for i := 1; i < len(s); i++ {
		m = max(m, math.Abs(float64(s[i])-float64(s[i-1])))
	}
	return m
}

// TestVowelKeepsItsSound: whatever is taken out or put in, a steady sound stays the same sound: no click, and no
// other pitch.
func TestVowelKeepsItsSound(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		for _, hz := range []float64{85, 110, 163, 220, 310} {
			s := New(rate)
			sound := vowel(rate, hz, rate)
			past, src := sound[:rate/20], sound[rate/20:rate/20+rate/50]
			for name, n := range map[string]func(dst []int16) int{
				"shorter": func(dst []int16) int { return s.Shorten(dst, past, src, rate*12/1000, Gentle, 20) },
				"longer":  func(dst []int16) int { return s.Lengthen(dst, past, src, rate*6/1000, Gentle, 20) },
			} {
				dst := make([]int16, 2*len(src))
				got := n(dst)
				if got == len(src) {
					t.Errorf("%d Hz, pitch %.0f, %s: not changed", rate, hz, name)
					continue
				}
				period := float64(rate) / hz
				if periods := math.Abs(float64(got-len(src))) / period; math.Abs(periods-math.Round(periods)) > 0.06 {
					t.Errorf("%d Hz, pitch %.0f, %s: by %.2f periods", rate, hz, name, periods)
				}
				heard := append(slices.Clone(past), dst[:got]...)
				heard = append(heard, sound[rate/20+rate/50:]...)
				if click := steepest(heard); click > 1.15*steepest(sound) {
					t.Errorf("%d Hz, pitch %.0f, %s: a step of %.0f in sound whose own steepest is %.0f",
						rate, hz, name, click, steepest(sound))
				}
			}
		}
	}
}

func TestCare(t *testing.T) {
	s, noise, dst := New(8000), hiss(600), make([]int16, 400)
	past, src := noise[:400], noise[400:560]
	if n := s.Shorten(dst, past, src, 100, Gentle, 20); n != 160 || !slices.Equal(dst[:n], src) {
		t.Errorf("loud hiss, gently: %d samples", n)
	}
	if n := s.Lengthen(dst, past, src, 100, Gentle, 20); n != 160 || !slices.Equal(dst[:n], src) {
		t.Errorf("loud hiss, gently: %d samples", n)
	}
	if n := s.Shorten(dst, past, src, 100, Desperate, 20); n >= 160 || n < 60 {
		t.Errorf("loud hiss, desperately: %d samples", n)
	}
	if n := s.Lengthen(dst, past, src, 100, Desperate, 20); n <= 160 || n > 160+s.Longest() {
		t.Errorf("loud hiss, desperately: %d samples", n)
	}
	if n := s.Shorten(dst, past, src, 100, Gentle, 8000); n >= 160 {
		t.Error("background was not shortened")
	}
	if n := s.Shorten(dst, make([]int16, 80), make([]int16, 160), 100, Gentle, 1); n > 160-98 {
		t.Errorf("%d samples left of silence, want about 60", n)
	}
}

// FuzzStretch: any sound in any length: no panic, never more taken out than asked for, never more put in than Longest.
func FuzzStretch(f *testing.F) {
	f.Add([]byte{1, 2, 3}, 20, uint8(2))
	f.Add(make([]byte, 300), -1, uint8(0))
	f.Add([]byte{255, 127, 0, 128}, 1000, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, want int, care uint8) {
		s := New(8000)
		sound := make([]int16, len(data)/2)
		for i := range sound {
			sound[i] = int16(uint16(data[2*i])<<8 | uint16(data[2*i+1]))
		}
		cut := len(sound) / 3
		past, src := sound[:cut], sound[cut:]
		dst := make([]int16, len(src)+s.Longest())
		if n := s.Shorten(dst, past, src, want, Care(care%3), 10); n > len(src) || n < len(src)-max(0, want) {
			t.Fatalf("%d samples of %d where %d could be taken out", n, len(src), want)
		}
		if n := s.Lengthen(dst, past, src, want, Care(care%3), 10); n < len(src) || n > len(src)+s.Longest() {
			t.Fatalf("%d samples of %d", n, len(src))
		}
	})
}

func TestNoAllocation(t *testing.T) {
	s, sound, dst := New(8000), vowel(8000, 120, 600), make([]int16, 400)
	if n := testing.AllocsPerRun(100, func() {
		s.Shorten(dst, sound[:400], sound[400:560], 100, Urgent, 20)
		s.Lengthen(dst, sound[:400], sound[400:560], 60, Urgent, 20)
	}); n != 0 {
		t.Errorf("%.1f allocations", n)
	}
}

func BenchmarkShorten(b *testing.B) {
	b.ReportAllocs()
	s, sound, dst := New(8000), vowel(8000, 120, 600), make([]int16, 400)
	for b.Loop() {
		s.Shorten(dst, sound[:400], sound[400:560], 100, Urgent, 20)
	}
}

func BenchmarkLengthen(b *testing.B) {
	b.ReportAllocs()
	s, sound, dst := New(8000), vowel(8000, 120, 600), make([]int16, 400)
	for b.Loop() {
		s.Lengthen(dst, sound[:400], sound[400:560], 60, Urgent, 20)
	}
}
