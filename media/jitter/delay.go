package jitter

import "time"

const (
	minWindow = 10 * time.Second // the least delay of this time is the base of all delays
	minParts  = 8
	routeStep = 10 * time.Millisecond // the least delay moved by more: another route
)

const noDelay = time.Duration(1<<63 - 1)

// estimator turns arrivals into delays above the least one of the last seconds, and those into a target.
type estimator struct {
	trials trials

	low    [minParts]time.Duration // least delay in each part of the window
	lowAt  time.Duration           // start of the newest part
	lowPos int
	base   time.Duration // least of low
	end    time.Duration // of the newest packet, by its timestamp
	steps  uint64        // changes of route
	drift  drift
}

func (e *estimator) reset() {
	*e = estimator{steps: e.steps}
	e.trials.reset()
	e.rebase()
}

// rebase forgets where the least delay was, not how delays spread above it.
func (e *estimator) rebase() {
	for i := range e.low {
		e.low[i] = noDelay
	}
	e.base = noDelay
	e.drift.restart()
}

// newest is the delay of the newest packet.
func (e *estimator) newest() time.Duration {
	return e.base + time.Duration(e.trials.last*1e6)
}

// add takes the delay d of a packet of length ms, step packets after the one that was the newest so far.
func (e *estimator) add(d, arrival time.Duration, length float32, step int) {
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
		// What was not sent or is lost makes the delay shorter for nothing.
		passed := max(0, inMS(arrival-d-e.end)-length)
		e.trials.rebase(inMS(base-e.base), passed)
		if step := base - e.base; step > routeStep || step < -routeStep {
			e.steps++
			e.drift.restart()
		}
	}
	e.drift.add(d, arrival)
	e.base = base
	if step > 0 {
		e.end = arrival - d
	}
	e.trials.add(inMS(d-base), length, step)
}

const (
	driftPart   = 8 * time.Second
	driftParts  = 16
	driftEnough = 7 // parts, about a minute
)

// drift is the slope of the least delays of some seconds: what two clocks that differ do to them.
type drift struct {
	at, low [driftParts]time.Duration // of the least delay of each part
	n       int                       // parts that are complete
	since   time.Duration
	lowAt   time.Duration
	least   time.Duration
	ppm     float64
}

func (d *drift) restart() { d.n, d.least = 0, noDelay }

func (d *drift) add(delay, arrival time.Duration) {
	if d.least == noDelay {
		d.since, d.least, d.lowAt = arrival, delay, arrival
		return
	}
	if delay < d.least {
		d.least, d.lowAt = delay, arrival
	}
	if arrival-d.since < driftPart {
		return
	}
	i := d.n % driftParts
	d.at[i], d.low[i] = d.lowAt, d.least
	d.n++
	d.least = noDelay
	if d.n >= driftEnough {
		d.fit()
	}
}

// fit is the line of least squares through the parts.
func (d *drift) fit() {
	n := min(d.n, driftParts)
	var x, y, xx, xy float64
	for i := range n {
		// Differences to one of the points, or the squares would lose the digits that count.
		a, b := float64(d.at[i]-d.at[0])*1e-9, float64(d.low[i]-d.low[0])*1e-9
		x, y, xx, xy = x+a, y+b, xx+a*a, xy+a*b
	}
	if v := float64(n)*xx - x*x; v > 0 {
		d.ppm = (float64(n)*xy - x*y) / v * 1e6
	}
}

func inMS(d time.Duration) float32 { return float32(d) * 1e-6 }
