package rtpio

import "time"

// together is by how much the two clocks may differ from one look to the next as they are not read in the same moment. Who slews the
// system's clock slews both (clock_gettime(2)); a step of less makes an age wrong by no more.
const together = time.Millisecond

// clocks tells how long ago a moment of the system's clock was, in which the kernel stamps (it knows no other for sockets), though
// that clock may be set at any time. How long the reader stood still makes no difference: the two clocks went on together. What was
// under way when the clock was set is of an age that nobody knows. It belongs to one reader; the zero value knows of nothing before
// its first look.
type clocks struct {
	apart time.Duration // the system's clock less the monotonic one, at the last look
	set   time.Duration // by the monotonic clock: the first look after a step
	known bool
}

// look is one moment on both clocks.
type look struct{ wall, mono time.Duration }

var origin = time.Now()

func readClocks() look {
	now := time.Now()
	return look{wall: time.Duration(now.UnixNano()), mono: now.Sub(origin)}
}

// age returns how long before now the system's clock showed at, in ns; 0 if that cannot be known.
func (c *clocks) age(now look, at int64) time.Duration {
	apart := now.wall - now.mono
	if d := apart - c.apart; !c.known || d > together || d < -together {
		c.known, c.set = true, now.mono
	}
	c.apart = apart
	if age := now.wall - time.Duration(at); age > 0 && age < now.mono-c.set {
		return age
	}
	return 0
}
