package call

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/sdp"
)

// ErrTarget says that an Invite cannot be sent as it is.
var ErrTarget = errors.New("call: no SIP target")

// maxForks bounds the early dialogs and the answers to one INVITE.
const maxForks = 16

// Invite is a call to be made.
type Invite struct {
	To                gosip.Uri // Request-URI and To
	ToName            string
	From              gosip.Uri // an empty host means our own address
	FromName          string
	PAssertedIdentity Party            // who calls, for the far end's display; no URI: not sent
	Auth              *sip.Credentials // for this INVITE and the whole dialog
	Route             []gosip.Uri      // outbound proxies
	Transport         string           // "udp", "tcp", "tls"; "": as the target says
	Local             netip.AddrPort   // socket of ours to call from; port 0: any port, invalid: any
	Media             sdp.Local
	LateOffer         bool      // leave the offer to the far end
	Replaces          *DialogID // the dialog to take the place of, as the far end sees it (DialogID.Reverse)
	EarlyOnly         bool      // with Replaces: only if that dialog is not answered yet
	ReferredBy        string    // value of the header
	AlertInfo         string    // value of the header
	Emergency         bool      // goes out also beyond Config.MaxCalls
	Diversion         Party     // who the call was sent on from; no URI: not sent
	Headers           []gosip.Header
}

// invite is an INVITE of ours, the first or a later one.
type invite struct {
	tx      *sip.ClientTx
	local   sdp.Local // what it offers; zero with a late offer
	refresh bool      // session refresh: nobody asked for it
	final   bool      // a final response has come
	guard   *timer
}

// Invite calls somebody. It returns at once; what happens comes to h, which may be nil until SetOwner.
func (u *UA) Invite(o Invite, h Handler) (*Call, error) {
	if o.To.Host == "" || o.To.Raw() != "" {
		return nil, fmt.Errorf("%w: %q", ErrTarget, o.To.String())
	}
	if !o.LateOffer && (!o.Media.Addr.IsValid() || len(o.Media.Codecs) == 0) {
		return nil, fmt.Errorf("%w: no address or no codec", sdp.ErrNoAudio)
	}
	c := newCall(u)
	c.options, c.handler, c.auth = &o, h, o.Auth
	c.forks, c.winners, c.turns = map[string]Dialog{}, map[string]bool{}, map[string]bool{}

	dest := o.To
	if len(o.Route) > 0 {
		dest = o.Route[0]
	}
	transport := o.Transport
	if transport == "" {
		transport, _ = dest.UriParams.Get("transport")
	}
	contact := u.ep.ContactFor(dest.Host, transport)
	if contact.Host == "" {
		return nil, fmt.Errorf("%w: no listener reaches %s", ErrTarget, dest.Host)
	}
	contact.User = o.From.User
	from := o.From
	if from.Host == "" {
		from.Host, from.Port = contact.Host, contact.Port
	}
	to, logical := o.To, sip.AddressOnly(o.To)
	to.Headers = nil
	c.d = Dialog{
		CallID: sip.NewTag(), LocalTag: sip.NewTag(),
		LocalName: quote(o.FromName), LocalURI: from.String(),
		RemoteName: quote(o.ToName), RemoteURI: logical.String(),
		// RFC 3261 §8.1.1.5: below 2^31; small enough to grow, large enough not to look reused.
		LocalCSeq:    rand.Uint32N(1 << 16),
		RemoteTarget: to.String(), Contact: contact.String(), Caller: true,
		Transport: o.Transport, LocalAddr: o.Local,
		Remote: party(quote(o.ToName), to),
	}
	for _, r := range o.Route {
		// A proxy that somebody has configured is a loose router, whether the URI says so or not.
		if !r.UriParams.Has("lr") {
			r.UriParams = append(r.UriParams.Clone(), gosip.HeaderKV{K: "lr"})
		}
		c.d.RouteSet = append(c.d.RouteSet, r.String())
	}
	c.media = sdp.Media{}
	c.stampNew(o.Media)
	c.info = Info{
		Direction: Outgoing, Started: time.Now(),
		RequestUser: to.User, RequestURI: to.String(),
		Local: party(quote(o.FromName), from), Diversion: o.Diversion,
		Header: func(string) string { return "" },
	}
	if p, _, err := nameAddr(o.ReferredBy); err == nil {
		c.info.ReferredBy = p
	}
	if o.PAssertedIdentity.URI != "" {
		c.identity = &o.PAssertedIdentity
	}
	if err := u.add(c, c.call); err != nil {
		return nil, err
	}
	return c, nil
}

