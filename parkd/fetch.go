package parkd

import "slices"

func (m *Machine) fetchAsked(in Fetch) {
	if m.open[in.Token] != nil {
		m.ignore(nil, in)
		return
	}
	refuse := func(why Reason) {
		m.emit(Refused{Token: in.Token, Leg: in.Leg, Orbit: in.Orbit, Reason: why})
	}
	switch {
	case m.closing:
		refuse(ReasonUnknown)
		return
	case in.Orbit != "" && !m.hasOrbit(in.Orbit):
		refuse(ReasonNoSuchOrbit)
		return
	case in.Leg != "" && m.engaged(in.Leg):
		refuse(ReasonParked)
		return
	case len(m.open) >= 2*m.cfg.MaxCalls:
		refuse(ReasonLimit)
		return
	}
	s, why := m.choose(in)
	if why != ReasonNone {
		refuse(why)
		return
	}
	for _, c := range m.hosted {
		if c.CallID == s.CallID && c.State != Moving {
			m.fetchLocal(c, in.Token, in.Leg)
			return
		}
	}
	r := &request{token: in.Token, leg: in.Leg, remote: s}
	m.openRequest(r)
	// The host gives up after FetchTimeout and takes the caller back; it must be the first of the two.
	m.emit(SetTimer{ID: r.timerID(), At: m.now.Add(m.cfg.FetchTimeout + m.cfg.FetchTimeout/4)})
	m.emit(FetchRemote{Token: in.Token, Fetcher: in.Leg, Slot: s})
}

// engaged reports whether the leg is parked, fetching or joined.
func (m *Machine) engaged(leg LegID) bool {
	_, joined := m.pairs[leg]
	return joined || m.legs[leg] != nil || m.fetcher[leg] != nil
}

// choose finds the oldest call that the fetch means and that nobody else is taking.
func (m *Machine) choose(in Fetch) (SlotState, Reason) {
	cs := m.calls(func(s SlotState) bool {
		return (in.Orbit == "" || s.Orbit == in.Orbit) && (in.CallID == "" || s.CallID == in.CallID)
	})
	why := ReasonEmpty
	if in.CallID != "" {
		why = ReasonLostRace // it was there when the fetcher learned its id
	}
	for _, s := range cs {
		switch {
		case s.Unknown:
			if why == ReasonEmpty {
				why = ReasonUnknown
			}
		case !fetchable(s) || m.fetchingRemote(s.CallID):
			why = ReasonLostRace
		default:
			return s, ReasonNone
		}
	}
	return SlotState{}, why
}

func (m *Machine) fetchingRemote(callID string) bool {
	for _, r := range m.open {
		if r.call == nil && r.remote.CallID == callID {
			return true
		}
	}
	return false
}

func (m *Machine) openRequest(r *request) {
	m.open[r.token] = r
	if r.leg != "" {
		m.fetcher[r.leg] = r
	}
}

func (m *Machine) fetchLocal(c *call, token string, leg LegID) {
	r := &request{token: token, leg: leg, call: c}
	m.openRequest(r)
	m.enterFetching(c, r)
}

// enterFetching gives the caller to the fetcher, until JoinResult says how that went.
func (m *Machine) enterFetching(c *call, r *request) {
	if c.State == Recalling && c.recall != r.token {
		m.stopRecall(c)
	}
	c.from, c.fetch = c.State, r
	c.State = Fetching
	at := m.now.Add(m.cfg.FetchTimeout)
	c.Deadline = at
	m.changed(c)
	if r.leg == "" {
		m.emit(HandToPhone{Token: r.token, Leg: c.Leg, Slot: c.SlotState})
	} else {
		m.emit(Join{Token: r.token, Parked: c.Leg, Fetcher: r.leg, Slot: c.SlotState})
	}
	m.setTimer(c, at)
}

func (m *Machine) inFetching(c *call, in Input) {
	r := c.fetch
	switch in := in.(type) {
	case JoinResult:
		if !in.OK {
			m.fetchFailed(c, in.Reason)
			return
		}
		if r.leg != "" {
			m.pairs[c.Leg], m.pairs[r.leg] = r.leg, c.Leg
		}
		m.close(r.token)
		m.end(c, EndFetched, r.leg)
	case LegEnded:
		if in.Leg == c.Leg {
			m.emit(CancelFetch{Token: r.token})
			m.refuse(r.token, r.leg, c.Orbit, ReasonGone)
			m.callerLeft(c, in)
			return
		}
		m.emit(CancelFetch{Token: r.token})
		m.fetchFailed(c, ReasonGone)
	case Abort:
		m.emit(CancelFetch{Token: r.token})
		m.fetchFailed(c, ReasonUndone)
	case Timer:
		m.emit(CancelFetch{Token: r.token})
		m.fetchFailed(c, ReasonTimeout)
	default:
		m.news(c, in)
	}
}

