package selftest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"parklamp/media/prompt"
)

// kind is how a question is answered.
type kind uint8

const (
	besideLamp kind = iota // by the key beside the lamp that is lit
	seeLamps               // by # and *
	pressKey               // by that key
	moveHook               // by the handset
	hearTone               // by # and *
	recording              // by # and *, after a recording was played back
	measuring              // by the appliance itself
)

// How long a question waits, and how much is recorded.
const (
	askFor     = 20 * time.Second
	measureFor = 90 * time.Second
	recordFor  = 2 * time.Second
)

// question is one item of the walk.
type question struct {
	kind   kind
	step   Step
	item   string
	text   string        // for people at a terminal
	voice  prompt.Phrase // may be empty: the same question as before
	key    Key           // besideLamp, pressKey
	lamps  map[string]Colour
	colour Colour
	path   Path // hearTone, recording
	up     bool // moveHook: where the handset goes
	asked  bool // moveHook: it is only on the way to another question
}

const answers = " Press # for yes, * for no."

// plan lists the questions of the chosen steps. seed mixes the lamps, so that nobody presses along without looking.
func (m *Machine) plan(steps []Step, seed uint64) {
	mix := rand.New(rand.NewPCG(seed, 7))
	for _, s := range steps {
		switch s {
		case Lamps:
			m.planLamps(mix)
		case Keys:
			for _, k := range m.phone.Keys {
				m.queue = append(m.queue, question{kind: pressKey, step: Keys, item: k.ID, key: k, text: "Press " + name(k) + ".",
					voice: prompt.PressKey(k.ID, k.Orbit)})
			}
		case Hook:
			m.planHook()
		case Tones:
			m.planTones()
		case Microphone:
			m.planMicrophone()
		default:
			m.queue = append(m.queue, question{kind: measuring, step: s, item: string(s), text: doing[s]})
		}
	}
}

// doing says what is measured.
var doing = map[Step]string{
	Loop: "Listening for a known signal from the loudspeaker.", Network: "Asking the network, the registrar and the other appliances.",
	Disk: "Writing and reading a few megabytes.", Clock: "Comparing the clock.",
}

// name is a key as it is printed.
func name(k Key) string {
	if k.Label != "" {
		return k.Label
	}
	return k.ID
}

func (m *Machine) planLamps(mix *rand.Rand) {
	if len(m.phone.Lamps) == 0 {
		m.absent(Lamps, "lamps", "this board has no lamps")
		return
	}
	for _, colour := range []Colour{Green, Red} {
		var beside, alone []question
		for _, l := range m.phone.Lamps {
			if colour == Green && !l.Green || colour == Red && !l.Red {
				continue
			}
			q := question{step: Lamps, item: l.ID + " " + string(colour), colour: colour, lamps: map[string]Colour{l.ID: colour}}
			if i := slices.IndexFunc(m.phone.Keys, func(k Key) bool { return k.ID == l.ID }); i >= 0 {
				q.kind, q.key = besideLamp, m.phone.Keys[i]
				q.text = fmt.Sprintf("One lamp is lit %s: press the key beside it. Press * if none is, or in another colour.", colour)
				beside = append(beside, q)
				continue
			}
			q.kind = seeLamps
			q.text = fmt.Sprintf("Is the lamp %q lit, %s?", label(l), colour) + answers
			q.voice = prompt.IsLamp(l.ID, string(colour))
			alone = append(alone, q)
		}
		mix.Shuffle(len(beside), func(i, j int) { beside[i], beside[j] = beside[j], beside[i] })
		if len(beside) > 0 {
			beside[0].voice = prompt.BesideLamp(string(colour)) // the others are the same question
		}
		m.queue = append(append(m.queue, beside...), alone...)
	}
	for _, l := range m.phone.Lamps {
		if l.Steady {
			m.queue = append(m.queue, question{kind: seeLamps, step: Lamps, item: l.ID + " contact", colour: Red, lamps: map[string]Colour{l.ID: Red},
				text:  fmt.Sprintf("Is what hangs on the contact %q switched on now: a bell, a relay, a strobe? Hold if nothing hangs there.", label(l)) + answers,
				voice: prompt.IsContact(l.ID)})
		}
	}
	all := map[string]Colour{}
	for _, l := range m.phone.Lamps {
		if l.Green && l.Red {
			all[l.ID] = Amber
		}
	}
	if len(all) > 0 {
		m.queue = append(m.queue, question{kind: seeLamps, step: Lamps, item: "all amber", colour: Amber, lamps: all,
			text: "Are all lamps of two colours amber now?" + answers, voice: prompt.AreLamps("amber")})
	}
	m.queue = append(m.queue, question{kind: seeLamps, step: Lamps, item: "all dark", lamps: map[string]Colour{},
		text: "Are all lamps dark now?" + answers, voice: prompt.AreLamps("dark")})
}

func label(l Lamp) string {
	if l.Label != "" {
		return l.Label
	}
	return l.ID
}

func (m *Machine) planHook() {
	if !m.phone.Hook {
		m.absent(Hook, "hook", "this board has no hook switch")
		return
	}
	m.queue = append(m.queue, hookQuestion(!m.up), hookQuestion(m.up)) // there and back, whichever way it lies
}

// hookQuestion asks for the handset to be lifted or put back.
func hookQuestion(up bool) question {
	if up {
		return question{kind: moveHook, step: Hook, item: "lift", up: true, text: "Lift the handset.", voice: prompt.LiftHandset()}
	}
	return question{kind: moveHook, step: Hook, item: "put back", text: "Put the handset back.", voice: prompt.PutBack()}
}

func (m *Machine) planTones() {
	paths := []Path{OnSpeaker}
	if m.phone.Hook {
		paths = append(paths, OnHandset)
	}
	if m.phone.Headset {
		paths = append(paths, OnHeadset)
	}
	for _, p := range paths {
		if m.phone.Sound != "" {
			m.note(Finding{Step: Tones, Item: string(p), Outcome: Failed, Text: m.phone.Sound})
			continue
		}
		m.queue = append(m.queue, question{kind: hearTone, step: Tones, item: string(p), path: p,
			text: fmt.Sprintf("Do you hear a tone in the %s?", p) + answers, voice: prompt.HearTone(string(p))})
	}
}

func (m *Machine) planMicrophone() {
	if m.phone.Sound != "" {
		m.note(Finding{Step: Microphone, Item: "microphone", Outcome: Failed, Text: m.phone.Sound})
		return
	}
	path := OnSpeaker
	if m.phone.Hook {
		path = OnHandset
	}
	m.queue = append(m.queue, question{kind: recording, step: Microphone, item: string(path), path: path,
		text: fmt.Sprintf("Say something after the tone, into the %s.", path), voice: prompt.Speak()})
}

// absent notes a part that this board does not have.
func (m *Machine) absent(s Step, item, text string) {
	m.note(Finding{Step: s, Item: item, Outcome: Absent, Text: text})
}

// hands says whether somebody has to do something.
func (q *question) hands() bool { return q.kind != measuring }

// yesNo says whether # and * answer.
func (q *question) yesNo() bool {
	return q.kind == seeLamps || q.kind == hearTone || q.kind == recording
}
