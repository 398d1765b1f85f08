package media

import (
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/codec"
	"parklamp/media/jitter"
	"parklamp/media/playout"
)

// ringSlots packets wait for the pacer at most: a burst after 640 ms of silence. What comes on top is dropped.
const ringSlots = 32

// ear turns received packets into a frame for each tick. The reader puts packets into a ring without a lock;
// everything behind it belongs to the pacer.
type ear struct {
	ring [ringSlots]arrived
	head atomic.Uint32 // written by the reader: packets offered
	tail atomic.Uint32 // written by the pacer: packets taken

	player *playout.Player
	rate   int           // samples a second of what is played: 8,000, or 16,000 for a wide sink
	last   time.Duration // the tick of the last frame

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
	d := &decoder{codec.Decoder{Rate: rate}}
	return &ear{
		player: playout.New(jitter.Config{Min: cfg.JitterMin, Max: cfg.JitterMax}, rate, d), rate: rate,
	}
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
		a.packet.Comfort, a.packet.Type = true, playout.ComfortType
	} else {
		a.packet.Type, a.packet.Samples = uint8(id), len(payload)
	}
	e.head.Store(head + 1)
	return true
}

// hear gives the sink the frame of a tick.
func (e *ear) hear(sink Sink, at time.Duration, room *scratch) {
	for tail := e.tail.Load(); tail != e.head.Load(); tail++ {
		a := &e.ring[tail%ringSlots]
		// A packet that was being read while the last frame was made was not there for it, whatever its stamp says.
		e.player.Put(&a.packet, max(a.at, e.last+1))
		e.tail.Store(tail + 1)
	}
	e.last = at
	if wide, ok := sink.(WideSink); ok && e.rate == WideRate {
		wide.WriteWide(&room.wide, e.player.Read(room.wide[:], at))
	} else {
		sink.Write(&room.frame, e.player.Read(room.frame[:], at))
	}
	heard, buffer := e.player.Stats()
	e.played.Store(heard.Played * SampleRate / uint64(e.rate))
	e.concealed.Store(heard.Concealed * SampleRate / uint64(e.rate))
	e.late.Store(buffer.Late)
	e.delay.Store(int64(buffer.Delay))
}

// decoder decodes what classify let through: a packet's Type is a codec.ID.
type decoder struct{ codec codec.Decoder }

func (d *decoder) Decode(typ uint8, dst []int16, payload []byte) int {
	return d.codec.Decode(codec.ID(typ), dst, payload)
}
