package sip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

const (
	// datagramLimit is the largest request sent by UDP, RFC 3261 §18.1.1.
	datagramLimit = 1300
	// datagramOnlyFor is how long a peer that refused TCP is sent large
	// requests by UDP without asking again.
	datagramOnlyFor = 10 * time.Minute
	datagramOnlyMax = 256 // peers remembered for it
)

func newBranch() string { return gosip.RFC3261BranchMagicCookie + NewTag()[:24] } // of 120 random bits

// prepare makes the request that goes on the wire to t and finds the flow for it.
func (e *Endpoint) prepare(ctx context.Context, req *gosip.Request, t target, s Send) (*gosip.Request, flow, error) {
	l := e.listenerFor(t.kind, t.addr.Addr(), s.Local)
	if l == nil {
		return nil, nil, fmt.Errorf("%w: no %s listener reaches %s", ErrUnresolvable, t.kind, t.addr)
	}
	wire := e.dress(req, l)
	if t.kind == kindUDP && e.tooLarge(wire) && !e.isDatagramOnly(t.addr) {
		if f, ok := e.upgrade(ctx, t, s); ok {
			setVia(wire, f)
			return wire, f, nil
		}
	}
	if t.kind == kindUDP {
		f := &udpFlow{l: l, to: t.addr}
		setVia(wire, f)
		return wire, f, nil
	}
	f, err := e.stream(ctx, l, t.addr, t.name)
	if err != nil {
		if errors.Is(err, ErrStopped) {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("%w: %w", ErrTransport, err)
	}
	setVia(wire, f)
	return wire, f, nil
}

// upgrade finds a TCP connection for a request that is too large for UDP. RFC
// 3261 §18.1.1: a peer that refuses TCP gets it by UDP after all.
func (e *Endpoint) upgrade(ctx context.Context, t target, s Send) (flow, bool) {
	l := e.listenerFor(kindTCP, t.addr.Addr(), s.Local)
	if l == nil {
		return nil, false
	}
	f, err := e.stream(ctx, l, t.addr, t.name)
	if err == nil {
		return f, true
	}
	e.log.Info("sip peer refuses tcp, sending a large request by udp", "peer", t.addr, "err", err)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.datagramOnly) >= datagramOnlyMax {
		clear(e.datagramOnly)
	}
	e.datagramOnly[t.addr] = time.Now()
	return nil, false
}

func (e *Endpoint) isDatagramOnly(a netip.AddrPort) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, ok := e.datagramOnly[a]
	return ok && time.Since(at) < datagramOnlyFor
}

func (e *Endpoint) tooLarge(wire *gosip.Request) bool {
	b, err := serialise(wire)
	return err == nil && len(b)+viaRoom > datagramLimit
}

// viaRoom is the size of the Via that setVia adds, at most.
const viaRoom = 110

// dress copies the request and adds the headers that are the endpoint's.
func (e *Endpoint) dress(req *gosip.Request, l *listener) *gosip.Request {
	wire := req.Clone()
	if wire.MaxForwards() == nil {
		mf := gosip.MaxForwardsHeader(70)
		wire.AppendHeader(&mf)
	}
	if createsDialog(wire.Method) && wire.Contact() == nil {
		u := contactURI(l)
		if from := wire.From(); from != nil {
			u.User = from.Address.User
		}
		wire.AppendHeader(&gosip.ContactHeader{Address: u})
	}
	if wire.IsInvite() {
		if wire.GetHeader("Allow") == nil {
			wire.AppendHeader(gosip.NewHeader("Allow", e.Allow()))
		}
		if s := e.Supported(); s != "" && wire.GetHeader("Supported") == nil {
			wire.AppendHeader(gosip.NewHeader("Supported", s))
		}
	}
	if e.cfg.UserAgent != "" && wire.GetHeader("User-Agent") == nil {
		wire.AppendHeader(gosip.NewHeader("User-Agent", e.cfg.UserAgent))
	}
	wire.SetBody(req.Body())
	return wire
}

