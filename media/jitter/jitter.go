// Package jitter decides when each received packet is played, how it is stretched, or that something else is played
// for it.
//
// It is pure: no clock, goroutine, lock or log, and no allocation after New. Put takes a packet with its
// time of arrival, Get says what to play at a time; both times count from any one origin of the caller. It
// never decodes: payloads go through it as bytes, so that it serves every codec whose RTP clock is 8 kHz.
//
// The delay follows the network. Trials, listeners with rules of their own, hear the same packets; the buffer takes the
// target of the one that suffers least by ITU-T G.107, from delay and from frames that come too late. The delay moves
// in pauses of the sender and over frames that are missing, for nothing; inside speech by a wish to the caller
// to take pitch periods out or put them in. When packets fail to come, those that are here are made longer before
// they run out. Packets held are bounded by slots, their bytes by blocks.
//
// Standards: RFC 3550 §5.1, appendix A.1 (sequence); ITU-T G.107 (what delay and loss cost).
package jitter

import (
	"time"

	"parklamp/media/stretch"
	"parklamp/media/timeline"
)

const (
	// MaxPayload is the largest payload held, in bytes: 60 ms of G.711.
	MaxPayload = 480

	slots       = 64                  // packets held at once: 1.28 s of 20 ms packets
	blocks      = 64                  // of payload, as many
	blockSize   = timeline.FrameTicks // bytes: 20 ms of G.711 or G.722
	noBlock     = 255
	maxDropout  = 500
	tick        = timeline.Tick
	defaultSize = timeline.FrameTicks // of a packet
	frame       = timeline.Frame
	idleAfter   = 2 * time.Second        // without a packet: the stream is taken to have ended
	standsStill = 100 * time.Millisecond // later than the packet before by more: perhaps after a pause that was not counted
	spliceJump  = time.Second            // a timestamp further ahead than this is a new timeline
)

// Packet is one RTP packet of one stream. Put copies what it keeps.
type Packet struct {
	SSRC    uint32
	Seq     uint16
	TS      uint32 // RTP timestamp, 8 kHz
	Type    uint8  // given back by Get as it came: the caller's business
	Marker  bool
	Comfort bool // comfort noise: describes silence, worth no concealment
	Event   bool // a telephone-event (RFC 4733), Comfort as well: takes the place of audio; nothing of it is played
	Samples int  // duration in RTP ticks; 0 for Comfort
	Payload []byte
}

// Verdict is what became of a packet.
type Verdict uint8

// What Put can answer.
const (
	Accepted  Verdict = iota
	Reordered         // accepted, after one with a later sequence number
	Spliced           // accepted; its timestamp does not continue the timeline and was moved onto it
	NewSource         // accepted as the first of another SSRC; older packets are gone
	Restarted         // accepted as the first of another sequence; older packets are gone
	Resumed           // accepted as the first after a long silence
	Duplicate         // dropped: it is here or was played
	Late              // dropped: its time has passed
	Jumped            // put aside: far outside the sequence or of another SSRC, until a second one follows it
	Oversized         // dropped: more than MaxPayload bytes, or no duration
	verdicts
)

var verdictNames = [verdicts]string{"accepted", "reordered", "spliced", "new source", "restarted", "resumed", "duplicate",
	"late", "jumped", "oversized"}

// String returns the verdict in lower case.
func (v Verdict) String() string {
	if v < verdicts {
		return verdictNames[v]
	}
	return "unknown"
}

// Kind is what to play.
type Kind uint8

// The kinds of Out.
const (
	Silence Kind = iota // the sender sends nothing
	Comfort             // the payload describes noise that lasts until the next Out of another kind
	Play                // the payload
	Conceal             // something was sent and is not here
)

// Out is what Get decided. Payload is valid until the next call of a method.
type Out struct {
	Kind    Kind
	Samples int // how much time this covers before stretching, in RTP ticks, never 0
	Seq     uint16
	TS      uint32
	Type    uint8
	Payload []byte
	Spliced bool         // what this frame continues is not what was played before it: cross-fade
	Stretch int          // RTP ticks to put in, or when negative to take out, at most; doing less is no harm
	Care    stretch.Care // how much the stretching may be heard
}

