package selftest

import (
	"cmp"
	"slices"

	"parklamp/media/prompt"
)

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
	case m.phone.Faults[m.hangsOn(q)] != "":
		f.Outcome, f.Text = Failed, m.phone.Faults[m.hangsOn(q)]
	case m.answerFault(q) != "":
		f.Outcome, f.Text = Skipped, "it cannot be answered: "+m.answerFault(q)
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

// hangsOn is what a question is about, as Phone.Faults names it.
func (m *Machine) hangsOn(q *question) string {
	switch q.kind {
	case moveHook:
		return HookSwitch
	case besideLamp, seeLamps, pressKey:
		return q.item
	}
	return "" // the headset is no key, though one is called so
}

// answerFault is why the keys that answer a question cannot be pressed; "" if they can.
func (m *Machine) answerFault(q *question) string {
	switch {
	case q.kind == besideLamp:
		return m.phone.Faults[q.key.ID]
	case q.yesNo():
		return cmp.Or(m.phone.Faults["#"], m.phone.Faults["*"])
	}
	return ""
}

func (m *Machine) has(key string) bool {
	return slices.ContainsFunc(m.phone.Keys, func(k Key) bool { return k.ID == key })
}

// before is what has to be done before a question can be asked.
func (m *Machine) before(q *question) *question {
	if !m.phone.Hook || m.phone.Faults[HookSwitch] != "" {
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
