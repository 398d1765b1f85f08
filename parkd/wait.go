package parkd

import "strings"

// enterWaiting puts the call into Parked or, in the last tenth of its time, Ending, or recalls at once
// when its time went by during a fetch.
func (m *Machine) enterWaiting(c *call) {
	switch ending := m.endingAt(c); {
	case m.now.Before(ending):
		c.State, c.Deadline = Parked, c.RecallAt
		m.setTimer(c, ending)
	case m.now.Before(c.RecallAt):
		c.State, c.Deadline = Ending, c.RecallAt
		m.setTimer(c, c.RecallAt)
	default:
		m.enterRecalling(c, 0)
		return
	}
	m.changed(c)
}

// inParked is the arm for Parked and Ending.
func (m *Machine) inParked(c *call, in Input) {
	switch in := in.(type) {
	case LegEnded:
		m.callerLeft(c, in)
	case Timer:
		m.enterWaiting(c)
	case Swap:
		m.swap(c, in)
	default:
		m.news(c, in)
	}
}

// enterRecalling rings the first step from step on that has somebody to ring. After the last one the
// call is parked again, with higher priority.
func (m *Machine) enterRecalling(c *call, step int) {
	to, ring := c.ParkerRef, m.cfg.RecallRing
	if step == 0 && to == "" {
		step = 1
	}
	if step > len(m.cfg.Escalation) {
		m.parkAgain(c, 1)
		return
	}
	if step > 0 {
		to, ring = m.cfg.Escalation[step-1].To, m.cfg.Escalation[step-1].Ring
	}
	c.State, c.Step = Recalling, step
	if m.closing { // the next life rings
		c.recall = ""
		m.changed(c)
		return
	}
	c.recall = "recall:" + m.nextSerial()
	c.Deadline = m.now.Add(ring)
	m.setTimer(c, c.Deadline)
	m.changed(c)
	m.emit(Recall{Token: c.recall, To: to, Step: step, Slot: c.SlotState})
}

// parkAgain starts another wait of full length.
func (m *Machine) parkAgain(c *call, priority int) {
	c.Priority += priority
	c.Step, c.recall = 0, ""
	c.RecallAt = m.now.Add(m.cfg.Timeout)
	m.enterWaiting(c)
}

func (m *Machine) stopRecall(c *call) {
	m.emit(StopRecall{Token: c.recall})
	c.recall = ""
}

func (m *Machine) inRecalling(c *call, in Input) {
	switch in := in.(type) {
	case RecallProgress:
		// It rings: the step's timer runs from the attempt, so that a dead phone delays nobody.
	case RecallAnswered:
		r := &request{token: in.Token, leg: in.Leg, call: c}
		m.openRequest(r)
		m.enterFetching(c, r)
	case RecallFailed:
		c.recall = ""
		m.recallFailed(c, in.Code)
	case Timer:
		m.stopRecall(c)
		m.enterRecalling(c, c.Step+1)
	case LegEnded:
		m.stopRecall(c)
		m.callerLeft(c, in)
	case Swap:
		m.swap(c, in)
	default:
		m.news(c, in)
	}
}

// recallFailed goes on as the lot says. Only a refusal by a person counts as one: busy, not found or a
// dead network is answered by the next step whatever the lot says of refusals.
func (m *Machine) recallFailed(c *call, code int) {
	// RFC 3261 §21.6: 6xx is definitive for the user; §21.4.24: phones also say 486 for Reject.
	definite := code >= 600
	switch {
	case m.cfg.RecallRefused == RefusedRelease && definite:
		m.end(c, EndReleased, "")
		m.emit(HangUp{Leg: c.Leg, Reason: "recall refused"})
	case m.cfg.RecallRefused == RefusedPark && (definite || code == 486):
		m.parkAgain(c, 0)
	default:
		m.enterRecalling(c, c.Step+1)
	}
}

// recallAnswered tells a late answer that somebody else has the caller.
func (m *Machine) recallAnswered(in RecallAnswered) {
	for _, c := range m.hosted {
		if c.State == Recalling && c.recall == in.Token {
			if in.Leg != "" && m.engaged(in.Leg) {
				break
			}
			m.stepCall(c, in)
			return
		}
	}
	if m.open[in.Token] != nil || !strings.HasPrefix(in.Token, "recall:") {
		m.ignore(nil, in)
		return
	}
	m.emit(Refused{Token: in.Token, Leg: in.Leg, Reason: ReasonLostRace})
}
