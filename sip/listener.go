package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A listener that has died is reopened after this time, doubling to the maximum.
const (
	reopenFirst = 100 * time.Millisecond
	reopenMax   = 5 * time.Second
)

// listener is one entry of Config.Listen. It outlives the socket: when that
// dies, supervise opens another on the same address.
type listener struct {
	e    *Endpoint
	spec listenSpec // immutable
	key  string     // configuration key, for errors

	at   atomic.Pointer[netip.AddrPort] // where it listens now; invalid while its interface has no address, and until it was opened first
	kick chan struct{}                  // capacity 1: try to open now; full means that it will be tried anyway

	mu     sync.Mutex // guards everything below
	pc     net.PacketConn
	ln     net.Listener
	closed bool
}

func newListener(e *Endpoint, spec listenSpec, key string) *listener {
	l := &listener{e: e, spec: spec, key: key, kick: make(chan struct{}, 1)}
	l.at.Store(&spec.addr)
	if spec.iface != "" {
		if at, err := e.addressOf(spec); err == nil { // so that Contacts can be told before Run
			l.at.Store(&at)
		}
	}
	return l
}

// addr is where the listener listens: what Via and Contact name.
func (l *listener) addr() netip.AddrPort { return *l.at.Load() }

// String is the listener as the configuration has it, with the port that the kernel gave for 0.
func (l *listener) String() string {
	if at := l.addr(); l.spec.iface == "" && at.IsValid() {
		return l.spec.kind + ":" + at.String()
	}
	return l.spec.String()
}

// wanted is where the listener belongs: on the address that its interface has now, or that the configuration names, with the
// port that the kernel gave it before.
func (l *listener) wanted() (netip.AddrPort, error) {
	if l.spec.iface != "" {
		return l.e.addressOf(l.spec)
	}
	if at := l.addr(); at.IsValid() {
		return at, nil
	}
	return l.spec.addr, nil
}

// open binds the socket, in the place of one on another address.
func (l *listener) open(ctx context.Context) error {
	at, err := l.wanted()
	if err != nil {
		return fmt.Errorf("sip: %s (sip.%s): %w", l, l.key, err)
	}
	var pc net.PacketConn
	var ln net.Listener
	if l.spec.kind == kindUDP {
		pc, err = l.e.net.ListenPacket(ctx, at)
	} else {
		ln, err = l.e.net.Listen(ctx, at)
	}
	if err != nil {
		return l.explain(at, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		if pc != nil {
			_ = pc.Close()
		} else {
			_ = ln.Close()
		}
		return ErrStopped
	}
	l.shut() // of the address before
	l.pc, l.ln = pc, ln
	if at.Port() == 0 {
		bound := netip.AddrPort{}
		if pc != nil {
			bound = addrPortOf(pc.LocalAddr())
		} else {
			bound = addrPortOf(ln.Addr())
		}
		at = netip.AddrPortFrom(at.Addr(), bound.Port())
	}
	l.at.Store(&at)
	return nil
}

// explain turns a failed bind into a sentence that a technician can act on.
func (l *listener) explain(at netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		who := "another program"
		if h := l.e.holder(l.spec.kind, at); h != "" {
			who = h
		}
		return fmt.Errorf("sip: %s is in use by %s; stop it or change sip.%s: %w", l, who, l.key, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("sip: %s is not an address of this machine; change sip.%s: %w", l, l.key, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("sip: %s needs a privilege that this process lacks; change sip.%s to a port above 1023: %w", l, l.key, err)
	}
	return fmt.Errorf("sip: open %s (sip.%s): %w", l, l.key, err)
}

func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.shut()
}

// shut closes the socket; the caller holds mu.
func (l *listener) shut() {
	if l.pc != nil {
		_ = l.pc.Close()
		l.pc = nil
	}
	if l.ln != nil {
		_ = l.ln.Close()
		l.ln = nil
	}
}

// supervise serves the socket, and a new one each time that it dies, until ctx ends.
func (l *listener) supervise(ctx context.Context) {
	for {
		pc, ln := l.sockets()
		err := net.ErrClosed
		if pc != nil || ln != nil {
			l.e.health(l.String(), nil)
			err = l.serve(pc, ln)
		}
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		died := (pc != nil || ln != nil) && l.pc == pc && l.ln == ln
		if died {
			l.shut()
		}
		up := l.pc != nil || l.ln != nil
		l.mu.Unlock()
		if up {
			continue // it was bound anew, on the new address of its interface
		}
		if died { // else its interface has no address
			l.e.count.restarts.Add(1)
			l.e.log.Error("sip listener died, opening it again", "listen", l.String(), "err", err)
			l.e.health(l.String(), fmt.Errorf("sip: listener %s: %w", l, err))
		}
		if !l.reopen(ctx) {
			return
		}
		l.e.log.Info("sip listener is up again", "listen", l.String(), "at", l.addr())
	}
}

func (l *listener) sockets() (net.PacketConn, net.Listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pc, l.ln
}

func (l *listener) reopen(ctx context.Context) bool {
	for wait := reopenFirst; ; wait = min(2*wait, reopenMax) {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-l.kick:
			t.Stop()
			wait = reopenFirst
		case <-t.C:
		}
		if pc, ln := l.sockets(); pc != nil || ln != nil {
			return true // follow was faster
		}
		err := l.open(ctx)
		if err == nil {
			return true
		}
		if errors.Is(err, ErrStopped) {
			return false
		}
		l.e.health(l.String(), err)
	}
}

