package sip

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// clientLeg is one sipgo client transaction: a ClientTx has several when it is
// challenged or fails over. It lives in Endpoint.clientLegs until sipgo ends it.
type clientLeg struct {
	// immutable
	e     *Endpoint
	tx    *ClientTx // nil for a CANCEL
	key   string
	req   *gosip.Request
	flow  flow
	inner *gosip.ClientTx

	breakOnce sync.Once
	broken    chan struct{} // closed when the connection has died
	brokenErr error         // written before broken is closed

	mu      sync.Mutex // guards everything below
	refused bool       // an INVITE got a final response of 300 or above
	ack     []byte     // what sipgo answered it with
}

// legFlow is the Connection of a client transaction.
type legFlow struct {
	flow
	leg *clientLeg
}

var _ gosip.Connection = (*legFlow)(nil)

// WriteMsg keeps the ACK of a refused INVITE, so that it can be repeated at once.
func (f *legFlow) WriteMsg(m gosip.Message) error {
	b, err := serialise(m)
	if err != nil {
		return err
	}
	if req, ok := m.(*gosip.Request); ok && req.IsAck() {
		f.leg.mu.Lock()
		f.leg.ack = b
		f.leg.mu.Unlock()
	}
	return f.write(b)
}

func clientKey(branch string, method gosip.RequestMethod) string {
	return branch + "|" + strings.ToUpper(string(method))
}

// openLeg registers a transaction and sends its request.
func (e *Endpoint) openLeg(tx *ClientTx, req *gosip.Request, f flow) (*clientLeg, error) {
	branch, _ := req.Via().Params.Get("branch")
	leg := &clientLeg{e: e, tx: tx, key: clientKey(branch, req.Method), req: req, flow: f, broken: make(chan struct{})}
	leg.inner = gosip.NewClientTx(leg.key, req, &legFlow{flow: f, leg: leg}, silent)
	if tx != nil {
		leg.inner.OnRetransmission(tx.success)
	}
	leg.inner.OnTerminate(func(string, error) {
		e.mu.Lock()
		delete(e.clientLegs, leg.key)
		e.mu.Unlock()
	})
	e.mu.Lock()
	if e.stopped {
		e.mu.Unlock()
		return nil, ErrStopped
	}
	e.clientLegs[leg.key] = leg
	e.mu.Unlock()
	if err := leg.inner.Init(); err != nil {
		leg.inner.Terminate()
		return nil, fmt.Errorf("%w: %w", ErrTransport, err)
	}
	return leg, nil
}

// receiveResponse finds the transaction of a response, RFC 3261 §17.1.3.
func (e *Endpoint) receiveResponse(_ flow, res *gosip.Response) {
	branch, _ := res.Via().Params.Get("branch")
	e.mu.Lock()
	leg := e.clientLegs[clientKey(branch, res.CSeq().MethodName)]
	e.mu.Unlock()
	if leg == nil || res.CallID() == nil || res.From() == nil || res.To() == nil {
		e.count.drop(dropStray)
		return
	}
	leg.receive(res)
}

func (leg *clientLeg) receive(res *gosip.Response) {
	if leg.req.IsInvite() && res.StatusCode >= 300 {
		leg.mu.Lock()
		again, ack := leg.refused, leg.ack
		leg.refused = true
		leg.mu.Unlock()
		if again {
			// RFC 3261 §17.1.1.2: a repeated final response is acknowledged at
			// once. sipgo waits for T2 and stops the whole transaction meanwhile.
			if ack != nil {
				_ = leg.flow.write(ack)
			}
			return
		}
	}
	leg.inner.Receive(res)
}

func (leg *clientLeg) breakOff(err error) {
	leg.breakOnce.Do(func() {
		leg.brokenErr = err
		close(leg.broken)
	})
}

// linger keeps a finished transaction for as long as the response may come
// again: 32 s for INVITE (Timer D, sipgo's), T4 for others (Timer K, RFC 3261
// §17.1.2.2; sipgo waits 32 s there too). With more than MaxTransactions it
// goes at once: a repeated response is then dropped as a stray, which is as good.
func (leg *clientLeg) linger() {
	leg.e.mu.Lock()
	crowded := len(leg.e.clientLegs) > leg.e.cfg.MaxTransactions
	leg.e.mu.Unlock()
	if leg.req.IsInvite() && !crowded {
		return
	}
	if leg.flow.kind() != kindUDP || crowded {
		leg.inner.Terminate()
		return
	}
	time.AfterFunc(gosip.T4, leg.inner.Terminate)
}

// reason is why sipgo ended the transaction without a final response.
func (leg *clientLeg) reason() error {
	err := leg.inner.Err()
	if errors.Is(err, gosip.ErrTransactionTransport) {
		return fmt.Errorf("%w: %w", ErrTransport, err)
	}
	return ErrTimeout
}

// sendCancel cancels the INVITE of the leg on the way that it took: same
// Request-URI, Via and Route, RFC 3261 §9.1. sipgo sends it to where the
// Record-Route of a 180 points.
func (leg *clientLeg) sendCancel() {
	c := gosip.NewRequest(gosip.CANCEL, leg.req.Recipient)
	c.AppendHeader(leg.req.Via().Clone())
	for _, name := range [...]string{"Route", "From", "To", "Call-ID"} {
		gosip.CopyHeaders(name, leg.req, c)
	}
	c.AppendHeader(&gosip.CSeqHeader{SeqNo: leg.req.CSeq().SeqNo, MethodName: gosip.CANCEL})
	mf := gosip.MaxForwardsHeader(70)
	c.AppendHeader(&mf)
	c.SetTransport(strings.ToUpper(leg.flow.kind()))
	c.SetBody(nil)
	cl, err := leg.e.openLeg(nil, c, leg.flow)
	if err != nil {
		leg.e.log.Debug("sip CANCEL not sent", "call", leg.req.CallID().Value(), "err", err)
		return
	}
	// Its answer matters only in that it stops the retransmissions.
	leg.e.running.Go(func() {
		select {
		case <-cl.inner.Responses():
			cl.linger()
		case <-cl.broken:
			cl.inner.Terminate()
		case <-cl.inner.Done():
		}
	})
}
