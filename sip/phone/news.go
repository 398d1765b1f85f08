package phone

// SIP status codes that the phone gives or reads (RFC 3261 §21).
const (
	statusNotAvailable = 480
	statusBusyHere     = 486
	statusBusy         = 600
	statusDecline      = 603
)

// news handles what became of a call, and Spoken.
func (m *Machine) news(in Input) {
	switch in := in.(type) {
	case Incoming:
		m.incoming(in)
	case Progress:
		m.progress(in)
	case Answered:
		m.answered(in)
	case Failed:
		m.ended(in, in.Call, in.Code)
	case Ended:
		m.ended(in, in.Call, 0)
	case RemoteHold:
		if c := m.find(in.Call); c != nil && c.state != CallEnding {
			c.remoteHold = in.Held
			m.show(c)
			return
		}
		m.ignore(in)
	case Identity:
		if c := m.find(in.Call); c != nil && c.state != CallEnding {
			c.from, c.name = in.From, in.Name
			m.show(c)
			return
		}
		m.ignore(in)
	case Referred:
		m.referred(in)
	case TransferProgress:
		m.transferProgress(in)
	case ParkCommitted:
		m.parkCommitted(in)
	case ParkRefused:
		c := m.find(in.Call)
		if c != nil {
			c.asked = false // also when it comes late, so that the next park is asked for
		}
		if c == nil || c.state != CallParking {
			m.ignore(in)
			return
		}
		m.parkRefused(c, in.Reason)
	case Fetched:
		m.fetched(in)
	case FetchRefused:
		m.fetchRefused(in)
	case Spoken:
		if m.state == Listing {
			m.setTimer(TimerID{Kind: TimerState}, m.cfg.List)
			return
		}
		m.ignore(in)
	default:
		m.ignore(in)
	}
}

// incoming lets a call ring, refuses it, or opens the loudspeaker for it.
func (m *Machine) incoming(in Incoming) {
	if in.Call == "" || m.find(in.Call) != nil {
		m.ignore(in)
		return
	}
	c := &call{id: in.Call, state: CallRinging, from: in.From, name: in.Name, incoming: true, recall: in.Recall,
		orbit: in.Orbit, since: m.now}
	if in.Recall {
		c.note = words("recall", in.Orbit)
	}
	m.calls = append(m.calls, c)
	urgent := in.Recall || in.Emergency // rings in spite of do-not-disturb (RFC 7090 for the emergency service)
	switch {
	case m.dnd && !urgent:
		m.reject(c, statusNotAvailable) // RFC 3261 §21.4.18 names do-not-disturb
	case m.inEmergency() || m.live() > m.cfg.MaxCalls:
		m.reject(c, statusBusyHere)
	case in.AutoAnswer && m.state == Idle && m.heldTarget() == nil:
		c.opened = true
		m.open()
		m.answer(c)
		m.beep(ToneConfirm, beepShort)
	default:
		m.show(c)
	}
}

// progress reports what an outgoing call does before it is answered. Early audio, once there, stays (RFC 3960 §3.2).
func (m *Machine) progress(in Progress) {
	c := m.find(in.Call)
	if c == nil || !c.pending() {
		m.ignore(in)
		return
	}
	switch {
	case in.Early:
		c.state = CallEarly
		m.play(sound{})
	case c.state == CallDialing:
		c.state = CallAlerting
		m.play(sound{tone: ToneRingback})
	}
}

func (m *Machine) answered(in Answered) {
	c := m.find(in.Call)
	switch {
	case c != nil && c.pending():
		m.enterTalking(c)
	case c != nil && c.state == CallEnding:
		m.do(HangUp{c.id}) // the answer crossed our hanging up
	default:
		m.ignore(in)
	}
}

// ended removes a call that is over. code is the SIP status of an outgoing call that failed, else 0.
func (m *Machine) ended(in Input, id CallID, code int) {
	c := m.find(id)
	if c == nil {
		m.ignore(in)
		return
	}
	inHand := m.active == id
	switch c.state {
	case CallDialing, CallAlerting, CallEarly:
		m.outgoingFailed(c, code)
	case CallTalking:
		if c.with != "" {
			m.leftConference(c)
			return
		}
		m.remove(c)
		if m.unasked(c) {
			m.close()
			return
		}
		m.enterFailure(sound{tone: ToneBusy})
	case CallHeld:
		followed := m.follows(c) // whoever transferred us has gone, as it should
		m.remove(c)
		if m.path != PathNone && !m.inEmergency() && !followed && !c.opened {
			m.beep(ToneBusy, beepShort)
		}
	case CallParking:
		m.remove(c)
		if inHand {
			m.enterFailure(sound{tone: ToneBusy})
		}
	case CallFetching:
		m.remove(c)
		m.enterFailure(refusal(ReasonUnknown, c.orbit))
	case CallTransferring:
		m.transferringEnded(c)
	default: // CallRinging, CallReturning, CallEnding
		m.remove(c)
	}
}

