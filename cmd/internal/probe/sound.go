package probe

import (
	"fmt"
	"math"
	"slices"
	"time"

	"parklamp/cmd/internal/selftest"
	"parklamp/media"
)

// The known signal: a sweep, loud enough for a quiet loudspeaker and bearable for who stands beside it.
const (
	sweepFor   = time.Second
	sweepFrom  = 400.0 // Hz; below it small loudspeakers give nothing
	sweepTo    = 3000.0
	sweepLevel = 0.18 // of full scale, -15 dBFS
	// SweepTail is how much longer has to be recorded: the way through two sound cards' buffers and the room.
	SweepTail = 600 * time.Millisecond
	// clearly is by how much the sweep must stand out of what else correlates with it.
	clearly = 8.0
)

// Sweep is the known signal.
func Sweep() []int16 {
	n := samples(sweepFor)
	out := make([]int16, n)
	const fade = 160 // samples; no click at either end
	for i := range out {
		t := float64(i) / media.SampleRate
		phase := 2 * math.Pi * (sweepFrom*t + (sweepTo-sweepFrom)*t*t/2/sweepFor.Seconds())
		edge := min(1, float64(min(i, n-1-i))/fade)
		out[i] = int16(32767 * sweepLevel * edge * math.Sin(phase))
	}
	return out
}

func samples(d time.Duration) int { return int(d * media.SampleRate / time.Second) }

// heard says whether a recording that began with Sweep holds it: by how many dB it is softer, and how late.
func heard(recorded []int16) (gainDB float64, late time.Duration, ok bool) {
	sweep := Sweep()
	lags := len(recorded) - len(sweep)
	if lags <= 0 {
		return 0, 0, false
	}
	x, r := floats(sweep), floats(recorded)
	energy := 0.0
	for _, v := range x {
		energy += v * v
	}
	best, at, sum := 0.0, 0, 0.0
	for lag := range lags {
		c := 0.0
		for i, v := range x {
			c += v * r[lag+i]
		}
		c = math.Abs(c)
		sum += c
		if c > best {
			best, at = c, lag
		}
	}
	if best == 0 || best < clearly*sum/float64(lags) {
		return 0, 0, false
	}
	return 20 * math.Log10(best/energy), time.Duration(at) * time.Second / media.SampleRate, true
}

func floats(x []int16) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v) / 32768
	}
	return out
}

// Loop judges a recording of the sweep.
func Loop(path string, recorded []int16) []selftest.Finding {
	gain, late, ok := heard(recorded)
	if !ok {
		return []selftest.Finding{finding(selftest.Loop, path, selftest.Warned,
			"the microphone does not hear the loudspeaker: one of them is silent, or nothing leads from one to the other")}
	}
	return []selftest.Finding{finding(selftest.Loop, path, selftest.Passed, fmt.Sprintf("heard, %.0f dB", gain),
		selftest.Figure{Name: "gain", Value: math.Round(gain*10) / 10, Unit: "dB"}, selftest.Figure{Name: "late by", Value: math.Round(inMS(late)), Unit: "ms"})}
}

// quietest is the level of silence, dBFS; digital silence has none.
const quietest = -96.0

// Level is how loud a recording is: the level of the loudest fifth of its frames, and its peak, in dBFS.
func Level(recorded []int16) (level, peak float64) {
	var powers []float64
	most := 0.0
	for frame := range slices.Chunk(recorded, media.FrameSamples) {
		sum := 0.0
		for _, s := range frame {
			v := float64(s) / 32768
			sum += v * v
			most = max(most, math.Abs(v))
		}
		powers = append(powers, sum/float64(len(frame)))
	}
	if len(powers) == 0 || most == 0 {
		return quietest, quietest
	}
	slices.Sort(powers)
	loud := powers[len(powers)-(len(powers)+4)/5:]
	sum := 0.0
	for _, p := range loud {
		sum += p
	}
	return max(quietest, 10*math.Log10(sum/float64(len(loud)))), max(quietest, 20*math.Log10(most))
}
