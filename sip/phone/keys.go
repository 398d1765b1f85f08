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
	case Ringing:
		m.stepRinging(in)
	case DialTone, Dialing, Parked, Listing, Failure, Quiet:
		if !m.stepPath(in) {
			m.stepReady(in)
		}
	case Calling:
		if !m.stepPath(in) {
			m.stepCalling(in)
		}
	case Talking:
		if !m.stepPath(in) {
			m.stepTalking(in)
		}
	case Parking:
		if !m.stepPath(in) {
			m.stepParking(in)
		}
	case Fetching, Transferring:
		if !m.stepPath(in) {
			m.stepPending(in)
		}
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

// stepReady: the path is open and no call is in hand.
func (m *Machine) stepReady(in Input) {
	switch in := in.(type) {
	case Digit:
		m.dialDigit(in)
		return
	case Orbit:
		m.readyOrbit(in)
		return
	case KeyDown:
		switch in.Key {
		case KeyPark:
			m.readyPark()
			return
		case KeyHold:
			// The call that waits goes first; Hold twice changes between two calls.
			if c := m.firstRinging(); c != nil {
				m.answer(c)
				return
			}
			if c := m.find(m.transfer); c != nil {
				m.take(c)
				return
			}
			if c := m.heldTarget(); c != nil {
				m.take(c)
				return
			}
		case KeyTransfer:
			if m.readyTransfer() {
				return
			}
		case KeyRedial:
			if m.lastNumber != "" && m.state != Dialing {
				m.dial(m.lastNumber)
				return
			}
		}
	}
	m.refuse(in)
}

// readyOrbit is an orbit key with the path open and no call in hand.
func (m *Machine) readyOrbit(in Orbit) {
	if c := m.find(m.transfer); c != nil {
		m.park(c, in.Number)
		return
	}
	if in.State != OrbitFree {
		m.fetch(in.Number)
		return
	}
	if c := m.lastHeld(); c != nil {
		m.park(c, in.Number)
		return
	}
	m.enterFailure(sound{prompt: PromptEmpty, orbit: in.Number, tone: ToneReorder})
}

// readyPark is the Park key with the path open and no call in hand.
func (m *Machine) readyPark() {
	switch c := m.lastHeld(); {
	case m.undoable():
		m.undo()
	case c != nil:
		m.park(c, "")
	case m.state == Listing:
		m.fetch("")
	default:
		m.enterListing()
	}
}

// readyTransfer is the second press of Transfer: after digits it transfers blindly, before them it takes the call back.
func (m *Machine) readyTransfer() bool {
	c := m.find(m.transfer)
	if c == nil {
		return false
	}
	if m.state != Dialing {
		m.take(c)
		return true
	}
	how, t := m.plan.resolve(m.digits)
	switch {
	case how != waiting && how != complete:
		m.enterFailure(sound{tone: ToneReorder})
	case t.kind == targetNumber:
		m.blindTransfer(c, t.number)
	default:
		m.reach(t)
	}
	return true
}

// stepCalling: an outgoing call is in hand and not yet answered.
func (m *Machine) stepCalling(in Input) {
	c := m.find(m.active)
	switch in := in.(type) {
	case Digit:
		if c.state == CallEarly {
			m.do(SendDTMF{c.id, in.Digit})
		}
		m.emergencyDigit(in)
		return
	case KeyDown:
		if c.emergency {
			break
		}
		switch a := m.find(m.transfer); in.Key {
		case KeyTransfer:
			if a != nil {
				m.hangUp(c)
				m.blindTransfer(a, c.from)
				return
			}
		case KeyHold:
			if a == nil {
				a = m.heldTarget()
			}
			if a != nil {
				m.hangUp(c)
				m.take(a)
				return
			}
		}
	}
	m.refuse(in)
}

