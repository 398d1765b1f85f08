package media

import (
	"net/netip"
	"time"
)

const (
	// probation packets in sequence from one source make it believed (RFC 3550 appendix A.1, MIN_SEQUENTIAL, but
	// longer where a stranger could gain by it).
	probationStranger  = 4
	probationSignalled = 2
	// relatchSilence is how long the locked source has been silent before another one may take its place.
	relatchSilence = time.Second
	// relatchWindow is how far a moved stream may have run on in sequence numbers meanwhile.
	relatchWindow = 3000
)

// latch decides from which source packets are taken, and so where ours are sent (RFC 4961): first and always
// the signalled address; behind a NAT, one other source on a host that fits the signalling, once it has sent
// a few packets in sequence. A locked source stays until it has been silent; then only the same stream
// (SSRC and sequence) may move, or after a re-INVITE any on such a host: many phones resume with a new stream, and the
// mapping of a NAT does not outlive a hold. Everybody else is ignored, so that a port that is sprayed with packets
// neither plays them nor answers them.
type latch struct {
	signalled netip.AddrPort
	via       netip.Addr     // where the signalling came from; may be invalid
	previous  netip.AddrPort // source before the last change of signalled: stragglers
	current   netip.AddrPort // locked source; invalid until there is one
	ssrc      uint32
	seq       uint16
	at        time.Duration // last packet of current
	anew      bool          // agreed again, and current has not gone on since
	anewAt    time.Duration // when that was seen

	try      netip.AddrPort // source on probation
	trySSRC  uint32
	trySeq   uint16 // expected next
	tryCount int
}

// signal takes what was agreed. An unchanged address keeps the lock: behind a NAT a re-INVITE repeats the
// private one.
func (l *latch) signal(remote netip.AddrPort, via netip.Addr, at time.Duration) {
	l.via = via
	if remote == l.signalled {
		l.anew, l.anewAt = true, at
		return
	}
	previous := l.current
	if remote == previous {
		previous = netip.AddrPort{}
	}
	*l = latch{signalled: remote, via: via, previous: previous}
}

// admit reports whether a packet is taken, and whether it changed where ours go.
func (l *latch) admit(from netip.AddrPort, ssrc uint32, seq uint16, at time.Duration) (ok, moved bool) {
	if from == l.current {
		l.ssrc, l.seq, l.at = ssrc, seq, at
		l.tryCount = 0
		l.anew = l.anew && at-l.anewAt < relatchSilence // before that it may be what was on its way
		return true, false
	}
	if from == l.signalled && !l.current.IsValid() {
		l.lock(from, ssrc, seq, at)
		return true, false // ours go there already
	}
	need := l.need(from, ssrc, seq, at)
	if need == 0 {
		return false, false
	}
	if l.tryCount == 0 || from != l.try || ssrc != l.trySSRC || seq != l.trySeq {
		// A source on probation is not displaced by others until it fails to go on.
		if l.tryCount > 0 && from != l.try && at-l.at < relatchSilence && l.at > 0 {
			return false, false
		}
		l.try, l.trySSRC, l.tryCount = from, ssrc, 0
	}
	l.trySeq = seq + 1
	l.tryCount++
	if l.tryCount < need {
		return false, false
	}
	l.lock(from, ssrc, seq, at)
	return true, true
}

func (l *latch) lock(from netip.AddrPort, ssrc uint32, seq uint16, at time.Duration) {
	l.current, l.ssrc, l.seq, l.at = from, ssrc, seq, at
	l.tryCount, l.anew = 0, false
}

// need returns how many packets in sequence make a source believed; 0 never.
func (l *latch) need(from netip.AddrPort, ssrc uint32, seq uint16, at time.Duration) int {
	switch {
	case !l.signalled.IsValid() || l.signalled.Port() == 0 || from == l.previous:
		return 0
	case from == l.signalled:
		return probationSignalled
	case !l.fits(from.Addr()):
		return 0
	case !l.current.IsValid():
		return probationStranger
	case at-l.at < relatchSilence:
		return 0
	case l.anew, ssrc == l.ssrc && seq-l.seq < relatchWindow:
		return probationStranger // the latter: the same stream after a NAT has moved it
	}
	return 0
}

// fits reports whether a host may be the far end: the signalled one, the one that signalled, or, where that is
// not known and the signalled address is private, the public face of it.
func (l *latch) fits(host netip.Addr) bool {
	switch {
	case host == l.signalled.Addr() || host == l.via:
		return true
	case l.via.IsValid():
		return false
	}
	s := l.signalled.Addr()
	return s.IsPrivate() || s.IsLinkLocalUnicast() || sharedSpace.Contains(s)
}

// sharedSpace is behind the NAT of a provider (RFC 6598 §7).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
