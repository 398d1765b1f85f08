package call

import (
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// interval is the session interval that we ask for.
func (c *Call) interval() time.Duration {
	return max(c.ua.cfg.SessionExpires, c.d.Session.MinSE)
}

// tooSmall says whether a request asks for a shorter session timer than ours may be, and gives the
// header that tells so. RFC 4028 §9.
func tooSmall(req *gosip.Request, minimum time.Duration) (gosip.Header, bool) {
	v := value(req, "session-expires", "x")
	if v == "" {
		return nil, false
	}
	d, ok := sip.Seconds(v)
	// RFC 4028 §9: who does not support the extension (a proxy has put the header in) gets no 422.
	if !ok || d >= minimum || !has(req, "timer", "supported", "k") {
		return nil, false
	}
	return header("Min-SE", inSeconds(minimum)), true
}

// sessionAsked sets the session timer that an INVITE or UPDATE of the far end leads to, and gives the
// headers of the 2xx. RFC 4028 §9, table 2.
func (c *Call) sessionAsked(req *gosip.Request) []gosip.Header {
	s := &c.d.Session
	theirs := has(req, "timer", "supported", "k")
	floor := c.ua.cfg.MinSE
	if d, ok := sip.Seconds(value(req, "min-se")); ok && d <= 24*time.Hour {
		floor = max(floor, d)
	}
	s.MinSE = max(s.MinSE, floor)
	asked := value(req, "session-expires", "x")
	s.Interval = max(c.ua.cfg.SessionExpires, floor)
	if d, ok := sip.Seconds(asked); ok {
		// A UAS may shorten the interval, down to Min-SE.
		s.Interval = min(max(d, floor), s.Interval)
	}
	refresher, _ := param(asked, "refresher")
	switch {
	case !theirs:
		s.Refresh = true // they cannot
	case refresher == "uac":
		s.Refresh = false
	case refresher == "uas":
		s.Refresh = true
	default:
		// Our choice. We refresh, since it is us who must know that a parked caller is still there.
		s.Refresh = true
	}
	if s.Refresh {
		return []gosip.Header{header("Session-Expires", inSeconds(s.Interval)+";refresher=uas")}
	}
	return []gosip.Header{
		header("Session-Expires", inSeconds(s.Interval)+";refresher=uac"),
		// RFC 4028 §9: with refresher=uac the 2xx requires timer.
		header("Require", "timer"),
	}
}

// sessionAnswered sets the session timer that a 2xx to our INVITE or UPDATE leads to. RFC 4028 §7.2.
func (c *Call) sessionAnswered(res *gosip.Response) {
	s := &c.d.Session
	// A far end without session timers: we refresh alone, which RFC 4028 §7.2 leaves open.
	s.Interval, s.Refresh = c.interval(), true
	v := value(res, "session-expires", "x")
	if d, ok := sip.Seconds(v); ok && d >= 30*time.Second && d <= 24*time.Hour {
		s.Interval = d
		refresher, _ := param(v, "refresher")
		s.Refresh = refresher != "uas"
	}
	c.armSession()
}

// longerSession learns from a 422 and says whether it is worth trying again. RFC 4028 §7.3.
func (c *Call) longerSession(res *gosip.Response) bool {
	d, ok := sip.Seconds(value(res, "min-se"))
	if !ok || d <= c.interval() || d > 24*time.Hour {
		return false
	}
	c.d.Session.MinSE = d
	return true
}

// armSession starts the timers anew. RFC 4028 §10.
func (c *Call) armSession() {
	c.refresh.stop()
	c.expiry.stop()
	s := c.d.Session
	if s.Interval == 0 || c.state == phaseEnded {
		return
	}
	if s.Refresh {
		// RFC 4028 §7.2, §10: the refresh is sent when half of the interval is over.
		c.refresh = c.after(s.Interval/2, c.sendRefresh)
	}
	// RFC 4028 §10: BYE the lesser of 32 s and a third of the interval before the session expires.
	c.expiry = c.after(s.Interval-min(32*time.Second, s.Interval/3), func() {
		c.hangup(Ended{Cause: Timeout, Code: 408, Reason: "session timer expired"}, `SIP;cause=408;text="Session Timer Expired"`)
	})
}

// sendRefresh renews the session: by UPDATE without a description where the far end takes it, as
// RFC 4028 §7.4 recommends, else by a re-INVITE with the description that was sent last.
func (c *Call) sendRefresh() {
	if c.state == phaseAnswering {
		c.refresh = c.after(5*time.Second, c.sendRefresh)
		return
	}
	if c.state != phaseActive {
		return
	}
	if c.d.Allows("UPDATE") && !c.reINVITEOn {
		c.sendUPDATE()
		return
	}
	if c.update == nil {
		c.pendingRefresh = true
	}
	c.next()
}

// sendUPDATE refreshes the session and tells who we are, without touching the media.
func (c *Call) sendUPDATE() {
	c.ask(gosip.UPDATE, func(req *gosip.Request) {
		c.decorate(req)
		c.askSession(req)
	}, func(code int, res *gosip.Response) {
		if c.state == phaseEnded {
			return
		}
		switch {
		case code < 300:
			c.d.refreshTarget(res)
			c.sessionAnswered(res)
			c.newIdentity(res)
		case code == 422 && c.longerSession(res):
			c.sendUPDATE()
		case code == 405 || code == 501 || code == 420:
			c.reINVITEOn = true
			c.sendRefresh()
		case c.fatal(code, res):
		default:
			// The session lasts until its interval ends; there is time for another try or two.
			c.refresh.stop()
			c.refresh = c.after(10*time.Second, c.sendRefresh)
		}
	})
}

// askSession puts the session timer into a request inside the dialog. RFC 4028 §7.4: who refreshes
// goes on to do so.
func (c *Call) askSession(req *gosip.Request) {
	refresher := "uac"
	if !c.d.Session.Refresh && c.d.Session.Interval != 0 {
		refresher = "uas"
	}
	d := c.d.Session.Interval
	if d == 0 || d < c.d.Session.MinSE {
		d = c.interval()
	}
	req.AppendHeader(header("Session-Expires", inSeconds(d)+";refresher="+refresher))
}

// fatal ends the call if a final response inside the dialog means that the far end is gone. RFC 3261
// §12.2.1.2: 481 and 408 (which no response counts as).
func (c *Call) fatal(code int, res *gosip.Response) bool {
	switch {
	case code == 481:
		// RFC 5057 §5.1: nobody is left to say BYE to.
		c.ended(Ended{Cause: Gone, Code: code, Reason: clean(res.Reason)})
	case code == 408:
		c.hangup(Ended{Cause: Timeout, Code: code, Reason: "far end does not answer"}, `SIP;cause=408;text="Request Timeout"`)
	default:
		return false
	}
	return true
}
