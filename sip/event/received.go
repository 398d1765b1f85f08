package event

import (
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// onNotify takes a NOTIFY for a subscription of ours.
func (a *Agent) onNotify(req *gosip.Request, tx *sip.ServerTx, now time.Time) {
	refuse := func(code int, reason string, headers ...gosip.Header) {
		a.count.refused.Add(1)
		a.refuse(req, tx, code, reason, headers...)
	}
	event, ok := parseEvent(value(req, "Event"))
	if !ok {
		refuse(489, "Bad Event", a.allowEvents())
		return
	}
	toTag, _ := req.To().Params.Get("tag")
	fromTag, _ := req.From().Params.Get("tag")
	s := a.subscriptions[toTag]
	if s == nil || s.callID != req.CallID().Value() || s.event != event {
		// RFC 6665 §4.1.3: the notifier then forgets us.
		refuse(481, "Subscription Does Not Exist")
		return
	}
	// RFC 6665 §4.4.1: the NOTIFY may be here before the 200. A second notifier that a
	// proxy forked to would need a mirror of its own (§5.4.9 lets us refuse it).
	if s.remoteTag != "" && s.remoteTag != fromTag || fromTag == "" {
		refuse(481, "Subscription Does Not Exist")
		return
	}
	state, ok := parseState(value(req, "Subscription-State"))
	if !ok {
		refuse(400, "Missing Or Malformed Subscription-State")
		return
	}
	contentType, body := mediaType(req), req.Body()
	if len(body) > 0 && strings.EqualFold(value(req, "Content-Encoding"), packing) {
		var err error
		if body, err = unpack(body); err != nil {
			refuse(400, "Malformed Packed Body")
			return
		}
	}
	if len(body) > 0 {
		if contentType == "" {
			refuse(400, "Missing Content-Type")
			return
		}
		if len(s.what.Accept) > 0 && !slices.Contains(s.what.Accept, contentType) {
			refuse(415, "Unsupported Media Type", gosip.NewHeader("Accept", strings.Join(s.what.Accept, ", ")))
			return
		}
	}
	routes, err := sip.RecordRoutes(req)
	if err != nil {
		refuse(400, "Too Many Record-Routes")
		return
	}
	if !s.takeSeq(req) {
		// RFC 3261 §12.2.2: state never goes back.
		refuse(500, "Out Of Order")
		return
	}
	if s.remoteTag == "" {
		s.remoteTag = fromTag
		s.routes = routes
	}
	s.dialog.refresh(req)
	a.count.received.Add(1)
	a.answer(sip.NewResponse(req, 200, "OK"), tx)
	s.notified(state, body, contentType, now)
}

// notified takes a NOTIFY that belongs to the dialog and is in order.
func (s *Subscription) notified(h stateHeader, body []byte, contentType string, now time.Time) {
	u := Update{State: Active, Body: body, ContentType: contentType, At: now}
	if len(body) == 0 {
		u.Body, u.ContentType = nil, ""
	}
	if h.state == "terminated" {
		s.terminated(h, u, now)
		return
	}
	if s.state == leaving {
		return // the notifier has not seen our leave yet
	}
	if h.state == "pending" {
		u.State = Pending
	}
	if s.state == asking {
		s.state = live
		s.agent.count.subscriptions.Add(1)
		// Until the 200 says how long: what we asked for.
		if s.inFlight {
			s.lasts(s.want, now)
		} else {
			s.agent.timers.arm(&s.overdue, s.until)
		}
	}
	s.failures = 0
	// RFC 6665 §4.1.3: the notifier's view of the remaining time is the one that holds.
	if h.hasExpires {
		s.lasts(h.expires, now)
	}
	s.deliver(u)
}

// terminated follows the reason that the notifier gives (RFC 6665 §4.1.3).
func (s *Subscription) terminated(h stateHeader, u Update, now time.Time) {
	u.Reason = h.reason
	if s.state == leaving {
		s.finish()
		return
	}
	// Some notifiers send their last state with the end. It is not the state from here
	// on, so the owner gets it as Lost.
	u.State = Lost
	var pause time.Duration
	switch h.reason {
	case "deactivated", "timeout":
		// At once, with a new dialog. Not: "timeout" in answer to our leave, above.
	case "rejected", "noresource", "invariant":
		// Not to be asked again.
		u.State = Terminated
	default:
		// probation, giveup, an extension or none: later, by retry-after if given.
		s.failures++
		pause = s.pause(nil)
		if h.hasRetry {
			pause = min(h.retryAfter, maxExpires)
		}
	}
	if u.State == Terminated {
		s.drop(u)
		return
	}
	s.lost(u, pause, now)
}
