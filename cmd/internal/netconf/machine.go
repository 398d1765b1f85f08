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

// vlanSource is who has named the VLAN.
type vlanSource string

// The sources of a VLAN, the strongest first.
const (
	fromFile vlanSource = "network.toml"
	fromLLDP vlanSource = "LLDP-MED"
	fromDHCP vlanSource = "DHCP"
	noSource vlanSource = ""
)

// The inputs of machine.Step.
type (
	// plugged says whether the port has a partner.
	plugged struct{ On bool }
	// policy is what the switch says about voice; VLAN 0 is untagged. Known false: it says nothing (any more).
	policy struct {
		Known          bool
		VLAN, Priority int
		DSCP           int // of audio
		Signalling     int // DSCP
	}
	// granted is a new or renewed lease.
	granted struct{ Lease lease }
	// givenUp says that the client has no lease; Refused, that the server has said so.
	givenUp struct{ Refused bool }
	// idle is the answer to askIdle.
	idle struct{}
	// tick says that time has passed.
	tick struct{}
)

// The effects of machine.Step.
type (
	// useVLAN puts the phone's link on a VLAN of the port, 0 on the port itself. The link is new afterwards: it has no
	// address and no client.
	useVLAN struct{ ID, Priority int }
	// prioritise gives the frames of the VLAN in use another priority; the link stays as it is.
	prioritise struct{ ID, Priority int }
	// askIdle wants an idle when there is no call that another network would end.
	askIdle struct{}
	// askDHCP starts the client, anew if it runs. Want is the address to ask for; not valid: any.
	askDHCP struct{ Want netip.Addr }
	// configure gives the link this address, these routes and the machine these name servers; the zero setting takes all away.
	configure struct{ Setting setting }
	// linkLocal starts or ends the making of an address of one's own.
	linkLocal struct{ On bool }
)

// setting is how a link is configured.
type setting struct {
	Addr   netip.Prefix
	Routes []route
	DNS    []netip.Addr
	Domain string
}

