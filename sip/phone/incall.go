package phone

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
		if in.State != OrbitFree && m.unasked(c) { // whoever is called to an orbit presses its key while the page still speaks
			m.hold(c) // not hung up: it may have become somebody else's
			m.fetch(in.Number)
			return
		}
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
			m.holdForNext(c)
			return
		case KeyConference:
			m.confer(c, in)
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
