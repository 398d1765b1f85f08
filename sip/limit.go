package sip

import (
	"net/netip"
	"sync"
	"time"
)

// limitSources is how many source addresses are told apart at one time. The
// table never grows beyond it: a flood from forged addresses takes turns.
const limitSources = 1024

// sourceLimit is a token bucket per source address, one second deep.
type sourceLimit struct {
	perSecond float64

	mu      sync.Mutex // guards everything below
	buckets map[netip.Addr]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newSourceLimit(perSecond int) *sourceLimit {
	return &sourceLimit{perSecond: float64(perSecond), buckets: make(map[netip.Addr]bucket)}
}

// allow takes a token of the source; false means that the packet is one too many.
func (s *sourceLimit) allow(from netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, known := s.buckets[from]
	if !known {
		if len(s.buckets) >= limitSources {
			s.makeRoom(now)
		}
		b = bucket{tokens: s.perSecond, at: now}
	}
	b.tokens = min(s.perSecond, b.tokens+now.Sub(b.at).Seconds()*s.perSecond)
	b.at = now
	ok := b.tokens >= 1
	if ok {
		b.tokens--
	}
	s.buckets[from] = b
	return ok
}

// makeRoom forgets sources that have been silent for a second (their bucket is
// full again, so nothing is lost), else any one.
func (s *sourceLimit) makeRoom(now time.Time) {
	var victim netip.Addr
	for a, b := range s.buckets {
		victim = a
		if now.Sub(b.at) >= time.Second {
			delete(s.buckets, a)
		}
	}
	if len(s.buckets) >= limitSources {
		delete(s.buckets, victim)
	}
}
