package sip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	gosip "github.com/emiago/sipgo/sip"
)

// errInjection refuses to send a message with a line break inside a header.
var errInjection = errors.New("sip: line break inside a header field")

// flow is one way to one remote socket: a UDP listener with an address, or a
// stream connection. sipgo's transactions write to it as their Connection.
type flow interface {
	gosip.Connection
	kind() string
	local() netip.AddrPort // of the listener: what Via and Contact name
	remote() netip.AddrPort
	write(b []byte) error // never blocks
}

// udpFlow reaches one remote address through a UDP listener.
type udpFlow struct {
	l  *listener
	to netip.AddrPort
}

var _ flow = (*udpFlow)(nil)

func (f *udpFlow) kind() string           { return kindUDP }
func (f *udpFlow) local() netip.AddrPort  { return f.l.addr() }
func (f *udpFlow) remote() netip.AddrPort { return f.to }

func (f *udpFlow) write(b []byte) error {
	f.l.mu.Lock()
	pc := f.l.pc
	f.l.mu.Unlock()
	if pc == nil {
		return fmt.Errorf("send by %s: %w", f.l, net.ErrClosed)
	}
	if err := fit(f, b); err != nil {
		return err
	}
	if _, err := pc.WriteTo(b, net.UDPAddrFromAddrPort(f.to)); err != nil {
		return fmt.Errorf("send to %s: %w", f.to, err)
	}
	f.l.e.count.out.Add(1)
	f.l.e.trace("sent", f, b)
	return nil
}

func (f *udpFlow) WriteMsg(m gosip.Message) error { return writeMessage(f, m) }
func (f *udpFlow) LocalAddr() net.Addr            { return net.UDPAddrFromAddrPort(f.l.addr()) }
func (f *udpFlow) Ref(int) int                    { return 1 }
func (f *udpFlow) TryClose() (int, error)         { return 1, nil }
func (f *udpFlow) Close() error                   { return nil }

func writeMessage(f flow, m gosip.Message) error {
	b, err := serialise(m)
	if err != nil {
		return err
	}
	return f.write(b)
}

// serialise renders a message. sipgo does not look for line breaks in header
// values, so they are looked for here: text from a call (a display name) must
// not become a header of its own.
func serialise(m gosip.Message) ([]byte, error) {
	fields := 0
	switch m := m.(type) {
	case *gosip.Request:
		fields = len(m.Headers())
	case *gosip.Response:
		fields = len(m.Headers())
	}
	var buf bytes.Buffer
	buf.Grow(1024)
	m.StringWrite(&buf)
	b := buf.Bytes()
	head := b[:len(b)-len(m.Body())]
	// One line for the start line, one for each field, one that is empty.
	if want := fields + 2; bytes.Count(head, []byte("\n")) != want || bytes.Count(head, []byte("\r")) != want {
		return nil, errInjection
	}
	return b, nil
}

// serverFlow is the Connection of a server transaction.
type serverFlow struct{ tx *ServerTx }

var _ gosip.Connection = (*serverFlow)(nil)

func (f *serverFlow) WriteMsg(m gosip.Message) error {
	b, err := serialise(m)
	if err != nil {
		return err
	}
	if err = f.tx.flow.write(b); err == nil {
		return nil
	}
	if _, ok := f.tx.flow.(*streamConn); !ok {
		return err
	}
	return f.tx.redial(b)
}

func (f *serverFlow) LocalAddr() net.Addr    { return f.tx.flow.LocalAddr() }
func (f *serverFlow) Ref(int) int            { return 1 }
func (f *serverFlow) TryClose() (int, error) { return 1, nil }
func (f *serverFlow) Close() error           { return nil }

// redial sends a response whose connection is gone over a new one to the
// sent-by port of Via, RFC 3261 §18.2.2. It returns before that is done: a
// response that does not arrive is the client's to miss.
func (tx *ServerTx) redial(b []byte) error {
	port := tx.req.Via().Port
	if port <= 0 || port > 65535 {
		port = gosip.DefaultPort(tx.flow.kind())
	}
	to := withPort(tx.flow.remote(), port)
	l := tx.e.listenerFor(tx.flow.kind(), to.Addr(), tx.flow.local())
	if l == nil {
		return net.ErrClosed
	}
	return tx.e.start(func(ctx context.Context) {
		c, err := tx.e.stream(ctx, l, to, "")
		if err == nil {
			err = c.write(b)
		}
		if err != nil {
			tx.e.log.Debug("sip answer not sent", "call", tx.callID, "peer", to, "err", err)
		}
	})
}
