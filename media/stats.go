package media

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

// counters have one writer each and any number of readers.
type counters struct {
	sent, sentBytes, sendErrors, relayed                atomic.Uint64
	received, early, bad                                atomic.Uint64
	unwanted, strangers, latched, overruns              atomic.Uint64
	digitsDropped, lost, duplicate, reordered, restarts atomic.Uint64
	jitter, lastReceived                                atomic.Int64
}

// Stats is a copy of a session's counters. Packets unless said otherwise.
type Stats struct {
	Sent, SentBytes, SendErrors uint64
	Relayed                     uint64 // part of Sent: forwarded from the other leg
	Received                    uint64 // from the far end, valid
	Lost, Duplicate, Reordered  uint64 // by sequence number; Lost counts those that came late as well, until they come
	Restarts                    uint64 // changes of the far end's SSRC or numbers
	Jitter                      time.Duration
	Bad                         uint64 // not RTP, or our own
	Unwanted                    uint64 // a payload type that was not agreed
	Strangers                   uint64 // from another source than the far end
	Early                       uint64 // before Configure
	Overruns                    uint64 // more than the receiver could take in one tick
	DigitsDropped               uint64
	Latched                     uint64         // times that our packets followed the far end to another address
	Remote                      netip.AddrPort // where ours go

	// Of the current Listen:
	Late                uint64        // too late to be played
	Played, Concealment time.Duration // audio
	PlayoutDelay        time.Duration // above the fastest packet

	LastReceived time.Duration // how long ago; negative: never
}

// Stats returns the counters.
func (s *Session) Stats() Stats {
	c := &s.count
	st := Stats{
		Sent: c.sent.Load(), SentBytes: c.sentBytes.Load(), SendErrors: c.sendErrors.Load(), Relayed: c.relayed.Load(),
		Received: c.received.Load(), Lost: c.lost.Load(), Duplicate: c.duplicate.Load(), Reordered: c.reordered.Load(),
		Restarts: c.restarts.Load(), Jitter: time.Duration(c.jitter.Load()), Bad: c.bad.Load(), Unwanted: c.unwanted.Load(),
		Strangers: c.strangers.Load(), Early: c.early.Load(), Overruns: c.overruns.Load(),
		DigitsDropped: c.digitsDropped.Load(), Latched: c.latched.Load(),
		Remote: *s.remote.Load(), LastReceived: -1,
	}
	if st.Received > 0 {
		st.LastReceived = s.engine.clock.Now() - time.Duration(c.lastReceived.Load())
	}
	if e := s.wiring.Load().ear; e != nil {
		st.Late = e.late.Load()
		st.Played = time.Duration(e.played.Load()) * time.Second / SampleRate
		st.Concealment = time.Duration(e.concealed.Load()) * time.Second / SampleRate
		st.PlayoutDelay = time.Duration(e.delay.Load())
	}
	return st
}

// numbers follows the sequence numbers and the jitter of a received stream (RFC 3550 appendices A.1, A.3, A.8).
type numbers struct {
	known     bool
	ssrc      uint32
	first     int64 // extended sequence numbers
	high      int64
	seen      uint64 // distinct packets of this stream
	window    uint64 // bit n: high-n has been seen
	transit   time.Duration
	timed     bool
	jitter    time.Duration
	lostOnce  uint64 // of earlier streams
	duplicate uint64
	reordered uint64
	restarts  uint64
}

// take notes a packet and reports whether it begins another stream.
func (n *numbers) take(h *rtp.Header, now time.Duration, timed bool) (restarted bool) {
	step := int64(int16(h.SequenceNumber - uint16(n.high)))
	if !n.known || h.SSRC != n.ssrc || step > 3000 || step < -3000 {
		restarted = n.known
		n.lostOnce = n.lost()
		if restarted {
			n.restarts++
		}
		n.known, n.ssrc, n.timed = true, h.SSRC, false
		n.first, n.high, n.seen, n.window = int64(h.SequenceNumber), int64(h.SequenceNumber), 0, 0
		step = 0
	}
	switch {
	case step > 0:
		n.high += step
		n.window = n.window<<min(step, 64) | 1
		n.seen++
	case step > -64 && n.window&(1<<-step) != 0:
		n.duplicate++
	case step > -64:
		if step < 0 {
			n.reordered++
		}
		n.window |= 1 << -step
		n.seen++
	default:
		n.reordered++
	}
	if timed {
		// RFC 3550 appendix A.8.
		transit := now - time.Duration(h.Timestamp)*(time.Second/SampleRate)
		d := transit - n.transit
		if n.timed && d > -time.Second && d < time.Second {
			n.jitter += (max(d, -d) - n.jitter) / 16
		}
		n.transit, n.timed = transit, true
	}
	return restarted
}

// lost returns the packets expected and not seen (RFC 3550 appendix A.3), of all streams so far.
func (n *numbers) lost() uint64 {
	if !n.known {
		return 0
	}
	expected := uint64(n.high - n.first + 1)
	return n.lostOnce + expected - min(n.seen, expected)
}

func (n *numbers) publish(c *counters) {
	c.lost.Store(n.lost())
	c.duplicate.Store(n.duplicate)
	c.reordered.Store(n.reordered)
	c.restarts.Store(n.restarts)
	c.jitter.Store(int64(n.jitter))
}

// State is what is needed to go on with a session's stream in another process. It is plain data for a
// journal; At is wall-clock time.
type State struct {
	Local  netip.AddrPort `json:"local"`
	Params Params         `json:"params"`
	Remote netip.AddrPort `json:"remote"` // latched source, else Params.Remote
	SSRC   uint32         `json:"ssrc"`
	Seq    uint16         `json:"seq"` // of the next packet
	TS     uint32         `json:"ts"`  // of the next packet
	At     time.Time      `json:"at"`  // when that packet was due
}

// State returns the state at this moment.
func (s *Session) State() State {
	w := s.wiring.Load()
	o := &s.out
	now, wall := s.engine.clock.Now(), time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	return State{
		Local: s.LocalAddr(), Params: w.params, Remote: *s.remote.Load(),
		SSRC: o.ssrc, Seq: o.seq, TS: o.due(now), At: wall,
	}
}

// resume returns where the stream would be now, had it been sent without a pause since the state was taken.
func (st State) resume(now time.Time) origin {
	ticks := max(now.Sub(st.At), 0)/FrameDuration + 1
	return origin{ssrc: st.SSRC, seq: st.Seq + uint16(ticks), next: st.TS + uint32(ticks)*FrameSamples}
}
