package sip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// responseQueue is how many responses a ClientTx holds for its owner.
const responseQueue = 32

// maxForks is how many forks of one INVITE may be answered with a 2xx.
const maxForks = 32

// ringingLimit cancels an INVITE that only ever got provisional responses;
// sipgo has no Timer C (RFC 3261 §16.6).
const ringingLimit = 15 * time.Minute

// Send says how a request travels, apart from what its headers say.
type Send struct {
	Auth      *Credentials   // answers 401 and 407; nil hands them to the caller
	Route     []gosip.Uri    // outbound proxies for a request that has no Route header
	Local     netip.AddrPort // leave from a listener with this address, this port if there is one; the zero AddrPort leaves it open
	Transport string         // udp, tcp or tls; empty: what the URI and RFC 3263 say
}

// ClientTx is a request of ours and its responses.
type ClientTx struct {
	// immutable
	e    *Endpoint
	send Send
	out  chan *gosip.Response // capacity responseQueue; full drops provisionals, then the oldest

	cancelled context.Context // ended by Cancel
	cancel    context.CancelFunc

	mu     sync.Mutex // guards everything below
	req    *gosip.Request
	closed bool
	err    error
	acks   map[string]sentAck // by To tag: what answered a 2xx
	seen   map[string]bool    // To tags of the 2xx handed over
	ackKey ackKey
}

type sentAck struct {
	flow flow
	data []byte
}

// Request sends a request and returns at once. The caller sets the
// Request-URI, From with tag, To, Call-ID, CSeq, Route and the body, and may
// use req again afterwards; the endpoint adds Via, Max-Forwards, User-Agent,
// Content-Length, and Contact where the method wants one and there is none.
// With a strict router in Route the caller has done what RFC 3261 §12.2.1.1 says.
func (e *Endpoint) Request(req *gosip.Request, s Send) *ClientTx {
	tx := &ClientTx{
		e: e, send: s, req: routed(req, s),
		out:  make(chan *gosip.Response, responseQueue),
		acks: make(map[string]sentAck),
		seen: make(map[string]bool),
	}
	tx.cancelled, tx.cancel = context.WithCancel(context.Background())
	e.mu.Lock()
	over := e.clientTxs >= e.cfg.MaxTransactions
	if !over {
		e.clientTxs++
	}
	e.mu.Unlock()
	if over {
		tx.finish(ErrOverload)
		return tx
	}
	err := e.start(func(ctx context.Context) {
		tx.finish(tx.run(ctx))
		e.mu.Lock()
		e.clientTxs--
		if e.acked[tx.ackKey] == tx {
			delete(e.acked, tx.ackKey)
		}
		e.mu.Unlock()
	})
	if err != nil {
		e.mu.Lock()
		e.clientTxs--
		e.mu.Unlock()
		tx.finish(err)
	}
	return tx
}

// Responses yields each provisional response (except when 32 wait already) and
// the final one, then closes. After a 2xx to an INVITE it stays open for 64*T1
// and yields the first 2xx of every other fork; repeated 2xx are acknowledged
// again by the endpoint with what Ack sent.
func (tx *ClientTx) Responses() <-chan *gosip.Response { return tx.out }

