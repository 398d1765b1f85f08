package media

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/codec"
	"parklamp/media/jitter"
	"parklamp/media/playout"
)

const (
	// ringSlots packets wait for whoever asks for samples. A packet on top of them is dropped: the newest, which is worth most.
	ringSlots = 32
	// From so many on the session's reader hands them on, whenever nobody is asking just then: of a burst, whatever its
	// length, the jitter buffer keeps what is worth it.
	ringMany = ringSlots / 2
)

// The shape of the way from a Puller's clock to ours.
const (
	// followBy is the share of what the two clocks are apart that is made up for at each Read: the moments of asking are
	// off by what the machine is late, and the buffer would take that for delay.
	followBy = 32
	// A Puller that has asked for nothing for so long has missed something.
	mostApart = FrameDuration
	// For one that stands still the pacer lets the far end speak to nobody, so that it is understood at once afterwards.
	standsStill = 5 * FrameDuration
)

// ear turns received packets into samples, a frame in each tick or whatever a Puller asks for. The session's reader puts
// packets into a ring and never waits for mu; everything behind the ring belongs to whoever holds it.
type ear struct {
	// immutable
	clock Clock
	count *counters // of the session
	rate  int       // samples a second of what is played: 8,000, or 16,000 for a wide sink

	ring [ringSlots]arrived
	head atomic.Uint32 // written by the session's reader: packets offered
	tail atomic.Uint32 // packets taken

	mu     sync.Mutex // the pacer never waits for it while somebody else pulls
	player *playout.Player
	last   time.Duration // the moment that the last frame was asked for
	next   time.Duration // when the samples after it are to be asked for
	pulled time.Duration // when a Puller asked last

	played, concealed, late, discarded uint64 // that count has of this ear: RTP ticks, packets

	delay atomic.Int64
}

type arrived struct {
	packet jitter.Packet
	at     time.Duration
	data   [jitter.MaxPayload]byte
}

// newEar returns an ear whose sink gets rate samples a second.
func newEar(e *Engine, count *counters, rate int) *ear {
	d := &decoder{codec.Decoder{Rate: rate}}
	return &ear{
		clock: e.clock, count: count, rate: rate, pulled: -standsStill,
		player: playout.New(jitter.Config{Min: e.cfg.JitterMin, Max: e.cfg.JitterMax}, rate, d),
	}
}

var _ Voice = (*ear)(nil)

// offer queues a packet and reports whether it fitted. The session's reader calls it.
func (e *ear) offer(h *rtp.Header, kind packetKind, id codec.ID, payload []byte, now time.Duration) bool {
	head := e.head.Load()
	if head-e.tail.Load() >= ringMany && e.mu.TryLock() {
		e.take()
		e.mu.Unlock()
	}
	if head-e.tail.Load() == ringSlots || len(payload) > jitter.MaxPayload {
		return false
	}
	a := &e.ring[head%ringSlots]
	a.at = now
	a.packet = jitter.Packet{
		SSRC: h.SSRC, Seq: h.SequenceNumber, TS: h.Timestamp, Marker: h.Marker,
		Payload: a.data[:copy(a.data[:], payload)],
	}
	switch kind {
	case noise, event:
		a.packet.Comfort, a.packet.Event, a.packet.Type = true, kind == event, playout.ComfortType
	default:
		a.packet.Type, a.packet.Samples = uint8(id), len(payload)
	}
	e.head.Store(head + 1)
	return true
}

// take gives the jitter buffer what waits in the ring. The caller holds mu.
func (e *ear) take() {
	for tail := e.tail.Load(); tail != e.head.Load(); tail++ {
		a := &e.ring[tail%ringSlots]
		// A packet that was being read while the last frame was made was not there for it, whatever its stamp says.
		e.player.Put(&a.packet, max(a.at, e.last+1))
		e.tail.Store(tail + 1)
	}
}

// hear gives the sink the frame of a tick.
func (e *ear) hear(sink Sink, at time.Duration, room *scratch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if wide, ok := sink.(WideSink); ok && e.rate == WideRate {
		wide.WriteWide(&room.wide, e.play(room.wide[:], at))
	} else {
		sink.Write(&room.frame, e.play(room.frame[:], at))
	}
}

// relieve lets a frame go unheard while a Puller asks for nothing.
func (e *ear) relieve(at time.Duration, room *scratch) {
	if !e.mu.TryLock() {
		return // it is asking
	}
	defer e.mu.Unlock()
	if at-e.pulled >= standsStill {
		e.skip(room.wide[:], at)
	}
}

// Rate implements Voice.
func (e *ear) Rate() int { return e.rate }

// Read implements Voice.
func (e *ear) Read(dst []int16, late time.Duration) Kind {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	at, again := now-late, now-e.pulled >= standsStill
	e.pulled = now
	if at < e.next-mostApart {
		clear(dst) // it makes up for what the pacer has let go already
		return Silence
	}
	if again {
		at = max(at, e.next)
	} else {
		e.skip(dst, at-mostApart)
		at = e.next + min(mostApart, at-e.next)/followBy
	}
	return e.play(dst, at)
}

// skip lets what was to be heard before a time go unheard: nobody asked for it. What room holds is lost.
func (e *ear) skip(room []int16, until time.Duration) {
	if behind := until - e.next; behind > maxCatchUp*FrameDuration {
		e.next += behind - maxCatchUp*FrameDuration
	}
	for e.next <= until {
		e.play(room[:min(len(room), e.rate/50)], e.next)
	}
}

// play fills dst with what is heard from a time on.
func (e *ear) play(dst []int16, at time.Duration) Kind {
	e.take()
	e.last, e.next = at, at+time.Duration(len(dst))*time.Second/time.Duration(e.rate)
	kind := e.player.Read(dst, at)
	heard, buffer := e.player.Stats()
	played, concealed := heard.Played*SampleRate/uint64(e.rate), heard.Concealed*SampleRate/uint64(e.rate)
	e.count.played.Add(played - e.played)
	e.count.concealed.Add(concealed - e.concealed)
	// RFC 3611 §4.7.1: late arrival, overflow, what was left out to catch up and what was not heard to its end as another stream
	// began are discards alike.
	discarded := buffer.Late + buffer.Overflows + buffer.Skipped + buffer.Forgotten
	e.count.late.Add(buffer.Late - e.late)
	e.count.discarded.Add(discarded - e.discarded)
	e.played, e.concealed, e.late, e.discarded = played, concealed, buffer.Late, discarded
	e.delay.Store(int64(buffer.Delay))
	return kind
}

// decoder decodes what classify let through: a packet's Type is a codec.ID.
type decoder struct{ codec codec.Decoder }

func (d *decoder) Decode(typ uint8, dst []int16, payload []byte) int {
	return d.codec.Decode(codec.ID(typ), dst, payload)
}
