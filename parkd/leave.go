package parkd

import (
	"slices"
	"time"
)

// movingPoll is how often a caller that has left is looked for.
const movingPoll = time.Second

// Remaining counts the callers who are still parked here, and says whether there is any use in waiting for the word of a
// peer, after Leave: a caller can be taken over and nobody has said that he does not come, or one has left and nobody has
// said that he has him.
func (m *Machine) Remaining() (here int, wait bool) {
	for _, c := range m.hosted {
		if c.State != Moving {
			here++
			wait = wait || m.Movable(c.SlotState)
		} else {
			wait = wait || !c.over
		}
	}
	return here, wait && m.hasHeirs()
}

// Movable says whether a peer would take over a caller who is parked here if this appliance left, as far as can be known
// before.
func (m *Machine) Movable(s SlotState) bool {
	return m.hasHeirs() && s.Dialog.rescuable() && !m.settledAs(s, Unable) && !m.settledAs(s, Absent) && !m.settledAs(s, Gone)
}

func (m *Machine) hasHeirs() bool {
	return m.cfg.RescueAfter > 0 && slices.ContainsFunc(m.peers, func(p *peer) bool { return p.Alive })
}

// callerLeft ends a call whose caller has hung up or is not there any more, unless a peer may have taken him over, being
// told that we leave or thinking that we are dead: then it waits for the peers' word.
func (m *Machine) callerLeft(c *call, in LegEnded) {
	if c.doubt = in.Doubt; !m.maybeTaken(c) || in.Ours && !m.mirrors().tried(c.SlotState) || len(m.hosted) > 2*m.cfg.MaxCalls {
		m.end(c, in.end(), "")
		return
	}
	m.enterMoving(c, in.end())
}

func (m *Machine) enterMoving(c *call, how End) {
	delete(m.legs, c.Leg)
	c.Leg, c.fetch, c.recall = "", nil, ""
	c.State, c.left, c.leftAt, c.Deadline = Moving, how, m.now, time.Time{}
	m.setTimer(c, m.now.Add(movingPoll))
	m.changed(c)
}

// inMoving is the arm for Moving.
func (m *Machine) inMoving(c *call, in Input) {
	if _, ok := in.(Timer); !ok {
		m.ignore(c, in)
		return
	}
	if m.waking() || m.maybeTaken(c) && m.now.Sub(c.leftAt) < m.rescueSpan() {
		m.setTimer(c, m.now.Add(movingPoll))
		return
	}
	m.end(c, c.left, "")
}

// maybeTaken says whether a peer that knew of the call may have taken this appliance for dead, a moment ago or now.
func (m *Machine) maybeTaken(c *call) bool {
	if !c.Dialog.rescuable() || m.cfg.RescueAfter == 0 {
		return false
	}
	if m.mirrors().rescued(m.now, c.SlotState) || slices.ContainsFunc(m.peers, func(p *peer) bool { return p.Alive && p.says(c.SlotState, Trying) }) {
		return true
	}
	recent := c.leftAt.IsZero() || m.now.Sub(c.leftAt) < LateWord
	if (m.leaving || c.doubt) && recent && slices.ContainsFunc(m.peers, func(p *peer) bool { return p.Alive }) {
		return true
	}
	return slices.ContainsFunc(m.peers, func(p *peer) bool {
		since := m.now.Sub(p.changedAt)
		return c.begun.Before(p.downAt) && (p.Alive && since < LateWord || !p.Alive && since < m.rescueSpan())
	})
}
