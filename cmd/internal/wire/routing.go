package wire

import (
	"slices"
	"strings"

	"parklamp/media"
	"parklamp/parkd"
	"parklamp/sip/call"
	"parklamp/sip/phone"
)

// service says what a dialled number asks of the lot.
type service uint8

const (
	noService service = iota
	parkService
	fetchService
)

// serviceOf reads a number that was dialled or referred to: an orbit, or one of the park codes with or without one.
// The same codes work at the keypad, where package phone reads them.
func (a *Appliance) serviceOf(number string, referred bool) (service, string) {
	codes := a.cfg.Phone
	if orbit, ok := strings.CutPrefix(number, codes.ParkCode); ok && codes.ParkCode != "" {
		return parkService, orbit
	}
	if orbit, ok := strings.CutPrefix(number, codes.FetchCode); ok && codes.FetchCode != "" {
		return fetchService, orbit
	}
	if slices.Contains(a.cfg.Lot.Orbits, number) {
		// A transfer to an orbit parks, whether its orbit is free or taken (then it is refused): two callers are
		// never joined. A plain call to an orbit fetches, and never parks the one who dials.
		if referred {
			return parkService, number
		}
		return fetchService, number
	}
	return noService, ""
}

// incoming decides who takes a new call.
func (a *Appliance) incoming(c *call.Call) call.Handler {
	a.loop.post(func() { a.route(c) })
	return a.handler(nil)
}

func (a *Appliance) route(c *call.Call) {
	info := c.Info()
	l := a.addLeg(c)
	l.incoming = true
	l.caller = party(info.Remote)
	if !a.admit(l) {
		return
	}
	if info.Replaces != nil {
		a.replace(l, info.Replaces)
		return
	}
	referred := info.ReferredBy.URI != ""
	switch what, orbit := a.serviceOf(info.RequestUser, referred); what {
	case parkService:
		parker := l.caller
		ref := ""
		if referred {
			parker, ref = party(info.ReferredBy), info.ReferredBy.URI
		}
		// Who dials the park code without a transfer hears the orbit: he may be about to transfer somebody there
		// (Swap), or is a caller whose phone does not say who sent him. Either way he is not lost.
		l.tellOrbit = !referred
		a.lot.park(l, &request{leg: l}, orbit, parker, ref)
	case fetchService:
		if referred { // one caller is never joined to another, who is parked
			l.call.Reject(603, "")
			return
		}
		a.lot.step(parkd.Fetch{Token: a.lot.open("fetch", &request{leg: l, orbit: orbit}), Leg: l.id, Orbit: orbit})
	default:
		a.ringDesk(l, info)
	}
}

// ringDesk offers a call to the desk phone.
func (a *Appliance) ringDesk(l *leg, info call.Info) {
	if a.desk == nil || !a.isMine(info.RequestUser) {
		l.call.Reject(404, "") // a gateway has no phone; a number that is nobody's rings nowhere
		return
	}
	id := phone.CallID(l.id)
	a.desk.take(l, id)
	a.desk.step(phone.Incoming{Call: id, From: l.caller.Number, Name: l.caller.Name, AutoAnswer: info.AutoAnswer && a.fromPeer(info),
		Emergency: a.callsBack(info)})
}

// replace obeys an INVITE with Replaces: the new leg takes the place of old.
func (a *Appliance) replace(l *leg, replaced *call.Call) {
	old := a.legs[legName(replaced)]
	info := l.call.Info()
	// A peer that asks for an orbit means the caller who is parked there, and never to take his place: whoever comes
	// after the caller has been fetched has lost the race.
	fetch := (a.fromPeer(info) || a.listens(info.Source.Addr())) && slices.Contains(a.cfg.Lot.Orbits, info.RequestUser)
	switch {
	case old == nil, fetch && !old.parked:
		l.call.Reject(481, "")
	case old.parked && !fetch:
		// RFC 3891 §3: somebody takes the place of whoever is parked. After an attended transfer to the park code that is
		// the caller in the place of the parker; else the caller's own side was transferred.
		a.lot.swap(old, l)
	case old.parked:
		// A peer takes the parked caller with Replaces for exactly that call.
		// Departs from RFC 3891 §3: the replaced dialog is not ended, it is the caller's; its media is relayed.
		slot, ok := a.lot.callOf(old.id)
		if !ok {
			l.call.Reject(481, "")
			return
		}
		a.lot.step(parkd.Fetch{Token: a.lot.open("fetch", &request{leg: l, orbit: slot.Orbit}), Leg: l.id, CallID: slot.CallID})
	case old.desk != "":
		a.replaceDesk(old, l)
	case old.pair != nil:
		a.replacePaired(old, l)
	default:
		l.call.Reject(481, "")
	}
}

