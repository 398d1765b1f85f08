package vqreport

import (
	"flag"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func report() Report {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	return Report{
		CallID: "12345600@atlanta.example.com", LocalTag: "9123dh311", RemoteTag: "8675309",
		Local:  End{"sip:201@192.0.2.1", netip.MustParseAddrPort("192.0.2.1:20000"), 0xa3b},
		Remote: End{"sip:alice@example.com", netip.MustParseAddrPort("192.0.2.9:4000"), 0x1234abcd},
		Start:  start, Stop: start.Add(139 * time.Second), Codec: "PCMU", ClockRate: 8000,
		Heard: Metrics{Known: true, LossPercent: 5, LatePercent: 2.04, BurstsKnown: true, BurstPercent: 30, GapPercent: 1.5, Burst: 300 * time.Millisecond, Gap: 12 * time.Second,
			Buffer: 40 * time.Millisecond, BufferMax: 80 * time.Millisecond, Longest: 400 * time.Millisecond, RoundTrip: 82400 * time.Microsecond, EndSystem: 80 * time.Millisecond,
			OneWay: 121 * time.Millisecond, Jitter: 2 * time.Millisecond, R: 84.6, MOSLQ: 4.24, MOSCQ: 4.16},
		FarEnd: Metrics{Known: true, RoundTrip: 82 * time.Millisecond, Jitter: 7 * time.Millisecond, R: 92, MOSCQ: 4.38},
	}
}

// TestGolden shows the whole body, one that is known in part, and that of a call whose far end sent nothing.
func TestGolden(t *testing.T) {
	silent := report()
	silent.Caller, silent.Heard, silent.FarEnd = true, Metrics{}, Metrics{}
	hostile := report()
	hostile.Remote.ID, hostile.FarEnd = "sip:x@y\r\nQualityEst:MOSCQ=5.0\r\n", Metrics{}
	for name, r := range map[string]Report{"whole": report(), "silent": silent, "hostile": hostile} {
		got := string(r.Body())
		path := "testdata/" + name + ".txt"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got != string(want) {
			t.Errorf("%s: %v, got\n%s", name, err, got)
		}
		checkGrammar(t, name, got)
	}
}

// grammar is the lines of RFC 6035 §4.6.1 in their order.
var grammar = regexp.MustCompile(`^VQSessionReport: CallTerm\r
CallID: [^\r\n]+\r
LocalID: [^\r\n]+\r
RemoteID: [^\r\n]+\r
OrigID: [^\r\n]+\r
LocalAddr: IP=[0-9a-f.:]+ PORT=\d+ SSRC=0x[0-9a-f]{1,8}\r
RemoteAddr: IP=[0-9a-f.:]+ PORT=\d+ SSRC=0x[0-9a-f]{1,8}\r
LocalMetrics:\r
` + metricsGrammar + `(RemoteMetrics:\r
` + metricsGrammar + `)?DialogID: [^\r\n;]+;to-tag=[^\r\n;]+;from-tag=[^\r\n;]+\r
$`)

const metricsGrammar = `Timestamps:START=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ STOP=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\r
SessionDesc:PT=\d{1,3} PD=\w+ SR=\d+ FD=\d{1,4} FPP=\d{1,2} PPS=\d{1,5}( PLC=[0-3])? SSUP=(on|off)\r
(JitterBuffer:JBA=[0-3] JBR=\d{1,2} JBN=\d{1,5} JBM=\d{1,5} JBX=\d{1,5}\r
)?(PacketLoss:NLR=\d{1,3}\.\d JDR=\d{1,3}\.\d\r
)?(BurstGapLoss:BLD=\d{1,3}\.\d BD=\d+ GLD=\d{1,3}\.\d GD=\d+ GMIN=\d+\r
)?(Delay:(RTD=\d{1,5} )?(ESD=\d{1,5} )?(SOWD=\d{1,5} )?IAJ=\d{1,5}\r
)?(QualityEst:(RCQ=\d{1,3})?( MOSLQ=\d\.\d)?( MOSCQ=\d\.\d)?\r
)?`

func checkGrammar(t *testing.T, name, body string) {
	t.Helper()
	if !grammar.MatchString(body) {
		t.Errorf("%s: not what RFC 6035 §4.6.1 allows:\n%s", name, body)
	}
}

// FuzzBody: nothing that comes from outside makes a line of its own.
func FuzzBody(f *testing.F) {
	f.Add("sip:a@b", "call\r\nLocalMetrics:")
	f.Fuzz(func(t *testing.T, id, call string) {
		r := report()
		r.Remote.ID, r.CallID = id, call
		if got, want := strings.Count(string(r.Body()), "\n"), strings.Count(string(report().Body()), "\n"); got != want {
			t.Errorf("%d lines, want %d", got, want)
		}
	})
}

func TestConfig(t *testing.T) {
	for value, ok := range map[string]bool{"": true, "sip:collector@192.0.2.9": true, "sips:c@example.net:5061": true, "collector": false, "http://example.net": false, "sip:": false} {
		if err := (Config{Collector: value}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", value, err)
		}
	}
}
