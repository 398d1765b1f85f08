package dtmf

import (
	"math"
	"math/cmplx"

	"parklamp/media/timeline"
)

// The detector looks at windows of 15 ms, one every 5 ms. All of its figures follow from what Q.24, table A-1, and the
// administrations named there ask of a receiver: it must take 40 ms of tone and 40 ms of pause, and must not see two
// digits where one is interrupted for 10 ms.
const (
	hop    = 40         // samples, 5 ms
	hops   = 3          // hops in a window
	window = hops * hop // samples

	// fits is how many windows in a row must show a digit: together 35 ms, of which 3 may be missing at either end.
	fits = 4
	// fails is how many windows in a row must not show it before the same digit can come again. An interruption of 10 ms
	// spoils 6, a pause of 40 ms spoils 9.
	fails = 7

	// Q.24: 0 to -25 dBm0 for each tone is to be taken. G.711: a full-scale sine has 3.14 dBm0.
	faintest = -32.0 // dBm0
	// Q.24: the high tone may be 4 dB above the low one, and 8 dB below it.
	mostAbove = 6.0  // dB
	mostBelow = 10.0 // dB
	// Q.24: 1.5 % off is to be taken, 3.5 % off is not.
	mostOff = 0.0245
	// The high tone is 3 % higher against the low one than it should be then; 4.3 % is where it is its octave: a
	// voice or an instrument.
	mostApart = 0.0365
	// A tone is that much louder than the three others of its group.
	clear4 = 8.0 // dB
	// share is how much of the power in a window is the two tones': what tells a digit from a voice.
	share = 0.86
	// steady is how much the power of a window may differ from that of the one before.
	steady = 2.0 // a factor
)

// Detector finds digits in speech at 8 kHz (ITU-T Q.24) by Goertzel filters. Each digit is reported once, 35 to 40 ms
// after its beginning. The zero value is ready; one goroutine uses it. It does not allocate.
type Detector struct {
	part   [hop]float32 // samples of the hop that is not complete
	filled int
	parts  [hops]partial // the last ones, oldest first
	before [8]complex64  // of the last window, each tone's
	power  float32       // of the last window, mean square
	high   float64       // of the last window that shows a digit: how much too high the high tone is against the low one

	seen    int8          // the digit of the windows so far plus one; 0: none
	good    uint8         // how many of them in a row
	apart   [fits]float64 // high of the last ones
	digit   int8          // the digit that was reported and still sounds plus one; 0: none
	missing uint8         // windows in a row that do not show it
}

// partial is what one hop adds to a window.
type partial struct {
	sum    [8]complex64 // each tone's, with the phase of the hop's beginning
	energy float32
}

// filter is one tone's.
type filter struct {
	hz          float64
	c, cos, sin float32         // of the recurrence
	back        complex64       // from the end of a hop to its beginning
	turn        [hops]complex64 // from the beginning of a hop to that of the window
}

// filters are those of the low tones and then of the high ones.
var filters = func() (all [8]filter) {
	for i, hz := range append(low[:], high[:]...) {
		f := &all[i]
		w := 2 * math.Pi * hz / timeline.ClockRate
		f.hz, f.c, f.cos, f.sin = hz, float32(2*math.Cos(w)), float32(math.Cos(w)), float32(math.Sin(w))
		f.back = turned(-w * (hop - 1))
		for k := range hops {
			f.turn[k] = turned(-w * hop * float64(k))
		}
	}
	return all
}()

func turned(angle float64) complex64 { return complex64(cmplx.Rect(1, angle)) }

// run fills sum with what a hop holds of the tones of a group (Goertzel). The four recurrences wait for themselves only,
// so that a processor computes them at the same time.
func run(f *[4]filter, sum *[4]complex64, x *[hop]float32) {
	c0, c1, c2, c3 := f[0].c, f[1].c, f[2].c, f[3].c
	var a0, a1, a2, a3, b0, b1, b2, b3 float32
	for _, v := range x {
		a0, b0 = c0*a0+(v-b0), a0
		a1, b1 = c1*a1+(v-b1), a1
		a2, b2 = c2*a2+(v-b2), a2
		a3, b3 = c3*a3+(v-b3), a3
	}
	sum[0], sum[1], sum[2], sum[3] = f[0].end(a0, b0), f[1].end(a1, b1), f[2].end(a2, b2), f[3].end(a3, b3)
}

// end turns the last two values of the recurrence into the tone, with the phase of the beginning of the hop.
func (f *filter) end(a, b float32) complex64 { return f.back * complex(a-f.cos*b, f.sin*b) }

// offset returns how far the tone is from its frequency in hertz: by how much more or less than it should its phase
// advanced in a hop. It is unambiguous up to 100 Hz.
func (f *filter) offset(now, before complex64) float64 {
	z := now * complex(real(before), -imag(before)) * f.turn[1]
	return math.Atan2(float64(imag(z)), float64(real(z))) / (2 * math.Pi) * timeline.ClockRate / hop
}

