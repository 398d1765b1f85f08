package phone

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// step is a change of state.
type step struct{ from, to State }

// ready has the states that the package comment calls so.
var ready = map[State]bool{DialTone: true, Dialing: true, Parked: true, Listing: true, Failure: true, Quiet: true}

// documentedSteps reads the table of the package comment.
func documentedSteps(t testing.TB) map[step]bool {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string][]State{}
	for s := range states {
		name := strings.ReplaceAll(s.String(), "-", "")
		names[name] = []State{s}
		if ready[s] {
			names["ready"] = append(names["ready"], s)
		}
	}
	steps := map[step]bool{}
	for line := range strings.Lines(string(doc)) {
		rest, is := strings.CutPrefix(line, "//\t")
		words := strings.Fields(strings.ToLower(rest))
		if !is || len(words) < 3 || words[0] == "from" {
			continue
		}
		if len(names[words[0]]) == 0 || len(names[words[1]]) != 1 {
			t.Fatalf("doc.go: no states in %q", line)
		}
		for _, from := range names[words[0]] {
			steps[step{from, names[words[1]][0]}] = true
		}
	}
	return steps
}

// reach leads from a new phone to each state. The call in hand is c1 where there is one, else p1; c1 is held in the
// states that have "held" in their name.
var reach = []struct{ name, inputs string }{
	{"idle", ""},
	{"idle held", "incoming c1 from=0301; hook up; key hold; hook down; key dnd"},
	{"idle parking", "incoming c1 from=0301; hook up; key park; hook down"},
	{"idle parked", "incoming c1 from=0301; hook up; key park; park-committed c1 701; hook down"},
	{"idle redial", "key speaker; digit 2; digit 0; digit 4; key speaker"},
	{"ringing", "incoming c1 from=0301"},
	{"ringing held", "incoming c1 from=0301; hook up; key hold; hook down"},
	{"ringing after a late park", "incoming c1 from=0301; hook up; key park; hook down; timer call:c1"},
	{"ringing recall", "incoming c1 from=0301 recall orbit=701"},
	{"ringing 11", "incoming c1 from=0301; digit 1; digit 1"},
	{"ringing held conference", "incoming c1 from=0301; hook up; key hold; digit 2; digit 0; digit 4; answered p1; key conference; key hold; hook down"},
	{"idle held conference", "incoming c1 from=0301; hook up; key hold; digit 2; digit 0; digit 4; answered p1; key conference; key hold; hook down; key dnd"},
	{"dial-tone", "hook up"},
	{"dial-tone parking", "incoming c1 from=0301; hook up; key park; hook down; hook up"},
	{"dial-tone speaker", "key speaker"},
	{"dial-tone held", "incoming c1 from=0301; hook up; key hold"},
	{"dial-tone transfer", "incoming c1 from=0301; hook up; key transfer"},
	{"dial-tone held conference", "incoming c1 from=0301; hook up; key hold; digit 2; digit 0; digit 4; answered p1; key conference; key hold"},
	{"dialing", "hook up; digit 0"},
	{"dialing transfer", "incoming c1 from=0301; hook up; key transfer; digit 0; digit 5"},
	{"calling", "hook up; digit 2; digit 0; digit 4"},
	{"calling 11", "hook up; digit 2; digit 0; digit 4; digit 1; digit 1"},
	{"calling waiting", "hook up; digit 2; digit 0; digit 4; incoming c1 from=0301"},
	{"calling early", "hook up; digit 2; digit 0; digit 4; progress p1 early"},
	{"calling transfer", "incoming c1 from=0301; hook up; key transfer; digit 2; digit 0; digit 4"},
	{"calling held conference", "incoming c1 from=0301; hook up; key hold; digit 2; digit 0; digit 4; answered p1; key conference; key hold; digit 0; digit 5; digit #"},
	{"calling emergency", "hook up; digit 1; digit 1; digit 2"},
	{"talking", "incoming c1 from=0301; hook up"},
	{"talking after a late park", "incoming c1 from=0301; hook up; key park; timer call:c1"},
	{"talking page", "incoming c1 from=0301 auto-answer"},
	{"talking speaker", "incoming c1 from=0301; key speaker"},
	{"talking waiting", "incoming c1 from=0301; hook up; incoming c2 from=0302"},
	{"talking transfer", "incoming c1 from=0301; hook up; key transfer; digit 2; digit 0; digit 4; answered p1"},
	{"talking emergency", "hook up; digit 1; digit 1; digit 2; answered p1"},
	{"conference", "incoming c1 from=0301; hook up; key hold; digit 2; digit 0; digit 4; answered p1; key conference"},
	{"conference waiting", "incoming c1 from=0301; hook up; key hold; digit 2; digit 0; digit 4; answered p1; key conference; incoming c2 from=0302"},
	{"parking", "incoming c1 from=0301; hook up; key park"},
	{"parking waiting", "incoming c1 from=0301; hook up; key park; incoming c2 from=0302"},
	{"parking held", "incoming c1 from=0301; hook up; key hold; key park"},
	{"parking held 11", "incoming c1 from=0301; hook up; key hold; key park; digit 1; digit 1"},
	{"fetching", "hook up; orbit 701 taken"},
	{"fetching waiting", "hook up; orbit 701 taken; incoming c1 from=0301"},
	{"fetching 11", "hook up; orbit 701 taken; digit 1; digit 1"},
	{"fetching speaker", "orbit 701 taken"},
	{"transferring", "incoming c1 from=0301; hook up; key transfer; digit 0; digit 5; key transfer"},
	{"transferring waiting", "incoming c1 from=0301; hook up; key transfer; digit 0; digit 5; key transfer; incoming c2 from=0302"},
	{"transferring 11", "incoming c1 from=0301; hook up; key transfer; digit 0; digit 5; key transfer; digit 1; digit 1"},
	{"transferring after a late park", "incoming c1 from=0301; hook up; key park; timer call:c1; key transfer; digit 0; digit 5; key transfer"},
	{"transferring attended", "incoming c1 from=0301; hook up; key transfer; digit 2; digit 0; digit 4; answered p1; key transfer"},
	{"parked", "incoming c1 from=0301; hook up; key park; park-committed c1 701"},
	{"parked held", "incoming c2 from=0302; hook up; incoming c1 from=0301; key hold; key park; park-committed c1 701"},
	{"listing", "hook up; key park"},
	{"failure", "incoming c1 from=0301; hook up; ended c1"},
	{"quiet", "hook up; timer state; timer state"},
}

