package event

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// PublishRequest is one PUBLISH (RFC 3903 §4). With an ETag it refreshes (no Body),
// changes (Body) or removes (Expires below 0) the publication of that tag.
type PublishRequest struct {
	Target      gosip.Uri
	Event       string
	From        gosip.Uri // "" host: the target publishes its own state
	ContentType string
	Body        []byte
	Expires     time.Duration // 0 asks for 1 h, below 0 removes
	ETag        string
	Timeout     time.Duration // for the answer; 0 leaves it to ctx and the transaction

	Auth      *sip.Credentials
	Route     []gosip.Uri
	Transport string
}

// PublishResult is the answer. Code is that of the final response, also when the
// publication was refused.
type PublishResult struct {
	Code    int
	Reason  string
	ETag    string
	Expires time.Duration
}

// Publish sends a PUBLISH and waits for the answer. A 412 (the far end has forgotten
// the tag) is followed by a publication without tag if there is a Body, a 423 by one
// with the interval that the far end wants; both once. The error is nil whenever a
// final response came.
func (a *Agent) Publish(ctx context.Context, p PublishRequest) (PublishResult, error) {
	if p.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Timeout)
		defer cancel()
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(a.life, func() { end(ErrStopped) })()
	if p.From.Host == "" {
		p.From = gosip.Uri{Scheme: "sip", User: p.Target.User, Host: p.Target.Host}
	}
	expires := p.Expires
	if expires == 0 {
		expires = time.Hour
	}
	// A publication without dialog keeps Call-ID and counts CSeq, as §4.1 allows.
	d := dialog{
		callID: sip.NewTag(), localTag: sip.NewTag(), local: p.From, target: p.Target, routes: p.Route,
		remote: gosip.Uri{Scheme: p.Target.Scheme, User: p.Target.User, Host: p.Target.Host},
		send:   sip.Send{Auth: p.Auth, Transport: p.Transport},
	}
	retried412, retried423 := false, false
	for {
		res, err := a.publishOnce(ctx, &d, p, expires)
		if err != nil {
			return PublishResult{}, fmt.Errorf("publish %s to %s: %w", p.Event, p.Target.String(), err)
		}
		switch least, there, ok := headerSeconds(res, "Min-Expires"); {
		case res.StatusCode == 412 && p.ETag != "" && len(p.Body) > 0 && expires > 0 && !retried412:
			// RFC 3903 §5: the state is published anew.
			p.ETag, retried412 = "", true
			continue
		case res.StatusCode == 423 && there && ok && least > expires && least <= maxExpires && !retried423:
			expires, retried423 = least, true // RFC 3903 §5
			continue
		}
		r := PublishResult{Code: res.StatusCode, Reason: res.Reason, ETag: value(res, "SIP-ETag")}
		if d, there, ok := headerSeconds(res, "Expires"); there && ok {
			r.Expires = d
		}
		return r, nil
	}
}

func (a *Agent) publishOnce(ctx context.Context, d *dialog, p PublishRequest, expires time.Duration) (*gosip.Response, error) {
	req := d.request("PUBLISH")
	req.AppendHeader(gosip.NewHeader("Event", p.Event))
	req.AppendHeader(gosip.NewHeader("Expires", seconds(expires)))
	if p.ETag != "" {
		req.AppendHeader(gosip.NewHeader("SIP-If-Match", p.ETag))
	}
	if len(p.Body) > 0 {
		contentType := gosip.ContentTypeHeader(p.ContentType)
		req.AppendHeader(&contentType)
		req.SetBody(p.Body)
	}
	tx := a.ep.Request(req, d.send)
	res, err := tx.Final(ctx)
	d.localSeq = max(d.localSeq, tx.Request().CSeq().SeqNo)
	return res, err
}

// Kind says what a publication does.
type Kind uint8

// The values of Kind.
const (
	Initial Kind = iota // new, with Body
	Modify              // known, with a new Body
	Extend              // known, without Body: lives on
	Remove              // known, Expires 0
	Expired             // known, nobody extended it; the result of the callback is ignored
)

// Publication is a PUBLISH that somebody sent here, or the end of one.
type Publication struct {
	Kind        Kind
	Resource    string // user part of the URI
	ContentType string
	Body        []byte
	ETag        string        // that it replaces; "" if Initial
	Expires     time.Duration // asked for; 0 if Remove or Expired
	From        string        // URI of the publisher, as it claims
	Source      netip.AddrPort
	Transport   string   // that it came by: "udp", "tcp" or "tls"
	Proved      []string // names that it proved by a certificate of the site
}

