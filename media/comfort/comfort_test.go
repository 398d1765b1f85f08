package comfort

import (
	"math"
	"testing"
)

func rms(x []int16) float64 {
	sum := 0.0
	for _, s := range x {
		sum += float64(s) * float64(s)
	}
	return math.Sqrt(sum / float64(len(x)))
}

func dB(x float64) float64 { return 20 * math.Log10(x/fullScale) }

// likeness is that of samples at a distance.
func likeness(x []int16, lag int) float64 {
	var cross, power float64
	for i := lag; i < len(x); i++ {
		cross += float64(x[i]) * float64(x[i-lag])
		power += float64(x[i]) * float64(x[i])
	}
	return cross / power
}

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload []byte
		want    float64
	}{
		{"level only", []byte{40}, -40},
		{"the unused bit", []byte{0x80 | 50}, -50},
		{"nothing said", nil, -78},
		{"white", []byte{45, 127, 127}, -45},
		{"dark", []byte{45, 17, 150}, -45}, // k1 = -0.87
		{"sharp", []byte{45, 2, 253, 2, 250, 9}, -45},
		{"too many coefficients", append([]byte{60}, make([]byte, 40)...), -60},
	} {
		for _, rate := range []int{8000, 16000} {
			var n Noise
			n.Describe(c.payload)
			x := make([]int16, 4*rate)
			for at := 0; at < len(x); { // in pieces of any length
				piece := x[at:min(at+61, len(x))]
				n.Fill(piece, rate)
				at += len(piece)
			}
			// What hardly moves is not measured well in four seconds.
			if got := dB(rms(x)); math.Abs(got-c.want) > 1 && len(c.payload) < 6 {
				t.Errorf("%s at %d Hz: %.1f dBov, want %.1f", c.name, rate, got, c.want)
			} else if got > c.want+6 {
				t.Errorf("%s at %d Hz: %.1f dBov, said was %.1f", c.name, rate, got, c.want)
			}
		}
	}
}

// RFC 3389 §3.2, in the sign of G.711 Appendix II: a negative first coefficient is low-pass noise.
func TestSpectrum(t *testing.T) {
	for _, c := range []struct {
		n    byte
		want float64
	}{{17, 0.866}, {127, 0}, {237, -0.866}} {
		var n Noise
		n.Describe([]byte{30, c.n})
		x := make([]int16, 32000)
		n.Fill(x, 8000)
		if got := likeness(x, 1); math.Abs(got-c.want) > 0.03 {
			t.Errorf("coefficient %d: neighbours are alike by %.2f, want %.2f", c.n, got, c.want)
		}
	}
}

// room is the noise of a place: a fan, say.
func room(seconds int, level float64) []int16 {
	var n Noise
	n.Describe([]byte{byte(-level), 30, 180, 100})
	x := make([]int16, seconds*8000)
	n.Fill(x, 8000)
	return x
}

// What the sender describes sounds like what it heard, though the description has nine bytes.
func TestThereAndBack(t *testing.T) {
	x := room(4, -55)
	var g Gate
	var payload [MaxDescription]byte
	size := 0
	for at := 0; at < len(x); at += 160 {
		if g.Next((*[160]int16)(x[at:])) == Tell {
			size = g.Describe(payload[:])
		}
	}
	if size != MaxDescription {
		t.Fatalf("description of %d bytes", size)
	}
	var n Noise
	n.Describe(payload[:size])
	y := make([]int16, len(x))
	n.Fill(y, 8000)
	if d := dB(rms(y)) - dB(rms(x)); math.Abs(d) > 2 {
		t.Errorf("%.1f dB louder", d)
	}
	for lag := 1; lag <= 4; lag++ {
		if a, b := likeness(x, lag), likeness(y, lag); math.Abs(a-b) > 0.15 {
			t.Errorf("at a distance of %d: alike by %.2f, was %.2f", lag, b, a)
		}
	}
}

// A conversation in a room with noise: words are sent whole, silence costs a packet a second.
func TestGate(t *testing.T) {
	const word, pause = 25, 100 // frames
	x := room(20, -58)
	spoken := make([]bool, len(x)/160)
	for i := range spoken {
		if spoken[i] = i > 2*settled && i%(word+pause) < word; spoken[i] {
			for j := i * 160; j < (i+1)*160; j++ {
				x[j] += int16(1500 * math.Sin(float64(j)*0.2))
			}
		}
	}
	var g Gate
	sent, told, last := 0, 0, -1000
	for i := range spoken {
		v := g.Next((*[160]int16)(x[160*i:]))
		if spoken[i] {
			last = i
			if v != Voice {
				t.Fatalf("frame %d of a word is not sent", i)
			}
		}
		switch {
		case v == Voice && i > 2*settled && i-last > hangover:
			t.Fatalf("frame %d is sent, %d after the last word", i, i-last)
		case v == Voice && i > 2*settled:
			sent++
		case v == Tell:
			told++
		}
	}
	if told < 12 || told > 40 {
		t.Errorf("%d descriptions in 20 s", told)
	}
	t.Logf("%d of %d frames sent, %d descriptions", sent, len(spoken)-2*settled, told)
}

func TestMuted(t *testing.T) {
	var g Gate
	var silence [160]int16
	var payload [MaxDescription]byte
	first := -1
	for i := range 200 {
		if g.Next(&silence) == Tell && first < 0 {
			first = i
			if n := g.Describe(payload[:]); n != 1 || payload[0] != 127 {
				t.Errorf("digital silence is %v", payload[:n])
			}
		}
	}
	if first < 0 || first > settled+hangover {
		t.Errorf("told after %d frames", first)
	}
}

func TestNoAllocation(t *testing.T) {
	var g Gate
	var n Noise
	var payload [MaxDescription]byte
	x := room(1, -50)
	out := make([]int16, 320)
	if got := testing.AllocsPerRun(100, func() {
		g.Next((*[160]int16)(x))
		g.Describe(payload[:])
		n.Describe(payload[:])
		n.Fill(out, 16000)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// FuzzDescribe: whatever a packet says, the noise is finite and no louder than said.
func FuzzDescribe(f *testing.F) {
	f.Add([]byte{40, 0, 254, 0, 254, 0, 254})
	f.Add([]byte{0, 255})
	f.Fuzz(func(t *testing.T, payload []byte) {
		var n Noise
		n.Describe(payload)
		x := make([]int16, 1600)
		n.Fill(x, 8000)
		for _, s := range n.state {
			if math.IsNaN(float64(s)) || math.Abs(float64(s)) > 1e7 {
				t.Fatalf("%x: state %v", payload, n.state)
			}
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	x := room(1, -50)
	b.Run("fill", func(b *testing.B) {
		b.ReportAllocs()
		var n Noise
		n.Describe([]byte{50, 30, 180, 100})
		for b.Loop() {
			n.Fill(x[:160], 8000)
		}
	})
	b.Run("gate", func(b *testing.B) {
		b.ReportAllocs()
		var g Gate
		for b.Loop() {
			g.Next((*[160]int16)(x))
		}
	})
}
