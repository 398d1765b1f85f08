package event

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// Package is an event package that the agent serves.
type Package struct {
	Name        string // "presence", "dialog"; in lower case
	ContentType string // of the documents; what Accept must allow

	// Document returns the full state of a resource for one watcher, ok false if
	// there is no such resource. It is called once for each NOTIFY.
	Document func(r Request) (body []byte, ok bool)

	// Authorize decides about a new subscription by the SUBSCRIBE, nil allows all.
	Authorize func(req *gosip.Request, r Request) bool

	// Time for which a subscription lasts: without Expires, at least, at most.
	// Zero means 1 h, 60 s and 1 h; Min has to be below 1 h.
	Expires, Min, Max time.Duration
}

// Request says who watches what.
type Request struct {
	Resource   string    // user part of the URI
	URI        gosip.Uri // that was subscribed to
	Subscriber string    // URI of the watcher, as it claims
	Source     netip.AddrPort
	Transport  string   // that it came by: "udp", "tcp" or "tls"
	Proved     []string // names that it proved by a certificate of the site
	Version    uint32   // of the document: 0, then one more each time, in this subscription
}

// watcher is the subscription of somebody else to a resource here. Owned by Run.
type watcher struct {
	dialog
	pkg   *Package
	event eventHeader
	asked Request
	topic topic
	packs bool // long documents may go packed

	until  time.Time // when the subscription ends
	expiry deadline
	pace   deadline // when the next NOTIFY may go out
	place  deadline // when it loses its place in the burst; set while it has one
	last   time.Time

	dirty    bool   // the far end has not been sent the newest state
	queued   bool   // it is in the backlog
	inFlight bool   // a NOTIFY waits for its answer
	ending   string // reason with which the subscription ends after that answer
	over     func() // called once when it has ended with an answer or without; nil: nobody waits for that
}

func (w *watcher) isOver() {
	if w.over != nil {
		w.over()
		w.over = nil
	}
}

// Serve makes the agent serve a package. Before Run.
func (a *Agent) Serve(p Package) {
	p.Name = strings.ToLower(p.Name)
	if p.Expires == 0 {
		p.Expires = time.Hour
	}
	if p.Min == 0 {
		p.Min = time.Minute
	}
	if p.Max == 0 {
		p.Max = time.Hour
	}
	a.packages[p.Name] = &p
	a.ep.AddAllowEvent(p.Name)
	a.ep.AddAccept(p.ContentType)
}

// Changed says that the state of a resource of a package has changed, "" for all
// resources. It may be called from anywhere, also in a callback, and never blocks.
func (a *Agent) Changed(pkg, resource string) { a.inbox.mark(topic{strings.ToLower(pkg), resource}) }

// allowEvents names the packages (RFC 6665 §8.2.2).
func (a *Agent) allowEvents() gosip.Header {
	var names []string
	for name := range a.packages {
		names = append(names, name)
	}
	slices.Sort(names)
	return gosip.NewHeader("Allow-Events", strings.Join(names, ", "))
}

func (a *Agent) onSubscribe(req *gosip.Request, tx *sip.ServerTx, now time.Time) {
	event, ok := parseEvent(value(req, "Event"))
	pkg := a.packages[event.name]
	if !ok || pkg == nil {
		// RFC 6665 §4.2.1.1: with what we do understand.
		a.count.refused.Add(1)
		a.refuse(req, tx, 489, "Bad Event", a.allowEvents())
		return
	}
	wanted, there, ok := headerSeconds(req, "Expires")
	if !ok {
		a.count.refused.Add(1)
		a.refuse(req, tx, 400, "Malformed Expires")
		return
	}
	if !there {
		wanted = pkg.Expires
	}
	// RFC 6665 §4.2.1.1: only if below the minimum, below one hour, and not 0.
	if wanted > 0 && wanted < pkg.Min && wanted < time.Hour {
		a.count.refused.Add(1)
		a.refuse(req, tx, 423, "Interval Too Brief", gosip.NewHeader("Min-Expires", seconds(pkg.Min)))
		return
	}
	wanted = min(wanted, pkg.Max)
	if tag, _ := req.To().Params.Get("tag"); tag != "" {
		a.resubscribe(req, tx, a.watchers[tag], event, wanted, now)
		return
	}
	a.subscribe(req, tx, pkg, event, wanted, now)
}

// resubscribe refreshes or ends a subscription, w may be nil.
func (a *Agent) resubscribe(req *gosip.Request, tx *sip.ServerTx, w *watcher, event eventHeader, wanted time.Duration, now time.Time) {
	fromTag, _ := req.From().Params.Get("tag")
	switch {
	case w == nil || w.ending != "" || w.callID != req.CallID().Value() || w.remoteTag != fromTag || w.event != event:
		// RFC 6665 §4.2.1.2: also after a restart, which the subscriber learns here.
		a.count.refused.Add(1)
		a.refuse(req, tx, 481, "Subscription Does Not Exist")
		return
	case !w.takeSeq(req):
		a.count.refused.Add(1)
		a.refuse(req, tx, 500, "Out Of Order", gosip.NewHeader("Retry-After", "1"))
		return
	}
	w.refresh(req)
	a.grant(req, tx, w, wanted)
	a.extend(w, wanted, now)
}

