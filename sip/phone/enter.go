package phone

// Each state is entered here and nowhere else.

// enter leaves the state before: its timer, its sound and its digits.
func (m *Machine) enter(s State) {
	m.stopTimer(TimerID{Kind: TimerState})
	m.state = s
	m.digits = ""
	m.emergencyDigits = ""
	if !m.want.silent() {
		m.play(sound{})
	}
}

// enterRest closes the path: Ringing if there is a reason, else Idle. The handset must be down.
func (m *Machine) enterRest() {
	s := Idle
	if m.firstRinging() != nil || m.reminding {
		s = Ringing
	}
	if m.state == s {
		return
	}
	m.enter(s)
	m.active, m.transfer = "", ""
}

func (m *Machine) enterDialTone() {
	m.enter(DialTone)
	m.active = ""
	m.play(sound{tone: ToneDial})
	m.setTimer(TimerID{Kind: TimerState}, m.cfg.DialTone)
}

// enterDialing starts or goes on collecting digits.
func (m *Machine) enterDialing(digits string) {
	m.enter(Dialing)
	m.active = ""
	m.digits = digits
	m.setTimer(TimerID{Kind: TimerState}, m.cfg.InterDigit)
}

func (m *Machine) enterCalling(c *call) {
	m.enter(Calling)
	m.active = c.id
}

func (m *Machine) enterTalking(c *call) {
	m.enter(Talking)
	m.active = c.id
	c.state, c.returned = CallTalking, false
	m.parkedOrbit = "" // the Park key is for this call now
}

// enterConferring lets two answered calls, both off hold, and the worker hear each other.
func (m *Machine) enterConferring(c, other *call) {
	m.enter(Conferring)
	m.active = c.id
	c.with, other.with = other.id, c.id
	for _, x := range [2]*call{c, other} {
		x.state, x.returned = CallTalking, false
	}
	m.parkedOrbit = "" // the Park key is refused now
}

// enterParking waits for parkd's answer.
func (m *Machine) enterParking(c *call) {
	m.enter(Parking)
	m.active = c.id
}

// enterFetching waits for parkd's answer.
func (m *Machine) enterFetching(c *call) {
	m.enter(Fetching)
	m.active = c.id
	m.setTimer(TimerID{TimerCall, c.id}, m.cfg.FetchTimeout)
}

// enterTransferring waits for the far end's answer; active is the call in the ear, or else the one being transferred.
func (m *Machine) enterTransferring(c *call) {
	m.enter(Transferring)
	m.active = c.id
}

// enterParked tells the orbit.
func (m *Machine) enterParked(orbit string) {
	m.enter(Parked)
	m.active = ""
	m.play(sound{prompt: PromptParkedOn, orbit: orbit})
	m.setTimer(TimerID{Kind: TimerState}, m.cfg.Undo)
}

// enterListing speaks the list of parked calls. Its time runs from the end of the list (Spoken); the first timer only
// bounds a list whose end is not reported.
func (m *Machine) enterListing() {
	m.enter(Listing)
	m.active = ""
	m.play(sound{list: true})
	m.setTimer(TimerID{Kind: TimerState}, maxList)
}

// enterFailure tells why something was refused.
func (m *Machine) enterFailure(s sound) {
	m.enter(Failure)
	m.active = ""
	m.play(s)
	after := m.cfg.FailureTone
	if m.path == PathSpeaker {
		after = m.cfg.SpeakerFailure
	}
	m.setTimer(TimerID{Kind: TimerState}, after)
}

// enterQuiet waits in silence until the handset goes down or a key is pressed.
func (m *Machine) enterQuiet() {
	m.enter(Quiet)
	m.active = ""
}

// open opens a path if none is open: the handset if it is lifted, else the loudspeaker.
func (m *Machine) open() {
	if m.path != PathNone {
		return
	}
	m.path = PathSpeaker
	if m.hookUp {
		m.path = PathHandset
	}
}

// finish ends what was done on the open path: dial tone for a lifted handset, else the path closes.
func (m *Machine) finish() {
	if m.hookUp {
		m.path = PathHandset
		m.enterDialTone()
		return
	}
	m.close()
}

// close closes the path. Held calls ring at once. The handset must be down.
func (m *Machine) close() {
	m.path = PathNone
	m.reminding = m.heldTarget() != nil
	m.enterRest()
}

// release lets go of the call in hand: what nobody else is to have ends, everything else goes on in the background.
func (m *Machine) release() {
	c := m.find(m.active)
	if c == nil {
		return
	}
	switch c.state {
	case CallDialing, CallAlerting, CallEarly, CallTalking:
		other := m.find(c.with)
		if other != nil && m.cfg.ConferenceJoin {
			m.leaveConference(c, other)
			m.do(Music{c.id})
			break
		}
		m.hangUp(c)
		if other != nil { // a conference ends with the worker who made it: nobody is joined behind his back
			m.hangUp(other)
		}
	case CallParking, CallTransferring:
		if !c.held {
			m.do(Music{c.id})
		}
	case CallFetching:
		m.stopTimer(TimerID{TimerCall, c.id})
		m.do(CancelFetch{c.id})
		c.state = CallReturning
	}
	m.active = ""
}

// letGo is the worker's hanging up: handset down, or the speaker key.
func (m *Machine) letGo(in Input) {
	if m.inEmergency() {
		again := !m.hangUpTried.IsZero() && m.now.Sub(m.hangUpTried) <= m.cfg.EmergencyHangUp
		m.hangUpTried = m.now
		if !again {
			m.path = PathSpeaker // a handset that falls into its cradle must not end the call
			m.ignore(in)
			m.beep(ToneError, beepShort)
			return
		}
	}
	m.release()
	m.close()
}