// Final waits for the final response. Without one its error is Err, or why ctx ended. It takes the place of Responses, for
// requests with one final response and nobody who cares for provisional ones.
func (tx *ClientTx) Final(ctx context.Context) (*gosip.Response, error) {
	for {
		select {
		case res, open := <-tx.out:
			if !open {
				return nil, tx.Err()
			}
			if !res.IsProvisional() {
				return res, nil
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Err is nil when a final response came, else ErrTimeout, ErrTransport,
// ErrUnresolvable, ErrCancelled, ErrOverload or ErrStopped. It is valid once
// Responses is closed.
func (tx *ClientTx) Err() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.err
}

// Request is the request as last sent: its CSeq grows when digest makes the
// endpoint try again.
func (tx *ClientTx) Request() *gosip.Request {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.req
}

// Cancel gives an INVITE up. RFC 3261 §9.1: the CANCEL waits for a provisional
// response. When no final response comes in 64*T1 after it, the transaction
// ends with ErrTimeout. It does nothing after a final response, and for other
// methods.
func (tx *ClientTx) Cancel() { tx.cancel() }

func (tx *ClientTx) isCancelled() bool {
	return tx.cancelled.Err() != nil && tx.Request().IsInvite()
}

// push hands a response to the owner without ever blocking.
func (tx *ClientTx) push(res *gosip.Response) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.closed {
		return
	}
	for {
		select {
		case tx.out <- res:
			return
		default:
		}
		if res.IsProvisional() {
			return
		}
		select { // a final response makes room for itself
		case <-tx.out:
		default:
		}
	}
}

func (tx *ClientTx) finish(err error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if !tx.closed {
		tx.closed = true
		tx.err = err
		close(tx.out)
	}
}

// run sends the request to one target after the other until one answers.
func (tx *ClientTx) run(ctx context.Context) error {
	hop, err := nextHop(tx.Request())
	if err != nil {
		return err
	}
	// Names and connections are waited for until Cancel.
	find := ctx
	if tx.Request().IsInvite() {
		var stop context.CancelFunc
		find, stop = context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(tx.cancelled, stop)()
	}
	targets, err := tx.e.resolve(find, hop, tx.send)
	if err != nil {
		if tx.isCancelled() {
			return ErrCancelled
		}
		return err
	}
	last := ErrUnresolvable
	for i, t := range targets {
		final, err := tx.attempt(ctx, find, t)
		if err == nil && final != nil && final.StatusCode == 503 && i+1 < len(targets) {
			continue // RFC 3263 §4.3
		}
		if err == nil {
			if final != nil {
				tx.push(final)
			}
			return nil
		}
		last = err
		// RFC 3263 §4.3: the next server is tried after a transport failure or
		// a timeout, not once this one has spoken.
		if ctx.Err() != nil || errors.Is(err, ErrCancelled) || errors.Is(err, errSpoken) {
			break
		}
	}
	if ctx.Err() != nil {
		return ErrStopped
	}
	return last
}

// errSpoken marks a failure after a provisional response.
var errSpoken = errors.New("after a provisional response")

// attempt sends the request to one target, and again with credentials when it
// asks for them. It returns the final response, or nil when that has been
// handed over already (a 2xx to an INVITE).
func (tx *ClientTx) attempt(ctx, find context.Context, t target) (*gosip.Response, error) {
	for tries := 0; ; tries++ {
		leg, err := tx.open(find, t)
		if err != nil {
			return nil, err
		}
		final, err := tx.follow(ctx, leg)
		if err != nil || final == nil {
			return nil, err
		}
		if tries >= maxAuthTries || tx.send.Auth == nil || tx.isCancelled() {
			return final, nil
		}
		next, ok := tx.send.Auth.answer(tx.Request(), final)
		if !ok {
			return final, nil
		}
		tx.mu.Lock()
		tx.req = next
		tx.mu.Unlock()
	}
}

// open sends the request and returns its transaction.
func (tx *ClientTx) open(ctx context.Context, t target) (*clientLeg, error) {
	if tx.isCancelled() {
		return nil, ErrCancelled
	}
	wire, f, err := tx.e.prepare(ctx, tx.Request(), t, tx.send)
	if err != nil {
		if tx.isCancelled() {
			return nil, ErrCancelled
		}
		return nil, err
	}
	return tx.e.openLeg(tx, wire, f)
}

// follow waits for the final response of a leg, and after a 2xx to an INVITE
// for the forks.
func (tx *ClientTx) follow(ctx context.Context, leg *clientLeg) (*gosip.Response, error) {
	cancelled := tx.cancelled.Done()
	if !leg.req.IsInvite() {
		cancelled = nil
	}
	var spoken, wantCancel, accepted bool
	limit := time.NewTimer(ringingLimit)
	defer limit.Stop()
	fail := func(err error) error {
		leg.inner.Terminate()
		if spoken {
			return fmt.Errorf("%w %w", err, errSpoken)
		}
		return err
	}
	for {
		select {
		case res := <-leg.inner.Responses():
			switch {
			case res.IsProvisional():
				tx.push(res)
				if !spoken && wantCancel {
					leg.sendCancel()
				}
				spoken = true
			case res.IsSuccess() && leg.req.IsInvite():
				accepted, cancelled = true, nil
				tx.accept(res)
			default:
				leg.linger()
				return res, nil
			}
		case <-cancelled:
			cancelled, wantCancel = nil, true
			// RFC 3261 §9.1: no answer to the INVITE in 64*T1 after the CANCEL
			// means that there is no transaction any more. sipgo would wait.
			limit.Reset(64 * gosip.T1)
			if spoken {
				leg.sendCancel()
			}
		case <-limit.C:
			if accepted {
				continue
			}
			if !wantCancel { // Timer C
				wantCancel = true
				limit.Reset(64 * gosip.T1)
				leg.sendCancel()
				continue
			}
			return nil, fail(ErrTimeout)
		case <-leg.broken:
			if accepted {
				leg.broken = nil // the call goes on over another connection
				continue
			}
			return nil, fail(fmt.Errorf("%w: %w", ErrTransport, leg.brokenErr))
		case <-leg.inner.Done():
			if accepted {
				return nil, nil
			}
			if ctx.Err() != nil {
				return nil, ErrStopped
			}
			return nil, fail(leg.reason())
		}
	}
}

// accept hands the first 2xx over and lets Ack find this transaction.
func (tx *ClientTx) accept(res *gosip.Response) {
	k := ackKeyOf(res)
	k.toTag = "" // the forks differ in it
	tx.mu.Lock()
	tx.ackKey = k
	tx.mu.Unlock()
	tx.e.mu.Lock()
	tx.e.acked[k] = tx
	tx.e.mu.Unlock()
	tx.success(res)
}

// success takes a 2xx to an INVITE: the first of its To tag goes to the owner,
// a repeated one is answered with the ACK that was sent before.
func (tx *ClientTx) success(res *gosip.Response) {
	tag := ackKeyOf(res).toTag
	tx.mu.Lock()
	known := tx.seen[tag] || len(tx.seen) >= maxForks
	if !known {
		tx.seen[tag] = true
	}
	ack, acked := tx.acks[tag]
	tx.mu.Unlock()
	switch {
	case !known:
		tx.push(res)
	case acked:
		_ = ack.flow.write(ack.data) // the 2xx comes again if this fails
	}
}
