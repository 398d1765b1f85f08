package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// maxTargets bounds how many servers of one name are tried.
const maxTargets = 8

// target is one server that a request may go to.
type target struct {
	kind string
	addr netip.AddrPort
	name string // for the TLS certificate
}

// routed copies a request and gives it the outbound proxies of s, if it has no
// Route of its own. They are made loose routers: who configures one means that.
func routed(req *gosip.Request, s Send) *gosip.Request {
	req = req.Clone()
	if req.Route() != nil {
		return req
	}
	for _, u := range s.Route {
		u := *u.Clone()
		if u.UriParams == nil {
			u.UriParams = gosip.NewParams()
		}
		u.UriParams.Add("lr", "")
		req.AppendHeader(&gosip.RouteHeader{Address: u})
	}
	return req
}

// nextHop is the URI that a request goes to, RFC 3261 §8.1.2: the first Route
// if that is a loose router, else the Request-URI.
func nextHop(req *gosip.Request) (gosip.Uri, error) {
	hop := req.Recipient
	if r := req.Route(); r != nil && r.Address.UriParams.Has("lr") {
		hop = r.Address
	}
	if hop.Scheme != "sip" && hop.Scheme != "sips" && hop.Scheme != "" {
		return hop, fmt.Errorf("%w: scheme %q", ErrUnresolvable, hop.Scheme)
	}
	if hop.Host == "" {
		return hop, fmt.Errorf("%w: no host in %q", ErrUnresolvable, hop.String())
	}
	return hop, nil
}

// transportsFor are the transports to use for a URI, best first.
func (e *Endpoint) transportsFor(u gosip.Uri, s Send) ([]string, error) {
	want := strings.ToLower(s.Transport)
	if want == "" {
		want, _ = u.UriParams.Get("transport")
		want = strings.ToLower(want)
	}
	if u.Scheme == "sips" {
		if want != "" && want != kindTCP && want != kindTLS {
			return nil, fmt.Errorf("%w: sips by %s", ErrUnresolvable, want)
		}
		want = kindTLS // RFC 3261 §26.2.2
	}
	var have []string
	for _, k := range [...]string{kindUDP, kindTCP, kindTLS} {
		if (want == "" || want == k) && e.listenerFor(k, netip.Addr{}, s.Local) != nil {
			have = append(have, k)
		}
	}
	if len(have) == 0 {
		if want == "" {
			want = "any transport"
		}
		return nil, fmt.Errorf("%w: no listener for %s", ErrUnresolvable, want)
	}
	return have, nil
}

// TLSOnly says whether a request to a URI can travel by nothing but TLS: what keys of media need (RFC 4568 §8.1).
func (e *Endpoint) TLSOnly(u gosip.Uri, s Send) bool {
	kinds, err := e.transportsFor(u, s)
	return err == nil && !slices.ContainsFunc(kinds, func(k string) bool { return k != kindTLS })
}

// resolve finds the servers of a URI in the order in which to try them, RFC
// 3263 §4. Departs from §4.1: NAPTR is not asked, SRV is tried for each
// transport that we listen on.
func (e *Endpoint) resolve(ctx context.Context, u gosip.Uri, s Send) ([]target, error) {
	kinds, err := e.transportsFor(u, s)
	if err != nil {
		return nil, err
	}
	host := strings.Trim(u.Host, "[]")
	port := uint16(u.Port)
	if a, err := netip.ParseAddr(host); err == nil {
		if port == 0 {
			port = uint16(gosip.DefaultPort(kinds[0]))
		}
		return []target{{kinds[0], netip.AddrPortFrom(a.Unmap(), port), host}}, nil
	}
	var ts []target
	var failed error
	if port == 0 {
		ts, failed = e.lookupSRV(ctx, host, kinds)
	}
	if len(ts) == 0 {
		if port == 0 {
			port = uint16(gosip.DefaultPort(kinds[0]))
		}
		addrs, err := e.lookupAddrs(ctx, host)
		if err != nil {
			failed = err
		}
		for _, a := range addrs {
			ts = append(ts, target{kinds[0], netip.AddrPortFrom(a, port), host})
		}
	}
	// Only what a listener can reach: no IPv6 from an IPv4 socket.
	reachable := ts[:0]
	for _, t := range ts {
		if e.listenerFor(t.kind, t.addr.Addr(), s.Local) != nil && len(reachable) < maxTargets {
			reachable = append(reachable, t)
		}
	}
	if len(reachable) == 0 {
		if failed == nil {
			failed = errors.New("no address of a family that we listen on")
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrUnresolvable, host, failed)
	}
	return reachable, nil
}

func (e *Endpoint) lookupAddrs(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := e.dns.LookupNetIP(ctx, "ip", host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}

func (e *Endpoint) lookupSRV(ctx context.Context, host string, kinds []string) ([]target, error) {
	var ts []target
	var failed error
	for _, k := range kinds {
		service, proto := "sip", k
		if k == kindTLS {
			service, proto = "sips", "tcp" // RFC 3263 §4.1; sipgo asks _sips._tls
		}
		_, srvs, err := e.dns.LookupSRV(ctx, service, proto, host)
		if err != nil {
			failed = err
			continue
		}
		// The resolver has sorted by priority and shuffled by weight, RFC 2782.
		for _, srv := range srvs {
			name := strings.TrimSuffix(srv.Target, ".")
			if name == "" || len(ts) >= maxTargets {
				continue // "." says that there is no such service
			}
			addrs, err := e.lookupAddrs(ctx, name)
			if err != nil {
				failed = err
				continue
			}
			for _, a := range addrs {
				ts = append(ts, target{k, netip.AddrPortFrom(a, srv.Port), host})
			}
		}
		if len(ts) > 0 {
			return ts, nil
		}
	}
	var dnsErr *net.DNSError
	if errors.As(failed, &dnsErr) && dnsErr.IsNotFound {
		failed = nil // no SRV records is how most names are
	}
	return ts, failed
}