// replaceDesk puts the far end of another dialog in the place of one that the worker talks to. RFC 3891 §3: the new
// one is answered at once, then the old one is ended.
func (a *Appliance) replaceDesk(old, l *leg) {
	if !old.answered { // RFC 3891 §3: a dialog that we did not start and have not answered cannot be replaced
		l.call.Reject(481, "")
		return
	}
	if err := a.answer(l); err != nil {
		a.log.Warn("a call with Replaces cannot be answered", "call", l.id, "err", err)
		l.call.Reject(488, "")
		return
	}
	id := old.desk // the phone's name of the call stays: it goes on with somebody else
	old.desk = ""
	old.silence()
	a.desk.take(l, id)
	a.desk.step(phone.Identity{Call: id, From: l.caller.Number, Name: l.caller.Name})
	old.call.Hangup("replaced")
}

// replacePaired does the same for a call that is relayed here.
func (a *Appliance) replacePaired(old, l *leg) {
	other := old.pair
	a.unpair(old)
	err := a.answer(l)
	if err == nil {
		err = a.relay(other, l)
	}
	if err != nil {
		a.log.Warn("a relayed call cannot be replaced", "call", l.id, "err", err)
		l.call.Reject(488, "")
		if err := a.relay(other, old); err != nil {
			a.log.Warn("a relayed call is lost", "call", other.id, "err", err)
		}
		return
	}
	a.lot.swap(old, l)
}

// handler is what the call of a leg tells its events: it brings them to the loop. Only a key that the far end may use at
// once does not wait for that; s is the leg's media, nil while it has none.
func (a *Appliance) handler(s *media.Session) call.Handler {
	return func(c *call.Call, ev call.Event) {
		if ev, ok := ev.(call.KeyAgreed); ok {
			a.expectKey(s, ev.Media)
			return
		}
		a.loop.post(func() {
			if l := a.legs[legName(c)]; l != nil && !a.frozen {
				a.event(l, ev)
			}
		})
	}
}

// event takes what happened to a leg, first for the leg itself, then for its owner.
func (a *Appliance) event(l *leg, ev call.Event) {
	a.keeper.dirty = true
	switch ev := ev.(type) {
	case call.EarlyMedia:
		a.agree(l, ev.Media)
	case call.Answered:
		l.answered = true
		if !l.incoming {
			l.confirmed = true // the ACK is sent with the event
		}
		a.agree(l, ev.Media)
	case call.Acked:
		a.confirm(l)
	case call.MediaChanged:
		a.agree(l, ev.Media)
	case call.UpdateFailed:
		a.log.Warn("a change of the media was refused", "call", l.id, "code", ev.Code)
		if l.media != nil && !l.ended {
			a.watchSilence(l) // it may have been the question whether the far end is there: ask again
			a.offerKeys(l)
		}
	case call.IdentityChanged:
		l.caller = party(ev.Party)
		a.lot.step(parkd.CallerChanged{Leg: l.id, Caller: l.caller})
	case call.Referred:
		l.transfer = ev.Transfer
	case call.DTMF:
		a.digit(l, ev.Digit, true)
	case call.Ended:
		l.ended = true
		a.soundEnded(l, ev)
	}
	switch {
	case l.desk != "":
		a.desk.onCall(l, ev)
	case l.page:
		a.onPage(l, ev)
	default:
		a.lot.onCall(l, ev)
	}
	if ended, ok := ev.(call.Ended); ok {
		a.removeLeg(l, ended)
	}
	a.lot.noteDialog(l)
}
