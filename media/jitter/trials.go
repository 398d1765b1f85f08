package jitter

import (
	"math"
	"time"

	"parklamp/media/quality"
)

const (
	// horizon is the number of packets over which what a trial suffered loses a factor e: a minute of 20 ms packets.
	horizon = 3000
	// priceOfLoss is R for all frames being bad, at the rate of the first per cent: ITU-T G.107 with G.113's Ie = 0 and
	// Bpl = 25.1 gives 3.8 R for a per cent.
	priceOfLoss = 360
	// shorterBy and longerBy are the shares of time by which stretching changes the delay, as it does on speech.
	shorterBy, longerBy = 0.25, 0.2
	// bridge is the share of its delay that a trial can add by stretching while packets fail to come, and bridgeMS how
	// much of that by each packet: long ones are few.
	bridge, bridgeMS = 0.5, 10
	// mostOfOneGap bounds the bad frames that one gap counts: one long outage says little about the next. So many stalls within
	// the horizon say more, each as much again.
	mostOfOneGap, perStalls = 8, 2
	// Each trial begins as if it had suffered for priorPackets, what is suffered falling by e every priorSpread ms.
	priorPackets, priorBad, priorSpread = 300, 0.01, 40
	// elsewhere is the delay outside the buffer, in ms, that is assumed where G.107 wants the whole: 20 ms of packet, and
	// a network.
	elsewhere = 60
	// heardOver is the number of packets over which the delay that is heard is averaged: half a minute.
	heardOver = 1500
	// loyalty is by how much R another trial must be better than the one that is followed.
	loyalty = 0.02
	// likely is the share of gaps that outlast the delay at which it is worth to stretch in advance.
	likely = 0.05
)

// fixedTargets are the targets of the trials that keep to one, in ms.
var fixedTargets = [...]float32{
	0, 3, 6, 10, 14, 18, 23, 28, 34, 40, 47, 55, 65, 75, 90, 105, 120, 140, 165, 195, 230, 270, 320, 400,
}

// The other trials aim at a margin above the slowest packet, which they forget at some speed.
var (
	decays  = [...]float32{20, 100, 400} // ms a second
	margins = [...]float32{5, 15, 35}    // ms
)

const (
	fixeds    = len(fixedTargets)
	followers = len(decays) * len(margins)
	experts   = fixeds + followers
)

// trials are listeners of the same stream who each keep to a rule of their own: a fixed target, or one that follows
// the slowest packets of the last moments. What each of them suffers is what the network does to that rule, runs of
// late packets and the help of stretching included, which a histogram of delays cannot tell. The buffer follows
// whoever suffers least. All delays are in ms above the least one.
type trials struct {
	delay  [experts]float32 // that the trial has now
	target [experts]float32
	gap    [experts]float32 // frames that late packets may be left out for, as they were concealed in this run
	sum    [experts]float32 // of delays; of those with fixed targets, of what is beyond the target
	bad    [experts]float32 // frames
	busy   int              // trials with fixed targets from here on have that delay and no gap
	weight float32          // of the next observation; grows instead of the sums shrinking
	total  float32

	rises  [fixeds + 1]float32 // packets by how much later than the one before they came
	lost   float32             // packets before which one was missing
	stalls float32             // gaps of more than mostOfOneGap packets' length
	last   float32             // delay of the newest packet in sequence
	peak   [len(decays)]float32
	grid   float32 // ms between the moments of asking
	heard  float32 // delay that is heard, on average
	chosen int
}

func (v *trials) reset() {
	*v = trials{weight: 1, total: priorPackets, grid: inMS(frame), heard: 20}
	copy(v.target[:], fixedTargets[:])
	for i := range v.target {
		if i >= fixeds {
			v.target[i] = margins[(i-fixeds)%len(margins)] + 15
		}
		v.delay[i] = v.target[i]
		if i >= fixeds {
			v.sum[i] = v.delay[i] * priorPackets
		}
		v.bad[i] = priorPackets * priorBad * float32(math.Exp(-float64(v.delay[i]/priorSpread)))
	}
	v.choose(0, v.grid, v.grid)
}

// rebase moves everything when the least delay rises by ms at a packet before which passed ms are left out.
func (v *trials) rebase(ms, passed float32) {
	by := ms
	if ms < 0 {
		by = min(0, ms+passed)
	}
	for i := range v.delay {
		v.delay[i] = max(0, v.delay[i]-by)
	}
	for i := range v.peak {
		v.peak[i] = max(0, v.peak[i]-by)
	}
	v.last = max(0, v.last-ms)
	v.busy = fixeds
	if ms <= 0 {
		return // the old route says nothing of the new one
	}
	j := 0
	for i, t := range fixedTargets {
		for j < fixeds-1 && fixedTargets[j+1] <= t+ms {
			j++
		}
		bad, sum := v.bad[j], v.sum[j]
		if j < fixeds-1 {
			f := (t + ms - fixedTargets[j]) / (fixedTargets[j+1] - fixedTargets[j])
			bad += f * (v.bad[j+1] - bad)
			sum += f * (v.sum[j+1] - sum)
		}
		v.bad[i], v.sum[i] = bad, sum
	}
	for i := fixeds; i < experts; i++ {
		v.sum[i] = max(0, v.sum[i]-ms*v.total)
	}
}

