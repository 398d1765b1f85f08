package parkd

import "slices"

// peerTold mirrors what a peer hosts. Order is by (epoch, generation), never by arrival.
func (m *Machine) peerTold(in Peer) {
	if in.Name == m.host || in.Name == "" {
		m.ignore(nil, in)
		return
	}
	alone := m.isolated()
	i := slices.IndexFunc(m.peers, func(p *peer) bool { return p.name == in.Name })
	if i < 0 {
		if len(m.peers) >= m.cfg.MaxPeers {
			m.ignore(nil, in)
			return
		}
		i = len(m.peers)
		m.peers = append(m.peers, &peer{name: in.Name})
	}
	p := m.peers[i]
	if p.changedAt.IsZero() || p.alive != in.Alive {
		p.changedAt = m.now
		if !in.Alive {
			p.downAt = m.now
		}
	}
	newer := in.Epoch > p.epoch || in.Epoch == p.epoch && in.Generation > p.generation
	if newer {
		m.replace(p, in)
	}
	was := p.alive
	p.alive, p.leaving = in.Alive, in.Leaving
	if was != in.Alive {
		m.touch(p.slots)
	}
	switch {
	case in.Alive && !was:
		m.emit(StopTimer{ID: p.timerID()})
	case !in.Alive && (was || newer):
		p.forgetAt = m.now.Add(m.cfg.ForgetDead)
		m.emit(SetTimer{ID: p.timerID(), At: p.forgetAt})
	}
	m.settle(p)
	m.seekRescues()
	if m.isolated() != alone {
		m.touched = append(m.touched, m.cfg.Orbits...)
	}
}

// replace takes a newer document. Calls that a new life of the peer does not know are lost.
func (m *Machine) replace(p *peer, in Peer) {
	m.touch(p.slots)
	var slots []SlotState
	var taken []string
	for _, s := range in.State {
		if s.State == Fetching && slices.Contains(p.taken, s.CallID) {
			taken = append(taken, s.CallID)
			continue
		}
		if len(slots) >= m.cfg.MaxCalls || !m.hasOrbit(s.Orbit) || s.State < Parked || s.State > Moving {
			continue
		}
		s.Host, s.Leg, s.Unknown = p.name, "", false
		slots = append(slots, s)
	}
	if p.epoch != 0 && in.Epoch > p.epoch {
		for _, s := range p.slots {
			same := func(n SlotState) bool { return n.CallID == s.CallID }
			if !slices.ContainsFunc(slots, same) {
				m.emit(Report{Row: Row{Slot: s, Ended: m.now, End: EndLost}})
			}
		}
	}
	p.epoch, p.generation, p.slots, p.taken = in.Epoch, in.Generation, slots, taken
	p.settled = in.Settled[:min(len(in.Settled), maxSettled)]
	m.touch(p.slots)
}

// takenFrom strikes a call off the list of the peer that has just given it to this appliance, before the peer's next
// document does: the orbit is free, should the call be parked there again at once. Until then the peer lists it as being
// fetched; listed in any other state it has gone back into its orbit.
func (m *Machine) takenFrom(s SlotState) {
	for _, p := range m.peers {
		same := func(o SlotState) bool { return o.CallID == s.CallID }
		if p.name == s.Host && slices.ContainsFunc(p.slots, same) {
			p.slots = slices.DeleteFunc(p.slots, same)
			p.taken = append(p.taken, s.CallID)
			m.touched = append(m.touched, s.Orbit)
		}
	}
}

// peerForgotten gives up the calls of a peer that stayed away. Should it come back with them, they are
// taken as new, even under the generation that was known.
func (m *Machine) peerForgotten(p *peer, in Timer) {
	if p.alive || m.now.Before(p.forgetAt) {
		m.ignore(nil, in)
		return
	}
	m.touch(p.slots)
	for _, s := range p.slots {
		m.emit(Report{Row: Row{Slot: s, Ended: m.now, End: EndLost}})
	}
	p.epoch, p.generation, p.slots, p.taken = 0, 0, nil, nil
	m.seekRescues()
}

func (m *Machine) touch(slots []SlotState) {
	for _, s := range slots {
		m.touched = append(m.touched, s.Orbit)
	}
}
