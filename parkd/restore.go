package parkd

import "slices"

// restore takes back the calls of an earlier life.
func (m *Machine) restore(in Restore) {
	var back []*call
	for _, s := range in.Slots {
		m.raiseEpoch(s.Epoch)
		known := slices.ContainsFunc(m.hosted, func(c *call) bool { return c.CallID == s.CallID })
		switch {
		case s.Leg == "" || m.engaged(s.Leg):
			m.ignore(nil, Restore{Slots: []SlotState{s}})
		case s.CallID == "" || known || s.State < Parked || s.State > Fetching || len(m.legs) >= m.cfg.MaxCalls:
			m.emit(HangUp{Leg: s.Leg, Reason: "the call cannot be kept"})
		default:
			c := &call{SlotState: m.revived(s), earlier: true}
			m.legs[c.Leg] = c
			m.hosted = append(m.hosted, c)
			back = append(back, c)
		}
	}
	// Every announcement from here on has all of them, so that no peer takes one for lost.
	for _, c := range back {
		m.enterRestored(c)
	}
}

// revived is a stored slot in this life. A clock that was set back, or a shorter timeout, must not make a caller
// wait longer than any other.
func (m *Machine) revived(s SlotState) SlotState {
	s.Host, s.Lot, s.Unknown = m.host, m.cfg.Lot, false
	if !m.hasOrbit(s.Orbit) { // the lot was changed; the caller is not dropped for it
		s.Orbit = m.cfg.Orbits[0]
	}
	if latest := m.now.Add(m.cfg.Timeout); s.RecallAt.IsZero() || s.RecallAt.After(latest) {
		s.RecallAt = latest
	}
	return s
}

// enterRestored goes on where the call was.
func (m *Machine) enterRestored(c *call) {
	switch c.State {
	case Recalling:
		m.emit(Music{Leg: c.Leg})
		m.enterRecalling(c, c.Step)
	default:
		c.Step = 0
		m.emit(Music{Leg: c.Leg})
		m.enterWaiting(c)
	}
}
