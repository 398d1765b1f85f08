package call

import (
	"errors"
	"math/rand/v2"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/sdp"
)

const (
	// maxGlare bounds how often an Update is tried again after 491.
	maxGlare = 5
	// reINVITELimit is how long a far end may think about a re-INVITE. There is nobody to ask.
	reINVITELimit = 30 * time.Second
)

// Update offers the far end a new description: hold, resume, another address. Several in a row are
// merged into the last. MediaChanged or UpdateFailed tells how it went. Before the call is answered it
// waits for the answer.
func (c *Call) Update(l sdp.Local) {
	c.post(func() {
		if c.state == phaseEnded {
			return
		}
		c.update, c.updates = &l, 0
		c.next()
	})
}

// SetIdentity tells the far end who it is connected to from now on (P-Asserted-Identity): at once by
// UPDATE if the call is up and the far end takes UPDATE, else in the responses and re-INVITEs that follow.
func (c *Call) SetIdentity(p Party) {
	c.post(func() {
		if c.state == phaseEnded || p.URI == "" {
			return
		}
		c.identity = &p
		if (c.state == phaseActive || c.state == phaseAnswering) && c.d.Allows("UPDATE") {
			c.sendUPDATE()
		}
	})
}

// next starts a re-INVITE that waits, if nothing is under way that it would collide with.
func (c *Call) next() {
	if c.state != phaseActive || c.invite != nil || c.tx != nil || c.waitACK != 0 || c.retry.waiting() ||
		c.update == nil && !c.pendingRefresh {
		return
	}
	if wait := c.hold(patience); wait > 0 {
		c.flushIn(wait)
		return
	}
	switch {
	case c.update != nil:
		l := c.stamp(*c.update)
		c.update, c.pendingRefresh = nil, false
		c.reINVITE(&invite{local: l})
	case c.pendingRefresh:
		c.pendingRefresh = false
		c.reINVITE(&invite{local: c.d.Local, refresh: true})
	}
}

// reINVITE sends an offer inside the dialog. RFC 3261 §14.1.
func (c *Call) reINVITE(inv *invite) {
	req, err := c.d.request(gosip.INVITE)
	if err != nil {
		c.log.Warn("re-invite", "err", err)
		c.emit(UpdateFailed{Code: 500, Reason: err.Error()})
		return
	}
	c.decorate(req)
	c.askSession(req)
	if inv.refresh && c.sent != "" {
		// RFC 4028 §7.4: a refresh repeats the description, version and all.
		setBody(req, "application/sdp", []byte(c.sent))
	} else {
		c.offer(req, &inv.local)
	}
	c.invite, c.sentAt = inv, time.Now()
	c.underWay++
	inv.tx = c.ua.ep.Request(req, c.sendOptions(req))
	inv.guard = c.after(reINVITELimit, inv.tx.Cancel)
	c.pump(inv.tx, func(res *gosip.Response) { c.onReResponse(inv, res) }, func(err error) {
		if !inv.final {
			c.onReFinal(inv, failure(err), nil)
		}
	})
}

func (c *Call) onReResponse(inv *invite, res *gosip.Response) {
	c.noteCSeq(res)
	if res.IsProvisional() || inv.final {
		return
	}
	c.onReFinal(inv, res.StatusCode, res)
}

// onReFinal takes the final response to a re-INVITE; res is nil if none came.
func (c *Call) onReFinal(inv *invite, code int, res *gosip.Response) {
	inv.final = true
	inv.guard.stop()
	if c.invite == inv {
		c.invite = nil
	}
	c.underWay--
	defer c.flush()
	if code < 300 {
		c.onReSuccess(inv, res)
		return
	}
	if c.state != phaseActive {
		return
	}
	switch {
	case c.fatal(code, res):
	case code == 422 && c.longerSession(res):
		c.again(inv)
	case code == 491 && c.updates < maxGlare:
		c.updates++
		c.later(inv, c.glareDelay())
	case code == 500 && c.updates < 1 && soon(res) > 0:
		// RFC 3261 §14.2: the far end was still at an INVITE of its own, and says when to come back.
		c.updates++
		c.later(inv, soon(res))
	case inv.refresh:
		c.refresh.stop()
		c.refresh = c.after(10*time.Second, c.sendRefresh)
	default:
		reason := statusText(code)
		if res != nil {
			reason = clean(res.Reason)
		}
		c.emit(UpdateFailed{Code: code, Reason: reason})
	}
}

