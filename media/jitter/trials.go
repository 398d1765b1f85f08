package jitter

import (
	"math"
	"time"
)

// The trials are listeners of the same stream who each keep to a rule of their own: a fixed target, or one that
// follows the slowest packets of the last moments. What each of them suffered is what the network does to that
// rule, runs of late packets and the help of stretching included, which a histogram of delays cannot tell. The
// buffer follows whoever suffers least.

// tune holds the constants of the trials.
var tune = struct {
	Horizon   [2]float32
	Mix       float32
	LossPrice float32 // R for a bad frame in each
	Down, Up  float32
	Bridge    float32
	Prior     float32
	PriorTau  float32
	PriorLvl  float32
	Base      float32 // ms before the buffer
	Hazard    float32
	Stick     float32
	DelayAvg  float32
	Follow    bool
	Cap       float32
}{
	Horizon: [2]float32{500, 3000}, Mix: 0.5, LossPrice: 360, Down: 0.25, Up: 0.3, Bridge: 0.4,
	Prior: 50, PriorTau: 12, PriorLvl: 0.1, Base: 60, Hazard: 0.1, Stick: 0.02, DelayAvg: 1500, Follow: true, Cap: 6,
}

var fixedTargets = [...]float32{
	0, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40, 45, 50, 55, 60, 70, 80, 90, 100, 120, 140, 160, 180, 200, 240, 280, 320, 400,
}

var (
	decays  = [...]float32{20, 100, 400} // ms a second
	margins = [...]float32{5, 15, 35}    // ms
)

const (
	fixeds    = len(fixedTargets)
	followers = len(decays) * len(margins)
	experts   = fixeds + followers
)

type trials struct {
	delay  [experts]float32 // ms, of the trial now
	target [experts]float32
	gap    [experts]float32 // frames concealed in this run that late packets may be left out for
	sumD   [2][experts]float32
	bad    [2][experts]float32
	hist   [fixeds]float32 // packets by delay: in (target[i-1], target[i]]
	beyond float32
	weight [2]float32
	total  [2]float32
	peak   [len(decays)]float32
	best   int
	mean   float32 // ms, delay that is heard, long average
	grid   float32 // ms between the moments of asking
}

func (v *trials) reset() {
	*v = trials{weight: [2]float32{1, 1}, grid: inMS(frame)}
	copy(v.target[:], fixedTargets[:])
	for i := range v.target {
		if i >= fixeds {
			v.target[i] = margins[(i-fixeds)%len(margins)] + 15
		}
		v.delay[i] = v.target[i]
	}
	for h := range 2 {
		v.total[h] = tune.Prior
		for i := range experts {
			v.sumD[h][i] = v.delay[i] * tune.Prior
			v.bad[h][i] = tune.Prior * tune.PriorLvl * float32(math.Exp(-float64(v.delay[i]/tune.PriorTau)))
		}
	}
	v.mean = 20
	v.choose(0, 20)
}

// rebase moves everything when the least delay rises by ms.
func (v *trials) rebase(ms float32) {
	for i := range v.delay {
		v.delay[i] = max(0, v.delay[i]-ms)
	}
	for i := range v.peak {
		v.peak[i] = max(0, v.peak[i]-ms)
	}
	if ms <= 0 {
		return // the old route says nothing of the new one
	}
	for h := range 2 {
		j := 0
		for i := range fixeds {
			at := fixedTargets[i] + ms
			for j < fixeds-1 && fixedTargets[j+1] <= at {
				j++
			}
			b, d := v.bad[h][j], v.sumD[h][j]
			if j < fixeds-1 {
				f := (at - fixedTargets[j]) / (fixedTargets[j+1] - fixedTargets[j])
				b += f * (v.bad[h][j+1] - b)
				d += f * (v.sumD[h][j+1] - d)
			}
			v.bad[h][i], v.sumD[h][i] = b, max(0, d-ms*v.total[h])
		}
		for i := fixeds; i < experts; i++ {
			v.sumD[h][i] = max(0, v.sumD[h][i]-ms*v.total[h])
		}
	}
}

// add lets every trial hear a packet that came a ms after the fastest.
func (v *trials) add(a, length float32, inOrder bool) {
	for k := range v.peak {
		v.peak[k] = max(a, v.peak[k]-decays[k]*length*1e-3)
		for m := range margins {
			v.target[fixeds+k*len(margins)+m] = v.peak[k] + margins[m]
		}
	}
	down, up := tune.Down*length, tune.Up*length
	w0, w1 := v.weight[0], v.weight[1]
	for i := range experts {
		d, t := v.delay[i], v.target[i]
		if d > t {
			d = max(t, d-down)
		} else {
			d = min(t, d+up)
		}
		if a > d {
			d = v.late(i, a, d, length, inOrder)
		} else {
			v.gap[i] = 0
		}
		v.delay[i] = d
		v.sumD[0][i] += d * w0
		v.sumD[1][i] += d * w1
	}
	i := 0
	for i < fixeds && a > fixedTargets[i] {
		i++
	}
	if i < fixeds {
		v.hist[i] += w0
	} else {
		v.beyond += w0
	}
	for h := range 2 {
		v.total[h] += v.weight[h]
		v.weight[h] *= 1 + 1/tune.Horizon[h]
		if v.weight[h] > 1e6 {
			v.scale(h)
		}
	}
}

