package event

import (
	"fmt"
	"slices"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// answered takes the final response to a SUBSCRIBE.
func (s *Subscription) answered(res *gosip.Response, err error, now time.Time) {
	var routes []gosip.Uri
	if err == nil {
		routes, err = sip.RecordRoutes(res)
	}
	switch {
	case err == nil && res.StatusCode < 300:
		s.granted(res, routes, now)
	case s.state == leaving:
		s.finish()
	case err == nil && res.StatusCode == 423:
		s.tooBrief(res, now)
	case err == nil && s.state == live && survives(res.StatusCode):
		// RFC 6665 §4.1.2.2: the subscription stands until it expires; until then
		// the refresh is tried again.
		s.failures++
		s.agent.timers.arm(&s.refreshAt, now.Add(s.pause(res)))
	case err == nil && s.state == live && res.StatusCode == 481:
		// RFC 6665 §4.1.2.2: a new subscription, with full state.
		s.lose("subscription does not exist at the notifier", 0, now)
	case err == nil && hopeless(res.StatusCode):
		s.drop(Update{State: Terminated, Reason: failure(res, nil), At: now})
	default:
		s.failures++
		s.lose(failure(res, err), s.pause(res), now)
	}
}

// granted takes a 2xx and its record-routes.
func (s *Subscription) granted(res *gosip.Response, routes []gosip.Uri, now time.Time) {
	if s.remoteTag == "" {
		// RFC 3261 §12.1.2. A NOTIFY that came first has done it (RFC 6665 §4.4.1).
		s.remoteTag, _ = res.To().Params.Get("tag")
		slices.Reverse(routes)
		s.routes = routes
	}
	s.refresh(res)
	if s.state == leaving {
		// We leave a dialog just made, or the last NOTIFY is still to come.
		if s.again {
			s.ask(now)
		} else if s.agent.stopping {
			s.finish()
		}
		return
	}
	d, there, ok := headerSeconds(res, "Expires")
	if !there || !ok {
		d = s.want // RFC 6665 §8.1 wants the header; some leave it out
	}
	s.lasts(d, now)
	if s.again {
		s.ask(now)
	}
}

// lasts sets when the dialog ends and when it is refreshed.
func (s *Subscription) lasts(d time.Duration, now time.Time) {
	d = min(max(d, minExpires), maxExpires)
	s.until = now.Add(d)
	// Time for a retransmission or two, more for long ones.
	margin := min(max(d/10, 5*time.Second), time.Minute, d/2)
	s.agent.timers.arm(&s.refreshAt, s.until.Add(-margin))
	if s.state == live {
		s.agent.timers.arm(&s.overdue, s.until)
	}
}

// tooBrief asks again with the time that the notifier wants (RFC 6665 §4.1.2.1).
func (s *Subscription) tooBrief(res *gosip.Response, now time.Time) {
	least, there, ok := headerSeconds(res, "Min-Expires")
	if !there || !ok || least <= s.want || least > maxExpires {
		s.failures++
		s.lose(failure(res, nil), s.pause(res), now)
		return
	}
	s.want = least
	s.ask(now)
}

// survives reports whether a refresh with this answer leaves the subscription
// standing (RFC 6665 §4.1.2.2 lists those that do not).
func survives(code int) bool {
	return !slices.Contains([]int{404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604}, code) && !hopeless(code)
}

// hopeless reports whether a notifier with this answer will not answer otherwise
// next time: it forbids or does not know what we ask.
func hopeless(code int) bool {
	return slices.Contains([]int{403, 405, 406, 415, 420, 489, 501}, code) || code >= 600
}

// failure names what ended a request.
func failure(res *gosip.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", res.StatusCode, res.Reason)
}
