// Package event is SIP events in both roles: subscriptions (RFC 6665) and
// publications (RFC 3903). It keeps lamps of other makers' phones and the mirrors of
// peers in step with the state of this appliance.
//
// As notifier it sends full state after every SUBSCRIBE and after each change: the
// first change at once, further ones coalesced (Config.Coalesce), never more than
// one NOTIFY in flight for a subscription, always the newest state. A watcher that
// answers a NOTIFY with an error or not at all is removed. CSeq and the version
// that documents carry belong to the dialog and only grow; after a restart there is
// no dialog, the watcher gets 481 and makes a new one.
//
// As subscriber it keeps one subscription alive for ever, whatever happens to the
// notifier, and tells its owner the truth: Active with the state, or Lost while the
// state is not known, or Terminated when the notifier does not want it.
//
// It never looks into a document, but packs a long one for who takes that (RFC 3261
// §20.12), never blocks a SIP handler and keeps nothing on disk. It does not
// implement event templates, eventlist (RFC 4662), conditional SUBSCRIBE (RFC
// 5839), GRUU (RFC 5627) or authentication of subscribers by digest.
//
// Goroutines, all owned by Run: the one of Run, which owns every subscription and
// publication and calls all callbacks, so that they must not block; and one for
// each request in flight, which waits for its answer.
package event

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

var (
	// ErrStopped means that Run has ended.
	ErrStopped = errors.New("event: agent has stopped")
)

// Agent is both roles on one endpoint.
type Agent struct {
	// immutable
	ep  *sip.Endpoint
	cfg Config
	log *slog.Logger

	// immutable once Run has begun
	packages    map[string]*Package
	publishable map[string]func(Publication) (int, string)
	hook        func(req *gosip.Request, tx *sip.ServerTx) bool

	inbox mailbox
	life  context.Context         // ended when Run ends, by ErrStopped
	end   context.CancelCauseFunc // ends life
	calls sync.WaitGroup          // goroutines that wait for answers

	// owned by Run
	timers        deadlines
	watchers      map[string]*watcher // by our tag
	watching      map[topic][]*watcher
	perSource     map[netip.Addr]int       // watchers by their address
	fresh         int                      // watchers that hold a place in the burst
	backlog       []*watcher               // wait for a place, oldest first, each once
	subscriptions map[string]*Subscription // by our tag, those with a dialog
	all           map[*Subscription]bool
	publications  map[string]*publication // by entity-tag
	open          int                     // requests that wait for their answer
	stopping      bool

	count counters
}

// topic is a resource of a package; the resource "" stands for all of them.
type topic struct{ pkg, resource string }

// New returns an agent on ep. It registers the methods SUBSCRIBE, NOTIFY and PUBLISH
// there and starts nothing.
func New(ep *sip.Endpoint, cfg Config, log *slog.Logger) *Agent {
	a := &Agent{
		ep: ep, cfg: cfg, log: log,
		packages:      map[string]*Package{},
		publishable:   map[string]func(Publication) (int, string){},
		watchers:      map[string]*watcher{},
		watching:      map[topic][]*watcher{},
		perSource:     map[netip.Addr]int{},
		subscriptions: map[string]*Subscription{},
		all:           map[*Subscription]bool{},
		publications:  map[string]*publication{},
	}
	a.life, a.end = context.WithCancelCause(context.Background())
	a.inbox.wake = make(chan struct{}, 1)
	a.inbox.limit = cfg.MaxPending
	ep.Handle("SUBSCRIBE", a.handler(a.onSubscribe))
	ep.Handle("PUBLISH", a.handler(a.onPublish))
	notify := a.handler(a.onNotify)
	ep.Handle("NOTIFY", func(req *gosip.Request, tx *sip.ServerTx) {
		if a.hook == nil || !a.hook(req, tx) {
			notify(req, tx)
		}
	})
	return a
}

// NotifyHook registers what sees each NOTIFY first; it returns true if it has
// answered. It runs in the endpoint's handler. Before Run.
func (a *Agent) NotifyHook(f func(req *gosip.Request, tx *sip.ServerTx) bool) { a.hook = f }