// subscribe makes a new subscription.
func (a *Agent) subscribe(req *gosip.Request, tx *sip.ServerTx, pkg *Package, event eventHeader, wanted time.Duration, now time.Time) {
	contact, ok := contactOf(req)
	routes, err := sip.RecordRoutes(req)
	fromTag, _ := req.From().Params.Get("tag")
	w := &watcher{pkg: pkg, event: event, asked: Request{
		Resource: req.Recipient.User, URI: *req.Recipient.Clone(),
		Subscriber: req.From().Address.String(), Source: tx.Source(), Transport: tx.Transport(), Proved: tx.Proved(),
	}}
	w.topic, w.packs = topic{pkg.Name, w.asked.Resource}, takesPacked(req)
	code, reason := 0, ""
	switch {
	case !ok:
		// RFC 6665 §8.1: Contact is required, the NOTIFY goes there.
		code, reason = 400, "Missing Contact"
	case err != nil:
		code, reason = 400, "Too Many Record-Routes"
	case fromTag == "":
		code, reason = 400, "Missing From Tag"
	case !accepts(req, pkg.ContentType):
		code, reason = 406, "Not Acceptable"
	case pkg.Authorize != nil && !pkg.Authorize(req, w.asked):
		code, reason = 403, "Forbidden"
	}
	if code == 0 {
		if _, exists := pkg.Document(w.asked); !exists {
			code, reason = 404, "Not Found"
		}
	}
	if code != 0 {
		a.count.refused.Add(1)
		a.refuse(req, tx, code, reason)
		return
	}
	a.replace(req, w)
	if source := w.asked.Source.Addr(); len(a.watchers) >= a.cfg.MaxSubscriptions || a.perSource[source] >= a.cfg.MaxSubscriptionsPerSource || a.stopping {
		a.count.refused.Add(1)
		a.log.Warn("subscription refused: too many", "peer", source, "watchers", len(a.watchers))
		a.refuse(req, tx, 503, "Too Many Subscriptions", gosip.NewHeader("Retry-After", "60"))
		return
	}
	w.dialog = acceptDialog(req, contact, routes, tx)
	w.expiry.fire = func(now time.Time) { a.terminate(w, "timeout", now) }
	w.pace.fire = func(now time.Time) { a.notify(w, now) }
	w.place.fire = func(now time.Time) {
		a.fresh--
		a.drain(now)
	}
	a.watchers[w.localTag] = w
	a.watching[w.topic] = append(a.watching[w.topic], w)
	a.perSource[w.asked.Source.Addr()]++
	a.count.watchers.Add(1)
	a.grant(req, tx, w, wanted)
	a.extend(w, wanted, now)
}

// replace drops the subscription that a subscriber has made before with the same
// Call-ID and tag and now makes again, as phones do that have forgotten our answer.
func (a *Agent) replace(req *gosip.Request, next *watcher) {
	fromTag, _ := req.From().Params.Get("tag")
	for _, w := range a.watching[next.topic] {
		if w.callID == req.CallID().Value() && w.remoteTag == fromTag && w.asked.Source.Addr() == next.asked.Source.Addr() {
			a.forget(w)
			return
		}
	}
}

// grant answers a SUBSCRIBE with 200 (RFC 6665 §4.2.1.1: 202 is not used any more).
func (a *Agent) grant(req *gosip.Request, tx *sip.ServerTx, w *watcher, d time.Duration) {
	res := sip.NewResponse(req, 200, "OK")
	a.answer(res, tx,
		gosip.NewHeader("Expires", seconds(d)),
		&gosip.ContactHeader{Address: w.contact},
		a.allowEvents())
}

// extend lets a subscription last for d from now, 0 ends it, and sends full state as
// each SUBSCRIBE asks for (RFC 6665 §4.2.1.2, §4.4.3 for d = 0).
func (a *Agent) extend(w *watcher, d time.Duration, now time.Time) {
	if d == 0 {
		a.terminate(w, "timeout", now)
		return
	}
	w.until = now.Add(d)
	a.timers.arm(&w.expiry, w.until)
	w.dirty = true
	a.notify(w, now)
}

// forget removes a watcher without a word to it.
func (a *Agent) forget(w *watcher) {
	if a.watchers[w.localTag] != w {
		return
	}
	delete(a.watchers, w.localTag)
	list := a.watching[w.topic]
	if i := slices.Index(list, w); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if a.watching[w.topic] = list; len(list) == 0 {
		delete(a.watching, w.topic)
	}
	source := w.asked.Source.Addr()
	if a.perSource[source]--; a.perSource[source] == 0 {
		delete(a.perSource, source)
	}
	a.timers.disarm(&w.expiry)
	a.timers.disarm(&w.pace)
	a.count.watchers.Add(-1)
}
