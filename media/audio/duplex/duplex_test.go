package duplex

import (
	"math"
	"math/rand/v2"
	"testing"
)

const (
	rate  = 16000
	piece = rate / 200 // 5 ms
)

// speech makes syllables: noise shaped by 4 Hz bursts with pauses, at a level in dB of full scale.
func speech(seed uint64, seconds, db float64, talking func(t float64) bool) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float64, int(seconds*rate))
	var low, energy float64
	n := 0
	for i := range x {
		t := float64(i) / rate
		low += 0.35 * (r.NormFloat64() - low)
		syllable := math.Max(0, math.Sin(2*math.Pi*3.7*t+float64(seed)))
		if talking(t) && math.Mod(t, 2.1) < 1.7 {
			x[i] = low * syllable
			energy += x[i] * x[i]
			n++
		}
	}
	scale := math.Pow(10, db/20) * 32768 / math.Sqrt(energy/float64(max(1, n)))
	for i := range x {
		x[i] *= scale
	}
	return x
}

// room is what a loudspeaker sounds like in the microphone: a delay, a direct path and a tail that falls by 60 dB in rt.
func room(seed uint64, delay, rt, coupling float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 2))
	h := make([]float64, int((delay+rt*0.7)*rate))
	energy := 0.0
	// Every 16th sample: enough for levels, and a test that ends.
	for i := int(delay * rate); i < len(h); i += 16 {
		t := float64(i)/rate - delay
		h[i] = r.NormFloat64() * math.Exp(-6.91*t/rt)
		if t == 0 {
			h[i] = 4
		}
		energy += h[i] * h[i]
	}
	for i := range h {
		h[i] *= math.Pow(10, coupling/20) / math.Sqrt(energy)
	}
	return h
}

// bench is a hands-free phone in a room.
type bench struct {
	echoOut, nearOut, farOut []float64 // power in each piece at the far end and at the ear
	echoIn, nearIn, farIn    []float64
	state                    []State
}

// run plays far through the room and near beside it, with a delay of the sound card between the two.
func run(s *Switch, far, near, h []float64, noise float64) *bench {
	r := rand.New(rand.NewPCG(9, 9))
	b := &bench{}
	var taps []int
	for k, v := range h {
		if v != 0 {
			taps = append(taps, k)
		}
	}
	played := make([]float64, len(far)+len(h))
	card := int(0.015 * rate)
	block := make([]int16, piece)
	power := func(x []float64) float64 {
		sum := 1e-9
		for _, v := range x {
			sum += v * v
		}
		return sum / float64(len(x))
	}
	at := 0
	for ; at+piece <= len(far); at += piece {
		for i := range block {
			block[i] = clip(far[at+i])
		}
		b.farIn = append(b.farIn, power(far[at:at+piece]))
		s.Far(block, rate)
		out := make([]float64, piece)
		for i, v := range block {
			out[i] = float64(v)
			played[at+i] = out[i]
		}
		b.farOut = append(b.farOut, power(out))
		echo := make([]float64, piece)
		for i := range echo {
			t := at + i - card
			for _, k := range taps {
				if t < k {
					break
				}
				echo[i] += h[k] * played[t-k]
			}
		}
		sum := make([]float64, piece)
		for i := range sum {
			sum[i] = echo[i] + near[at+i] + noise*r.NormFloat64()
			block[i] = clip(sum[i])
		}
		before := s.nearGain
		s.Near(block, rate)
		gain := (before + s.nearGain) / 2
		b.echoIn, b.nearIn = append(b.echoIn, power(echo)), append(b.nearIn, power(near[at:at+piece]))
		b.echoOut, b.nearOut = append(b.echoOut, power(echo)*gain*gain), append(b.nearOut, power(near[at:at+piece])*gain*gain)
		b.state = append(b.state, s.State())
	}
	return b
}

// loss is how much lower the sum of y is than that of x between two times, in dB.
func loss(x, y []float64, from, to float64) float64 {
	var a, b float64
	for i := int(from * 200); i < min(len(x), int(to*200)); i++ {
		a, b = a+x[i], b+y[i]
	}
	return 10 * math.Log10(a/math.Max(b, 1e-12))
}