// Stats counts since New.
type Stats struct {
	Put, Played  uint64
	Lost         uint64 // packets that had not come when those after them were played
	Late         uint64 // of Lost, those that came at last
	Duplicates   uint64
	Reordered    uint64
	Jumped       uint64 // put aside
	Oversized    uint64
	Overflows    uint64 // packets thrown away for want of room
	NewSources   uint64
	Restarts     uint64
	Splices      uint64 // timestamp jumps
	Pauses       uint64 // silences of the sender
	Comforts     uint64 // comfort noise packets played
	Concealed    uint64 // pieces of concealment
	Skipped      uint64 // packets left out after as much concealment
	Forgotten    uint64 // packets of audio that were here when the stream began anew
	RouteChanges uint64 // the least delay of 10 s moved by more than 10 ms
	// SkewPPM is by how much the sender's clock seems slower than ours, from the drift of the least delay; 0 for the
	// first minute.
	SkewPPM       float64
	Target, Delay time.Duration // above the fastest packet
}

// Config bounds the delay that the buffer adds above the fastest packet.
type Config struct {
	Min time.Duration `toml:"min" doc:"least target delay of the jitter buffer, 0s to 200ms"`
	Max time.Duration `toml:"max" doc:"greatest target delay of the jitter buffer, 40ms to 1s"`
}

// Default returns bounds that suit everything from a switch to a mobile network.
func Default() Config { return Config{Min: 0, Max: 400 * time.Millisecond} }

type slot struct {
	seq     int64 // extended sequence number, of the packet held or of the last one played from here
	ts      int64 // extended timestamp
	wireTS  uint32
	samples int16
	size    int16
	held    bool
	comfort bool
	event   bool
	typ     uint8
	block   uint8 // first of its payload
}

// Buffer holds the packets of one stream. It belongs to one goroutine.
type Buffer struct {
	cfg   Config
	delay estimator
	stats Stats

	started bool // a stream is known
	playing bool // its first packet has been played
	ssrc    uint32
	highSeq int64 // highest extended sequence number seen
	voice   int64 // that of the packet behind which there are none but events
	highTS  int64 // extended timestamp of that packet
	shift   int64 // added to unwrapped timestamps since a splice
	lastPut time.Duration
	highAt  time.Duration // its arrival
	highLen int64         // its RTP ticks
	marked  bool          // it had the marker
	overlap int           // packets in a row that began before the one before them had ended, as many as matter
	stood   int           // packets since one that was late, as after a pause that its sender has not counted
	stoodAt time.Duration // when that one came
	unheard trials        // what was known before it
	rival   rival

	playTS    int64 // extended timestamp that is due next
	playSeq   int64 // extended sequence number expected next
	pause     bool  // comfort noise was played: silence follows until the next packet
	size      int64 // ticks in the last packet
	concealed int64 // RTP ticks of concealment since the last packet that was played
	heldUp    bool  // the stream begins again with what was held up on the way: the sender has not paused
	fills     int   // how often a burst was waited for, the last time
	filledTS  int64 // when highTS was this
	filledAt  time.Duration
	tooLong   bool // the delay has been so
	since     time.Duration
	planned   time.Duration // when the next packet plays if this one is not stretched
	restUntil time.Duration
	step      time.Duration // the greatest common divisor of
	stepOf    int64         // a packet's length, RTP ticks,
	stepGrid  time.Duration // and the grid
	chosen    int           // packets until the target is chosen again
	held      int

	slot  [slots]slot
	data  [blocks][blockSize]byte
	chain [blocks]uint8 // the block after each, of a payload or of those that are free
	free  uint8
	whole [MaxPayload]byte // a payload of several blocks, put together
}

// New returns an empty buffer, about 15 kB.
func New(cfg Config) *Buffer {
	b := &Buffer{cfg: cfg, size: defaultSize}
	b.delay.reset()
	b.empty()
	return b
}

