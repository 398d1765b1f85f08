package dtmf_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/zaf/g711"

	"parklamp/media/dtmf"
	"parklamp/media/mediatest"
	"parklamp/media/moh"
	"parklamp/media/prompt"
)

// The tones of ITU-T Q.23, and the digits in the order of their event codes with row and column.
var (
	low    = [4]float64{697, 770, 852, 941}
	high   = [4]float64{1209, 1336, 1477, 1633}
	layout = "123A456B789C*0#D"
)

const digits = "0123456789*#ABCD"

// press is a digit as somebody sends it.
type press struct {
	code         uint8
	on, off      time.Duration
	level, twist float64 // dBm0 of the low tone; how much louder the high one is, dB
	lowOff       float64 // factor on the frequencies, 0.01 is 1 % too high
	highOff      float64
	gap, gapAt   time.Duration // an interruption
}

func samplesOf(d time.Duration) int { return int(d.Seconds() * 8000) }

// sound makes presses audible, from a phase and a moment of a frame that r chooses, with 300 ms of silence at the end.
func sound(r *rand.Rand, presses ...press) []float64 {
	x := make([]float64, r.IntN(160))
	for _, p := range presses {
		at := strings.IndexByte(layout, digits[p.code])
		n := samplesOf(p.on)
		a, b := r.Float64()*7, r.Float64()*7
		one := 32768 * math.Pow(10, (p.level-3.14)/20)
		two := one * math.Pow(10, p.twist/20)
		for i := range n {
			v := one*math.Sin(a) + two*math.Sin(b)
			if from := samplesOf(p.gapAt); i >= from && i < from+samplesOf(p.gap) {
				v = 0
			}
			x = append(x, v)
			a += 2 * math.Pi * low[at/4] * (1 + p.lowOff) / 8000
			b += 2 * math.Pi * high[at%4] * (1 + p.highOff) / 8000
		}
		x = append(x, make([]float64, samplesOf(p.off))...)
	}
	return append(x, make([]float64, 2400)...)
}

// noise adds white noise, dB below the power of one tone at level dBm0.
func noise(r *rand.Rand, x []float64, level, snr float64) []float64 {
	sigma := 32768 * math.Pow(10, (level-3.14-snr)/20) / math.Sqrt2
	for i := range x {
		x[i] += sigma * r.NormFloat64()
	}
	return x
}

// detect sends sound through G.711 in frames of 20 ms.
func detect(x []float64) string {
	var d dtmf.Detector
	got := ""
	frame := make([]int16, 160)
	for at := 0; at+160 <= len(x); at += 160 {
		for i := range frame {
			v := int16(math.Round(max(-32768, min(32767, x[at+i]))))
			frame[i] = g711.DecodeUlawFrame(g711.EncodeUlawFrame(v))
		}
		if c, ok := d.Put(frame); ok {
			got += string(c)
		}
	}
	return got
}

const ms = time.Millisecond

