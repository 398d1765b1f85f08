package conference

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"parklamp/media"
	"parklamp/media/mediatest"
)

// say gives a party a frame of samples from at on; beyond the end it says nothing.
func say(p *Party, x []int16, at int) {
	if at+media.FrameSamples > len(x) {
		return
	}
	f := media.Frame(x[at : at+media.FrameSamples])
	p.Write(&f, media.Audio)
}

// meet runs a conference of people who say the given things, and returns what each hears.
func meet(t testing.TB, says ...[]int16) [][]int16 {
	t.Helper()
	m := New()
	parties := make([]*Party, len(says))
	heard := make([][]int16, len(says))
	for i := range says {
		var err error
		if parties[i], err = m.Add(); err != nil {
			t.Fatal(err)
		}
	}
	for at := 0; at+media.FrameSamples <= len(says[0]); at += media.FrameSamples {
		for i, p := range parties {
			say(p, says[i], at)
		}
		for i, p := range parties {
			var f media.Frame
			if !p.Next(&f) {
				t.Fatalf("party %d hears nothing at %d", i, at)
			}
			heard[i] = append(heard[i], f[:]...)
		}
	}
	return heard
}

func sine(hz, dBFS float64, n int) []int16 {
	x := make([]int16, n)
	for i := range x {
		x[i] = int16(math.Round(32767 * math.Pow(10, dBFS/20) * math.Sin(2*math.Pi*hz*float64(i)/media.SampleRate)))
	}
	return x
}

// TestSumWithoutOwn: what fits passes bit by bit.
func TestSumWithoutOwn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 2; n <= MaxParties; n++ {
		says := make([][]int16, n)
		for i := range says {
			says[i] = make([]int16, 50*media.FrameSamples)
			for k := range says[i] {
				says[i][k] = int16(r.IntN(8000) - 4000)
			}
		}
		heard := meet(t, says...)
		for i := range heard {
			for k, got := range heard[i] {
				want := int16(0)
				for j := range says {
					if j != i {
						want += says[j][k]
					}
				}
				if got != want {
					t.Fatalf("%d parties: party %d hears %d at %d, want %d", n, i, got, k, want)
				}
			}
		}
	}
}

// TestFullScaleOfOnePasses: the loudest that one party can say is not touched.
func TestFullScaleOfOnePasses(t *testing.T) {
	x := make([]int16, 8*media.FrameSamples)
	for i := range x {
		x[i] = []int16{math.MaxInt16, math.MinInt16}[i/7%2]
	}
	heard := meet(t, x, make([]int16, len(x)))
	for i, got := range heard[1] {
		if got != x[i] {
			t.Fatalf("sample %d: %d, want %d", i, got, x[i])
		}
	}
}

func TestFull(t *testing.T) {
	m := New()
	for i := range MaxParties {
		if _, err := m.Add(); err != nil {
			t.Fatalf("party %d: %v", i, err)
		}
	}
	if _, err := m.Add(); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v, want ErrFull", err)
	}
}

// distortion returns what of x, one tone of hz, is not that tone, as a fraction (THD+N).
func distortion(x []int16, hz float64) float64 {
	var re, im, all float64
	for i, s := range x {
		a := 2 * math.Pi * hz * float64(i) / media.SampleRate
		re += float64(s) * math.Cos(a)
		im += float64(s) * math.Sin(a)
		all += float64(s) * float64(s)
	}
	tone := 2 * (re*re + im*im) / float64(len(x))
	return math.Sqrt(max(all-tone, 0) / tone)
}

// TestDistortion: tones that together are far too loud come out turned down and clean, where cutting them off would leave a
// quarter of them as harmonics.
func TestDistortion(t *testing.T) {
	const n = 2 * media.SampleRate
	for _, hz := range []float64{100, 200, 440, 1004, 2100, 3000} {
		for _, talkers := range []int{2, 3, 7} {
			says := [][]int16{make([]int16, n)}
			for range talkers {
				says = append(says, sine(hz, -1, n))
			}
			heard := meet(t, says...)[0]
			got := distortion(heard[n/2:], hz)
			cut := make([]int16, n)
			for i := range cut {
				cut[i] = int16(max(-32768, min(32767, talkers*int(says[1][i]))))
			}
			level := mediatest.RMS(heard[n/2:])
			t.Logf("%4.0f Hz, %d at -1 dBFS: THD+N %.2f %% at %.1f dBFS; cut off %.1f %%", hz, talkers, 100*got, level, 100*distortion(cut[n/2:], hz))
			if got > 0.01 {
				t.Errorf("%v Hz, %d talkers: THD+N %.2f %%, want below 1 %%", hz, talkers, 100*got)
			}
			if level < -1.5 {
				t.Errorf("%v Hz, %d talkers: turned down to %.1f dBFS, want at least -1.5", hz, talkers, level)
			}
		}
	}
}