// empty forgets all packets.
func (b *Buffer) empty() {
	for i := range b.slot {
		b.slot[i] = slot{seq: -1, block: noBlock}
	}
	for i := range b.chain {
		b.chain[i] = uint8(i + 1)
	}
	b.chain[blocks-1] = noBlock
	b.free, b.held = 0, 0
}

// Stats returns a copy of the counters.
func (b *Buffer) Stats() Stats {
	s := b.stats
	s.Target = b.target()
	s.RouteChanges, s.SkewPPM = b.delay.steps, b.delay.drift.ppm
	return s
}

// Put offers a packet that arrived at the given time. Times never go back.
func (b *Buffer) Put(p *Packet, arrival time.Duration) Verdict {
	b.stats.Put++
	if len(p.Payload) > MaxPayload || p.Samples < 0 || p.Samples > MaxPayload || (p.Samples == 0) != p.Comfort {
		b.stats.Oversized++
		return Oversized
	}
	if !b.started {
		if p.Event {
			b.stats.Jumped++
			return Jumped
		}
		b.restart(p, arrival)
		return Restarted
	}
	another := p.SSRC != b.ssrc
	step := timeline.Packets(p.Seq, uint16(b.highSeq))
	if p.Event && (another || arrival-b.lastPut > idleAfter || step > maxDropout || step < -maxMisorder) {
		b.stats.Jumped++ // its timestamp is no beginning of a timeline
		return Jumped
	}
	if arrival-b.lastPut > idleAfter {
		b.restart(p, arrival)
		if another {
			b.stats.NewSources++
			return NewSource
		}
		b.stats.Pauses++
		return Resumed
	}
	if !another && step <= maxDropout && step >= -maxMisorder {
		return b.take(p, step, arrival)
	}
	run := b.rival.hear(p, arrival)
	switch {
	case !b.rival.Wins():
		b.stats.Jumped++
		return Jumped
	case run > timeline.Together: // the first is old
		b.restart(p, arrival)
	default:
		b.restart(&b.rival.first, b.rival.at)
		b.take(p, 1, arrival)
	}
	if another {
		b.stats.NewSources++
		return NewSource
	}
	b.stats.Restarts++
	return Restarted
}

// take sorts in a packet of the present stream that is step after the newest one.
func (b *Buffer) take(p *Packet, step int64, arrival time.Duration) Verdict {
	b.lastPut = arrival
	seq := b.highSeq + step
	if p.Event {
		return b.takeEvent(p, seq, arrival)
	}
	ts := b.highTS + timeline.Ticks(p.TS+uint32(b.shift), uint32(b.highTS))
	spliced := false
	s := &b.slot[seq&(slots-1)]
	reordered := step < 0
	if reordered && seq > b.voice && s.seq < seq {
		step = 1 // events alone have overtaken it
	}
	if step > 0 {
		shift := b.shift
		ts = b.splice(p, step, ts, arrival)
		spliced = b.shift != shift && b.overlap < overlaps
		b.highSeq, b.voice, b.highTS, b.highAt, b.highLen = max(b.highSeq, seq), seq, ts, arrival, int64(p.Samples)
		b.marked = p.Marker
	} else if end := b.highTS + step*b.highLen; b.near(ts, end) {
		ts = end
	}
	// What was overtaken by the first packet after a splice is of the old clock, and tells nothing by the new one.
	old := step < 0 && (ts > b.highTS || ts < b.highTS-int64(spliceJump/tick))
	// How late a copy is, nobody hears. What is so late that its slot has been taken may be one.
	if !p.Comfort && !old && s.seq < seq {
		b.delay.add(arrival-time.Duration(ts+int64(p.Samples))*tick, arrival, inMS(time.Duration(p.Samples)*tick), int(step))
	}
	switch {
	case s.seq == seq:
		b.stats.Duplicates++
		return b.behind(p, Duplicate, arrival)
	case s.seq > seq || old || b.playing && (ts < b.playTS || seq < b.playSeq):
		b.stats.Late++
		if s.seq < seq { // a second copy of it is a duplicate
			b.forget(s)
			*s = slot{seq: seq, block: noBlock}
		}
		return b.behind(p, Late, arrival)
	}
	b.rival.Quiet(arrival)
	b.store(p, seq, ts)
	switch {
	case reordered:
		b.stats.Reordered++
		return Reordered
	case spliced:
		b.stats.Splices++
		return Spliced
	}
	return Accepted
}

