// Package plc replaces audio that did not arrive by something that is not silence: the last pitch periods,
// repeated and faded into the background noise of the call, and blends the real audio back in.
//
// After the idea of ITU-T G.711 Appendix I, without its delay of 3.75 ms: the join is smoothed on the
// concealed side. No goroutine, no clock, no allocation after New.
package plc

import "math"

const (
	// The pitch of speech, 66 to 200 Hz, as periods in units of 1/rate seconds.
	shortestPeriod = 200 // Hz
	longestPeriod  = 66  // Hz, rounded to 120 samples at 8 kHz
	fade           = 6   // hundredths of a second until only background is left, the first at full level

	backgroundCap  = 200.0 // rms that is still taken for background, about -44 dBFS
	backgroundRise = 1.02  // a frame: the estimate forgets an old quiet moment in seconds
)

// Concealer keeps what it needs of one stream. It belongs to one goroutine.
type Concealer struct {
	// immutable, in samples
	minPitch, maxPitch int
	window             int // compared when looking for the pitch
	hundredth          int // of a second
	stride             int // of the coarse search

	past       []int16 // newest last
	loop       []float32
	loopLen    int
	pos        int
	pitch      int
	lost       int     // samples concealed in this run
	step       float32 // offset at the join, fades out over a quarter of the pitch
	background float32 // rms
	random     uint32
}

// New returns a concealer of a stream of rate samples a second, 8000 to 48000, that has been silent so far.
func New(rate int) *Concealer {
	longest := rate / longestPeriod
	longest -= longest % 4
	return &Concealer{
		minPitch: rate / shortestPeriod, maxPitch: longest, window: rate / 50, hundredth: rate / 100,
		stride: max(2, rate/4000),
		past:   make([]int16, 3*longest+longest/4), loop: make([]float32, 3*longest),
		random: 0x9e3779b9, background: 20,
	}
}

// Past returns what was played last, at least 20 ms and three of the longest periods, newest last. It is
// valid until the next call of a method.
func (c *Concealer) Past() []int16 { return c.past }

// Background returns the rms of what is taken for the background noise of the call.
func (c *Concealer) Background() float32 { return c.background }

// Good takes the next received audio and changes its first samples where it follows concealment, or where
// spliced says that it does not continue what was played before.
func (c *Concealer) Good(pcm []int16, spliced bool) {
	c.Join(pcm, spliced)
	c.Heard(pcm)
}

// Join is the first half of Good: it changes the first samples. What is then played of it goes to Heard.
func (c *Concealer) Join(pcm []int16, spliced bool) {
	if c.lost == 0 && !spliced {
		return
	}
	n := c.hundredth / 2 // where packets were left out
	if c.lost > 0 {
		n = min(c.pitch/4+c.lost/5, c.hundredth)
	}
	n = min(n, len(pcm))
	for i := range n {
		w := (float32(i) + 0.5) / float32(n)
		pcm[i] = clip(float32(pcm[i])*w + c.next()*(1-w))
	}
	c.lost = 0
}

// Heard is the second half of Good: it remembers what is played.
func (c *Concealer) Heard(pcm []int16) {
	c.measure(pcm)
	c.remember(pcm)
}

// Conceal fills dst with what could follow the audio so far.
func (c *Concealer) Conceal(dst []int16) {
	for i := range dst {
		dst[i] = clip(c.next())
	}
	c.remember(dst)
}

func (c *Concealer) measure(pcm []int16) {
	if len(pcm) == 0 {
		return
	}
	var sum float32
	for _, s := range pcm {
		sum += float32(s) * float32(s)
	}
	rms := float32(math.Sqrt(float64(sum / float32(len(pcm)))))
	c.background = min(c.background*backgroundRise+0.01, max(rms, 1), backgroundCap)
}

func (c *Concealer) remember(pcm []int16) {
	if n := len(pcm) - len(c.past); n >= 0 {
		copy(c.past, pcm[n:])
		return
	}
	copy(c.past, c.past[len(pcm):])
	copy(c.past[len(c.past)-len(pcm):], pcm)
}

// next makes up one more sample.
func (c *Concealer) next() float32 {
	switch c.lost {
	case 0:
		c.pitch = c.findPitch()
		c.fill()
	case c.hundredth:
		c.extend(2)
	case 2 * c.hundredth:
		c.extend(3)
	}
	gain := float32(0)
	if end := fade * c.hundredth; c.lost < c.hundredth {
		gain = 1
	} else if c.lost < end {
		gain = float32(end-c.lost) / float32(end-c.hundredth)
	}
	v := c.loop[c.pos]
	if c.pos++; c.pos == c.loopLen {
		c.pos = 0
	}
	if q := c.pitch / 4; c.lost < q {
		v += c.step * float32(q-c.lost) / float32(q)
	}
	c.lost++
	return v*gain + c.noise()*(1-gain)
}

// fill makes the loop from the last period before the loss; its end runs into its start.
func (c *Concealer) fill() {
	n, q := c.pitch, c.pitch/4
	start := len(c.past) - n
	for i := range n {
		c.loop[i] = float32(c.past[start+i])
	}
	for i := range q {
		w := (float32(i) + 0.5) / float32(q)
		c.loop[n-q+i] = c.loop[n-q+i]*(1-w) + float32(c.past[start-q+i])*w
	}
	c.loopLen, c.pos = n, 0
	c.step = float32(c.past[len(c.past)-1]) - float32(c.past[start-1])
}

// extend lengthens the loop by turns of the same period whose middle is mixed with itself a little later:
// each turn differs from the one before, so that a long repetition does not buzz.
func (c *Concealer) extend(periods int) {
	n := c.pitch
	for k := 1; k < periods; k++ {
		shift := k * 3 * c.hundredth / 80
		for i := range n {
			j := i
			if i > n/8 && i < n-n/8-shift {
				j = i + shift
			}
			c.loop[k*n+i] = 0.5 * (c.loop[i] + c.loop[j])
		}
	}
	c.loopLen = periods * n
}

// findPitch returns the lag at which the last samples resemble earlier ones best.
func (c *Concealer) findPitch() int {
	at := func(lag, step int) float32 {
		var cross, energy float32 = 0, 1
		for i := len(c.past) - c.window; i < len(c.past); i += step {
			a, b := float32(c.past[i]), float32(c.past[i-lag])
			cross += a * b
			energy += b * b
		}
		if cross <= 0 {
			return 0
		}
		return cross * cross / energy
	}
	best, score := c.maxPitch, float32(0)
	for lag := c.minPitch; lag <= c.maxPitch; lag += c.stride {
		if s := at(lag, c.stride); s > score {
			best, score = lag, s
		}
	}
	coarse := best
	score = 0
	for lag := max(coarse-c.stride+1, c.minPitch); lag <= min(coarse+c.stride-1, c.maxPitch); lag++ {
		if s := at(lag, 1); s > score {
			best, score = lag, s
		}
	}
	return best
}

func (c *Concealer) noise() float32 { return white(&c.random) * c.background }

// white returns uniform noise with an rms of one (xorshift, Marsaglia 2003).
func white(x *uint32) float32 {
	*x ^= *x << 13
	*x ^= *x >> 17
	*x ^= *x << 5
	return float32(int32(*x)) * (1.7320508 / (1 << 31))
}

func clip(v float32) int16 {
	return int16(max(-32768, min(32767, v)))
}
