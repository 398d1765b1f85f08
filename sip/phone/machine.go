package phone

import (
	"slices"
	"strconv"
	"time"
)

// Signals mixed over a call: long enough to be noticed with ear protection on, short enough to talk on.
const (
	beepShort = 200 * time.Millisecond
	beepLong  = 2 * time.Second
)

// sound is what plays on the open path without a call.
type sound struct {
	tone   ToneKind
	prompt Prompt
	orbit  string
	list   bool // the spoken list of parked calls
	nth    int  // tells a sound from the same one asked for again
}

func (s sound) silent() bool { return s.tone == ToneNone && s.prompt == PromptNone && !s.list }

// ring is what the ringer does.
type ring struct {
	kind RingKind
	call CallID
}

// Machine is the phone. It is not safe for use by several goroutines: one owner steps it.
type Machine struct {
	// immutable
	cfg  Config
	plan *plan

	state    State
	path     Path
	hookUp   bool
	active   CallID // the call in hand: dialled, talking, being parked, fetched or transferred
	transfer CallID // the held call for which Transfer was pressed
	digits   string // collected in Dialing
	calls    []*call
	lastID   uint64 // of the calls named here
	heldNth  uint64 // counts holds, for their order

	emergencyDigits string    // typed where digits mean nothing else
	emergencyTyped  time.Time // when the last of them was typed
	hangUpTried     time.Time // the first of the two acts that end an emergency call

	parkedOrbit string    // where the last call was parked that Park can undo
	parkedUntil time.Time // until when it can
	lastNumber  string    // for redial

	reminding    bool // a held call is to ring, the path being closed
	dnd          bool
	ringerVolume int
	voiceVolume  int

	// what was last asked for, compared by settle with what should be
	want      sound
	heard     sound
	ringing   ring
	opened    Path
	ear       CallID
	with      CallID // heard with ear, in a conference
	muted     bool
	reminded  bool // reminding, when the reminder timer was set
	deadlines map[TimerID]time.Time

	// of the step that runs
	now   time.Time
	out   []Effect
	beeps []Effect
}

// New returns an idle phone with the handset down. cfg must be valid (Config.Validate); New panics if its dial plan
// is not, since that is checked when the configuration is loaded.
func New(cfg Config) *Machine {
	p, err := newPlan(cfg)
	if err != nil {
		panic("phone: configuration was not validated: " + err.Error())
	}
	return &Machine{
		cfg: cfg, plan: p,
		ringerVolume: cfg.RingerVolume, voiceVolume: cfg.VoiceVolume,
		deadlines: make(map[TimerID]time.Time),
	}
}

// Step takes one input and returns what is to be done, in order. now must not go backwards. The slice belongs to the
// caller.
func (m *Machine) Step(now time.Time, in Input) []Effect {
	m.now, m.out, m.beeps = now, nil, nil
	switch in := in.(type) {
	case Hook, Digit, KeyDown, Orbit:
		m.user(in)
	case Timer:
		m.timer(in)
	default:
		m.news(in)
	}
	m.settle()
	return append(m.out, m.beeps...)
}

// do adds an effect.
func (m *Machine) do(e Effect) { m.out = append(m.out, e) }

// beep adds a signal that sounds over what the step connects.
func (m *Machine) beep(kind ToneKind, d time.Duration) { m.beeps = append(m.beeps, Beep{kind, d}) }

// ignore reports an input that means nothing now.
func (m *Machine) ignore(in Input) { m.do(Ignored{m.state, in}) }

// refuse is ignore for a key: the worker hears that it did nothing, unless nothing is open.
func (m *Machine) refuse(in Input) {
	m.ignore(in)
	if m.path != PathNone {
		m.beep(ToneError, beepShort)
	}
}

// setTimer starts a timer, or starts it anew; what this step has said of it before is taken back.
func (m *Machine) setTimer(id TimerID, after time.Duration) {
	m.out = slices.DeleteFunc(m.out, func(e Effect) bool {
		set, isSet := e.(SetTimer)
		return isSet && set.ID == id || e == Effect(StopTimer{id})
	})
	m.deadlines[id] = m.now.Add(after)
	m.do(SetTimer{id, after})
}

func (m *Machine) stopTimer(id TimerID) {
	if _, runs := m.deadlines[id]; runs {
		delete(m.deadlines, id)
		m.do(StopTimer{id})
	}
}

// play sets what is heard on the open path without a call.
func (m *Machine) play(s sound) {
	s.nth = m.want.nth + 1
	m.want = s
}

// newCall adds an outgoing or fetched call.
func (m *Machine) newCall(state CallState, number string) *call {
	var id CallID
	for id == "" || m.find(id) != nil {
		m.lastID++
		id = CallID("p" + strconv.FormatUint(m.lastID, 10))
	}
	c := &call{id: id, state: state, from: number, since: m.now}
	m.calls = append(m.calls, c)
	return c
}

// find returns a call of this phone, or nil.
func (m *Machine) find(id CallID) *call {
	if id == "" {
		return nil
	}
	i := slices.IndexFunc(m.calls, func(c *call) bool { return c.id == id })
	if i < 0 {
		return nil
	}
	return m.calls[i]
}

