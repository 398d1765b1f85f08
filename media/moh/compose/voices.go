package main

import "math"

// add puts n samples of a voice into the ring from start on.
func (r ring) add(start, n int, voice func(t float64) float64) {
	for i := range n {
		r[(start+i)%len(r)] += voice(float64(i) / rate)
	}
}

// swell rises over attack and falls over release seconds, cosine-shaped, in a note of whole seconds.
func swell(t, attack, whole, release float64) float64 {
	switch {
	case t < attack:
		return 0.5 - 0.5*math.Cos(math.Pi*t/attack)
	case t > whole:
		return 0
	case t > whole-release:
		return 0.5 - 0.5*math.Cos(math.Pi*(whole-t)/release)
	}
	return 1
}

// pad is a slow chord voice: two sines beating gently, and a little of their octave.
func (r ring) pad(start, beats, n int) {
	f := hertz(n)
	whole := float64(beats*beat)/rate + 0.5 // it overlaps the next chord
	r.add(start, int(whole*rate), func(t float64) float64 {
		w := 2 * math.Pi * f * t
		v := math.Sin(w*0.9985) + math.Sin(w*1.0015+0.4) + 0.25*math.Sin(2*w)
		return padLevel * swell(t, 0.45, whole, 0.5) * v / 2
	})
}

// bass is a round plucked note, told by its second and third harmonic where a telephone cuts the first.
func (r ring) bass(start, beats, n int) {
	f := hertz(n)
	whole := float64(beats*beat) / rate
	r.add(start, int(whole*rate), func(t float64) float64 {
		w := 2 * math.Pi * f * t
		v := 0.6*math.Sin(w) + 0.6*math.Sin(2*w)*math.Exp(-1.5*t) + 0.3*math.Sin(3*w)*math.Exp(-2.5*t)
		return bassLevel * swell(t, 0.02, whole, 0.12) * math.Exp(-0.8*t) * v
	})
}

// piano is an electric piano: a sine whose phase a second one moves less and less, and a short bell above.
func (r ring) piano(start, n int, loud float64) {
	f := hertz(n)
	const whole = 1.8
	r.add(start, int(whole*rate), func(t float64) float64 {
		w := 2 * math.Pi * f * t
		v := math.Sin(w+0.9*math.Exp(-5*t)*math.Sin(w)) + 0.10*math.Exp(-14*t)*math.Sin(4*w)
		return loud * swell(t, 0.006, whole, 0.3) * math.Exp(-2.6*t) * v
	})
}

// flute is the voice of the tune: few harmonics, a breath of vibrato that comes after the attack.
func (r ring) flute(start, samples, n int) {
	f := hertz(n)
	whole := float64(samples)/rate + 0.12 // legato
	r.add(start, int(whole*rate), func(t float64) float64 {
		vibrato := 0.0
		if t > 0.3 {
			// 5 Hz, 12 cents, as a phase in radians
			vibrato = math.Min(1, (t-0.3)/0.5) * f * 0.007 / 5 * math.Sin(2*math.Pi*5*(t-0.3))
		}
		w := 2*math.Pi*f*t + vibrato
		v := math.Sin(w) + 0.22*math.Sin(2*w) + 0.10*math.Sin(3*w)*math.Exp(-3*t)
		return melodyPart * swell(t, 0.06, whole, 0.16) * (0.75 + 0.25*math.Exp(-1.2*t)) * v
	})
}

// Reverberation of a small hall, after Schroeder: combs side by side, then all-passes in line. Delays in
// samples, with no common factor.
var (
	combs      = [4]int{237, 271, 311, 349}
	combDecay  = 0.77
	allPasses  = [2]int{41, 13}
	allPassMix = 0.6
	wet        = 0.16
)

// room adds the hall. The music goes through it twice, and the second time counts: by then the end of the
// piece already echoes in its beginning.
func room(dry ring) ring {
	var echoes [4][]float64
	for i, n := range combs {
		echoes[i] = make([]float64, n)
	}
	var lines [2][]float64
	for i, n := range allPasses {
		lines[i] = make([]float64, n)
	}
	out := make(ring, len(dry))
	damped := [4]float64{}
	for i := range 2 * len(dry) {
		in := dry[i%len(dry)]
		sum := 0.0
		for c, line := range echoes {
			at := i % len(line)
			v := line[at]
			damped[c] += 0.5 * (v - damped[c]) // walls swallow the high notes
			line[at] = in + combDecay*damped[c]
			sum += v
		}
		for _, line := range lines {
			at := i % len(line)
			v := line[at] - allPassMix*sum
			line[at] = sum + allPassMix*v
			sum = v
		}
		out[i%len(dry)] = in + wet*sum
	}
	return out
}
