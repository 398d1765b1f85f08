package parkd

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata")

// t0 is when every test begins; the epoch 36 prints as 10 in call ids.
var t0 = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

const epoch0 = 36

// runner plays a transcript: it owns the clock and the timers of one machine.
type runner struct {
	m      *Machine
	now    time.Time
	timers map[string]time.Time
}

func newRunner(cfg Config) *runner {
	return &runner{m: New(cfg, "dock-1", epoch0), now: t0, timers: make(map[string]time.Time)}
}

func (r *runner) step(in Input) []Effect {
	out := r.m.Step(r.now, in)
	for _, e := range out {
		switch e := e.(type) {
		case SetTimer:
			r.timers[e.ID] = e.At
		case StopTimer:
			delete(r.timers, e.ID)
		}
	}
	return out
}

// wait lets time pass; due timers come in order of time, then name.
func (r *runner) wait(d time.Duration, each func([]Effect)) {
	end := r.now.Add(d)
	for {
		first := ""
		for id, at := range r.timers {
			if !at.After(end) && (first == "" || at.Before(r.timers[first]) || at.Equal(r.timers[first]) && id < first) {
				first = id
			}
		}
		if first == "" {
			break
		}
		if at := r.timers[first]; at.After(r.now) {
			r.now = at
		}
		delete(r.timers, first)
		each(r.step(Timer{ID: first}))
	}
	r.now = end
}

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcript-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(in))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(in) {
				t.Errorf("differs; run with -update and read the diff. Got:\n%s", got)
			}
		})
	}
}

// play runs the commands of a transcript (lines without indent) and prints them with their effects.
func play(t *testing.T, text string) string {
	t.Helper()
	cfg := Default()
	cfg.Orbits = []string{"701", "702", "703"}
	r := newRunner(cfg)
	var b strings.Builder
	show := func(out []Effect) {
		for _, e := range out {
			fmt.Fprintf(&b, "  %s\n", line(e))
		}
	}
	sc := bufio.NewScanner(strings.NewReader(text))
	for sc.Scan() {
		cmd := sc.Text()
		if strings.HasPrefix(cmd, "  ") {
			continue
		}
		b.WriteString(cmd + "\n")
		words := strings.Fields(cmd)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		a := args(words[1:])
		switch words[0] {
		case "config":
			cfg.RecallRefused = a.or("refused", cfg.RecallRefused)
			for _, to := range strings.Split(a["escalation"], ",") {
				if to != "" {
					cfg.Escalation = append(cfg.Escalation, Step{To: to, Ring: 10 * time.Second})
				}
			}
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			r = newRunner(cfg)
		case "wait":
			d, err := time.ParseDuration(words[1])
			if err != nil {
				t.Fatalf("%q: %v", cmd, err)
			}
			r.wait(d, show)
		case "view":
			for _, v := range r.m.Orbits() {
				fmt.Fprintf(&b, "  %s\n", viewLine(v))
			}
		case "list":
			for _, s := range r.m.List() {
				fmt.Fprintf(&b, "  %s caller=%s age=%s\n", slotLine(s), s.Caller.Name, r.now.Sub(s.Since))
			}
		default:
			in, err := parseInput(words[0], a)
			if err != nil {
				t.Fatalf("%q: %v", cmd, err)
			}
			show(r.step(in))
		}
	}
	return b.String()
}

type arguments map[string]string

func args(words []string) arguments {
	a := make(arguments)
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		a[k] = v
	}
	return a
}

func (a arguments) or(key, def string) string {
	if v, ok := a[key]; ok {
		return v
	}
	return def
}

func (a arguments) flag(key string) bool { _, ok := a[key]; return ok }

func (a arguments) number(key string) int {
	n, _ := strconv.Atoi(a[key])
	return n
}

func (a arguments) party(key string) Party {
	name, uri, _ := strings.Cut(strings.TrimSuffix(a[key], ">"), "<") // Bob or Bob<sip:bob@site>
	return Party{Name: name, URI: uri}
}

// reason is the Reason of that name.
func reason(name string) Reason { return Reason(slices.Index(reasonNames[:], name)) }