// stepTalking: a call is in the ear. Digits belong to the far end.
func (m *Machine) stepTalking(in Input) {
	c := m.find(m.active)
	switch in := in.(type) {
	case Digit:
		m.do(SendDTMF{c.id, in.Digit})
		return
	case Orbit:
		if !c.emergency {
			m.park(c, in.Number)
			return
		}
	case KeyDown:
		if in.Key == KeyMute {
			m.muted = !m.muted
			m.do(Mute{m.muted})
			return
		}
		if c.emergency {
			break // an emergency call can be neither parked, held nor transferred
		}
		switch in.Key {
		case KeyPark:
			m.park(c, "")
			return
		case KeyHold:
			m.hold(c)
			if next := m.firstRinging(); next != nil {
				m.answer(next)
			} else {
				m.enterDialTone()
			}
			return
		case KeyTransfer:
			if a := m.find(m.transfer); a != nil {
				m.attendedTransfer(a, c)
				return
			}
			m.hold(c)
			m.transfer = c.id
			m.enterDialTone()
			return
		}
	}
	m.refuse(in)
}

// stepParking: the park of the call in hand was asked for; if it was in the ear, the worker still talks to it.
func (m *Machine) stepParking(in Input) {
	c := m.find(m.active)
	switch in := in.(type) {
	case Digit:
		if !c.held {
			m.do(SendDTMF{c.id, in.Digit})
			return
		}
		m.emergencyDigit(in)
		return
	case KeyDown:
		if in.Key == KeyMute && !c.held {
			m.muted = !m.muted
			m.do(Mute{m.muted})
			return
		}
	}
	m.refuse(in)
}

// stepPending: a fetch or a transfer was asked for.
func (m *Machine) stepPending(in Input) {
	if d, ok := in.(Digit); ok {
		m.emergencyDigit(d)
		return
	}
	m.refuse(in)
}

// dialDigit collects a digit and acts when the number is complete.
func (m *Machine) dialDigit(in Digit) {
	digits := m.digits
	if in.Digit == '#' && !m.plan.takesPound(digits) {
		if digits == "" {
			m.refuse(in)
			return
		}
		m.dialCollected()
		return
	}
	digits += string(rune(in.Digit))
	how, t := m.plan.resolve(digits)
	switch {
	case how == complete:
		m.reach(t)
	case how == impossible, len(digits) == maxDigits:
		m.enterFailure(sound{tone: ToneReorder})
	default:
		m.enterDialing(digits)
	}
}

// dialCollected acts on the digits as they are.
func (m *Machine) dialCollected() {
	how, t := m.plan.resolve(m.digits)
	if how != waiting && how != complete {
		m.enterFailure(sound{tone: ToneReorder})
		return
	}
	m.reach(t)
}

// reach does what dialled digits ask for.
func (m *Machine) reach(t target) {
	c := m.lastHeld()
	switch {
	case t.kind == targetEmergency:
		m.dialEmergency(t.number)
	case t.kind == targetNumber:
		m.dial(t.number)
	case t.kind == targetOrbit && m.find(m.transfer) != nil, t.kind == targetPark && c != nil:
		m.park(c, t.number)
	case t.kind == targetPark: // nobody to park: never park the dialler
		m.enterFailure(sound{tone: ToneReorder})
	default:
		m.fetch(t.number)
	}
}

// emergencyDigit looks for an emergency number where digits mean nothing else. Keys pressed before a pause do not
// count.
func (m *Machine) emergencyDigit(in Digit) {
	if m.inEmergency() {
		m.refuse(in)
		return
	}
	if m.now.Sub(m.emergencyTyped) > m.cfg.InterDigit {
		m.emergencyDigits = ""
	}
	m.emergencyTyped = m.now
	if len(m.emergencyDigits) < maxDigits {
		m.emergencyDigits += string(rune(in.Digit))
	}
	if m.plan.isEmergency(m.emergencyDigits) {
		m.dialEmergency(m.emergencyDigits)
	}
}

// stateTimeout: the state has lasted long enough.
func (m *Machine) stateTimeout() {
	switch m.state {
	case DialTone:
		switch {
		case m.heldTarget() == nil:
			m.enterFailure(sound{tone: ToneReorder})
		case m.path == PathSpeaker:
			m.finish()
		default:
			m.enterQuiet() // the worker speaks to somebody in the room; the caller hears music
		}
	case Dialing:
		m.dialCollected()
	case Failure:
		if m.path == PathHandset {
			m.enterQuiet()
			return
		}
		m.finish()
	default:
		m.finish() // Parked, Listing
	}
}
