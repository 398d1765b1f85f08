package sip

import (
	"net/netip"
	"sync"
	"time"
)

// limitSources is how many source addresses are told apart at one time. The
// table never grows beyond it: a flood from forged addresses takes turns.
const limitSources = 1024

// SourceLimit is a token bucket per source address: so many at once, then as
// many again evenly over a span of time. Two generations of sources make
// forgetting cheap: a full one replaces the older. Any goroutine may use it.
type SourceLimit struct {
	most float64
	span time.Duration

	mu         sync.Mutex // guards everything below
	young, old map[netip.Addr]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// NewSourceLimit allows each source most in a span of time.
func NewSourceLimit(most int, span time.Duration) *SourceLimit {
	return &SourceLimit{most: float64(most), span: span, young: make(map[netip.Addr]bucket)}
}

// Allow takes a token of the source; false means that it has sent one too many.
func (s *SourceLimit) Allow(from netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, known := s.young[from]
	if !known {
		if len(s.young) >= limitSources/2 {
			s.young, s.old = make(map[netip.Addr]bucket, limitSources/2), s.young
		}
		if b, known = s.old[from]; !known {
			b = bucket{tokens: s.most, at: now}
		}
	}
	since := max(0, now.Sub(b.at)).Seconds() // two readers of the clock may come in the other order
	b.tokens = min(s.most, b.tokens+since/s.span.Seconds()*s.most)
	b.at = now
	ok := b.tokens >= 1
	if ok {
		b.tokens--
	}
	s.young[from] = b
	return ok
}
