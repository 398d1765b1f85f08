package selftest

import (
	"fmt"
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
	if failed := stepsThat(Failed, m.findings); len(failed) > 0 {
		m.say(prompt.TestFailed(failed))
	} else {
		m.say(prompt.TestPassed(stepsThat(Warned, m.findings)))
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