// call sends the first INVITE, or the same again with a longer session timer.
func (c *Call) call() {
	req, err := c.d.request(gosip.INVITE)
	if err != nil {
		c.log.Warn("invite", "err", err)
		c.state = phaseCalling
		c.ended(Ended{Cause: Unreachable, Reason: err.Error()})
		return
	}
	o := c.options
	c.decorate(req)
	if o.Replaces != nil {
		r := replaces{*o.Replaces, o.EarlyOnly}
		req.AppendHeader(header("Replaces", r.String()))
		// A far end that does not know Replaces would ring as for a new call.
		req.AppendHeader(header("Require", "replaces"))
	}
	if o.ReferredBy != "" {
		req.AppendHeader(header("Referred-By", o.ReferredBy))
	}
	if o.AlertInfo != "" {
		req.AppendHeader(header("Alert-Info", o.AlertInfo))
	}
	if o.Diversion.URI != "" {
		req.AppendHeader(header("Diversion", "<"+o.Diversion.URI+">"))
	}
	for _, h := range o.Headers {
		req.AppendHeader(header(h.Name(), h.Value()))
	}
	req.AppendHeader(header("Session-Expires", inSeconds(c.interval())))
	inv := &invite{}
	if !o.LateOffer {
		inv.local = c.d.Local
		c.offer(req, &inv.local)
	}
	c.state, c.invite = phaseCalling, inv
	inv.tx = c.ua.ep.Request(req, c.sendOptions(req))
	c.pump(inv.tx, func(res *gosip.Response) { c.onResponse(inv, res) }, func(err error) { c.onNoAnswer(inv, err) })
	if c.ringTimer == nil {
		c.ringTimer = c.after(c.ua.cfg.RingTimeout, func() {
			if c.state == phaseCalling {
				c.hangup(Ended{Cause: Timeout, Code: 408, Reason: "not answered"}, "")
			}
		})
	}
}

// decorate adds what INVITE, re-INVITE and UPDATE have in common.
func (c *Call) decorate(req *gosip.Request) {
	req.AppendHeader(header("Allow", c.ua.ep.Allow()))
	req.AppendHeader(header("Supported", c.ua.ep.Supported()))
	// RFC 4028 §7.1.
	req.AppendHeader(header("Min-SE", inSeconds(max(c.ua.cfg.MinSE, c.d.Session.MinSE))))
	if c.identity != nil {
		req.AppendHeader(asserted(*c.identity))
	}
}

// onResponse takes the responses to the first INVITE.
func (c *Call) onResponse(inv *invite, res *gosip.Response) {
	c.noteCSeq(res)
	switch code := res.StatusCode; {
	case code == 100:
	case code < 200:
		if c.state == phaseCalling && inv == c.invite {
			c.onProvisional(inv, res)
		}
	case code < 300:
		c.onSuccess(inv, res)
	default:
		inv.final = true
		if c.state != phaseCalling || inv != c.invite {
			return
		}
		if code == 422 && c.longerSession(res) {
			c.call()
			return
		}
		if code == 488 && c.otherwise() {
			c.call()
			return
		}
		if c.redirected(res) {
			return
		}
		c.ringTimer.stop()
		c.ended(Ended{Cause: Rejected, Code: code, Reason: clean(res.Reason), Headers: reader(res)})
	}
}

// onNoAnswer is the end of the first INVITE's transaction.
func (c *Call) onNoAnswer(inv *invite, err error) {
	if inv.final || c.state != phaseCalling || inv != c.invite {
		return
	}
	inv.final = true
	code := failure(err)
	cause := Timeout
	if code != 408 {
		cause = Unreachable
	}
	reason := statusText(code)
	if err != nil {
		reason = err.Error()
	}
	c.ended(Ended{Cause: cause, Code: code, Reason: reason})
}

func (c *Call) onProvisional(inv *invite, res *gosip.Response) {
	tag := toTag(res)
	if tag != "" {
		d, known := c.forks[tag]
		if !known && len(c.forks) >= maxForks {
			return
		}
		if !known {
			var err error
			if d, err = c.d.answered(res); err != nil {
				c.log.Debug("early dialog", "err", err)
				return
			}
		}
		c.forks[tag] = d
		// The newest branch is what is shown: the caller hears it.
		keep := c.d
		c.d = d
		c.d.LocalCSeq, c.d.Local, c.d.SDP, c.d.Remote = keep.LocalCSeq, keep.Local, keep.SDP, keep.Remote
		c.noteSource(res)
	}
	c.newIdentity(res)
	// Retransmissions, and repeats that keep proxies awake (RFC 3261 §13.3.1.1), are no news.
	if now := fmt.Sprint(tag, res.StatusCode); now != c.lastRing {
		c.lastRing = now
		c.emit(Ringing{Code: res.StatusCode})
	}
	if isSDP(res) && !c.options.LateOffer && c.state == phaseCalling {
		m, err := sdp.Accept(inv.local, res.Body())
		if err != nil {
			c.log.Debug("early media", "err", err)
			return
		}
		if c.hasMedia && sameMedia(m, c.media) {
			return
		}
		c.media, c.hasMedia = m, true
		c.emit(EarlyMedia{Media: m})
	}
}