func share(s []State, want State, from, to float64) float64 {
	n := 0
	for _, v := range s[int(from*200):int(to*200)] {
		if v == want {
			n++
		}
	}
	return float64(n) / ((to - from) * 200)
}

func during(from, to float64) func(float64) bool {
	return func(t float64) bool { return t >= from && t < to }
}

// The far end speaks for 6 s, then the near end for 6 s, then both: in dry and live rooms, near and far from the loudspeaker.
func TestRooms(t *testing.T) {
	for _, tc := range []struct {
		name                string
		delay, rt, coupling float64
	}{{"office, soft", 0.003, 0.25, -12}, {"hall", 0.01, 0.6, -6}, {"loud loudspeaker", 0.002, 0.2, 4}} {
		t.Run(tc.name, func(t *testing.T) {
			far := speech(1, 18, -22, func(t float64) bool { return t < 6 || t >= 12 })
			near := speech(2, 18, -26, during(6, 18))
			s := New(Default())
			b := run(s, far, near, room(3, tc.delay, tc.rt, tc.coupling), 12)
			echo := loss(b.farIn, b.echoOut, 0.5, 6) // echo return loss as the far end has it
			through := loss(b.farIn, b.farOut, 0.5, 6)
			words := loss(b.nearIn, b.nearOut, 6.3, 12)
			t.Logf("far end alone: echo %.0f dB down, loudspeaker %.1f dB down; near end alone: %.1f dB down; coupling found %.1f dB", echo, through, words, s.coupling)
			if echo < 30 {
				t.Errorf("the far end hears itself %.0f dB down, want 30", echo)
			}
			if through > 1 {
				t.Errorf("the loudspeaker loses %.1f dB of the far end's words", through)
			}
			if words > 1.5 {
				t.Errorf("the far end loses %.1f dB of the near end's words", words)
			}
			// Double talk: one of the two is heard at any time, and no echo with it.
			nearWay, farWay := share(b.state, Near, 12, 18), share(b.state, Far, 12, 18)
			double := loss(b.farIn, b.echoOut, 12, 18)
			t.Logf("both: near end has the way for %.0f %%, far end for %.0f %%, echo %.0f dB down", 100*nearWay, 100*farWay, double)
			if nearWay < 0.6 { // it speaks for 80 % of the time
				t.Errorf("near %.2f, far %.2f", nearWay, farWay)
			}
			if double < 18 {
				t.Errorf("in double talk the far end hears itself %.0f dB down, want 18", double)
			}
		})
	}
}

// The first word of the near end after the far end's last is not cut: the way is free within the hangover.
func TestTurnTaking(t *testing.T) {
	far := speech(1, 6, -22, during(0, 2))
	near := speech(4, 6, -24, during(2.3, 6))
	b := run(New(Default()), far, near, room(3, 0.003, 0.3, -6), 12)
	first := -1
	for i, p := range b.nearIn {
		if p > 40000 && first < 0 { // -44 dB of full scale: the word begins
			first = i
		}
	}
	for i := first; i < first+20; i++ {
		if b.state[i] == Near {
			if d := float64(i-first) * 5; d > 30 {
				t.Errorf("the near end has the way after %.0f ms", d)
			}
			return
		}
	}
	t.Error("the near end does not get the way within 100 ms")
}

func TestQuietRoomIsLeftAlone(t *testing.T) {
	nothing := make([]float64, 4*rate)
	b := run(New(Default()), nothing, nothing, []float64{0}, 20)
	if n := share(b.state, Idle, 0.5, 4); n < 0.99 {
		t.Errorf("a quiet room is idle for %.2f of the time", n)
	}
}

func TestDoesNotAllocate(t *testing.T) {
	s := New(Default())
	x := make([]int16, piece)
	if n := testing.AllocsPerRun(100, func() { s.Far(x, rate); s.Near(x, rate) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSwitch20ms(b *testing.B) {
	s := New(Default())
	x, y := make([]int16, 4*piece), make([]int16, 4*piece)
	for i := range x {
		x[i], y[i] = int16(i*37), int16(i*91)
	}
	for range b.N {
		s.Far(x, rate)
		s.Near(y, rate)
	}
}
