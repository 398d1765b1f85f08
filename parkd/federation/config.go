package federation

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"parklamp/parkd"
)

// Config names the appliances of the site.
type Config struct {
	Name        string        `toml:"-"` // name of this appliance, unique in the site; the appliance section sets it
	Proof       bool          `toml:"-"` // peers speak TLS and prove their names by certificates of the site; the sip section sets it
	Peers       []Peer        `toml:"peers" doc:"the other appliances of the site"`
	ProbeEvery  time.Duration `toml:"probe_every" doc:"time between two signs of life asked of a peer"`
	DeadAfter   time.Duration `toml:"dead_after" doc:"a peer that is silent for this long is dead, its calls are unknown"`
	ClaimWait   time.Duration `toml:"claim_wait" doc:"an arbiter from which nothing comes for this time after a claim is passed over; one from which other things come is waited for, up to dead_after"`
	ClaimFor    time.Duration `toml:"claim_for" doc:"how long an arbiter keeps an orbit for a claimant whose call does not appear"`
	RescueAfter time.Duration `toml:"rescue_after" doc:"how long after a peer was found dead one of the others takes over its parked callers, where their phones know Replaces (RFC 3891); 0s: never, they wait for it to come back"`
	TakeOver    time.Duration `toml:"take_over" doc:"how long an appliance that is being stopped waits at most for its peers to take over its parked callers, an INVITE each; an image has 16s less events.shutdown_for for that"`
	Refresh     time.Duration `toml:"refresh" doc:"how long a subscription to a peer lasts before it is refreshed with full state"`
}

// Peer is one other appliance.
type Peer struct {
	Name    string         `toml:"name" doc:"its name"`
	Address netip.AddrPort `toml:"address" doc:"its SIP address and port, reached by TCP, or by TLS (then usually port 5061) with sip.site_ca"`
	SRTP    string         `toml:"srtp" doc:"encryption of the media of calls between the two: off, or with sip.site_ca preferred (the default then) or required: keys need TLS"`
}

// Default returns a federation without peers.
func Default() Config {
	return Config{
		ProbeEvery:  time.Second,
		DeadAfter:   2500 * time.Millisecond,
		ClaimWait:   300 * time.Millisecond,
		ClaimFor:    3 * time.Second,
		RescueAfter: parkd.Default().RescueAfter,
		TakeOver:    4 * time.Second,
		Refresh:     2 * time.Minute,
	}
}

// From are the peers that something may have come from: those that its connection proved by certificates of the site or,
// where there are none, those at its address. That is the one way to ask whether somebody is a peer.
func (c Config) From(a netip.Addr, proved []string) []Peer {
	var from []Peer
	for _, p := range c.Peers {
		if c.Proof && slices.Contains(proved, p.Name) || !c.Proof && p.Address.Addr().Unmap() == a.Unmap() {
			from = append(from, p)
		}
	}
	return from
}

// Peer is the peer that is reached at an address, nil if there is none.
func (c Config) Peer(at netip.AddrPort) *Peer {
	for i, p := range c.Peers {
		if p.Address.Port() == at.Port() && p.Address.Addr().Unmap() == at.Addr().Unmap() {
			return &c.Peers[i]
		}
	}
	return nil
}

// Transport is how peers are reached.
func (c Config) Transport() string {
	if c.Proof {
		return "tls"
	}
	return "tcp"
}

// SRTP is the encryption of the media of calls with a peer that has no key srtp: what the transport can carry keys for.
func (c Config) SRTP() string {
	if c.Proof {
		return "preferred"
	}
	return "off"
}

// maxPeers bounds a mesh: each appliance has a connection and a subscription to every other one.
const maxPeers = 100

// Validate returns everything that is wrong with the peers, joined, else the first other thing, each naming key, value and allowed
// range.
func (c Config) Validate() error {
	if !validName(c.Name) {
		return fmt.Errorf("name = %q: 1 to 64 of a-z A-Z 0-9 - _", c.Name)
	}
	if len(c.Peers) > maxPeers {
		return fmt.Errorf("peers has %d entries: 0 to %d", len(c.Peers), maxPeers)
	}
	names := map[string]bool{c.Name: true}
	addrs := make(map[netip.AddrPort]bool)
	var errs []error
	for i, p := range c.Peers {
		fail := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("peers[%d].%w", i, fmt.Errorf(format, args...)))
		}
		switch {
		case !validName(p.Name):
			fail("name = %q: 1 to 64 of a-z A-Z 0-9 - _", p.Name)
		case names[p.Name]:
			fail("name = %q: each name once, and not this appliance's own", p.Name)
		}
		switch {
		case p.Address == netip.AddrPort{}:
			fail("address: is missing: an address and port such as 192.0.2.7:5060")
		case p.Address.Port() == 0 || p.Address.Addr().IsUnspecified() || p.Address.Addr().IsMulticast():
			fail("address = %q: an address and port such as 192.0.2.7:5060", p.Address)
		case addrs[p.Address]:
			fail("address = %q: each address once", p.Address)
		}
		switch {
		case p.SRTP == "required" && !c.Proof:
			fail("srtp = %q: allowed are off and preferred: peers are reached by TCP without sip.site_ca, and keys need TLS", p.SRTP)
		case p.SRTP != "" && p.SRTP != "off" && p.SRTP != "preferred" && p.SRTP != "required":
			fail("srtp = %q: allowed are off and preferred, and required with sip.site_ca", p.SRTP)
		}
		names[p.Name], addrs[p.Address] = true, true
	}
	if errs != nil {
		return errors.Join(errs...)
	}
	for _, d := range []struct {
		key         string
		v, min, max time.Duration
	}{
		{"probe_every", c.ProbeEvery, 100 * time.Millisecond, 30 * time.Second},
		{"dead_after", c.DeadAfter, 2 * c.ProbeEvery, 5 * time.Minute},
		{"claim_wait", c.ClaimWait, 50 * time.Millisecond, 2 * time.Second},
		{"claim_for", c.ClaimFor, time.Second, 30 * time.Second},
		{"rescue_after", c.RescueAfter, 0, 5 * time.Minute},
		{"take_over", c.TakeOver, time.Second, time.Minute},
		{"refresh", c.Refresh, time.Minute, time.Hour},
	} {
		if d.v < d.min || d.v > d.max {
			return fmt.Errorf("%s = %v: %v to %v", d.key, d.v, d.min, d.max)
		}
	}
	return nil
}

// validName reports whether s can stand as the user part of a URI and as a hostname label.
func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}
