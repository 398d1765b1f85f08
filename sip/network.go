package sip

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Network opens the endpoint's sockets. The zero configuration uses the
// operating system; siptest.Host is the one for tests.
type Network interface {
	// ListenPacket binds a UDP socket.
	ListenPacket(ctx context.Context, addr netip.AddrPort) (net.PacketConn, error)
	// Listen binds a TCP listener.
	Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error)
	// Dial connects by TCP from the address from (any port) to the socket to.
	Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// Resolver answers the DNS questions of RFC 3263. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

var _ Resolver = (*net.Resolver)(nil)

// systemNetwork is the operating system's network, its packets marked with dscp.
type systemNetwork struct{ dscp atomic.Int32 }

var _ Network = (*systemNetwork)(nil)

// SystemNetwork is the operating system's network with packets marked by a
// DiffServ code point: what an Endpoint uses when it is given no other.
func SystemNetwork(dscp int) Network {
	n := &systemNetwork{}
	n.dscp.Store(int32(dscp))
	return n
}

func (n *systemNetwork) ListenPacket(ctx context.Context, addr netip.AddrPort) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: n.mark}
	pc, err := lc.ListenPacket(ctx, "udp", addr.String())
	if udp, ok := pc.(*net.UDPConn); ok {
		_ = udp.SetReadBuffer(readBuffer) // the kernel gives what it allows
	}
	return pc, err
}

func (n *systemNetwork) Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{Control: n.mark}
	return lc.Listen(ctx, "tcp", addr.String())
}

func (n *systemNetwork) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Control: n.mark, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	return d.DialContext(ctx, "tcp", to.String())
}

// readBuffer is asked for each UDP socket, in bytes: the answers to a change that 500 watchers were told of come within
// milliseconds, and Linux gives 208 KiB unasked.
const readBuffer = 1 << 20

// userTimeout is how long the kernel waits for the acknowledgement of what was sent on a stream before it gives the
// connection up: a peer that lost power sends no reset, and is to be seen within seconds of its return.
const userTimeout = 3 * time.Second

// mark sets the DiffServ code point and the timeout of streams. A kernel that refuses (some containers do) costs
// priority, not service, so the results are not looked at.
func (n *systemNetwork) mark(network, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		if network == "tcp4" || network == "tcp6" {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
		}
		n.markSocket(int(fd))
	})
}

// markSocket sets the code point of a socket of either family; the option of the other is refused.
func (n *systemNetwork) markSocket(fd int) {
	tos := int(n.dscp.Load()) << 2 // RFC 2474 §3: the six high bits of the octet
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, tos)
}

// remark marks what was opened before the code point changed.
func (n *systemNetwork) remark(opened any) {
	if t, ok := opened.(*tls.Conn); ok {
		opened = t.NetConn()
	}
	if s, ok := opened.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { n.markSocket(int(fd)) }) // one that has just been closed needs nothing
		}
	}
}

// SetDSCP marks all packets from now on with another DiffServ code point than Config.DSCP, those of open sockets and
// connections too. With a network that is not the operating system's it does nothing.
func (e *Endpoint) SetDSCP(dscp int) {
	n, ok := e.net.(*systemNetwork)
	if !ok || n.dscp.Swap(int32(dscp)) == int32(dscp) {
		return
	}
	for _, l := range e.listeners {
		pc, ln := l.sockets()
		n.remark(pc)
		n.remark(ln)
	}
	e.mu.Lock()
	streams, _, _ := e.snapshot()
	e.mu.Unlock()
	for _, c := range streams {
		n.remark(c.conn)
	}
}

// addrPortOf reads the address out of a net.Addr of a UDP or TCP socket.
func addrPortOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.UDPAddr:
		return unmap(a.AddrPort())
	case *net.TCPAddr:
		return unmap(a.AddrPort())
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return unmap(ap)
}

func unmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
