package selftest

import (
	"fmt"
	"slices"
	"time"

	"parklamp/media/prompt"
)

const (
	// patience is how many questions in a row may go unanswered until nobody is taken to be there.
	patience = 3
	// comeUp is how long a key may stay down before it counts as stuck; a person lets go of a key long before.
	comeUp = 5 * time.Second
	// spokenFor bounds the wait for the end of a sound: a device that never ends one must not stop the test.
	spokenFor = 15 * time.Second
	// tries is how often a question may be answered wrongly.
	tries = 2
	// leastDBFS is what somebody who speaks into a microphone reaches by far, and mostDBFS where it is overdriven.
	leastDBFS = -50.0
	mostDBFS  = -0.5
)

// phase is where a question stands.
type phase uint8

const (
	resting  phase = iota // not begun
	greeting              // the first words: a key cuts them short
	asking                // the answer is awaited
	saying                // a sound has to end first: before a tone or a recording
	hearing               // the microphone is being recorded
	replying              // the recording is being played back
	ending                // the result is being spoken
	over
)

// Machine walks through one test. One goroutine uses it.
type Machine struct {
	phone Phone
	up    bool // the handset

	queue  []question // still to come, the first one is under way
	of     int        // questions of the whole walk
	number int        // of the one under way
	phase  phase
	wrong  int // answers to it so far

	held       string   // key that is down and has not been judged yet
	with       []string // keys that came with it
	jammed     map[string]bool
	good       map[string]bool // keys that have done what they should
	ignored    uint64
	unanswered int // questions in a row

	sound, timer, keyTimer uint64 // the ids given out last
	findings               []Finding
	reason                 string
	out                    []Effect
}

// New makes the machine of a phone whose handset is lifted or not, for the steps of the walk in their order.
func New(p Phone, steps []Step, up bool, seed uint64) *Machine {
	m := &Machine{phone: p, up: up, jammed: map[string]bool{}, good: map[string]bool{}}
	m.plan(steps, seed)
	m.of = len(m.queue)
	return m
}

// Findings returns what was found so far; the slice must not be changed.
func (m *Machine) Findings() []Finding { return m.findings }

// Expects returns the key that is asked for now; empty if the answer is something else.
func (m *Machine) Expects() string {
	if q := m.now(); q != nil {
		return q.key.ID
	}
	return ""
}

// Ignored counts inputs that had no meaning.
func (m *Machine) Ignored() uint64 { return m.ignored }

// Step takes an input. The effects are to be carried out in order.
func (m *Machine) Step(in Input) []Effect {
	m.out = nil
	switch in := in.(type) {
	case Begin:
		for _, f := range m.findings { // of what is not there
			m.do(Note{f})
		}
		m.open()
		m.phase = greeting
		m.say(prompt.SelfTest())
		m.wait(spokenFor)
	case Press:
		if m.phase == greeting {
			m.enter()
			break
		}
		m.press(in.Key)
	case Release:
		m.release(in.Key)
	case Long:
		if q := m.now(); q != nil && in.Key == "hold" && m.held == "hold" && q.key.ID != "hold" && q.hands() {
			m.held = "" // its release means nothing any more
			m.skipStep()
			break
		}
		m.ignored++
	case Jammed:
		m.jam(in.Key)
	case HookMove:
		m.hook(in.Up)
	case Heard:
		m.heard(in)
	case Recorded:
		m.recorded(in)
	case Measured:
		m.measured(in)
	case Timer:
		m.expired(in)
	case Stop:
		m.stop(in.Reason)
	}
	return m.out
}

func (m *Machine) do(e Effect) { m.out = append(m.out, e) }

func (m *Machine) note(f Finding) {
	m.findings = append(m.findings, f)
	m.do(Note{f})
}

// now is the question under way.
func (m *Machine) now() *question {
	if len(m.queue) == 0 || m.phase >= ending || m.phase <= greeting {
		return nil
	}
	return &m.queue[0]
}

