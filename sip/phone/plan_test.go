package phone

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, digits string
		whole, more     bool
	}{
		{"2xx", "2", false, true},
		{"2xx", "204", true, false},
		{"2xx", "2041", false, false},
		{"2xx", "3", false, false},
		{"xx.T", "1", true, true},
		{"xx.T", "12345", true, true},
		{"xx.T", "1*", false, false},
		{"x.", "", true, true},
		{"[2-46*]x", "3", false, true},
		{"[2-46*]x", "5", false, false},
		{"[2-46*]x", "*7", true, false},
		{"x.9", "9", true, true},
		{"x.9", "8", false, true},
		{"x.9", "1239", true, true},
		{"x.*x.#", "12*34#", true, false},
		{"*3#", "*3", false, true},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Errorf("%q: %v", c.pattern, err)
			continue
		}
		if whole, more := p.match(c.digits); whole != c.whole || more != c.more {
			t.Errorf("%q with %q: whole %v, more %v; want %v, %v", c.pattern, c.digits, whole, more, c.whole, c.more)
		}
	}
}

func TestPatternErrors(t *testing.T) {
	for _, s := range []string{"", "T", ".", "x..", "2a", "[", "[]", "[2", "[5-2]", "[*-3]", "[2-#]", "[a]", "xTx", "x]", strings.Repeat("1", MaxDigits+1)} {
		if _, err := parsePattern(s); !errors.Is(err, errPattern) {
			t.Errorf("%q: error %v", s, err)
		}
	}
}

func FuzzPattern(f *testing.F) {
	// The examples of RFC 3435 §2.1.5 in this notation, and some of our own.
	for _, s := range []string{"0T", "00T", "[1-7]xxx", "8xxxxxxx", "#xxxxxxx", "*xx", "91xxxxxxxxxx", "9011x.T", "[2-46*]x.", "[0-9]", "x.*x.#"} {
		f.Add(s, "91123")
	}
	f.Fuzz(func(t *testing.T, s, digits string) {
		p, err := parsePattern(s)
		if err != nil {
			return
		}
		again, err := parsePattern(p.String())
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q becomes %q, which becomes %q: %v", s, p, again, err)
		}
		whole, more := p.match(digits)
		if w, m := again.match(digits); w != whole || m != more {
			t.Fatalf("%q and %q differ on %q", s, p, digits)
		}
		for i := range digits {
			if _, before := p.match(digits[:i]); (whole || more) && !before {
				t.Fatalf("%q matches %q, but may not go on after %q", p, digits, digits[:i])
			}
		}
	})
}

func TestPlan(t *testing.T) {
	c := Default()
	c.DialPlan = []string{"2xx", "21", "0xx.T", "91x", "*3#"}
	c.Emergency = []string{"112", "911", "9119"}
	c.Orbits = []string{"701", "720", "75"}
	p, err := newPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		digits string
		how    progress
		target target
	}{
		{"2", unfinished, target{}},
		{"204", complete, target{targetNumber, "204"}},
		{"21", waiting, target{targetNumber, "21"}},
		{"3", impossible, target{}},
		{"0", unfinished, target{}},
		{"01", waiting, target{targetNumber, "01"}},
		{"0123", waiting, target{targetNumber, "0123"}},
		{"11", unfinished, target{}},
		{"112", complete, target{targetEmergency, "112"}},
		{"911", complete, target{targetEmergency, "911"}},
		{"912", complete, target{targetNumber, "912"}},
		{"70", unfinished, target{}},
		{"701", complete, target{targetOrbit, "701"}},
		{"720", complete, target{targetOrbit, "720"}},
		{"721", impossible, target{}},
		{"75", complete, target{targetOrbit, "75"}},
		{"*", unfinished, target{}},
		{"*68", waiting, target{targetPark, ""}},
		{"*687", waiting, target{targetPark, "7"}},
		{"*68701", complete, target{targetPark, "701"}},
		{"*68999", waiting, target{targetPark, "999"}},
		{"*88", waiting, target{targetFetch, ""}},
		{"*88720", complete, target{targetFetch, "720"}},
		{"*3", unfinished, target{}},
		{"*3#", complete, target{targetNumber, "*3#"}},
	} {
		if how, got := p.resolve(w.digits); how != w.how || got != w.target {
			t.Errorf("%q: %v %+v, want %v %+v", w.digits, how, got, w.how, w.target)
		}
	}
	if !p.takesPound("*3") || p.takesPound("204") {
		t.Error("# belongs to *3# and to nothing else")
	}
}

