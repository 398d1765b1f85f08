package netconf

import (
	"net/netip"
	"time"
)

const (
	// hold is how long an address stays that the DHCP client has given up without a refusal: the client was started anew
	// or the cable was out, and calls go on if the same address comes back. Never beyond the end of the lease.
	hold = 60 * time.Second
	// alone is how long a link without an address waits before it makes itself one. RFC 3927 §1.9 leaves that open; the
	// DHCP client has asked three times by then.
	alone = 12 * time.Second
	// vlanTry is how long a VLAN that the switch or a DHCP server has named may go without a lease before the phone looks
	// in the untagged network: a phone in the wrong network is better than none. Where nobody answers there either, the
	// word of the switch stands for vlanStay.
	vlanTry  = 45 * time.Second
	vlanStay = 3 * time.Minute
	// vlanShun is how long a VLAN without a lease is not tried again by a phone that has one in the untagged network; twice
	// as long each time, up to vlanShunMost: while it tries, nobody reaches it. A cable that is put in anew ends that.
	vlanShun     = 10 * time.Minute
	vlanShunMost = 160 * time.Minute
)

// VLANSource is who has named the VLAN.
type VLANSource string

// The sources of a VLAN, the strongest first.
const (
	FromFile VLANSource = "network.toml"
	FromLLDP VLANSource = "LLDP-MED"
	FromDHCP VLANSource = "DHCP"
	NoSource VLANSource = ""
)

// The inputs of Machine.Step.
type (
	// Carrier says whether the port has a partner.
	Carrier struct{ On bool }
	// Policy is what the switch says about voice; VLAN 0 is untagged. Known false: it says nothing (any more).
	Policy struct {
		Known          bool
		VLAN, Priority int
		DSCP           int // of audio
		Signalling     int // DSCP
	}
	// Granted is a new or renewed lease.
	Granted struct{ Lease Lease }
	// GivenUp says that the client has no lease; Refused, that the server has said so.
	GivenUp struct{ Refused bool }
	// Idle is the answer to AskIdle.
	Idle struct{}
	// Tick says that time has passed.
	Tick struct{}
)

// The effects of Machine.Step.
type (
	// UseVLAN puts the phone's link on a VLAN of the port, 0 on the port itself. The link is new afterwards: it has no
	// address and no client.
	UseVLAN struct{ ID, Priority int }
	// Prioritise gives the frames of the VLAN in use another priority; the link stays as it is.
	Prioritise struct{ ID, Priority int }
	// AskIdle wants an Idle when there is no call that another network would end.
	AskIdle struct{}
	// AskDHCP starts the client, anew if it runs. Want is the address to ask for; not valid: any.
	AskDHCP struct{ Want netip.Addr }
	// Configure gives the link this address, these routes and the machine these name servers; the zero Setting takes all away.
	Configure struct{ Setting Setting }
	// LinkLocal starts or ends the making of an address of one's own.
	LinkLocal struct{ On bool }
)

// Setting is how a link is configured.
type Setting struct {
	Addr   netip.Prefix
	Routes []Route
	DNS    []netip.Addr
	Domain string
}

// Machine decides how the phone's link is configured. It is pure: no clock, socket or kernel.
type Machine struct {
	cfg Config

	carrier   bool
	seen      bool // the carrier was on since the start
	vlan      int
	priority  int
	source    VLANSource
	policy    Policy
	silent    bool  // the switch says nothing more, and the policy stands until there is no call
	lease     Lease // zero: none
	leaseEnd  time.Time
	holding   time.Time // until when the address of a lease that was given up stays; zero: not
	since     time.Time // when the link began to be without an address
	own       bool      // makes itself an address
	dhcpVLAN  int
	shunned   int // VLAN that is not used; 0: none
	shunFor   time.Duration
	shunUntil time.Time
	asked     bool // whether there is a call
	stayUntil time.Time
}

// NewMachine makes the machine of one link.
func NewMachine(cfg Config) *Machine { return &Machine{cfg: cfg} }

// VLAN is the VLAN in use and who named it; 0 is none.
func (m *Machine) VLAN() (int, VLANSource) { return m.vlan, m.source }

// Lease is the lease in use; zero if there is none.
func (m *Machine) Lease() Lease { return m.lease }

