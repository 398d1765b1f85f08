package phone

// blindTransfer asks the far end of a held call to call a number. The call stays until that has succeeded.
func (m *Machine) blindTransfer(c *call, number string) {
	m.transfer = ""
	c.state, c.leads = CallTransferring, true
	m.do(BlindTransfer{c.id, number})
	m.setTimer(TimerID{TimerCall, c.id}, m.cfg.TransferTimeout)
	m.enterTransferring(c)
}

// attendedTransfer asks the far end of the held call a to take the place of this phone in call b, which stays in the
// ear until that has succeeded.
func (m *Machine) attendedTransfer(a, b *call) {
	m.transfer = ""
	a.state, a.leads, a.partner = CallTransferring, true, b.id
	b.state, b.leads, b.partner = CallTransferring, false, a.id
	m.do(AttendedTransfer{a.id, b.id})
	m.setTimer(TimerID{TimerCall, a.id}, m.cfg.TransferTimeout)
	m.enterTransferring(b)
}

// transferProgress ends a transfer with its last report.
func (m *Machine) transferProgress(in TransferProgress) {
	c := m.find(in.Call)
	if c == nil || c.state != CallTransferring || !c.leads {
		m.ignore(in)
		return
	}
	switch {
	case !in.Final:
	case in.Code >= 200 && in.Code < 300:
		m.transferDone(c)
	default:
		m.transferFailed(c)
	}
}

// transferDone ends our part: the far ends talk to each other (RFC 5589 §6.1 and §7).
func (m *Machine) transferDone(c *call) {
	b := m.find(c.partner)
	inHand := m.active == c.id || b != nil && m.active == b.id
	m.hangUp(c)
	if b != nil {
		m.hangUp(b)
	}
	if inHand {
		m.beep(ToneConfirm, beepShort)
		m.finish()
	}
}

// transferFailed brings back what was to be transferred: the call in hand to the ear, the other on hold; with the
// handset down both ring.
func (m *Machine) transferFailed(c *call) {
	b := m.find(c.partner)
	m.stopTimer(TimerID{TimerCall, c.id})
	c.leads, c.partner = false, ""
	switch {
	case b != nil && m.active == b.id:
		b.partner = ""
		m.hold(c)
		m.enterTalking(b)
		m.transfer = c.id
	case m.active == c.id:
		m.take(c)
	default:
		m.comeBack(c)
	}
	if b != nil && m.active != b.id {
		b.partner = ""
		m.comeBack(b)
	}
	if !m.inEmergency() {
		m.beep(ToneError, beepShort)
	}
}

// comeBack puts a call on hold that was let go of, and lets it ring like a recall if the handset is down.
func (m *Machine) comeBack(c *call) {
	m.hold(c)
	c.returned = true
	m.reminding = m.path == PathNone
	m.showAs(c, "not transferred")
}

// transferringEnded: one side of a transfer has hung up before the last report. A far end that obeys a blind transfer
// may end our call at once; the second call of an attended transfer is ended by the one that takes its place.
func (m *Machine) transferringEnded(c *call) {
	inHand := m.active == c.id
	other := m.find(c.partner)
	leads := c.leads
	m.remove(c)
	switch {
	case other == nil:
		if inHand {
			m.beep(ToneConfirm, beepShort)
			m.finish()
		}
	case leads && m.active == other.id:
		m.enterTalking(other)
	case leads:
		m.comeBack(other)
	case inHand:
		m.active = other.id // its last report is still to come
	}
}

// referred obeys a transfer that the far end of the call in the ear asks for.
func (m *Machine) referred(in Referred) {
	c := m.find(in.Call)
	if c == nil {
		m.ignore(in)
		return
	}
	if m.state != Talking || m.active != c.id || c.emergency || m.full() {
		m.do(RefuseTransfer{c.id, statusDecline}) // RFC 3515 §2.4.2: a recipient may decline
		return
	}
	m.hold(c)
	next := m.newCall(CallDialing, "")
	next.referrer = c.id
	next.note = "transferred"
	m.do(Follow{next.id, c.id})
	m.enterCalling(next)
}

// follows reports whether a call is here because the far end of c asked for it.
func (m *Machine) follows(c *call) bool {
	for _, o := range m.calls {
		if o.referrer == c.id {
			return true
		}
	}
	return false
}
