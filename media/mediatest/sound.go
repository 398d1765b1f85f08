package mediatest

import (
	"math"
	"math/rand/v2"
	"time"
)

// Melody returns a marker that no other seed sounds like: quick notes with overtones, at about -15 dBFS.
func Melody(seed uint64, d time.Duration) []int16 {
	r := rand.New(rand.NewPCG(seed, 701))
	out := make([]int16, int(d.Seconds()*rate))
	for at := 0; at < len(out); {
		n := min(rate/20+r.IntN(rate/8), len(out)-at) // 50 to 175 ms
		pitch := 250 * math.Pow(2, 2*r.Float64())
		bend := 1 + 0.1*(r.Float64()-0.5)
		phase := 0.0
		for i := range n {
			x := float64(i) / float64(n)
			phase += 2 * math.Pi * pitch * math.Pow(bend, x) / rate
			shape := math.Min(1, math.Min(float64(i), float64(n-i))/80)
			v := math.Sin(phase) + 0.5*math.Sin(2*phase+1) + 0.3*math.Sin(3*phase+2)
			out[at+i] = int16(5500 * shape * v)
		}
		at += n
	}
	return out
}

// Voice returns something like speech: syllables of a moving pitch through moving formants, with pauses.
func Voice(seed uint64, d time.Duration) []int16 {
	r := rand.New(rand.NewPCG(seed, 703))
	out := make([]int16, int(d.Seconds()*rate))
	var y [3][2]float64
	phase := 0.0
	for at := 0; at < len(out); {
		n := min(rate/8+r.IntN(rate/5), len(out)-at)
		if r.IntN(5) == 0 {
			at += n // a pause
			continue
		}
		pitch := 90 + 80*r.Float64()
		glide := 0.8 + 0.4*r.Float64()
		formant := [3]float64{300 + 500*r.Float64(), 900 + 1300*r.Float64(), 2400 + 500*r.Float64()}
		hiss := r.Float64() * 0.3
		for i := range n {
			x := float64(i) / float64(n)
			phase += pitch * (1 + (glide-1)*x) / rate
			in := hiss * (r.Float64() - 0.5)
			if phase >= 1 {
				phase--
				in++
			}
			sum := 0.0
			for k := range formant {
				const damp = 0.97
				c := 2 * damp * math.Cos(2*math.Pi*formant[k]/rate)
				v := in + c*y[k][0] - damp*damp*y[k][1]
				y[k][1], y[k][0] = y[k][0], v
				sum += v / float64(k+1)
			}
			shape := math.Min(1, math.Min(float64(i), float64(n-i))/160)
			out[at+i] = int16(max(-32000, min(32000, 3000*shape*sum)))
		}
		at += n
	}
	return out
}

// Level returns the level in dBFS of one frequency in hertz (0 dBFS: a full-scale sine); -120 for nothing.
// It tells the tones of a telephone apart (Goertzel).
func Level(samples []int16, hz float64) float64 {
	w := 2 * math.Pi * hz / rate
	c := 2 * math.Cos(w)
	var a, b float64
	for _, s := range samples {
		a, b = float64(s)+c*a-b, a
	}
	power := (a*a + b*b - c*a*b) * 4 / (float64(len(samples)) * float64(len(samples)))
	return 10 * math.Log10(max(power/(32768*32768), 1e-12))
}

// RMS returns the level of all frequencies in dBFS (0 dBFS: the rms of a full-scale sine); -120 for silence.
func RMS(samples []int16) float64 {
	if len(samples) == 0 {
		return -120
	}
	return 20 * math.Log10(max(rms(samples)*math.Sqrt2/32768, 1e-6))
}