// tableInputs are applied in each state.
var tableInputs = strings.Split(strings.TrimSpace(`
hook up
hook down
digit 1
digit 2
digit #
key park
key hold
key transfer
key conference
key redial
key mute
key dnd
key speaker
key volume-up
orbit 701 free
orbit 701 taken
orbit 701 unknown
orbit 701 taken long
incoming c9 from=0309
incoming c9 from=0309 recall orbit=709
incoming c9 from=0309 auto-answer
progress p1 ringing
progress p1 early
answered p1
failed p1 486
failed p1 503
ended p1
ended c1
remote-hold c1 on
identity c1 from=0399 name=New
referred c1
transfer-progress c1 200 final
transfer-progress c1 486 final
park-committed c1 701
park-refused c1 taken orbit=701
fetched p1 orbit=701 from=0301
fetch-refused p1 lost orbit=701
timer state
timer reminder
timer call:c1
timer call:p1
spoken
`), "\n")

// TestTable prints what each input does in each state, so that the diagram and the code cannot part.
func TestTable(t *testing.T) {
	var out bytes.Buffer
	visited := map[State]bool{}
	shown := map[step]bool{}
	documented := documentedSteps(t)
	for _, r := range reach {
		visited[atState(t, r.inputs).m.state] = true
		if got := atState(t, r.inputs).m.state.String(); got != strings.Fields(r.name)[0] {
			t.Errorf("%q leads to %s, not to %s", r.inputs, got, r.name)
		}
		fmt.Fprintf(&out, "%s\n", r.name)
		var ignored []string
		for _, line := range tableInputs {
			b := atState(t, r.inputs)
			from := b.m.state
			effects := feed(t, b, line)
			if s := (step{from, b.m.state}); s.from != s.to && !documented[s] {
				t.Errorf("%s, %s: %v -> %v is not in the package comment", r.name, line, s.from, s.to)
			}
			shown[step{from, b.m.state}] = true
			if len(effects) == 1 && isIgnored(effects[0]) {
				ignored = append(ignored, line)
				continue
			}
			fmt.Fprintf(&out, "  %-38s -> %s%s\n", line, b.m.state, listed(effects))
		}
		fmt.Fprintf(&out, "  ignored: %s\n", strings.Join(ignored, "; "))
	}
	for s := range states {
		if !visited[s] {
			t.Errorf("no row for %v", s)
		}
	}
	for s := range documented {
		if !shown[s] && !ready[s.from] && s.to != Failure {
			t.Errorf("no row shows %v -> %v", s.from, s.to)
		}
	}
	const file = "testdata/table.golden"
	want, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	golden(t, file, want, out.Bytes())
}