// serve reads until the socket dies and says why.
func (l *listener) serve(pc net.PacketConn, ln net.Listener) error {
	if pc != nil {
		return l.serveDatagrams(pc)
	}
	return l.serveStreams(ln)
}

// addrPortReader is the read of a *net.UDPConn that does not allocate.
type addrPortReader interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
}

func (l *listener) serveDatagrams(pc net.PacketConn) error {
	buf := make([]byte, 65536) // more than UDP carries
	fast, _ := pc.(addrPortReader)
	for {
		var n int
		var from netip.AddrPort
		var err error
		if fast != nil {
			n, from, err = fast.ReadFromUDPAddrPort(buf)
		} else {
			var a net.Addr
			if n, a, err = pc.ReadFrom(buf); err == nil {
				from = addrPortOf(a)
			}
		}
		if err != nil {
			return err
		}
		from = unmap(from)
		l.e.count.in.Add(1)
		if !l.e.limit.Allow(from.Addr(), time.Now()) {
			l.e.count.drop(dropRate)
			continue
		}
		l.e.receive(&udpFlow{l: l, to: from}, buf[:n])
	}
}

func (l *listener) serveStreams(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		if l.spec.kind == kindTLS {
			if !l.e.greetings.Allow(addrPortOf(conn.RemoteAddr()).Addr(), time.Now()) {
				_ = conn.Close()
				l.e.count.drop(dropConnections)
				continue
			}
			conn = tls.Server(conn, l.e.tlsServer)
		}
		if _, err := l.e.adopt(l, conn, nil, false); err != nil {
			_ = conn.Close()
			l.e.count.drop(dropConnections)
		}
	}
}

// listenerFor picks the listener that requests by kind to remote leave from. Of
// several it takes the one whose address shares the longest prefix with remote.
// When local is valid its address must match; its port decides where it can
// (another transport may listen on another port).
func (e *Endpoint) listenerFor(kind string, remote netip.Addr, local netip.AddrPort) *listener {
	var best *listener
	bestBits := -1
	for _, l := range e.listeners {
		if l.spec.kind != kind {
			continue
		}
		a := l.addr().Addr()
		if !a.IsValid() {
			continue
		}
		if local.IsValid() && a != local.Addr().Unmap() {
			continue
		}
		if remote.IsValid() && a.Is4() != remote.Is4() {
			continue
		}
		bits := commonBits(a, remote)
		if local.IsValid() && l.addr().Port() == local.Port() {
			bits += 129 // more than any prefix
		}
		if bits > bestBits {
			best, bestBits = l, bits
		}
	}
	return best
}

func commonBits(a, b netip.Addr) int {
	if !a.IsValid() || !b.IsValid() || a.Is4() != b.Is4() {
		return 0
	}
	x, y := a.AsSlice(), b.AsSlice()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			n := i * 8
			for m := byte(0x80); d&m == 0; m >>= 1 {
				n++
			}
			return n
		}
	}
	return len(x) * 8
}