// machine decides how the phone's link is configured. It is pure: no clock, socket or kernel.
type machine struct {
	cfg Config

	carrier   bool
	seen      bool // the carrier was on since the start
	vlan      int
	priority  int
	source    vlanSource
	policy    policy
	silent    bool  // the switch says nothing more, and the policy stands until there is no call
	lease     lease // zero: none
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

// newMachine makes the machine of one link.
func newMachine(cfg Config) *machine { return &machine{cfg: cfg} }

// VLAN is the VLAN in use and who named it; 0 is none.
func (m *machine) VLAN() (int, vlanSource) { return m.vlan, m.source }

// Lease is the lease in use; zero if there is none.
func (m *machine) Lease() lease { return m.lease }

// Shunned is a VLAN in which nobody answered and which was left for the untagged network; 0: none.
func (m *machine) Shunned() int { return m.shunned }

// Policy is what the switch says.
func (m *machine) Policy() policy { return m.policy }

// Begin gives the first effects.
func (m *machine) Begin(now time.Time) []any {
	m.since = now
	if id, ok := m.cfg.vlan(); ok && id > 0 {
		return m.enterVLAN(now, id, m.cfg.VLANPriority, fromFile)
	}
	return m.enterVLAN(now, 0, 0, noSource)
}

// Due is when tick is wanted; zero if never.
func (m *machine) Due() time.Time {
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

func (m *machine) waitsAlone() bool {
	return m.carrier && !m.own && !m.hasAddress() && m.cfg.LinkLocal && !m.cfg.static()
}

func (m *machine) triesVLAN() bool {
	return m.carrier && m.vlan != 0 && (m.source == fromDHCP || m.source == fromLLDP) && !m.hasAddress() && !m.cfg.static()
}

func (m *machine) tryUntil() time.Time {
	until := m.since.Add(vlanTry)
	if m.stayUntil.After(until) {
		until = m.stayUntil
	}
	return until
}

// triesWithout: the VLAN that the switch names was left, and nobody has answered in the untagged network yet.
func (m *machine) triesWithout() bool {
	return m.carrier && m.shunned != 0 && m.policy.Known && m.policy.VLAN == m.shunned && !m.hasAddress()
}

// mayReturn: the phone works in the untagged network and tries the VLAN again when its time has come.
func (m *machine) mayReturn() bool { return m.shunned != 0 && m.hasAddress() && !m.asked }

// pardon ends the shunning of a VLAN.
func (m *machine) pardon() {
	m.shunned, m.shunUntil, m.stayUntil, m.asked = 0, time.Time{}, time.Time{}, false
}

func (m *machine) hasAddress() bool { return m.lease.Addr.IsValid() }

// Step takes one input.
func (m *machine) Step(now time.Time, in any) []any {
	switch in := in.(type) {
	case plugged:
		return m.onCarrier(now, in.On)
	case policy:
		return m.onPolicy(now, in)
	case granted:
		return m.onGranted(now, in.Lease)
	case givenUp:
		return m.onGivenUp(now, in.Refused)
	case idle:
		if m.asked {
			if m.silent {
				m.policy, m.silent = policy{}, false
			}
			m.pardon()
			return m.decide(now)
		}
	case tick:
		return m.onTick(now)
	}
	return nil
}

// onPolicy takes what the switch says now. A VLAN that works is not left because the switch has become silent, as at a restart of
// its management, while there is a call; what it says itself counts at once.
func (m *machine) onPolicy(now time.Time, p policy) []any {
	if p.Known || m.vlan == 0 || m.source != fromLLDP || !m.hasAddress() {
		m.policy, m.silent = p, false
		return m.decide(now)
	}
	m.silent = true
	if m.asked {
		return nil
	}
	m.asked = true
	return []any{askIdle{}}
}

func (m *machine) onCarrier(now time.Time, on bool) []any {
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
	return []any{askDHCP{m.lease.Addr.Addr()}}
}

// decide picks the VLAN.
func (m *machine) decide(now time.Time) []any {
	id, priority, source := 0, 0, noSource
	if fixed, ok := m.cfg.vlan(); ok {
		id, priority, source = fixed, m.cfg.VLANPriority, fromFile
	} else if m.policy.Known {
		if m.shunned == 0 || m.shunned != m.policy.VLAN {
			id, priority, source = m.policy.VLAN, m.policy.Priority, fromLLDP
		}
	} else if m.dhcpVLAN != 0 && m.dhcpVLAN != m.shunned {
		id, priority, source = m.dhcpVLAN, m.cfg.VLANPriority, fromDHCP
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
	return []any{prioritise{id, priority}}
}

func (m *machine) enterVLAN(now time.Time, id, priority int, source vlanSource) []any {
	m.vlan, m.priority, m.source = id, priority, source
	m.lease, m.holding, m.since = lease{}, time.Time{}, now
	out := m.endOwn(nil)
	out = append(out, useVLAN{id, priority})
	if m.cfg.static() {
		return append(out, configure{m.cfg.setting()})
	}
	return append(out, askDHCP{})
}

func (m *machine) endOwn(out []any) []any {
	if m.own {
		m.own = false
		return append(out, linkLocal{false})
	}
	return out
}

func (m *machine) onGranted(now time.Time, l lease) []any {
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
	return append(m.endOwn(out), configure{l.setting()})
}

func (m *machine) onGivenUp(now time.Time, refused bool) []any {
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
func (m *machine) drop(now time.Time) []any {
	m.lease, m.holding, m.since = lease{}, time.Time{}, now
	return []any{configure{}}
}

func (m *machine) onTick(now time.Time) []any {
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
		out = append(out, askIdle{})
	}
	if m.waitsAlone() && !now.Before(m.since.Add(alone)) {
		m.own = true
		out = append(out, linkLocal{true})
	}
	return out
}

// setting is what a lease says about the link.
func (l lease) setting() setting {
	s := setting{Addr: l.Addr, DNS: l.DNS, Domain: l.Domain, Routes: l.Routes}
	if len(s.Routes) == 0 && len(l.Routers) > 0 { // RFC 3442: classless routes replace the routers
		s.Routes = []route{{To: everywhere, Via: l.Routers[0]}}
	}
	return s
}

var everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
