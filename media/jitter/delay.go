package jitter

import "time"

const (
	minWindow = 10 * time.Second // the least delay of this time is the base of all delays
	minParts  = 8
)

const noDelay = time.Duration(1<<63 - 1)

// estimator turns arrivals into delays above the least one of the last seconds, and those into a target.
type estimator struct {
	trials trials

	low    [minParts]time.Duration // least delay in each part of the window
	lowAt  time.Duration           // start of the newest part
	lowPos int
	base   time.Duration // least of low
	last   float32       // ms, delay of the newest packet in sequence
}

func (e *estimator) reset() {
	*e = estimator{}
	e.trials.reset()
	e.rebase()
}

// rebase forgets where the least delay was, not how delays spread above it.
func (e *estimator) rebase() {
	for i := range e.low {
		e.low[i] = noDelay
	}
	e.base = noDelay
}

// add takes the delay d of a packet of length ms; inOrder says that no later one came before it.
func (e *estimator) add(d, arrival time.Duration, length float32, inOrder bool) {
	if e.base == noDelay {
		e.lowAt = arrival
	}
	for n := 0; arrival-e.lowAt >= minWindow/minParts; n++ {
		if n == minParts {
			e.lowAt = arrival
			break
		}
		e.lowAt += minWindow / minParts
		e.lowPos = (e.lowPos + 1) % minParts
		e.low[e.lowPos] = noDelay
	}
	e.low[e.lowPos] = min(e.low[e.lowPos], d)
	base := d
	for _, l := range e.low {
		base = min(base, l)
	}
	if e.base != noDelay && base != e.base {
		e.trials.rebase(inMS(base - e.base))
	}
	e.base = base
	a := inMS(d - base)
	if inOrder {
		e.last = a
	}
	e.trials.add(a, length, inOrder)
}

func inMS(d time.Duration) float32 { return float32(d) * 1e-6 }