// takeEvent sorts in a packet of an event. RFC 4733 §2.2.1: its timestamp stands while it goes on, and audio may be sent beside it,
// so that it tells nothing about the timeline: it stands where the audio before it ends.
func (b *Buffer) takeEvent(p *Packet, seq int64, arrival time.Duration) Verdict {
	b.rival.Quiet(arrival)
	s := &b.slot[seq&(slots-1)]
	switch {
	case s.seq == seq:
		return Duplicate
	case s.seq > seq || b.playing && seq < b.playSeq:
		return Late // as nothing of it is played, nobody misses it
	case seq < b.highSeq:
		b.store(p, seq, b.highTS)
		return Reordered
	}
	ts := b.highTS
	if last := &b.slot[b.highSeq&(slots-1)]; last.seq == b.highSeq {
		ts = max(ts, last.ts+int64(last.samples))
	}
	b.highSeq = seq
	b.store(p, seq, ts)
	return Accepted
}

// splice returns the extended timestamp of a packet that is newer in sequence. A sender that changed its
// clock without a new SSRC (a server that joined two streams) is moved onto the old timeline.
func (b *Buffer) splice(p *Packet, step, ts int64, arrival time.Duration) int64 {
	ahead := time.Duration(ts-b.highTS) * tick
	if ts > b.highTS && ahead < arrival-b.highAt+spliceJump+time.Duration(step)*frame {
		return b.unfold(p, step, ts, arrival)
	}
	if ts == b.highTS && p.Comfort {
		return ts
	}
	elapsed := int64((arrival - b.highAt) / tick)
	want := b.highTS + max(step*b.size, elapsed-elapsed%b.size)
	b.shift += want - ts
	return want
}

// overlaps in a row prove that timestamps grow by less than the packets last.
const overlaps = timeline.Anew

// near reports whether a timestamp is off by less than anything but its sender's way of counting: some take the time of day, or
// round.
func (b *Buffer) near(ts, want int64) bool { return max(ts-want, want-ts) <= b.highLen/2 }

// unfold returns the timestamp of a packet whose sender counts badly: as its sequence number has it.
func (b *Buffer) unfold(p *Packet, step, ts int64, arrival time.Duration) int64 {
	end := b.highTS + step*b.highLen
	if b.near(ts, end) {
		if ts == end && !p.Comfort {
			b.overlap = 0
		}
		return end + b.uncounted(p, step, end, arrival)
	}
	b.stood = 0
	switch {
	case p.Comfort:
	case ts > end:
		if b.overlap < overlaps {
			b.overlap = 0 // not in a row
		}
	case b.overlap < overlaps:
		if b.overlap++; b.overlap >= overlaps {
			b.delay.rebase() // they have seemed later and later
		}
	default:
		b.shift += end - ts
		return end
	}
	return ts
}

// uncounted returns the RTP ticks of a pause that the sender's clock has not counted, and moves the timeline by them.
// Departs from RFC 3550 §5.1, as its sender does: timestamps of such a one count what is sent, not sampling instants.
func (b *Buffer) uncounted(p *Packet, step, ts int64, arrival time.Duration) int64 {
	late := arrival - time.Duration(ts+int64(p.Samples))*tick - b.delay.newest()
	switch {
	case p.Comfort || step != 1:
		b.stood = 0
	case late > standsStill && p.Marker && !b.marked: // RFC 3551 §4.1: a talkspurt begins; some mark each packet
		b.stood = 0
		b.delay.rebase()
		b.shift += int64(late / tick)
		return int64(late / tick)
	case late > standsStill:
		b.stood, b.stoodAt, b.unheard = 1, arrival, b.delay.trials
	case b.stood > 0:
		if b.stood++; b.stood < timeline.Anew {
			break
		}
		// What was held up on the way would have come faster.
		if b.stood = 0; arrival-b.stoodAt > (timeline.Anew-2)*time.Duration(b.highLen)*tick {
			b.delay.trials = b.unheard
			b.delay.rebase()
		}
	}
	return 0
}