func (c *Call) onReSuccess(inv *invite, res *gosip.Response) {
	// RFC 3261 §12.2.1.2: the 2xx to a target refresh replaces the remote target, before the ACK.
	c.d.refreshTarget(res)
	if _, err := c.ackFor(inv, c.d, res, false, c.d.Local); err != nil {
		c.log.Warn("ack of re-invite", "err", err)
	}
	if c.state != phaseActive {
		return
	}
	c.updates = 0
	c.noteSource(res)
	c.sessionAnswered(res)
	m, err := sdp.Accept(inv.local, res.Body())
	if err != nil {
		c.log.Warn("answer to re-invite", "err", err)
		c.emit(UpdateFailed{Code: 488, Reason: err.Error()})
		return
	}
	news := !inv.refresh || !sameMedia(m, c.media)
	c.adopt(inv.local)
	c.foretell(m)
	c.setMedia(m)
	c.newIdentity(res)
	if news && c.state == phaseActive {
		c.emit(MediaChanged{Media: m})
	}
}

// again puts an offer back in its place in the queue; a newer Update replaces it.
func (c *Call) again(inv *invite) {
	if inv.refresh {
		c.pendingRefresh = true
	} else if c.update == nil {
		c.update = &inv.local
	}
}

// later tries an offer again after a while.
func (c *Call) later(inv *invite, d time.Duration) {
	c.again(inv)
	c.retry = c.after(d, c.next)
}

// glareDelay is how long to wait after 491. RFC 3261 §14.1: who owns the Call-ID 2.1 to 4 s, the other
// side up to 2 s, in units of 10 ms.
func (c *Call) glareDelay() time.Duration {
	if c.d.Caller {
		return 2100*time.Millisecond + time.Duration(rand.IntN(191))*10*time.Millisecond
	}
	return time.Duration(rand.IntN(201)) * 10 * time.Millisecond
}

// soon gives a Retry-After that is worth waiting for, RFC 3261 §14.2: 0 to 10 s.
func soon(res *gosip.Response) time.Duration {
	if res == nil {
		return 0
	}
	d, ok := sip.Seconds(value(res, "retry-after"))
	if !ok || d > 10*time.Second {
		return 0
	}
	return max(d, 10*time.Millisecond)
}

// onReINVITE takes an INVITE of the far end inside the dialog. RFC 3261 §14.2.
func (c *Call) onReINVITE(req *gosip.Request, tx *sip.ServerTx) {
	if c.state == phaseEnded {
		respond(req, tx, 481, statusText(481))
		return
	}
	if !c.inOrder(req, tx) {
		return
	}
	switch {
	case c.state == phaseIncoming:
		// RFC 3261 §14.2: the first INVITE has no final response yet.
		respond(req, tx, 500, statusText(500), header("Retry-After", retryAfter))
		return
	case c.state == phaseCalling, c.invite != nil, c.waitACK != 0:
		// RFC 3261 §14.2, RFC 5407 §3.1.5: an offer of ours, or an answer of ours without its ACK.
		respond(req, tx, 491, statusText(491))
		return
	}
	body, m, code, headers := c.consider(req)
	if code != 0 {
		respond(req, tx, code, statusText(code), headers...)
		return
	}
	c.tx, c.req = tx, req
	headers = c.sessionAsked(req)
	if body == nil {
		// RFC 3261 §14.2: without an offer, ours goes into the 2xx.
		body = c.describe(&c.d.Local, sdp.Offer)
		c.lateOffer, c.sentOffer = true, c.d.Local
	}
	c.d.refreshTarget(req)
	c.accepted(cseq(req))
	c.foretell(m)
	c.answerINVITE(200, statusText(200), body, headers...)
	c.armSession()
	c.settle(req, m)
}