// fetchFailed puts the caller back where it was, with the time that was left.
func (m *Machine) fetchFailed(c *call, why Reason) {
	if why == ReasonNone {
		why = ReasonFailed
	}
	r, wasRecall := c.fetch, c.recall == c.fetch.token
	c.fetch, c.recall = nil, ""
	if c.from == Recalling {
		step := c.Step
		if wasRecall {
			step++
		}
		m.enterRecalling(c, step)
	} else {
		m.enterWaiting(c)
	}
	m.emit(Music{Leg: c.Leg})
	m.refuse(r.token, r.leg, c.Orbit, why)
}

// inRemote is the arm for a fetch from a peer. The host decides who wins.
func (m *Machine) inRemote(r *request, in Input) {
	fail := func(why Reason) {
		m.emit(StopTimer{ID: r.timerID()})
		m.refuse(r.token, r.leg, r.remote.Orbit, why)
	}
	switch in := in.(type) {
	case JoinResult:
		if !in.OK {
			if in.Reason == ReasonNone {
				in.Reason = ReasonFailed
			}
			fail(in.Reason)
			return
		}
		m.emit(StopTimer{ID: r.timerID()})
		m.close(r.token)
		m.takenFrom(r.remote)
		if r.leg != "" && in.Leg != "" {
			m.pairs[r.leg], m.pairs[in.Leg] = in.Leg, r.leg
		}
	case LegEnded:
		m.emit(CancelFetch{Token: r.token})
		fail(ReasonGone)
	case Abort:
		m.emit(CancelFetch{Token: r.token})
		fail(ReasonUndone)
	case Timer:
		m.emit(CancelFetch{Token: r.token})
		m.refuse(r.token, r.leg, r.remote.Orbit, ReasonTimeout)
	default:
		m.ignore(nil, in)
	}
}

// end is how a call whose caller's leg ended has left its orbit.
func (in LegEnded) end() End {
	if in.Lost {
		return EndLost
	}
	return EndAbandoned
}

// end takes a call out of its orbit; every way out comes through here.
func (m *Machine) end(c *call, how End, by LegID) {
	m.stopTimer(c)
	m.hosted = remove(m.hosted, c)
	delete(m.legs, c.Leg)
	if c.earlier && how != EndRescued {
		// A peer that hears of this life now for the first time would take him for one whom it does not know, and call him away
		// from whoever talks to him.
		m.note(Settled{CallID: c.CallID, Moves: c.Moves + 1, How: Gone})
	}
	m.announce()
	m.touched = append(m.touched, c.Orbit)
	if !c.over {
		m.emit(Report{Row: Row{Slot: c.SlotState, Ended: m.now, End: how, By: by}})
	}
}

// swapAsked replaces the leg of a call and keeps its orbit.
func (m *Machine) swapAsked(in Swap) {
	c := m.legs[in.Leg]
	why := ReasonNone
	other, paired := m.pairs[in.Leg]
	switch {
	case m.open[in.Token] != nil:
		m.ignore(c, in)
		return
	case paired && c == nil && in.NewLeg != "" && !m.engaged(in.NewLeg):
		// The far end of a fetched call was transferred: the owner relays the new leg in its place.
		delete(m.pairs, in.Leg)
		m.pairs[in.NewLeg], m.pairs[other] = other, in.NewLeg
		m.emit(HangUp{Leg: in.Leg, Reason: "replaced"})
		return
	case c == nil || !slices.Contains(m.hosted, c):
		why = ReasonEmpty
	case in.NewLeg == "" || m.engaged(in.NewLeg):
		why = ReasonParked
	case c.State == Fetching:
		why = ReasonLostRace
	}
	if why != ReasonNone {
		m.emit(Refused{Token: in.Token, Leg: in.NewLeg, Reason: why})
		return
	}
	m.stepCall(c, in)
}

// swap is what Swap does in each state where the call may change its leg.
func (m *Machine) swap(c *call, in Swap) {
	old := c.Leg
	delete(m.legs, old)
	m.legs[in.NewLeg] = c
	c.Leg, c.Caller, c.Dialog = in.NewLeg, in.Caller, in.Dialog
	if c.ParkerRef == "" {
		c.ParkerRef = c.Parker.URI // who had parked himself has put somebody else there, and is recalled for him
	}
	m.changed(c)
	m.emit(Music{Leg: c.Leg})
	m.emit(Committed{Token: in.Token, Leg: c.Leg, Orbit: c.Orbit, Slot: c.SlotState})
	m.emit(HangUp{Leg: old, Reason: "replaced"})
}
