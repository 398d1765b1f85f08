package wire

import (
	"fmt"
	"time"

	"parklamp/media/prompt"
	"parklamp/parkd"
	"parklamp/sip/call"
	"parklamp/sip/phone"
)

// staleFor is how long an appliance may take to learn that a call has left its orbit, and staleAgain the pause between two
// tries until then.
const (
	staleFor   = time.Second
	staleAgain = 50 * time.Millisecond
)

// request is an open question to parkd: who asked, and how the answer is told.
type request struct {
	desk    phone.CallID // the desk phone's name of the call; "" if the desk phone did not ask
	leg     *leg         // the leg whose far end asked; nil if the desk phone did
	park    bool         // a Park; otherwise a Fetch, an Undo or a recall
	leave   *leg         // after the park has committed, this leg is hung up: its far end sent the REFER
	out     *leg         // FetchRemote, Recall: the leg to the host or to the recalled phone
	shelter bool         // nobody asked: the caller of leg is to be kept
	gone    bool         // the parker has hung up: no orbit to be had is no reason to refuse
	orbit   string       // as asked for
	rescue  *attempt     // the far end of a dead peer's call is being called
	again   bool         // a recall that is not the caller's first
}

// lot carries out what the orbit machine decides. It is owned by the loop.
type lot struct {
	a        *Appliance // whose orbits they are: legs, log, loop and peers are its
	machine  *parkd.Machine
	know     func(parkd.Known)   // immutable; the arbiter is told by it
	requests map[string]*request // by token; each open until its one answer
	tokens   uint64
	lives    map[string]uint64 // the epoch of each peer that was heard
	lost     map[string]bool   // callers on the panel who are to be rung back, by call id
	unshown  []string          // orbits that wait for the disk before a lamp shows what has changed
}

func (p *lot) token(kind string) string {
	p.tokens++
	return fmt.Sprintf("%s-%d", kind, p.tokens)
}

// open makes a token for a new request.
func (p *lot) open(kind string, r *request) string {
	t := p.token(kind)
	p.requests[t] = r
	return t
}

// step gives the machine an input and carries out its effects in order; an input that comes of an effect waits for its
// turn.
func (p *lot) step(in parkd.Input) {
	p.a.inTurn(func() {
		effects := p.machine.Step(p.a.now(), in)
		p.know(p.machine.Known())
		for _, e := range effects {
			p.do(e)
		}
	})
}

func (p *lot) do(e parkd.Effect) {
	switch e := e.(type) {
	case parkd.Claim:
		p.claim(e)
	case parkd.ReleaseClaim:
		p.a.federation.Release(e.Token, e.Orbit)
	case parkd.Announce:
		p.a.keeper.announce(e)
	case parkd.Music:
		p.music(e.Leg)
	case parkd.Committed:
		p.committed(e)
	case parkd.Refused:
		p.refused(e)
	case parkd.HandToPhone:
		p.handToPhone(e)
	case parkd.Join:
		p.join(e)
	case parkd.FetchRemote:
		p.fetchRemote(e)
	case parkd.CancelFetch:
		p.cancelFetch(e.Token)
	case parkd.Recall:
		p.recall(e)
	case parkd.Rescue:
		p.a.keeper.hurry() // should this process die next, the peers know who may have him
		p.rescue(e)
	case parkd.Stranded:
		p.ringBack(e.Slot, "his appliance is dead and this one cannot take him over; unless another one can, he hears nothing until it is back")
	case parkd.StopRecall:
		p.stopRecall(e.Token)
	case parkd.HangUp:
		if l := p.a.legs[e.Leg]; l != nil {
			l.call.Hangup(e.Reason)
		}
	case parkd.Report:
		p.a.log.Info("parked call ended", "orbit", e.Row.Slot.Orbit, "call", e.Row.Slot.CallID, "end", e.Row.End.String(),
			"caller", e.Row.Slot.Caller.Number, "waited", e.Row.Ended.Sub(e.Row.Slot.Since).Round(time.Second).String())
		if e.Row.End == parkd.EndFetched {
			p.dropTarget(e.Row.Slot.Leg)
		}
		if e.Row.End == parkd.EndLost {
			p.ringBack(e.Row.Slot, "lost")
		}
	case parkd.Changed:
		p.findLost()
		p.show(e.Orbits)
	case parkd.SetTimer:
		p.a.loop.after("park "+e.ID, max(0, e.At.Sub(p.a.now())), func() { p.step(parkd.Timer{ID: e.ID}) })
	case parkd.StopTimer:
		p.a.loop.stop("park " + e.ID)
	case parkd.Ignored:
		p.a.ignored++
		p.a.log.Debug("parkd: input without meaning", "state", e.State.String(), "input", fmt.Sprintf("%T", e.Input))
	default:
		panic(fmt.Sprintf("wire: effect %T of parkd is not carried out", e))
	}
}

