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
	// learning is how long a new source behind a NAT is open to doubt: whoever was first may have been a neighbour behind the same
	// NAT who sprays its packets. One that has gone on for so long stays, whatever is agreed anew.
	learning = 5 * time.Second
	// candidates sources are on probation at the same time: one that others talk into is believed all the same. Each has its
	// place for trial, in which a far end is believed, and then until another one takes it.
	candidates = 4
	trial      = 250 * time.Millisecond
)

// latch decides from which source packets are taken, and so where ours are sent (RFC 4961): first and always
// the signalled address; behind a NAT, one other source on a host that fits the signalling, once it has sent
// a few packets in sequence. A locked source stays until it has been silent; then only the same stream
// (SSRC and sequence) may move, or after a re-INVITE any on such a host: many phones resume with a new stream, and the
// mapping of a NAT does not outlive a hold. Everybody else is ignored, so that a port that is sprayed with packets
// neither plays them nor answers them.
//
// Of two hosts behind one NAT nothing in the clear tells which is the far end (RFC 7362 §5). While it is learning, the latch
// believes the one whose port the NAT has kept, and who goes on rather than who was first.
type latch struct {
	signalled netip.AddrPort
	via       netip.Addr     // where the signalling came from; invalid if that is not known
	previous  netip.AddrPort // source before the last change of signalled: refused for relatchSilence, as stragglers
	current   netip.AddrPort // locked source; invalid until there is one
	ssrc      uint32
	seq       uint16
	since     time.Duration // when current was locked, or its stream from another source before
	at        time.Duration // last packet of current
	anew      bool          // agreed again, and current has not gone on since
	agreedAt  time.Duration // when the last agreement was seen

	tries [candidates]probation
}

// probation is a source that is not believed yet.
type probation struct {
	from  netip.AddrPort
	ssrc  uint32
	seq   uint16 // expected next
	count int
	at    time.Duration // when it took its place
}

// resumed is the latch of a stream that goes on in another process: source was believed there. It has a second to go on before
// another one may be believed, as after a re-INVITE.
func resumed(signalled, source netip.AddrPort, at time.Duration) latch {
	l := latch{signalled: signalled}
	if source != signalled {
		l.current, l.since, l.at = source, at-learning, at
	}
	return l
}

// signal takes what was agreed. An unchanged address keeps the lock: behind a NAT a re-INVITE repeats the
// private one.
func (l *latch) signal(remote netip.AddrPort, via netip.Addr, at time.Duration) {
	l.via = via
	if remote == l.signalled {
		l.anew, l.agreedAt = true, at
		return
	}
	previous := l.current
	if remote == previous {
		previous = netip.AddrPort{}
	}
	*l = latch{signalled: remote, via: via, previous: previous, agreedAt: at}
}

// admit reports whether a packet is taken, and whether it changed where ours go.
func (l *latch) admit(from netip.AddrPort, ssrc uint32, seq uint16, at time.Duration) (ok, moved bool) {
	if from == l.current {
		l.ssrc, l.seq, l.at = ssrc, seq, at
		l.anew = l.anew && at-l.agreedAt < relatchSilence // before that it may be what was on its way
		return true, false
	}
	if from == l.signalled && !l.current.IsValid() {
		l.lock(from, ssrc, seq, at)
		return true, false // ours go there already
	}
	need := l.need(from, ssrc, seq, at)
	if need == 0 || l.try(from, ssrc, seq, at) < need {
		return false, false
	}
	l.lock(from, ssrc, seq, at)
	return true, true
}

// try counts the packets in sequence of a source on probation; 0 if there is no place for it.
func (l *latch) try(from netip.AddrPort, ssrc uint32, seq uint16, at time.Duration) int {
	var t *probation
	for i := range l.tries {
		c := &l.tries[i]
		if c.from == from {
			t = c
			break
		}
		if (c.count == 0 || at-c.at >= trial) && (t == nil || c.at < t.at) {
			t = c
		}
	}
	switch {
	case t == nil:
		return 0
	case t.from != from:
		*t = probation{from: from, ssrc: ssrc, at: at}
	case t.ssrc != ssrc || t.seq != seq:
		t.ssrc, t.count = ssrc, 0
	}
	t.seq = seq + 1
	t.count++
	return t.count
}

func (l *latch) lock(from netip.AddrPort, ssrc uint32, seq uint16, at time.Duration) {
	switch {
	case from == l.signalled:
		l.since = at - learning // there is no doubt about it
	case !l.current.IsValid() || !l.sameStream(ssrc, seq):
		l.since = at
	}
	l.current, l.ssrc, l.seq, l.at = from, ssrc, seq, at
	l.tries, l.anew = [candidates]probation{}, false
}

// need returns how many packets in sequence make a source believed; 0 never.
func (l *latch) need(from netip.AddrPort, ssrc uint32, seq uint16, at time.Duration) int {
	neighbour := from.Addr() == l.current.Addr()
	switch {
	case !l.signalled.IsValid() || l.signalled.Port() == 0:
		return 0
	case from == l.previous && at-l.agreedAt < relatchSilence:
		return 0
	case from == l.signalled:
		return probationSignalled
	case !l.fits(from.Addr()):
		return 0
	case !l.current.IsValid():
		return probationStranger
	case neighbour && at-l.since < learning && from.Port() == l.signalled.Port(): // and current's is another
		return probationStranger
	case at-l.at < relatchSilence:
		return 0
	case l.anew, l.sameStream(ssrc, seq), neighbour && l.at-l.since < relatchSilence:
		return probationStranger // the second after a NAT has moved it
	}
	return 0
}

func (l *latch) sameStream(ssrc uint32, seq uint16) bool {
	return ssrc == l.ssrc && seq-l.seq < relatchWindow
}

// fits reports whether a host may be the far end: the signalled one, or the one that signalled. A private address may have any
// public face, and so fits nobody else: four packets would be enough for a stranger, or to have a third one sent the call.
func (l *latch) fits(host netip.Addr) bool { return host == l.signalled.Addr() || host == l.via }
