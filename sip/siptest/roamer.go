package siptest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"parklamp/sip"
)

// Roamer is a host with one interface, eth0, whose address a test changes. Sockets on an address that it has no more
// stay open and reach nobody, as on Linux.
type Roamer struct {
	net *Net

	mu   sync.Mutex
	addr netip.Addr // guarded by mu; invalid: none
}

var _ sip.Network = (*Roamer)(nil)

// Roamer returns a host without an address.
func (n *Net) Roamer() *Roamer { return &Roamer{net: n} }

// Options are what makes an endpoint run on the host.
func (r *Roamer) Options() []sip.Option {
	return []sip.Option{sip.WithNetwork(r), sip.WithInterfaces(r.interfaces), WithNames(nil)}
}

// Move gives eth0 another address; the zero Addr takes it away.
func (r *Roamer) Move(to netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addr = to
}

func (r *Roamer) interfaces(name string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case name != "eth0":
		return nil, errors.New("no such network interface")
	case !r.addr.IsValid():
		return nil, nil
	}
	return []netip.Addr{r.addr}, nil
}

func (r *Roamer) host(op string, want netip.Addr) (*Host, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.addr.IsValid() || want != r.addr {
		return nil, &net.OpError{Op: op, Err: syscall.EADDRNOTAVAIL}
	}
	return r.net.Host(want), nil
}

// ListenPacket binds a UDP socket on the present address.
func (r *Roamer) ListenPacket(ctx context.Context, at netip.AddrPort) (net.PacketConn, error) {
	h, err := r.host("listen", at.Addr())
	if err != nil {
		return nil, err
	}
	return h.ListenPacket(ctx, at)
}

// Listen binds a TCP listener on the present address.
func (r *Roamer) Listen(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	h, err := r.host("listen", at.Addr())
	if err != nil {
		return nil, err
	}
	return h.Listen(ctx, at)
}

// Dial connects by TCP from the present address.
func (r *Roamer) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	h, err := r.host("dial", from)
	if err != nil {
		return nil, err
	}
	return h.Dial(ctx, from, to)
}