// setVia puts the topmost Via on a request: the listener's address, a new
// branch, and rport (RFC 3581 §3).
func setVia(wire *gosip.Request, f flow) {
	local := f.local()
	p := gosip.NewParams()
	p.Add("branch", newBranch())
	p.Add("rport", "")
	wire.PrependHeader(&gosip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: strings.ToUpper(f.kind()),
		Host: local.Addr().String(), Port: int(local.Port()), Params: p,
	})
	wire.SetTransport(strings.ToUpper(f.kind()))
	wire.SetSource(local.String())
	wire.SetDestination(f.remote().String())
}

func contactURI(l *listener) gosip.Uri {
	u := gosip.Uri{Scheme: "sip", Host: l.addr().Addr().String(), Port: int(l.addr().Port())}
	if l.spec.kind != kindUDP {
		u.UriParams = gosip.NewParams()
		u.UriParams.Add("transport", l.spec.kind)
	}
	return u
}

func (e *Endpoint) contactOf(f flow) gosip.Uri {
	if l := e.listenerFor(f.kind(), f.remote().Addr(), f.local()); l != nil {
		return contactURI(l)
	}
	return gosip.Uri{Scheme: "sip", Host: f.local().Addr().String(), Port: int(f.local().Port())}
}

// ContactFor is the URI, without a user, at which a host (an address as in a URI; else any) reaches this endpoint by transport
// (empty: udp before tcp before tls). It is the zero Uri when no listener can.
func (e *Endpoint) ContactFor(host, transport string) gosip.Uri {
	a, _ := netip.ParseAddr(strings.Trim(host, "[]"))
	for _, k := range [...]string{kindUDP, kindTCP, kindTLS} {
		if transport != "" && !strings.EqualFold(transport, k) {
			continue
		}
		if l := e.listenerFor(k, a.Unmap(), netip.AddrPort{}); l != nil {
			return contactURI(l)
		}
	}
	return gosip.Uri{}
}

// Ack sends the ACK for a 2xx to an INVITE of ours: a request with the CSeq
// number of the INVITE and the dialog's Route. It goes out without a
// transaction and is sent again whenever the 2xx comes again. The error is of
// what could be seen at once; a name or a connection is waited for elsewhere.
func (e *Endpoint) Ack(req *gosip.Request, s Send) error {
	req = routed(req, s)
	hop, err := nextHop(req)
	if err != nil {
		return err
	}
	k := ackKeyOf(req)
	tag := k.toTag
	k.toTag = ""
	e.mu.Lock()
	tx := e.acked[k]
	e.mu.Unlock()
	_, numeric := netip.ParseAddr(strings.Trim(hop.Host, "[]"))
	if numeric != nil {
		return e.start(func(ctx context.Context) { e.sendAck(ctx, req, hop, s, tx, tag) })
	}
	targets, err := e.resolve(context.Background(), hop, s) // asks nobody for a numeric host
	if err != nil {
		return err
	}
	t := targets[0]
	l := e.listenerFor(t.kind, t.addr.Addr(), s.Local)
	if t.kind != kindUDP && e.existing(l, t.addr) == nil || t.kind == kindUDP && len(req.Body()) > 0 {
		return e.start(func(ctx context.Context) { e.sendAck(ctx, req, hop, s, tx, tag) })
	}
	return e.ackTo(context.Background(), req, t, s, tx, tag)
}

func (e *Endpoint) sendAck(ctx context.Context, req *gosip.Request, hop gosip.Uri, s Send, tx *ClientTx, tag string) {
	targets, err := e.resolve(ctx, hop, s)
	for _, t := range targets {
		if err = e.ackTo(ctx, req, t, s, tx, tag); err == nil {
			return
		}
	}
	e.log.Info("sip ACK not sent", "call", req.CallID().Value(), "err", err)
}

func (e *Endpoint) ackTo(ctx context.Context, req *gosip.Request, t target, s Send, tx *ClientTx, tag string) error {
	wire, f, err := e.prepare(ctx, req, t, s)
	if err != nil {
		return err
	}
	b, err := serialise(wire)
	if err != nil {
		return err
	}
	if err := f.write(b); err != nil {
		return fmt.Errorf("%w: %w", ErrTransport, err)
	}
	if tx != nil {
		tx.mu.Lock()
		tx.acks[tag] = sentAck{f, b}
		tx.mu.Unlock()
	}
	return nil
}
