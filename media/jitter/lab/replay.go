package lab

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"parklamp/media/codec"
	"parklamp/media/jitter"
	"parklamp/media/playout"
	"parklamp/media/timeline"
)

const (
	rate = timeline.ClockRate
	tail = 2 * time.Second // replay goes on after the last arrival
)

// Grid is how often a sound card asks a session's player for samples, with the default period. A conference does every
// 20 ms.
const Grid = 5 * time.Millisecond

// Event is a row of the playout log: a packet that begins to play, or a stretch of something else.
type Event struct {
	Tick   int
	At     time.Duration // true time of the first sample
	Kind   playout.Kind
	New    bool
	Seq    uint16
	Length time.Duration
	Change int // samples put in or, negative, taken out
}

// Run is what a replay came to.
type Run struct {
	Trace  *Trace
	Events []Event
	Sound  []int16 // what the listener heard, if it was asked for
	Player playout.Stats
	Buffer jitter.Stats
}

// law decodes G.711 µ-law.
type law struct{}

func (law) Decode(_ uint8, dst []int16, payload []byte) int {
	return codec.Decode(codec.PCMU, dst, payload)
}

// Replay plays a trace as a session does: speech, µ-law, is what the sender says, over and over, so that how
// much stretching succeeds depends on the sound as in life.
func Replay(t *Trace, cfg jitter.Config, speech []byte, keepSound bool) *Run {
	run := &Run{Trace: t}
	order := t.arrivals()
	if len(order) == 0 {
		return run
	}
	speed := 1 + t.SkewPPM*1e-6
	local := func(at time.Duration) time.Duration { return time.Duration(float64(at) * speed) }
	size := int(t.PTime * rate / time.Second)
	payload := make([]byte, size)

	player := playout.New(cfg, rate, law{})
	tick := 0
	player.Observe = func(p playout.Piece) {
		run.Events = append(run.Events, Event{
			Tick: tick, At: time.Duration(float64(p.At) / speed), Kind: p.Kind, New: p.New, Seq: p.Seq,
			Length: time.Duration(float64(p.Samples) * float64(time.Second) / rate / speed), Change: p.Change,
		})
	}
	frame := make([]int16, Grid*rate/time.Second)
	end := t.Packets[order[len(order)-1]].Arrival + tail
	next := 0
	for k := 0; ; k++ {
		now := t.Phase + time.Duration(float64(k)*float64(Grid)/speed)
		if now > end {
			break
		}
		tick = int(time.Duration(k) * Grid / t.PTime)
		for next < len(order) && t.Packets[order[next]].Arrival <= now {
			p := &t.Packets[order[next]]
			in := jitter.Packet{SSRC: 1, Seq: p.Seq, TS: p.TS, Marker: p.Marker, Comfort: p.Comfort}
			if p.Comfort {
				in.Payload, in.Type = payload[:1], playout.ComfortType
				in.Payload[0] = 60
			} else {
				spoken(payload, speech, t, p.TS)
				in.Payload, in.Samples = payload, size
			}
			player.Put(&in, local(p.Arrival))
			next++
		}
		player.Read(frame, local(now))
		if keepSound {
			run.Sound = append(run.Sound, frame...)
		}
	}
	run.Player, run.Buffer = player.Stats()
	return run
}

// ticks is how far a timestamp is from the trace's first, which is before all others (it may wrap once).
func (t *Trace) ticks(ts uint32) int64 { return int64(ts - t.Packets[0].TS) }

// spoken fills payload with what the sender says at a timestamp, µ-law.
func spoken(payload, speech []byte, t *Trace, ts uint32) {
	from := int(t.ticks(ts) % int64(len(speech)))
	for n := 0; n < len(payload); from = 0 {
		n += copy(payload[n:], speech[from:])
	}
}

// say fills pcm with what the sender says at a timestamp.
func say(pcm []int16, speech []byte, t *Trace, ts uint32) {
	if len(speech) == 0 {
		return
	}
	var payload [jitter.MaxPayload]byte
	spoken(payload[:len(pcm)], speech, t, ts)
	codec.Decode(codec.PCMU, pcm, payload[:len(pcm)])
}

// WriteLog writes the playout log.
func (r *Run) WriteLog(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# jblog=1 buffer=parklamp rx_skew_ppm=%g mode=events\n", r.Trace.SkewPPM)
	fmt.Fprintln(b, "tick_index,playout_time_us,seq_played,note")
	for _, e := range r.Events {
		fmt.Fprintf(b, "%d,%d,", e.Tick, e.At.Microseconds())
		switch {
		case e.New:
			fmt.Fprint(b, e.Seq)
			switch {
			case e.Change > 0:
				fmt.Fprintf(b, ",inserted=%d", e.Change)
			case e.Change < 0:
				fmt.Fprintf(b, ",removed=%d", -e.Change)
			}
		case e.Kind == playout.Concealed:
			fmt.Fprintf(b, "conceal,dur_us=%d", e.Length.Microseconds())
		default:
			fmt.Fprintf(b, "silence,dur_us=%d", e.Length.Microseconds())
		}
		fmt.Fprintln(b)
	}
	return b.Flush()
}
