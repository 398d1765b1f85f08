// Package jitter decides when each received packet is played, or that something else is played for it.
//
// It is pure: no clock, goroutine, lock or log, and no allocation after New. Put takes a packet with its
// time of arrival, Get says what to play at a time; both times count from any one origin of the caller. It
// never decodes: payloads go through it as bytes, so that it serves every codec whose clock is 8 kHz.
//
// The delay follows the network: a histogram of relative arrival delays with slow forgetting, and as the
// target the delay at which waiting longer costs the listener as much as it saves frames from coming too late. The
// delay moves in pauses of the sender and in frames that are lost or quiet, for nothing; elsewhere by whole
// frames and reluctantly. Packets held are bounded by slots, their bytes by MaxPayload.
//
// Standards: RFC 3550 §5.1, appendix A.1 (sequence), A.8 (jitter).
package jitter

import "time"

const (
	// MaxPayload is the largest payload held, in bytes: 60 ms of G.711.
	MaxPayload = 480

	slots       = 64 // packets held at once: 1.28 s of 20 ms packets
	maxDropout  = 500
	tick        = time.Second / 8000 // one RTP clock tick: 125 µs
	defaultSize = 160                // ticks in a packet of 20 ms
	frame       = defaultSize * tick
	idleAfter   = 2 * time.Second // without a packet: the stream is taken to have ended
	spliceJump  = time.Second     // a timestamp further ahead than this is a new timeline
)

// Packet is one RTP packet of one stream. Put copies what it keeps.
type Packet struct {
	SSRC    uint32
	Seq     uint16
	TS      uint32 // RTP timestamp, 8 kHz
	Type    uint8  // given back by Get as it came: the caller's business
	Marker  bool
	Comfort bool // comfort noise: describes silence, worth no concealment
	Samples int  // duration in RTP ticks; 0 for Comfort
	Payload []byte
}

// Verdict is what became of a packet.
type Verdict uint8

// What Put can answer.
const (
	Accepted  Verdict = iota
	Reordered         // accepted, after one with a later sequence number
	Duplicate         // dropped: it is here or was played
	Late              // dropped: its time has passed
	Jumped            // dropped: far outside the sequence, wait for a second one that follows it
	Oversized         // dropped: more than MaxPayload bytes
	Restarted         // accepted as the first of a new stream (SSRC or sequence); older packets are gone
)

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
	Spliced bool // what this frame continues is not what was played before it: cross-fade
	Stretch int  // RTP ticks to put in, or when negative to take out, at most; doing less is no harm
	Care    Care // how much the stretching may be heard
}

// Care is how much stretching may be heard; its values are those of package stretch.
type Care uint8

// The kinds of Care.
const (
	Gentle Care = iota
	Urgent
	Desperate
)

// Stats counts since New.
type Stats struct {
	Put, Played, Late, Duplicates, Reordered, Jumped, Oversized, Overflows, Restarts uint64
	Concealed                                                                        uint64 // pieces of concealment
	Skipped                                                                          uint64 // packets thrown away to shorten the delay
	Inserted                                                                         uint64 // frames added to lengthen it
	Target, Delay                                                                    time.Duration
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
	held    bool
	comfort bool
	typ     uint8
	samples int32
	size    int32
	wireTS  uint32
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
	highTS  int64 // extended timestamp of that packet
	shift   int64 // added to unwrapped timestamps since a splice
	lastPut time.Duration
	highAt  time.Duration // arrival of the packet with highSeq
	badSeq  uint16
	badSeen bool

	playTS    int64 // extended timestamp that is due next
	playSeq   int64 // extended sequence number expected next
	pause     bool  // comfort noise was played: silence follows until the next packet
	size      int64 // ticks in the last packet
	concealed int64 // RTP ticks of concealment since the last packet that was played
	longer    bool  // the change of delay that is wanted
	since     time.Duration
	chosen    int // packets until the target is chosen again
	held      int

	slot [slots]slot
	data [slots][MaxPayload]byte
}

// New returns an empty buffer, about 35 kB.
func New(cfg Config) *Buffer {
	b := &Buffer{cfg: cfg, size: defaultSize}
	b.delay.reset()
	return b
}