// codes are the event codes by row and column.
var codes = func() (c [4][4]uint8) {
	for code, p := range place {
		c[p[0]][p[1]] = uint8(code)
	}
	return c
}()

// fullScale is the mean square of a sine of 0 dBm0: 3.14 dB below full scale (ITU-T G.711, table 5).
var fullScale = float32(32768 * 32768 / 2 * math.Pow(10, -0.314))

var (
	leastTone  = fullScale * float32(math.Pow(10, faintest/10))
	aboveRatio = float32(math.Pow(10, mostAbove/10))
	belowRatio = float32(math.Pow(10, mostBelow/10))
	clearRatio = float32(math.Pow(10, clear4/10))
)

// Put takes samples and reports the digit that was recognised among them. At most 20 ms at a time: two digits never are.
func (d *Detector) Put(samples []int16) (digit byte, ok bool) {
	for len(samples) > 0 {
		n := min(hop-d.filled, len(samples))
		part := d.part[d.filled : d.filled+n]
		for i, s := range samples[:n] {
			part[i] = float32(s)
		}
		samples = samples[n:]
		if d.filled += n; d.filled < hop {
			break
		}
		d.filled = 0
		if code, found := d.look(); found {
			digit, ok = digitOf(code)
		}
	}
	return digit, ok
}

// Reset forgets what was heard.
func (d *Detector) Reset() { *d = Detector{} }

// look takes a whole hop.
func (d *Detector) look() (code uint8, found bool) {
	copy(d.parts[:], d.parts[1:])
	p := &d.parts[hops-1]
	*p = partial{}
	for _, x := range d.part {
		p.energy += x * x
	}
	if p.energy >= leastTone*hop { // what is fainter holds no digit
		run((*[4]filter)(filters[:4]), (*[4]complex64)(p.sum[:4]), &d.part)
		run((*[4]filter)(filters[4:]), (*[4]complex64)(p.sum[4:]), &d.part)
	}
	return d.judge(d.match())
}

// match returns the digit that the window shows, plus one; 0 if it shows none.
func (d *Detector) match() int8 {
	var now [8]complex64
	var strength [8]float32
	power := float32(0)
	for k := range d.parts {
		power += d.parts[k].energy / window
	}
	powerBefore, before := d.power, d.before
	d.power = power
	if power < 2*leastTone {
		d.before = now
		return 0
	}
	for i := range now {
		for k := range d.parts {
			now[i] += d.parts[k].sum[i] * filters[i].turn[k]
		}
		strength[i] = real(now[i])*real(now[i]) + imag(now[i])*imag(now[i])
	}
	d.before = now
	if power > steady*powerBefore || powerBefore > steady*power {
		return 0
	}
	row, ok := loudest(strength[:4])
	if !ok {
		return 0
	}
	column, ok := loudest(strength[4:])
	if !ok {
		return 0
	}
	var tone [2]float32 // power
	apart := 0.0        // by how much the high tone is too high against the low one
	for k, i := range [2]int{row, 4 + column} {
		f := &filters[i]
		off := f.offset(now[i], before[i])
		if math.Abs(off) > mostOff*f.hz {
			return 0
		}
		apart = off/f.hz - apart
		// A tone beside its frequency is weaker in the window than it is.
		lost := 1.0
		if x := math.Pi * off * window / timeline.ClockRate; x != 0 {
			lost = math.Sin(x) / x
		}
		tone[k] = strength[i] * 2 / (window * window) / float32(lost*lost)
	}
	switch {
	case min(tone[0], tone[1]) < leastTone, tone[1] > aboveRatio*tone[0], tone[0] > belowRatio*tone[1]:
		return 0
	case tone[0]+tone[1] < share*power:
		return 0
	}
	d.high = apart
	return int8(codes[row][column]) + 1
}

// loudest returns the tone of a group that is louder than all others by far.
func loudest(strength []float32) (at int, ok bool) {
	for i, s := range strength {
		if s > strength[at] {
			at = i
		}
	}
	for i, s := range strength {
		if i != at && s*clearRatio > strength[at] {
			return 0, false
		}
	}
	return at, true
}

// judge counts what the windows show, one after the other, and reports a digit once.
func (d *Detector) judge(shows int8) (code uint8, found bool) {
	if shows != d.seen {
		d.seen, d.good = shows, 0
	}
	if shows != 0 {
		d.good = min(d.good+1, fits)
		copy(d.apart[:], d.apart[1:])
		d.apart[fits-1] = d.high
	}
	if d.digit != 0 {
		if shows == d.digit {
			d.missing = 0
		} else if d.missing++; d.missing >= fails {
			d.digit, d.missing = 0, 0
		}
	}
	if d.good < fits || d.digit == shows {
		return 0, false
	}
	sum := 0.0
	for _, a := range d.apart {
		sum += a
	}
	if sum > fits*mostApart {
		return 0, false
	}
	d.digit, d.missing = shows, 0
	return uint8(shows - 1), true
}
