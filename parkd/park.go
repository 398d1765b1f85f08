package parkd

import (
	"slices"
	"time"
)

func (m *Machine) parkAsked(in Park) {
	if m.open[in.Token] != nil {
		m.ignore(nil, in)
		return
	}
	var why Reason
	switch {
	case in.Emergency:
		why = ReasonEmergency
	case in.Orbit != "" && !m.hasOrbit(in.Orbit):
		why = ReasonNoSuchOrbit
	case in.Leg == "" || m.legs[in.Leg] != nil || m.fetcher[in.Leg] != nil:
		why = ReasonParked
	case len(m.legs) >= m.cfg.MaxCalls:
		why = ReasonLimit
	}
	if why != ReasonNone {
		m.emit(Refused{Token: in.Token, Leg: in.Leg, Orbit: in.Orbit, Reason: why})
		return
	}
	c := &call{want: in.Orbit, orphan: in.Gone || m.closing, SlotState: SlotState{
		Lot: m.cfg.Lot, Host: m.host, Caller: in.Caller, Parker: in.Parker,
		ParkerRef: in.ParkerRef, Dialog: in.Dialog, Leg: in.Leg,
	}}
	c.park = &request{token: in.Token, leg: in.Leg, call: c}
	m.open[in.Token] = c.park
	m.legs[in.Leg] = c
	m.pending = append(m.pending, c)
	m.setTimer(c, m.now.Add(m.cfg.ClaimTimeout))
	m.enterClaiming(c)
}

// enterClaiming asks for the orbit wanted, or for the lowest that is free as far as is known here.
// Every orbit that is lost to a peer is tried once, so that this ends.
func (m *Machine) enterClaiming(c *call) {
	known := m.Known()
	if c.want != "" {
		if why := m.occupied(known, c, c.want); why != ReasonNone {
			m.parkRefused(c, why)
			return
		}
		m.claim(c, c.want)
		return
	}
	for _, o := range m.cfg.Orbits {
		if m.now.Before(m.avoid[o]) || slices.Contains(c.tried, o) || m.occupied(known, c, o) != ReasonNone {
			continue
		}
		m.claim(c, o)
		return
	}
	c.State, c.Orbit = Waiting, ""
	if !slices.ContainsFunc(m.pending, func(o *call) bool { return o != c && o.State == Claiming }) {
		m.parkRefused(c, ReasonFull)
	}
}

// claim asks for an orbit, unless there is no time left for an answer.
func (m *Machine) claim(c *call, orbit string) {
	c.State, c.Orbit = Claiming, orbit
	if m.closing {
		m.commit(c)
		return
	}
	m.emit(Claim{Token: c.park.token, Orbit: orbit})
}

// occupied says why the orbit cannot be had for c, as far as is known here.
func (m *Machine) occupied(known Known, c *call, orbit string) Reason {
	why := known.Refuses(orbit)
	if why != ReasonTaken && slices.ContainsFunc(m.pending, func(o *call) bool { return o != c && o.State == Claiming && o.Orbit == orbit }) {
		return ReasonLostRace
	}
	return why
}

// wakeWaiting lets those who found no free orbit look again: a claim that stood in their way may have
// been answered in this step.
func (m *Machine) wakeWaiting() {
	if !slices.ContainsFunc(m.pending, func(c *call) bool { return c.State == Waiting }) {
		return
	}
	for _, c := range slices.Clone(m.pending) {
		if c.State == Waiting {
			m.enterClaiming(c)
		}
	}
}

func (m *Machine) claimAnswered(in ClaimResult) {
	r := m.open[in.Token]
	if r == nil || r.call == nil || r.call.State != Claiming || r.call.Orbit != in.Orbit {
		if in.Granted {
			m.emit(ReleaseClaim{Token: in.Token, Orbit: in.Orbit})
		}
		m.ignore(nil, in)
		return
	}
	m.stepCall(r.call, in)
}

// inClaiming is the arm for Waiting and Claiming.
func (m *Machine) inClaiming(c *call, in Input) {
	switch in := in.(type) {
	case ClaimResult:
		if !in.Granted {
			m.claimLost(c, in.Reason)
			return
		}
		if why := m.occupied(m.Known(), c, c.Orbit); why != ReasonNone {
			// The arbiter did not know yet of a call that was told to us.
			m.emit(ReleaseClaim{Token: c.park.token, Orbit: c.Orbit})
			m.claimLost(c, why)
			return
		}
		m.commit(c)
	case ParkerGone:
		c.orphan = true
		if c.State == Waiting {
			m.parkRefused(c, ReasonFull)
		}
	case LegEnded:
		m.giveUpClaim(c)
		m.dropPending(c)
		m.refuse(c.park.token, c.Leg, c.want, ReasonGone)
	case Abort:
		m.giveUpClaim(c)
		m.dropPending(c)
		m.refuse(c.park.token, c.Leg, c.want, ReasonUndone)
	case Timer:
		m.giveUpClaim(c)
		m.parkRefused(c, ReasonTimeout)
	case CallerChanged:
		c.take(in)
	default:
		m.ignore(c, in)
	}
}

