package wire

import (
	"parklamp/parkd"
	"parklamp/sip/call"
)

// onCall is what happens to a leg that is parked, fetches, is recalled, or is relayed.
func (p *lot) onCall(l *leg, ev call.Event) {
	switch ev := ev.(type) {
	case call.Ringing:
		l.report(ev.Code, "Ringing")
		if l.token != "" && ev.Code >= 180 {
			p.step(parkd.RecallProgress{Token: l.token})
			if r := p.requests[l.token]; r != nil && r.rescue != nil {
				p.rescueRinging(l, r.rescue)
			}
		}
	case call.Answered:
		if !l.incoming {
			p.outAnswered(l)
		}
	case call.Acked:
		p.joined(l)
	case call.MediaChanged:
		p.heldByFar(l, ev.Media.RemoteHold)
	case call.Referred:
		p.referred(l, ev.Transfer)
	case call.Ended:
		switch {
		case ev.Cause == call.Remote && p.takeBack(l, ev.Reason):
		case ev.Cause == call.Remote:
			p.shelterFromRefusal(l) // who asked for a transfer wanted the call
			p.leaveTransfer(l)
			p.shelterFromCrossing(l)
		case vanished(ev.Cause):
			p.leaveTransfer(l)
			p.shelterFromVanished(l)
		}
		if !l.incoming && !l.answered {
			p.outFailed(l, ev)
		}
		p.dropTarget(l.id)
	}
}

// heldByFar plays music to the other leg of a pair while this one's far end has it on hold. A far end may send music of its
// own, or nothing at all; like a PBX we do not rely on it.
func (p *lot) heldByFar(l *leg, held bool) {
	if l.pair == nil || held == (l.relay == nil) {
		return
	}
	if held {
		p.a.pause(l)
		l.pair.playMusic(p.a.moh)
	} else if err := p.a.connect(l); err != nil {
		p.a.log.Warn("a call cannot be taken off hold", "call", l.id, "err", err)
	}
}

// outAnswered goes on when a leg that we called is answered: the host of a fetch, a recalled phone, or the target of
// a transfer.
func (p *lot) outAnswered(l *leg) {
	r := p.requests[l.token]
	switch {
	case l.referrer != nil:
		p.transferred(l)
	case l.awaited != nil:
		p.targetAnswered(l)
	case l.stranded != "":
		p.shelter(l)
	case r == nil:
		l.call.Hangup("") // a recall that was given up while the answer was under way
	case r.rescue != nil:
		p.rescueAnswered(l, r.rescue)
	case r.leg == l: // a recall
		token := l.token
		l.caller = fetcherParty(l)
		p.step(parkd.RecallAnswered{Token: token, Leg: l.id})
	default:
		p.remoteFetched(l)
	}
}

func (p *lot) outFailed(l *leg, ev call.Ended) {
	if l.referrer != nil {
		l.referrer.refused = refusedTransfer{at: p.a.now(), orbit: l.referrer.fetched}
		l.finish(max(ev.Code, 480), ev.Reason)
		return
	}
	token := l.token
	l.token = ""
	r := p.requests[token]
	switch {
	case r == nil:
	case r.rescue != nil:
		p.rescueFailed(token, r.rescue, ev)
	case r.leg == l:
		delete(p.requests, token)
		p.step(parkd.RecallFailed{Token: token, Code: ev.Code})
	default:
		p.step(parkd.JoinResult{Token: token, Reason: fetchReason(ev)})
	}
}