// TestTwoTones: two voices at once do not modulate each other.
func TestTwoTones(t *testing.T) {
	const n = 2 * media.SampleRate
	heard := meet(t, make([]int16, n), sine(700, -1, n), sine(1900, -1, n))[0][n/2:]
	want := mediatest.Level(heard, 700)
	for _, hz := range []float64{500, 1200, 2600, 3100, 3300} {
		if got := mediatest.Level(heard, hz); got > want-40 {
			t.Errorf("%v Hz at %.1f dB below the tones, want at least 40", hz, want-got)
		}
	}
}

// TestLimiterLetsGo: a shout turns the others down for less than half a second.
func TestLimiterLetsGo(t *testing.T) {
	const n = media.SampleRate
	shout := append(sine(500, 0, n/4), make([]int16, 3*n/4)...)
	talk := sine(800, -12, n)
	heard := meet(t, make([]int16, n), shout, shout, talk)[0]
	end := heard[n/4+n/2:]
	for i, got := range end {
		if got != talk[n/4+n/2+i] {
			t.Fatalf("0.5 s after the shout sample %d is %d, want %d", i, got, talk[n/4+n/2+i])
		}
	}
}

// TestLateParty: who misses a tick is faded out, and silent from the second on; the others are not disturbed.
func TestLateParty(t *testing.T) {
	m := New()
	a, _ := m.Add()
	b, _ := m.Add()
	c, _ := m.Add()
	loudly, softly := media.Frame(sine(400, -6, media.FrameSamples)), media.Frame(sine(400, -20, media.FrameSamples))
	var f media.Frame
	tick := func(write bool) media.Frame {
		if write {
			b.Write(&loudly, media.Audio)
		}
		c.Write(&softly, media.Audio)
		a.Next(&f)
		heard := f
		b.Next(&f)
		c.Next(&f)
		return heard
	}
	tick(true)
	tick(true)
	fading, silent := tick(false), tick(false)
	for i := range fading {
		want := int32(loudly[i])*int32(media.FrameSamples-i)/media.FrameSamples + int32(softly[i])
		if d := int32(fading[i]) - want; d < -1 || d > 1 {
			t.Fatalf("missed frame, sample %d: %d, want %d", i, fading[i], want)
		}
	}
	if silent != softly {
		t.Error("the second missed frame is not silent")
	}
	if back := tick(true); mediatest.RMS(back[:]) < -8 {
		t.Error("who came back is not heard")
	}
	b.Hold(true)
	tick(true)
	if held := tick(true); held != softly {
		t.Error("a party on hold is heard")
	}
}

// clip is a local source.
type clip struct {
	x  []int16
	at int
}

func (c *clip) Next(f *media.Frame) bool {
	if c.at+len(f) > len(c.x) {
		return false
	}
	copy(f[:], c.x[c.at:])
	c.at += len(f)
	return true
}

// tape is a local sink.
type tape []int16

func (p *tape) Write(f *media.Frame, _ media.Kind) { *p = append(*p, f[:]...) }

// TestLocalEnd: a handset speaks and hears once in each tick, whoever else is there and in whatever order they are asked.
func TestLocalEnd(t *testing.T) {
	const n = 100 * media.FrameSamples
	worker, one, two := mediatest.Voice(1, n*1e9/media.SampleRate), mediatest.Melody(2, n*1e9/media.SampleRate), mediatest.Voice(3, n*1e9/media.SampleRate)
	for _, tc := range []struct {
		name           string
		speaks1, hear2 bool
	}{{"both ask", true, true}, {"one is not sent to", true, false}, {"nobody is sent to", false, false}} {
		t.Run(tc.name, func(t *testing.T) {
			m := New()
			var ear tape
			if _, err := m.AddLocal(&clip{x: worker}, &ear); err != nil {
				t.Fatal(err)
			}
			a, _ := m.Add()
			b, _ := m.Add()
			var hears []int16
			for at := 0; at+media.FrameSamples <= n; at += media.FrameSamples {
				say(a, one, at)
				say(b, two, at)
				var f media.Frame
				if tc.speaks1 && a.Next(&f) {
					hears = append(hears, f[:]...)
				}
				if tc.hear2 {
					b.Next(&f)
				}
			}
			if lack := n - len(ear); lack < 0 || lack > media.FrameSamples {
				t.Errorf("the handset heard %d samples of %d", len(ear), n)
			}
			for _, want := range [][]int16{one, two} {
				if score, _ := mediatest.Match(ear, want); score < mediatest.Different {
					t.Errorf("the handset does not hear a party: %.2f", score)
				}
			}
			if tc.speaks1 {
				if score, _ := mediatest.Match(hears, worker); score < mediatest.Different {
					t.Errorf("a party does not hear the worker: %.2f", score)
				}
			}
		})
	}
}

