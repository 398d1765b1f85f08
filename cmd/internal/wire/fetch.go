package wire

import (
	"parklamp/parkd"
	"parklamp/sip/call"
)

// handToPhone gives a parked leg to the desk phone: by fetch, undo or an answered recall.
func (p *lot) handToPhone(e parkd.HandToPhone) {
	r, l := p.requests[e.Token], p.a.legs[e.Leg]
	if r == nil || r.desk == "" || l == nil || l.ended {
		p.step(parkd.JoinResult{Token: e.Token, Reason: parkd.ReasonGone})
		return
	}
	delete(p.requests, e.Token)
	l.parked = false
	l.silence()
	if l.onHold {
		p.a.hold(l, false)
	}
	p.a.desk.take(l, r.desk)
	p.step(parkd.JoinResult{Token: e.Token, OK: true})
	if !isRecall(r.desk, e.Token) { // the phone has answered a recall already
		p.a.desk.arrived(r.desk, e.Slot)
	}
}

// join relays the parked caller to a leg that fetches or that answered a recall.
func (p *lot) join(e parkd.Join) {
	parked, fetcher := p.a.legs[e.Parked], p.a.legs[e.Fetcher]
	if parked == nil || fetcher == nil || parked.ended || fetcher.ended {
		p.step(parkd.JoinResult{Token: e.Token, Reason: parkd.ReasonGone})
		return
	}
	fetcher.token = e.Token
	fetcher.call.SetIdentity(asserted(e.Slot.Caller)) // RFC 3325: the fetcher sees the caller
	if !fetcher.answered {
		fetcher.speakLike(parked)
		if err := p.a.answer(fetcher); err != nil {
			p.a.log.Warn("a fetch cannot be answered", "orbit", e.Slot.Orbit, "call", fetcher.id, "err", err)
			p.step(parkd.JoinResult{Token: e.Token, Reason: parkd.ReasonFailed})
			return
		}
	}
	fetcher.caller = fetcherParty(fetcher)
	if err := p.a.relay(parked, fetcher); err != nil {
		p.a.log.Warn("the media of a fetch cannot be relayed", "orbit", e.Slot.Orbit, "call", fetcher.id, "err", err)
		p.step(parkd.JoinResult{Token: e.Token, Reason: parkd.ReasonFailed})
		return
	}
	if fetcher.confirmed {
		p.joined(fetcher)
	}
}

// joined says that a fetch by SIP has succeeded: the fetcher has confirmed the 200.
func (p *lot) joined(fetcher *leg) {
	token := fetcher.token
	if token == "" {
		return
	}
	fetcher.token, fetcher.joined = "", p.a.now()
	result := parkd.JoinResult{Token: token, OK: true}
	if r := p.requests[token]; r != nil {
		fetcher.fetched = r.orbit
		if r.out != nil && r.out != fetcher {
			result.Leg = r.out.id
		}
	}
	delete(p.requests, token)
	if fetcher.pair != nil {
		fetcher.pair.parked = false
		if fetcher.pair.onHold {
			p.a.hold(fetcher.pair, false)
		}
	}
	p.step(result)
}

// fetchRemote takes a call from the appliance that hosts it: INVITE with Replaces for exactly that call.
func (p *lot) fetchRemote(e parkd.FetchRemote) {
	r := p.requests[e.Token]
	host, ok := p.a.federation.PeerURI(e.Slot.Host, e.Slot.Orbit)
	if r == nil || !ok {
		p.step(parkd.JoinResult{Token: e.Token, Reason: parkd.ReasonUnknown})
		return
	}
	l, err := p.a.invite(host, r.leg, func(o *call.Invite) {
		// RFC 3891 §3: to-tag and from-tag are those of the host's side of the dialog.
		o.Replaces = &call.DialogID{CallID: e.Slot.Dialog.CallID, LocalTag: e.Slot.Dialog.LocalTag, RemoteTag: e.Slot.Dialog.RemoteTag}
		if r.leg != nil { // the host's display shows who fetches
			o.Headers = append(o.Headers, forwards(r.leg))
			o.PAssertedIdentity = asserted(r.leg.caller)
		}
	})
	if err != nil {
		p.a.log.Warn("a call cannot be fetched from its host", "orbit", e.Slot.Orbit, "peer", e.Slot.Host, "err", err)
		p.step(parkd.JoinResult{Token: e.Token, Reason: parkd.ReasonFailed})
		return
	}
	l.caller = e.Slot.Caller
	l.token = e.Token
	r.out = l
	r.orbit = e.Slot.Orbit
	p.a.log.Info("fetch from its host", "orbit", e.Slot.Orbit, "peer", e.Slot.Host, "call", l.id)
}

// remoteFetched continues when the host has answered.
func (p *lot) remoteFetched(l *leg) {
	r := p.requests[l.token]
	if r == nil { // given up meanwhile
		l.token = ""
		l.call.Hangup("")
		return
	}
	token := l.token
	l.token = ""
	if r.desk != "" {
		delete(p.requests, token)
		l.joined, l.fetched = p.a.now(), r.orbit
		p.a.desk.take(l, r.desk)
		p.step(parkd.JoinResult{Token: token, OK: true, Leg: l.id})
		p.a.desk.arrived(r.desk, parkd.SlotState{Orbit: r.orbit, Caller: l.caller})
		return
	}
	fetcher := r.leg
	if fetcher.ended {
		l.call.Hangup("")
		p.step(parkd.JoinResult{Token: token, Reason: parkd.ReasonGone})
		return
	}
	fetcher.token = token
	fetcher.call.SetIdentity(asserted(l.caller))
	fetcher.speakLike(l)
	err := p.a.answer(fetcher)
	if err == nil {
		err = p.a.relay(l, fetcher)
	}
	if err != nil {
		p.a.log.Warn("a fetched call cannot be passed on", "call", fetcher.id, "err", err)
		p.cancelFetch(token) // the host has let go of the caller
		p.step(parkd.JoinResult{Token: token, Reason: parkd.ReasonFailed})
	}
}

// cancelFetch ends a fetch whose fetcher is gone. The INVITE to the host is not cancelled: its 200 may be on the way, and
// a BYE after it would drop the caller. If it comes, the caller is parked again, here. The request stays open: the machine
// says Refused next, and whoever asked is told.
func (p *lot) cancelFetch(token string) {
	r := p.requests[token]
	if r == nil {
		return
	}
	if r.leg != nil {
		r.leg.token = ""
		p.a.unpair(r.leg)
	}
	if out := r.out; out != nil && out != r.leg && !out.ended {
		out.token, out.stranded = "", r.orbit
		if out.answered {
			p.shelter(out)
		}
	}
}
