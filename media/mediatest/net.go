// Package mediatest has what tests of sound need: a network in memory, a far end that talks and records, and
// a judge that recognises what was said through a codec, a jitter buffer and an unknown delay.
//
// It is imported by tests and by programs that test, never by the firmware. Net and Peer work inside
// testing/synctest.
package mediatest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
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

// Listen binds an address; port 0 takes a free even one, so that the next is there for RTCP.
func (n *Net) Listen(addr netip.AddrPort, _ rtpio.Socket) (rtpio.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr.Port() == 0 {
		n.next += 2
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

// Inject sends a datagram from wherever it says.
func (n *Net) Inject(d Datagram) { n.send(d) }

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
	if p := c.poller.Load(); p != nil {
		select {
		case p.in <- polled{c, d}:
		default:
		}
		return
	}
	select {
	case c.in <- d:
	default:
	}
}

// NewPoller returns what reads sockets of this network on one goroutine.
func (n *Net) NewPoller() rtpio.Poller { return &poller{in: make(chan polled, pollerQueue)} }

// pollerQueue datagrams wait for a poller at most; what comes on top is dropped.
const pollerQueue = 8192

type poller struct{ in chan polled } // capacity pollerQueue

type polled struct {
	to *conn
	d  Datagram
}

var _ rtpio.Poller = (*poller)(nil)

func (p *poller) Add(c rtpio.Conn, r rtpio.Receiver) error {
	k, ok := c.(*conn)
	if !ok {
		return fmt.Errorf("poll %s: %T is of another network", c.LocalAddr(), c)
	}
	select {
	case <-k.done:
		return net.ErrClosed
	default:
	}
	k.receiver = r
	k.poller.Store(p)
	// What came before nobody has read yet.
	for {
		select {
		case d := <-k.in:
			p.in <- polled{k, d}
		default:
			return nil
		}
	}
}

func (p *poller) Run(ctx context.Context) error {
	var buf [rtpio.MaxDatagram + rtpio.Spare]byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case q := <-p.in:
			select {
			case <-q.to.done:
			default:
				n := copy(buf[:rtpio.MaxDatagram], q.d.Data)
				q.to.receiver.Receive(buf[:n], q.d.From, 0)
			}
		}
	}
}

type conn struct {
	net   *Net
	local netip.AddrPort
	in    chan Datagram // capacity queue; full drops
	once  sync.Once
	done  chan struct{}

	poller   atomic.Pointer[poller]
	receiver rtpio.Receiver // written before poller
}

var _ rtpio.Conn = (*conn)(nil)

// read blocks for one datagram at a socket of a Net that no poller reads.
func read(c rtpio.Conn, b []byte) (n int, from netip.AddrPort, err error) {
	return c.(*conn).read(b)
}

func (c *conn) read(b []byte) (int, netip.AddrPort, error) {
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

func (c *conn) Mark(int) error { return nil }

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