func atState(t *testing.T, inputs string) *bench {
	t.Helper()
	b := newBench(testConfig())
	for line := range strings.SplitSeq(inputs, "; ") {
		if line != "" {
			feed(t, b, line)
		}
	}
	return b
}

// TestForgetsTheOldestHangUp: a far end that never confirms its end does not fill the table.
func TestForgetsTheOldestHangUp(t *testing.T) {
	b := newBench(testConfig())
	for range 3 * maxEnding {
		for _, d := range []byte("204") {
			b.step(Digit{d})
		}
		feed(t, b, "key speaker")
	}
	if calls := b.m.View().Calls; len(calls) != maxEnding || calls[0].Call != "p33" {
		t.Errorf("%d calls, the oldest %s", len(calls), calls[0].Call)
	}
}

// feed steps one input; a timer that runs is due first.
func feed(t *testing.T, b *bench, line string) []Effect {
	t.Helper()
	in, err := parseInput(line)
	if err != nil {
		t.Fatal(err)
	}
	if timer, is := in.(Timer); is {
		if at, runs := b.timers[timer.ID]; runs {
			b.now = at
			delete(b.timers, timer.ID)
		}
	}
	return b.step(in)
}

func isIgnored(e Effect) bool {
	_, is := e.(Ignored)
	return is
}

func listed(effects []Effect) string {
	var s strings.Builder
	sep := ": "
	for _, e := range effects {
		s.WriteString(sep)
		sep = "; "
		if isIgnored(e) {
			s.WriteString("ignored")
		} else {
			s.WriteString(e.String())
		}
	}
	return s.String()
}

// TestConferenceJoin: hanging up leaves the two others to each other; if they cannot, both ring and nobody is dropped.
func TestConferenceJoin(t *testing.T) {
	conference := "incoming c1 from=0301; hook up; key hold; digit 2; digit 0; digit 4; answered p1; key conference; hook down"
	for _, tc := range []struct{ then, want string }{
		{"", "music c1; attended-transfer c1 to=p1; set-timer call:c1 30s; music p1; connect nothing; open none = idle"},
		{"transfer-progress c1 200 final", "hang-up c1; stop-timer call:c1; hang-up p1 = idle"},
		{"transfer-progress c1 603 final", "stop-timer call:c1; hold c1; show c1 from=0301 note=\"not transferred\"; hold p1; " +
			"show p1 from=204 note=\"not transferred\"; ring-start recall c1; set-timer reminder 20s; beep error 200ms = ringing"},
		{"ended c1", "stop-timer call:c1; hold p1; show p1 from=204 note=\"not transferred\"; ring-start recall p1; set-timer reminder 20s = ringing"},
	} {
		cfg := testConfig()
		cfg.ConferenceJoin = true
		b := newBench(cfg)
		var out []Effect
		for line := range strings.SplitSeq(conference, "; ") {
			out = feed(t, b, line)
		}
		if tc.then != "" {
			out = feed(t, b, tc.then)
		}
		if got := strings.TrimPrefix(listed(out), ": ") + " = " + b.m.state.String(); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.then, got, tc.want)
		}
	}
}