// restart makes a packet the first of a stream.
func (b *Buffer) restart(p *Packet, arrival time.Duration) {
	sameClock := b.started && p.SSRC == b.ssrc
	step := timeline.Packets(p.Seq, uint16(b.highSeq))
	b.heldUp = sameClock && !b.pause && (!p.Marker || b.marked) && step > 0 && timeline.Ticks(p.TS+uint32(b.shift), uint32(b.highTS)) == step*b.size
	b.fills = 0
	if b.rival.Quiet(arrival); b.started && !sameClock {
		b.rival.Leave(b.ssrc, b.lastPut)
	}
	b.started, b.playing, b.pause, b.stood = true, false, false, 0
	b.ssrc, b.lastPut, b.highAt, b.shift = p.SSRC, arrival, arrival, 0
	b.concealed, b.tooLong, b.planned, b.restUntil = 0, false, 0, 0
	b.highSeq, b.highTS, b.highLen = int64(p.Seq)+1<<16, int64(p.TS)+1<<32, int64(p.Samples)
	b.voice, b.marked = b.highSeq, p.Marker
	for i := range b.slot {
		if s := &b.slot[i]; s.held && !s.comfort {
			b.stats.Forgotten++
		}
	}
	b.empty()
	if !sameClock {
		b.overlap = 0
		b.delay.reset()
	} else {
		b.delay.rebase()
	}
	b.store(p, b.highSeq, b.highTS)
	b.delay.add(arrival-time.Duration(b.highTS+b.size)*tick, arrival, inMS(frame), 1)
}

func (b *Buffer) store(p *Packet, seq, ts int64) {
	s := &b.slot[seq&(slots-1)]
	if s.held {
		b.stats.Overflows++
		b.forget(s)
	}
	*s = slot{
		seq: seq, ts: ts, held: true, comfort: p.Comfort, event: p.Event, typ: p.Type,
		samples: int16(p.Samples), size: int16(len(p.Payload)), wireTS: p.TS, block: noBlock,
	}
	b.held++
	link := &s.block
	for rest := p.Payload; len(rest) > 0; {
		for b.free == noBlock {
			oldest := b.oldest()
			b.stats.Overflows++
			if b.forget(oldest); oldest == s {
				return // all that it was overtaken by is worth more
			}
		}
		i := b.free
		b.free = b.chain[i]
		*link, b.chain[i] = i, noBlock
		link = &b.chain[i]
		rest = rest[copy(b.data[i][:], rest):]
	}
	if !p.Comfort {
		b.size = int64(p.Samples)
	}
}

// oldest returns the held packet that is first in sequence. There is one.
func (b *Buffer) oldest() (first *slot) {
	for i := range b.slot {
		if s := &b.slot[i]; s.held && (first == nil || s.seq < first.seq) {
			first = s
		}
	}
	return first
}

// forget lets go of the packet in a slot, if there is one. Its bytes stay until the next is stored.
func (b *Buffer) forget(s *slot) {
	if !s.held {
		return
	}
	s.held = false
	b.held--
	for i := s.block; i != noBlock; {
		next := b.chain[i]
		b.chain[i] = b.free
		b.free, i = i, next
	}
	s.block = noBlock
}

// payload returns the bytes of a packet that is held; valid until the next packet is stored.
func (b *Buffer) payload(s *slot) []byte {
	if s.block == noBlock {
		return nil
	}
	if s.size <= blockSize {
		return b.data[s.block][:s.size]
	}
	n := 0
	for i := s.block; i != noBlock; i = b.chain[i] {
		n += copy(b.whole[n:], b.data[i][:min(blockSize, int(s.size)-n)])
	}
	return b.whole[:n]
}
