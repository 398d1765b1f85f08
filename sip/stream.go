package sip

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

var (
	errTooManyConnections = errors.New("sip: too many connections")
	errSlowPeer           = errors.New("sip: peer does not read")
	errMadeRoom           = errors.New("sip: closed for another connection")
	errRenewed            = errors.New("sip: another connection has the new certificate")
)

const (
	streamQueue  = 128              // messages waiting for one connection; more means a dead peer
	writeTimeout = 10 * time.Second // for one message to leave
	partialLimit = 30 * time.Second // for a message to be complete, and for the first to come

	handshakeLimit = 10 * time.Second // for TLS with somebody who has called
	// handshakesPerSecond is how many TLS connections one address may begin in a second. Each costs a signature, which takes
	// some ms on a small board; a proxy or a peer begins one in a while.
	handshakesPerSecond = 25
	// retireAfter is how long a connection with the old certificate is kept at least, RFC 3261 §17: 64*T1.
	retireAfter = 32 * time.Second
)

// streamKey finds the connection to a remote socket.
type streamKey struct {
	kind   string
	from   netip.Addr
	remote netip.AddrPort
}

// streamConn is one TCP or TLS connection, accepted or dialled.
type streamConn struct {
	// immutable
	e    *Endpoint
	l    *listener // whose address Via and Contact name
	conn net.Conn
	key  streamKey
	out  chan []byte // capacity streamQueue; full ends the connection

	dialled bool             // by us; else accepted
	shown   *tls.Certificate // of ours to an appliance of the site; nil to others

	// proved are the names of the far end by the site's certificate; readLoop writes it before the first message.
	proved []string

	began time.Time
	known atomic.Bool // whether the far end has shown that it speaks SIP
	sure  atomic.Bool // whether it has proved to be an appliance of the site

	cut bool // it is not among those that are counted any more; guarded by e.mu

	once sync.Once
	done chan struct{}
	err  error // why it ended; written before done is closed
}

var _ flow = (*streamConn)(nil)

// adopt takes a connection over and starts its two goroutines. Those that come
// in are limited, in total and (to half of it) per source; ours are as many as
// there are requests.
func (e *Endpoint) adopt(l *listener, conn net.Conn, shown *tls.Certificate, dialled bool) (*streamConn, error) {
	c := &streamConn{
		e: e, l: l, conn: conn, shown: shown, dialled: dialled,
		key:   streamKey{l.spec.kind, l.addr().Addr(), addrPortOf(conn.RemoteAddr())},
		out:   make(chan []byte, streamQueue),
		done:  make(chan struct{}),
		began: time.Now(),
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped || e.runCtx == nil {
		return nil, ErrStopped
	}
	if !dialled {
		if !e.makeRoomLocked(c.key.remote.Addr()) {
			return nil, errTooManyConnections
		}
		e.accepted++
	}
	if old := e.streams[c.key]; old != nil && dialled {
		e.retired[old] = time.AfterFunc(retireAfter, func() { e.retire(old) })
	}
	e.streams[c.key] = c
	if n, ok := e.net.(*systemNetwork); ok {
		n.remark(conn) // the code point may have changed since it was dialled
	}
	e.running.Go(c.readLoop)
	e.running.Go(c.writeLoop)
	return c, nil
}

// retire ends a connection with the old certificate, unless somebody still waits for an answer on it.
func (e *Endpoint) retire(old *streamConn) {
	e.mu.Lock()
	t := e.retired[old]
	waits := false
	for _, leg := range e.clientLegs {
		waits = waits || leg.flow == flow(old)
	}
	if t != nil && waits {
		t.Reset(retireAfter)
	}
	e.mu.Unlock()
	if !waits {
		old.fail(errRenewed)
	}
}

// makeRoomLocked says whether one more connection may come in from an address. Where an address has its share, its
// oldest connection that has shown no SIP yet gives way; where all are taken, so does one of the address that has most:
// one without SIP, else the oldest that proves no appliance, as long as that address keeps more than the new one has. So
// whoever opens many keeps nobody out. The caller holds mu.
func (e *Endpoint) makeRoomLocked(from netip.Addr) bool {
	share := max(2, e.cfg.MaxConnections/2)
	full := e.accepted >= e.cfg.MaxConnections
	count := make(map[netip.Addr]int)
	for key, c := range e.streams {
		if !c.dialled {
			count[key.remote.Addr()]++
		}
	}
	if !full && count[from] < share {
		return true
	}
	most := from
	if count[from] < share {
		for a, n := range count {
			if n > count[most] || n == count[most] && a.Less(most) {
				most = a
			}
		}
	}
	var silent, spare *streamConn
	for key, c := range e.streams {
		switch {
		case c.dialled || key.remote.Addr() != most || c.sure.Load():
		case !c.known.Load():
			if silent == nil || c.began.Before(silent.began) {
				silent = c
			}
		case spare == nil || c.began.Before(spare.began):
			spare = c
		}
	}
	if silent == nil && count[most] > count[from]+1 {
		silent = spare
	}
	if silent == nil {
		return false
	}
	silent.cut = true
	e.accepted--
	delete(e.streams, silent.key)
	e.count.drop(dropConnections)
	e.running.Go(func() { silent.fail(errMadeRoom) }) // on its own goroutine: it takes mu
	return true
}

func (c *streamConn) kind() string           { return c.l.spec.kind }
func (c *streamConn) local() netip.AddrPort  { return c.l.addr() }
func (c *streamConn) remote() netip.AddrPort { return c.key.remote }

func (c *streamConn) write(b []byte) error {
	select {
	case <-c.done:
		return fmt.Errorf("send to %s: %w", c.key.remote, c.err)
	default:
	}
	if err := fit(c, b); err != nil {
		return err
	}
	select {
	case c.out <- b:
		c.e.count.out.Add(1)
		c.e.trace("sent", c, b)
		return nil
	default:
		c.fail(errSlowPeer)
		return fmt.Errorf("send to %s: %w", c.key.remote, errSlowPeer)
	}
}

func (c *streamConn) WriteMsg(m gosip.Message) error { return writeMessage(c, m) }
func (c *streamConn) LocalAddr() net.Addr            { return c.conn.LocalAddr() }
func (c *streamConn) Ref(int) int                    { return 1 }
func (c *streamConn) TryClose() (int, error)         { return 1, nil }
func (c *streamConn) Close() error                   { return nil }

// fail ends the connection and everything that waits for an answer on it.
func (c *streamConn) fail(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
		c.e.mu.Lock()
		if !c.dialled && !c.cut {
			c.e.accepted--
		}
		if t := c.e.retired[c]; t != nil {
			t.Stop()
			delete(c.e.retired, c)
		}
		if c.e.streams[c.key] == c {
			delete(c.e.streams, c.key)
		}
		var legs []*clientLeg
		for _, leg := range c.e.clientLegs {
			if leg.flow == flow(c) {
				legs = append(legs, leg)
			}
		}
		c.e.mu.Unlock()
		// A TLS close alert may block on a peer that does not read.
		_ = c.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_ = c.conn.Close()
		for _, leg := range legs {
			leg.breakOff(err)
		}
	})
}