// Run serves until ctx ends. Then it tells its watchers to come back later, ends
// its own subscriptions, waits at most Config.ShutdownFor for the answers and
// returns after its last goroutine, with nil. Call it once, while the endpoint runs,
// and stop it before the endpoint.
func (a *Agent) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		a.step(time.Now())
		var due <-chan time.Time
		if at, ok := a.timers.next(); ok {
			timer.Reset(time.Until(at))
			due = timer.C
		}
		select {
		case <-a.inbox.wake:
		case <-due:
		case <-ctx.Done():
			a.shutdown()
			return nil
		}
	}
}

// Dismiss tells the watchers of a package to come back later, as the end of Run does, and returns when they have answered,
// or when ctx or Config.ShutdownFor ends.
func (a *Agent) Dismiss(ctx context.Context, pkg string) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.ShutdownFor)
	defer cancel()
	over := make(chan struct{})
	a.inbox.put(func(now time.Time) {
		left := 1 // this function
		done := func() {
			if left--; left == 0 {
				close(over)
			}
		}
		for _, w := range a.watchers {
			if w.pkg.Name == pkg && w.over == nil {
				left++
				w.over = done
				a.terminate(w, "probation", now)
			}
		}
		done()
	})
	select {
	case <-over:
	case <-ctx.Done():
	case <-a.life.Done():
	}
}

// Deactivate ends the subscriptions to a package whose requests are chosen, which is asked in Run's goroutine: who is told so
// makes a new one at once (RFC 6665 §4.1.3), and what changes meanwhile is told in that one only.
func (a *Agent) Deactivate(pkg string, chosen func(Request) bool) {
	a.inbox.put(func(now time.Time) {
		for _, w := range a.watchers {
			if w.pkg.Name == pkg && w.ending == "" && chosen(w.asked) {
				a.terminate(w, "deactivated", now)
			}
		}
	})
}

// step does all work that is waiting.
func (a *Agent) step(now time.Time) {
	work, changed := a.inbox.take()
	for _, f := range work {
		f(now)
	}
	for _, t := range changed {
		a.spread(t, now)
	}
	a.timers.run(now)
}

// shutdown says good-bye in both roles and ends the goroutines.
func (a *Agent) shutdown() {
	now := time.Now()
	a.step(now) // a last change, such as "closed", goes out before the end
	a.stopping = true
	for _, w := range a.watchers {
		// RFC 6665 §4.1.3: probation asks the subscriber to come back later.
		a.terminate(w, "probation", now)
	}
	for s := range a.all {
		s.end(now)
	}
	timer := time.NewTimer(a.cfg.ShutdownFor)
	defer timer.Stop()
	for late := false; a.open > 0 && !late; {
		select {
		case <-a.inbox.wake:
			a.step(time.Now())
		case <-timer.C:
			late = true
		}
	}
	a.end(ErrStopped)
	a.inbox.close()
	a.calls.Wait()
}

// handler queues requests for Run; when too many wait, the sender is told to come
// back.
func (a *Agent) handler(f func(req *gosip.Request, tx *sip.ServerTx, now time.Time)) sip.Handler {
	return func(req *gosip.Request, tx *sip.ServerTx) {
		if !a.inbox.offer(func(now time.Time) { f(req, tx, now) }) {
			a.count.refused.Add(1)
			a.refuse(req, tx, 503, "Service Unavailable", gosip.NewHeader("Retry-After", "2"))
		}
	}
}

// call sends a request and hands its final response, or the error instead of one,
// to done in Run's goroutine.
func (a *Agent) call(req *gosip.Request, s sip.Send, done func(sent *gosip.Request, res *gosip.Response, err error, now time.Time)) {
	a.open++
	tx := a.ep.Request(req, s)
	a.calls.Go(func() {
		res, err := tx.Final(a.life)
		sent := tx.Request()
		a.inbox.put(func(now time.Time) {
			a.open--
			done(sent, res, err, now)
		})
	})
}

// answer sends a response with extra headers. An answer that cannot be sent is the
// sender's to miss: it repeats the request.
func (a *Agent) answer(res *gosip.Response, tx *sip.ServerTx, headers ...gosip.Header) {
	for _, h := range headers {
		res.AppendHeader(h)
	}
	if err := tx.Respond(res); err != nil {
		a.log.Debug("event answer not sent", "peer", tx.Source(), "err", err)
	}
}

func (a *Agent) refuse(req *gosip.Request, tx *sip.ServerTx, code int, reason string, headers ...gosip.Header) {
	a.answer(sip.NewResponse(req, code, reason), tx, headers...)
}
