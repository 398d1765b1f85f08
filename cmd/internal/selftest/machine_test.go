package selftest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// small is a phone with a lamp of two colours, one of one, one without a key, and few keys.
func small() Phone {
	return Phone{Hook: true, Lamps: []Lamp{{"orbit-701", "701", true, true, false}, {"hold", "Hold", true, false, false},
		{"fault", "Fault", false, true, false}, {"ringer", "Ringer", false, false, true}},
		Keys: []Key{{"5", "5", ""}, {"*", "*", ""}, {"#", "#", ""}, {"hold", "Hold", ""}, {"orbit-701", "701", "701"}}}
}

// person walks through a test as she is asked, with what is broken in the phone.
type person struct {
	m     *Machine
	dead  map[string]bool     // lamps with colour that do not light
	shown map[string]Colour   // what is lit
	keys  map[string][]string // what a key closes when it is pressed; nil: itself
	stuck map[string]bool     // keys that do not come up
	says  map[string]string   // item: key that is pressed in place of the right one; "" none
	deaf  bool
	level float64

	waiting []Input // sounds that will end, measurements that will come
	timer   Wait
	press   Wait
	ask     Ask
	log     []string
	ended   *End
}

func newPerson(p Phone, up bool, steps ...Step) *person {
	return &person{m: New(p, steps, up, 1), dead: map[string]bool{}, keys: map[string][]string{}, stuck: map[string]bool{},
		says: map[string]string{}, level: -20}
}

func (p *person) in(in Input) {
	p.log = append(p.log, fmt.Sprintf("> %T %v", in, in))
	for _, e := range p.m.Step(in) {
		line := fmt.Sprintf("  %T %v", e, e)
		switch e := e.(type) {
		case Ask:
			p.ask = e
			line = fmt.Sprintf("  ask %d/%d %s %s: %s again=%v for=%v", e.Number, e.Of, e.Step, e.Item, e.Text, e.Again, e.For)
		case Say:
			line = fmt.Sprintf("  say %q", e.Words.Text())
			p.waiting = append(p.waiting, Heard{e.Sound})
		case Replay:
			p.waiting = append(p.waiting, Heard(e))
		case Record:
			p.waiting = append(p.waiting, Recorded{LevelDBFS: p.level, PeakDBFS: p.level + 12})
		case Measure:
			p.waiting = append(p.waiting, Measured{e.Step, []Finding{{Item: "it", Outcome: Passed}}})
		case Show:
			p.shown = e.Lamps
		case Wait:
			if e.Key {
				p.press = e
			} else {
				p.timer = e
			}
			line = fmt.Sprintf("  wait %v key=%v", e.After, e.Key)
		case Note:
			line = fmt.Sprintf("  note %s %s: %s %s", e.Outcome, e.Step, e.Item, e.Text)
		case End:
			p.ended = &e
		}
		p.log = append(p.log, strings.ReplaceAll(line, "selftest.", ""))
	}
}

// tap presses a key, with what it closes, and lets it go if it comes up.
func (p *person) tap(key string) {
	closed, ok := p.keys[key]
	if !ok {
		closed = []string{key}
	}
	for _, k := range closed {
		p.in(Press{k})
	}
	if p.stuck[key] {
		p.in(Timer{p.press.ID, true})
		return
	}
	for _, k := range closed {
		p.in(Release{k})
	}
}

// answer does what is asked, and says whether there was anything to do.
func (p *person) answer() bool {
	if p.ask.For == 0 {
		return false
	}
	if key, ok := p.says[p.ask.Item]; ok {
		if key == "" {
			return false
		}
		p.tap(key)
		return true
	}
	lit := true
	for l, c := range p.shown {
		lit = lit && !p.dead[l+" "+string(c)]
	}
	q := p.m.now()
	switch q.kind {
	case moveHook:
		p.in(HookMove{q.up})
	case pressKey:
		if closed, ok := p.keys[q.key.ID]; ok && closed == nil {
			return false // nothing comes of it
		}
		p.tap(q.key.ID)
	case besideLamp:
		if !lit {
			p.tap("*")
			return true
		}
		for l := range p.shown {
			p.tap(l)
		}
	default:
		if q.kind == seeLamps && !lit || q.kind != seeLamps && p.deaf {
			p.tap("*")
			return true
		}
		p.tap("#")
	}
	return true
}