// TestDetectorAccepts: what Q.24 says must be taken, for every digit, from any phase on.
func TestDetectorAccepts(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    press
		snr  float64
	}{
		{"plain", press{on: 100 * ms, off: 100 * ms, level: -10}, 60},
		{"40 ms on, 40 ms off", press{on: 40 * ms, off: 40 * ms, level: -10}, 60},
		{"as faint as -25 dBm0", press{on: 50 * ms, off: 50 * ms, level: -25}, 60},
		{"as loud as 0 dBm0", press{on: 50 * ms, off: 50 * ms, level: -0.5}, 60},
		{"high tone 4 dB louder", press{on: 50 * ms, off: 50 * ms, level: -14, twist: 4}, 60},
		{"high tone 8 dB fainter", press{on: 50 * ms, off: 50 * ms, level: -10, twist: -8}, 60},
		{"1.5 % too high", press{on: 40 * ms, off: 40 * ms, level: -10, lowOff: 0.015, highOff: 0.015}, 60},
		{"1.5 % too low", press{on: 40 * ms, off: 40 * ms, level: -10, lowOff: -0.015, highOff: -0.015}, 60},
		{"1.5 % apart", press{on: 50 * ms, off: 50 * ms, level: -10, lowOff: -0.015, highOff: 0.015, twist: 3}, 60},
		{"noise 15 dB below", press{on: 60 * ms, off: 60 * ms, level: -12}, 15},
		{"interrupted for 10 ms", press{on: 120 * ms, off: 60 * ms, level: -10, gap: 10 * ms, gapAt: 60 * ms}, 60},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(24, 1))
			wrong, all := 0, 0
			var example string
			for range 200 {
				var presses []press
				want := ""
				for range 5 {
					p := tc.p
					p.code = uint8(r.IntN(16))
					presses = append(presses, p)
					want += string(digits[p.code])
				}
				all += 5
				if got := detect(noise(r, sound(r, presses...), tc.p.level, tc.snr)); got != want {
					wrong++
					example = got + " for " + want
				}
			}
			if wrong > 0 {
				t.Errorf("%d of %d strings of 5 digits are wrong, such as %s", wrong, 200, example)
			}
		})
	}
}

// TestDetectorRefuses: what Q.24 says must not be taken.
func TestDetectorRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    press
	}{
		{"shorter than 20 ms", press{on: 20 * ms, off: 60 * ms, level: -10}},
		{"-45 dBm0", press{on: 100 * ms, off: 60 * ms, level: -45}},
		{"both 3.5 % too high", press{on: 100 * ms, off: 60 * ms, level: -10, lowOff: 0.035, highOff: 0.035}},
		{"both 3.5 % too low", press{on: 100 * ms, off: 60 * ms, level: -10, lowOff: -0.035, highOff: -0.035}},
		{"the low tone 3.5 % too high", press{on: 100 * ms, off: 60 * ms, level: -10, lowOff: 0.035}},
		{"the low tone 3.5 % too low", press{on: 100 * ms, off: 60 * ms, level: -10, lowOff: -0.035}},
		{"the high tone 3.5 % too high", press{on: 100 * ms, off: 60 * ms, level: -10, highOff: 0.035}},
		{"the high tone 3.5 % too low", press{on: 100 * ms, off: 60 * ms, level: -10, highOff: -0.035}},
		{"the high tone missing", press{on: 100 * ms, off: 60 * ms, level: -10, twist: -60}},
		{"the low tone missing", press{on: 100 * ms, off: 60 * ms, level: -60, twist: 50}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(24, 2))
			got := ""
			for range 500 {
				p := tc.p
				p.code = uint8(r.IntN(16))
				got += detect(sound(r, p))
			}
			if got != "" {
				t.Errorf("%d of 500 were taken", len(got))
			}
		})
	}
}

// TestDigitInVoice: digits are found while somebody speaks 20 dB below them, as when a key is pressed while talking.
func TestDigitInVoice(t *testing.T) {
	r := rand.New(rand.NewPCG(24, 3))
	x := sound(r, press{code: 7, on: 100 * ms, off: 100 * ms, level: -8}, press{code: 11, on: 100 * ms, off: 100 * ms, level: -8})
	for i, v := range mediatest.Voice(1, time.Second)[:len(x)] {
		x[i] += float64(v) / 30
	}
	if got := detect(x); got != "7#" {
		t.Errorf("heard %q, want 7#", got)
	}
}

// talked counts the digits that a detector finds in samples at 8 kHz.
func talked(d *dtmf.Detector, x []int16) string {
	got := ""
	for at := 0; at+160 <= len(x); at += 160 {
		if c, ok := d.Put(x[at : at+160]); ok {
			got += string(c)
		}
	}
	return got
}