// minPublish is the shortest life of a publication: claims last seconds.
const minPublish = time.Second

// publication is what the agent remembers of a PUBLISH. Owned by Run.
type publication struct {
	event  string
	etag   string
	last   Publication
	expiry deadline
}

// OnPublish makes the agent take publications of an event package. F is called in
// Run's goroutine and must not block; it returns the code of the answer and the
// entity-tag ("": the agent makes one). Other codes than 2xx leave everything as it
// was. 412, 423 and 489 are the agent's. Before Run.
func (a *Agent) OnPublish(event string, f func(p Publication) (code int, etag string)) {
	a.publishable[strings.ToLower(event)] = f
}

func (a *Agent) onPublish(req *gosip.Request, tx *sip.ServerTx, now time.Time) {
	refuse := func(code int, reason string, headers ...gosip.Header) {
		a.count.refused.Add(1)
		a.refuse(req, tx, code, reason, headers...)
	}
	event, ok := parseEvent(value(req, "Event"))
	f := a.publishable[event.name]
	if !ok || f == nil {
		refuse(489, "Bad Event", a.allowEvents()) // RFC 3903 §6 step 2
		return
	}
	expires, there, ok := headerSeconds(req, "Expires")
	if !there {
		expires = time.Hour
	}
	expires = min(expires, maxExpires)
	p := Publication{
		Kind: Initial, Resource: req.Recipient.User, ContentType: mediaType(req), Body: req.Body(), Expires: expires,
		From: req.From().Address.String(), Source: tx.Source(), Transport: tx.Transport(), Proved: tx.Proved(), ETag: value(req, "SIP-If-Match"),
	}
	have := a.publications[p.ETag]
	switch {
	case !ok:
		refuse(400, "Malformed Expires")
		return
	case p.ETag != "" && (have == nil || have.event != event.name || have.last.Resource != p.Resource):
		refuse(412, "Conditional Request Failed") // RFC 3903 §6 step 3
		return
	case expires > 0 && expires < minPublish:
		refuse(423, "Interval Too Brief", gosip.NewHeader("Min-Expires", seconds(minPublish))) // step 4
		return
	case p.ETag == "" && len(p.Body) == 0:
		refuse(400, "Missing Body") // RFC 3903 §4.2: initial publications carry state
		return
	case have == nil && expires > 0 && len(a.publications) >= a.cfg.MaxPublications:
		refuse(503, "Too Many Publications", gosip.NewHeader("Retry-After", "60"))
		return
	case have != nil && expires == 0:
		p.Kind = Remove
	case have != nil && len(p.Body) == 0:
		p.Kind = Extend
	case have != nil:
		p.Kind = Modify
	}
	code, etag := f(p)
	if code < 200 || code >= 300 {
		refuse(code, reasonFor(code))
		return
	}
	if etag == "" {
		etag = sip.NewTag() // RFC 3903 §6 step 5: a new one for each success
	}
	a.keep(have, event.name, etag, p, f, now)
	a.answer(sip.NewResponse(req, code, "OK"), tx,
		gosip.NewHeader("SIP-ETag", etag), gosip.NewHeader("Expires", seconds(expires)))
}

// keep remembers a publication under its new tag until it expires.
func (a *Agent) keep(have *publication, event, etag string, p Publication, f func(Publication) (int, string), now time.Time) {
	if have != nil {
		a.timers.disarm(&have.expiry)
		delete(a.publications, have.etag)
	}
	if p.Expires == 0 {
		return
	}
	if old := a.publications[etag]; old != nil {
		a.timers.disarm(&old.expiry)
	}
	p.Body = nil
	n := &publication{event: event, etag: etag, last: p}
	n.expiry.fire = func(time.Time) {
		delete(a.publications, n.etag)
		end := n.last
		end.Kind, end.ETag, end.Expires = Expired, n.etag, 0
		f(end)
	}
	a.publications[etag] = n
	a.timers.arm(&n.expiry, now.Add(p.Expires))
}

// reasonFor is the phrase of a code that a callback may return.
func reasonFor(code int) string {
	switch code {
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 409:
		return "Conflict"
	case 415:
		return "Unsupported Media Type"
	case 486:
		return "Busy Here"
	}
	return "Publication Refused"
}
