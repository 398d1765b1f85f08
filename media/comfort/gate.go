package comfort

import (
	"math"

	"parklamp/media/timeline"
)

// Verdict is what becomes of a frame.
type Verdict uint8

// What Gate.Next can say.
const (
	Voice   Verdict = iota // send the frame
	Tell                   // send a description of the silence in its place
	Nothing                // send nothing
)

const (
	// hangover frames after the last one with voice are sent as well: the soft ends of words, and pauses between
	// them that nobody would call silence.
	hangover = 12 // 240 ms
	// above is how much louder than the background voice is, in dB.
	above = 9
	// loudest is the level up to which something may be background: speech begins there at the latest.
	loudest = -40 // dBov
	// rise is how fast the idea of the background grows, so that an old quiet moment is forgotten.
	rise = 0.05 // dB a frame: 2.5 dB a second
	// A changed silence is described again after some frames, and every silence once a second: the far end has lost
	// nothing for long, and no NAT forgets the stream.
	changed   = 3 // dB
	fewFrames = 10
	manyFrame = 50

	// described is the number of reflection coefficients that are sent.
	described = 8
)

// Gate tells speech from silence, frame by frame. The zero value is ready: it takes everything for voice until it knows
// the background, at most a second.
type Gate struct {
	floor  float64 // level of the background, dBov
	frames int     // seen, up to settled
	quiet  int     // frames since the last one with voice
	since  int     // frames since the last description
	told   float64 // level of it
	level  float64 // of the silence, smoothed
	lag    [described + 1]float64
}

// settled frames have to be seen before a frame can be silence.
const settled = 25

// Next takes a frame of 20 ms at 8 kHz and says what becomes of it.
func (g *Gate) Next(f *[timeline.FrameTicks]int16) Verdict {
	level := levelOf(f)
	if g.frames < settled {
		g.frames++
	}
	g.floor = min(level, loudest, g.floor+rise)
	if g.frames < settled || level > max(g.floor+above, -90) {
		g.quiet = 0
		return Voice
	}
	if g.quiet < hangover {
		if g.quiet++; g.quiet == 1 {
			g.level, g.lag = level, [described + 1]float64{}
		}
		g.learn(f, level)
		if g.quiet < hangover {
			return Voice
		}
		g.tell()
		return Tell
	}
	g.learn(f, level)
	g.since++
	if g.since >= manyFrame || g.since >= fewFrames && math.Abs(g.level-g.told) >= changed {
		g.tell()
		return Tell
	}
	return Nothing
}

func (g *Gate) tell() { g.since, g.told = 0, g.level }

// learn takes a frame of silence into the description.
func (g *Gate) learn(f *[timeline.FrameTicks]int16, level float64) {
	g.level += (level - g.level) / 4
	var x [timeline.FrameTicks]float64
	for i, s := range f {
		x[i] = float64(s) * window[i]
	}
	for lag := range g.lag {
		sum := 0.0
		for i := lag; i < len(x); i++ {
			sum += x[i] * x[i-lag]
		}
		g.lag[lag] += (sum - g.lag[lag]) / 4
	}
}

// Describe writes the payload that tells the silence (RFC 3389 §3.3) to dst and returns its length, at most
// MaxDescription.
func (g *Gate) Describe(dst []byte) int {
	dst[0] = byte(max(0, min(127, math.Round(-g.level))))
	// Nothing to be said of digital silence but that it is one.
	if g.lag[0] < 1 {
		return 1
	}
	var k [described]float64
	reflections(&k, &g.lag)
	for i, v := range k {
		dst[1+i] = byte(max(0, min(254, math.Round(v*32768/258)+127)))
	}
	return 1 + described
}

// MaxDescription is the room that Describe needs.
const MaxDescription = 1 + described

// reflections solves for the coefficients of a lattice that whitens noise with such an autocorrelation (the recursion of
// Levinson and Durbin); the first is minus the likeness of neighbouring samples.
func reflections(k *[described]float64, r *[described + 1]float64) {
	var a, before [described + 1]float64
	left := r[0] * 1.0001 // a little white noise: the recursion stays well-behaved
	a[0] = 1
	for m := 1; m <= described; m++ {
		sum := 0.0
		for i := range m {
			sum += a[i] * r[m-i]
		}
		v := max(-0.999, min(0.999, -sum/left))
		k[m-1] = v
		before = a
		for i := 1; i < m; i++ {
			a[i] = before[i] + v*before[m-i]
		}
		a[m] = v
		left *= 1 - v*v
	}
}

// window is that of Hann.
var window = func() (w [timeline.FrameTicks]float64) {
	for i := range w {
		w[i] = 0.5 - 0.5*math.Cos(2*math.Pi*(float64(i)+0.5)/float64(len(w)))
	}
	return w
}()

// levelOf is the level of a frame in dBov, -127 for silence.
func levelOf(f *[timeline.FrameTicks]int16) float64 {
	sum := 0.0
	for _, s := range f {
		sum += float64(s) * float64(s)
	}
	return max(-127, 10*math.Log10(sum/float64(len(f))/(fullScale*fullScale)))
}
