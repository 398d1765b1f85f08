package phone

// confer is the Conference key with a call in the ear: with another call on hold it joins the two, the one for which
// Transfer was pressed or else the one held last. Without one it makes room for a second call, as Hold does.
func (m *Machine) confer(c *call, in Input) {
	other := m.lastHeld()
	switch {
	case other == nil || other.with != "":
		m.holdForNext(c)
	case c.asked || other.asked:
		// A park of it was given up and may be carried out yet: whoever is parked hears nobody.
		m.refuse(in)
	default:
		m.resume(other)
		m.enterConferring(c, other)
	}
}

// holdForNext puts the call in the ear on hold; the one that waits is answered, or the next can be dialled.
func (m *Machine) holdForNext(c *call) {
	m.hold(c)
	if next := m.firstRinging(); next != nil {
		m.answer(next)
	} else {
		m.enterDialTone()
	}
}

// stepConferring: two calls are in the ear. Digits belong to both far ends.
func (m *Machine) stepConferring(in Input) {
	c := m.find(m.active)
	other := m.find(c.with)
	switch in := in.(type) {
	case Digit:
		m.do(SendDTMF{c.id, in.Digit})
		m.do(SendDTMF{other.id, in.Digit})
		return
	case Orbit:
		m.refusePark()
		return
	case KeyDown:
		switch in.Key {
		case KeyMute:
			m.muted = !m.muted
			m.do(Mute{m.muted})
			return
		case KeyPark:
			m.refusePark()
			return
		case KeyHold:
			m.hold(c)
			m.holdForNext(other)
			return
		case KeyConference: // as before it was pressed
			c.with, other.with = "", ""
			m.hold(other)
			m.enterTalking(c)
			return
		case KeyTransfer: // the two go on without the worker
			m.leaveConference(c, other)
			return
		}
	}
	m.refuse(in)
}

// refusePark says by busy tone that a conference cannot be parked: whoever is parked is joined with nobody, and of two
// callers neither is meant.
func (m *Machine) refusePark() {
	if m.path != PathNone && m.find(m.active) == nil {
		m.enterFailure(sound{tone: ToneBusy})
		return
	}
	m.beep(ToneBusy, beepLong)
}

// leaveConference asks the far ends of a conference to go on with each other. c stays in the ear until they do.
func (m *Machine) leaveConference(c, other *call) {
	c.with, other.with = "", ""
	m.do(Music{other.id})
	m.attendedTransfer(other, c)
}

// leftConference: of the two calls in the ear one has ended; the worker talks to the other.
func (m *Machine) leftConference(ended *call) {
	other := m.find(ended.with)
	m.remove(ended)
	m.enterTalking(other)
	m.beep(ToneBusy, beepShort)
}
