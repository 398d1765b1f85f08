package reg

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// Registrar keeps the accounts of a Config registered while Run runs.
type Registrar struct {
	// immutable
	ep       *sip.Endpoint
	log      *slog.Logger
	accounts []*account

	mu      sync.Mutex // guards everything below
	onState func(Status)
}

// New checks the configuration and starts nothing.
func New(ep *sip.Endpoint, cfg Config, log *slog.Logger) (*Registrar, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("sip/reg: %w", err)
	}
	r := &Registrar{ep: ep, log: log}
	for _, c := range cfg.Accounts {
		a, err := newAccount(r, c)
		if err != nil {
			return nil, fmt.Errorf("sip/reg: %w", err)
		}
		r.accounts = append(r.accounts, a)
	}
	return r, nil
}

// OnState registers what hears of each change of an account. f runs on the
// account's goroutine and must not block. Call it before Run.
func (r *Registrar) OnState(f func(Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onState = f
}

// Run registers the accounts, keeps them registered until ctx ends, removes the
// registrations (for at most 2 s) and returns nil. The endpoint must run longer.
func (r *Registrar) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, a := range r.accounts {
		running.Go(func() { a.run(ctx) })
	}
	running.Wait()
	return nil
}

// AddressChanged registers every account anew: to be called when an interface
// or its address has changed.
func (r *Registrar) AddressChanged() {
	for _, a := range r.accounts {
		a.change()
	}
}

// Statuses returns every account as it is now, in the order of the configuration.
func (r *Registrar) Statuses() []Status {
	out := make([]Status, 0, len(r.accounts))
	for _, a := range r.accounts {
		out = append(out, a.current())
	}
	return out
}

// Send says how a request of an account travels: with its credentials, through
// its Service-Route or proxy, by its transport. ok is false for an unknown AOR.
func (r *Registrar) Send(aor string) (s sip.Send, ok bool) {
	for _, a := range r.accounts {
		if a.cfg.AOR == aor {
			return a.send(), true
		}
	}
	return sip.Send{}, false
}

func (r *Registrar) report(s Status) {
	r.mu.Lock()
	f := r.onState
	r.mu.Unlock()
	switch s.State {
	case Registered:
		r.log.Info("sip account registered", "key", s.AOR, "expires", time.Until(s.Expires).Round(time.Second))
	case Failed:
		r.log.Warn("sip account not registered", "key", s.AOR, "err", s.Reason, "hint", s.Hint)
	case Trying, Unregistered:
	}
	if f != nil {
		f(s)
	}
}

// serviceRoute reads the URIs of the Service-Route headers, RFC 3608 §5. An
// unreadable one makes all of them unusable: half a route leads nowhere.
func serviceRoute(res *gosip.Response) []gosip.Uri {
	var out []gosip.Uri
	for _, h := range res.GetHeaders("Service-Route") {
		rest := h.Value()
		for rest != "" {
			open, end := -1, -1
			for i := range len(rest) {
				if rest[i] == '<' && open < 0 {
					open = i
				}
				if rest[i] == '>' && open >= 0 {
					end = i
					break
				}
			}
			if end < 0 {
				return nil
			}
			u, err := parseURI(rest[open+1 : end])
			if err != nil {
				return nil
			}
			out = append(out, u)
			rest = rest[end+1:]
			for i := 0; ; i++ {
				if i == len(rest) {
					rest = ""
					break
				}
				if rest[i] == ',' {
					rest = rest[i+1:]
					break
				}
			}
		}
	}
	return out
}
