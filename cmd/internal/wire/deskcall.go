package wire

import (
	"parklamp/parkd"
	"parklamp/sip/call"
	"parklamp/sip/phone"
)

// recallOf finds the open recall that rings here: the phone's name of the call is its token.
func (d *desk) recallOf(id phone.CallID) (token string, ok bool) {
	r, ok := d.a.lot.requests[string(id)]
	return string(id), ok && r.desk == id
}

func (d *desk) dial(e phone.Dial) {
	if e.Emergency {
		d.a.emergencyAt = d.a.now()
	}
	to, err := d.a.resolve(e.Number)
	var l *leg
	if err == nil {
		l, err = d.a.invite(to, nil, func(o *call.Invite) { o.Emergency = e.Emergency })
	}
	if err != nil {
		d.a.log.Warn("a number cannot be dialled", "err", err)
		d.step(phone.Failed{Call: e.Call, Code: 404})
		return
	}
	l.emergency = e.Emergency
	d.take(l, e.Call)
}

func (d *desk) answerCall(id phone.CallID) {
	if token, ok := d.recallOf(id); ok {
		d.a.lot.step(parkd.RecallAnswered{Token: token})
		return
	}
	l := d.calls[id]
	if l == nil {
		return
	}
	if err := d.a.answer(l); err != nil {
		d.a.log.Warn("a call cannot be answered", "call", l.id, "err", err)
		l.call.Reject(488, "")
	}
}

// endCall hangs up, or refuses with code while it rings.
func (d *desk) endCall(id phone.CallID, code int) {
	if token, ok := d.recallOf(id); ok {
		d.a.lot.step(parkd.RecallFailed{Token: token, Code: max(code, 480)})
		d.step(phone.Ended{Call: id})
		return
	}
	l := d.calls[id]
	switch {
	case l == nil:
		d.step(phone.Ended{Call: id})
	case code != 0 && l.incoming && !l.answered:
		l.call.Reject(code, "")
	default:
		l.silence()
		l.call.Hangup("")
	}
}

func (d *desk) park(e phone.Park) {
	l := d.calls[e.Call]
	if l == nil {
		d.step(phone.ParkRefused{Call: e.Call, Orbit: e.Orbit, Reason: phone.ReasonUnknown})
		return
	}
	d.a.lot.park(l, &request{desk: e.Call}, e.Orbit, d.a.self(), parkd.DeskPhone)
}

// parkAgain tries a park anew, if the call is still here.
func (d *desk) parkAgain(r *request) {
	if l := d.calls[r.desk]; l != nil {
		d.a.lot.park(l, r, r.orbit, d.a.self(), parkd.DeskPhone)
	}
}

// cancelFetch gives up a fetch. One that is under way at another appliance goes on: the caller may be on the way here, and
// the phone parks him again.
func (d *desk) cancelFetch(id phone.CallID) {
	for token, r := range d.a.lot.requests {
		if r.desk == id && !r.park && r.out == nil {
			d.a.lot.step(parkd.Abort{Token: token})
			return
		}
	}
}

func (d *desk) blindTransfer(e phone.BlindTransfer) {
	l := d.calls[e.Call]
	to, err := d.a.resolve(e.Target)
	if l == nil || err != nil {
		d.step(phone.TransferProgress{Call: e.Call, Code: 404, Final: true})
		return
	}
	l.call.Refer(to, nil)
}

func (d *desk) attendedTransfer(e phone.AttendedTransfer) {
	l, to := d.calls[e.Call], d.calls[e.To]
	if l == nil || to == nil {
		d.step(phone.TransferProgress{Call: e.Call, Code: 481, Final: true})
		return
	}
	l.call.ReferTo(to.call)
}

// follow calls the target of a REFER that the far end of another call has sent.
func (d *desk) follow(e phone.Follow) {
	referrer := d.calls[e.Referrer]
	if referrer == nil || referrer.transfer == nil {
		d.step(phone.Failed{Call: e.Call, Code: 481})
		return
	}
	t := referrer.transfer
	t.Accept()
	l, err := d.a.invite(t.Target, nil, func(o *call.Invite) { followTransfer(o, t) })
	if err != nil {
		d.a.log.Warn("a transfer cannot be followed", "call", referrer.id, "err", err)
		t.Done(503, "Service Unavailable")
		referrer.transfer = nil
		d.step(phone.Failed{Call: e.Call, Code: 503})
		return
	}
	l.referrer = referrer
	d.take(l, e.Call)
}

// onCall translates what happens to one of the phone's legs.
func (d *desk) onCall(l *leg, ev call.Event) {
	id := l.desk
	switch ev := ev.(type) {
	case call.Ringing:
		if l.call.Info().Direction == call.Outgoing && ev.Code >= 180 {
			l.report(ev.Code, "Ringing")
			d.step(phone.Progress{Call: id})
		}
	case call.EarlyMedia:
		d.step(phone.Progress{Call: id, Early: true})
	case call.Answered:
		if !l.incoming {
			l.finish(200, "OK")
			d.step(phone.Answered{Call: id})
		}
	case call.MediaChanged:
		d.handset.heldByFar(l)
		d.step(phone.RemoteHold{Call: id, Held: ev.Media.RemoteHold})
	case call.IdentityChanged:
		d.step(phone.Identity{Call: id, From: ev.Party.Number, Name: ev.Party.Name})
	case call.Referred:
		d.step(phone.Referred{Call: id})
	case call.TransferProgress:
		if ev.Final && ev.Code >= 300 {
			d.a.log.Warn("the far end could not be transferred", "call", l.id, "code", ev.Code, "reason", ev.Reason)
		}
		d.step(phone.TransferProgress{Call: id, Code: ev.Code, Final: ev.Final})
	case call.Ended:
		delete(d.calls, id)
		l.desk = ""
		if d.hears(id) {
			d.connect()
		}
		if !l.incoming && !l.answered && ev.Cause != call.Cancelled {
			l.finish(max(ev.Code, 480), ev.Reason)
			d.step(phone.Failed{Call: id, Code: ev.Code})
			return
		}
		d.step(phone.Ended{Call: id})
	}
}
