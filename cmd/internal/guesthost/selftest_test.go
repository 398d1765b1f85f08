//go:build image

package guesthost

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/authority"
	"parklamp/cmd/internal/hands"
	"parklamp/cmd/internal/selftest"
	"parklamp/cmd/internal/speech"
	"parklamp/media/prompt"
	"parklamp/parkd/panel"
)

// blind is a lamp that the technician does not see: one that is dark must be found.
const blind = "orbit-704"

// technician is who does at a phone what `parkctl selftest` asks for.
type technician struct {
	*phone
	socket string // of phoned, in this machine
	end    *selftest.Result
	lit    string // the lamp of the last question
}

// How often she presses a key until something else is asked: the answer to a question that is spoken first may come too early.
const (
	often  = 3 * time.Second
	seldom = 8 * time.Second
	look   = 20 * time.Millisecond // at the lamps
)

// parkctl runs the program against the phone's socket.
func (w *technician) parkctl(args ...string) *exec.Cmd {
	return exec.CommandContext(w.s.Context(), built.parkctl, append([]string{"--socket", w.socket}, args...)...)
}

// walk does a self test to its end.
func (w *technician) walk(args ...string) {
	w.s.Helper()
	cmd := w.parkctl(append([]string{"--json", "selftest"}, args...)...)
	out, err := cmd.StdoutPipe()
	w.must(err)
	var said strings.Builder
	cmd.Stderr = &said
	w.must(cmd.Start())
	rest := func() {} // what the last question keeps her doing
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20) // the last one holds the report
	for lines.Scan() {
		var e selftest.Event
		w.must(json.Unmarshal(lines.Bytes(), &e))
		switch {
		case e.End != nil:
			w.end = e.End
		case e.Ask != nil:
			rest()
			rest = w.does(*e.Ask)
		}
	}
	rest()
	if err := cmd.Wait(); w.end == nil {
		w.s.Fatalf("parkctl selftest: %v\n%s", err, said.String())
	}
}

// does does what is asked; the function it returns ends what she goes on doing.
func (w *technician) does(q selftest.Question) (rest func()) {
	ctx := w.s.Context()
	again := func(key func() string, pause time.Duration) func() { // not only once: what is not asked yet is no answer
		ctx, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				next := pause
				if w.Tap(context.WithoutCancel(ctx), key(), hold) != nil {
					next = look // she saw the lamp of the question before, which has no key
				}
				select {
				case <-ctx.Done():
				case <-time.After(next):
				}
			}
		}()
		return func() { stop(); <-done }
	}
	switch {
	case q.Seconds == 0: // asks nothing of her
		if q.Step == selftest.Loop || q.Step == "" {
			w.must(w.Echo(ctx))
		}
	case q.Item == "lift", q.Item == "put back":
		w.must(w.Hook(ctx, q.Item == "lift"))
	case q.Step == selftest.Keys:
		return again(func() string { return q.Item }, seldom)
	case strings.Contains(q.Text, "key beside"):
		return again(w.lightsUp, seldom)
	default:
		return again(func() string { return "#" }, often)
	}
	return func() {}
}

// lightsUp waits for a lamp that is lit alone and was not the last time, then for the one there is, and returns the key beside it; *
// for the one that she does not see.
func (w *technician) lightsUp() string {
	for began := time.Now(); ; time.Sleep(look) {
		lamps, err := w.Lamps(w.s.Context())
		if err != nil {
			return "" // the phone is gone: the walk ends
		}
		var lit, one string
		for name, l := range lamps {
			if l != (hands.LampState{}) {
				lit, one = lit+fmt.Sprint(name, l), name
			}
		}
		if strings.Count(lit, "{") == 1 && (lit != w.lit || time.Since(began) > often) {
			w.lit = lit
			if one == blind {
				return "*"
			}
			return one
		}
		if time.Since(began) > limit {
			return ""
		}
	}
}

