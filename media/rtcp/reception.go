package rtcp

import (
	"cmp"
	"sync/atomic"
	"time"

	"parklamp/media/quality"
	"parklamp/media/timeline"
)

const (
	// maxDropout and maxMisorder are how far sequence numbers may move on and back before the stream may be a new one
	// (RFC 3550 appendix A.1).
	maxDropout, maxMisorder = 3000, 100
	// patience is how many packets a missing one may come after its successors before its loss is final.
	patience = 32
	// maxTransitStep is the change of transit time beyond which a timestamp says nothing about jitter.
	maxTransitStep = time.Second
)

// Packet is what Reception needs to know of an RTP packet.
type Packet struct {
	SSRC uint32
	Seq  uint16
	TS   uint32
	At   time.Duration // arrival
	// Timed says that TS belongs to the moment of sending; that of a telephone-event belongs to its beginning.
	Timed bool
	// Lasts is how long the audio of the packet plays; 0 if it has none.
	Lasts time.Duration
	// Discarded is how many packets have come so far and were not played.
	Discarded uint64
}

// Received is what has become of the packets of the far end.
type Received struct {
	// Of the present stream:
	SSRC     uint32
	Highest  uint32        // sequence number, extended by its cycles (RFC 3550 §6.4.1)
	Expected uint64        // packets, by sequence number
	Arrived  uint64        // packets, duplicates too (RFC 3550 appendix A.3)
	Jitter   time.Duration // RFC 3550 appendix A.8
	Lasts    time.Duration // a packet of audio; 0 before the first

	// Of all streams since the beginning:
	Packets, Lost                  uint64 // expected, and of these missing
	Discarded                      uint64 // came, and were not played
	Duplicate, Reordered, Restarts uint64
	Bursts                         quality.Bursts // closed
}

// Reception follows the sequence numbers and the jitter of a received stream. Take belongs to one goroutine;
// Received may be called by any. The zero value is ready.
type Reception struct {
	// owned by the caller of Take
	known   bool
	rival   timeline.Rival
	aside   Packet        // the first of rival
	at      time.Duration // of the last packet
	highAt  time.Duration // of the packet with the number high
	ssrc    uint32
	first   int64 // extended sequence numbers
	high    int64
	seen    uint64 // distinct packets of this stream
	arrived uint64
	window  uint64 // bit n: high-n has been seen
	spoilt  uint64 // bit n: high-n was not played
	judged  int64  // everything below is final
	gone    uint64 // discarded at the last packet
	transit time.Duration
	timed   bool
	jitter  time.Duration
	bursts  quality.Bursts

	// written by Take, read by anybody
	pub published
}

type published struct {
	stream     atomic.Uint64 // SSRC << 32 | first sequence number
	high       atomic.Int64
	seen       atomic.Uint64
	arrived    atomic.Uint64
	jitter     atomic.Int64
	lasts      atomic.Int64
	packets    atomic.Uint64 // of earlier streams
	lost       atomic.Uint64 // of earlier streams
	judged     atomic.Int64  // packets that bursts has judged, less the extended number up to which it has
	discarded  atomic.Uint64
	duplicate  atomic.Uint64
	reordered  atomic.Uint64
	restarts   atomic.Uint64
	bad        atomic.Uint64
	runs       atomic.Uint64
	burstCount atomic.Uint64
	inside     atomic.Uint64
	worse      atomic.Uint64
}

// Verdict is what became of a packet.
type Verdict uint8

// What Take can answer.
const (
	Taken     Verdict = iota // of the present stream
	Restarted                // of another one, which is the present one from now on
	Aside                    // of another one, perhaps: not counted (RFC 3550 appendix A.1)
	Stale                    // of the present stream; it came before, or cannot be told from one that did
)

// Of reports whether an SSRC is that of the present stream, or could be, as there is none. It belongs to who calls Take.
func (r *Reception) Of(ssrc uint32) bool { return !r.known || ssrc == r.ssrc }

