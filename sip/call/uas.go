package call

import (
	"net/netip"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/sdp"
)

// newIncoming makes the call of a new INVITE; nothing is sent yet.
func (u *UA) newIncoming(req *gosip.Request, tx *sip.ServerTx, replaced *Call) (*Call, error) {
	contact := u.ep.ContactFor(tx.Source().Addr().String(), tx.Transport())
	if contact.Host == "" {
		contact.Scheme, contact.Host, contact.Port = "sip", tx.Local().Addr().String(), int(tx.Local().Port())
	}
	contact.User = req.Recipient.User
	d, err := calleeDialog(req, contact)
	if err != nil {
		return nil, err
	}
	// The port is left open: a later request can need another transport than this one came by.
	d.LocalAddr = netip.AddrPortFrom(tx.Local().Addr(), 0)
	c := newCall(u)
	c.incoming, c.state = true, phaseIncoming
	c.d, c.tx, c.req = d, tx, req
	if isSDP(req) {
		c.offered = req.Body()
	}
	c.stampNew(sdp.Local{})
	from, to := req.From(), req.To()
	c.d.Remote = remoteParty(req, u.cfg.TrustIdentity, party(from.DisplayName, from.Address))
	uri := req.Recipient
	c.info = Info{
		Direction: Incoming, Started: time.Now(),
		RequestUser: uri.User, RequestURI: uri.String(),
		Local:      party(to.DisplayName, to.Address),
		ReferredBy: firstParty(req, "referred-by", "b"),
		Diversion:  firstParty(req, "diversion"),
		Replaces:   replaced,
		UserAgent:  clean(value(req, "user-agent")),
		TLS:        tx.Transport() == "tls",
		Source:     tx.Source(),
		Proved:     tx.Proved(),
		Header:     reader(req),
	}
	c.info.AutoAnswer = autoAnswer(req)
	return c, nil
}

// arrive is the first thing that happens in an incoming call's goroutine.
func (c *Call) arrive() {
	c.tx.OnCancel(func(cancel *gosip.Request) { c.must(func() { c.onCANCEL(cancel) }) })
	// RFC 3261 §17.2.1: people take longer than 200 ms.
	c.respond(100, statusText(100), nil)
	c.ringTimer = c.after(c.ua.cfg.RingTimeout, func() {
		if c.state == phaseIncoming {
			c.answerINVITE(480, "No Answer", nil)
			c.ended(Ended{Cause: Timeout, Code: 480, Reason: "not answered"})
		}
	})
	var h Handler
	if c.ua.incoming != nil {
		h = c.ua.incoming(c)
	}
	if h == nil {
		c.answerINVITE(480, statusText(480), nil)
		c.ended(Ended{Cause: Rejected, Code: 480, Reason: "nobody takes calls"})
		return
	}
	c.mu.Lock()
	if c.handler == nil { // else somebody has taken the call over already
		c.handler = h
	}
	c.mu.Unlock()
}

// respond answers the INVITE that is open. It says whether there was one.
func (c *Call) respond(code int, reason string, body []byte, headers ...gosip.Header) bool {
	if c.tx == nil {
		return false
	}
	res := sip.NewResponse(c.req, code, clean(reason))
	if code > 100 {
		if to := res.To(); to != nil && tagOf(to.Params) == "" {
			to.Params.Add("tag", c.d.LocalTag)
		}
	}
	if code > 100 && code < 300 {
		var contact gosip.Uri
		if gosip.ParseUri(c.d.Contact, &contact) == nil {
			res.AppendHeader(&gosip.ContactHeader{Address: contact})
		}
		if c.identity != nil {
			res.AppendHeader(asserted(*c.identity))
		}
	}
	for _, h := range headers {
		res.AppendHeader(header(h.Name(), h.Value()))
	}
	if body != nil {
		setBody(res, "application/sdp", body)
	}
	if err := c.tx.Respond(res); err != nil {
		c.log.Debug("respond", "code", code, "err", err)
	}
	return true
}

// answerINVITE gives the final response to the INVITE that is open, if one is.
func (c *Call) answerINVITE(code int, reason string, body []byte, headers ...gosip.Header) {
	if !c.respond(code, reason, body, headers...) {
		return
	}
	c.tx, c.req = nil, nil
}

// refuseINVITE ends a re-INVITE that is still open when the call ends. RFC 3261 §15.1.2.
func (c *Call) refuseINVITE() { c.answerINVITE(487, statusText(487), nil) }

// Ring sends 180, with these headers (Alert-Info, for example). It may be repeated.
func (c *Call) Ring(headers ...gosip.Header) {
	c.post(func() {
		if c.state == phaseIncoming {
			c.respond(180, statusText(180), nil, headers...)
		}
	})
}

// adopt makes l our side of the media; the version stays with the dialog.
func (c *Call) adopt(l sdp.Local) { c.d.Local = c.stamp(l) }

// unacceptable ends an incoming call whose offer does not fit the owner's media.
func (c *Call) unacceptable(err error) {
	c.answerINVITE(488, statusText(488), nil, warning(err))
	c.ended(Ended{Cause: BadMedia, Code: 488, Reason: err.Error()})
}

// Answer answers the call with 200.
func (c *Call) Answer(l sdp.Local, headers ...gosip.Header) {
	c.post(func() { c.accept(l, headers) })
}