// TestAnyThread: parties come and are held while frames are mixed.
func TestAnyThread(t *testing.T) {
	m := New()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		p, _ := m.Add()
		wg.Go(func() {
			var f media.Frame
			for {
				select {
				case <-stop:
					return
				default:
					p.Write(&f, media.Audio)
					p.Next(&f)
				}
			}
		})
	}
	for range 200 {
		if p, err := m.Add(); err == nil {
			p.Hold(true)
		}
	}
	close(stop)
	wg.Wait()
}

func FuzzLimiter(f *testing.F) {
	f.Add(uint64(1), uint8(7))
	f.Fuzz(func(t *testing.T, seed uint64, gain uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := limiter{gain: 1}
		var src [media.FrameSamples]int32
		var dst media.Frame
		for range 20 {
			for i := range src {
				src[i] = (int32(r.IntN(65536)) - 32768) * int32(gain%8)
			}
			l.run(dst[:], src[:])
			if l.gain <= 0 || l.gain > 1 {
				t.Fatalf("gain %v", l.gain)
			}
			for i := range dst { // never louder, never turned round
				if int64(dst[i])*int64(src[i]) < 0 || max(int32(dst[i]), -int32(dst[i])) > max(src[i], -src[i]) {
					t.Fatalf("%d became %d", src[i], dst[i])
				}
			}
		}
	})
}

// conference is a full one, and a function that runs a tick of it.
func conference(level float64) func() {
	m := New()
	var parties []*Party
	for range MaxParties {
		p, _ := m.Add()
		parties = append(parties, p)
	}
	x := media.Frame(sine(440, level, media.FrameSamples))
	return func() {
		var f media.Frame
		for _, p := range parties {
			p.Write(&x, media.Audio)
		}
		for _, p := range parties {
			p.Next(&f)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	for _, level := range []float64{-30, -1} {
		if n := testing.AllocsPerRun(100, conference(level)); n != 0 {
			t.Errorf("%v allocations in a tick at %v dBFS", n, level)
		}
	}
}

func BenchmarkEightParties(b *testing.B) {
	for name, level := range map[string]float64{"fits": -30, "limited": -1} {
		b.Run(name, func(b *testing.B) {
			tick := conference(level)
			b.ReportAllocs()
			for b.Loop() {
				tick()
			}
		})
	}
}

// BenchmarkThreeWay is the conference of a desk phone: a handset and two calls, one of them wideband in the second case.
func BenchmarkThreeWay(b *testing.B) {
	for _, wide := range []bool{false, true} {
		b.Run(map[bool]string{false: "narrow", true: "wide"}[wide], func(b *testing.B) {
			m := New()
			x := media.Frame(sine(440, -20, media.FrameSamples))
			m.AddLocal(still{}, &reused{make(tape, 0, media.FrameSamples)})
			one, _ := m.Add()
			two, _ := m.Add()
			var f media.Frame
			var w media.WideFrame
			b.ReportAllocs()
			for b.Loop() {
				if wide {
					one.WriteWide(&w, media.Audio)
					one.NextWide(&w)
				} else {
					one.Write(&x, media.Audio)
					one.Next(&f)
				}
				two.Write(&x, media.Audio)
				two.Next(&f)
			}
		})
	}
}

// still is a silent local source, reused a sink that keeps nothing.
type (
	still  struct{}
	reused struct{ tape }
)

func (still) Next(f *media.Frame) bool { clear(f[:]); return true }

func (r *reused) Write(f *media.Frame, _ media.Kind) { r.tape = append(r.tape[:0], f[:]...) }
