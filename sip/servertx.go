package sip

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

const (
	// answerLimit ends a request that its handler never answered.
	answerLimit = 3 * time.Minute
	// ringLimit ends an INVITE that was answered provisionally only.
	ringLimit = 15 * time.Minute
	// provisionalEvery repeats the last provisional response of an INVITE, so
	// that no proxy gives it up, RFC 3261 §13.3.1.1.
	provisionalEvery = time.Minute
)

// ServerTx is a request that waits for our answer. It lives until a final
// response is sent, or 3 minutes without any response.
type ServerTx struct {
	// immutable
	e        *Endpoint
	key      string
	mergeKey string
	req      *gosip.Request
	flow     flow // where answers go
	source   netip.AddrPort
	callID   string
	tag      string // of To, unless the owner sets one
	inner    *gosip.ServerTx

	mu           sync.Mutex // guards everything below
	sentTag      string     // To tag of the first response
	final        bool
	refused      bool // final with 300 or above: its ACK belongs to the transaction
	ended        bool
	provisional  *gosip.Response
	limit        *time.Timer // answerLimit, ringLimit
	again        *time.Timer // provisionalEvery
	cancel       *gosip.Request
	onCancel     func(*gosip.Request)
	onAckTimeout func()
}

// openServerTx begins a transaction and queues its request for the handler.
func (e *Endpoint) openServerTx(f flow, key string, req *gosip.Request) {
	tx := &ServerTx{
		e: e, key: key, req: req, flow: responseFlow(f, req), source: f.remote(),
		callID: req.CallID().Value(), tag: NewTag(),
	}
	if !req.To().Params.Has("tag") {
		tx.mergeKey = identity(req) + "|" + string(req.Method)
	}
	e.mu.Lock()
	if e.stopped {
		e.mu.Unlock()
		return
	}
	if tx.mergeKey != "" {
		if other, ok := e.merged[tx.mergeKey]; ok && other != key {
			e.mu.Unlock()
			// RFC 3261 §8.2.2.2: the same request came by another way.
			e.refuse(f, req, fault{482, "Loop Detected"})
			return
		}
	}
	var evicted *ServerTx
	if len(e.serverTxs) >= e.cfg.MaxTransactions {
		if evicted = e.evictLocked(); evicted == nil {
			e.mu.Unlock()
			e.refuse(f, req, fault{503, "Service Unavailable"}, gosip.NewHeader("Retry-After", "10"))
			return
		}
	}
	tx.inner = gosip.NewServerTx(key, req, &serverFlow{tx: tx}, silent)
	e.serverTxs[key] = tx
	if tx.mergeKey != "" {
		e.merged[tx.mergeKey] = key
	}
	e.mu.Unlock()
	if evicted != nil {
		evicted.end()
	}
	_ = tx.inner.Init() // never fails
	tx.inner.OnTerminate(func(string, error) { e.forget(tx) })
	tx.mu.Lock()
	tx.limit = time.AfterFunc(answerLimit, tx.expire)
	tx.mu.Unlock()
	guarded := e.guard != nil && !req.To().Params.Has("tag")
	if !e.order.do(tx.callID, func() {
		if !guarded || e.guard(req, tx) {
			e.handlers[string(req.Method)](req, tx)
		}
	}) {
		e.count.drop(dropOverload)
		tx.end()
	}
}

// evictLocked takes the oldest answered transaction, which only waits for
// retransmissions, out of the table; nil means that all are in use. The caller
// ends it.
func (e *Endpoint) evictLocked() *ServerTx {
	for len(e.finished) > 0 {
		old := e.finished[0]
		e.finished[0] = nil // the array outlives the slice
		e.finished = e.finished[1:]
		if e.serverTxs[old.key] == old {
			e.removeLocked(old)
			return old
		}
	}
	return nil
}