// finish ends the connection after what is queued has been sent.
func (c *streamConn) finish(err error) {
	select {
	case c.out <- nil:
	default:
		c.fail(err)
	}
}

func (c *streamConn) writeLoop() {
	for {
		select {
		case <-c.done:
			return
		case b := <-c.out:
			if b == nil { // see finish
				c.fail(net.ErrClosed)
				return
			}
			_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := c.conn.Write(b); err != nil {
				c.fail(err)
				return
			}
		}
	}
}

func (c *streamConn) readLoop() {
	if !c.greet() {
		return
	}
	f := framer{max: c.e.cfg.MaxMessageBytes}
	buf := make([]byte, 8192)
	known := c.dialled
	var due time.Time // when what is under way must be complete, however many octets of it drip in; zero: nothing is
	for {
		until := time.Now().Add(c.e.cfg.IdleTimeout)
		switch {
		case known && !f.partial():
			due = time.Time{}
		case due.IsZero():
			due = time.Now().Add(partialLimit)
			fallthrough
		default:
			until = due
		}
		_ = c.conn.SetReadDeadline(until)
		n, err := c.conn.Read(buf)
		if err != nil {
			c.fail(err)
			return
		}
		f.add(buf[:n])
		for {
			m, pings, err := f.next()
			if !known && (pings > 0 || m != nil) {
				known = true
				c.known.Store(true)
			}
			for range pings {
				// RFC 5626 §3.5.1: a double CRLF is answered by a single one.
				_ = c.write([]byte("\r\n"))
			}
			if err != nil {
				c.e.count.in.Add(1)
				c.e.refuseFrame(c, m, err)
				c.finish(err)
				return
			}
			if m == nil {
				break
			}
			due = time.Time{}
			c.e.count.in.Add(1)
			c.e.receive(c, m)
		}
	}
}

// greet ends the handshake and notes what the far end has proved in it. It returns false if the connection is over.
func (c *streamConn) greet() bool {
	if tc, ok := c.conn.(*tls.Conn); ok {
		_ = tc.SetDeadline(time.Now().Add(handshakeLimit))
		if err := tc.Handshake(); err != nil { // at once where we have called: it is over then
			c.fail(err)
			return false
		}
		_ = tc.SetWriteDeadline(time.Time{})
	}
	c.proved = c.e.prove(c.conn)
	c.sure.Store(len(c.proved) > 0)
	return true
}
