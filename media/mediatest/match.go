package mediatest

import (
	"math"
	"math/cmplx"
	"slices"
)

const (
	rate = 8000 // samples per second of everything here
	// matchWindow is compared at a time: longer than what a jitter buffer leaves in one piece is of no use.
	matchWindow = 3200 // samples, 400 ms
	maxWindows  = 24
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
	spectrum := make([]complex128, size)
	for i, s := range hay {
		spectrum[i] = complex(float64(s), 0)
	}
	fft(spectrum, false)
	energy := runningEnergy(hay)

	curves := make([][]float32, len(windows)) // likeness of each window at each place in hay
	buf := make([]complex128, size)
	for w, at := range windows {
		curves[w] = likeness(hay, needle[at:at+matchWindow], spectrum, energy, buf)
	}
	// peak[w][k] is the best likeness of window w with a lag near k·searchStep-len(needle).
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

// likeness is the normalised cross-correlation of a window with every place in hay, -1 to 1.
func likeness(hay, window []int16, spectrum []complex128, energy []float64, buf []complex128) []float32 {
	clear(buf)
	own := 0.0
	for i, s := range window {
		buf[i] = complex(float64(s), 0)
		own += float64(s) * float64(s)
	}
	fft(buf, false)
	for i := range buf {
		buf[i] = spectrum[i] * cmplx.Conj(buf[i])
	}
	fft(buf, true)
	out := make([]float32, len(hay)-matchWindow+1)
	floor := silentRMS * silentRMS * matchWindow / 4
	for i := range out {
		out[i] = float32(real(buf[i]) / math.Sqrt(own*max(energy[i+matchWindow]-energy[i], floor)))
	}
	return out
}

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

// fft transforms in place; the length is a power of two. The inverse is scaled.
func fft(x []complex128, inverse bool) {
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
	sign := -2 * math.Pi
	if inverse {
		sign = -sign
	}
	turn := make([]complex128, n/2)
	for i := range turn {
		turn[i] = cmplx.Rect(1, sign*float64(i)/float64(n))
	}
	for size := 2; size <= n; size <<= 1 {
		step := n / size
		for start := 0; start < n; start += size {
			for k := range size / 2 {
				a, b := x[start+k], x[start+k+size/2]*turn[k*step]
				x[start+k], x[start+k+size/2] = a+b, a-b
			}
		}
	}
	if inverse {
		for i := range x {
			x[i] /= complex(float64(n), 0)
		}
	}
}
