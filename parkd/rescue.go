package parkd

import (
	"slices"
	"time"
)

const (
	// rescueTurn is how much longer each next appliance in the order of Rank waits before it tries: the one before has
	// said by then that it tries (Trying), and mostly how that went, unless it is dead as well or knows nothing of him.
	rescueTurn = 5 * time.Second
	// rescueTries is how often one appliance calls a far end that does not answer, and rescueAgain the pause after the
	// first time; it doubles.
	rescueTries = 3
	rescueAgain = 2 * time.Second
	// lookAround is how long an appliance that stood still, and all that it has to be told then, takes to know whether the host
	// is back. One that leaves does not wait for much longer.
	lookAround = 2 * Standstill
	// rescueTry is how long one time takes at most: there are two ways to call, and neither is answered (RFC 3261 §17.1.1.2
	// Timer B: 32 s).
	rescueTry = 2 * 32 * time.Second
	// maxSettled is how many outcomes a peer's document may have. This appliance tells as many as it parks calls, and minSettled
	// at least: each call that is handed over is one. The oldest are forgotten.
	minSettled, maxSettled = 200, 1000
)

// fact is what this appliance tells of a call.
type fact struct {
	Settled
	since time.Time
}

// factsFor is how long anybody may need a fact: a peer that has lost the host forgets the call after ForgetDead, the host itself
// goes on with it when it was away for BackWithin at most, and they may be lost later than the fact was found by a rescueSpan.
func (m *Machine) factsFor() time.Duration {
	return max(m.cfg.ForgetDead, m.cfg.BackWithin) + m.rescueSpan()
}

// rescue is a call of a dead peer which this appliance may take over.
type rescue struct {
	slot  SlotState
	dueAt time.Time // when the first in rank tries
	again time.Time // when this one looks again: no news makes it earlier
	at    time.Time // when the timer is due; zero: none runs
	tries int
	asked bool      // the far end is being called
	over  bool      // this appliance does not try any more
	told  bool      // it was told that the caller is stranded
	left  time.Time // when the far end said that there is no such dialog; zero: it did not
}

// rescueSpan is how long after two of some appliances have lost sight of each other a caller who leaves the one may have been
// taken over by the other: its wait, the turns of those before it, and its tries with their pauses.
func rescueSpan(after time.Duration, appliances int) time.Duration {
	return after + time.Duration(appliances)*rescueTurn + rescueTries*rescueTry + (1<<(rescueTries-1)-1)*rescueAgain
}

func (m *Machine) rescueSpan() time.Duration { return rescueSpan(m.cfg.RescueAfter, len(m.peers)+1) }

func (r *rescue) timerID() string { return "rescue:" + r.slot.CallID }

// settle goes by what a peer says has become of calls, and by what is known here of those that it tells of.
func (m *Machine) settle(from *peer) {
	if from.Alive { // it tells of its calls itself: whatever was found out without it does not hold
		before := len(m.settled)
		m.settled = slices.DeleteFunc(m.settled, func(s fact) bool {
			return (s.How == Gone || s.How == Unable || s.How == Absent) && from.lists(s.CallID)
		})
		if len(m.settled) < before {
			m.announce()
		}
	}
	ms := m.mirrors()
	for _, p := range m.peers {
		for _, f := range p.tells() {
			if f.How != Rescued || f.Host == m.host || f.Host != p.Name && !ms.told(f) { // the call is ours until its host has told us
				continue
			}
			if f.Host == p.Name {
				f.Epoch, f.Generation = p.Epoch, p.Generation
			}
			if i := slices.IndexFunc(m.hosted, func(c *call) bool { return c.CallID == f.CallID && yields(c, f.Moves, f.Host) }); i >= 0 {
				m.yield(m.hosted[i], f)
			}
		}
	}
	m.strike()
	m.seekRescues()
	m.setDue()
}

// strike takes the older copies of calls out of the mirrors.
func (m *Machine) strike() {
	ms := m.mirrors()
	m.gone(ms.settle(m.now, m.host, m.Hosted(), m.cfg.ForgetDead))
	for _, p := range ms {
		for _, h := range p.held {
			m.touched = append(m.touched, h.slot.Orbit)
		}
	}
	m.setDue()
}

// yields says whether a call hosted here gives way to the same call at a peer. Equal numbers of moves cannot be, as the far
// end moves once; should they be all the same, both sides decide alike.
func yields(c *call, moves int, peer string) bool {
	return c.Moves < moves || c.Moves == moves && moves > 0 && peer < c.Host
}

// yield ends a call that a peer has taken over, and tells by which document of which peer that is known: the others may hear
// this before they hear that one.
func (m *Machine) yield(c *call, to Settled) {
	leg := c.Leg
	m.note(to)
	switch {
	case c.State == Fetching:
		r := c.fetch
		m.emit(CancelFetch{Token: r.token})
		m.refuse(r.token, r.leg, c.Orbit, ReasonGone)
	case c.State == Recalling && c.recall != "":
		m.stopRecall(c)
	}
	m.end(c, EndRescued, "")
	if leg != "" {
		m.emit(HangUp{Leg: leg, Reason: "taken over by another appliance"})
	}
}