// walk goes on until the end.
func (p *person) walk(t interface{ Fatalf(string, ...any) }) {
	p.in(Begin{})
	for n := 0; p.ended == nil; n++ {
		switch {
		case n > 1000:
			t.Fatalf("no end:\n%s", strings.Join(p.log, "\n"))
		case len(p.waiting) > 0:
			in := p.waiting[0]
			p.waiting = p.waiting[1:]
			p.in(in)
		case p.m.phase == asking && p.answer():
		default:
			p.in(Timer{p.timer.ID, false})
		}
	}
}

// of lists what was found, without what passed.
func (p *person) found() []string {
	var all []string
	for _, f := range p.m.Findings() {
		if f.Outcome != Passed {
			all = append(all, strings.TrimRight(fmt.Sprintf("%s %s %s: %s", f.Outcome, f.Step, f.Item, f.Text), ": "))
		}
	}
	return all
}

func TestWalks(t *testing.T) {
	cases := []struct {
		name    string
		steps   []Step
		up      bool
		phone   func(*Phone)
		broken  func(*person)
		want    []string
		outcome Outcome
	}{
		{name: "all is well", steps: Steps, outcome: Passed},
		{name: "the handset is lifted already", steps: Steps, up: true, outcome: Passed},
		{name: "an LED is dead", steps: []Step{Lamps}, broken: func(p *person) { p.dead["orbit-701 red"] = true },
			want: []string{"failed lamps orbit-701 red: not lit, or not red"}, outcome: Failed},
		{name: "the fault lamp is dead", steps: []Step{Lamps}, broken: func(p *person) { p.dead["fault red"] = true },
			want: []string{"failed lamps fault red: who tests says no"}, outcome: Failed},
		{name: "two keys are wired the other way round", steps: []Step{Keys},
			broken: func(p *person) { p.keys["5"], p.keys["#"] = []string{"#"}, []string{"5"} },
			want:   []string{"failed keys 5: key # came when 5 was asked for", "failed keys #: key 5 came when # was asked for"}, outcome: Failed},
		{name: "a key is stuck", steps: []Step{Keys}, broken: func(p *person) { p.stuck["5"] = true },
			want: []string{"failed keys 5: key 5 is stuck: it does not come up"}, outcome: Failed},
		{name: "a key closes another", steps: []Step{Keys}, broken: func(p *person) { p.keys["5"] = []string{"5", "*"} },
			want: []string{"failed keys 5: key 5 closes * as well: wires that touch, or a diode that is missing",
				"failed keys 5: key 5 closes * as well: wires that touch, or a diode that is missing"}, outcome: Failed},
		{name: "a key is dead", steps: []Step{Keys}, broken: func(p *person) { p.keys["5"] = nil },
			want: []string{"failed keys 5: no answer within 20s"}, outcome: Failed},
		{name: "what is known to be missing is not asked for", steps: []Step{Lamps, Keys, Hook},
			phone: func(p *Phone) {
				p.Faults = map[string]string{"5": "no chip", "orbit-701": "no chip", "fault red": "no LED", HookSwitch: "no chip"}
			},
			want: []string{"skipped lamps orbit-701 green: it cannot be answered: no chip",
				"skipped lamps orbit-701 red: it cannot be answered: no chip", "failed lamps fault red: no LED",
				"failed keys 5: no chip", "failed keys orbit-701: no chip", "failed hook lift: no chip", "failed hook put back: no chip"}, outcome: Failed},
		{name: "nobody can answer", steps: []Step{Tones}, phone: func(p *Phone) { p.Faults = map[string]string{"*": "no chip", HookSwitch: "no chip"} },
			want: []string{"skipped tones loudspeaker: it cannot be answered: no chip", "skipped tones handset: it cannot be answered: no chip"}, outcome: Skipped},
		{name: "the handset cannot be seen to be lifted", steps: []Step{Tones}, phone: func(p *Phone) { p.Faults = map[string]string{HookSwitch: "no chip"} },
			outcome: Passed},
		{name: "the headset sounds though its key is missing", steps: []Step{Keys, Tones}, phone: func(p *Phone) {
			p.Headset, p.Keys = true, append(p.Keys, Key{"headset", "Headset", ""})
			p.Faults = map[string]string{"headset": "no chip"}
		}, want: []string{"failed keys headset: no chip"}, outcome: Failed},
		{name: "Hold skips one", steps: []Step{Lamps}, broken: func(p *person) { p.says["fault red"] = "hold" },
			want: []string{"skipped lamps fault red: skipped with Hold"}, outcome: Skipped},
		{name: "deaf", steps: []Step{Tones, Microphone}, broken: func(p *person) { p.deaf = true },
			want:    []string{"failed tones loudspeaker: no tone is heard", "failed tones handset: no tone is heard", "failed microphone handset: own voice is not heard"},
			outcome: Failed},
		{name: "a silent microphone", steps: []Step{Microphone}, broken: func(p *person) { p.level = -80 },
			want: []string{"failed microphone handset: the microphone is silent: -80 dBFS, speech has more than -50"}, outcome: Failed},
		{name: "an overdriven microphone", steps: []Step{Microphone}, broken: func(p *person) { p.level = -12 },
			want: []string{"warning microphone level: the microphone is overdriven: lower its gain"}, outcome: Warned},
		{name: "no sound card", steps: []Step{Tones, Microphone}, phone: func(p *Phone) { p.Sound = "no card" },
			want: []string{"failed tones loudspeaker: no card", "failed tones handset: no card", "failed microphone microphone: no card"}, outcome: Failed},
		{name: "no hook and no lamps", steps: []Step{Lamps, Hook, Microphone}, phone: func(p *Phone) { p.Hook, p.Lamps = false, nil },
			want: []string{"absent lamps lamps: this board has no lamps", "absent hook hook: this board has no hook switch"}, outcome: Passed},
		{name: "no keys to answer with", steps: []Step{Tones}, phone: func(p *Phone) { p.Keys, p.Hook = p.Keys[:1], false },
			want: []string{"absent tones loudspeaker: this board has no keys # and * to answer with"}, outcome: Passed},
		{name: "nobody is there", steps: []Step{Keys, Hook, Network}, broken: func(p *person) {
			for _, k := range []string{"5", "*", "#", "hold", "orbit-701"} {
				p.says[k] = ""
			}
		}, want: []string{"failed keys 5: no answer within 20s", "failed keys *: no answer within 20s", "failed keys #: no answer within 20s",
			"skipped keys hold: nobody answered", "skipped keys orbit-701: nobody answered", "skipped hook lift: nobody answered",
			"skipped hook put back: nobody answered"}, outcome: Failed},
		{name: "a handset that is not lifted for its tone", steps: []Step{Tones}, broken: func(p *person) { p.says["lift"] = "" },
			want: []string{"failed tones lift: no answer within 20s", "skipped tones handset: no answer within 20s"}, outcome: Failed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			phone := small()
			if c.phone != nil {
				c.phone(&phone)
			}
			p := newPerson(phone, c.up, c.steps...)
			if c.broken != nil {
				c.broken(p)
			}
			p.walk(t)
			if got := p.found(); !slices.Equal(got, c.want) || p.ended.Outcome != c.outcome {
				t.Errorf("%v, found\n%s\nwant %v\n%s\n\n%s", p.ended.Outcome, strings.Join(got, "\n"), c.outcome, strings.Join(c.want, "\n"), strings.Join(p.log, "\n"))
			}
			said := strings.Contains(strings.Join(p.log, "\n"), `say "self test passed, attention, `)
			if said != (c.outcome == Warned) {
				t.Errorf("the voice says that there are warnings: %t; %v\n%s", said, p.ended.Outcome, strings.Join(p.log, "\n"))
			}
			if p.m.number != p.m.of {
				t.Errorf("counted %d questions of %d\n%s", p.m.number, p.m.of, strings.Join(p.log, "\n"))
			}
		})
	}
}

