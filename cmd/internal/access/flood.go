package access

import (
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// retryAfter is when who was refused may come again, RFC 3261 §21.5.4.
const retryAfter = 10 * time.Second

// Flood refuses INVITEs of an address that sends too many or has too many calls open, with 503, so that a stranger can
// fill neither the lot nor the memory. What is sent from here, emergency calls above all, it never sees.
type Flood struct {
	// immutable
	rate   *sip.SourceLimit // nil: no limit
	calls  int              // 0: no limit
	trusts IsPeer
	open   func(netip.Addr) int // calls that an address has open

	refused atomic.Uint64
}

// NewFlood makes the limits of a configuration. Peers are never refused, nor who is trusted; open tells how many calls an
// address has.
func NewFlood(c Config, isPeer IsPeer, open func(netip.Addr) int) *Flood {
	f := &Flood{calls: c.CallsPerSource, open: open,
		trusts: func(a netip.Addr, proved []string) bool { return c.trusts(a, proved, isPeer) }}
	if c.InvitesPerMinute > 0 {
		f.rate = sip.NewSourceLimit(c.InvitesPerMinute, time.Minute)
	}
	return f
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
	return (f.rate == nil || f.rate.Allow(from, time.Now())) && (f.calls == 0 || f.open(from) < f.calls)
}