// claim asks the orbit's arbiter in the background; the answer comes back to the loop.
func (p *lot) claim(e parkd.Claim) {
	p.a.federation.Claim(e.Token, e.Orbit, func(r parkd.ClaimResult) {
		p.a.loop.post(func() { p.step(r) })
	})
}

// music makes a leg a parked one: its far end hears music from the next frame on. A leg that rings is answered.
func (p *lot) music(id parkd.LegID) {
	l := p.a.legs[id]
	if l == nil || l.ended {
		return
	}
	l.playMusic(p.a.moh) // first, so that no frame of what it played before a relay slips out
	p.a.unpair(l)
	if p.a.desk != nil {
		p.a.desk.release(l)
	}
	l.parked = true
	l.joined, l.fetched = time.Time{}, "" // it fetches no more, it waits
	if l.incoming && !l.answered {
		if err := p.a.answer(l); err != nil {
			p.a.log.Warn("a call that was parked cannot be answered", "call", l.id, "err", err)
			l.call.Reject(488, "")
			return
		}
		l.playMusic(p.a.moh)
	}
}

// committed tells the parker that the park holds.
func (p *lot) committed(e parkd.Committed) {
	p.a.log.Info("parked", "orbit", e.Orbit, "call", e.Slot.CallID, "caller", e.Slot.Caller.Number, "parker", e.Slot.Parker.Number)
	r := p.requests[e.Token]
	delete(p.requests, e.Token)
	if l := p.a.legs[e.Leg]; l != nil {
		l.parking = ""
		if t := p.targetOf(l.id); t != nil && t.answered {
			p.targetAnswered(t)
		}
	}
	if r == nil {
		return
	}
	// Stored first, then told: who hears 200, or the orbit, lets go of the caller.
	switch {
	case r.desk != "":
		p.a.keeper.once(e.Slot.CallID, func() { p.a.desk.step(phone.ParkCommitted{Call: r.desk, Orbit: e.Orbit}) })
	case r.leave != nil:
		p.a.keeper.once(e.Slot.CallID, func() {
			if r.leave.transfer != nil {
				r.leave.transfer.Done(200, "OK") // RFC 3515 §2.4.5: the final NOTIFY
				r.leave.transfer = nil
			}
			r.leave.call.Hangup("parked on " + e.Orbit)
		})
	}
	if l := p.a.legs[e.Leg]; l != nil && l == r.leg && l.tellOrbit {
		l.tellOrbit = false
		p.a.keeper.once(e.Slot.CallID, func() {
			if l.parked && !l.ended { // nobody has fetched him meanwhile
				p.sayOrbit(l, e.Orbit)
			}
		})
	}
}

// show tells lamps and subscribers what has become of orbits, together with the peers and not before them.
func (p *lot) show(orbits []string) {
	waits := len(p.unshown) > 0
	if p.unshown = append(p.unshown, orbits...); waits {
		return
	}
	p.a.keeper.told(func() {
		changed := p.unshown
		p.unshown = nil
		p.orbitsChanged(changed)
	})
}

// sayOrbit tells somebody who parked himself where he is, then plays music.
func (p *lot) sayOrbit(l *leg, orbit string) {
	words := prompt.ParkedOn(orbit)
	p.a.log.Info("spoken to the parked caller", "call", l.id, "words", words.Text())
	l.media.Play(&sequence{first: words.Source(), second: p.a.moh.Source(), between: func() {}})
}