// Shunned is a VLAN in which nobody answered and which was left for the untagged network; 0: none.
func (m *Machine) Shunned() int { return m.shunned }

// Policy is what the switch says.
func (m *Machine) Policy() Policy { return m.policy }

// Begin gives the first effects.
func (m *Machine) Begin(now time.Time) []any {
	m.since = now
	if id, ok := m.cfg.vlan(); ok && id > 0 {
		return m.enterVLAN(now, id, m.cfg.VLANPriority, FromFile)
	}
	return m.enterVLAN(now, 0, 0, NoSource)
}

// Due is when Tick is wanted; zero if never.
func (m *Machine) Due() time.Time {
	var due time.Time
	next := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	next(m.holding)
	if m.waitsAlone() {
		next(m.since.Add(alone))
	}
	if m.triesVLAN() {
		next(m.tryUntil())
	}
	if m.triesWithout() {
		next(m.since.Add(vlanTry))
	}
	if m.mayReturn() {
		next(m.shunUntil)
	}
	return due
}

func (m *Machine) waitsAlone() bool {
	return m.carrier && !m.own && !m.hasAddress() && m.cfg.LinkLocal && !m.cfg.static()
}

func (m *Machine) triesVLAN() bool {
	return m.carrier && m.vlan != 0 && (m.source == FromDHCP || m.source == FromLLDP) && !m.hasAddress() && !m.cfg.static()
}

func (m *Machine) tryUntil() time.Time {
	until := m.since.Add(vlanTry)
	if m.stayUntil.After(until) {
		until = m.stayUntil
	}
	return until
}

// triesWithout: the VLAN that the switch names was left, and nobody has answered in the untagged network yet.
func (m *Machine) triesWithout() bool {
	return m.carrier && m.shunned != 0 && m.policy.Known && m.policy.VLAN == m.shunned && !m.hasAddress()
}

// mayReturn: the phone works in the untagged network and tries the VLAN again when its time has come.
func (m *Machine) mayReturn() bool { return m.shunned != 0 && m.hasAddress() && !m.asked }

// pardon ends the shunning of a VLAN.
func (m *Machine) pardon() {
	m.shunned, m.shunUntil, m.stayUntil, m.asked = 0, time.Time{}, time.Time{}, false
}

func (m *Machine) hasAddress() bool { return m.lease.Addr.IsValid() }

// Step takes one input.
func (m *Machine) Step(now time.Time, in any) []any {
	switch in := in.(type) {
	case Carrier:
		return m.onCarrier(now, in.On)
	case Policy:
		return m.onPolicy(now, in)
	case Granted:
		return m.onGranted(now, in.Lease)
	case GivenUp:
		return m.onGivenUp(now, in.Refused)
	case Idle:
		if m.asked {
			if m.silent {
				m.policy, m.silent = Policy{}, false
			}
			m.pardon()
			return m.decide(now)
		}
	case Tick:
		return m.onTick(now)
	}
	return nil
}

// onPolicy takes what the switch says now. A VLAN that works is not left because the switch has become silent, as at a restart of
// its management, while there is a call; what it says itself counts at once.
func (m *Machine) onPolicy(now time.Time, p Policy) []any {
	if p.Known || m.vlan == 0 || m.source != FromLLDP || !m.hasAddress() {
		m.policy, m.silent = p, false
		return m.decide(now)
	}
	m.silent = true
	if m.asked {
		return nil
	}
	m.asked = true
	return []any{AskIdle{}}
}

func (m *Machine) onCarrier(now time.Time, on bool) []any {
	if on == m.carrier {
		return nil
	}
	m.carrier = on
	if !on {
		return nil // the address stays: a cable that is put back finds the calls again
	}
	m.since = now
	again := m.seen
	m.seen = true
	m.pardon()
	m.shunFor = 0
	if change := m.decide(now); change != nil || !again || m.cfg.static() {
		return change
	}
	// It may be another network: the client asks for the address that we had.
	return []any{AskDHCP{m.lease.Addr.Addr()}}
}

