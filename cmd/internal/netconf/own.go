package netconf

import (
	"context"
	"net/netip"

	"parklamp/cmd/internal/linklocal"
	"parklamp/cmd/internal/lldp"
)

// speakLLDP tells what the switch says about voice, until ctx ends.
func (m *Manager) speakLLDP(ctx context.Context, policies chan<- policy) {
	port, err := lldp.Open(int(m.port))
	if err == nil {
		defer port.Close()
		self := func() lldp.Self {
			s := m.opt.Self
			s.Address = m.State().Address.Addr()
			return s
		}
		err = port.Run(ctx, self, func(p *lldp.Policy) {
			in := policy{}
			if p != nil {
				in = policy{Known: true, Priority: p.Priority, DSCP: p.DSCP, Signalling: p.Signalling}
				if p.Tagged {
					in.VLAN = p.VLAN
				}
				m.opt.Log.Info("the switch has a policy for voice", "vlan", in.VLAN, "priority", p.Priority, "dscp", p.DSCP)
			}
			select {
			case policies <- in:
			case <-ctx.Done():
			}
		})
	}
	if err != nil {
		m.opt.Log.Warn("the switch is not asked for a VLAN", "err", err)
	}
}

// linkLocal starts or ends the making of an address of our own.
func (m *Manager) linkLocal(ctx context.Context, on bool) {
	if m.endOwn != nil {
		m.endOwn()
		m.endOwn = nil
	}
	if !on {
		return
	}
	link := m.kernel.index(LinkName)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := linklocal.Run(ctx, int(link), func(a netip.Addr) {
			select {
			case m.owned <- a:
			case <-ctx.Done():
			}
		})
		if err != nil {
			m.opt.Log.Warn("no address of our own", "err", err)
		}
	}()
	m.endOwn = func() { cancel(); <-done }
}

// setOwn uses an address of our own making; the zero address takes it away.
func (m *Manager) setOwn(a netip.Addr) error {
	m.own = netip.Prefix{}
	if a.IsValid() {
		m.own = netip.PrefixFrom(a, linklocal.Bits)
	}
	link := m.kernel.index(LinkName)
	m.opt.Log.Info("an address of our own", "address", m.own)
	return m.kernel.setAddress(link, m.own)
}
