package sip

import (
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// ackKey joins an INVITE's 2xx and its ACK: the dialog and the CSeq number.
type ackKey struct {
	callID, fromTag, toTag string
	seq                    uint32
}

func ackKeyOf(m gosip.Message) ackKey {
	var k ackKey
	if id := m.CallID(); id != nil {
		k.callID = id.Value()
	}
	if from := m.From(); from != nil {
		k.fromTag, _ = from.Params.Get("tag")
	}
	if to := m.To(); to != nil {
		k.toTag, _ = to.Params.Get("tag")
	}
	if cseq := m.CSeq(); cseq != nil {
		k.seq = cseq.SeqNo
	}
	return k
}

// pendingAck sends a 2xx again until its ACK comes.
type pendingAck struct {
	tx    *ServerTx
	res   *gosip.Response
	key   ackKey
	every time.Duration // owned by the timer
	since time.Time
	timer *time.Timer
}

// awaitAck begins the retransmissions of RFC 3261 §13.3.1.4: after T1, doubling
// to T2, on every transport, for 64*T1.
func (e *Endpoint) awaitAck(tx *ServerTx, res *gosip.Response) {
	p := &pendingAck{tx: tx, res: res, key: ackKeyOf(res), every: gosip.T1, since: time.Now()}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return
	}
	e.awaitingAck[p.key] = p
	p.timer = time.AfterFunc(p.every, func() { e.repeat2xx(p) })
}

func (e *Endpoint) repeat2xx(p *pendingAck) {
	e.mu.Lock()
	if e.awaitingAck[p.key] != p {
		e.mu.Unlock()
		return
	}
	over := time.Since(p.since) >= 64*gosip.T1
	if over {
		delete(e.awaitingAck, p.key)
	} else {
		p.every = min(2*p.every, gosip.T2)
		p.timer.Reset(min(p.every, time.Until(p.since.Add(64*gosip.T1))))
	}
	e.mu.Unlock()
	if !over {
		_ = p.tx.inner.Respond(p.res) // RFC 6026 §7.1: in Accepted, the owner repeats it
		return
	}
	p.tx.mu.Lock()
	f := p.tx.onAckTimeout
	p.tx.mu.Unlock()
	if f != nil {
		e.order.do(p.tx.callID, f)
	}
}

// receiveAck ends the retransmissions that an ACK answers. An ACK for a 2xx
// goes to the handler of ACK, one for another final response does not.
func (e *Endpoint) receiveAck(req *gosip.Request) {
	e.mu.Lock()
	tx := e.serverTxs[serverKey(req, gosip.INVITE)]
	key := ackKeyOf(req)
	p := e.awaitingAck[key]
	if p != nil {
		p.timer.Stop()
		delete(e.awaitingAck, key)
	}
	e.mu.Unlock()
	if p == nil && tx != nil {
		tx.mu.Lock()
		refused := tx.refused
		tx.mu.Unlock()
		if refused {
			_ = tx.inner.Receive(req) // fails for nothing but another method
			return
		}
		// An ACK for a 2xx with the branch of its INVITE, as some send it, is
		// kept from sipgo, which parks a goroutine for each.
	}
	h := e.handlers["ACK"]
	if h == nil {
		return
	}
	if !e.order.do(req.CallID().Value(), func() { h(req, nil) }) {
		e.count.drop(dropOverload)
	}
}
