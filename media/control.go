package media

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parklamp/media/quality"
	"parklamp/media/rtcp"
)

const (
	// controlQueue datagrams with RTCP wait at most, of all sessions; what comes on top is dropped and counted.
	controlQueue = 64
	// controlShare of these may be one session's.
	controlShare = 4
	// controlLook is how often due reports are looked for at least; a session that was just opened has none before.
	controlLook = 500 * time.Millisecond
)

// reports is the RTCP of a session (RFC 3550 §6). It is never touched on the path of a frame: the session's reader hands
// datagrams over in copies, and the engine's control goroutine does the rest.
type reports struct {
	waiting atomic.Int32  // datagrams in the queue
	dropped atomic.Uint64 // that found no place there
	sent    atomic.Uint64

	flow flow // guarded by in.mu of the session

	// due is when the next report is, as the reporter says (0: not known), so that whoever looks through all sessions for
	// one that is due touches one word of each. Written under mu.
	due atomic.Int64

	name string // CNAME; immutable

	mu       sync.Mutex
	route    rtcp.Route     // guarded by mu
	reporter *rtcp.Reporter // guarded by mu; nil before the first Configure
	playout  rtcp.Playout   // guarded by mu; last seen
	ended    bool           // guarded by mu
}

// counts returns the compound packets that were sent, taken and refused.
func (r *reports) counts() (sent, taken, refused uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent, refused = r.sent.Load(), r.dropped.Load()
	if r.reporter != nil {
		l := r.reporter.Learnt()
		taken, refused = l.Taken, refused+l.Refused
	}
	return sent, taken, refused
}

// controlled is one datagram on its way from a reader to the control goroutine.
type controlled struct {
	session *Session
	from    netip.AddrPort
	at      time.Duration
	muxed   bool
	n       int
	data    [rtcp.MaxSize]byte
}

// newControlQueue returns the queue and its spare places.
func newControlQueue() (queue, spare chan *controlled) {
	queue, spare = make(chan *controlled, controlQueue), make(chan *controlled, controlQueue)
	for range controlQueue {
		spare <- new(controlled)
	}
	return queue, spare
}

// queueControl takes the RTCP of a session, on its reader: decrypted, not looked into, from a source that is not checked.
// It neither blocks nor keeps b.
func (s *Session) queueControl(b []byte, from netip.AddrPort, at time.Duration, muxed bool) {
	r := &s.reports
	if len(b) > rtcp.MaxSize || r.waiting.Load() >= controlShare || !r.flow.admit(at, controlRate, controlBurst) {
		r.dropped.Add(1)
		return
	}
	select {
	case c := <-s.engine.controlSpare:
		c.session, c.from, c.at, c.muxed = s, from, at, muxed
		c.n = copy(c.data[:], b)
		r.waiting.Add(1)
		s.engine.controlQueue <- c // has as many places as there are c
	default:
		r.dropped.Add(1)
	}
}

// control takes and makes the reports of all sessions until ctx ends.
func (e *Engine) control(ctx context.Context) {
	timer := time.NewTimer(controlLook)
	defer timer.Stop()
	var room [rtcp.MaxSize + guardRoom]byte
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-e.controlQueue:
			c.session.takeControl(c)
			c.session.reports.waiting.Add(-1)
			c.session = nil
			e.controlSpare <- c
		case <-timer.C:
			now := e.clock.Now()
			next := now + controlLook
			for _, s := range *e.sessions.Load() {
				next = min(next, s.report(now, &room))
			}
			timer.Reset(max(next-e.clock.Now(), 10*time.Millisecond))
		}
	}
}