// TestSelfTest does, in the guest's own clock, all that `parkctl selftest` asks for at a booted phone: every lamp in each colour, every key, hook, tones, microphone
// and the way from loudspeaker to microphone are the kernel's. The report is fetched and its signature verified.
func TestSelfTest(t *testing.T) {
	s := newSite(t)
	site, root, err := authority.New("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, err := site.Issue(authority.Subject{ID: "dock-1", From: time.Now().Add(-authority.Backdate), Until: time.Now().Add(authority.Lifetime)})
	if err != nil {
		t.Fatal(err)
	}
	const on = "/data/parklamp/"
	p := s.on(spec{Machine: Machine{Name: "dock-1", Clock: Steady}, number: "201", last: 11,
		set:   map[string]string{"site.crt": string(root.Cert), "appliance.crt": string(own.Cert), "appliance.key": string(own.Key)},
		extra: fmt.Sprintf("[selftest]\nkey = %q\ncertificate = %q\nreports = %q\n", on+"appliance.key", on+"appliance.crt", on+"reports")})
	p.ready()
	w := &technician{phone: p, socket: filepath.Join(s.dir, "phoned.sock")}
	p.must(p.Mirror(t.Context(), socket, w.socket))
	p.must(p.Say(t.Context(), speech.Worker()))
	report, ca := filepath.Join(s.dir, "report.json"), filepath.Join(s.dir, "ca.crt")
	p.must(os.WriteFile(ca, root.Cert, 0o644))
	began := time.Now()
	w.walk("--out", report)
	t.Logf("the walk took %.0f s", time.Since(began).Seconds())

	r, err := selftest.Decode([]byte(w.end.Report))
	p.must(err)
	if w.end.Outcome != selftest.Failed || w.end.Trouble != "" {
		t.Errorf("outcome %s, trouble %q; want failed for the lamp that is not seen", w.end.Outcome, w.end.Trouble)
	}
	passed := map[string]bool{}
	for _, f := range r.Findings {
		passed[string(f.Step)+" "+f.Item] = f.Outcome == selftest.Passed
		hands := slices.Contains([]selftest.Step{selftest.Lamps, selftest.Keys, selftest.Hook, selftest.Tones, selftest.Microphone}, f.Step)
		if dark := strings.HasPrefix(f.Item, blind+" "); hands && f.Outcome != selftest.Passed && !dark || dark && f.Outcome != selftest.Failed {
			t.Errorf("%+v", f)
		}
	}
	for _, must := range []string{"lamps orbit-701 green", "lamps orbit-701 red", "lamps fault red", "lamps all dark", "keys 5", "keys park", "keys orbit-704",
		"hook lift", "hook put back", "tones handset", "tones loudspeaker", "microphone handset", "loop loudspeaker"} {
		if !passed[must] {
			t.Errorf("%s has not passed", must)
		}
	}
	out, err := w.parkctl("selftest", "verify", report, "--ca", ca).CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "Signed by CN=dock-1") {
		t.Errorf("parkctl selftest verify: %v", err)
	}
	if out, err := w.parkctl("selftest", "reports").CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != filepath.Base(w.end.Path) {
		t.Errorf("the phone keeps %q, want %s: %v", out, filepath.Base(w.end.Path), err)
	}
	p.must(p.Hook(t.Context(), false))
	p.await("idle", func(st panel.Status) bool { return st.Phone.State == "idle" })
}

// TestSelfTestByPark holds Park while the power comes on and does what the phone says, without a laptop: some of the lamps, then on
// with Hold. What it says is read from its state; what its microphone hears is the kernel's sound.
func TestSelfTestByPark(t *testing.T) {
	s, ctx := newSite(t), t.Context()
	p := s.on(spec{Machine: Machine{Name: "dock-1", Clock: Steady}, number: "201", last: 11, extra: "[selftest]\nreports = \"/data/parklamp/reports\"\n"})
	p.must(p.Ready(ctx))
	p.must(p.Press(ctx, "park"))
	p.ready()
	p.must(p.Say(ctx, speech.Worker()))
	p.await("a self test", func(st panel.Status) bool { return strings.HasPrefix(st.Phone.Prompt, prompt.SelfTest().Text()) })
	p.must(p.Release(ctx, "park"))
	w := &technician{phone: p, socket: filepath.Join(s.dir, "phoned.sock")}
	p.must(p.Mirror(ctx, socket, w.socket))
	w.obeys()

	var name string
	for began := time.Now(); name == "" && time.Since(began) < limit; time.Sleep(look) { // it is written after the last word has begun
		out, err := w.parkctl("selftest", "reports").Output()
		p.must(err)
		if text := strings.TrimSpace(string(out)); strings.HasSuffix(text, ".json") {
			name = text
		}
	}
	text, err := p.ReadFile(ctx, "/data/parklamp/reports/"+name, 1<<20)
	p.must(err)
	r, err := selftest.Decode(text)
	p.must(err)
	passed := map[selftest.Step]int{}
	for _, f := range r.Findings {
		if f.Outcome == selftest.Passed {
			passed[f.Step]++
		}
	}
	t.Logf("by %s: of %d findings passed %v", r.By, len(r.Findings), passed)
	if r.By != "Park at power-on" || passed[selftest.Lamps] < someLamps || passed[selftest.Hook] != 2 || passed[selftest.Tones] == 0 || passed[selftest.Microphone] == 0 {
		t.Errorf("the report by %q has passed %v; want lamps, hook, tones and microphone", r.By, passed)
	}
}

// someLamps is less than light green beside a key: the lamps after those are passed over.
const someLamps = 5

// obeys does what the phone says until the test has ended.
func (w *technician) obeys() {
	w.s.Helper()
	ctx, said := w.s.Context(), time.Time{}
	rest := func() {} // what the last words keep her doing
	for {
		st := w.await("the next words", func(st panel.Status) bool { return st.Phone.PromptAt.After(said) })
		rest()
		rest = func() {}
		words := st.Phone.Prompt
		said = st.Phone.PromptAt
		w.s.Logf("the phone says %q", words)
		q := selftest.Question{Text: words, Seconds: 1}
		switch {
		case strings.HasPrefix(words, "self test passed"), strings.HasPrefix(words, "self test failed"):
			return
		case strings.Contains(words, "key beside"):
			rest = w.does(q)
		case strings.HasPrefix(words, "is the"), strings.HasPrefix(words, "are all"), strings.HasPrefix(words, "press "):
			w.must(w.Tap(ctx, "hold", often)) // for long: the rest of the step
		case words == prompt.PutBack().Text(), words == prompt.LiftHandset().Text():
			w.must(w.Hook(ctx, words == prompt.LiftHandset().Text()))
		case words == prompt.PleaseWait().Text():
			w.must(w.Echo(ctx))
		case strings.HasSuffix(words, "press pound for yes, star for no"):
			rest = w.does(q)
		}
	}
}