// Stats returns a copy of the counters.
func (b *Buffer) Stats() Stats {
	s := b.stats
	s.Target = b.target()
	return s
}

// Put offers a packet that arrived at the given time. Times never go back.
func (b *Buffer) Put(p *Packet, arrival time.Duration) Verdict {
	b.stats.Put++
	if len(p.Payload) > MaxPayload || p.Samples < 0 || p.Samples > MaxPayload || (p.Samples == 0) != p.Comfort {
		b.stats.Oversized++
		return Oversized
	}
	if !b.started || p.SSRC != b.ssrc || arrival-b.lastPut > idleAfter {
		b.restart(p, arrival)
		b.store(p, b.highSeq, b.highTS)
		return Restarted
	}
	step := int64(int16(p.Seq - uint16(b.highSeq)))
	// RFC 3550 appendix A.1: a packet far outside the sequence counts only once a second one follows it.
	if step > maxDropout || step < -maxDropout {
		if !b.badSeen || p.Seq != b.badSeq {
			b.badSeen, b.badSeq = true, p.Seq+1
			b.stats.Jumped++
			return Jumped
		}
		b.restart(p, arrival)
		b.store(p, b.highSeq, b.highTS)
		return Restarted
	}
	b.badSeen = false
	b.lastPut = arrival
	seq := b.highSeq + step
	ts := b.highTS + int64(int32(p.TS+uint32(b.shift)-uint32(b.highTS)))
	if step > 0 {
		ts = b.splice(p, step, ts, arrival)
		b.highSeq, b.highTS, b.highAt = seq, ts, arrival
	}
	d := arrival - time.Duration(ts)*tick
	if !p.Comfort {
		b.delay.add(d, arrival, inMS(time.Duration(p.Samples)*tick), step > 0)
	}
	s := &b.slot[seq&(slots-1)]
	switch {
	case s.seq == seq:
		b.stats.Duplicates++
		return Duplicate
	case s.seq > seq || b.playing && (ts < b.playTS || seq < b.playSeq):
		b.stats.Late++
		return Late
	}
	b.store(p, seq, ts)
	if step < 0 {
		b.stats.Reordered++
		return Reordered
	}
	return Accepted
}

// splice returns the extended timestamp of a packet that is newer in sequence. A sender that changed its
// clock without a new SSRC (a server that joined two streams) is moved onto the old timeline.
func (b *Buffer) splice(p *Packet, step, ts int64, arrival time.Duration) int64 {
	ahead := time.Duration(ts-b.highTS) * tick
	if ts > b.highTS && ahead < arrival-b.highAt+spliceJump+time.Duration(step)*frame {
		return ts
	}
	if ts == b.highTS && p.Comfort {
		return ts
	}
	elapsed := int64((arrival - b.highAt) / tick)
	want := b.highTS + max(step*b.size, elapsed-elapsed%b.size)
	b.shift += want - ts
	return want
}

func (b *Buffer) restart(p *Packet, arrival time.Duration) {
	if b.started {
		b.stats.Restarts++
	}
	sameClock := b.started && p.SSRC == b.ssrc
	b.started, b.playing, b.badSeen, b.pause = true, false, false, false
	b.ssrc, b.lastPut, b.highAt, b.shift = p.SSRC, arrival, arrival, 0
	b.concealed, b.longer, b.since, b.held = 0, false, arrival, 0
	b.highSeq, b.highTS = int64(p.Seq)+1<<16, int64(p.TS)+1<<32
	for i := range b.slot {
		b.slot[i] = slot{seq: -1}
	}
	if !sameClock {
		b.delay.reset()
	} else {
		b.delay.rebase()
	}
	b.delay.add(arrival-time.Duration(b.highTS)*tick, arrival, inMS(frame), true)
}

func (b *Buffer) store(p *Packet, seq, ts int64) {
	i := seq & (slots - 1)
	s := &b.slot[i]
	if s.held {
		b.stats.Overflows++
		b.held--
	}
	*s = slot{
		seq: seq, ts: ts, held: true, comfort: p.Comfort, typ: p.Type,
		samples: int32(p.Samples), size: int32(len(p.Payload)), wireTS: p.TS,
	}
	copy(b.data[i][:], p.Payload)
	b.held++
	if !p.Comfort {
		b.size = int64(p.Samples)
	}
}