// decide picks the VLAN.
func (m *Machine) decide(now time.Time) []any {
	id, priority, source := 0, 0, NoSource
	if fixed, ok := m.cfg.vlan(); ok {
		id, priority, source = fixed, m.cfg.VLANPriority, FromFile
	} else if m.policy.Known {
		if m.shunned == 0 || m.shunned != m.policy.VLAN {
			id, priority, source = m.policy.VLAN, m.policy.Priority, FromLLDP
		}
	} else if m.dhcpVLAN != 0 && m.dhcpVLAN != m.shunned {
		id, priority, source = m.dhcpVLAN, m.cfg.VLANPriority, FromDHCP
	}
	if id == 0 {
		priority = 0
	}
	if id != m.vlan {
		return m.enterVLAN(now, id, priority, source)
	}
	m.source = source
	if priority == m.priority {
		return nil
	}
	m.priority = priority
	return []any{Prioritise{id, priority}}
}

func (m *Machine) enterVLAN(now time.Time, id, priority int, source VLANSource) []any {
	m.vlan, m.priority, m.source = id, priority, source
	m.lease, m.holding, m.since = Lease{}, time.Time{}, now
	out := m.endOwn(nil)
	out = append(out, UseVLAN{id, priority})
	if m.cfg.static() {
		return append(out, Configure{m.cfg.setting()})
	}
	return append(out, AskDHCP{})
}

func (m *Machine) endOwn(out []any) []any {
	if m.own {
		m.own = false
		return append(out, LinkLocal{false})
	}
	return out
}

func (m *Machine) onGranted(now time.Time, l Lease) []any {
	if m.cfg.static() {
		return nil
	}
	if m.vlan == 0 && l.VLAN != 0 && m.dhcpVLAN != l.VLAN {
		m.dhcpVLAN = l.VLAN
	}
	if m.vlan == 0 && l.VLAN == 0 {
		m.dhcpVLAN = 0
	}
	before := m.vlan
	out := m.decide(now)
	if m.vlan != before {
		return out
	}
	if m.vlan != 0 {
		m.shunFor = 0
	}
	m.lease, m.holding = l, time.Time{}
	m.leaseEnd = now.Add(l.For)
	return append(m.endOwn(out), Configure{l.setting()})
}

func (m *Machine) onGivenUp(now time.Time, refused bool) []any {
	if !m.hasAddress() {
		return nil
	}
	until := now.Add(hold)
	if m.leaseEnd.Before(until) {
		until = m.leaseEnd // RFC 2131 §4.4.5: nothing is sent from an address whose lease has ended
	}
	if refused || !until.After(now) {
		return m.drop(now)
	}
	if m.holding.IsZero() || until.Before(m.holding) {
		m.holding = until
	}
	return nil
}

// drop takes the address of the lease away.
func (m *Machine) drop(now time.Time) []any {
	m.lease, m.holding, m.since = Lease{}, time.Time{}, now
	return []any{Configure{}}
}

func (m *Machine) onTick(now time.Time) []any {
	var out []any
	if !m.holding.IsZero() && !now.Before(m.holding) {
		out = append(out, m.drop(now)...)
	}
	if m.triesVLAN() && !now.Before(m.tryUntil()) {
		m.shunFor = min(max(2*m.shunFor, vlanShun), vlanShunMost)
		m.shunned, m.shunUntil = m.vlan, now.Add(m.shunFor)
		return append(out, m.decide(now)...)
	}
	if m.triesWithout() && !now.Before(m.since.Add(vlanTry)) {
		m.pardon()
		m.stayUntil = now.Add(vlanStay)
		return append(out, m.decide(now)...)
	}
	if m.mayReturn() && !now.Before(m.shunUntil) {
		m.asked = true
		out = append(out, AskIdle{})
	}
	if m.waitsAlone() && !now.Before(m.since.Add(alone)) {
		m.own = true
		out = append(out, LinkLocal{true})
	}
	return out
}

// setting is what a lease says about the link.
func (l Lease) setting() Setting {
	s := Setting{Addr: l.Addr, DNS: l.DNS, Domain: l.Domain, Routes: l.Routes}
	if len(s.Routes) == 0 && len(l.Routers) > 0 { // RFC 3442: classless routes replace the routers
		s.Routes = []Route{{To: everywhere, Via: l.Routers[0]}}
	}
	return s
}

var everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