// Take notes a packet.
func (r *Reception) Take(p *Packet) Verdict {
	step := timeline.Packets(p.Seq, uint16(r.high))
	if !r.known {
		r.restart(p)
		r.take(p, 0)
		return Taken
	}
	if p.SSRC == r.ssrc && step <= maxDropout && step >= -maxMisorder {
		verdict := Taken
		switch {
		case !r.stale(step):
			r.rival.Quiet(p.At)
		case r.anew(p):
			r.restart(p)
			r.take(p, 0)
			return Restarted
		default:
			verdict = Stale
		}
		r.take(p, step)
		return verdict
	}
	run := r.rival.Hear(p.SSRC, p.Seq, p.At)
	if run == 1 {
		r.aside = *p
	}
	switch {
	case !r.rival.Wins():
		return Aside
	case run > timeline.Together:
		r.restart(p)
		r.take(p, 0)
	default:
		r.restart(&r.aside)
		r.take(&r.aside, 0)
		r.take(p, 1)
	}
	return Restarted
}

// stale reports whether the packet that is step after the newest one has come before, or cannot be told from one that has.
func (r *Reception) stale(step int64) bool {
	return step <= -64 || step <= 0 && (r.window&(1<<-step) != 0 || r.high+step < r.first)
}

// anew reports whether stale packets are those of a sender that counts anew, from not far back: some came in a row, and nothing newer
// for as long as they last. Copies and what was held up on the way come at once, or beside newer ones. It is the jitter buffer's rule.
func (r *Reception) anew(p *Packet) bool {
	lasts := cmp.Or(time.Duration(r.pub.lasts.Load()), timeline.Frame)
	return r.rival.Hear(p.SSRC, p.Seq, p.At) >= timeline.Anew && p.At-r.highAt >= (timeline.Anew-1)*lasts
}

// Stream is a name of the present stream: it changes with each Restarted. It belongs to who calls Take.
func (r *Reception) Stream() uint64 { return r.pub.restarts.Load() }

// take notes a packet of the present stream that is step after the newest one.
func (r *Reception) take(p *Packet, step int64) {
	r.at = p.At
	r.spoil(p.Discarded)
	if p.Lasts > 0 {
		r.pub.lasts.Store(int64(p.Lasts))
	}
	switch {
	case step > 0:
		r.forward(step)
		r.highAt = p.At
	case step > -64 && r.window&(1<<-step) != 0:
		r.pub.duplicate.Add(1)
	case step > -64:
		if step < 0 {
			r.pub.reordered.Add(1)
		}
		r.window |= 1 << -step
		r.see()
	default:
		r.pub.reordered.Add(1)
	}
	r.arrived++
	r.pub.arrived.Store(r.arrived)
	if p.Timed {
		r.time(p)
	}
}

func (r *Reception) see() {
	r.seen++
	r.pub.seen.Store(r.seen)
}

func (r *Reception) restart(p *Packet) {
	if r.known {
		r.judge(r.high + 1)
		r.pub.packets.Add(uint64(r.high - r.first + 1))
		r.pub.lost.Add(r.lost())
		r.pub.restarts.Add(1)
		if r.rival.Quiet(p.At); p.SSRC != r.ssrc {
			r.rival.Leave(r.ssrc, r.at)
		}
	}
	r.known, r.ssrc, r.timed, r.highAt = true, p.SSRC, false, p.At
	r.first, r.high = int64(p.Seq), int64(p.Seq)
	r.judged = r.first
	r.seen, r.arrived, r.window, r.spoilt = 0, 0, 0, 0
	r.pub.seen.Store(0)
	r.pub.arrived.Store(0)
	r.pub.judged.Store(int64(r.bursts.Total) - r.judged)
	r.pub.high.Store(r.high)
	r.pub.stream.Store(uint64(r.ssrc)<<32 | uint64(r.first))
}

