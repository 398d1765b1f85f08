package tone

import (
	"math"
	"strings"
	"testing"
	"time"

	"parklamp/media"
)

// render plays d of a tone.
func render(t *Tone, d time.Duration) []int16 {
	var out []int16
	var f media.Frame
	for len(out) < int(d*media.SampleRate/time.Second) && t.Next(&f) {
		out = append(out, f[:]...)
	}
	return out
}

// strength is the peak amplitude of the sine of hz in x, by Goertzel's sum.
func strength(x []int16, hz float64) float64 {
	var re, im float64
	for i, s := range x {
		a := 2 * math.Pi * hz * float64(i) / media.SampleRate
		re += float64(s) * math.Cos(a)
		im += float64(s) * math.Sin(a)
	}
	return 2 * math.Hypot(re, im) / float64(len(x))
}

func TestEveryCountryHasEveryTone(t *testing.T) {
	for _, c := range countryNames() {
		for k := range kinds {
			x := render(New(c, k), 2*time.Second)
			peak, jump := 0, 0
			last := 0
			for _, s := range x {
				peak = max(peak, int(math.Abs(float64(s))))
				jump = max(jump, int(math.Abs(float64(int(s)-last))))
				last = int(s)
			}
			if peak < 1000 || peak > 30000 {
				t.Errorf("%s %v: peak %d", c, k, peak)
			}
			if k < Ring && jump > 4000 {
				t.Errorf("%s %v: clicks, two samples differ by %d", c, k, jump)
			}
		}
	}
}

func TestFrequenciesAndCadence(t *testing.T) {
	cases := []struct {
		country string
		kind    Kind
		hz      []float64
		on, off int // ms
	}{
		{"us", Dial, []float64{350, 440}, 0, 0},
		{"us", Ringback, []float64{440, 480}, 2000, 4000},
		{"us", Busy, []float64{480, 620}, 500, 500},
		{"de", Busy, []float64{425}, 480, 480},
		{"gb", Busy, []float64{400}, 375, 375},
		{"fr", Congestion, []float64{440}, 250, 250},
		{"itu", Ringback, []float64{425}, 1000, 4000},
		{"nowhere", Ringback, []float64{425}, 1000, 4000},
	}
	for _, c := range cases {
		x := render(New(c.country, c.kind), 13*time.Second)
		head := x[400:1200]
		for _, hz := range c.hz {
			if a := strength(head, hz); math.Abs(20*math.Log10(a/32767)-supervisory) > 1 {
				t.Errorf("%s %v: %v Hz at %.1f dBFS, want %v", c.country, c.kind, hz, 20*math.Log10(a/32767), supervisory)
			}
		}
		if a := strength(head, 1000); a > 60 {
			t.Errorf("%s %v: 1000 Hz is there with %v", c.country, c.kind, a)
		}
		if c.on == 0 {
			continue
		}
		for ms := 10; ms < 12900; ms += 20 {
			burst := x[ms*8 : (ms+10)*8]
			peak := 0.0
			for _, s := range burst {
				peak = max(peak, math.Abs(float64(s)))
			}
			into := ms % (c.on + c.off)
			if into%c.on < 15 || into > c.on-15 && into < c.on+15 || into > c.on+c.off-15 {
				continue // edges
			}
			if sounds := peak > 300; sounds != (into < c.on) {
				t.Fatalf("%s %v: at %d ms sounds %v", c.country, c.kind, ms, sounds)
			}
		}
	}
}

func TestShortTonesEnd(t *testing.T) {
	for _, k := range []Kind{Confirm, Error, Reminder} {
		if n := len(render(New("us", k), time.Minute)); n == 0 || n > 2*media.SampleRate {
			t.Errorf("%v has %d samples", k, n)
		}
	}
	if n := len(render(New("us", Dial), time.Minute)); n < 60*media.SampleRate {
		t.Error("dial tone ends")
	}
	if x := render(New("us", 250), time.Minute); len(x) == 0 || len(x) > 5*media.SampleRate {
		t.Errorf("a kind that does not exist plays %d samples, want the error tone", len(x))
	}
}

func TestNamesAndConfig(t *testing.T) {
	named := map[string]bool{}
	for k := range kinds {
		if k.String() == "" || named[k.String()] {
			t.Errorf("kind %d is called %q as another is, or nothing", uint8(k), k)
		}
		named[k.String()] = true
	}
	if Kind(99).String() != "tone 99" {
		t.Error("a kind that does not exist has a name")
	}
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	if err := (Config{Country: "xx"}).Validate(); err == nil || !strings.Contains(err.Error(), `country: "xx" is not one of at, au`) {
		t.Errorf("error %v", err)
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	tone := New("gb", Ringback)
	var f media.Frame
	if n := testing.AllocsPerRun(1000, func() { tone.Next(&f) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkNext(b *testing.B) {
	tone := New("us", Dial)
	var f media.Frame
	b.ReportAllocs()
	for range b.N {
		tone.Next(&f)
	}
}