// onUPDATE takes an UPDATE of the far end. RFC 3311 §5.2.
func (c *Call) onUPDATE(req *gosip.Request, tx *sip.ServerTx) {
	if c.state == phaseEnded {
		respond(req, tx, 481, statusText(481))
		return
	}
	if !c.inOrder(req, tx) {
		return
	}
	if len(req.Body()) > 0 {
		switch {
		case c.invite != nil && c.invite.local.Codecs != nil, c.waitACK != 0 && c.lateOffer:
			respond(req, tx, 491, statusText(491))
			return
		case c.state == phaseIncoming:
			respond(req, tx, 500, statusText(500), header("Retry-After", retryAfter))
			return
		}
	}
	body, m, code, headers := c.consider(req)
	if code != 0 {
		respond(req, tx, code, statusText(code), headers...)
		return
	}
	res := sip.NewResponse(req, 200, statusText(200))
	if c.state != phaseIncoming && c.state != phaseCalling {
		for _, h := range c.sessionAsked(req) {
			res.AppendHeader(h)
		}
	}
	var contact gosip.Uri
	if gosip.ParseUri(c.d.Contact, &contact) == nil {
		res.AppendHeader(&gosip.ContactHeader{Address: contact})
	}
	res.AppendHeader(header("Allow", c.ua.ep.Allow()))
	res.AppendHeader(header("Supported", c.ua.ep.Supported()))
	if body != nil {
		setBody(res, "application/sdp", body)
	}
	c.foretell(m)
	if err := tx.Respond(res); err != nil {
		c.log.Debug("respond to update", "err", err)
	}
	c.d.refreshTarget(req)
	c.armSession()
	c.settle(req, m)
}

// consider looks at an offer inside the dialog: our answer (nil without an offer) or the code that
// refuses it, which leaves the session as it was.
func (c *Call) consider(req *gosip.Request) (body []byte, m sdp.Media, code int, headers []gosip.Header) {
	if minimum, small := tooSmall(req, c.ua.cfg.MinSE); small {
		return nil, m, 422, []gosip.Header{minimum}
	}
	if len(req.Body()) == 0 {
		return nil, c.media, 0, nil
	}
	if !isSDP(req) {
		return nil, m, 415, []gosip.Header{header("Accept", "application/sdp")}
	}
	body, m, err := c.answer(c.d.Local, req.Body())
	switch {
	case errors.Is(err, sdp.ErrMalformed):
		return nil, m, 400, nil
	case err != nil:
		return nil, m, 488, []gosip.Header{warning(err)}
	}
	return body, m, 0, nil
}

// foretell tells the owner of a new key of the far end's at once: before our answer goes, or as soon as theirs has come. m is
// what the answer agrees on.
func (c *Call) foretell(m sdp.Media) {
	if m.Secure() && !m.Theirs.Equal(c.media.Theirs) {
		c.emit(KeyAgreed{Media: m})
	}
}

// settle tells the owner what an accepted re-INVITE or UPDATE has changed.
func (c *Call) settle(req *gosip.Request, m sdp.Media) {
	news := len(req.Body()) > 0 && !sameMedia(m, c.media)
	if len(req.Body()) > 0 {
		c.setMedia(m)
	}
	if p, ok := assertedParty(req, c.ua.cfg.TrustIdentity); ok && p != c.d.Remote {
		c.d.Remote = p
		c.emit(IdentityChanged{Party: p})
	}
	if news && c.state != phaseEnded {
		c.emit(MediaChanged{Media: m})
	}
}