// seekRescues looks which calls have no living host, after news of a peer.
func (m *Machine) seekRescues() {
	if m.cfg.RescueAfter == 0 {
		return
	}
	for _, r := range slices.Clone(m.rescues) {
		if !r.asked && !m.hostGone(r.slot) {
			m.dropRescue(r)
		}
	}
	for _, p := range m.peers {
		for _, s := range p.stray() {
			if !s.Dialog.rescuable() || m.hosts(s.CallID) {
				continue
			}
			r := m.rescueOf(s.CallID)
			if r == nil {
				r = &rescue{dueAt: m.now.Add(m.cfg.RescueAfter)}
				m.rescues = append(m.rescues, r)
			}
			if r.asked || r.over || !r.left.IsZero() {
				continue
			}
			if r.slot = s; p.leaving && r.dueAt.After(m.now) {
				r.dueAt = m.now
			}
			m.setRescue(r, later(later(m.turn(r), r.again), m.now)) // one that is overdue by news only is not late
		}
	}
}

// turn is when this appliance may try, by its place among those that live.
func (m *Machine) turn(r *rescue) time.Time {
	names := []string{m.host}
	for _, p := range m.peers {
		if p.Alive && p.Name != r.slot.Host {
			names = append(names, p.Name)
		}
	}
	place := slices.Index(Rank(r.slot.CallID, names), m.host)
	return r.dueAt.Add(time.Duration(place) * rescueTurn)
}

func (m *Machine) setRescue(r *rescue, at time.Time) {
	if !at.Equal(r.at) {
		r.at = at
		m.emit(SetTimer{ID: r.timerID(), At: at})
	}
}

func (m *Machine) lookAgain(r *rescue) {
	r.again = m.now.Add(rescueTurn)
	m.setRescue(r, r.again)
}

func (m *Machine) stopRescue(r *rescue) {
	if !r.at.IsZero() {
		r.at = time.Time{}
		m.emit(StopTimer{ID: r.timerID()})
	}
}

func (m *Machine) dropRescue(r *rescue) {
	m.stopRescue(r)
	m.rescues = slices.DeleteFunc(m.rescues, func(o *rescue) bool { return o == r })
}

func (m *Machine) rescueOf(callID string) *rescue {
	for _, r := range m.rescues {
		if r.slot.CallID == callID {
			return r
		}
	}
	return nil
}

// hostGone says whether a call still waits at a host that is dead, or leaves, or does not have it any more.
func (m *Machine) hostGone(call SlotState) bool {
	return slices.ContainsFunc(m.peers, func(p *peer) bool {
		return p.Name == call.Host && slices.ContainsFunc(p.stray(), func(s SlotState) bool { return s.CallID == call.CallID })
	})
}

// alreadyAt says whether a living peer has the call, after as many moves at least.
func (m *Machine) alreadyAt(callID string, moves int) bool {
	return slices.ContainsFunc(m.peers, func(p *peer) bool {
		return p.Alive && slices.ContainsFunc(p.Slots, func(s SlotState) bool { return s.CallID == callID && s.Moves >= moves })
	})
}

// settledAs says whether that is what a peer says has become of the call.
func (m *Machine) settledAs(call SlotState, how Outcome) bool {
	return slices.ContainsFunc(m.peers, func(p *peer) bool { return p.says(call, how) })
}

func (m *Machine) hosts(callID string) bool {
	return slices.ContainsFunc(m.hosted, func(c *call) bool { return c.CallID == callID })
}

// rescueDue calls the far end, when it is this appliance's turn.
func (m *Machine) rescueDue(r *rescue, in Timer) {
	if r.at.IsZero() || m.now.Before(r.at) || m.closing {
		m.ignore(nil, in)
		return
	}
	m.late(r.at)
	r.at = time.Time{}
	switch at := m.turn(r); {
	case !r.left.IsZero() && m.mayHave(r.slot): // the word of who may have him decides, or its next life, or ForgetDead
		m.strand(r)
		m.lookAgain(r)
	case !r.left.IsZero():
		if over := later(r.left, m.woke).Add(LateWord); m.now.Before(over) {
			m.setRescue(r, over)
			return
		}
		m.dropRescue(r)
		m.conclude(r, Gone)
	case m.now.Before(at): // others have come back
		m.setRescue(r, at)
	case !m.woke.IsZero() && m.now.Sub(m.woke) < lookAround: // the host may be back, and its word unread
		r.again = m.woke.Add(lookAround)
		m.setRescue(r, r.again)
	case m.settledAs(r.slot, Unable):
		m.giveUp(r)
	case m.triedByTheLiving(r.slot):
		m.lookAgain(r)
	case len(m.legs)+m.rescuing() >= m.cfg.MaxCalls: // the next in rank may have room, or this one later
		m.strand(r)
		m.lookAgain(r)
	default:
		r.tries++
		r.asked = true
		// Told first: should this appliance die when the caller has come, the others know who may have him.
		m.conclude(r, Trying)
		m.emit(Rescue{Slot: r.slot})
	}
}