func parseInput(name string, a arguments) (Input, error) {
	leg := LegID(a["leg"])
	switch name {
	case "park":
		return Park{Token: a["token"], Leg: leg, Orbit: a["orbit"], Caller: a.party("caller"), Parker: a.party("parker"),
			ParkerRef: a.or("ref", DeskPhone), Emergency: a.flag("emergency"),
			Gone: a.flag("gone")}, nil
	case "parker-gone":
		return ParkerGone{Token: a["token"]}, nil
	case "granted":
		return ClaimResult{Token: a["token"], Orbit: a["orbit"], Granted: true}, nil
	case "refused":
		return ClaimResult{Token: a["token"], Orbit: a["orbit"], Reason: reason(a.or("reason", "taken"))}, nil
	case "fetch":
		return Fetch{Token: a["token"], Leg: leg, Orbit: a["orbit"], CallID: a["call"]}, nil
	case "undo":
		return Undo{Token: a["token"], Leg: leg, ParkerRef: a.or("ref", DeskPhone)}, nil
	case "abort":
		return Abort{Token: a["token"]}, nil
	case "joined":
		return JoinResult{Token: a["token"], OK: true, Leg: leg}, nil
	case "join-failed":
		return JoinResult{Token: a["token"], Reason: reason(a.or("reason", "none"))}, nil
	case "ended":
		return LegEnded{Leg: leg}, nil
	case "swap":
		return Swap{Token: a["token"], Leg: leg, NewLeg: LegID(a["new"]), Caller: a.party("caller")}, nil
	case "caller":
		return CallerChanged{Leg: leg, Caller: a.party("caller")}, nil
	case "ringing":
		return RecallProgress{Token: a["token"]}, nil
	case "answered":
		return RecallAnswered{Token: a["token"], Leg: leg}, nil
	case "recall-failed":
		return RecallFailed{Token: a["token"], Code: a.number("code")}, nil
	case "timer":
		return Timer{ID: a["id"]}, nil
	case "close":
		return Close{}, nil
	case "raise":
		return RaiseEpoch{Epoch: uint64(a.number("epoch"))}, nil
	case "peer":
		p := Peer{Name: a["name"], Alive: !a.flag("dead"), Epoch: uint64(a.number("epoch")), Generation: uint64(a.number("gen"))}
		for i, w := range strings.Split(a["calls"], ",") { // calls=701:parked,702:recalling
			orbit, state, ok := strings.Cut(w, ":")
			if !ok {
				continue
			}
			st, err := ParseState(state)
			if err != nil {
				return nil, err
			}
			p.State = append(p.State, SlotState{Orbit: orbit, State: st, CallID: p.Name + "." + strconv.Itoa(i+1),
				Since: t0.Add(time.Duration(i-10) * time.Second), Caller: Party{Name: "Remote" + strconv.Itoa(i+1)}})
		}
		return p, nil
	}
	return nil, fmt.Errorf("unknown command")
}

func slotLine(s SlotState) string {
	text := fmt.Sprintf("%s %s %s", s.Orbit, s.CallID, s.State)
	if s.Priority > 0 {
		text += fmt.Sprintf(" priority=%d", s.Priority)
	}
	if s.Step > 0 {
		text += fmt.Sprintf(" step=%d", s.Step)
	}
	if s.Unknown {
		text += " unknown"
	}
	return text
}

func viewLine(v OrbitView) string {
	text := fmt.Sprintf("%s %s", v.Orbit, v.State)
	if len(v.Calls) > 0 {
		text += fmt.Sprintf(" caller=%s parker=%s host=%s calls=%d", v.Caller.Name, v.Parker.Name, v.Host, len(v.Calls))
	}
	return text
}

