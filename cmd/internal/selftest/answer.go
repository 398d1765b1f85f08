package selftest

import (
	"fmt"
	"slices"
	"strings"

	"parklamp/media/prompt"
)

// press takes a key that goes down. It is judged when it comes up, with all that came with it.
func (m *Machine) press(key string) {
	switch {
	case m.now() == nil || !m.now().hands():
		m.ignored++
		return
	case m.held != "":
		m.with = append(m.with, key)
		return
	}
	m.held, m.with = key, nil
	m.unanswered = 0
	m.keyTimer++
	m.do(Wait{ID: m.keyTimer, After: comeUp, Key: true})
}

func (m *Machine) release(key string) {
	if key != m.held || m.now() == nil {
		m.ignored++
		return
	}
	with := m.with
	m.held, m.with = "", nil
	delete(m.jammed, key)
	m.judge(key, with)
}

// jam takes a key that does not come up.
func (m *Machine) jam(key string) {
	if m.jammed[key] || m.phase >= ending {
		m.ignored++
		return
	}
	m.jammed[key] = true
	m.note(Finding{Step: Keys, Item: key, Outcome: Failed, Text: "key " + m.named(key) + " is stuck: it does not come up"})
	if key != m.held {
		return
	}
	q := m.now()
	with := m.with
	m.held, m.with = "", nil
	if q.kind == pressKey && q.key.ID == key {
		m.queue = m.queue[1:] // named already
		m.enter()
		return
	}
	m.judge(key, with)
}

// judge takes a key that was pressed, and those that came with it, as the answer to the question under way.
func (m *Machine) judge(key string, with []string) {
	q := m.now()
	expected := (q.kind == besideLamp || q.kind == pressKey) && key == q.key.ID
	if len(with) > 0 {
		text := fmt.Sprintf("key %s closes %s as well: wires that touch, or a diode that is missing", m.named(key), m.namedAll(with))
		if m.wrong+1 >= tries {
			m.note(Finding{Step: Keys, Item: key, Outcome: Failed, Text: text})
			m.jammed[key] = true // named: not asked for again
		}
		m.answered(text)
		return
	}
	if key == "hold" && !expected {
		m.open()
		m.done(Skipped, "skipped with Hold")
		return
	}
	if expected {
		m.good[key] = true
		m.done(Passed, "")
		return
	}
	switch q.kind {
	case besideLamp:
		if key == "*" {
			m.done(Failed, fmt.Sprintf("not lit, or not %s", q.colour))
			return
		}
		m.answered(fmt.Sprintf("key %s was pressed: another lamp is lit, or its key is wired wrongly", m.named(key)))
	case pressKey:
		m.answered(fmt.Sprintf("key %s came when %s was asked for", m.named(key), name(q.key)))
	case moveHook, measuring:
		m.ignored++
	default:
		m.yesOrNo(key)
	}
}

// yesOrNo takes a key as the answer to what was seen or heard.
func (m *Machine) yesOrNo(key string) {
	q := m.now()
	if m.phase != asking { // before there was anything to hear
		m.ignored++
		return
	}
	switch key {
	case "#":
		m.good[key] = true
		m.done(Passed, "")
	case "*":
		m.good[key] = true
		m.done(Failed, map[kind]string{seeLamps: "who tests says no", hearTone: "no tone is heard", recording: "own voice is not heard"}[q.kind])
	default:
		m.answered("key " + m.named(key) + " is no answer")
	}
}

// heard goes on when a sound has ended.
func (m *Machine) heard(in Heard) {
	if in.Sound != m.sound || m.phase == over {
		m.ignored++
		return
	}
	switch m.phase {
	case greeting:
		m.enter()
	case ending:
		m.finish()
	case saying:
		q := m.now()
		if q.kind == recording {
			m.phase = hearing
			m.do(Record{recordFor})
			m.wait(recordFor + spokenFor)
			return
		}
		m.phase = asking
		m.do(PlayTone{})
		m.wait(askFor)
	case replying:
		m.phase = asking
		m.say(prompt.HeardYourself())
		m.wait(askFor)
	default:
		m.ignored++ // the end of a question's words: the answer is awaited already
	}
}

// recorded takes what the microphone gave.
func (m *Machine) recorded(in Recorded) {
	if m.phase != hearing {
		m.ignored++
		return
	}
	level := []Figure{{"level", in.LevelDBFS, "dBFS"}, {"peak", in.PeakDBFS, "dBFS"}}
	switch {
	case in.Err != "":
		m.done(Failed, in.Err)
		return
	case in.LevelDBFS < leastDBFS:
		m.done(Failed, fmt.Sprintf("the microphone is silent: %.0f dBFS, speech has more than %.0f", in.LevelDBFS, leastDBFS), level...)
		return
	case in.PeakDBFS > mostDBFS:
		m.note(Finding{Step: Microphone, Item: "level", Outcome: Warned, Text: "the microphone is overdriven: lower its gain", Figures: level})
	default:
		m.note(Finding{Step: Microphone, Item: "level", Outcome: Passed, Figures: level})
	}
	q := m.now()
	m.do(Ask{Step: q.step, Item: q.item, Number: m.number, Of: m.of, Text: "Did you hear yourself?" + answers, For: askFor})
	m.phase = replying
	m.sound++
	m.do(Replay{m.sound})
	m.wait(spokenFor)
}

// measured takes the findings of a measurement.
func (m *Machine) measured(in Measured) {
	q := m.now()
	if q == nil || q.kind != measuring || q.step != in.Step {
		m.ignored++
		return
	}
	for _, f := range in.Findings {
		f.Step = in.Step
		m.note(f)
	}
	m.queue = m.queue[1:]
	if in.Step == Loop {
		m.open() // it was heard on the loudspeaker
	}
	m.enter()
}

// named is a key as people know it.
func (m *Machine) named(id string) string {
	if i := slices.IndexFunc(m.phone.Keys, func(k Key) bool { return k.ID == id }); i >= 0 {
		return name(m.phone.Keys[i])
	}
	return id
}

func (m *Machine) namedAll(ids []string) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = m.named(id)
	}
	return strings.Join(names, " and ")
}