func (e *Endpoint) forget(tx *ServerTx) {
	e.mu.Lock()
	e.removeLocked(tx)
	// finished is as long as serverTxs at most: drop what is gone from its front.
	for len(e.finished) > 0 && e.serverTxs[e.finished[0].key] != e.finished[0] {
		e.finished[0] = nil // the array outlives the slice
		e.finished = e.finished[1:]
	}
	e.mu.Unlock()
	tx.mu.Lock()
	tx.ended = true
	tx.stopTimersLocked()
	tx.mu.Unlock()
}

func (e *Endpoint) removeLocked(tx *ServerTx) {
	if e.serverTxs[tx.key] == tx {
		delete(e.serverTxs, tx.key)
	}
	if tx.mergeKey != "" && e.merged[tx.mergeKey] == tx.key {
		delete(e.merged, tx.mergeKey)
	}
}

func (tx *ServerTx) stopTimersLocked() {
	if tx.limit != nil {
		tx.limit.Stop()
	}
	if tx.again != nil {
		tx.again.Stop()
	}
}

func (tx *ServerTx) end() { tx.inner.Terminate() }

// Source is the address that the request came from.
func (tx *ServerTx) Source() netip.AddrPort { return tx.source }

// Proved are the names that the far end of the connection has proved by a certificate of the site; nil for none.
func (tx *ServerTx) Proved() []string {
	if c, ok := tx.flow.(*streamConn); ok {
		return c.proved
	}
	return nil
}

// Local is the address of the listener that the request came to.
func (tx *ServerTx) Local() netip.AddrPort { return tx.flow.local() }

// Transport is udp, tcp or tls.
func (tx *ServerTx) Transport() string { return tx.flow.kind() }

// Tag is the To tag that Respond adds when a response has none.
func (tx *ServerTx) Tag() string { return tx.tag }

// Respond sends a response; the caller must not change it afterwards. A To tag,
// Contact, Allow, Supported and Server are added where they belong and are
// missing. A 2xx to an INVITE is sent again until its ACK comes (see
// OnAckTimeout). After a final response every other one is refused with
// ErrAnswered.
func (tx *ServerTx) Respond(res *gosip.Response) error {
	tx.mu.Lock()
	if tx.final || tx.ended {
		tx.mu.Unlock()
		return ErrAnswered
	}
	tx.completeLocked(res)
	if res.StatusCode >= 200 {
		tx.final, tx.refused = true, res.StatusCode >= 300
		tx.stopTimersLocked()
	} else {
		tx.provisionalLocked(res)
	}
	tx.mu.Unlock()
	if res.IsSuccess() && tx.req.IsInvite() {
		tx.e.awaitAck(tx, res)
	}
	if err := tx.inner.Respond(res); err != nil {
		return fmt.Errorf("answer %d to %s: %w: %w", res.StatusCode, tx.req.Method, ErrTransport, err)
	}
	if res.StatusCode >= 200 {
		tx.e.mu.Lock()
		if tx.e.serverTxs[tx.key] == tx {
			tx.e.finished = append(tx.e.finished, tx)
		}
		tx.e.mu.Unlock()
	}
	return nil
}

// completeLocked adds what the owner left out.
func (tx *ServerTx) completeLocked(res *gosip.Response) {
	if to := res.To(); to != nil && res.StatusCode != 100 {
		if !to.Params.Has("tag") {
			to.Params.Add("tag", tx.tag)
		}
		if tx.sentTag == "" {
			tx.sentTag, _ = to.Params.Get("tag")
		}
	}
	if res.StatusCode > 100 && res.StatusCode < 300 && createsDialog(tx.req.Method) && res.Contact() == nil {
		res.AppendHeader(&gosip.ContactHeader{Address: tx.e.contactOf(tx.flow)})
	}
	if res.IsSuccess() && tx.req.IsInvite() {
		// RFC 3261 §13.3.1.4
		if res.GetHeader("Allow") == nil {
			res.AppendHeader(gosip.NewHeader("Allow", tx.e.Allow()))
		}
		if s := tx.e.Supported(); s != "" && res.GetHeader("Supported") == nil {
			res.AppendHeader(gosip.NewHeader("Supported", s))
		}
	}
	if tx.e.cfg.UserAgent != "" && res.StatusCode > 100 && res.GetHeader("Server") == nil {
		res.AppendHeader(gosip.NewHeader("Server", tx.e.cfg.UserAgent))
	}
	res.SetBody(res.Body()) // makes Content-Length true
}

