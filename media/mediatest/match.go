package mediatest

import (
	"math"
	"math/cmplx"
	"slices"

	"parklamp/media/timeline"
)

const (
	rate = timeline.ClockRate // samples per second of everything here
	// matchWindow is compared at a time: longer than what a jitter buffer leaves in one piece is of no use.
	matchWindow = 3200 // samples, 400 ms
	maxWindows  = 16
	// matchSlack is how far a jitter buffer may move windows against each other.
	matchSlack = 160 * rate / 1000
	silentRMS  = 60.0
	searchStep = 40 // samples between candidate lags
)

// Same is the score from which two recordings hold the same sound. Unrelated speech or music stays below
// Different; what lies between is damaged.
const (
	Same      = 0.6
	Different = 0.35
)

// Match reports how well ref is heard in got, both at 8 kHz, and how many samples later: got[i+lag] is
// ref[i]. The score is 1 for a copy, above 0.9 through G.711, and stays above Same when a jitter buffer
// has moved pieces by up to 160 ms against each other or a tenth of the frames were concealed. Where got is the
// shorter one, it is looked for in ref instead. A looped got counts where ref fits best. Silence matches nothing.
func Match(got, ref []int16) (score float64, lag int) {
	if len(got) < len(ref) {
		score, lag = find(ref, got)
		return score, -lag
	}
	return find(got, ref)
}

// find looks for the needle's loud windows in the haystack and lets them vote for a lag.
func find(hay, needle []int16) (float64, int) {
	windows := loudWindows(needle)
	if len(windows) == 0 || len(hay) < matchWindow {
		return 0, 0
	}
	size := 1
	for size < len(hay)+matchWindow {
		size <<= 1
	}
	turn := turns(size)
	spectrum := make([]complex128, size)
	for i, s := range hay {
		spectrum[i] = complex(float64(s), 0)
	}
	fft(spectrum, turn)
	energy := runningEnergy(hay)

	curves := make([][]float32, len(windows)) // likeness of each window at each place in hay
	buf := make([]complex128, size)
	for w := 0; w < len(windows); w += 2 {
		x := windows[min(w+1, len(windows)-1)]
		one, two := correlate(needle[windows[w]:][:matchWindow], needle[x:][:matchWindow], spectrum, energy, buf, turn)
		curves[w], curves[min(w+1, len(windows)-1)] = one, two
	}
	// The lag that suits the windows best all together.
	best, bestLag := 0.0, 0
	for lag := -len(needle); lag <= len(hay); lag += searchStep {
		sum := 0.0
		for w, at := range windows {
			if v, _ := peak(curves[w], at+lag, searchStep/2); v > 0 {
				sum += v
			}
		}
		if sum > best {
			best, bestLag = sum, lag
		}
	}
	// Around the best lag every window may have moved a little.
	sum := 0.0
	lags := make([]int, 0, len(windows))
	for w, at := range windows {
		v, where := peak(curves[w], at+bestLag, matchSlack)
		sum += v
		if v > Different {
			lags = append(lags, where-at)
		}
	}
	if len(lags) > 0 {
		slices.Sort(lags)
		bestLag = lags[len(lags)/2]
	}
	return sum / float64(len(windows)), bestLag
}

// loudWindows returns where the windows to be compared begin, spread over the samples.
func loudWindows(s []int16) []int {
	var all []int
	for at := 0; at+matchWindow <= len(s); at += matchWindow / 2 {
		if rms(s[at:at+matchWindow]) > silentRMS {
			all = append(all, at)
		}
	}
	if len(all) <= maxWindows {
		return all
	}
	picked := make([]int, maxWindows)
	for i := range picked {
		picked[i] = all[i*len(all)/maxWindows]
	}
	return picked
}

// correlate returns the normalised cross-correlation, -1 to 1, of two windows with every place in hay, whose
// spectrum and running energy are given. Both fit into one transform: one as real part, one as imaginary.
//
//go:norace
func correlate(a, b []int16, spectrum []complex128, energy []float64, buf, turn []complex128) (one, two []float32) {
	clear(buf)
	var ownA, ownB float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		// Reversed in time: the transform is then the conjugate that a correlation needs.
		buf[(len(buf)-i)%len(buf)] = complex(x, y)
		ownA += x * x
		ownB += y * y
	}
	fft(buf, turn)
	for i := range buf {
		// The inverse transform is the forward one of swapped parts.
		p := buf[i] * spectrum[i]
		buf[i] = complex(imag(p), real(p))
	}
	fft(buf, turn)
	n := len(energy) - matchWindow
	one, two = make([]float32, n), make([]float32, n)
	floor := silentRMS * silentRMS * matchWindow / 4
	size := float64(len(buf))
	for i := range n {
		there := max(energy[i+matchWindow]-energy[i], floor)
		one[i] = float32(imag(buf[i]) / size / math.Sqrt(ownA*there))
		two[i] = float32(real(buf[i]) / size / math.Sqrt(ownB*there))
	}
	return one, two
}

//go:norace
func peak(curve []float32, at, slack int) (best float64, where int) {
	for i := max(at-slack, 0); i <= min(at+slack, len(curve)-1); i++ {
		if v := float64(curve[i]); v > best {
			best, where = v, i
		}
	}
	return best, where
}

func runningEnergy(s []int16) []float64 {
	sum := make([]float64, len(s)+1)
	for i, v := range s {
		sum[i+1] = sum[i] + float64(v)*float64(v)
	}
	return sum
}

func rms(s []int16) float64 {
	sum := 0.0
	for _, v := range s {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(len(s)))
}

// turns returns the roots of unity for transforms of a size.
func turns(size int) []complex128 {
	turn := make([]complex128, size/2)
	for i := range turn {
		turn[i] = cmplx.Rect(1, -2*math.Pi*float64(i)/float64(size))
	}
	return turn
}

// fft transforms in place; the length is a power of two, turn comes from turns. Like the two others that are not
// instrumented it works on memory of its caller only; with the race detector it would take ten times as long.
//
//go:norace
func fft(x, turn []complex128) {
	n := len(x)
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		j ^= bit
		if i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	for size := 2; size <= n; size <<= 1 {
		step := n / size
		for start := 0; start < n; start += size {
			lo, hi := x[start:start+size/2], x[start+size/2:start+size]
			for k := range lo {
				a, b := lo[k], hi[k]*turn[k*step]
				lo[k], hi[k] = a+b, a-b
			}
		}
	}
}