// line prints an effect in one line.
func line(e Effect) string {
	at := func(t time.Time) string { return t.Sub(t0).String() }
	who := func(l LegID) string {
		if l == "" {
			return "(phone)"
		}
		return string(l)
	}
	switch e := e.(type) {
	case Claim:
		return fmt.Sprintf("claim %s %s", e.Token, e.Orbit)
	case ReleaseClaim:
		return fmt.Sprintf("release-claim %s %s", e.Token, e.Orbit)
	case Announce:
		var ss []string
		for _, s := range e.Slots {
			ss = append(ss, slotLine(s))
		}
		return fmt.Sprintf("announce %d.%d [%s]", e.Epoch, e.Generation, strings.Join(ss, ", "))
	case Music:
		return "music " + string(e.Leg)
	case Committed:
		return fmt.Sprintf("committed %s leg=%s orbit=%s", e.Token, e.Leg, e.Orbit)
	case Refused:
		return fmt.Sprintf("refused %s leg=%s orbit=%s %s", e.Token, who(e.Leg), e.Orbit, e.Reason)
	case HandToPhone:
		return fmt.Sprintf("hand-to-phone %s leg=%s", e.Token, e.Leg)
	case Join:
		return fmt.Sprintf("join %s parked=%s fetcher=%s", e.Token, e.Parked, e.Fetcher)
	case FetchRemote:
		return fmt.Sprintf("fetch-remote %s fetcher=%s host=%s %s", e.Token, who(e.Fetcher), e.Slot.Host, slotLine(e.Slot))
	case CancelFetch:
		return "cancel-fetch " + e.Token
	case Recall:
		return fmt.Sprintf("recall %s to=%s step=%d", e.Token, e.To, e.Step)
	case StopRecall:
		return "stop-recall " + e.Token
	case HangUp:
		return fmt.Sprintf("hang-up %s (%s)", e.Leg, e.Reason)
	case Report:
		return fmt.Sprintf("report %s %s by=%s after=%s", slotLine(e.Row.Slot), e.Row.End, who(e.Row.By), e.Row.Ended.Sub(e.Row.Slot.Since))
	case Changed:
		return "changed " + strings.Join(e.Orbits, " ")
	case SetTimer:
		return fmt.Sprintf("timer %s at=%s", e.ID, at(e.At))
	case StopTimer:
		return "stop-timer " + e.ID
	case Ignored:
		return fmt.Sprintf("ignored %T", e.Input)
	}
	return fmt.Sprintf("%T", e)
}

// TestStateTimesInput prints what every state does with every input about a call, so that the diagram
// in the package comment and the code cannot part.
func TestStateTimesInput(t *testing.T) {
	// Each state is reached by commands for the caller's leg "a", parked with token "p".
	reach := []struct{ state, commands string }{
		{"waiting", "park token=x leg=x orbit=701|park token=y leg=y orbit=702|park token=z leg=z orbit=703|park token=p leg=a"},
		{"claiming", "park token=p leg=a"},
		{"claiming, orbit asked", "park token=p leg=a orbit=702"},
		{"parked", "park token=p leg=a|granted token=p orbit=701"},
		{"ending", "park token=p leg=a|granted token=p orbit=701|wait 81s"},
		{"recalling", "park token=p leg=a|granted token=p orbit=701|wait 90s"},
		{"fetching by phone", "park token=p leg=a|granted token=p orbit=701|fetch token=f orbit=701"},
		{"fetching by leg", "park token=p leg=a|granted token=p orbit=701|fetch token=f orbit=701 leg=b"},
		{"fetching by recall", "park token=p leg=a|granted token=p orbit=701|wait 90s|answered token=recall:2"},
	}
	inputs := []string{
		"granted token=p orbit=701", "refused token=p orbit=701", "refused token=p orbit=702", "parker-gone token=p", "abort token=p", "abort token=f",
		"ended leg=a", "ended leg=b", "undo token=u", "fetch token=g orbit=701", "fetch token=g orbit=701 leg=c",
		"joined token=f", "join-failed token=f", "swap token=s leg=a new=n caller=New", "caller leg=a caller=New",
		"ringing token=recall:2", "answered token=recall:2", "answered token=recall:2 leg=d", "recall-failed token=recall:2 code=486",
		"park token=q leg=a", "park token=q leg=e orbit=701", "close", "timer",
	}
	cfg := Default()
	cfg.Orbits = []string{"701", "702", "703"}
	cfg.Escalation = []Step{{To: "reception", Ring: 10 * time.Second}}
	var b strings.Builder
	for _, st := range reach {
		fmt.Fprintf(&b, "# %s\n", st.state)
		for _, cmd := range inputs {
			r := newRunner(cfg)
			for _, c := range strings.Split(st.commands, "|") {
				run(t, r, c)
			}
			var lines []string
			for _, e := range run(t, r, cmd) {
				lines = append(lines, line(e))
			}
			if len(lines) == 0 {
				lines = []string{"-"}
			}
			fmt.Fprintf(&b, "%-38s => %s\n", cmd, strings.Join(lines, "; "))
		}
		b.WriteString("\n")
	}
	const file = "testdata/state-input.golden"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s differs; run with -update and read the diff", file)
	}
}