// forward moves the window by step packets, of which the last has come.
func (r *Reception) forward(step int64) {
	high := r.high + step
	r.judge(high - patience)
	r.high = high
	if step < 64 {
		r.window, r.spoilt = r.window<<step, r.spoilt<<step
	} else {
		r.window, r.spoilt = 0, 0
	}
	r.window |= 1
	r.see()
	r.pub.high.Store(high)
}

// judge makes everything below a number final.
func (r *Reception) judge(below int64) {
	bad := false
	for ; r.judged < below && r.judged <= r.high; r.judged++ {
		// What is below the window was judged long ago.
		if bit := uint64(1) << (r.high - r.judged); r.window&bit != 0 && r.spoilt&bit == 0 {
			r.bursts.Good(1)
		} else {
			r.bursts.Lost(1)
			bad = true
		}
	}
	if r.judged < below {
		r.bursts.Lost(uint64(below - r.judged))
		r.judged, bad = below, true
	}
	if bad {
		r.publish()
	}
}

func (r *Reception) publish() {
	b := r.bursts.Closed()
	p := &r.pub
	p.bad.Store(b.Bad)
	p.runs.Store(b.Runs)
	p.burstCount.Store(b.Bursts)
	p.inside.Store(b.Inside)
	p.worse.Store(b.Worse)
}

// spoil marks the newest packets as not played. Which ones exactly were is known to the jitter buffer alone; of those that
// came too late it told within a frame of their arrival.
func (r *Reception) spoil(discarded uint64) {
	if discarded > r.gone {
		n := discarded - r.gone
		r.pub.discarded.Add(n)
		for bit := uint64(1); n > 0 && bit < 1<<patience; bit <<= 1 {
			if r.window&bit != 0 && r.spoilt&bit == 0 {
				r.spoilt |= bit
				n--
			}
		}
	}
	r.gone = discarded
}

// time measures the jitter (RFC 3550 appendix A.8).
func (r *Reception) time(p *Packet) {
	transit := p.At - time.Duration(p.TS)*timeline.Tick
	d := transit - r.transit
	if r.timed && d > -maxTransitStep && d < maxTransitStep {
		r.jitter += (max(d, -d) - r.jitter) / 16
		r.pub.jitter.Store(int64(r.jitter))
	}
	r.transit, r.timed = transit, true
}

func (r *Reception) lost() uint64 {
	expected := uint64(r.high - r.first + 1)
	return expected - min(r.seen, expected)
}

// Received returns what is known at this moment, and false before the first packet. It may be a packet behind.
func (r *Reception) Received() (Received, bool) {
	p := &r.pub
	for range 3 {
		stream, high := p.stream.Load(), p.high.Load()
		seen, arrived := p.seen.Load(), p.arrived.Load()
		if arrived == 0 && p.restarts.Load() == 0 {
			return Received{}, false
		}
		expected := uint64(max(high-int64(uint16(stream))+1, 0))
		got := Received{
			SSRC: uint32(stream >> 32), Highest: uint32(high), Expected: expected, Arrived: arrived,
			Jitter: time.Duration(p.jitter.Load()), Lasts: time.Duration(p.lasts.Load()),
			Packets: p.packets.Load() + expected, Lost: p.lost.Load() + expected - min(seen, expected),
			Discarded: p.discarded.Load(), Duplicate: p.duplicate.Load(), Reordered: p.reordered.Load(), Restarts: p.restarts.Load(),
			Bursts: quality.Bursts{Bad: p.bad.Load(), Runs: p.runs.Load(), Bursts: p.burstCount.Load(), Inside: p.inside.Load(), Worse: p.worse.Load()},
		}
		got.Bursts.Total = max(uint64(max(p.judged.Load()+high-patience, 0)), got.Bursts.Inside)
		if p.stream.Load() == stream && p.high.Load() == high {
			return got, true
		}
	}
	return Received{}, false
}