func (m *Machine) wait(d time.Duration) {
	m.timer++
	m.do(Wait{ID: m.timer, After: d})
}

// say speaks on the open path.
func (m *Machine) say(p prompt.Phrase) {
	m.sound++
	m.do(Say{m.sound, p})
}

// open chooses where words are heard: at the ear if the handset is lifted.
func (m *Machine) open() {
	if m.up {
		m.do(Open{OnHandset})
		return
	}
	m.do(Open{OnSpeaker})
}

// enter begins the first question of the queue, or ends the walk.
func (m *Machine) enter() {
	for {
		m.phase, m.wrong, m.held, m.with = resting, 0, "", nil
		if len(m.queue) == 0 {
			m.conclude()
			return
		}
		if !m.pass(&m.queue[0]) {
			break
		}
	}
	if before := m.before(&m.queue[0]); before != nil {
		m.queue = slices.Insert(m.queue, 0, *before)
		m.of++
	}
	m.number++
	m.phase = asking
	m.ask(false)
}

// pass notes a question that needs not be asked, and takes it off.
func (m *Machine) pass(q *question) bool {
	f := Finding{Step: q.step, Item: q.item}
	switch {
	case q.kind == pressKey && m.jammed[q.key.ID]:
		m.queue, m.number = m.queue[1:], m.number+1 // it has been named
		return true
	case q.kind == pressKey && m.good[q.key.ID]:
		f.Outcome, f.Text = Passed, "was pressed at the lamps"
	case q.hands() && m.unanswered >= patience:
		f.Outcome, f.Text = Skipped, "nobody answered"
	case q.yesNo() && !m.has("#") && !m.has("*"):
		f.Outcome, f.Text = Absent, "this board has no keys # and * to answer with"
	default:
		return false
	}
	if !q.asked {
		m.note(f)
	}
	m.queue, m.number = m.queue[1:], m.number+1
	return true
}

func (m *Machine) has(key string) bool {
	return slices.ContainsFunc(m.phone.Keys, func(k Key) bool { return k.ID == key })
}

// before is what has to be done before a question can be asked.
func (m *Machine) before(q *question) *question {
	if !m.phone.Hook {
		return nil
	}
	switch {
	case q.kind == moveHook && q.up == m.up && !q.asked: // it moved meanwhile
		b := hookQuestion(!q.up)
		b.asked = true
		return &b
	case (q.kind == hearTone || q.kind == recording) && q.path == OnHandset && !m.up:
		b := hookQuestion(true)
		b.step, b.asked = q.step, true
		return &b
	}
	return nil
}

// ask shows and speaks the question under way.
func (m *Machine) ask(again bool) {
	q := &m.queue[0]
	e := Ask{Step: q.step, Item: q.item, Number: m.number, Of: m.of, Text: q.text, Again: again}
	if q.hands() {
		e.For = askFor
	}
	m.do(e)
	if q.kind == besideLamp || q.kind == seeLamps {
		m.do(Show{q.lamps})
	} else if !again {
		m.do(Show{map[string]Colour{}})
	}
	switch {
	case q.kind == measuring:
		if !again && m.first() {
			m.say(prompt.PleaseWait())
		}
		m.do(Measure{q.step})
		m.wait(measureFor)
		return
	case q.kind == hearTone, q.kind == recording:
		m.do(Open{q.path})
		m.phase = saying
		m.say(q.voice)
		m.wait(spokenFor)
		return
	case again:
		m.say(prompt.TryAgain())
	case q.voice.Text() != "":
		m.say(q.voice)
	}
	m.wait(askFor)
}

// first says whether the question under way is the first that needs no hands.
func (m *Machine) first() bool {
	return !slices.ContainsFunc(m.findings, func(f Finding) bool {
		return f.Step == Loop || f.Step == Network || f.Step == Disk || f.Step == Clock
	})
}