func (v *trials) scale(h int) {
	for i := range experts {
		v.sumD[h][i] *= 1e-6
		v.bad[h][i] *= 1e-6
	}
	v.total[h] *= 1e-6
	v.weight[h] *= 1e-6
	if h == 0 {
		for i := range v.hist {
			v.hist[i] *= 1e-6
		}
		v.beyond *= 1e-6
	}
}

// late is what a trial with delay d suffers from a packet that came after it, and its delay from then on.
func (v *trials) late(i int, a, d, length float32, inOrder bool) float32 {
	bad := float32(1)
	switch {
	case v.gap[i] >= 1:
		v.gap[i]-- // left out for what was concealed already
		return d
	case inOrder:
		// Playout waits for whole steps of the grid, and stretching fills a part of them.
		wait := v.grid * float32(int((a-d)/v.grid)+1)
		held := min(a, d+min(wait, d*tune.Bridge))
		bad = (wait - (held - d)) / length
		if v.gap[i] > 0 { // not a burst: wait for it
			held = a
		}
		v.gap[i] = bad
		d = held
	}
	bad = min(bad, tune.Cap)
	v.bad[0][i] += bad * v.weight[0]
	v.bad[1][i] += bad * v.weight[1]
	return d
}

// suffered is the impairment of a trial in R: of its delay, and of its bad frames.
func (v *trials) suffered(i int) (loss, delay float32) {
	m := tune.Mix
	loss = m*v.bad[0][i]/v.total[0] + (1-m)*v.bad[1][i]/v.total[1]
	delay = m*v.sumD[0][i]/v.total[0] + (1-m)*v.sumD[1][i]/v.total[1]
	return loss * tune.LossPrice, delay
}

// choose picks the best trial. Playout can only cover delays of phase + n·grid ms.
func (v *trials) choose(phase, grid float32) {
	v.grid = grid
	slope := slopeOf(v.mean + tune.Base)
	least, best := float32(math.Inf(1)), 0
	for i := range experts {
		if i >= fixeds && !tune.Follow {
			break
		}
		loss, delay := v.suffered(i)
		if i < fixeds {
			t := fixedTargets[i]
			delay += rounded(t, phase, grid) - t
		} else {
			delay += grid / 2
		}
		cost := loss + delay*slope
		if i == v.best {
			cost -= tune.Stick
		}
		if cost < least {
			least, best = cost, i
		}
	}
	v.best = best
}

// rounded returns the least phase + n·grid that is not below t.
func rounded(t, phase, grid float32) float32 {
	return phase + grid*float32(math.Ceil(float64((t-phase)/grid)))
}

// want is the delay to aim at.
func (v *trials) want() time.Duration {
	return time.Duration(v.target[v.best] * 1e6)
}

// beyondShare is how many of the packets that take longer than a take longer than b too.
func (v *trials) beyondShare(a, b float32) float32 {
	sa, sb := v.beyond, v.beyond
	for i := fixeds - 1; i >= 0; i-- {
		if fixedTargets[i] > b {
			sb += v.hist[i]
		}
		if fixedTargets[i] <= a {
			break
		}
		sa += v.hist[i]
	}
	if sa <= 0 {
		return 1
	}
	return sb / sa
}

// heard takes the delay of a packet that is played.
func (v *trials) heard(ms float32) {
	v.mean += (ms - v.mean) / tune.DelayAvg
}

// slopeOf is the derivative of the delay impairment Id of ITU-T G.107 with its default parameters, in R a
// millisecond, at a one-way delay.
func slopeOf(ms float32) float32 {
	i := min(max(int(ms/slopeStep), 0), len(slopes)-1)
	return slopes[i]
}

const slopeStep = 10 // ms

var slopes = func() (s [60]float32) {
	for i := range s {
		at := float64(i*slopeStep) + slopeStep/2
		s[i] = float32(delayImpairment(at+5)-delayImpairment(at-5)) / 10
	}
	return s
}()

// delayImpairment is Idte + Idle + Idd of G.107 §7.4 for a one-way delay in ms, all else at its default.
func delayImpairment(ms float64) float64 {
	const ro, no, rlr, telr, wepl = 94.7688, -61.1792, 2.0, 65.0, 110.0
	idte := 0.0
	if ms >= 1 {
		terv := telr - 40*math.Log10((1+ms/10)/(1+ms/150)) + 6*math.Exp(-0.3*ms*ms)
		re := 80 + 2.5*(terv-14)
		roe := -1.5 * (no - rlr)
		idte = ((roe-re)/2 + math.Sqrt((roe-re)*(roe-re)/4+100) - 1) * (1 - math.Exp(-ms))
	}
	rle := 10.5 * (wepl + 7) * math.Pow(2*ms+1, -0.25)
	idle := (ro-rle)/2 + math.Sqrt((ro-rle)*(ro-rle)/4+169)
	idd := 0.0
	if ms > 100 {
		x := math.Log2(ms / 100)
		idd = 25 * (math.Pow(1+math.Pow(x, 6), 1.0/6) - 3*math.Pow(1+math.Pow(x/3, 6), 1.0/6) + 2)
	}
	return idte + idle + idd
}
