package timeline

import "time"

const (
	// Together is how many packets in a row make another stream (RFC 3550 appendix A.1, MIN_SEQUENTIAL).
	Together = 2
	// Anew is how many do where fewer prove nothing: the stream before the present one goes on beside it, and the two would
	// take turns; or the numbers went back by so little that the packets may be late or copies.
	Anew = 5
	// beside is how long ago two streams were heard at most if they go on beside each other.
	beside = time.Second
)

// Rival is what may be another stream than the present one, until it has gone on for a while with none of the present one's
// packets in between. The zero value is ready.
type Rival struct {
	run    int // packets in a row; 0: there is none
	ssrc   uint32
	next   uint16 // sequence number
	goesOn bool   // it is the stream before the present one, and neither has stopped

	before   bool          // there was one
	left     uint32        // its SSRC
	leftLast time.Duration // when its last packet came
	heard    time.Duration // the present one's last
}

// Hear counts a packet that came at a time and is not of the present stream, and returns how many have come in a row: 1 begins
// another run.
func (r *Rival) Hear(ssrc uint32, seq uint16, at time.Duration) int {
	again := r.before && ssrc == r.left
	if r.run == 0 || ssrc != r.ssrc || seq != r.next {
		r.run, r.ssrc = 0, ssrc
		r.goesOn = again && at-r.leftLast < beside && at-r.heard < beside
	}
	if again {
		r.leftLast = at
	}
	r.run++
	r.next = seq + 1
	return r.run
}

// Wins reports whether the packets in a row are another stream.
func (r *Rival) Wins() bool {
	if r.goesOn {
		return r.run >= Anew
	}
	return r.run >= Together
}

// Quiet ends the run: a packet of the present stream has come at a time.
func (r *Rival) Quiet(at time.Duration) { r.run, r.heard = 0, at }

// Leave says that another SSRC has taken the place of one whose last packet came at a time.
func (r *Rival) Leave(ssrc uint32, last time.Duration) {
	r.run, r.before, r.left, r.leftLast = 0, true, ssrc, last
}
