package jitter

import "time"

const (
	binWidth   = 5 * time.Millisecond
	bins       = 128 // 640 ms
	forgetting = 500 // packets over which an observation loses a factor e
	minWindow  = 10 * time.Second
	minParts   = 8
	// priceOfLoss is the delay that is worth paying to save every frame. ITU-T G.107 with G.113's figures for
	// G.711 (3.6 R for a per cent, 1 R for 40 ms) would say 14.4 s; a third less, because late packets come in
	// runs whose first ones no delay learnt from the past could save.
	priceOfLoss = 10000 * time.Millisecond
	// Beyond comfortable each further millisecond counts steep more: mouth to ear nears the 150 ms where
	// G.107's Idd sets in.
	comfortable = 120 * time.Millisecond
	steep       = 3
	// startTarget holds until the histogram has something to say.
	startTarget  = 20 * time.Millisecond
	startPackets = 50
)

// estimator learns the distribution of arrival delays above the least one of the last seconds.
type estimator struct {
	hist   [bins]float32
	weight float32 // of the next observation; grows instead of the bins shrinking
	total  float32
	seen   int
	best   time.Duration // the target, without bounds
	due    int           // packets until best is computed again

	low    [minParts]time.Duration // least delay in each part of the window
	lowAt  time.Duration           // start of the newest part
	lowPos int
	base   time.Duration // least of low
	moved  time.Duration // rise of base that is less than a bin
}

const noDelay = time.Duration(1<<63 - 1)

func (e *estimator) reset() {
	*e = estimator{weight: 1, best: startTarget}
	e.rebase()
}

// rebase forgets where the least delay was, not how delays spread above it.
func (e *estimator) rebase() {
	for i := range e.low {
		e.low[i] = noDelay
	}
	e.base = noDelay
}

func (e *estimator) add(d, arrival time.Duration) {
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
	if e.base != noDelay && base > e.base {
		e.rise(base - e.base)
	}
	e.base = base

	bin := min(int((d-e.base)/binWidth), bins-1)
	e.hist[bin] += e.weight
	e.total += e.weight
	e.weight *= 1 + 1.0/forgetting
	if e.weight > 1e6 {
		for i := range e.hist {
			e.hist[i] *= 1e-6
		}
		e.total *= 1e-6
		e.weight *= 1e-6
	}
	e.seen++
	if e.due--; e.due <= 0 {
		e.due = 10
		e.choose()
	}
}

// rise moves what was observed against a least delay that has been forgotten. When the least delay falls
// nothing moves: the old route says nothing of the new one.
func (e *estimator) rise(by time.Duration) {
	e.moved += by
	n := min(int(e.moved/binWidth), bins-1)
	if n == 0 {
		return
	}
	e.moved -= time.Duration(n) * binWidth
	for _, h := range e.hist[1 : n+1] {
		e.hist[0] += h
	}
	copy(e.hist[1:], e.hist[n+1:])
	clear(e.hist[bins-n:])
}

// choose sets best to the delay t that makes price(t) + priceOfLoss·P(later than t) least.
func (e *estimator) choose() {
	if e.seen < startPackets {
		return
	}
	late := e.total
	least := float32(priceOfLoss)
	for i, h := range e.hist {
		late -= h
		t := time.Duration(i+1) * binWidth
		if cost := float32(t+steep*max(0, t-comfortable)) + float32(priceOfLoss)*max(late, 0)/e.total; cost < least {
			least, e.best = cost, t
		}
	}
}
