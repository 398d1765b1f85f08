// Package resample converts 16-bit sound between sample rates, by any ratio and with a ratio that may change at every
// call: 8, 16 and 48 kHz, and the few parts in a million by which two crystals of the same rate differ.
//
// A Converter is a polyphase FIR filter (windowed sinc, Kaiser) whose output position is a 32.32 fixed-point number of
// input samples: a change of the ratio moves the distance of coming samples and leaves no step in the signal. It never
// allocates after New, holds no lock, starts no goroutine and knows no clock; whoever uses it decides the ratio.
package resample

import (
	"fmt"
	"math"
	"sync"
)

// The shape of the filter. With 16 zero crossings to each side the delay is 16 samples of the lower rate (2 ms at 8 kHz),
// the passband ends at 0.8 of its Nyquist frequency and what would alias is 60 dB down from 1.1 of it on.
const (
	crossings = 16
	cutoff    = 0.94 // of the lower Nyquist frequency, -6 dB
	beta      = 5.65 // Kaiser window, 60 dB
	phaseBits = 7    // positions between two input samples that have coefficients of their own
	phases    = 1 << phaseBits
)

// MaxPPM is the greatest deviation from the nominal ratio that SetPPM accepts, in parts per million.
const MaxPPM = 20000

// maxRatio bounds the length of the filter.
const maxRatio = 24

// Converter converts one channel. One goroutine uses it.
type Converter struct {
	taps int
	// coef has phases+1 rows of taps: the row after the last is the first one, one sample on.
	coef    []float32
	nominal uint64    // input samples per output sample, 32.32
	step    uint64    // nominal, corrected by SetPPM
	at      uint64    // where the next output sample is in hist, 32.32; below one sample between calls
	hist    []float32 // input that is still needed
	used    int       // of hist
}

// table is what converters of one ratio share.
type table struct {
	taps int
	coef []float32
}

// tables are made once for each pair of rates: a Converter is made when a card comes, a table costs milliseconds on arm.
var tables sync.Map // map[[2]int]*table

// maxBlock is the most input that one call takes, in samples.
const maxBlock = 4096

// New returns a converter from rate in to rate out, in samples per second.
func New(in, out int) (*Converter, error) {
	if in < 1000 || out < 1000 || in > out*maxRatio || out > in*maxRatio {
		return nil, fmt.Errorf("resample %d to %d samples/s: rates are 1000 and more and differ by a factor of at most %d", in, out, maxRatio)
	}
	t := tableOf(in, out)
	c := &Converter{taps: t.taps, coef: t.coef, hist: make([]float32, t.taps+maxBlock)}
	c.nominal = uint64(math.Round(float64(in) / float64(out) * (1 << 32)))
	c.step = c.nominal
	c.Reset()
	return c, nil
}

func tableOf(in, out int) *table {
	if t, ok := tables.Load([2]int{in, out}); ok {
		return t.(*table)
	}
	// The filter is as wide in time as the lower rate asks for.
	scale := math.Max(1, float64(in)/float64(out))
	half := int(math.Ceil(crossings * scale))
	t := &table{taps: 2 * half, coef: make([]float32, (phases+1)*2*half)}
	band := cutoff / scale
	for p := range phases + 1 {
		row := t.coef[p*t.taps:][:t.taps]
		sum := 0.0
		for i := range row {
			x := float64(i-half+1) - float64(p)/phases // distance to the output sample, in input samples
			v := Kernel(x, float64(half), band, beta)
			row[i] = float32(v)
			sum += v
		}
		// Every phase passes a constant unchanged: else silence with an offset would hum.
		for i := range row {
			row[i] = float32(float64(row[i]) / sum)
		}
	}
	actual, _ := tables.LoadOrStore([2]int{in, out}, t)
	return actual.(*table)
}

// Kernel is a low-pass filter at x samples from its middle: a sinc whose cut-off is band times the Nyquist frequency, under
// a Kaiser window of shape beta that is 0 from half samples on. Its scale is left to the caller.
func Kernel(x, half, band, beta float64) float64 {
	w := x / half
	if w <= -1 || w >= 1 {
		return 0
	}
	return sinc(band*x) * bessel(beta*math.Sqrt(1-w*w))
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel is the modified Bessel function of the first kind and order 0.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-12; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}

// Reset forgets the past: what comes next begins after silence.
func (c *Converter) Reset() {
	clear(c.hist)
	c.at, c.used = 0, c.taps-1
}

// SetPPM makes input be used up by ppm parts per million faster than the nominal ratio says (slower if negative). What is
// beyond MaxPPM is cut.
func (c *Converter) SetPPM(ppm float64) {
	ppm = max(-MaxPPM, min(MaxPPM, ppm))
	c.step = uint64(int64(c.nominal) + int64(float64(c.nominal)*ppm/1e6))
}

// Need returns the fewest samples of input after which Convert can fill n samples.
func (c *Converter) Need(n int) int {
	if n <= 0 {
		return 0
	}
	last := int((c.at + uint64(n-1)*c.step) >> 32)
	return max(0, last+c.taps-c.used)
}

// Convert takes all of src, at most 4096 samples, fills dst with as much as can be made of it and returns its number. dst
// must have room for Most(len(src)); what does not fit is made in the next call.
func (c *Converter) Convert(dst, src []int16) int {
	for _, s := range src[:min(len(src), len(c.hist)-c.used)] {
		c.hist[c.used] = float32(s)
		c.used++
	}
	n := 0
	for ; n < len(dst); n++ {
		i := int(c.at >> 32)
		if i+c.taps > c.used {
			break
		}
		dst[n] = c.sample(i, uint32(c.at))
		c.at += c.step
	}
	gone := min(int(c.at>>32), c.used)
	copy(c.hist, c.hist[gone:c.used])
	c.used -= gone
	c.at -= uint64(gone) << 32
	return n
}

// sample is the output at hist[i] and a fraction, between the two nearest phases.
func (c *Converter) sample(i int, fraction uint32) int16 {
	p := int(fraction >> (32 - phaseBits))
	between := float32(fraction<<phaseBits) * (1.0 / (1 << 32))
	h := c.hist[i : i+c.taps]
	a := c.coef[p*c.taps:][:len(h)]
	b := c.coef[(p+1)*c.taps:][:len(h)]
	var x, y float32
	for k, s := range h {
		x += s * a[k]
		y += s * b[k]
	}
	v := x + between*(y-x)
	switch {
	case v >= 32767:
		return 32767
	case v <= -32768:
		return -32768
	case v < 0:
		return int16(v - 0.5)
	}
	return int16(v + 0.5)
}
