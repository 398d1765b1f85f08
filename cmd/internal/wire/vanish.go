package wire

import (
	"time"

	"parklamp/parkd"
	"parklamp/sip"
	"parklamp/sip/call"
)

// vanishGrace is how long a peer that is not there any more may be silent before whoever was fetched by it is parked
// again. Its RTP comes from the same process: where it goes on, only the way of the SIP messages is broken.
const vanishGrace = time.Second

// peerVanished looks after the callers that a peer has fetched from here, when it is not there any more or has started
// anew: they must not hear silence, nor be dropped when their fetcher is found dead.
func (p *lot) peerVanished(name string) {
	since := p.a.now()
	p.a.loop.after("vanished "+name, vanishGrace, func() {
		uri, ok := p.a.federation.PeerURI(name, name)
		if !ok {
			return
		}
		for _, l := range p.a.legs {
			if l.media == nil || l.pair == nil || sip.Host(l.call.Info().Source.Addr()) != uri.Host ||
				!deserted(l.joined, since, l.media.Stats().LastReceived) {
				continue
			}
			p.shelterFromVanished(l)
			l.call.Hangup("appliance does not answer")
		}
	})
}

// peerBack asks a peer that was not there, or has started anew, whether it still has the calls that we have with it: while we could
// not hear it, it may have ended them, and told us so in vain. Else an orbit here would keep a caller who was fetched from it and
// waits there again, and a caller whom it fetched would go on hearing nobody. 481 and 408 end the call (RFC 3261 §12.2.1.2).
func (p *lot) peerBack(name string) {
	uri, ok := p.a.federation.PeerURI(name, name)
	if !ok {
		return
	}
	for _, l := range p.a.legs {
		if l.answered && l.media != nil && sip.Host(l.source()) == uri.Host {
			l.call.Update(l.local())
		}
	}
}

// deserted reports whether the caller of a fetch has nobody at the other end: the fetcher's appliance vanished at a time after
// the fetch (who fetches later is there again; every peer counts as absent for a moment when we start), and has not been
// heard since. A fetch that is not confirmed has no time; silent is negative if nothing ever came.
func deserted(joined, vanished time.Time, silent time.Duration) bool {
	return !joined.IsZero() && !joined.After(vanished) && (silent < 0 || silent >= vanishGrace/2)
}

// newLife notes the epoch of a peer, and reports whether it is another than before.
func (p *lot) newLife(in parkd.Peer) bool {
	old := p.lives[in.Name]
	if in.Epoch == 0 || in.Epoch == old {
		return false
	}
	if p.lives == nil {
		p.lives = map[string]uint64{}
	}
	p.lives[in.Name] = in.Epoch
	return old != 0
}

// vanished says whether a call ended without anybody having ended it.
func vanished(c call.Cause) bool {
	return c == call.Timeout || c == call.Unreachable || c == call.Gone
}