// TestTalkOff: voices and music are not taken for digits. The recordings of the project at three levels and speeds, and
// an hour each of synthetic voice and of melodies.
func TestTalkOff(t *testing.T) {
	var d dtmf.Detector
	recordings := map[string][]int16{"the music": moh.BuiltIn().Samples(),
		"the prompts": allPrompts()}
	total := 0
	for name, x := range recordings {
		for _, speed := range []float64{0.8, 0.9, 1, 1.1, 1.25} {
			for _, gain := range []float64{0.3, 1, 2.5} {
				y := played(x, speed, gain)
				total += len(y)
				if got := talked(&d, y); got != "" {
					t.Errorf("%s at speed %v and gain %v: digits %q", name, speed, gain, got)
				}
			}
		}
	}
	t.Logf("recordings: %v of signal", time.Duration(total)*time.Second/8000)
	minutes := 60
	if testing.Short() || raceDetector {
		minutes = 3
	}
	for name, make := range map[string]func(uint64, time.Duration) []int16{"voice": mediatest.Voice, "melody": mediatest.Melody} {
		found := ""
		for seed := range uint64(minutes) {
			d.Reset()
			found += talked(&d, make(seed, time.Minute))
		}
		t.Logf("%s: %d digits (%q) in %d min", name, len(found), found, minutes)
		if len(found) > 0 {
			t.Errorf("%s: %q in %d min", name, found, minutes)
		}
	}
}

// allPrompts is everything that the phone says, one after the other.
func allPrompts() (x []int16) {
	for _, p := range []prompt.Phrase{prompt.ParkedOn("701"), prompt.ParkedOn("234"), prompt.Taken("5689"), prompt.Lost("701"), prompt.Full(),
		prompt.NoneParked(), prompt.Empty("701"), prompt.NoSuchOrbit("799"), prompt.Unreachable("702"), prompt.CallOn("703")} {
		var f [160]int16
		for s := p.Source(); s.Next(&f); {
			x = append(x, f[:]...)
		}
	}
	return x
}

// played is a recording at another speed and loudness.
func played(x []int16, speed, gain float64) []int16 {
	y := make([]int16, int(float64(len(x)-2)/speed))
	for i := range y {
		at := float64(i) * speed
		k := int(at)
		v := float64(x[k]) + (float64(x[k+1])-float64(x[k]))*(at-float64(k))
		y[i] = int16(max(-32768, min(32767, gain*v)))
	}
	return y
}

// TestOurOwnTones: the generator of this package is heard by its detector.
func TestOurOwnTones(t *testing.T) {
	var d dtmf.Detector
	var tone dtmf.Tone
	got := ""
	for code := range uint8(16) {
		for tick := range 6 {
			f := make([]int16, 160)
			if tick < 3 {
				tone.Fill(f, code)
			}
			if c, ok := d.Put(f); ok {
				got += string(c)
			}
		}
	}
	if got != digits {
		t.Errorf("heard %q, want %q", got, digits)
	}
}

func FuzzDetector(f *testing.F) {
	f.Add([]byte(strings.Repeat("\x7f\x00\x80", 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d dtmf.Detector
		x := make([]int16, len(b)/2)
		for i := range x {
			x[i] = int16(uint16(b[2*i])<<8 | uint16(b[2*i+1]))
		}
		for at := 0; at < len(x); at += 160 {
			if c, ok := d.Put(x[at:min(at+160, len(x))]); ok {
				if _, known := dtmf.Code(c); !known {
					t.Errorf("digit %q", c)
				}
			}
		}
	})
}

func TestDetectorDoesNotAllocate(t *testing.T) {
	var d dtmf.Detector
	x := mediatest.Voice(1, 20*ms)
	if n := testing.AllocsPerRun(100, func() { d.Put(x) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkDetector(b *testing.B) {
	var tone dtmf.Tone
	signals := map[string][]int16{"silence": make([]int16, 8000), "voice": mediatest.Voice(1, time.Second), "digit": make([]int16, 8000)}
	tone.Fill(signals["digit"], 5)
	for name, x := range signals {
		b.Run(name, func(b *testing.B) {
			var d dtmf.Detector
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				d.Put(x[at : at+160])
				at = (at + 160) % len(x)
			}
		})
	}
}
