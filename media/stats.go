package media

import (
	"net/netip"
	"sync/atomic"
	"time"

	"parklamp/media/timeline"
)

// counters are of the time since the session was opened. They have one writer each, those of an ear whoever asks it for
// samples, and any number of readers.
type counters struct {
	sent, sentBytes, sendErrors, relayed   atomic.Uint64
	received, early, bad                   atomic.Uint64
	unwanted, strangers, latched, overruns atomic.Uint64
	digitsDropped                          atomic.Uint64
	malformed, looped                      atomic.Uint64
	unauthentic, replayed                  atomic.Uint64
	oversized                              atomic.Uint64
	refused                                atomic.Uint64 // by the ear, before its buffer
	late, discarded                        atomic.Uint64 // by the ear's buffer; discarded holds late
	played, concealed                      atomic.Uint64 // RTP ticks
	lastReceived                           atomic.Int64
}

// Stats is what a session has counted since it was opened, in packets unless said otherwise, and how it is at this moment.
type Stats struct {
	Sent, SentBytes, SendErrors uint64
	Relayed                     uint64 // part of Sent: forwarded from the other leg
	Received                    uint64 // from the far end, valid
	Lost, Duplicate, Reordered  uint64 // by sequence number; Lost counts those that came late as well, until they come
	Restarts                    uint64 // changes of the far end's SSRC or numbers
	Bad                         uint64 // not RTP, our own, or not as SRTP has to be
	Malformed, Looped           uint64 // parts of Bad: not RTP; our own, sent back
	Unauthentic, Replayed       uint64 // parts of Bad: not made with the agreed key; came before, or too late to tell
	Unwanted                    uint64 // a payload type that was not agreed
	Strangers                   uint64 // from another source than the far end
	Early                       uint64 // before Configure, or encrypted before there is a key
	Overruns                    uint64 // more than a far end may send, or than the receiver could take in one tick
	Oversized                   uint64 // longer than the 60 ms that package sdp asks for at most: neither heard nor passed on
	DigitsDropped               uint64
	ReportsSent, ReportsTaken   uint64        // compound packets of RTCP
	ReportsRefused              uint64        // ill-formed, from a stranger, or too many
	Latched                     uint64        // times that our packets followed the far end to another address
	Discarded                   uint64        // came and were not played (RFC 3611 §4.7.1): late, too many, left out, or of a stream that another one replaced
	Late                        uint64        // of these, those that came too late
	Played, Concealment         time.Duration // audio

	// At this moment:
	Remote       netip.AddrPort // where our packets go
	Jitter       time.Duration
	PlayoutDelay time.Duration // above the fastest packet; 0 while nobody listens
	LastReceived time.Duration // how long ago; negative: never
}

// Stats returns the counters.
func (s *Session) Stats() Stats {
	c := &s.count
	st := Stats{
		Sent: c.sent.Load(), SentBytes: c.sentBytes.Load(), SendErrors: c.sendErrors.Load(), Relayed: c.relayed.Load(),
		Received: c.received.Load(), Bad: c.bad.Load(), Unwanted: c.unwanted.Load(),
		Strangers: c.strangers.Load(), Early: c.early.Load(), Overruns: c.overruns.Load(),
		DigitsDropped: c.digitsDropped.Load(), Latched: c.latched.Load(),
		Malformed: c.malformed.Load(), Looped: c.looped.Load(), Unauthentic: c.unauthentic.Load(), Replayed: c.replayed.Load(),
		Oversized: c.oversized.Load(), Discarded: c.discarded.Load() + c.refused.Load(), Late: c.late.Load(), Played: time.Duration(c.played.Load()) * timeline.Tick, Concealment: time.Duration(c.concealed.Load()) * timeline.Tick,
		Remote: *s.remote.Load(), LastReceived: -1,
	}
	if st.Received > 0 {
		st.LastReceived = s.engine.clock.Now() - time.Duration(c.lastReceived.Load())
	}
	if in, ok := s.in.reception.Received(); ok {
		st.Lost, st.Duplicate, st.Reordered, st.Restarts, st.Jitter = in.Lost, in.Duplicate, in.Reordered, in.Restarts, in.Jitter
	}
	st.ReportsSent, st.ReportsTaken, st.ReportsRefused = s.reports.counts()
	if e := s.wiring.Load().ear; e != nil {
		st.PlayoutDelay = time.Duration(e.delay.Load())
	}
	return st
}

// State is what is needed to go on with a session's stream in another process. It is plain data for a
// journal; At is wall-clock time.
type State struct {
	Local  netip.AddrPort `json:"local"`
	Params Params         `json:"params"`
	Remote netip.AddrPort `json:"remote"` // latched source, else Params.Remote
	SSRC   uint32         `json:"ssrc"`
	Seq    uint16         `json:"seq"`           // of the next packet
	TS     uint32         `json:"ts"`            // of the next packet
	ROC    uint32         `json:"roc,omitempty"` // rollover counter of SRTP (RFC 3711 §3.3.1)
	At     time.Time      `json:"at"`            // when that packet was due
	// For RTCP: the CNAME of the stream, and what was sent of it so far.
	Name    string `json:"name,omitempty"`
	Packets uint64 `json:"packets,omitempty"`
	Octets  uint64 `json:"octets,omitempty"`
}

// State returns the state at this moment.
func (s *Session) State() State {
	w := s.wiring.Load()
	o := &s.out
	now, wall := s.engine.clock.Now(), time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if ahead := o.ideal - now; o.sent && ahead.Abs() <= FrameDuration {
		wall = wall.Add(ahead)
	}
	return State{
		Local: s.LocalAddr(), Params: w.params, Remote: *s.remote.Load(),
		SSRC: o.ssrc, Seq: o.seq, TS: o.stamp(now), ROC: w.roc(), At: wall,
		Name: s.reports.name, Packets: o.packets + s.count.sent.Load(), Octets: o.octets + s.count.sentBytes.Load(),
	}
}

// resume returns where the stream would be now, had it been sent without a pause since the state was taken. wall and now
// are the same moment. An encrypted stream whose sequence numbers have wrapped by now is another one: its next key is
// new, and the far end may take its rollover counter for 0 or for what it was.
func (st State) resume(wall time.Time, now time.Duration) origin {
	gone := max(wall.Sub(st.At), 0)
	ticks := gone/FrameDuration + 1
	if st.Params.Secure && (st.ROC > 0 || time.Duration(st.Seq)+ticks > 1<<16-1) {
		o := newOrigin()
		o.name = st.Name
		return o
	}
	first := st.Seq - uint16(st.Packets)
	if st.Packets == 0 {
		first = st.Seq + uint16(ticks)
	}
	return origin{
		ssrc: st.SSRC, seq: st.Seq + uint16(ticks), next: st.TS + uint32(ticks)*FrameSamples,
		from: now + ticks*FrameDuration - gone,
		name: st.Name, first: first, packets: st.Packets, octets: st.Octets,
	}
}