// outgoingFailed tells why, or takes back the call whose far end asked for this one.
func (m *Machine) outgoingFailed(c *call, code int) {
	referrer := m.find(c.referrer)
	m.remove(c)
	if referrer != nil && referrer.state == CallHeld {
		m.take(referrer)
		m.beep(ToneError, beepShort)
		return
	}
	switch code {
	case statusNotAvailable, statusBusyHere, statusBusy, statusDecline:
		m.enterFailure(sound{tone: ToneBusy})
	default:
		m.enterFailure(sound{tone: ToneReorder})
	}
}

// parkCommitted forgets the call, which is parkd's now, and tells the parker where it is. It is accepted late, too: a
// park that was given up for lost may have been carried out.
func (m *Machine) parkCommitted(in ParkCommitted) {
	c := m.find(in.Call)
	if c == nil || !c.asked || c.state == CallEnding {
		m.ignore(in)
		return
	}
	inHand := m.active == c.id
	if c.state == CallTransferring {
		m.transferringEnded(c)
		inHand = false
	} else {
		m.remove(c)
	}
	m.parkedOrbit, m.parkedUntil = in.Orbit, m.now.Add(m.cfg.Undo)
	if m.heldTarget() == nil {
		m.reminding = false
	}
	switch {
	case inHand:
	case m.path == PathNone && m.firstRinging() == nil && !m.reminding:
		m.open() // the handset went down first; the orbit must be told all the same
	case m.state == DialTone || m.state == Quiet || m.state == Parked:
	default:
		if !m.inEmergency() {
			m.beeps = append(m.beeps, Whisper{PromptParkedOn, in.Orbit})
		}
		return
	}
	m.enterParked(in.Orbit)
}

// parkRefused leaves the call where it was: in the ear with a tone over it, on hold, or, the handset being down,
// ringing.
func (m *Machine) parkRefused(c *call, reason Reason) {
	m.stopTimer(TimerID{TimerCall, c.id})
	if reason == ReasonLost {
		reason = ReasonTaken // somebody else was faster to park there: the orbit is lost, no call is
	}
	said := refusal(reason, c.orbit)
	inHand := m.active == c.id
	switch {
	case inHand && !c.held:
		m.enterTalking(c)
		m.beep(said.tone, beepLong)
	case inHand:
		m.hold(c)
		m.enterFailure(said)
	default:
		m.hold(c)
		c.returned = true
		m.reminding = m.path == PathNone
		if !m.inEmergency() {
			m.beep(said.tone, beepShort)
		}
		m.showAs(c, words("not parked", c.orbit))
	}
}

// fetched brings the caller into the ear, or parks it again if nobody waits for it any more.
func (m *Machine) fetched(in Fetched) {
	c := m.find(in.Call)
	if c == nil || c.state != CallFetching && c.state != CallReturning {
		m.ignore(in)
		return
	}
	m.stopTimer(TimerID{TimerCall, c.id})
	c.from, c.name, c.since, c.incoming = in.From, in.Name, m.now, true
	if in.Orbit != "" {
		c.orbit = in.Orbit
	}
	c.note = words("fetched", c.orbit)
	if c.state == CallFetching {
		m.enterTalking(c)
		return
	}
	m.do(Music{c.id})
	m.askPark(c, c.orbit)
}

func (m *Machine) fetchRefused(in FetchRefused) {
	c := m.find(in.Call)
	if c == nil || c.state != CallFetching && c.state != CallReturning {
		m.ignore(in)
		return
	}
	inHand := m.active == c.id
	m.remove(c)
	if inHand {
		m.enterFailure(refusal(in.Reason, orElse(in.Orbit, c.orbit)))
	}
}

// refusal returns what the worker hears: a sentence, then busy tone if somebody else has the orbit or the call, else
// reorder tone.
func refusal(r Reason, orbit string) sound {
	s := sound{prompt: PromptUnknown, orbit: orbit, tone: ToneReorder}
	switch r {
	case ReasonTaken:
		s.prompt, s.tone = PromptTaken, ToneBusy
	case ReasonLost:
		s.prompt, s.tone = PromptLost, ToneBusy
	case ReasonFull:
		s.prompt = PromptFull
	case ReasonEmpty:
		s.prompt = PromptEmpty
	case ReasonNoSuchOrbit:
		s.prompt = PromptNoOrbit
	case ReasonEmergency:
		s.prompt = PromptNone
	}
	return s
}

// callTimeout: parkd or the far end has not answered.
func (m *Machine) callTimeout(c *call) {
	if c == nil {
		return
	}
	switch c.state {
	case CallParking:
		m.parkRefused(c, ReasonTimeout)
	case CallFetching: // in hand, since letting go stops the timer
		m.release()
		m.enterFailure(refusal(ReasonTimeout, c.orbit))
	case CallTransferring:
		m.transferFailed(c)
	}
}
