package event

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// What a far end says about time is taken within these bounds: it can neither spin
// us nor make us wait for longer than a day.
const (
	minExpires = 2 * time.Second
	maxExpires = 24 * time.Hour
)

// Subscribe describes a subscription of ours.
type Subscribe struct {
	Target  gosip.Uri     // resource to watch
	Event   string        // package
	Accept  []string      // media types that the owner understands, preferred first
	Expires time.Duration // asked for; 0 means 1 h
	From    gosip.Uri     // who asks

	Auth      *sip.Credentials // for 401 and 407, nil for none
	Route     []gosip.Uri      // outbound proxies, nil for none
	Transport string           // "udp", "tcp", "tls", "" as the target says
}

// State is what an Update says.
type State uint8

// The values of State.
const (
	// Active: Body is the newest state.
	Active State = iota
	// Pending: the notifier has not decided yet; Body may be less than the truth.
	Pending
	// Lost: the state is not known; the agent tries to get it back. It is said again
	// after each try that failed, with its reason.
	Lost
	// Terminated: the notifier does not want us, or the owner has stopped. Nothing follows.
	Terminated
)

// String returns the name of the state in lower case.
func (s State) String() string {
	switch s {
	case Active:
		return "active"
	case Pending:
		return "pending"
	case Lost:
		return "lost"
	case Terminated:
		return "terminated"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Update is what a subscription tells its owner.
type Update struct {
	State       State
	Body        []byte // nil when the NOTIFY had none
	ContentType string
	Reason      string // for Lost and Terminated: reason of RFC 6665 §4.1.3, or the failure in words
	At          time.Time
}

// Subscription is a subscription of ours. It lives until Stop, Terminated or the end
// of Run.
type Subscription struct {
	// immutable
	agent *Agent
	what  Subscribe
	tell  func(Update)

	stopped atomic.Bool

	// owned by Run
	dialog
	state    substate
	event    eventHeader
	want     time.Duration // Expires to ask for
	inFlight bool          // a SUBSCRIBE waits for its answer
	again    bool          // another one is due after that
	until    time.Time     // when the notifier lets go
	started  time.Time     // of the newest dialog
	failures int           // in a row, without a NOTIFY between

	refreshAt deadline // next SUBSCRIBE in the dialog
	overdue   deadline // first NOTIFY, or end of the dialog
	retry     deadline // next dialog
}

// substate is the life of a Subscription:
//
//	idle -> asking -> live -> idle (lost, tried again) ...   any -> leaving -> over
type substate uint8

const (
	idle    substate = iota // no dialog; retry is armed
	asking                  // SUBSCRIBE sent, no NOTIFY yet
	live                    // NOTIFY came
	leaving                 // unsubscribing
	over
)

// Subscribe starts a subscription and keeps it alive. It does not block; h is called
// in Run's goroutine, in order, and must not block. After Stop at most the call that is
// under way still ends.
func (a *Agent) Subscribe(what Subscribe, h func(Update)) *Subscription {
	s := &Subscription{agent: a, what: what, tell: h, want: what.Expires}
	if s.want <= 0 {
		s.want = time.Hour
	}
	s.event, _ = parseEvent(what.Event)
	s.refreshAt.fire = s.ask
	s.overdue.fire = s.expired
	s.retry.fire = s.start
	a.inbox.put(func(now time.Time) {
		a.all[s] = true
		s.start(now)
	})
	return s
}

// Stop ends the subscription: the notifier is told, the owner hears nothing more.
func (s *Subscription) Stop() {
	s.stopped.Store(true)
	s.agent.inbox.put(s.end)
}

// Refresh asks for full state now: in the dialog if there is one, else with a new
// one, without waiting for the back-off. For an owner that has heard that the
// notifier is back.
func (s *Subscription) Refresh() {
	s.agent.inbox.put(func(now time.Time) {
		switch s.state {
		case idle:
			s.start(now)
		case asking, live:
			s.ask(now)
		}
	})
}

// start makes a new dialog.
func (s *Subscription) start(now time.Time) {
	if s.state != idle {
		return
	}
	a := s.agent
	a.timers.disarm(&s.retry)
	s.state, s.started = asking, now
	target := s.what.Target
	// RFC 3261 §8.1.1.3: To is the logical name, so without port and transport.
	remote := gosip.Uri{Scheme: target.Scheme, User: target.User, Host: target.Host}
	s.dialog = dialog{
		callID: sip.NewTag(), local: s.what.From, remote: remote, localTag: sip.NewTag(),
		target: target, routes: s.what.Route, localSeq: rand.Uint32N(1 << 16),
		contact: a.ep.ContactFor(destination(target, s.what.Route), s.what.Transport),
		send:    sip.Send{Auth: s.what.Auth, Transport: s.what.Transport},
	}
	s.contact.User = s.what.From.User
	a.subscriptions[s.localTag] = s
	// RFC 6665 §4.1.2.4: timer N.
	a.timers.arm(&s.overdue, now.Add(a.cfg.NotifyWait))
	s.ask(now)
}

// destination is the host of the first hop.
func destination(target gosip.Uri, routes []gosip.Uri) string {
	if len(routes) > 0 {
		target = routes[0]
	}
	return target.Host
}

// ask sends SUBSCRIBE in the dialog or to make it; with Expires 0 to leave it.
func (s *Subscription) ask(now time.Time) {
	if s.state == idle || s.state == over {
		return
	}
	if s.inFlight {
		s.again = true
		return
	}
	s.agent.timers.disarm(&s.refreshAt)
	expires := s.want
	if s.state == leaving {
		expires = 0
	}
	req := s.dialog.request("SUBSCRIBE")
	req.AppendHeader(gosip.NewHeader("Event", s.event.String()))
	req.AppendHeader(gosip.NewHeader("Expires", seconds(expires)))
	if len(s.what.Accept) > 0 {
		req.AppendHeader(gosip.NewHeader("Accept", strings.Join(s.what.Accept, ", ")))
	}
	req.AppendHeader(gosip.NewHeader("Accept-Encoding", packing))
	s.inFlight, s.again = true, false
	tag := s.localTag
	s.agent.call(req, s.send, func(sent *gosip.Request, res *gosip.Response, err error, now time.Time) {
		if s.localTag != tag {
			return // the answer belongs to a dialog that is gone
		}
		s.inFlight = false
		s.localSeq = max(s.localSeq, sent.CSeq().SeqNo) // digest took numbers
		s.answered(res, err, now)
	})
}

// expired fires when no NOTIFY came (timer N), when nobody refreshed in time, and
// when a far end does not end what we left.
func (s *Subscription) expired(now time.Time) {
	switch s.state {
	case leaving:
		s.finish()
	case asking:
		s.failures++
		s.lose("no state came", s.pause(nil), now)
	case live:
		s.lose("subscription expired", 0, now)
	}
}

// lose tells the owner that the state is not known, and makes a new dialog after a
// pause.
func (s *Subscription) lose(reason string, pause time.Duration, now time.Time) {
	s.lost(Update{State: Lost, Reason: reason, At: now}, pause, now)
}

func (s *Subscription) lost(u Update, pause time.Duration, now time.Time) {
	s.drop(u)
	if s.state == over {
		return
	}
	// A notifier that ends each dialog at once must not spin us.
	if pause == 0 && now.Sub(s.started) < s.agent.cfg.MinBackoff {
		pause = s.agent.cfg.MinBackoff
	}
	s.agent.timers.arm(&s.retry, now.Add(pause))
}

// drop leaves the dialog as it is and delivers the update. Terminated ends it all.
func (s *Subscription) drop(u Update) {
	a := s.agent
	if s.state == live {
		a.count.subscriptions.Add(-1)
	}
	delete(a.subscriptions, s.localTag)
	a.timers.disarm(&s.refreshAt)
	a.timers.disarm(&s.overdue)
	a.timers.disarm(&s.retry)
	s.localTag, s.inFlight, s.again, s.state = "", false, false, idle
	if u.State == Terminated || s.stopped.Load() || a.stopping {
		s.state = over
		delete(a.all, s)
	}
	s.deliver(u)
}

func (s *Subscription) deliver(u Update) {
	if !s.stopped.Load() && s.tell != nil {
		s.tell(u)
	}
}

// end unsubscribes.
func (s *Subscription) end(now time.Time) {
	switch s.state {
	case idle:
		s.finish()
	case asking, live:
		s.stopped.Store(true)
		if s.state == live {
			s.agent.count.subscriptions.Add(-1)
		}
		s.state = leaving
		s.agent.timers.arm(&s.overdue, now.Add(s.agent.cfg.NotifyWait))
		s.ask(now) // when one is in flight, after it
	}
}

// finish forgets a subscription that is left.
func (s *Subscription) finish() {
	s.stopped.Store(true)
	s.drop(Update{})
}

// pause is how long to wait before the next try: what the far end says, else a
// back-off with jitter, so that a returning notifier is not met by all at once.
func (s *Subscription) pause(res *gosip.Response) time.Duration {
	if res != nil {
		if d, there, ok := headerSeconds(res, "Retry-After"); there && ok {
			return min(d, maxExpires)
		}
	}
	d := s.agent.cfg.MinBackoff << min(max(0, s.failures-1), 16)
	d = min(d, s.agent.cfg.MaxBackoff)
	return d*3/4 + rand.N(d/2+1)
}
