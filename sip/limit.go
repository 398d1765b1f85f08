package sip

import (
	"net/netip"
	"sync"
	"time"
)

// limitSources is how many source addresses are told apart at one time. The
// table never grows beyond it: a flood from forged addresses takes turns.
const limitSources = 1024

// sourceLimit is a token bucket per source address, one second deep. Two
// generations of sources make forgetting cheap: a full one replaces the older.
type sourceLimit struct {
	perSecond float64

	mu         sync.Mutex // guards everything below
	young, old map[netip.Addr]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newSourceLimit(perSecond int) *sourceLimit {
	return &sourceLimit{perSecond: float64(perSecond), young: make(map[netip.Addr]bucket)}
}

// allow takes a token of the source; false means that the packet is one too many.
func (s *sourceLimit) allow(from netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, known := s.young[from]
	if !known {
		if len(s.young) >= limitSources/2 {
			s.young, s.old = make(map[netip.Addr]bucket, limitSources/2), s.young
		}
		if b, known = s.old[from]; !known {
			b = bucket{tokens: s.perSecond, at: now}
		}
	}
	b.tokens = min(s.perSecond, b.tokens+now.Sub(b.at).Seconds()*s.perSecond)
	b.at = now
	ok := b.tokens >= 1
	if ok {
		b.tokens--
	}
	s.young[from] = b
	return ok
}