// add lets every trial hear a packet of length ms that came a ms after the fastest; step says how many it is after the
// newest so far.
func (v *trials) add(a, length float32, step int) {
	inOrder := step > 0
	for k := range v.peak {
		v.peak[k] = max(a, v.peak[k]-decays[k]*length*1e-3)
		for m := range margins {
			v.target[fixeds+k*len(margins)+m] = v.peak[k] + margins[m]
		}
	}
	w := v.weight
	if inOrder && a-v.last > mostOfOneGap*length {
		v.stalls += w
	}
	busy := 0
	for i, t := range fixedTargets {
		if i >= v.busy && a <= t {
			break // nothing happens to this one and the rest
		}
		if a <= t && v.delay[i] == t {
			v.gap[i] = 0
			continue
		}
		d := v.meet(i, a, length, inOrder)
		v.sum[i] += (d - t) * w
		if d != t || v.gap[i] > 0 {
			busy = i + 1
		}
	}
	v.busy = busy
	for i := fixeds; i < experts; i++ {
		v.sum[i] += v.meet(i, a, length, inOrder) * w
	}
	if inOrder {
		i := 0
		for i < fixeds && a-v.last > fixedTargets[i] {
			i++
		}
		v.rises[i] += w
		if step > 1 {
			v.lost += w
		}
		v.last = a
	}
	v.total += w
	if v.weight *= 1 + 1.0/horizon; v.weight > 1e6 {
		v.scale()
	}
}

// meet moves a trial towards its target, lets it hear a packet, and returns its delay from then on.
func (v *trials) meet(i int, a, length float32, inOrder bool) float32 {
	d, t := v.delay[i], v.target[i]
	if d > t {
		d = max(t, d-shorterBy*length)
	} else {
		d = min(t, d+longerBy*length)
	}
	if a > d {
		d = v.late(i, a, d, length, inOrder)
	} else {
		v.gap[i] = 0
	}
	v.delay[i] = d
	return d
}

func (v *trials) scale() {
	const by = 1e-6
	for i := range v.sum {
		v.sum[i] *= by
		v.bad[i] *= by
	}
	for i := range v.rises {
		v.rises[i] *= by
	}
	v.lost *= by
	v.stalls *= by
	v.total *= by
	v.weight *= by
}

// late is what a trial with delay d suffers from a packet that came after it, and its delay from then on.
func (v *trials) late(i int, a, d, length float32, inOrder bool) float32 {
	if v.gap[i] >= 1 {
		v.gap[i]-- // left out for what was concealed already
		return d
	}
	bad := float32(1)
	if inOrder {
		// Playout waits for whole steps of the grid, and stretching fills a part of them.
		wait := v.grid * float32(int((a-d)/v.grid)+1)
		held := min(a, d+min(wait, d*min(bridge, bridgeMS/length)))
		bad = (wait - (held - d)) / length
		if v.gap[i] > 0 { // not a burst: wait for it
			held = a
		}
		v.gap[i] = bad
		d = held
	}
	v.bad[i] += min(bad*v.weight, mostOfOneGap*max(v.weight, v.stalls/perStalls))
	return d
}

// choose picks the best trial. Playout can only cover delays of phase + n·step ms; the caller asks at every grid ms.
func (v *trials) choose(phase, step, grid float32) {
	v.grid = grid
	perMS := slopeOf(v.heard + elsewhere)
	least, best := float32(math.Inf(1)), 0
	share := 1 / v.total
	for i := range experts {
		delay := v.sum[i] * share
		if i < fixeds {
			t := fixedTargets[i]
			delay += phase + step*ceil((t-phase)/step)
		} else {
			delay += step / 2
		}
		cost := v.bad[i]*share*priceOfLoss + delay*perMS
		if i == v.chosen {
			cost -= loyalty
		}
		if cost < least {
			least, best = cost, i
		}
	}
	v.chosen = best
}

func ceil(x float32) float32 {
	n := float32(int(x))
	if n < x {
		n++
	}
	return n
}

// want is the delay to aim at.
func (v *trials) want() time.Duration { return time.Duration(v.target[v.chosen] * 1e6) }

// outlasts is how many of the packets that fail to come for a ms, lost ones among them, come more than b ms late.
func (v *trials) outlasts(a, b float32) float32 {
	longer, longest := v.rises[fixeds]+v.lost, v.rises[fixeds]
	for i := fixeds - 1; i >= 0 && fixedTargets[i] > a; i-- {
		longer += v.rises[i]
		if fixedTargets[i] > b {
			longest += v.rises[i]
		}
	}
	if longer <= 0 {
		return 1
	}
	return longest / longer
}

// hear takes the delay of a packet that is played.
func (v *trials) hear(ms float32) { v.heard += (ms - v.heard) / heardOver }

const slopeStep = 10 // ms

// slopes is the derivative of the delay impairment Id of ITU-T G.107, R a millisecond, by one-way delay.
var slopes = func() (s [60]float32) {
	for i := range s {
		const step = slopeStep * time.Millisecond
		at := time.Duration(i) * step
		s[i] = float32(quality.DelayImpairment(at+step)-quality.DelayImpairment(at)) / slopeStep
	}
	return s
}()

func slopeOf(ms float32) float32 { return slopes[min(max(int(ms/slopeStep), 0), len(slopes)-1)] }