func (tx *ServerTx) provisionalLocked(res *gosip.Response) {
	if tx.limit != nil {
		tx.limit.Reset(ringLimit)
	}
	if res.StatusCode == 100 || !tx.req.IsInvite() {
		return
	}
	tx.provisional = res
	if tx.again == nil {
		tx.again = time.AfterFunc(provisionalEvery, tx.repeat)
		return
	}
	tx.again.Reset(provisionalEvery)
}

func (tx *ServerTx) repeat() {
	tx.mu.Lock()
	if tx.final || tx.ended {
		tx.mu.Unlock()
		return
	}
	res := tx.provisional
	tx.again.Reset(provisionalEvery)
	tx.mu.Unlock()
	_ = tx.inner.Respond(res) // the next one, or the final response, makes good for it
}

// expire answers for an owner that did not.
func (tx *ServerTx) expire() {
	tx.e.log.Warn("sip request was never answered by its handler", "call", tx.callID, "method", string(tx.req.Method))
	_ = tx.Respond(NewResponse(tx.req, 500, "Not Answered In Time")) // ErrAnswered: it just was
}

// OnCancel registers what hears, at most once, that the caller has given up.
// The endpoint has answered the CANCEL; the owner then answers the INVITE 487.
// f runs like a handler: in order with the other requests of the call.
func (tx *ServerTx) OnCancel(f func(cancel *gosip.Request)) {
	tx.mu.Lock()
	tx.onCancel = f
	req := tx.cancel
	tx.mu.Unlock()
	if req != nil {
		tx.notifyCancel()
	}
}

// OnAckTimeout registers what hears that a 2xx to an INVITE was never
// acknowledged, after 64*T1. f runs like a handler.
func (tx *ServerTx) OnAckTimeout(f func()) {
	tx.mu.Lock()
	tx.onAckTimeout = f
	tx.mu.Unlock()
}

func (tx *ServerTx) notifyCancel() {
	tx.e.order.do(tx.callID, func() {
		tx.mu.Lock()
		f, req := tx.onCancel, tx.cancel
		if f != nil {
			tx.onCancel = nil
		}
		tx.mu.Unlock()
		if f != nil && req != nil {
			f(req)
		}
	})
}

// receiveCancel answers a CANCEL and tells the owner of its INVITE. sipgo would
// answer the INVITE itself, with another To tag than our 180 had.
func (e *Endpoint) receiveCancel(f flow, req *gosip.Request) {
	e.mu.Lock()
	tx := e.serverTxs[serverKey(req, gosip.INVITE)]
	e.mu.Unlock()
	if tx == nil {
		e.refuse(f, req, fault{481, "Call/Transaction Does Not Exist"}) // RFC 3261 §9.2
		return
	}
	tx.mu.Lock()
	tag := tx.sentTag
	if tag == "" {
		tag = tx.tag
	}
	first := tx.cancel == nil && !tx.final
	if first {
		tx.cancel = req
	}
	tx.mu.Unlock()
	res := NewResponse(req, 200, "OK")
	if to := res.To(); to != nil && !to.Params.Has("tag") {
		to.Params.Add("tag", tag) // RFC 3261 §9.2: the tag of the INVITE's responses
	}
	res.SetBody(nil)
	if err := responseFlow(f, req).WriteMsg(res); err != nil {
		e.log.Debug("sip answer not sent", "peer", f.remote(), "err", err)
	}
	if first {
		tx.notifyCancel()
	}
}

// createsDialog says whether a request of this method, or its answer, has a Contact.
func createsDialog(m gosip.RequestMethod) bool {
	switch strings.ToUpper(string(m)) {
	case "INVITE", "SUBSCRIBE", "REFER", "UPDATE", "NOTIFY":
		return true
	}
	return false
}
