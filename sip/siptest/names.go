package siptest

import (
	"context"
	"net"
	"net/netip"

	"parklamp/sip"
)

// Names is a resolver with fixed answers. SRV records are returned in the order
// given; their key is like "_sip._udp.example.com".
type Names struct {
	Addrs map[string][]netip.Addr
	SRV   map[string][]*net.SRV
}

var _ sip.Resolver = (*Names)(nil)

// WithNames is the endpoint option for a resolver; nil knows no name.
func WithNames(n *Names) sip.Option {
	if n == nil {
		n = &Names{}
	}
	return sip.WithResolver(n)
}

// LookupNetIP answers from Addrs.
func (n *Names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a := n.Addrs[host]; len(a) > 0 {
		return append([]netip.Addr(nil), a...), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// LookupSRV answers from SRV.
func (n *Names) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	key := "_" + service + "._" + proto + "." + name
	if r := n.SRV[key]; len(r) > 0 {
		return key, append([]*net.SRV(nil), r...), nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: key, IsNotFound: true}
}
