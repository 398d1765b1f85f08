package sip

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// receive takes one whole message off the wire, on the goroutine that read it.
// data is only valid during the call.
func (e *Endpoint) receive(f flow, data []byte) {
	if len(bytes.Trim(data, "\x00\r\n")) == 0 {
		return // keep-alive
	}
	m, bad, ok := parse(data)
	if !ok {
		e.count.drop(dropGarbage)
		return
	}
	e.trace("received", f, data)
	switch m := m.(type) {
	case *gosip.Response:
		if bad != (fault{}) || m.CSeq() == nil || m.Via() == nil || m.StatusCode < 100 || m.StatusCode > 699 {
			e.count.drop(dropGarbage)
			return
		}
		m.SetTransport(strings.ToUpper(f.kind()))
		m.SetSource(f.remote().String())
		e.receiveResponse(f, m)
	case *gosip.Request:
		if len(data) > e.cfg.MaxMessageBytes {
			bad = fault{513, "Message Too Large"} // RFC 3261 §21.5.7
		}
		e.receiveRequest(f, m, bad)
	}
}

// refuseFrame answers what the framer could not cut, before the connection ends.
func (e *Endpoint) refuseFrame(f flow, head []byte, why error) {
	m, _, ok := parse(head)
	req, isRequest := m.(*gosip.Request)
	if !ok || !isRequest || !e.addReceived(f, req) {
		e.count.drop(dropGarbage)
		return
	}
	switch {
	case errors.Is(why, errBodyLarge):
		e.refuse(f, req, fault{413, "Request Entity Too Large"})
	case errors.Is(why, errHeadLarge):
		e.refuse(f, req, fault{513, "Message Too Large"})
	default:
		e.refuse(f, req, fault{400, "Missing Or Malformed Content-Length"})
	}
}

// addReceived notes in the topmost Via where the request came from; false
// means that it has no Via to answer by.
func (e *Endpoint) addReceived(f flow, req *gosip.Request) bool {
	via := req.Via()
	if via == nil || via.Host == "" {
		return false
	}
	from := f.remote()
	req.SetTransport(strings.ToUpper(f.kind()))
	req.SetSource(from.String())
	// RFC 3581 §4: rport without a value asks for received and rport.
	if v, ok := via.Params.Get("rport"); ok && v == "" {
		via.Params.Add("rport", strconv.Itoa(int(from.Port())))
		via.Params.Add("received", from.Addr().String())
		return true
	}
	// RFC 3261 §18.2.1: received is added when sent-by is not the source.
	if strings.Trim(via.Host, "[]") != from.Addr().String() {
		via.Params.Add("received", from.Addr().String())
	}
	return true
}

func (e *Endpoint) receiveRequest(f flow, req *gosip.Request, bad fault) {
	if !e.addReceived(f, req) {
		e.count.drop(dropGarbage)
		return
	}
	if wrong := validate(req); wrong.code != 0 {
		e.refuse(f, req, wrong)
		return
	}
	if bad.code != 0 {
		e.refuse(f, req, bad)
		return
	}
	switch req.Method {
	case gosip.ACK:
		e.receiveAck(req)
		return
	case gosip.CANCEL:
		e.receiveCancel(f, req)
		return
	}
	key := serverKey(req, req.Method)
	e.mu.Lock()
	tx := e.serverTxs[key]
	e.mu.Unlock()
	if tx != nil {
		_ = tx.inner.Receive(req) // a retransmission: repeats the last response
		return
	}
	if e.answerAlone(f, req) {
		return
	}
	e.openServerTx(f, key, req)
}

// refuse answers a request without a transaction (RFC 3261 §8.2.7). An ACK is
// never answered.
func (e *Endpoint) refuse(f flow, req *gosip.Request, why fault, more ...gosip.Header) {
	e.count.refused.Add(1)
	e.respondAlone(f, req, why.code, why.reason, more...)
}

func (e *Endpoint) respondAlone(f flow, req *gosip.Request, code int, reason string, more ...gosip.Header) {
	if req.IsAck() {
		return
	}
	res := NewResponse(req, code, reason)
	if to := res.To(); to != nil && !to.Params.Has("tag") && code != 100 {
		to.Params.Add("tag", e.statelessTag(req))
	}
	for _, h := range more {
		res.AppendHeader(h)
	}
	if e.cfg.UserAgent != "" {
		res.AppendHeader(gosip.NewHeader("Server", e.cfg.UserAgent))
	}
	res.SetBody(nil)
	if err := responseFlow(f, req).WriteMsg(res); err != nil {
		e.log.Debug("sip answer not sent", "peer", f.remote(), "err", err)
	}
}

// statelessTag is the same for every retransmission of a request, as RFC 3261
// §8.2.7 asks of a stateless server, and cannot be guessed.
func (e *Endpoint) statelessTag(req *gosip.Request) string {
	mac := hmac.New(sha256.New, e.secret[:])
	mac.Write([]byte(serverKey(req, req.Method)))
	if id := req.CallID(); id != nil {
		mac.Write([]byte(id.Value()))
	}
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// responseFlow is where answers to a request go, RFC 3261 §18.2.2 and RFC 3581 §4.
// Departs from §18.2.2: maddr is not obeyed, it would turn us into a reflector.
func responseFlow(f flow, req *gosip.Request) flow {
	u, ok := f.(*udpFlow)
	if !ok {
		return f // streams answer on the connection that the request came by
	}
	via := req.Via()
	if via.Params.Has("rport") {
		return f
	}
	port := via.Port
	if port <= 0 || port > 65535 {
		port = gosip.DefaultUdpPort
	}
	return &udpFlow{l: u.l, to: withPort(u.to, port)}
}
