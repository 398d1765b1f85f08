// Package siptest is an in-memory network for tests of everything that stands
// on package sip: UDP datagrams and TCP streams between hosts, with loss,
// delay, duplication and reordering that a test sets per link, and an endpoint
// that runs on it. It works inside testing/synctest, where a delay costs no time.
//
// It opens no socket and starts no goroutine; delayed packets travel on timers.
package siptest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"parklamp/sip"
)

// Packet is one datagram or one TCP write, as Tap and Link.Drop see it.
type Packet struct {
	Network  string // "udp" or "tcp"
	From, To netip.AddrPort
	Data     []byte // only valid during the call
}

// Link is how packets travel from one host to another. The zero value is
// perfect and immediate. Loss, duplication and reordering are for UDP only; TCP
// is only delayed, and held back while the link is down.
type Link struct {
	Loss      float64 // probability that a datagram is lost
	Duplicate float64 // probability that a datagram comes twice
	Reorder   float64 // probability that a datagram is overtaken (5 ms late)
	Delay     time.Duration
	Jitter    time.Duration // added to Delay, 0 to Jitter, evenly spread; UDP only
	Down      bool          // nothing gets through
	Drop      func(Packet) bool
}

// Net is the network. All methods may be called at any time.
type Net struct {
	mu       sync.Mutex // guards everything below
	rng      *rand.Rand
	udp      map[netip.AddrPort]*packetConn
	tcp      map[netip.AddrPort]*listener
	streams  map[*half]bool
	links    map[[2]netip.Addr]Link
	taps     []func(Packet)
	nextPort uint16
}

// New returns a perfect network; seed decides what is lost once links are not.
func New(seed uint64) *Net {
	return &Net{
		rng:      rand.New(rand.NewPCG(seed, 0x5349502f322e30)),
		udp:      make(map[netip.AddrPort]*packetConn),
		tcp:      make(map[netip.AddrPort]*listener),
		streams:  make(map[*half]bool),
		links:    make(map[[2]netip.Addr]Link),
		nextPort: 40000,
	}
}

// SetLink sets how packets travel from one host to another, in that direction only.
func (n *Net) SetLink(from, to netip.Addr, l Link) {
	n.mu.Lock()
	n.links[[2]netip.Addr{from, to}] = l
	var woken []*half
	for h := range n.streams {
		if h.from.Addr() == from && h.to.Addr() == to && !l.Down {
			woken = append(woken, h)
		}
	}
	n.mu.Unlock()
	for _, h := range woken {
		h.resume()
	}
}

// Cut takes the links between two hosts down in both directions; Heal makes
// them perfect again. TCP bytes written meanwhile arrive after Heal.
func (n *Net) Cut(a, b netip.Addr) {
	n.SetLink(a, b, Link{Down: true})
	n.SetLink(b, a, Link{Down: true})
}

// Heal undoes Cut and SetLink between two hosts.
func (n *Net) Heal(a, b netip.Addr) {
	n.SetLink(a, b, Link{})
	n.SetLink(b, a, Link{})
}

// Tap calls f for every packet that a host sends, also those that get lost.
// f must not call the network.
func (n *Net) Tap(f func(Packet)) {
	n.mu.Lock()
	n.taps = append(n.taps, f)
	n.mu.Unlock()
}

// FailRead makes the UDP socket at addr return err from one read, as a kernel
// does that has lost the interface.
func (n *Net) FailRead(addr netip.AddrPort, err error) {
	n.mu.Lock()
	c := n.udp[addr]
	n.mu.Unlock()
	if c != nil {
		select {
		case c.fail <- err:
		default:
		}
	}
}

// Bound reports whether a UDP socket is open at addr.
func (n *Net) Bound(addr netip.AddrPort) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.udp[addr] != nil
}

// Host returns the network as the host at addr sees it.
func (n *Net) Host(addr netip.Addr) *Host { return &Host{net: n, addr: addr} }

// Host is one address on a Net.
type Host struct {
	net  *Net
	addr netip.Addr
}

var _ sip.Network = (*Host)(nil)

func (h *Host) bind(ap netip.AddrPort) (netip.AddrPort, error) {
	if ap.Addr() != h.addr {
		return ap, &net.OpError{Op: "listen", Err: syscall.EADDRNOTAVAIL}
	}
	if ap.Port() == 0 {
		h.net.nextPort++
		ap = netip.AddrPortFrom(ap.Addr(), h.net.nextPort)
	}
	return ap, nil
}

// ListenPacket binds a UDP socket of the host.
func (h *Host) ListenPacket(_ context.Context, ap netip.AddrPort) (net.PacketConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	ap, err := h.bind(ap)
	if err != nil {
		return nil, err
	}
	if h.net.udp[ap] != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(ap), Err: syscall.EADDRINUSE}
	}
	c := newPacketConn(h.net, ap)
	h.net.udp[ap] = c
	return c, nil
}

// Listen binds a TCP listener of the host.
func (h *Host) Listen(_ context.Context, ap netip.AddrPort) (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	ap, err := h.bind(ap)
	if err != nil {
		return nil, err
	}
	if h.net.tcp[ap] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(ap), Err: syscall.EADDRINUSE}
	}
	l := &listener{net: h.net, addr: ap, accept: make(chan net.Conn, 128), done: make(chan struct{})}
	h.net.tcp[ap] = l
	return l, nil
}

// Dial connects to a listener anywhere on the network: refused at once when
// nobody listens, hanging until ctx ends when the link is down.
func (h *Host) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	h.net.mu.Lock()
	link := h.net.links[[2]netip.Addr{h.addr, to.Addr()}]
	l := h.net.tcp[to]
	local, err := h.bind(netip.AddrPortFrom(from, 0))
	h.net.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if link.Down {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: ctx.Err()}
	}
	if link.Delay > 0 {
		select {
		case <-time.After(2 * link.Delay):
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: ctx.Err()}
		}
	}
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: syscall.ECONNREFUSED}
	if l == nil {
		return nil, refused
	}
	near, far := newStream(h.net, local, to)
	select {
	case l.accept <- far:
		return near, nil
	case <-l.done:
		return nil, refused
	default: // capacity 128: a full backlog refuses, as Linux can be told to
		return nil, refused
	}
}

// send puts one datagram on the wire.
func (n *Net) send(p Packet) {
	n.mu.Lock()
	for _, f := range n.taps {
		f(p)
	}
	link := n.links[[2]netip.Addr{p.From.Addr(), p.To.Addr()}]
	if link.Down || n.rng.Float64() < link.Loss || (link.Drop != nil && link.Drop(p)) {
		n.mu.Unlock()
		return
	}
	copies := 1
	if n.rng.Float64() < link.Duplicate {
		copies = 2
	}
	delays := make([]time.Duration, copies)
	for i := range delays {
		delays[i] = link.Delay
		if link.Jitter > 0 {
			delays[i] += time.Duration(n.rng.Int64N(int64(link.Jitter)))
		}
		if n.rng.Float64() < link.Reorder {
			delays[i] += 5 * time.Millisecond
		}
	}
	n.mu.Unlock()
	p.Data = append([]byte(nil), p.Data...)
	for _, d := range delays {
		if d == 0 {
			n.deliver(p)
			continue
		}
		time.AfterFunc(d, func() { n.deliver(p) })
	}
}

func (n *Net) deliver(p Packet) {
	n.mu.Lock()
	c := n.udp[p.To]
	n.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case c.in <- p:
	default: // capacity 1024: a full socket buffer drops, as UDP does
	}
}

func (n *Net) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprintf("siptest.Net with %d UDP and %d TCP sockets", len(n.udp), len(n.tcp))
}
