package event

import (
	"errors"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// placeFor is how long an unanswered NOTIFY keeps its place in the burst: a dead
// watcher delays others by that much at most.
const placeFor = 100 * time.Millisecond

// spread marks the watchers of a topic and sends what may be sent.
func (a *Agent) spread(t topic, now time.Time) {
	if t.pkg != "" && t.resource != "" {
		a.changed(a.watching[t], now)
		return
	}
	for have, list := range a.watching {
		if t.pkg == "" || have.pkg == t.pkg {
			a.changed(list, now)
		}
	}
}

func (a *Agent) changed(list []*watcher, now time.Time) {
	// Departs from RFC 3856 §6.10 (one NOTIFY in 5 s) and RFC 4235 §3.10 (one a second): a lamp that is seconds late
	// sends somebody to a call that is gone. The first change goes out at once,
	// further ones after Config.Coalesce, as one.
	for i := len(list) - 1; i >= 0; i-- { // from the end: one that ends is removed
		w := list[i]
		w.dirty = true
		if w.inFlight || w.queued || w.pace.set {
			continue
		}
		if next := w.last.Add(a.cfg.Coalesce); next.After(now) {
			a.timers.arm(&w.pace, next)
			continue
		}
		a.notify(w, now)
	}
}

// notify sends the newest state, unless a NOTIFY is in flight: then its answer will.
// 500 at once would come back as 500 answers at once, more than the receive buffer of
// a socket holds by default, and the lost ones cost half a second: so each wave waits
// for answers to the one before.
func (a *Agent) notify(w *watcher, now time.Time) {
	if w.inFlight || w.queued || !w.dirty || w.ending != "" {
		return
	}
	if a.fresh >= a.cfg.MaxBurst {
		w.queued = true
		a.backlog = append(a.backlog, w)
		return
	}
	body, ok := w.pkg.Document(w.asked)
	if !ok {
		a.terminate(w, "noresource", now)
		return
	}
	// RFC 6665 §4.1.3: the time that is left.
	a.sendNotify(w, "active;expires="+seconds(w.until.Sub(now)), body, now)
}

// drain sends what waits in the backlog while there are places.
func (a *Agent) drain(now time.Time) {
	for a.fresh < a.cfg.MaxBurst && len(a.backlog) > 0 {
		w := a.backlog[0]
		a.backlog[0] = nil
		a.backlog = a.backlog[1:]
		w.queued = false
		if a.watchers[w.localTag] == w {
			a.notify(w, now)
		}
	}
}

// leave gives up the place of w in the burst, if it still has it.
func (a *Agent) leave(w *watcher) {
	if w.place.set {
		a.timers.disarm(&w.place)
		a.fresh--
	}
}

// terminate ends a subscription: with a last NOTIFY (RFC 6665 §4.2.2), once the one
// in flight is answered, so that the order holds.
func (a *Agent) terminate(w *watcher, reason string, now time.Time) {
	if a.watchers[w.localTag] != w {
		return
	}
	a.timers.disarm(&w.expiry)
	if w.inFlight {
		w.ending = reason
		return
	}
	state := "terminated;reason=" + reason
	var body []byte
	switch reason {
	case "timeout":
		// RFC 6665 §4.4.3: the answer to a fetch or an unsubscribe has the state too.
		var ok bool
		if body, ok = w.pkg.Document(w.asked); !ok {
			state = "terminated;reason=noresource"
		}
	case "probation":
		if w.dirty { // a change that was held back
			body, _ = w.pkg.Document(w.asked)
		}
		state += ";retry-after=" + seconds(a.cfg.ComeBack)
	}
	a.forget(w)
	a.sendNotify(w, state, body, now)
}

func (a *Agent) sendNotify(w *watcher, state string, body []byte, now time.Time) {
	a.timers.disarm(&w.pace)
	req := w.dialog.request("NOTIFY")
	req.AppendHeader(gosip.NewHeader("Event", w.event.String()))
	req.AppendHeader(gosip.NewHeader("Subscription-State", state))
	if body != nil {
		contentType := gosip.ContentTypeHeader(w.pkg.ContentType)
		req.AppendHeader(&contentType)
		if w.packs && len(body) > packAbove {
			body = pack(body)
			req.AppendHeader(gosip.NewHeader("Content-Encoding", packing))
		}
		req.SetBody(body)
		// RFC 4235 §4.1: each new document has the next version.
		w.asked.Version++
	}
	w.dirty, w.inFlight, w.last = false, true, now
	a.leave(w)
	a.fresh++
	a.timers.arm(&w.place, now.Add(placeFor))
	a.count.sent.Add(1)
	a.call(req, w.send, func(sent *gosip.Request, res *gosip.Response, err error, now time.Time) {
		a.notified(w, sent, res, err, now)
	})
}

// notified takes the answer to a NOTIFY.
func (a *Agent) notified(w *watcher, sent *gosip.Request, res *gosip.Response, err error, now time.Time) {
	a.leave(w)
	defer a.drain(now)
	w.inFlight = false
	w.localSeq = max(w.localSeq, sent.CSeq().SeqNo)
	failed := err != nil || res.StatusCode >= 300
	if failed {
		a.count.failed.Add(1)
	}
	if a.watchers[w.localTag] != w {
		w.isOver()
		return // that was the last one
	}
	if failed {
		retry, there, ok := time.Second, errors.Is(err, sip.ErrOverload), true
		if err == nil {
			retry, there, ok = headerSeconds(res, "Retry-After")
		}
		// RFC 6665 §4.2.2: without Retry-After, and when nothing answers, the
		// subscription is removed. So a watcher that vanished costs one transaction.
		if !there || !ok || w.ending != "" {
			a.forget(w)
			w.isOver()
			a.log.Info("watcher removed", "peer", w.asked.Source, "resource", w.asked.Resource, "event", w.event.name, "err", failure(res, err))
			return
		}
		w.dirty = true
		a.timers.arm(&w.pace, now.Add(min(retry, time.Minute)))
		return
	}
	w.refresh(res) // RFC 6665 §4.4.1, RFC 3261 §12.2.1.2
	if w.ending != "" {
		a.terminate(w, w.ending, now)
		return
	}
	if w.dirty && !w.pace.set {
		if next := w.last.Add(a.cfg.Coalesce); next.After(now) {
			a.timers.arm(&w.pace, next)
		} else {
			a.notify(w, now)
		}
	}
}
