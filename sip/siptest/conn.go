package siptest

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// packetConn is a UDP socket of a Host.
type packetConn struct {
	net  *Net
	addr netip.AddrPort
	in   chan Packet // capacity 1024, full drops
	fail chan error  // capacity 1, see Net.FailRead
	once sync.Once
	done chan struct{}
}

var _ net.PacketConn = (*packetConn)(nil)

func newPacketConn(n *Net, ap netip.AddrPort) *packetConn {
	return &packetConn{net: n, addr: ap, in: make(chan Packet, 1024), fail: make(chan error, 1), done: make(chan struct{})}
}

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.in:
		return copy(b, p.Data), net.UDPAddrFromAddrPort(p.From), nil
	case err := <-c.fail:
		return 0, nil, err
	case <-c.done:
		return 0, nil, net.ErrClosed
	}
}

func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	ua, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, syscall.EINVAL
	}
	ap := ua.AddrPort()
	c.net.send(Packet{Network: "udp", From: c.addr, To: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), Data: b})
	return len(b), nil
}

func (c *packetConn) Close() error {
	c.once.Do(func() {
		close(c.done)
		c.net.mu.Lock()
		delete(c.net.udp, c.addr)
		c.net.mu.Unlock()
	})
	return nil
}

func (c *packetConn) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(c.addr) }
func (c *packetConn) SetDeadline(time.Time) error      { return nil }
func (c *packetConn) SetReadDeadline(time.Time) error  { return nil }
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

// listener is a TCP listener of a Host.
type listener struct {
	net    *Net
	addr   netip.AddrPort
	accept chan net.Conn // capacity 128, full refuses
	once   sync.Once
	done   chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.net.mu.Lock()
		delete(l.net.tcp, l.addr)
		l.net.mu.Unlock()
	})
	return nil
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// half is one direction of a TCP connection. Segments queue in order and become
// readable when their delay is over and the link is up.
type half struct {
	net      *Net
	from, to netip.AddrPort
	wake     chan struct{} // capacity 1, full means that the reader is woken already

	mu      sync.Mutex // guards everything below
	flight  [][]byte   // sent, not yet arrived
	ready   []byte     // arrived, not yet read
	waiting int        // segments that arrived at a link that is down
	end     error      // what reads return once ready is empty
}

func (h *half) write(b []byte) {
	h.net.mu.Lock()
	p := Packet{Network: "tcp", From: h.from, To: h.to, Data: b}
	for _, f := range h.net.taps {
		f(p)
	}
	link := h.net.links[[2]netip.Addr{h.from.Addr(), h.to.Addr()}]
	h.net.mu.Unlock()
	h.mu.Lock()
	h.flight = append(h.flight, append([]byte(nil), b...))
	h.mu.Unlock()
	if link.Delay > 0 {
		time.AfterFunc(link.Delay, h.arrive)
		return
	}
	h.arrive()
}

// arrive moves the oldest segment in flight to the reader.
func (h *half) arrive() {
	h.net.mu.Lock()
	down := h.net.links[[2]netip.Addr{h.from.Addr(), h.to.Addr()}].Down
	h.net.mu.Unlock()
	h.mu.Lock()
	if down {
		h.waiting++
		h.mu.Unlock()
		return
	}
	h.land()
	h.mu.Unlock()
	h.signal()
}

func (h *half) land() {
	if len(h.flight) == 0 {
		return
	}
	seg := h.flight[0]
	h.flight = h.flight[1:]
	if seg == nil {
		h.end = io.EOF
		return
	}
	h.ready = append(h.ready, seg...)
}

func (h *half) resume() {
	h.mu.Lock()
	for ; h.waiting > 0; h.waiting-- {
		h.land()
	}
	h.mu.Unlock()
	h.signal()
}

func (h *half) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// streamConn is one end of a TCP connection.
type streamConn struct {
	in, out *half
	once    sync.Once
	done    chan struct{}

	mu       sync.Mutex // guards deadline
	deadline time.Time
}

var _ net.Conn = (*streamConn)(nil)

func newStream(n *Net, a, b netip.AddrPort) (near, far *streamConn) {
	ab := &half{net: n, from: a, to: b, wake: make(chan struct{}, 1)}
	ba := &half{net: n, from: b, to: a, wake: make(chan struct{}, 1)}
	n.mu.Lock()
	n.streams[ab], n.streams[ba] = true, true
	n.mu.Unlock()
	near = &streamConn{in: ba, out: ab, done: make(chan struct{})}
	far = &streamConn{in: ab, out: ba, done: make(chan struct{})}
	return near, far
}

func (c *streamConn) Read(b []byte) (int, error) {
	for {
		c.in.mu.Lock()
		if len(c.in.ready) > 0 {
			n := copy(b, c.in.ready)
			c.in.ready = c.in.ready[n:]
			if len(c.in.ready) > 0 {
				c.in.signal()
			}
			c.in.mu.Unlock()
			return n, nil
		}
		end := c.in.end
		c.in.mu.Unlock()
		if end != nil {
			return 0, end
		}
		if err := c.wait(); err != nil {
			return 0, err
		}
	}
}

func (c *streamConn) wait() error {
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	var expired <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		expired = t.C
	}
	select {
	case <-c.in.wake:
		return nil
	case <-c.done:
		return net.ErrClosed
	case <-expired:
		return os.ErrDeadlineExceeded
	}
}

func (c *streamConn) Write(b []byte) (int, error) {
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	c.in.mu.Lock()
	gone := c.in.end != nil
	c.in.mu.Unlock()
	if gone {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	c.out.write(b)
	return len(b), nil
}

func (c *streamConn) Close() error {
	c.once.Do(func() {
		close(c.done)
		c.out.mu.Lock()
		c.out.flight = append(c.out.flight, nil) // the FIN
		c.out.mu.Unlock()
		c.out.arrive()
		n := c.out.net
		n.mu.Lock()
		delete(n.streams, c.in)
		n.mu.Unlock()
	})
	return nil
}

func (c *streamConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.out.from) }
func (c *streamConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.out.to) }

func (c *streamConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *streamConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	c.in.signal()
	return nil
}

func (c *streamConn) SetWriteDeadline(time.Time) error { return nil }
