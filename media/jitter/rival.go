package jitter

import "time"

const (
	maxMisorder = 100 // RFC 3550 appendix A.1
	// Two packets in a row make another stream (RFC 3550 appendix A.1, MIN_SEQUENTIAL). Where the numbers went back by so
	// little that they may be late or copies, so many do.
	together, anew = 2, 5
)

// rival is what may be another stream, until it has gone on for a while (RFC 3550 appendix A.1).
type rival struct {
	run   int // packets in a row; 0: there is none
	next  uint16
	first Packet
	at    time.Duration // when it came
	data  [MaxPayload]byte
}

// hear counts a packet, and returns how many have come in a row.
func (r *rival) hear(p *Packet, arrival time.Duration) int {
	if r.run == 0 || p.SSRC != r.first.SSRC || p.Seq != r.next {
		r.run, r.first, r.at = 0, *p, arrival
		r.first.Payload = r.data[:copy(r.data[:], p.Payload)]
	}
	r.run++
	r.next = p.Seq + 1
	return r.run
}

// behind is what becomes of a packet that would be dropped: some in a row, while nothing newer has come for as long as they
// last, are those of a sender that counts anew. Copies and what was held up on the way come at once, or beside newer ones.
func (b *Buffer) behind(p *Packet, v Verdict, arrival time.Duration) Verdict {
	if b.rival.hear(p, arrival) < anew || arrival-b.highAt < (anew-1)*time.Duration(b.size)*tick {
		return v
	}
	b.stats.Restarts++
	b.restart(p, arrival)
	return Restarted
}
