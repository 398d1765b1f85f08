package call

import (
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

func TestConfigRanges(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	for key, spoil := range map[string]func(*Config){
		"srtp":                      func(c *Config) { c.SRTP = "yes" },
		"max_calls = 0":             func(c *Config) { c.MaxCalls = 0 },
		"session_expires = 1m29s":   func(c *Config) { c.SessionExpires = 89 * time.Second },
		"min_se = 11m0s":            func(c *Config) { c.MinSE = 11 * time.Minute },
		"ring_timeout = 3m0s":       func(c *Config) { c.RingTimeout = 3 * time.Minute },
		"transfer_timeout = 1s":     func(c *Config) { c.TransferTimeout = time.Second },
		"max_transfers = 17: allow": func(c *Config) { c.MaxTransfers = 17 },
	} {
		c := Default()
		spoil(&c)
		if key == "srtp" {
			if err := c.Validate(); err == nil || err.Error() != `srtp = "yes": allowed are off, preferred and required` {
				t.Errorf("%s: %v", key, err)
			}
			continue
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), " to ") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestSplit(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		"a":                         "a",
		"a, b,c":                    "a|b|c",
		`"x, \"y" <sip:a,b@c>, <d>`: `"x, \"y" <sip:a,b@c>|<d>`,
		"a,":                        "a|",
	} {
		if got := strings.Join(split(in, ','), "|"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNameAddr(t *testing.T) {
	for in, want := range map[string]Party{
		`"Ann \"A\" Lee" <sip:4711@example.com;user=phone>`: {`Ann "A" Lee`, "sip:4711@example.com;user=phone", "4711"},
		`Ann <sip:4711@example.com>;tag=1`:                  {"Ann", "sip:4711@example.com", "4711"},
		`sip:4711@example.com;tag=1`:                        {"", "sip:4711@example.com", "4711"},
		`<tel:+1-201-555-0123;phone-context=x>`:             {"", "tel:+1-201-555-0123;phone-context=x", "+1-201-555-0123"},
		`<sip:100;phone-context=x@example.com>`:             {"", "sip:100;phone-context=x@example.com", "100"},
		"\"a\tb\x7f\" <sip:x@y>":                            {"ab", "sip:x@y", "x"},
		// Whoever writes 47000 bytes about himself is nobody, and takes up no room in each status.
		`Ann <sip:` + strings.Repeat("4", 47000) + `@example.com>`:      {"Ann", "sip:anonymous@anonymous.invalid", "anonymous"},
		`Ann <sip:4711@example.com;x=` + strings.Repeat("4", 600) + `>`: {"Ann", "sip:anonymous@anonymous.invalid", "anonymous"},
		`<tel:` + strings.Repeat("4", 129) + `>`:                        {"", "sip:anonymous@anonymous.invalid", "anonymous"},
	} {
		if got, _, err := nameAddr(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", " ", "*", "<>", "<sip:", "<sip:a@b>\r\nVia: x", `"x`} {
		if got, _, err := nameAddr(in); err == nil {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

// What goes into a header is one line, whatever it was made of.
func TestHeadersAreOneLine(t *testing.T) {
	evil := "x\r\nEvil: 1\x00\n"
	for _, h := range []gosip.Header{
		header("A", evil), asserted(Party{Name: evil, URI: "sip:a@b" + evil}), reasonHeader(evil), reasonHeader("SIP;cause=200;" + evil),
	} {
		if strings.ContainsAny(h.String(), "\r\n\x00") {
			t.Errorf("%q", h.String())
		}
	}
	if q := quote(evil + `"\`); strings.ContainsAny(q, "\r\n") || !strings.HasSuffix(q, `\"\\`) {
		t.Errorf("%q", q)
	}
}

func TestAutoAnswer(t *testing.T) {
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"Call-Info", "<sip:x>;answer-after=0", true},
		{"Call-Info", "<sip:x>; Answer-After=3", true},
		{"Call-Info", "<sip:x>;purpose=icon", false},
		{"Call-Info", "<sip:x>;answer-after=soon", false},
		{"Alert-Info", "<http://x>;info=alert-autoanswer;delay=2", true},
		{"Alert-Info", "info=Auto Answer", true},
		{"Alert-Info", "<http://x>;info=ringer2", false},
		{"Answer-Mode", "Auto;require", true},
		{"Answer-Mode", "Manual", false},
	} {
		req := gosip.NewRequest(gosip.INVITE, gosip.Uri{Host: "x"})
		req.AppendHeader(gosip.NewHeader(c.name, c.value))
		if ok := autoAnswer(req); ok != c.ok {
			t.Errorf("%s: %s: %v", c.name, c.value, ok)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff")
	f.Add("98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff\"87ff")
	f.Add("<sip:dave@denver.example.org?Replaces=12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994>")
	f.Add(`"Lee, \"Ann" <sip:+123@pbx.example.com;user=phone>;tag=x, <tel:+123>`)
	f.Add("SIP/2.0 200 Parked at 701\r\nTo: x")
	f.Add("Signal=5\nDuration=160\n")
	f.Add("1800;refresher=uac")
	f.Fuzz(func(t *testing.T, in string) {
		if r, err := parseReplaces(in); err == nil {
			if again, err := parseReplaces(r.String()); err != nil || again != r {
				t.Errorf("Replaces %q: %+v, then %+v, %v", in, r, again, err)
			}
		}
		if uri, r, err := parseReferTo(in); err == nil {
			out := referTo(uri, r)
			if _, again, err := parseReferTo(clean(out)); err == nil && r != nil && (again == nil || *again != *r) {
				t.Errorf("Refer-To %q: %q, %+v, then %+v", in, out, r, again)
			}
		}
		for _, v := range split(in, ',') {
			if p, _, err := nameAddr(v); err == nil && strings.ContainsAny(p.Name+p.URI+p.Number, "\r\n\x00") {
				t.Errorf("party of %q: %q", v, p)
			}
		}
		parseFragment("message/sipfrag", []byte(in))
		infoDigit("application/dtmf-relay", []byte(in))
		infoDigit("application/dtmf", []byte(in))
		param(in, "refresher")
	})
}
