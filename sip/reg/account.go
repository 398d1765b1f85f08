package reg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

const (
	// backoffBase doubles with each failure to backoffMax, and half to all of it
	// is waited. Departs from RFC 5626 §4.5 (30 s base): a site whose registrar
	// restarts wants its phones back sooner.
	backoffBase = 4 * time.Second
	backoffMax  = 5 * time.Minute
	// backoffSlow is the least pause when only a person can mend it, so that a
	// registrar which counts wrong passwords does not lock the account.
	backoffSlow = time.Minute
	// goodbye bounds the removal of a registration at the end.
	goodbye = 2 * time.Second
	// missedPings is how many unanswered keep-alives, one right after the other, make a registrar dead.
	missedPings = 2
	// pingLimit is how long a keep-alive may stay unanswered. Timer F would give a UDP registrar 32 s, twice: too long
	// to tell nobody that no call comes. RFC 5626 §4.4.1 allows 10 s; the first retransmissions fit in this too.
	pingLimit = 4 * time.Second
)

// errMoved ends a REGISTER whose sender has another address meanwhile.
var errMoved = errors.New("reg: the address has changed")

// account is one registration. Its goroutine is run.
type account struct {
	// immutable
	r         *Registrar
	cfg       Account
	aor       gosip.Uri
	registrar gosip.Uri
	proxy     []gosip.Uri
	callID    string
	changed   chan struct{} // capacity 1; full means that it is known already

	// owned by run
	seq      uint32
	asked    time.Duration // expires to ask for, grows with 423
	failures int
	missed   int
	seenAs   string // how the registrar sees us: received and rport of our Via

	mu       sync.Mutex // guards everything below
	status   Status
	password string
}

func newAccount(r *Registrar, c Account) (*account, error) {
	if c.Expires == 0 {
		c.Expires = defaultExpires
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = defaultKeepAlive
	}
	a := &account{r: r, cfg: c, asked: c.Expires, changed: make(chan struct{}, 1), callID: sip.NewTag()}
	var err error
	if a.aor, err = parseURI(c.AOR); err != nil {
		return nil, err
	}
	a.registrar = gosip.Uri{Scheme: a.aor.Scheme, Host: a.aor.Host, Port: a.aor.Port}
	if c.Registrar != "" {
		if a.registrar, err = parseURI(c.Registrar); err != nil {
			return nil, err
		}
		a.registrar.User = "" // RFC 3261 §10.2: no userinfo
	}
	if c.Proxy != "" {
		p, err := parseURI(c.Proxy)
		if err != nil {
			return nil, err
		}
		a.proxy = []gosip.Uri{p}
	}
	if c.Username == "" {
		a.cfg.Username = a.aor.User
	}
	a.status = Status{AOR: c.AOR, Since: time.Now()}
	return a, nil
}

func (a *account) change() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func (a *account) current() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.ServiceRoute = append([]gosip.Uri(nil), s.ServiceRoute...)
	return s
}

func (a *account) send() sip.Send {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := sip.Send{Transport: a.cfg.Transport, Route: a.proxy}
	if len(a.status.ServiceRoute) > 0 {
		s.Route = append([]gosip.Uri(nil), a.status.ServiceRoute...)
	}
	if a.password != "" {
		s.Auth = &sip.Credentials{Username: a.cfg.Username, Password: a.password}
	}
	return s
}

// set enters a state and reports it when it is news.
func (a *account) set(s Status) {
	s.AOR = a.cfg.AOR
	a.mu.Lock()
	old := a.status
	s.Since = time.Now()
	if s.State == old.State && s.Code == old.Code && s.Reason == old.Reason {
		s.Since = old.Since
	}
	a.status = s
	a.mu.Unlock()
	if s.Since != old.Since || s.State != old.State {
		a.r.report(a.current())
	}
}

// run registers, refreshes and pings until ctx ends.
func (a *account) run(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	ping := time.NewTimer(time.Hour) // the next keep-alive, or the end of the patience with the one under way
	ping.Stop()
	defer ping.Stop()
	var probed <-chan *gosip.Response // of the keep-alive under way
	probe := func() {
		probed = a.ping().Responses()
		ping.Reset(pingLimit)
	}
	again := func() {
		next.Reset(a.register(ctx))
		probed = nil
		if a.current().State == Registered {
			ping.Reset(a.cfg.KeepAlive)
		} else {
			ping.Stop()
		}
	}
	for {
		select {
		case <-ctx.Done():
			a.remove()
			return
		case <-next.C:
			again()
		case <-a.changed:
			a.failures = 0
			again()
		case <-ping.C:
			now, then := a.contact(), a.current().Contact
			switch {
			case probed != nil && a.miss():
				again()
			case probed == nil && now.String() != then.String():
				again() // the address that the registrar has is not ours any more
			default:
				probe()
			}
		case res, ok := <-probed:
			switch {
			case ok && res.IsProvisional():
			case !ok && a.miss():
				again()
			case !ok:
				probe()
			case a.moved(res):
				again() // a NAT between gives us another address now
			default:
				a.missed = 0
				probed = nil
				ping.Reset(a.cfg.KeepAlive)
			}
		}
	}
}

// miss counts an unanswered keep-alive, and reports whether the registrar is dead by that. Then it is told at once: a
// REGISTER over UDP would find out after another half minute.
func (a *account) miss() bool {
	a.missed++
	if a.missed < missedPings {
		return false
	}
	a.missed = 0
	f := explainError(sip.ErrTimeout, a.registrar.Host)
	old := a.current() // the registration may still be there
	a.set(Status{State: Failed, Reason: f.reason, Hint: f.hint, Retry: time.Now(), Contact: old.Contact, ServiceRoute: old.ServiceRoute})
	return true
}

// contact is where the registrar reaches us: our listener nearest to it.
func (a *account) contact() gosip.Uri {
	hop := a.registrar
	if len(a.proxy) > 0 {
		hop = a.proxy[0]
	}
	transport := a.cfg.Transport
	if transport == "" {
		transport, _ = hop.UriParams.Get("transport")
	}
	if transport == "" && hop.Scheme == "sips" {
		transport = "tls"
	}
	c := a.r.ep.ContactFor(hop.Host, transport)
	c.User = a.aor.User
	return c
}

// ping asks the registrar for a sign of life by the way that calls take.
func (a *account) ping() *sip.ClientTx {
	req := sip.Head{Target: a.registrar, From: a.aor}.Request(gosip.OPTIONS)
	return a.r.ep.Request(req, sip.Send{Transport: a.cfg.Transport, Route: a.proxy})
}

func (a *account) hasPassword() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.password != ""
}

// readPassword reads the file each time: who mends it need not restart anything.
func (a *account) readPassword() error {
	if a.cfg.PasswordFile == "" {
		return nil
	}
	b, err := os.ReadFile(a.cfg.PasswordFile)
	if err != nil {
		return fmt.Errorf("password file: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return fmt.Errorf("password file %s is empty", a.cfg.PasswordFile)
	}
	a.mu.Lock()
	a.password = line
	a.mu.Unlock()
	return nil
}