// done ends the question under way with its finding, and goes on.
func (m *Machine) done(o Outcome, text string, figures ...Figure) {
	q := m.queue[0]
	if !q.asked || o == Failed {
		m.note(Finding{Step: q.step, Item: q.item, Outcome: o, Text: text, Figures: figures})
	}
	m.queue = m.queue[1:]
	if q.kind == hearTone || q.kind == recording {
		m.open()
	}
	if q.asked && o != Passed { // what it was asked for cannot be
		m.skipOne(text)
	}
	m.enter()
}

// skipOne leaves a question out that depended on another.
func (m *Machine) skipOne(text string) {
	if len(m.queue) > 0 && m.queue[0].kind != measuring {
		m.note(Finding{Step: m.queue[0].step, Item: m.queue[0].item, Outcome: Skipped, Text: text})
		m.queue, m.number = m.queue[1:], m.number+1
	}
}

// skipStep leaves out what is left of the step under way.
func (m *Machine) skipStep() {
	step := m.queue[0].step
	for len(m.queue) > 0 && m.queue[0].step == step {
		if q := m.queue[0]; !q.asked {
			m.note(Finding{Step: q.step, Item: q.item, Outcome: Skipped, Text: "skipped with Hold"})
		}
		m.queue, m.number = m.queue[1:], m.number+1
	}
	m.number-- // enter counts the next one
	m.unanswered = 0
	m.open()
	m.enter()
}

// answered goes on after an answer that cannot be taken: once more, then it fails.
func (m *Machine) answered(wrong string) {
	m.wrong++
	if m.wrong < tries {
		m.ask(true)
		return
	}
	m.done(Failed, wrong)
}

func (m *Machine) expired(in Timer) {
	switch {
	case m.phase == over, m.phase == resting, in.Key && (in.ID != m.keyTimer || m.held == ""), !in.Key && in.ID != m.timer:
		m.ignored++
		return
	case in.Key:
		m.jam(m.held)
		return
	}
	switch m.phase {
	case ending:
		m.finish()
		return
	case greeting, saying, replying: // the sound did not end: go on as if it had
		m.heard(Heard{m.sound})
		return
	case hearing:
		m.done(Failed, "the microphone gives nothing")
		return
	}
	q := m.now()
	if q.kind == measuring {
		m.done(Failed, fmt.Sprintf("no result within %v", measureFor))
		return
	}
	m.unanswered++
	if m.unanswered == patience {
		m.say(prompt.NobodyAnswered())
	}
	m.done(Failed, fmt.Sprintf("no answer within %v", askFor))
}

// hook takes a move of the handset.
func (m *Machine) hook(up bool) {
	m.up = up
	q := m.now()
	switch {
	case q == nil:
		if m.phase == resting || m.phase == over {
			m.ignored++
			return
		}
		m.open()
	case q.kind == moveHook && q.up == up:
		m.unanswered = 0
		m.open()
		m.done(Passed, "")
	case !up && q.hands():
		m.stop("the handset was put back")
	case q.kind != hearTone && q.kind != recording:
		m.open()
	}
}

// stop ends the test before its end.
func (m *Machine) stop(reason string) {
	if m.phase == over {
		m.ignored++
		return
	}
	if m.phase != ending { // all has been tested then
		m.reason = reason
	}
	m.finish()
}

// conclude speaks the result.
func (m *Machine) conclude() {
	m.do(Ask{Number: m.of, Of: m.of, Text: "That is all."})
	m.do(Show{map[string]Colour{}})
	m.phase = ending
	if failed := failedSteps(m.findings); len(failed) > 0 {
		m.say(prompt.TestFailed(failed))
	} else {
		m.say(prompt.TestPassed())
	}
	m.wait(spokenFor + 5*time.Second)
}

func (m *Machine) finish() {
	m.phase = over
	m.do(End{Outcome: m.outcome(), Reason: m.reason})
}

func (m *Machine) outcome() Outcome {
	if m.reason != "" {
		return Aborted
	}
	return worst(m.findings)
}
