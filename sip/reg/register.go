package reg

import (
	"context"
	"errors"
	mrand "math/rand/v2"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// register sends one REGISTER, more when the registrar wants a longer time, and returns when to come again.
func (a *account) register(ctx context.Context) time.Duration {
	if err := a.readPassword(); err != nil {
		return a.fail(failure{reason: err.Error(), hint: "check password_file and who may read it", slow: true})
	}
	contact := a.contact()
	if contact.Host == "" {
		return a.fail(failure{reason: "no listener reaches the registrar " + a.registrar.String(),
			hint: "add a listener of its transport and address family to sip.listen", slow: true})
	}
	for range 3 { // a registrar that always wants more is broken
		res, err := a.exchange(ctx, contact, a.asked, a.changed)
		switch {
		case ctx.Err() != nil:
			return time.Hour // run sees it too
		case errors.Is(err, errMoved):
			a.change()
			return time.Hour // run comes back at once
		case err != nil:
			return a.fail(explainError(err, a.registrar.Host))
		case res.IsSuccess():
			return a.succeed(res, contact)
		case res.StatusCode == 423:
			least, ok := seconds(res, "Min-Expires")
			if !ok || least <= a.asked {
				return a.fail(explainResponse(423, res.Reason, a.hasPassword()))
			}
			a.asked = least // RFC 3261 §10.2.8
		default:
			f := explainResponse(res.StatusCode, res.Reason, a.hasPassword())
			f.after, _ = seconds(res, "Retry-After")
			return a.fail(f)
		}
	}
	return a.fail(explainResponse(423, "Interval Too Brief", a.hasPassword()))
}

// exchange sends a REGISTER and waits for its final response; not any longer when something comes from moved, since what
// was sent from an address that is gone is answered to nobody.
func (a *account) exchange(ctx context.Context, contact gosip.Uri, expires time.Duration, moved <-chan struct{}) (*gosip.Response, error) {
	a.seq++
	// RFC 3261 §10.2: To is the address-of-record.
	req := sip.Head{Target: a.registrar, CallID: a.callID, CSeq: a.seq, From: a.aor, To: a.aor}.Request(gosip.REGISTER)
	c := &gosip.ContactHeader{Address: contact, Params: gosip.NewParams()}
	secs := strconv.Itoa(int(expires / time.Second))
	c.Params.Add("expires", secs)
	req.AppendHeader(c)
	if old := a.current().Contact; old.Host != "" && old.String() != contact.String() {
		gone := &gosip.ContactHeader{Address: old, Params: gosip.NewParams()}
		gone.Params.Add("expires", "0") // nothing answers there any more
		req.AppendHeader(gone)
	}
	req.AppendHeader(gosip.NewHeader("Expires", secs))
	s := a.send()
	s.Route = a.proxy // RFC 3608 §6.1: the Service-Route is not for REGISTER
	tx := a.r.ep.Request(req, s)
	// RFC 3261 §10.2: CSeq grows by one with each REGISTER, also those of digest.
	defer func() { a.seq = tx.Request().CSeq().SeqNo }()
	for {
		select {
		case res, ok := <-tx.Responses():
			if !ok {
				return nil, tx.Err()
			}
			if !res.IsProvisional() {
				return res, nil
			}
		case <-moved:
			return nil, errMoved
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (a *account) succeed(res *gosip.Response, contact gosip.Uri) time.Duration {
	granted := a.granted(res, contact)
	a.failures, a.missed = 0, 0
	a.moved(res)
	a.set(Status{
		State: Registered, Expires: time.Now().Add(granted), Contact: contact, ServiceRoute: serviceRoute(res),
	})
	return granted / 10 * 9 // in this order nine times what a header can say does not overflow
}

// granted is for how long the registrar keeps our contact, RFC 3261 §10.2.4:
// what it says beside the contact, else in Expires, else what was asked for.
func (a *account) granted(res *gosip.Response, contact gosip.Uri) time.Duration {
	for _, h := range res.GetHeaders("Contact") {
		c, ok := h.(*gosip.ContactHeader)
		if !ok || c.Address.User != contact.User || c.Address.Host != contact.Host || c.Address.Port != contact.Port {
			continue
		}
		if v, ok := c.Params.Get("expires"); ok {
			if d, ok := sip.Seconds(v); ok && d > 0 {
				return d
			}
		}
	}
	if d, ok := seconds(res, "Expires"); ok && d > 0 {
		return d
	}
	return a.asked
}

// moved reports whether the registrar sees us at another address than before.
func (a *account) moved(res *gosip.Response) bool {
	via := res.Via()
	if via == nil {
		return false
	}
	received, _ := via.Params.Get("received")
	rport, _ := via.Params.Get("rport")
	now := received + ":" + rport
	before := a.seenAs
	a.seenAs = now
	return before != "" && before != now
}

func (a *account) fail(f failure) time.Duration {
	wait := min(backoffBase<<min(a.failures, 10), backoffMax)
	if f.slow {
		wait = max(wait, backoffSlow)
	}
	a.failures++
	wait = wait/2 + mrand.N(wait/2+1)
	if f.slow {
		wait = max(wait, backoffSlow)
	}
	wait = max(wait, min(f.after, time.Hour))
	old := a.current() // what is registered may still be, until it expires
	a.set(Status{
		State: Failed, Code: f.code, Reason: f.reason, Hint: f.hint, Retry: time.Now().Add(wait),
		Contact: old.Contact, ServiceRoute: old.ServiceRoute,
	})
	return wait
}

// remove takes the registration back, if there is one.
func (a *account) remove() {
	was := a.current()
	if was.Contact.Host != "" {
		ctx, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		if _, err := a.exchange(ctx, was.Contact, 0, nil); err != nil {
			a.r.log.Info("sip registration not removed", "key", a.cfg.AOR, "err", err)
		}
	}
	a.set(Status{State: Unregistered})
}

// seconds reads a header that holds a number of seconds, perhaps with more after it.
func seconds(res *gosip.Response, name string) (time.Duration, bool) {
	h := res.GetHeader(name)
	if h == nil {
		return 0, false
	}
	digits := strings.TrimSpace(h.Value())
	if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = digits[:i]
	}
	return sip.Seconds(digits)
}
