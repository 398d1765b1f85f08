package rtcp

import (
	"math/rand/v2"
	"time"
)

const (
	// sessionBandwidth of a session, bits per second: 64 kbit/s of G.711 or G.722 in packets of 20 ms, with 40
	// octets of RTP, UDP and IPv4 each (RFC 3550 §6.2: the lower layers' headers count).
	sessionBandwidth = 64000 + 50*40*8
	// share of it is RTCP's, of all participants together, in octets per second (RFC 3550 §6.2: 5 %).
	share = sessionBandwidth * 5 / 100 / 8
	// leastInterval is the reduced minimum (RFC 3550 §6.2): 360 divided by the bandwidth in kbit/s, in seconds. It may
	// be used by unicast participants.
	leastInterval = 360 * time.Second / (sessionBandwidth / 1000)
	// overhead of a datagram: IPv4 and UDP (RFC 3550 §6.3.3).
	overhead = 28
	// compensation of what timer reconsideration shortens: e - 3/2 (RFC 3550 §6.3.1), as a divisor in 1/100000.
	compensation = 121828
	// idle deterministic intervals after which a silent participant is not counted any more (RFC 3550 §6.3.5).
	idle = 5
)

// interval is the timing of RFC 3550 §6.3 for a session of two.
type interval struct {
	random  *rand.Rand
	average float64       // octets of a compound with overhead, smoothed
	last    time.Duration // when the last compound went out: tp
	next    time.Duration // when the next one may: tn
	heard   time.Duration // when the far end was heard last; negative: never
	initial bool
}

func newInterval(random *rand.Rand, now time.Duration) interval {
	// A first guess of the size: RR, SDES, with overhead.
	i := interval{random: random, average: overhead + 32 + 28, last: now, heard: -1, initial: true}
	i.next = now + i.draw(now)
	return i
}

// deterministic is Td of RFC 3550 §6.3.1. With at most two members a quarter or more are senders or none: all share alike.
func (i *interval) deterministic(now time.Duration) time.Duration {
	least := leastInterval
	if i.initial {
		least /= 2
	}
	members := 1.0
	if i.heard >= 0 && now-i.heard < idle*max(least, leastInterval) {
		members = 2
	}
	return max(least, time.Duration(i.average*members/share*float64(time.Second)))
}

// draw returns T: Td times 0.5 to 1.5, compensated.
func (i *interval) draw(now time.Duration) time.Duration {
	td := i.deterministic(now)
	return (td/2 + time.Duration(i.random.Int64N(int64(td)))) * 100000 / compensation
}

// expired reports whether a compound is to go out now. With timer reconsideration (RFC 3550 §6.3.6) the
// answer may be another time.
func (i *interval) expired(now time.Duration) bool {
	if now < i.next {
		return false
	}
	if at := i.last + i.draw(now); at > now {
		i.next = at
		return false
	}
	return true
}

// sent notes a compound that went out.
func (i *interval) sent(now time.Duration, octets int) {
	i.size(octets)
	i.initial = false
	i.last = now
	i.next = now + i.draw(now)
}

// took notes one of the far end.
func (i *interval) took(now time.Duration, octets int) {
	i.size(octets)
	i.heard = now
}

func (i *interval) size(octets int) {
	i.average += (float64(octets+overhead) - i.average) / 16
}