// mayHave says whether another appliance may have a call of a dead host.
func (m *Machine) mayHave(s SlotState) bool {
	return slices.ContainsFunc(m.peers, func(p *peer) bool {
		return p.Name == s.Host && m.mirrors().mayHave(s, p.lost(m.now), m.cfg.RescueAfter)
	})
}

// triedByTheLiving says whether a peer calls the far end, or has, and will tell how it went.
func (m *Machine) triedByTheLiving(s SlotState) bool {
	return slices.ContainsFunc(m.peers, func(p *peer) bool { return p.Alive && (p.says(s, Trying) || p.says(s, Absent)) })
}

func (m *Machine) rescuing() int {
	n := 0
	for _, r := range m.rescues {
		if r.asked {
			n++
		}
	}
	return n
}

func (m *Machine) giveUp(r *rescue) {
	m.stopRescue(r)
	r.over = true
	m.strand(r)
}

// strand tells once that a caller may hear nothing for a while.
func (m *Machine) strand(r *rescue) {
	if !r.told {
		r.told = true
		m.emit(Stranded{Slot: r.slot})
	}
}

// rescueAnswered takes what the far end said.
func (m *Machine) rescueAnswered(in RescueResult) {
	r := m.rescueOf(in.CallID)
	if r == nil || !r.asked {
		if in.Leg != "" {
			m.emit(HangUp{Leg: in.Leg, Reason: "rescue came too late"})
		}
		m.ignore(nil, in)
		return
	}
	r.asked = false
	m.settled = slices.DeleteFunc(m.settled, func(f fact) bool { return f.CallID == in.CallID && f.How == Trying })
	switch {
	case in.Leg != "":
		m.rescued(r, in)
		return
	case !m.hostGone(r.slot): // it lives, or somebody else has the caller
		m.dropRescue(r)
	case in.How == Gone: // or with another appliance, whose word may be on its way
		r.left = m.now
		m.note(Settled{CallID: r.slot.CallID, Moves: r.slot.Moves + 1, How: Absent})
		m.setRescue(r, m.now.Add(LateWord))
	case in.How == Unable:
		m.giveUp(r)
		m.note(Settled{CallID: r.slot.CallID, Moves: r.slot.Moves + 1, How: Unable})
	case r.tries >= rescueTries:
		m.giveUp(r) // others may try: perhaps it is our network
	default:
		r.dueAt = m.now.Add(rescueAgain << (r.tries - 1))
		m.setRescue(r, m.turn(r))
	}
	m.announce()
}

// rescued is the one way in which a call changes its host.
func (m *Machine) rescued(r *rescue, in RescueResult) {
	m.dropRescue(r)
	s := r.slot
	if m.hosts(s.CallID) || m.engaged(in.Leg) || m.alreadyAt(s.CallID, s.Moves+1) {
		m.emit(HangUp{Leg: in.Leg, Reason: "another appliance has the caller"})
		m.announce()
		return
	}
	m.emit(Report{Row: Row{Slot: s, Ended: m.now, End: EndRescued, By: in.Leg}})
	s.Leg, s.Dialog, s.Moves = in.Leg, in.Dialog, s.Moves+1
	c := &call{SlotState: m.revived(s)}
	m.legs[c.Leg] = c
	m.hosted = append(m.hosted, c)
	m.note(Settled{CallID: s.CallID, Moves: s.Moves, How: Rescued})
	m.strike()
	m.enterRestored(c)
}

// conclude tells the peers what became of a call, so that nobody else tries.
func (m *Machine) conclude(r *rescue, how Outcome) {
	m.note(Settled{CallID: r.slot.CallID, Moves: r.slot.Moves + 1, How: how})
	m.strike()
	m.announce()
}

// note keeps a fact in the place of older ones of that call. Who has taken the caller over is told on while his far end is called
// for that one, and after: a peer that has not heard it goes by it when this appliance does not list the call any more.
func (m *Machine) note(s Settled) {
	m.settled = slices.DeleteFunc(m.settled, func(o fact) bool { return o.CallID == s.CallID && (o.How != Rescued || s.How == Rescued) })
	if len(m.settled) >= min(max(minSettled, m.cfg.MaxCalls), maxSettled) {
		m.settled = slices.Delete(m.settled, 0, 1)
	}
	m.settled = append(m.settled, fact{s, m.now})
}
