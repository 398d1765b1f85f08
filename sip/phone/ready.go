package phone

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
		case KeyConference:
			if m.state == Dialing {
				m.dialCollected()
				return
			}
			if c := m.lastHeld(); c != nil {
				m.take(c)
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
	case how == impossible, len(digits) == MaxDigits:
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
	case t.kind == targetPark, // nobody to park: never park the dialler
		t.kind == targetFetch && m.find(m.transfer) != nil: // a parked caller is nobody to transfer to
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
	if len(m.emergencyDigits) < MaxDigits {
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
