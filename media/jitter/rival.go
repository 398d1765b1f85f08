package jitter

import (
	"time"

	"parklamp/media/timeline"
)

const maxMisorder = 100 // RFC 3550 appendix A.1

// rival is what may be another stream, and its first packet.
type rival struct {
	timeline.Rival
	first Packet
	at    time.Duration // when it came
	data  [MaxPayload]byte
}

// hear counts a packet, and returns how many have come in a row.
func (r *rival) hear(p *Packet, arrival time.Duration) int {
	run := r.Hear(p.SSRC, p.Seq, arrival)
	if run == 1 {
		r.first, r.at = *p, arrival
		r.first.Payload = r.data[:copy(r.data[:], p.Payload)]
	}
	return run
}

// behind is what becomes of a packet that would be dropped: some in a row, while nothing newer has come for as long as they
// last, are those of a sender that counts anew. Copies and what was held up on the way come at once, or beside newer ones.
func (b *Buffer) behind(p *Packet, v Verdict, arrival time.Duration) Verdict {
	if b.rival.hear(p, arrival) < timeline.Anew || arrival-b.highAt < (timeline.Anew-1)*time.Duration(b.size)*tick {
		return v
	}
	b.stats.Restarts++
	b.restart(p, arrival)
	return Restarted
}
