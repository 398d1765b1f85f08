package wire

import (
	"strconv"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/parkd"
	"parklamp/sip/call"
)

// followTransfer makes an INVITE that obeys a REFER: RFC 3515 §2.4.3, RFC 3892 §2.2 (Referred-By), RFC 5589 §7 (Replaces
// out of the Refer-To).
func followTransfer(o *call.Invite, t *call.Transfer) {
	o.Replaces = t.Replaces
	o.ReferredBy = "<" + t.ReferredBy.URI + ">"
	if t.ReferredBy.URI == "" {
		o.ReferredBy = "" // the far end did not say who asks
	}
}

// forwards is the Max-Forwards of a call that we make on behalf of another: one less than that one's, so that two B2BUAs
// that send a caller to each other come to an end (RFC 7332 §4).
func forwards(l *leg) gosip.Header {
	left := gosip.MaxForwardsHeader(70)
	if n, err := strconv.Atoi(l.call.Info().Header("Max-Forwards")); err == nil && n > 0 && n <= 70 {
		left = gosip.MaxForwardsHeader(n - 1)
	}
	return &left
}

// report passes a provisional answer on to whoever asked for the transfer that this leg carries out.
func (l *leg) report(code int, reason string) {
	if l.referrer != nil && l.referrer.transfer != nil {
		l.referrer.transfer.Progress(code, reason)
	}
}

// finish reports the outcome of that transfer, once. RFC 3515 §2.4.5: the last NOTIFY has the final status.
func (l *leg) finish(code int, reason string) {
	if l.referrer == nil {
		return
	}
	if t := l.referrer.transfer; t != nil {
		t.Done(code, reason)
		l.referrer.transfer = nil
	}
	l.referrer = nil
}

// asserted is a party for P-Asserted-Identity, by which a fetcher or a recalled phone sees the parked caller; without a
// URI nothing is asserted.
func asserted(p parkd.Party) call.Party {
	return call.Party{Name: p.Name, URI: p.URI, Number: p.Number}
}

// fetcherParty is who a leg says it is, as known after its answer.
func fetcherParty(l *leg) parkd.Party { return party(l.call.Info().Remote) }

// markRecall marks an INVITE as the return of a parked call: the caller is shown, the ring is its own.
func markRecall(o *call.Invite, s parkd.SlotState) {
	o.FromName = "Parked " + s.Orbit
	if s.Caller.Name != "" {
		o.FromName += " " + s.Caller.Name
	}
	o.PAssertedIdentity = asserted(s.Caller)
	// RFC 7462 §5: a call that was put on hold rings back. The info parameter is what desk phones match on.
	o.AlertInfo = "<urn:alert:service:recall:hold>;info=parked"
}

// referred obeys a REFER from a leg that is relayed here: the far end is a phone that parks or transfers the other leg.
func (p *lot) referred(l *leg, t *call.Transfer) {
	other := l.pair
	if other == nil {
		l.transfer = nil
		t.Reject(603)
		return
	}
	if l.incoming && l.answered {
		// A request inside the dialog: our 200 has arrived, though a proxy let the ACK fall behind.
		p.a.confirm(l)
		p.joined(l)
	}
	what, orbit := p.a.serviceOf(t.Target.User, true)
	if t.Replaces != nil || !p.a.isOurs(t.Target) {
		what = noService
	}
	switch what {
	case fetchService: // a parked caller is never joined to another one
		l.transfer, l.refused = nil, refusedTransfer{at: p.a.now(), orbit: l.fetched}
		t.Reject(603) // RFC 3515 §2.4.2
		return
	case parkService:
		t.Accept()
		parker := l.caller
		p.park(other, &request{leave: l}, orbit, parker, parker.URI)
		return
	}
	t.Accept()
	out, err := p.a.invite(t.Target, other, func(o *call.Invite) {
		followTransfer(o, t)
		o.Headers = append(o.Headers, forwards(l))
		o.PAssertedIdentity = asserted(other.caller)
	})
	if err != nil {
		p.a.log.Warn("a transfer cannot be followed", "call", l.id, "err", err)
		t.Done(503, "Service Unavailable")
		l.transfer, l.refused = nil, refusedTransfer{at: p.a.now(), orbit: l.fetched}
		return
	}
	out.referrer = l
}

// transferred joins the other leg with the target of a transfer, in place of the one who asked for it.
func (p *lot) transferred(l *leg) {
	from := l.referrer
	other := from.pair
	if other == nil || other.ended {
		l.finish(487, "Gone")
		l.call.Hangup("")
		return
	}
	p.a.unpair(from)
	l.caller = fetcherParty(l)
	if err := p.a.relay(other, l); err != nil {
		p.a.log.Warn("a transferred call cannot be relayed", "call", l.id, "err", err)
		l.finish(500, "")
		if err := p.a.relay(other, from); err != nil {
			p.a.log.Warn("a relayed call is lost", "call", other.id, "err", err)
		}
		l.call.Hangup("")
		return
	}
	l.finish(200, "OK")
	l.fetched = from.fetched
	p.swap(from, l)
}

// leaveTransfer parks the caller whose phone has asked for a transfer and is gone before the target answers, which many do as
// soon as their REFER is accepted (RFC 5589 §6). She waits where she was fetched from, and its user is recalled as one who has
// parked her; the target has her when it answers, as long as nobody else has.
func (p *lot) leaveTransfer(from *leg) {
	other := from.pair
	for _, out := range p.a.legs {
		if other == nil || out.referrer != from || out.ended || out.answered {
			continue
		}
		out.referrer, from.transfer = nil, nil // nobody hears its outcome
		out.awaited, other.stranded = other, from.fetched
		p.shelterFor(other, from.caller)
		return
	}
}

// targetAnswered gives that caller to the target.
func (p *lot) targetAnswered(l *leg) {
	slot, ok := p.callOf(l.awaited.id)
	if !ok {
		return // she is about to be parked
	}
	l.awaited = nil
	p.step(parkd.Fetch{Token: p.open("fetch", &request{leg: l, orbit: slot.Orbit}), Leg: l.id, CallID: slot.CallID})
}

// targetOf is the target that is called for a caller whose phone did not wait for it, or nil.
func (p *lot) targetOf(caller parkd.LegID) *leg {
	for _, l := range p.a.legs {
		if l.awaited != nil && l.awaited.id == caller && !l.ended {
			return l
		}
	}
	return nil
}

// dropTarget stops calling that target: the caller has hung up, or somebody else has her.
func (p *lot) dropTarget(caller parkd.LegID) {
	if l := p.targetOf(caller); l != nil {
		l.awaited = nil
		l.call.Hangup("")
	}
}
