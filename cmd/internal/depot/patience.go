package depot

import "time"

// Between two rounds of asking.
const (
	firstWait = 5 * time.Second
	mostWait  = 5 * time.Minute
)

// Patience says how long to wait before the server is asked again: twice as long each time, up to five minutes. The
// phones of a site get their power at one moment; random spreads them.
type Patience struct {
	wait time.Duration
}

// Next is the wait after one more failure, between three and five quarters of its step; random is from 0 to 1.
func (p *Patience) Next(random float64) time.Duration {
	p.wait = min(max(2*p.wait, firstWait), mostWait)
	return time.Duration(float64(p.wait) * (0.75 + random/2))
}

// Renew begins anew, as with another server.
func (p *Patience) Renew() { p.wait = 0 }