// remove forgets a call and everything that points at it.
func (m *Machine) remove(c *call) {
	m.stopTimer(TimerID{TimerCall, c.id})
	m.calls = slices.DeleteFunc(m.calls, func(o *call) bool { return o == c })
	if m.active == c.id {
		m.active = ""
	}
	if m.transfer == c.id {
		m.transfer = ""
	}
	for _, o := range m.calls {
		if o.partner == c.id {
			o.partner = ""
		}
		if o.referrer == c.id {
			o.referrer = ""
		}
		if o.with == c.id {
			o.with = ""
		}
	}
}

// live counts the calls that are not ending.
func (m *Machine) live() int {
	n := 0
	for _, c := range m.calls {
		if c.state != CallEnding {
			n++
		}
	}
	return n
}

// full reports whether no further call may come or go.
func (m *Machine) full() bool { return m.live() >= m.cfg.MaxCalls }

// inEmergency reports whether an emergency call is in hand; nothing may disturb it.
func (m *Machine) inEmergency() bool {
	c := m.find(m.active)
	return c != nil && c.emergency
}

// settle asks for everything that follows from the state: which call is heard, on what, under which tone, what rings,
// and when a held call reminds. Deriving it in one place is what keeps a call from being forgotten in a corner.
func (m *Machine) settle() {
	if m.heldTarget() == nil || m.path != PathNone {
		m.reminding = false
	}
	if m.path == PathNone {
		m.enterRest()
	}
	wanted := m.wantRing()
	if m.ringing.kind != RingNone && wanted.kind == RingNone {
		m.do(RingStop{})
	}
	changed := m.want != m.heard
	if changed && !m.heard.silent() {
		m.do(ToneStop{})
	}
	m.settleEar()
	if changed {
		m.heard = m.want
		switch {
		case m.want.list:
			m.do(ListParked{})
		case m.want.prompt != PromptNone:
			m.do(Say{m.want.prompt, m.want.orbit, m.want.tone})
		case m.want.tone != ToneNone:
			m.do(Tone{m.want.tone})
		}
	}
	if wanted != m.ringing && wanted.kind != RingNone {
		m.do(RingStart{wanted.kind, wanted.call})
	}
	m.ringing = wanted
	m.settleReminder()
}

// settleEar joins the right call with the open path.
func (m *Machine) settleEar() {
	ear, other := m.wantEar()
	var id, with CallID
	if ear != nil {
		id = ear.id
	}
	if other != nil {
		with = other.id
	}
	moved := id != m.ear || with != m.with
	if m.muted && moved && (id == "" || !m.inEar(id) || !m.inEar(with)) { // nobody new speaks to a dead microphone
		m.muted = false
		m.do(Mute{false})
	}
	if moved && ear == nil {
		m.do(Connect{})
	}
	if m.path != m.opened {
		m.opened = m.path
		m.do(Open{m.path})
	}
	m.ear, m.with = id, with
	if moved && ear != nil {
		m.do(Connect{id, with})
		m.show(ear)
		if other != nil {
			m.show(other)
		}
	}
}

// inEar reports whether the open path is joined with a call, until settleEar has looked at this step; "" is with everybody.
func (m *Machine) inEar(id CallID) bool { return id == "" || id == m.ear || id == m.with }

// settleReminder runs the timer of held calls: with the path closed they ring for a while and pause for a while, with
// the path open they beep.
func (m *Machine) settleReminder() {
	id := TimerID{Kind: TimerReminder}
	_, runs := m.deadlines[id]
	switch {
	case m.heldTarget() == nil:
		m.stopTimer(id)
	case runs && m.reminding == m.reminded:
	case m.reminding:
		m.setTimer(id, m.cfg.ReminderRing)
	default:
		m.setTimer(id, m.cfg.Reminder)
	}
	m.reminded = m.reminding
}

// wantEar returns the call that should be heard, and the one that should be heard with it; or nil.
func (m *Machine) wantEar() (ear, with *call) {
	c := m.find(m.active)
	if c == nil || m.path == PathNone || c.held {
		return nil, nil
	}
	switch c.state {
	case CallTalking:
		if m.state == Conferring {
			return c, m.find(c.with)
		}
		return c, nil
	case CallEarly, CallParking, CallTransferring:
		return c, nil
	}
	return nil, nil
}

// wantRing returns what should ring. Callers go before held calls, in the order in which they came.
func (m *Machine) wantRing() ring {
	if m.inEmergency() {
		return ring{}
	}
	if c := m.firstRinging(); c != nil {
		switch {
		case m.path == PathNone && c.recall:
			return ring{RingRecall, c.id}
		case m.path == PathNone:
			return ring{RingNormal, c.id}
		case c.recall:
			return ring{RingRecallWaiting, c.id}
		}
		return ring{RingWaiting, c.id}
	}
	if !m.reminding {
		return ring{}
	}
	c := m.heldTarget()
	if c.returned {
		return ring{RingRecall, c.id}
	}
	return ring{RingReminder, c.id}
}

// timer handles a timer that is due.
func (m *Machine) timer(in Timer) {
	due, runs := m.deadlines[in.ID]
	if !runs || m.now.Before(due) {
		m.ignore(in) // stopped or set anew while it was on its way
		return
	}
	delete(m.deadlines, in.ID)
	switch in.ID.Kind {
	case TimerState:
		m.stateTimeout()
	case TimerReminder:
		if m.path == PathNone {
			m.reminding = !m.reminding
		} else if !m.inEmergency() {
			m.beep(ToneReminder, beepShort)
		}
	case TimerCall:
		m.callTimeout(m.find(in.ID.Call))
	}
}
