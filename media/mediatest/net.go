// Package mediatest has what tests of sound need: a network in memory, a far end that talks and records, and
// a judge that recognises what was said through a codec, a jitter buffer and an unknown delay.
//
// It is imported by tests and by programs that test, never by the firmware. Net and Peer work inside
// testing/synctest.
package mediatest

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"parklamp/media/rtpio"
)

// queue is what a socket holds before it drops, as a kernel does.
const queue = 512

// Datagram is one packet on its way. A Net's hook may change every field.
type Datagram struct {
	From, To netip.AddrPort
	Data     []byte
	Delay    time.Duration
	Drop     bool
	Copies   int // additional ones
}

// Net is an IP network in memory in which every address exists. Its zero value is not ready: use NewNet.
type Net struct {
	mu    sync.Mutex
	conns map[netip.AddrPort]*conn
	hook  func(*Datagram)
	next  uint16
}

var _ rtpio.Network = (*Net)(nil)

// NewNet returns a network without loss or delay.
func NewNet() *Net { return &Net{conns: map[netip.AddrPort]*conn{}, next: 40000} }

// Hook sets what sees each datagram before it travels: it may drop, delay, copy or redirect it. It runs on
// the sender's goroutine, one at a time.
func (n *Net) Hook(f func(*Datagram)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = f
}

// Listen binds an address; port 0 takes a free one.
func (n *Net) Listen(addr netip.AddrPort, _ rtpio.Socket) (rtpio.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr.Port() == 0 {
		n.next++
		addr = netip.AddrPortFrom(addr.Addr(), n.next)
	}
	if n.conns[addr] != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, syscall.EADDRINUSE)
	}
	c := &conn{net: n, local: addr, in: make(chan Datagram, queue), done: make(chan struct{})}
	n.conns[addr] = c
	return c, nil
}

// Bound reports whether an address is open.
func (n *Net) Bound(addr netip.AddrPort) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conns[addr] != nil
}

func (n *Net) send(d Datagram) {
	n.mu.Lock()
	if n.hook != nil {
		n.hook(&d)
	}
	n.mu.Unlock()
	if d.Drop {
		return
	}
	for range d.Copies + 1 {
		if d.Delay > 0 {
			time.AfterFunc(d.Delay, func() { n.deliver(d) })
		} else {
			n.deliver(d)
		}
	}
}

func (n *Net) deliver(d Datagram) {
	n.mu.Lock()
	c := n.conns[d.To]
	n.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case c.in <- d:
	default:
	}
}

type conn struct {
	net   *Net
	local netip.AddrPort
	in    chan Datagram // capacity queue; full drops
	once  sync.Once
	done  chan struct{}
}

var _ rtpio.Conn = (*conn)(nil)

func (c *conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case <-c.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	case d := <-c.in:
		return copy(b, d.Data), d.From, nil
	}
}

func (c *conn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	c.net.send(Datagram{From: c.local, To: to, Data: append([]byte(nil), b...)})
	return len(b), nil
}

func (c *conn) LocalAddr() netip.AddrPort { return c.local }

func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.done)
		c.net.mu.Lock()
		delete(c.net.conns, c.local)
		c.net.mu.Unlock()
	})
	return nil
}