// The whole walk as a transcript: what is asked, spoken, lit and noted, in order.
func TestTranscript(t *testing.T) {
	p := newPerson(small(), false, Steps...)
	p.walk(t)
	golden(t, "walk.txt", strings.Join(p.log, "\n")+"\n")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (-update writes it anew); got:\n%s", path, got)
	}
}

func TestEnds(t *testing.T) {
	cases := []struct {
		name   string
		steps  []Step
		inputs []Input
		reason string
	}{
		{"hanging up", []Step{Keys}, []Input{Begin{}, Heard{1}, HookMove{true}, HookMove{false}}, "the handset was put back"},
		{"hanging up while nothing is asked of hands", []Step{Network}, []Input{Begin{}, Heard{1}, HookMove{true}, HookMove{false}}, ""},
		{"a call", []Step{Keys}, []Input{Begin{}, Heard{1}, Stop{"a call came in"}}, "a call came in"},
		{"a call while a key is down", []Step{Keys}, []Input{Begin{}, Heard{1}, Press{"5"}, Stop{"a call came in"}}, "a call came in"},
		{"hanging up before the tone", []Step{Tones}, []Input{Begin{}, Heard{1}, HookMove{true}, HookMove{false}}, "the handset was put back"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := New(small(), c.steps, false, 1)
			var last Effect
			for _, in := range c.inputs {
				if out := m.Step(in); len(out) > 0 {
					last = out[len(out)-1]
				}
			}
			end, ended := last.(End)
			if ended != (c.reason != "") || end.Reason != c.reason || ended && end.Outcome != Aborted {
				t.Errorf("%#v, want reason %q", last, c.reason)
			}
			if !ended {
				return
			}
			for _, in := range append(c.inputs, Press{"5"}, Release{"5"}, Timer{1, false}, Heard{1}, Measured{Step: Network}) {
				if in == (Begin{}) {
					continue
				}
				if out := m.Step(in); len(out) > 0 {
					t.Errorf("after the end %#v gives %v", in, out)
				}
			}
		})
	}
}