// onSuccess takes a 2xx to the first INVITE: the first wins, the others are released.
func (c *Call) onSuccess(inv *invite, res *gosip.Response) {
	tag := toTag(res)
	if c.winners[tag] || len(c.winners) >= maxForks {
		return // the endpoint repeats the ACK of a 2xx that comes again
	}
	c.winners[tag] = true
	base := c.d
	base.RemoteTag = ""
	d, err := base.answered(res)
	if err != nil {
		c.log.Warn("answer without a usable dialog", "err", err)
		return
	}
	late := inv.local.Codecs == nil
	if c.state != phaseCalling || inv.final {
		// RFC 3261 §13.2.2.4: a 2xx that is not wanted (fork, or our CANCEL came too late) is
		// acknowledged and its dialog ended.
		l := c.d.Local
		l.Direction = sdp.Inactive
		c.ackFor(inv, d, res, late, l)
		c.releaseFork(d)
		return
	}
	inv.final, c.invite = true, nil
	c.ringTimer.stop()
	c.forks = map[string]Dialog{}
	c.mu.Lock()
	c.tags = map[string]bool{}
	c.mu.Unlock()
	c.d = d
	c.noteSource(res)
	c.state = phaseActive
	c.publish() // the far end's next request can follow the ACK at once
	m, err := c.ackFor(inv, d, res, late, c.d.Local)
	if !late {
		m, err = c.answerIn(inv, res)
	}
	if err != nil {
		c.log.Warn("answer without usable media", "err", err)
		c.sendBYE(header("Reason", `SIP;cause=488;text="Not Acceptable Here"`))
		c.ended(Ended{Cause: BadMedia, Code: 488, Reason: err.Error()})
		return
	}
	c.setMedia(m)
	c.sessionAnswered(res)
	c.newIdentity(res)
	if c.state == phaseActive {
		c.emit(Answered{Media: m, Headers: reader(res)})
		c.next()
	}
}

// noteSource notes where a response to our INVITE came from.
func (c *Call) noteSource(res *gosip.Response) {
	from, err := netip.ParseAddrPort(res.Source())
	if err != nil {
		return
	}
	c.mu.Lock()
	c.info.AnsweredFrom = from.Addr().Unmap()
	c.mu.Unlock()
}

// answerIn reads the answer to our offer from a 2xx. Some far ends only repeat in the 200 that they had
// answered in the 183.
func (c *Call) answerIn(inv *invite, res *gosip.Response) (sdp.Media, error) {
	if !isSDP(res) {
		if c.hasMedia {
			return c.media, nil
		}
		return sdp.Media{}, sdp.ErrNoAudio
	}
	return sdp.Accept(inv.local, res.Body())
}

// ackFor acknowledges a 2xx in its dialog; with a late offer the ACK carries our answer.
func (c *Call) ackFor(inv *invite, d Dialog, res *gosip.Response, late bool, l sdp.Local) (sdp.Media, error) {
	ack, err := d.ack(cseq(res))
	if err != nil {
		return sdp.Media{}, err
	}
	// RFC 3261 §22.1: the ACK has the credentials of its INVITE.
	if sent := inv.tx.Request(); sent != nil {
		for _, name := range []string{"Authorization", "Proxy-Authorization"} {
			gosip.CopyHeaders(name, sent, ack)
		}
	}
	var m sdp.Media
	if late {
		var body []byte
		if body, m, err = c.answer(l, res.Body()); err == nil {
			setBody(ack, "application/sdp", body)
		}
	}
	if err := c.ua.ep.Ack(ack, c.sendOptions(ack)); err != nil {
		// The far end repeats its 2xx, and gives up in the end.
		c.log.Debug("ack", "err", err)
	}
	return m, err
}

// newIdentity notes who has answered (RFC 3325 in responses and target refreshes).
func (c *Call) newIdentity(m message) {
	p, ok := assertedParty(m, c.ua.cfg.TrustIdentity)
	if !ok || p == c.d.Remote {
		return
	}
	c.d.Remote = p
	c.emit(IdentityChanged{Party: p})
}
