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
	newer := in.Epoch > p.epoch || in.Epoch == p.epoch && in.Generation > p.generation
	if newer {
		m.replace(p, in)
	}
	was := p.alive
	p.alive = in.Alive
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
	if m.isolated() != alone {
		m.touched = append(m.touched, m.cfg.Orbits...)
	}
}

// replace takes a newer document. Calls that a new life of the peer does not know are lost.
func (m *Machine) replace(p *peer, in Peer) {
	m.touch(p.slots)
	var slots []SlotState
	for _, s := range in.State {
		if len(slots) >= m.cfg.MaxCalls || !m.hasOrbit(s.Orbit) || s.State < Reserved || s.State > Fetching {
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
	p.epoch, p.generation, p.slots = in.Epoch, in.Generation, slots
	m.touch(p.slots)
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
	p.epoch, p.generation, p.slots = 0, 0, nil
}

func (m *Machine) touch(slots []SlotState) {
	for _, s := range slots {
		m.touched = append(m.touched, s.Orbit)
	}
}
