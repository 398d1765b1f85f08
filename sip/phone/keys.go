package phone

// user handles an input of the worker's hands. What means the same in every state is done here; the rest has one
// function for each state.
func (m *Machine) user(in Input) {
	switch in := in.(type) {
	case Hook:
		if in.Up == m.hookUp {
			m.ignore(in)
			return
		}
		m.hookUp = in.Up
	case Digit:
		if !isDialable(string(rune(in.Digit))) {
			m.ignore(in)
			return
		}
	case Orbit:
		if in.Long {
			m.page(in)
			return
		}
		if !isDialable(in.Number) {
			m.ignore(in)
			return
		}
	case KeyDown:
		if m.anywhere(in) {
			return
		}
	}
	switch m.state {
	case Idle:
		m.stepIdle(in)
		return
	case Ringing:
		m.stepRinging(in)
		return
	}
	if m.stepPath(in) {
		return
	}
	switch m.state {
	case DialTone, Dialing, Parked, Listing, Failure, Quiet:
		m.stepReady(in)
	case Calling:
		m.stepCalling(in)
	case Talking:
		m.stepTalking(in)
	case Conferring:
		m.stepConferring(in)
	case Parking:
		m.stepParking(in)
	case Fetching, Transferring:
		m.stepPending(in)
	}
}

// page handles a long press of an orbit key. It pages from any state but an emergency call.
func (m *Machine) page(in Orbit) {
	if m.inEmergency() || !isDialable(in.Number) {
		m.refuse(in)
		return
	}
	m.do(Page{in.Number})
}

// anywhere handles the keys that mean the same in every state.
func (m *Machine) anywhere(in KeyDown) bool {
	step := 1
	switch in.Key {
	case KeyDND:
		if m.state == Ringing {
			return false
		}
		m.dnd = !m.dnd
		m.do(DoNotDisturb{m.dnd})
		return true
	case KeyVolumeDown:
		step = -1
	case KeyVolumeUp:
	default:
		return false
	}
	level := &m.voiceVolume
	if m.path == PathNone {
		level = &m.ringerVolume
	}
	if next := *level + step; next >= 0 && next <= MaxVolume {
		*level = next
		m.do(Volume{m.path == PathNone, next})
	} else {
		m.refuse(in)
	}
	return true
}

// stepPath handles hook and speaker key while a path is open.
func (m *Machine) stepPath(in Input) bool {
	switch in := in.(type) {
	case Hook:
		switch {
		case in.Up && m.state == Failure && m.want.prompt == PromptNone:
			m.finish() // what failed hands-free is over, and was heard: who lifts the handset wants to dial
		case in.Up:
			m.path = PathHandset
		case m.path == PathHandset || m.state == Quiet:
			m.letGo(in)
		}
		return true
	case KeyDown:
		if in.Key != KeySpeaker {
			return false
		}
		switch {
		case m.path == PathHandset:
			m.path = PathSpeaker
		case m.hookUp:
			m.path = PathHandset
		default:
			m.letGo(in)
		}
		return true
	}
	return false
}

// stepIdle: the path is closed and nothing rings. Held calls may be in a pause between two reminders.
func (m *Machine) stepIdle(in Input) {
	switch in := in.(type) {
	case Hook:
		if in.Up {
			m.lift()
		}
		return
	case Digit:
		if in.Digit != '#' {
			m.open()
			m.dialDigit(in)
			return
		}
	case Orbit:
		m.orbitAtRest(in)
		return
	case KeyDown:
		switch in.Key {
		case KeySpeaker:
			m.lift()
			return
		case KeyPark:
			m.parkAtRest()
			return
		case KeyHold:
			if m.heldTarget() != nil {
				m.lift()
				return
			}
		case KeyRedial:
			if m.lastNumber != "" {
				m.open()
				m.dial(m.lastNumber)
				return
			}
		}
	}
	m.refuse(in)
}

// stepRinging: the path is closed and a caller, a recall or a held call rings. Digits are taken for an emergency number
// only, so that a key brushed by a glove does not keep the handset from answering.
func (m *Machine) stepRinging(in Input) {
	switch in := in.(type) {
	case Hook:
		if in.Up {
			m.lift()
		}
		return
	case Digit:
		m.emergencyDigit(in)
		return
	case Orbit:
		if c := m.find(m.ringing.call); c != nil && c.recall && c.orbit == in.Number {
			m.lift()
			return
		}
		m.orbitAtRest(in)
		return
	case KeyDown:
		switch in.Key {
		case KeySpeaker, KeyHold:
			m.lift()
			return
		case KeyPark:
			if m.heldTarget() != nil {
				m.park(m.lastHeld(), "")
				return
			}
		case KeyDND:
			if c := m.firstRinging(); c != nil {
				m.reject(c, statusBusyHere)
			} else {
				m.reminding = false
			}
			return
		}
	}
	m.refuse(in)
}

// lift opens the path: it answers what rings, else takes a held call, else gives dial tone.
func (m *Machine) lift() {
	m.open()
	if c := m.firstRinging(); c != nil {
		m.answer(c)
	} else if c := m.heldTarget(); c != nil {
		m.take(c)
	} else {
		m.enterDialTone()
	}
}

// parkAtRest is the Park key with the path closed.
func (m *Machine) parkAtRest() {
	switch c := m.lastHeld(); {
	case m.undoable():
		m.open()
		m.undo()
	case c != nil:
		m.park(c, "")
	default:
		m.open()
		m.enterListing()
	}
}

// orbitAtRest is an orbit key with the path closed. A fetched call comes to the loudspeaker at once: the caller has
// waited long enough, and the handset can be lifted while the worker already speaks.
func (m *Machine) orbitAtRest(in Orbit) {
	c := m.lastHeld()
	switch {
	case in.State != OrbitFree:
		m.open()
		m.fetch(in.Number)
	case c != nil:
		m.park(c, in.Number)
	default:
		m.ignore(in)
		m.beep(ToneError, beepShort)
	}
}
