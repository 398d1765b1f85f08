package media

import (
	"time"

	"parklamp/media/comfort"
	"parklamp/media/halfband"
)

// gate tells the silence of a session's live source from speech, where the far end is told of it in place of hearing it.
type gate struct {
	comfort.Gate
	down halfband.Down
}

// hushed takes the frame of a tick before it is encoded and reports whether it is silence. Then a description of it, or
// nothing, has taken its place, and the encoder is left where the far end's decoder stands.
func (s *Session) hushed(w *wiring, at time.Duration, room *scratch) bool {
	g := &s.pace.gate
	if w.speaksWide() {
		g.down.Fill(room.frame[:], room.wide[:])
	}
	verdict := g.Next(&room.frame)
	if verdict == comfort.Voice {
		return false
	}
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inTalkspurt = false // RFC 3551 §4.1: the packet after a silence is marked
	if verdict == comfort.Tell {
		ts, _ := o.tickStamp(at)
		n := g.Describe(room.payload[:])
		s.write(w, room, w.params.NoisePayloadType, false, o.seq, ts, room.payload[:n])
		o.seq++
		o.relayed = false
		o.advance(ts+FrameSamples, at+FrameDuration)
	}
	return true
}