// refused tells whoever asked, in the way that fits who it was.
func (p *lot) refused(e parkd.Refused) {
	r := p.requests[e.Token]
	delete(p.requests, e.Token)
	if l := p.a.legs[e.Leg]; l != nil && l.parking == e.Token {
		l.parking = ""
	}
	if r == nil {
		return
	}
	p.a.log.Info("refused", "orbit", e.Orbit, "reason", e.Reason.String(), "park", r.park)
	switch {
	case r.desk != "" && r.park && p.stale(e):
		p.a.loop.after("stale "+e.Token, staleAgain, func() { p.a.desk.parkAgain(r) })
	case r.desk != "" && r.park:
		p.a.desk.step(phone.ParkRefused{Call: r.desk, Orbit: e.Orbit, Reason: phoneReason(e.Reason)})
	case r.desk != "":
		p.a.desk.fetchEnded(r.desk, isRecall(r.desk, e.Token), e.Orbit, e.Reason)
	case r.leave != nil:
		if r.leave.transfer != nil {
			code, text := sipReason(e.Reason)
			r.leave.transfer.Done(code, text)
			r.leave.transfer = nil
		}
		if e.Reason != parkd.ReasonEmergency {
			r.leave.refused = refusedTransfer{at: p.a.now(), orbit: r.orbit}
		}
	case r.shelter:
		p.shelterElsewhere(r.leg)
	case r.leg != nil && !r.leg.ended:
		code, text := sipReason(e.Reason)
		if r.leg.answered {
			r.leg.call.Hangup(text)
		} else {
			r.leg.call.Reject(code, text)
		}
	}
}

// stale says whether a park was refused because somebody still sees the caller in the orbit from which he was fetched a
// moment ago, which he is to go back to.
func (p *lot) stale(e parkd.Refused) bool {
	l := p.a.legs[e.Leg]
	return l != nil && !l.ended && e.Orbit != "" && e.Orbit == l.fetched && p.a.now().Sub(l.joined) < staleFor &&
		(e.Reason == parkd.ReasonTaken || e.Reason == parkd.ReasonLostRace)
}

// isRecall says whether a request of the desk phone is a recall: then its token is the phone's name of the call.
func isRecall(id phone.CallID, token string) bool { return string(id) == token }

// recall rings the parker or an escalation step; the parked caller goes on hearing music.
func (p *lot) recall(e parkd.Recall) {
	p.a.log.Info("recall", "orbit", e.Slot.Orbit, "call", e.Slot.CallID, "to", e.To, "step", e.Step)
	if e.To == parkd.DeskPhone {
		if p.a.desk == nil {
			p.step(parkd.RecallFailed{Token: e.Token})
			return
		}
		p.requests[e.Token] = &request{desk: phone.CallID(e.Token), orbit: e.Slot.Orbit}
		p.a.desk.step(phone.Incoming{Call: phone.CallID(e.Token), From: e.Slot.Caller.Number, Name: e.Slot.Caller.Name, Recall: true,
			Orbit: e.Slot.Orbit})
		p.step(parkd.RecallProgress{Token: e.Token})
		return
	}
	to, err := p.a.resolve(e.To)
	if err == nil {
		var l *leg
		l, err = p.a.invite(to, p.a.legs[e.Slot.Leg], func(o *call.Invite) { markRecall(o, e.Slot) })
		if err == nil {
			l.token = e.Token
			p.requests[e.Token] = &request{out: l, leg: l, orbit: e.Slot.Orbit, again: recalledBefore(e.Slot)}
			return
		}
	}
	p.a.log.Warn("a recall cannot be made", "orbit", e.Slot.Orbit, "to", e.To, "err", err)
	p.step(parkd.RecallFailed{Token: e.Token})
}

// stopRecall ends a recall that rings: the call was fetched, or the caller hung up.
func (p *lot) stopRecall(token string) {
	r := p.requests[token]
	delete(p.requests, token)
	switch {
	case r == nil:
	case r.desk != "":
		p.a.desk.step(phone.Ended{Call: r.desk})
	case r.out != nil && !r.out.ended:
		r.out.token = ""
		r.out.call.Hangup("")
	}
}

// park asks for an orbit for a leg. The leg stays where it is until the machine says Music.
func (p *lot) park(l *leg, r *request, orbit string, parker parkd.Party, ref string) {
	r.park, r.orbit = true, orbit
	token := p.open("park", r)
	l.parking = token
	p.step(parkd.Park{Token: token, Leg: l.id, Orbit: orbit, Caller: l.caller, Parker: parker, ParkerRef: ref, Dialog: p.a.ref(l),
		Emergency: l.emergency, Gone: r.gone})
}

// swap puts another leg in the place of one that is parked or relayed (attended transfer); the machine hangs up the old one.
func (p *lot) swap(old, l *leg) {
	p.step(parkd.Swap{Token: p.token("swap"), Leg: old.id, NewLeg: l.id, Caller: l.caller, Dialog: p.a.ref(l)})
}

// callOf finds the parked call that a leg is, for an INVITE with Replaces.
func (p *lot) callOf(id parkd.LegID) (parkd.SlotState, bool) {
	return p.machine.HostedBy(id)
}
