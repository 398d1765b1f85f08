package access

import (
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

const (
	// maxSources is how many addresses are told apart at one time; beyond it the oldest are forgotten.
	maxSources = 1024
	// retryAfter is when who was refused may come again, RFC 3261 §21.5.4.
	retryAfter = 10 * time.Second
)

// Flood refuses INVITEs of an address that sends too many or has too many calls open, with 503, so that a stranger can
// fill neither the lot nor the memory. What is sent from here, emergency calls above all, it never sees.
type Flood struct {
	// immutable
	perMinute float64 // 0: no limit
	calls     int     // 0: no limit
	trusts    IsPeer
	open      func(netip.Addr) int // calls that an address has open
	now       func() time.Time

	refused atomic.Uint64

	mu         sync.Mutex
	young, old map[netip.Addr]bucket // guarded by mu
}

// bucket is what an address may still send.
type bucket struct {
	tokens float64
	at     time.Time
}

// NewFlood makes the limits of a configuration. Peers are never refused, nor who is trusted; open tells how many calls an
// address has.
func NewFlood(c Config, isPeer IsPeer, open func(netip.Addr) int) *Flood {
	return &Flood{perMinute: float64(c.InvitesPerMinute), calls: c.CallsPerSource,
		trusts: func(a netip.Addr, proved []string) bool { return c.trusts(a, proved, isPeer) }, open: open, now: time.Now, young: map[netip.Addr]bucket{}}
}

// Refused is how many INVITEs were refused.
func (f *Flood) Refused() uint64 { return f.refused.Load() }

// Check answers an INVITE that is one too many and returns false then; everything else passes.
func (f *Flood) Check(req *gosip.Request, tx *sip.ServerTx) bool {
	if req.Method != gosip.INVITE || f.allow(tx.Source().Addr().Unmap(), tx.Proved()) {
		return true
	}
	f.refused.Add(1)
	res := sip.NewResponse(req, 503, "Too many calls from your address")
	res.AppendHeader(gosip.NewHeader("Retry-After", strconv.Itoa(int(retryAfter/time.Second))))
	_ = tx.Respond(res) // fails if it is cancelled already
	return false
}

func (f *Flood) allow(from netip.Addr, proved []string) bool {
	if f.trusts(from, proved) {
		return true
	}
	return f.take(from) && (f.calls == 0 || f.open(from) < f.calls)
}

// take takes a token of an address: as many as the limit in a burst, then evenly over the minute.
func (f *Flood) take(from netip.Addr) bool {
	if f.perMinute == 0 {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	b, known := f.young[from]
	if !known {
		if len(f.young) >= maxSources/2 {
			f.young, f.old = make(map[netip.Addr]bucket, maxSources/2), f.young
		}
		if b, known = f.old[from]; !known {
			b = bucket{tokens: f.perMinute, at: now}
		}
	}
	b.tokens = min(f.perMinute, b.tokens+max(0, now.Sub(b.at).Minutes())*f.perMinute)
	b.at = now
	ok := b.tokens >= 1
	if ok {
		b.tokens--
	}
	f.young[from] = b
	return ok
}