func (c *Call) accept(l sdp.Local, headers []gosip.Header) {
	if c.state != phaseIncoming {
		return
	}
	req := c.req
	timer := c.sessionAsked(req)
	headers = append(timer, headers...)
	var body []byte
	var m sdp.Media
	if isSDP(req) {
		var err error
		if body, m, err = c.answer(c.stamp(l), req.Body()); err != nil {
			c.unacceptable(err)
			return
		}
		c.adopt(l)
		c.setMedia(m)
	} else {
		// RFC 3261 §13.3.1: an INVITE without an offer gets ours in the 2xx.
		c.adopt(l)
		body = c.describe(&c.d.Local, sdp.Offer)
		c.lateOffer, c.sentOffer = true, c.d.Local
	}
	c.ringTimer.stop()
	c.state, c.d.Confirmed = phaseAnswering, true
	c.accepted(cseq(req))
	c.answerINVITE(200, statusText(200), body, headers...)
	c.armSession()
	if !c.lateOffer {
		c.emit(Answered{Media: m})
	}
}

// accepted prepares for the ACK of the INVITE that is about to get its 2xx.
func (c *Call) accepted(n uint32) {
	c.waitACK = n
	c.tx.OnAckTimeout(func() { c.must(func() { c.onNoACK(n) }) })
}

// Reject refuses an incoming call. Reason "" means the phrase of the code.
func (c *Call) Reject(code int, reason string, headers ...gosip.Header) {
	c.leave(rejecting, func() {
		if c.state != phaseIncoming {
			return
		}
		if code < 300 || code > 699 {
			code = 480
		}
		if reason == "" {
			reason = statusText(code)
		}
		c.answerINVITE(code, reason, nil, headers...)
		c.ended(Ended{Cause: Rejected, Code: code, Reason: reason})
	})
}

// onCANCEL: the caller has given up. The endpoint has answered the CANCEL. RFC 3261 §9.2.
func (c *Call) onCANCEL(cancel *gosip.Request) {
	if c.state != phaseIncoming {
		return // our final response was faster
	}
	c.answerINVITE(487, statusText(487), nil)
	c.ended(Ended{Cause: Cancelled, Code: 487, Reason: reasonOf(cancel)})
}

// onACK: the three-way handshake is over. RFC 3261 §13.3.1.4.
func (c *Call) onACK(req *gosip.Request) {
	if c.waitACK == 0 || cseq(req) != c.waitACK {
		return
	}
	c.waitACK = 0
	late := c.lateOffer
	c.lateOffer = false
	if c.state == phaseEnded {
		c.delayedBYE()
		return
	}
	first := c.state == phaseAnswering
	if first {
		c.state = phaseActive
	}
	if late {
		m, err := sdp.Accept(c.sentOffer, req.Body())
		if !isSDP(req) {
			err = sdp.ErrNoAudio
		}
		if err != nil {
			// RFC 3261 §13.3.1: without an answer in the ACK there is no session.
			c.hangup(Ended{Cause: BadMedia, Code: 488, Reason: err.Error()}, `SIP;cause=488;text="Not Acceptable Here"`)
			return
		}
		c.foretell(m)
		c.setMedia(m)
		if first {
			c.emit(Answered{Media: m})
		} else {
			c.emit(MediaChanged{Media: m})
		}
	}
	if first && c.state == phaseActive {
		c.emit(Acked{})
	}
	c.flush()
}

// delayedBYE sends the BYE of a Hangup that had to wait for the ACK.
func (c *Call) delayedBYE() {
	if c.byeOnAck == nil {
		return
	}
	headers := c.byeOnAck
	c.byeOnAck = nil
	c.busy--
	c.sendBYE(headers...)
}

// onNoACK: a 2xx of ours was never acknowledged. RFC 3261 §13.3.1.4, §14.2: the session ends with BYE.
func (c *Call) onNoACK(n uint32) {
	if c.waitACK != n {
		return
	}
	c.waitACK, c.lateOffer = 0, false
	if c.state == phaseEnded {
		c.delayedBYE()
		return
	}
	c.state = phaseActive
	c.hangup(Ended{Cause: NoAck, Code: 408, Reason: "answer was never acknowledged"}, `SIP;cause=408;text="No ACK"`)
}

// onBYE: the far end ends the call. RFC 3261 §15.1.2.
func (c *Call) onBYE(req *gosip.Request, tx *sip.ServerTx) {
	if !c.inOrder(req, tx) {
		return
	}
	respond(req, tx, 200, statusText(200))
	switch c.state {
	case phaseEnded:
		// Both sides have hung up at once. A BYE that waits for an ACK is not needed any more.
		if c.byeOnAck != nil {
			c.byeOnAck = nil
			c.busy--
		}
		return
	case phaseCalling:
		// Their 200 was lost and they have given up waiting for our ACK (RFC 5407 §3.1).
		c.invite.tx.Cancel()
	default:
		if c.invite != nil {
			c.invite.tx.Cancel()
		}
		// RFC 3261 §15.1.2: requests that are open are answered 487.
		c.refuseINVITE()
	}
	c.ended(Ended{Cause: Remote, Reason: reasonOf(req)})
}

// inOrder refuses a request whose number is lower than that of one before. RFC 3261 §12.2.2.
func (c *Call) inOrder(req *gosip.Request, tx *sip.ServerTx) bool {
	if c.d.accept(cseq(req)) {
		return true
	}
	respond(req, tx, 500, "CSeq Out Of Order")
	return false
}
