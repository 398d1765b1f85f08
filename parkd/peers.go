package parkd

import (
	"slices"
	"time"
)

// peerTold mirrors what a peer hosts. Order is by (epoch, generation), never by arrival.
func (m *Machine) peerTold(in Peer) {
	if in.Name == m.host || in.Name == "" {
		m.ignore(nil, in)
		return
	}
	alone := m.isolated()
	i := slices.IndexFunc(m.peers, func(p *peer) bool { return p.Name == in.Name })
	if i < 0 {
		if len(m.peers) >= m.cfg.MaxPeers {
			m.ignore(nil, in)
			return
		}
		i = len(m.peers)
		m.peers = append(m.peers, &peer{mirror: mirror{Name: in.Name}})
	}
	p := m.peers[i]
	if !in.Alive || !p.Alive {
		p.changedAt = m.now
	}
	if !in.Alive { // also again: it may have been told everything meanwhile, and was only not heard
		p.downAt = m.now
	}
	was := p.Alive
	newer := in.Epoch > p.Epoch || in.Epoch == p.Epoch && in.Generation > p.Generation
	if newer {
		m.replace(p, in)
	}
	p.setAlive(m.now, in.Alive)
	if in.Epoch != 0 {
		p.leaving = in.Leaving
	}
	if was != in.Alive {
		m.touch(p.copies())
	}
	switch {
	case in.Alive && !was:
		m.emit(StopTimer{ID: p.timerID()})
	case !in.Alive && (was || newer || p.forgetAt.IsZero()):
		p.forgetAt = m.now.Add(m.cfg.ForgetDead)
		m.emit(SetTimer{ID: p.timerID(), At: p.forgetAt})
	}
	m.settle(p)
	if m.isolated() != alone {
		m.touched = append(m.touched, m.cfg.Orbits...)
	}
}

// replace takes a newer document. How many calls this appliance may park itself has nothing to do with it.
func (m *Machine) replace(p *peer, in Peer) {
	m.touch(p.copies())
	var slots []SlotState
	var taken []string
	for _, s := range in.State {
		if s.State == Fetching && slices.Contains(p.taken, s.CallID) {
			taken = append(taken, s.CallID)
			continue
		}
		if len(slots) >= maxMirrored || !m.hasOrbit(s.Orbit) || s.State < Parked || s.State > Moving {
			continue
		}
		s.Host, s.Leg, s.Unknown = p.Name, "", false
		slots = append(slots, s)
	}
	m.gone(p.take(m.now, m.cfg.ForgetDead, Announce{Epoch: in.Epoch, Generation: in.Generation, Slots: slots, Settled: in.Settled}))
	p.taken = taken
	m.touch(p.Slots)
}

// gone takes note of calls that no mirror has any more.
func (m *Machine) gone(left []departed) {
	for _, l := range left {
		m.touched = append(m.touched, l.Slot.Orbit)
		if l.How != 0 {
			m.emit(Report{Row: Row{Slot: l.Slot, Ended: m.now, End: l.How}})
		}
	}
}

// mirrors are what is known of all peers.
func (m *Machine) mirrors() mirrors {
	ms := make(mirrors, 0, len(m.peers))
	for _, p := range m.peers {
		ms = append(ms, &p.mirror)
	}
	return ms
}

// expire gives up what nobody has told of.
func (m *Machine) expire(in Timer) {
	if m.dueAt.IsZero() || m.now.Before(m.dueAt) {
		m.ignore(nil, in)
		return
	}
	m.late(m.dueAt)
	m.dueAt = time.Time{}
	for _, p := range m.peers {
		for i := range p.held {
			h := &p.held[i]
			r := m.rescueOf(h.slot.CallID)
			// A peer may go on saying that it tries when that is over: who waited for it would wait until ForgetDead.
			due := r != nil && !r.at.IsZero() && !m.triedByTheLiving(h.slot) && m.now.Sub(h.lost) < m.cfg.ForgetDead
			if r != nil && r.asked || due { // not before it is known how that goes
				h.until = later(h.until, m.now.Add(Standstill))
			}
		}
	}
	if !m.waking() {
		m.gone(m.mirrors().expire(m.now, m.cfg.RescueAfter))
	}
	m.seekRescues()
	m.setDue()
}

func (m *Machine) setDue() {
	at := m.mirrors().due(m.now)
	if len(m.rescues) > 0 { // it shows a standstill, however long before its end a rescue is due
		at = m.now.Add(Standstill)
	}
	switch {
	case at.Equal(m.dueAt):
		return
	case at.IsZero():
		m.emit(StopTimer{ID: mirrorsTimer})
	case m.dueAt.IsZero() || at.Before(m.dueAt): // else it comes too early, and looks again
		m.emit(SetTimer{ID: mirrorsTimer, At: at})
	default:
		return
	}
	m.dueAt = at
}

// takenFrom strikes a call off the list of the peer that has just given it to this appliance, before the peer's next
// document does: the orbit is free, should the call be parked there again at once. Until then the peer lists it as being
// fetched; listed in any other state it has gone back into its orbit.
func (m *Machine) takenFrom(s SlotState) {
	for _, p := range m.peers {
		same := func(o SlotState) bool { return o.CallID == s.CallID }
		if p.Name == s.Host && slices.ContainsFunc(p.Slots, same) {
			p.Slots = slices.DeleteFunc(slices.Clone(p.Slots), same)
			p.taken = append(p.taken, s.CallID)
			m.touched = append(m.touched, s.Orbit)
		}
	}
}

// peerForgotten gives up the calls of a peer that stayed away. Should it come back with them, they are
// taken as new, even under the generation that was known.
func (m *Machine) peerForgotten(p *peer, in Timer) {
	if p.Alive || m.now.Before(p.forgetAt) {
		m.ignore(nil, in)
		return
	}
	if m.late(p.forgetAt); m.waking() {
		p.forgetAt = m.woke.Add(LateWord)
		m.emit(SetTimer{ID: p.timerID(), At: p.forgetAt})
		return
	}
	for _, s := range p.forgetAll() {
		m.gone([]departed{{s, EndLost}})
	}
	p.taken = nil
	m.settle(p)
}

func (m *Machine) touch(slots []SlotState) {
	for _, s := range slots {
		m.touched = append(m.touched, s.Orbit)
	}
}