// signalControl takes what was agreed about RTCP. The caller has just stored the wiring.
func (s *Session) signalControl(p Params) {
	r := &s.reports
	r.mu.Lock()
	defer r.mu.Unlock()
	at := p.RTCP
	if !at.IsValid() && p.Remote.IsValid() && p.Remote.Port() < 65535 && p.Remote.Port() > 0 {
		at = netip.AddrPortFrom(p.Remote.Addr(), p.Remote.Port()+1) // RFC 3550 §11
	}
	r.route.Signal(at, p.Mux)
	if r.reporter == nil {
		now := s.engine.clock.Now()
		r.reporter = rtcp.NewReporter(r.name, time.Now().Add(-now), now, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	}
	if p.Extended {
		r.reporter.Extend()
	}
}

// ours is our stream at this moment.
func (s *Session) ours(now time.Duration) rtcp.Sending {
	o := &s.out
	packets, octets := s.count.sent.Load(), s.count.sentBytes.Load()
	o.mu.Lock()
	defer o.mu.Unlock()
	ts := o.next
	if o.sent {
		ts += uint32(int64((now - o.end) * SampleRate / time.Second))
	}
	return rtcp.Sending{SSRC: o.ssrc, First: o.first, Packets: o.packets + packets, Octets: o.octets + octets, TS: ts}
}

// played is what the jitter buffer does.
func (s *Session) played() rtcp.Playout {
	e := s.wiring.Load().ear
	if e == nil {
		return rtcp.Playout{}
	}
	return rtcp.Playout{Delay: time.Duration(e.delay.Load()), Longest: s.engine.cfg.JitterMax}
}

// report sends what is due, and returns when to look again.
func (s *Session) report(now time.Duration, room *[rtcp.MaxSize + guardRoom]byte) time.Duration {
	r := &s.reports
	if due := time.Duration(r.due.Load()); due > now {
		return due
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reporter == nil || r.ended {
		return now + controlLook
	}
	defer r.schedule()
	if due := r.reporter.Due(); due > now {
		return due
	}
	r.playout = s.played()
	in, known := s.in.reception.Received()
	// RFC 3264 §5.1, §8.4: reports go on whatever the direction of the audio is; without an address there is nobody to
	// report to, and the next time is drawn all the same.
	b := r.reporter.Report(now, s.ours(now), in, known, r.playout)
	s.sendControl(b, room)
	return r.reporter.Due()
}

// schedule notes when the next report is due. The caller holds mu.
func (r *reports) schedule() { r.due.Store(int64(r.reporter.Due())) }

// sendControl sends a compound to where the route leads. The caller holds r.mu.
func (s *Session) sendControl(b []byte, room *[rtcp.MaxSize + guardRoom]byte) {
	r := &s.reports
	rtp, _ := s.target()
	to, ok := r.route.Target(rtp)
	if !ok || len(b) == 0 || len(b) > rtcp.MaxSize || s.wiring.Load().params.Withhold {
		return
	}
	if err := s.emitControl(room[:copy(room[:], b)], to, r.route.Muxed()); err != nil {
		s.count.sendErrors.Add(1)
		return
	}
	r.sent.Add(1)
}

// takeControl takes a datagram of the far end. What is refused is counted by the reporter.
func (s *Session) takeControl(c *controlled) {
	r := &s.reports
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reporter == nil || r.ended {
		return
	}
	defer r.schedule()
	rtp, _ := s.target()
	in, known := s.in.reception.Received()
	_ = r.reporter.Take(c.data[:c.n], c.at, s.ours(c.at), func(sender uint32) bool {
		return c.muxed == r.route.Muxed() && r.route.Admit(c.from, rtp, sender, in.SSRC, known)
	})
}

// endControl sends the good-bye of our stream (RFC 3550 §6.6) and nothing after it.
func (s *Session) endControl() {
	r := &s.reports
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reporter == nil || r.ended {
		return
	}
	r.playout = s.played()
	r.ended = true
	now := s.engine.clock.Now()
	in, known := s.in.reception.Received()
	var room [rtcp.MaxSize + guardRoom]byte
	s.sendControl(r.reporter.Bye(now, s.ours(now), in, known, r.playout), &room)
}

// muteControl sends nothing any more.
func (s *Session) muteControl() {
	s.reports.mu.Lock()
	defer s.reports.mu.Unlock()
	s.reports.ended = true
}

// Quality returns how the call sounds so far, in both directions; also after Close.
func (s *Session) Quality() quality.Call {
	r := &s.reports
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reporter == nil {
		return quality.Call{}
	}
	if p := s.played(); p != (rtcp.Playout{}) {
		r.playout = p
	}
	in, known := s.in.reception.Received()
	q := r.reporter.Call(in, known, r.playout)
	q.SSRC, q.RemoteSSRC = s.out.ssrc, in.SSRC
	return q
}