// A call that comes while the result is spoken ends the test as it is: all has been tested.
func TestCallInTheLastWords(t *testing.T) {
	m := New(small(), nil, false, 1)
	m.Step(Begin{})
	m.Step(Heard{1})
	out := m.Step(Stop{"a call came in"})
	if len(out) != 1 || out[0] != (End{Outcome: Passed}) {
		t.Errorf("%v, want the end of a test that passed", out)
	}
}

// Hold held down leaves the rest of the step out.
func TestLongHoldSkipsTheStep(t *testing.T) {
	m := New(small(), []Step{Keys, Network}, false, 1)
	m.Step(Begin{})
	m.Step(Heard{1})
	m.Step(Press{"hold"})
	out := m.Step(Long{"hold"})
	if m.now() == nil || m.now().step != Network {
		t.Fatalf("goes on with %v", out)
	}
	if got := len(m.Findings()); got != 5 {
		t.Errorf("%d findings, want all 5 keys skipped: %v", got, m.Findings())
	}
	m.Step(Release{"hold"})
	if m.now().step != Network {
		t.Error("its coming up skipped another")
	}
}

// What was down before the test began is named once and not asked for.
func TestJammedAtTheStart(t *testing.T) {
	p := newPerson(small(), false, Keys)
	p.in(Begin{})
	p.in(Jammed{"#"})
	p.in(Jammed{"#"})
	for p.ended == nil {
		if p.m.phase == asking && p.ask.For > 0 {
			p.answer()
			continue
		}
		p.in(Timer{p.timer.ID, false})
	}
	if got, want := p.found(), []string{"failed keys #: key # is stuck: it does not come up"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// Whatever happens, the walk goes on or ends: there is always a timer or something under way that brings it on, and it ends
// when time alone passes.
func TestAlwaysEnds(t *testing.T) {
	keys := []string{"5", "*", "#", "hold", "orbit-701", "stranger"}
	rapid.Check(t, func(t *rapid.T) {
		var steps []Step
		for _, s := range Steps {
			if rapid.Bool().Draw(t, string(s)) {
				steps = append(steps, s)
			}
		}
		p := newPerson(small(), rapid.Bool().Draw(t, "up"), steps...)
		p.in(Begin{})
		for range rapid.IntRange(0, 60).Draw(t, "inputs") {
			if p.ended != nil {
				break
			}
			key := rapid.SampledFrom(keys).Draw(t, "key")
			p.in(rapid.SampledFrom([]Input{Press{key}, Release{key}, Release{key}, Long{key}, Jammed{key}, HookMove{true}, HookMove{false},
				Heard{p.m.sound}, Heard{1}, Timer{p.timer.ID, false}, Timer{p.press.ID, true}, Recorded{LevelDBFS: -20, PeakDBFS: -3},
				Recorded{Err: "gone"}, Measured{Step: Network, Findings: []Finding{{Item: "x", Outcome: Warned}}}}).Draw(t, "input"))
		}
		for n := 0; p.ended == nil; n++ {
			if n > 300 {
				t.Fatalf("time alone does not end it:\n%s", strings.Join(p.log, "\n"))
			}
			p.in(Timer{p.timer.ID, false})
		}
		if p.m.number > p.m.of {
			t.Fatalf("question %d of %d\n%s", p.m.number, p.m.of, strings.Join(p.log, "\n"))
		}
	})
}