// TestEmergencyIsNeverCutOff: no plan can keep an emergency number from being typed to its end.
func TestEmergencyIsNeverCutOff(t *testing.T) {
	for _, plan := range [][]string{nil, {"1"}, {"11"}, {"1x"}, {"9", "91"}, {"xx.T"}, {"x"}} {
		c := Default()
		c.DialPlan, c.Orbits, c.ParkCode, c.FetchCode = plan, []string{"11", "91"}, "1", "9"
		b := newBench(c)
		for _, number := range c.Emergency {
			b.step(Hook{true})
			var last []Effect
			for _, d := range []byte(number) {
				last = b.step(Digit{d})
			}
			if d, is := last[0].(Dial); !is || !d.Emergency || d.Number != number {
				t.Errorf("plan %q: %s gives %v", plan, number, last)
			}
			b.step(Ended{b.m.View().Active})
			b.step(Hook{false})
		}
	}
}

func TestEmergencyAtEnd(t *testing.T) {
	c := testConfig()
	c.Emergency = []string{"12", "112", "*9"}
	m := New(c)
	for keys, want := range map[string]string{"": "", "1": "", "11": "", "112": "112", "5112": "112", "512": "12", "1123": "", "11*9": "*9"} {
		if got := m.EmergencyAtEnd(keys); got != want {
			t.Errorf("keys %q end with %q, want %q", keys, got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   []string // parts of the error
	}{
		{"pattern", func(c *Config) { c.DialPlan = []string{"2xx", "2y"} }, []string{"dial_plan", `"2y"`, "character 2"}},
		{"too many patterns", func(c *Config) { c.DialPlan = make([]string, maxPatterns+1) }, []string{"dial_plan", "256"}},
		{"emergency", func(c *Config) { c.Emergency = []string{"police"} }, []string{"emergency", `"police"`, "0-9"}},
		{"too many emergency", func(c *Config) { c.Emergency = make([]string, maxPatterns+1) }, []string{"emergency", "256"}},
		{"park code", func(c *Config) { c.ParkCode = "#68" }, []string{"park_code", `"#68"`}},
		{"code is emergency", func(c *Config) { c.FetchCode = "911" }, []string{"fetch_code", "emergency"}},
		{"same codes", func(c *Config) { c.FetchCode = c.ParkCode }, []string{"fetch_code", "park_code"}},
		{"duration", func(c *Config) { c.InterDigit = time.Hour }, []string{"inter_digit", "1h0m0s", "500ms", "30s"}},
		{"number", func(c *Config) { c.MaxCalls = 1 }, []string{"max_calls = 1", "2 to 64"}},
		{"volume", func(c *Config) { c.VoiceVolume = 11 }, []string{"voice_volume = 11", "0 to 10"}},
	} {
		cfg := Default()
		c.change(&cfg)
		err := cfg.Validate()
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not name %q", c.name, err, part)
			}
		}
	}
	none := Default()
	none.ParkCode, none.FetchCode = "", ""
	if err := none.Validate(); err != nil {
		t.Errorf("codes can be switched off: %v", err)
	}
}

// BenchmarkParkAndUndo is ten key presses and reports with their effects.
func BenchmarkParkAndUndo(b *testing.B) {
	now := time.Unix(0, 0)
	m := New(Default())
	b.ReportAllocs()
	for b.Loop() {
		m.Step(now, Incoming{Call: "c1", From: "0301", Name: "Ann"})
		m.Step(now, Hook{true})
		m.Step(now, KeyDown{KeyPark})
		m.Step(now, ParkCommitted{"c1", "701"})
		m.Step(now, KeyDown{KeyPark})
		id := m.View().Active
		m.Step(now, Fetched{id, "701", "0301", "Ann"})
		m.Step(now, KeyDown{KeyHold})
		m.Step(now, KeyDown{KeyHold})
		m.Step(now, Hook{false})
		m.Step(now, Ended{id})
	}
}