func (m *Machine) giveUpClaim(c *call) {
	if c.State == Claiming {
		m.emit(ReleaseClaim{Token: c.park.token, Orbit: c.Orbit})
	}
}

// claimLost takes a refusal. The number asked for is never changed; "lowest free" goes on to the next.
func (m *Machine) claimLost(c *call, why Reason) {
	if why == ReasonNone {
		why = ReasonTaken
	}
	if c.want != "" {
		m.parkRefused(c, why)
		return
	}
	m.avoid[c.Orbit] = m.now.Add(m.cfg.AvoidFor)
	c.tried = append(c.tried, c.Orbit)
	m.enterClaiming(c)
}

// parkRefused ends a park that got no orbit: the call stays with the parker. Without a parker there
// is nobody to stay with: the call is queued in the orbit that was asked for, as after a partition.
func (m *Machine) parkRefused(c *call, why Reason) {
	if c.orphan {
		switch {
		case c.want != "":
			c.Orbit = c.want
		case c.Orbit == "":
			c.Orbit = m.cfg.Orbits[0]
		}
		m.commit(c)
		return
	}
	m.dropPending(c)
	m.refuse(c.park.token, c.Leg, c.want, why)
}

func (m *Machine) dropPending(c *call) {
	m.stopTimer(c)
	m.pending = remove(m.pending, c)
	delete(m.legs, c.Leg)
}

// commit puts the call into its orbit: stored and announced first, told to the parker last.
func (m *Machine) commit(c *call) {
	m.stopTimer(c)
	m.pending = remove(m.pending, c)
	m.hosted = append(m.hosted, c)
	delete(m.avoid, c.Orbit)
	if other, ok := m.pairs[c.Leg]; ok {
		// A fetched call is parked again: from now on the parker's leg ends alone.
		delete(m.pairs, c.Leg)
		delete(m.pairs, other)
	}
	c.CallID = m.host + "." + stamp(m.epoch) + "." + m.nextSerial()
	c.Since, c.begun = m.now, m.now
	c.RecallAt = m.now.Add(m.cfg.Timeout)
	m.enterWaiting(c)
	m.emit(Music{Leg: c.Leg})
	token := c.park.token
	m.close(token)
	c.park = nil
	m.emit(Committed{Token: token, Leg: c.Leg, Orbit: c.Orbit, Slot: c.SlotState})
}

func (m *Machine) undoAsked(in Undo) {
	if m.open[in.Token] != nil {
		m.ignore(nil, in)
		return
	}
	if m.closing {
		m.emit(Refused{Token: in.Token, Leg: in.Leg, Reason: ReasonUnknown})
		return
	}
	for _, c := range slices.Backward(m.pending) {
		if c.ParkerRef == in.ParkerRef {
			m.stepCall(c, Abort{Token: c.park.token})
			m.emit(Refused{Token: in.Token, Leg: in.Leg, Reason: ReasonUndone})
			return
		}
	}
	for _, c := range slices.Backward(m.hosted) {
		recent := m.now.Sub(c.Since) <= m.cfg.UndoWindow
		if c.ParkerRef == in.ParkerRef && recent && c.Priority == 0 && fetchable(c.SlotState) {
			m.fetchLocal(c, in.Token, in.Leg)
			return
		}
	}
	m.emit(Refused{Token: in.Token, Leg: in.Leg, Reason: ReasonEmpty})
}

// stamp makes an epoch short enough for call ids.
func stamp(epoch uint64) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	var b [13]byte
	i := len(b)
	for {
		i--
		b[i] = digits[epoch%36]
		if epoch /= 36; epoch == 0 {
			return string(b[i:])
		}
	}
}

// take overwrites what the input knows better.
func (c *call) take(in CallerChanged) {
	if in.Caller != (Party{}) {
		c.Caller = in.Caller
	}
}

// endingAt is the start of the last tenth of the wait.
func (m *Machine) endingAt(c *call) time.Time { return c.RecallAt.Add(-m.cfg.Timeout / 10) }
