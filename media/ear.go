package media

import (
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/codec"
	"parklamp/media/jitter"
	"parklamp/media/plc"
)

const (
	// ringSlots packets wait for the pacer at most: a burst after 640 ms of silence. What comes on top is dropped.
	ringSlots = 32
	// maxPiece is the most audio that one Get of the jitter buffer stands for, in samples.
	maxPiece = jitter.MaxPayload
	// comfortType marks comfort noise in the jitter buffer's packet type; others are codec.ID.
	comfortType = 0xff
	// quietNoise is the level of comfort noise whose packet does not give one, -dBov.
	quietNoise = 78
)

// ear turns received packets into a frame for each tick. The reader puts packets into a ring without a lock;
// everything behind it belongs to the pacer.
type ear struct {
	ring [ringSlots]arrived
	head atomic.Uint32 // written by the reader: packets offered
	tail atomic.Uint32 // written by the pacer: packets taken

	buffer  *jitter.Buffer
	conceal *plc.Concealer
	rate    int // samples a second of what is played: 8,000, or 16,000 for a wide sink
	decoder codec.Decoder
	fifo    [2 * (maxPiece + FrameSamples)]int16 // decoded, not played yet
	kinds   Kind                                 // worst kind in fifo
	n       int                                  // samples in fifo
	level   uint8                                // of comfort noise, -dBov; 0 when the last packet was audio

	played, concealed atomic.Uint64 // RTP ticks
	late              atomic.Uint64 // packets
	delay             atomic.Int64
}

type arrived struct {
	packet jitter.Packet
	at     time.Duration
	data   [jitter.MaxPayload]byte
}

// newEar returns an ear whose sink gets rate samples a second.
func newEar(cfg Config, rate int) *ear {
	return &ear{buffer: jitter.New(jitter.Config{Min: cfg.JitterMin, Max: cfg.JitterMax}), conceal: plc.New(rate), rate: rate,
		decoder: codec.Decoder{Rate: rate}}
}

// offer queues a packet and reports whether it fitted. The reader calls it.
func (e *ear) offer(h *rtp.Header, kind packetKind, id codec.ID, payload []byte, now time.Duration) bool {
	head := e.head.Load()
	if head-e.tail.Load() == ringSlots || len(payload) > jitter.MaxPayload {
		return false
	}
	a := &e.ring[head%ringSlots]
	a.at = now
	a.packet = jitter.Packet{
		SSRC: h.SSRC, Seq: h.SequenceNumber, TS: h.Timestamp, Marker: h.Marker,
		Payload: a.data[:copy(a.data[:], payload)],
	}
	if kind == noise {
		a.packet.Comfort, a.packet.Type = true, comfortType
	} else {
		a.packet.Type, a.packet.Samples = uint8(id), len(payload)
		a.packet.Quiet = codec.Quiet(id, payload)
	}
	e.head.Store(head + 1)
	return true
}

// hear gives the sink the frame of a tick.
func (e *ear) hear(sink Sink, at time.Duration, room *scratch) {
	for tail := e.tail.Load(); tail != e.head.Load(); tail++ {
		a := &e.ring[tail%ringSlots]
		e.buffer.Put(&a.packet, a.at)
		e.tail.Store(tail + 1)
	}
	size := FrameSamples * e.rate / SampleRate
	for e.n < size {
		e.more(at+time.Duration(e.n)*time.Second/time.Duration(e.rate), room)
	}
	copy(room.wide[:], e.fifo[:size])
	kind := e.kinds
	e.n = copy(e.fifo[:], e.fifo[size:e.n])
	if e.n == 0 {
		e.kinds = Audio
	}
	st := e.buffer.Stats()
	e.late.Store(st.Late)
	e.delay.Store(int64(st.Delay))
	if wide, ok := sink.(WideSink); ok && e.rate == WideRate {
		wide.WriteWide(&room.wide, kind)
		return
	}
	sink.Write((*Frame)(room.wide[:]), kind)
}

// more decodes or makes up the next piece.
func (e *ear) more(now time.Duration, room *scratch) {
	out := e.buffer.Get(now)
	ticks := min(out.Samples, maxPiece)
	piece := room.piece[:ticks*e.rate/SampleRate]
	kind := Audio
	switch out.Kind {
	case jitter.Play:
		e.level = 0
		e.decoder.Decode(codec.ID(out.Type), piece, out.Payload)
		e.conceal.Good(piece, out.Spliced)
		e.played.Add(uint64(ticks))
	case jitter.Comfort:
		kind = Comfort
		e.level = quietNoise
		if len(out.Payload) > 0 {
			e.level = max(out.Payload[0]&0x7f, 1) // RFC 3389 §3.1
		}
		e.conceal.Noise(piece, e.level)
	case jitter.Silence:
		if e.level > 0 {
			kind = Comfort // the noise lasts until there is audio again
			e.conceal.Noise(piece, e.level)
			break
		}
		kind = Silence
		clear(piece)
		e.conceal.Good(piece, false)
	case jitter.Conceal:
		kind = Concealed
		e.conceal.Conceal(piece)
		e.concealed.Add(uint64(ticks))
	}
	e.n += copy(e.fifo[e.n:], piece)
	e.kinds = max(e.kinds, kind)
}
