package panel

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// lit says whether a lamp of this cadence is lit at t.
func (c Cadence) lit(t time.Time) bool {
	var period time.Duration
	for _, d := range c {
		period += d
	}
	if period <= 0 {
		return true
	}
	at := time.Duration(t.UnixNano() % int64(period))
	for i, d := range c {
		if at < d {
			return i%2 == 0
		}
		at -= d
	}
	return true
}

func TestCadence(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name  string
		c     Cadence
		at    time.Duration // after the Unix epoch
		lit   bool
		coded string
	}{
		{"steady", nil, 123 * ms, true, "[]"},
		{"parked here, begin", Cadence{400 * ms, 100 * ms}, 0, true, "[400,100]"},
		{"parked here, lit", Cadence{400 * ms, 100 * ms}, 500*ms + 399*ms, true, "[400,100]"},
		{"parked here, dark", Cadence{400 * ms, 100 * ms}, 500*ms + 400*ms, false, "[400,100]"},
		{"parked elsewhere, dark", Cadence{100 * ms, 400 * ms}, 499 * ms, false, "[100,400]"},
		{"double flash, gap", Cadence{100 * ms, 100 * ms, 100 * ms, 700 * ms}, 150 * ms, false, "[100,100,100,700]"},
		{"double flash, second", Cadence{100 * ms, 100 * ms, 100 * ms, 700 * ms}, 250 * ms, true, "[100,100,100,700]"},
		{"double flash, rest", Cadence{100 * ms, 100 * ms, 100 * ms, 700 * ms}, 999 * ms, false, "[100,100,100,700]"},
	} {
		if lit := c.c.lit(time.Unix(0, int64(c.at))); lit != c.lit {
			t.Errorf("%s: lit %v at %v, want %v", c.name, lit, c.at, c.lit)
		}
		b, err := json.Marshal(c.c)
		if err != nil || string(b) != c.coded {
			t.Errorf("%s: coded %s (%v), want %s", c.name, b, err, c.coded)
		}
	}
	var c Cadence
	if err := json.Unmarshal([]byte(`["fast"]`), &c); err == nil || !strings.Contains(err.Error(), "lamp cadence") {
		t.Errorf("a word as cadence: %v", err)
	}
}

// TestStatusRoundTrip: what a Go program reads is what was sent.
func TestStatusRoundTrip(t *testing.T) {
	want := newFakePhone().Status().complete()
	want.Lamps[0].Cadence = Cadence{400 * time.Millisecond, 100 * time.Millisecond}
	for i := range want.Lamps[1:] {
		want.Lamps[1+i].Cadence = Cadence{}
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Status
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(b) || !reflect.DeepEqual(got.Lamps, want.Lamps) {
		t.Errorf("sent\n%s\nread\n%s", b, again)
	}
}

func TestPartyString(t *testing.T) {
	for want, p := range map[string]Party{
		"":                    {},
		"Jane (12)":           {Name: "Jane", Number: "12", URI: "sip:12@x"},
		"12":                  {Name: "12", Number: "12"},
		"Jane":                {Name: "Jane"},
		"sip:jane@x":          {URI: "sip:jane@x"},
		"Jane (sip:jane@x.y)": {Name: "Jane", URI: "sip:jane@x.y"},
	} {
		if got := p.String(); got != want {
			t.Errorf("%#v: %q, want %q", p, got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("the default is invalid: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"max_connections = 7: want 8 to 4096":   func(c *Config) { c.MaxConnections = 7 },
		"max_streams = 0: want 1 to 1024":       func(c *Config) { c.MaxStreams = 0 },
		"max_listeners = 65: want 1 to 64":      func(c *Config) { c.MaxListeners = 65 },
		"max_hold = 100ms: want 1s to 5m":       func(c *Config) { c.MaxHold = 100 * time.Millisecond },
		`hosts: "http://a": want a host name`:   func(c *Config) { c.Hosts = []string{"ok", "http://a"} },
		"108 bytes long, at most 107 are possi": func(c *Config) { c.Socket = strings.Repeat("s", 108) },
	} {
		c := Default()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

func BenchmarkStatusJSON(b *testing.B) {
	s := newFakePhone().Status()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(s.complete()); err != nil {
			b.Fatal(err)
		}
	}
}
