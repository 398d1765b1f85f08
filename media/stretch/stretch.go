// Package stretch makes a piece of speech shorter or longer without changing its pitch: whole pitch periods
// are taken out or put in where the sound resembles itself, and the seam is cross-faded.
//
// It is WSOLA (Verhelst and Roelands, ICASSP 1993) with one seam a piece: the seam is at the beginning, where
// what was played last is known. It is pure: no goroutine, clock or allocation after New, no state between
// pieces; the caller says what was played before.
package stretch

import "math"

// Care is how much a change may be heard.
type Care uint8

// The kinds of Care.
const (
	// Gentle changes pieces where the seam cannot be heard: background, or the sound repeats itself closely.
	Gentle Care = iota
	// Urgent changes more: it is better than concealment in a moment.
	Urgent
	// Desperate changes whatever there is: a piece would be lost otherwise.
	Desperate
)

// The least normalised correlation of the two sides of a seam.
const (
	gentleLikeness    = 0.85
	urgentLikeness    = 0.5
	desperateLikeness = -1
	asGood            = 0.03 // two seams that differ less are equally good
)

// Stretcher changes pieces of one sample rate.
type Stretcher struct {
	shortest int // samples that are taken out or put in at least: 2.5 ms
	longest  int // and at most: 15 ms
	overlap  int // least length of a cross-fade: 3 ms
	widest   int // greatest: 10 ms
	stride   int
}

// New returns a stretcher for rate samples a second.
func New(rate int) *Stretcher {
	return &Stretcher{
		shortest: rate / 400, longest: rate * 3 / 200, overlap: rate * 3 / 1000, widest: rate / 100,
		stride: max(2, rate/4000),
	}
}

// Longest is the most samples that one call puts in.
func (s *Stretcher) Longest() int { return s.longest }

// Shorten writes src without at most most of its samples to dst and returns how many it wrote: len(src) if
// there is no good place. The seam follows what was played before, past, of which the last 10 ms matter. dst and src may be
// the same.
func (s *Stretcher) Shorten(dst, past, src []int16, most int, care Care, background float32) int {
	best, likeness := 0, float32(-2)
	most = min(most, len(src)-s.overlap)
	// The natural continuation src[0:] fades into src[lag:].
	at := func(lag, step int) float32 {
		// A fade of 3 ms says little: waves of another length are alike for so long as well. 5 ms on each side are compared, and
		// 10 together; of the side where src ends what there is.
		after := max(min(lag, len(src)-lag, s.widest), min(s.widest/2, len(src)-lag))
		before := min(max(s.widest/2, s.widest-after), len(past))
		return joined(past[len(past)-before:], src[:lag+after], lag, step)
	}
	for lag := s.shortest; lag <= most; lag += s.stride {
		// Of two good places the one that takes out more.
		if c := at(lag, s.stride); c > likeness+asGood || c > likeness-asGood && likeness > urgentLikeness {
			best, likeness = lag, max(c, likeness)
		}
	}
	if best == 0 {
		return copy(dst, src)
	}
	best, likeness = s.refine(best, most, at)
	if likeness < threshold(care) && !quiet(src, background) {
		return copy(dst, src)
	}
	n := min(best, len(src)-best, s.widest)
	crossfade(dst, src[:n], src[best:best+n], likeness)
	return n + copy(dst[n:], src[best+n:])
}

// Lengthen writes src with about want samples more in front of it to dst, which has room for Longest, and
// returns how many it wrote: len(src) if there is no good place. It puts in whole periods: rather a little more than
// want, or less, than a seam that is heard. past is what was played before. dst and src do not overlap.
func (s *Stretcher) Lengthen(dst, past, src []int16, want int, care Care, background float32) int {
	best, likeness := 0, float32(-2)
	most := min(s.longest, len(past), len(dst)-len(src))
	// The natural continuation src[0:] fades into the end of past, which leads to src[0] again.
	at := func(lag, step int) float32 {
		n := min(lag, len(src), s.widest)
		return correlation(src[:n], past[len(past)-lag:len(past)-lag+n], step)
	}
	miss := 0
	for lag := s.shortest; lag <= most; lag += s.stride {
		c, m := at(lag, s.stride), max(want-lag, lag-want)
		if c > likeness+asGood || c > likeness-asGood && m < miss {
			best, likeness, miss = lag, max(c, likeness), m
		}
	}
	if best == 0 {
		return copy(dst, src)
	}
	best, likeness = s.refine(best, most, at)
	if likeness < threshold(care) && !quiet(src, background) {
		return copy(dst, src)
	}
	n := min(best, len(src), s.widest)
	from := past[len(past)-best:]
	crossfade(dst, src[:n], from[:n], likeness)
	copy(dst[n:], from[n:])
	return best + copy(dst[best:], src)
}

// refine looks at the lags between those of the coarse search.
func (s *Stretcher) refine(lag, most int, at func(lag, step int) float32) (best int, likeness float32) {
	best, likeness = lag, float32(-2)
	for l := max(lag-s.stride+1, s.shortest); l <= min(lag+s.stride-1, most); l++ {
		if c := at(l, 1); c > likeness {
			best, likeness = l, c
		}
	}
	return best, likeness
}

func threshold(care Care) float32 {
	switch care {
	case Gentle:
		return gentleLikeness
	case Urgent:
		return urgentLikeness
	}
	return desperateLikeness
}

// quiet reports whether a piece is not much above the background: noise may be cut anywhere.
func quiet(pcm []int16, background float32) bool {
	limit := 2 * background
	var sum float32
	for _, v := range pcm {
		sum += float32(v) * float32(v)
	}
	return sum < limit*limit*float32(len(pcm))
}

// correlation is that of two pieces of equal length, -1 to 1; silence is like silence and like nothing else.
func correlation(a, b []int16, step int) float32 {
	var s sums
	s.add(a, b, step)
	return s.likeness()
}

// joined is the correlation of past and then src with the same lag later, as far as src goes.
func joined(past, src []int16, lag, step int) float32 {
	var s sums
	both := max(0, len(past)-lag)
	s.add(past[:both], past[len(past)-both:], step)
	s.add(past[both:], src[lag-(len(past)-both):], step)
	s.add(src[:len(src)-lag], src[lag:], step)
	return s.likeness()
}

// sums are what a correlation is made of.
type sums struct{ cross, a, b float32 }

func (s *sums) add(a, b []int16, step int) {
	b = b[:len(a)]
	var cross, ea, eb float32
	for i := 0; i < len(a); i += step {
		x, y := float32(a[i]), float32(b[i])
		cross += x * y
		ea += x * x
		eb += y * y
	}
	s.cross, s.a, s.b = s.cross+cross, s.a+ea, s.b+eb
}

func (s *sums) likeness() float32 {
	if s.a == 0 || s.b == 0 {
		if s.a == s.b {
			return 1
		}
		return 0
	}
	return s.cross / float32(math.Sqrt(float64(s.a*s.b)))
}

// crossfade goes from a to b so that the power stays the same for two sounds of the given likeness.
func crossfade(dst, a, b []int16, likeness float32) {
	n := float32(len(a))
	likeness = max(likeness, 0)
	for i := range a {
		w := (float32(i) + 0.5) / n
		v := 1 - w
		g := 1 / float32(math.Sqrt(float64(v*v+w*w+2*likeness*v*w)))
		dst[i] = int16(max(-32768, min(32767, (float32(a[i])*v+float32(b[i])*w)*g)))
	}
}