// run carries out one command; "timer" fires the timer of leg a's call early and then in time.
func run(t *testing.T, r *runner, cmd string) []Effect {
	t.Helper()
	words := strings.Fields(cmd)
	var out []Effect
	switch words[0] {
	case "wait":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		r.wait(d, func(es []Effect) { out = append(out, es...) })
	case "timer":
		c := r.m.legs["a"]
		if c == nil || c.timerAt.IsZero() {
			t.Fatalf("no timer runs in state %v", c.State)
		}
		id := c.timerID()
		if early := r.step(Timer{ID: id}); len(early) != 1 || line(early[0]) != "ignored parkd.Timer" {
			t.Errorf("timer %s fired early did %v", id, early)
		}
		r.now = c.timerAt
		out = r.step(Timer{ID: id})
	default:
		in, err := parseInput(words[0], args(words[1:]))
		if err != nil {
			t.Fatalf("%q: %v", cmd, err)
		}
		out = r.step(in)
	}
	return out
}

func TestConfigErrorsNameKeyAndRange(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatalf("Default: %v", err)
	}
	for _, tc := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no orbits", func(c *Config) { c.Orbits = nil }, "orbits has 0 entries: 1 to 1000"},
		{"orbit twice", func(c *Config) { c.Orbits = []string{"701", "701"} }, `orbits[1] = "701": each once`},
		{"orbit with letters", func(c *Config) { c.Orbits = []string{"7o1"} }, `orbits[0] = "7o1": each is one number of 1 to 16 digits`},
		{"orbit with a star", func(c *Config) { c.Orbits = []string{"7*1"} }, `orbits[0] = "7*1": each is one number of 1 to 16 digits`},
		{"orbit range", func(c *Config) { c.Orbits = []string{"701-703"} }, `orbits[0] = "701-703": each is one number of 1 to 16 digits`},
		{"timeout", func(c *Config) { c.Timeout = 0 }, "timeout = 0s: 1s to 24h0m0s"},
		{"refused", func(c *Config) { c.RecallRefused = "drop" }, `recall_refused = "drop": next, park or release`},
		{"escalation", func(c *Config) { c.Escalation = []Step{{Ring: time.Second}} }, `escalation[0].to = "": a URI or an extension`},
		{"escalation ring", func(c *Config) { c.Escalation = []Step{{To: "1"}} }, "escalation[0].ring = 0s: 1s to 10m"},
		{"calls", func(c *Config) { c.MaxCalls = 0 }, "max_calls = 0: 1 to 10000"},
		{"peers", func(c *Config) { c.MaxPeers = -1 }, "max_peers = -1: 0 to 1000"},
		{"lot", func(c *Config) { c.Lot = "" }, `lot = "": 1 to 64 characters`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Default()
			tc.edit(&c)
			if err := c.Validate(); err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestNamesRoundTrip(t *testing.T) {
	for s := Parked; s <= Fetching; s++ {
		if got, err := ParseState(s.String()); err != nil || got != s {
			t.Errorf("state %v: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "claiming", "waiting", "reserved", "state(9)"} {
		if _, err := ParseState(s); err == nil {
			t.Errorf("ParseState(%q) succeeded", s)
		}
	}
	for r := ReasonNone; r <= ReasonLimit; r++ {
		if reason(r.String()) != r {
			t.Errorf("reason %v has no word of its own", r)
		}
	}
	names := []string{State(99).String(), End(99).String(), Reason(99).String(), ViewState(99).String()}
	if slices.Contains(names, "") {
		t.Errorf("a value without a name prints nothing: %q", names)
	}
}
