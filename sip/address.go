package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// errNoAddress means that the interface of a listener is not there or has no address of the family: the listener waits.
var errNoAddress = errors.New("has no address")

// errAddressGone ends the connections from an address that the machine does not have any more.
var errAddressGone = errors.New("sip: the address of this end is gone")

// interfaceAddrs are the addresses of an interface of this machine; none while it is down.
func interfaceAddrs(name string) ([]netip.Addr, error) {
	i, err := net.InterfaceByName(name)
	if err != nil || i.Flags&net.FlagUp == 0 {
		return nil, err
	}
	all, err := i.Addrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out, nil
}

// addressOf is the address of the interface that a listener is on: the first of the family that is not link-local. An
// IPv4 link-local one (RFC 3927) is better than none.
func (e *Endpoint) addressOf(s listenSpec) (netip.AddrPort, error) {
	all, err := e.ifaces(s.iface)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("interface %s %w: %w", s.iface, errNoAddress, err)
	}
	all = slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool {
		return a.Unmap().Is6() != s.v6 || s.v6 && a.IsLinkLocalUnicast()
	})
	if len(all) == 0 {
		return netip.AddrPort{}, fmt.Errorf("interface %s %w", s.iface, errNoAddress)
	}
	best := slices.IndexFunc(all, func(a netip.Addr) bool { return !a.IsLinkLocalUnicast() })
	return netip.AddrPortFrom(all[max(best, 0)].Unmap(), s.port), nil
}

// AddressesChanged is to be called when the addresses of the machine have changed. Listeners on an interface are bound
// anew where theirs is another, and those that were never up are tried, before it returns; connections from the addresses that are gone are cut: whoever
// waits for an answer on one of them is told at once.
func (e *Endpoint) AddressesChanged(gone []netip.Addr) {
	e.mu.Lock()
	ctx := e.runCtx
	e.mu.Unlock()
	if ctx == nil {
		return
	}
	gone = slices.Clone(gone)
	for _, l := range e.listeners {
		old := l.addr()
		if l.spec.iface == "" && old.IsValid() {
			continue
		}
		if l.follow(ctx); l.addr() != old && old.IsValid() {
			gone = append(gone, old.Addr())
		}
	}
	e.mu.Lock()
	var cut []*streamConn
	for key, c := range e.streams {
		if slices.Contains(gone, key.from) {
			cut = append(cut, c)
		}
	}
	e.mu.Unlock()
	for _, c := range cut {
		c.fail(errAddressGone)
	}
}

// follow binds the listener to the address that it should have now.
func (l *listener) follow(ctx context.Context) {
	at, err := l.wanted()
	if err == nil && at != l.addr() {
		if err = l.open(ctx); err == nil {
			l.e.log.Info("sip listener follows its address", "listen", l.String(), "at", l.addr())
		}
	}
	if err != nil {
		l.mu.Lock()
		l.at.Store(&netip.AddrPort{})
		l.shut()
		l.mu.Unlock()
		l.e.health(l.String(), err)
	}
	select {
	case l.kick <- struct{}{}: // if it is being opened again, now is the time
	default:
	}
}

// Socket is a listener that has an address.
type Socket struct {
	Transport string // udp, tcp or tls
	At        netip.AddrPort
}

// String returns a form such as udp:192.0.2.1:5060.
func (s Socket) String() string { return s.Transport + ":" + s.At.String() }

// Listening is every listener as it is now; those that have no address are left out.
func (e *Endpoint) Listening() []Socket {
	var out []Socket
	for _, l := range e.listeners {
		if at := l.addr(); at.IsValid() {
			out = append(out, Socket{l.spec.kind, at})
		}
	}
	return out
}

// Host is an address as the host of a SIP URI. RFC 3261 §25.1: IPv6 in brackets.
func Host(a netip.Addr) string {
	if a = a.Unmap(); a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}
