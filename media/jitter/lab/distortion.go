package lab

import (
	"math"
	"math/bits"

	"parklamp/media/codec"
	"parklamp/media/playout"
)

// Distortion is how far the sound of a run is from what was said, in dB: the root mean square difference of the levels
// in 16 bands of a Bark each, in windows of 32 ms every 10 ms, where somebody speaks. What is heard at a moment is
// compared with what was said at the place that the playout log gives, so that delay, and its change in itself, costs
// nothing, but a wrong seam, a repetition where the sound was moving, a fade and a hole do. Bands, not samples or
// phases: a pitch period more or less leaves the bands alone, as it does the ear, and a measure of waveforms would
// call it ruin. It is the spectral half of what PESQ and ViSQOL do, without their model of opinion; the anchors of a
// table (nothing done, holes of silence) say what a number means.
type Distortion struct {
	All       float64 // over everything that was said
	Stretched float64 // over packets that were stretched
	Concealed float64 // over concealment
}

const (
	windowSize = 256
	hop        = 80
	bands      = 16
	floorDB    = 25 // dB below the loud parts of the speech where a band is no longer heard
)

// edges of Bark bands in Hz (Zwicker 1961), from 100 to 3700.
var edges = [bands + 1]float64{100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700}

// piece is a part of what is heard and where it was said.
type piece struct {
	from, to int   // samples of the sound
	said     int64 // sample of the speech, from its first packet on
	length   int   // samples of the speech
	kind     int   // 0 as received, 1 stretched, 2 concealed
}

// Distortion measures a run that kept its sound.
func (r *Run) Distortion(speech []byte) (d Distortion) {
	t := r.Trace
	if len(r.Events) == 0 {
		return d
	}
	ref := make([]int16, len(speech))
	codec.Decode(codec.PCMU, ref, speech)
	limit := loudest(ref) * math.Pow(10, -floorDB/10)
	size := int(t.PTime * rate / 1e9)
	said := map[uint16]int64{}
	spoke := map[int64]bool{} // packets' places
	for _, p := range t.Packets {
		place := t.ticks(p.TS)
		said[p.Seq] = place
		spoke[place/int64(size)] = spoke[place/int64(size)] || !p.Comfort
	}
	var sum [3]float64
	var n [3]int
	at, due := 0, int64(0) // in the sound, in the speech
	for _, e := range r.Events {
		length := size
		if !e.New || e.Kind != playout.Audio {
			length = int(math.Round(float64(e.Length) * rate / 1e9))
		} else {
			length += e.Change
		}
		p := piece{from: at, to: at + length, said: due, length: length, kind: 2}
		switch {
		case e.New && e.Kind == playout.Audio:
			p.said, p.length, p.kind = said[e.Seq], size, 0
			if e.Change != 0 {
				p.kind = 1
			}
			due = p.said + int64(size)
		case e.Kind == playout.Silence || e.Kind == playout.Comfort:
			at += length
			continue
		default:
			due += int64(length)
		}
		for pos := p.from + hop/2; pos < p.to; pos += hop {
			where := p.said + int64((pos-p.from)*p.length/length)
			if !spoke[where/int64(size)] {
				continue // the sender paused
			}
			if x, ok := r.difference(pos, where, ref, limit); ok {
				sum[p.kind] += x
				n[p.kind]++
			}
		}
		at += length
	}
	mean := func(s float64, n int) float64 {
		if n == 0 {
			return 0
		}
		return s / float64(n)
	}
	d.All = mean(sum[0]+sum[1]+sum[2], n[0]+n[1]+n[2])
	d.Stretched, d.Concealed = mean(sum[1], n[1]), mean(sum[2], n[2])
	return d
}

// Apart is the same measure for two sounds of one timeline, over the windows that wanted picks by their middle.
func Apart(heard, said []int16, wanted func(at int) bool) float64 {
	r := Run{Sound: heard}
	limit := loudest(said) * math.Pow(10, -floorDB/10)
	sum, n := 0.0, 0
	for at := windowSize / 2; at+windowSize/2 <= min(len(heard), len(said)); at += hop {
		if !wanted(at) {
			continue
		}
		if x, ok := r.difference(at, int64(at), said, limit); ok {
			sum += x
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// difference compares the sound around a place with the speech around another; false where nobody speaks.
func (r *Run) difference(heard int, said int64, ref []int16, limit float64) (float64, bool) {
	if heard < windowSize/2 || heard+windowSize/2 > len(r.Sound) {
		return 0, false
	}
	var a, b [windowSize]float64
	for i := range windowSize {
		w := window[i]
		a[i] = w * float64(r.Sound[heard-windowSize/2+i])
		k := int((said - windowSize/2 + int64(i)) % int64(len(ref)))
		if k < 0 {
			k += len(ref)
		}
		b[i] = w * float64(ref[k])
	}
	x, y := levels(&a), levels(&b)
	total := 0.0
	for _, v := range y {
		total += v
	}
	if total < limit {
		return 0, false
	}
	sum := 0.0
	for k := range bands {
		// What is far below the rest is masked by it.
		low := max(total*1e-4, limit*1e-1)
		v := 10 * math.Log10((x[k]+low)/(y[k]+low))
		sum += v * v
	}
	return math.Sqrt(sum / bands), true
}

// levels are the powers in the bands of a window.
func levels(x *[windowSize]float64) (out [bands]float64) {
	var re, im [windowSize]float64
	for i, v := range x {
		re[places[i]] = v
	}
	for size := 2; size <= windowSize; size *= 2 {
		for k := range size / 2 {
			s, c := sines[k*windowSize/size], cosines[k*windowSize/size]
			for i := k; i < windowSize; i += size {
				j := i + size/2
				tr, ti := re[j]*c-im[j]*s, re[j]*s+im[j]*c
				re[j], im[j] = re[i]-tr, im[i]-ti
				re[i], im[i] = re[i]+tr, im[i]+ti
			}
		}
	}
	band := 0
	for i := 1; i < windowSize/2; i++ {
		hz := float64(i) * rate / windowSize
		for band < bands && hz >= edges[band+1] {
			band++
		}
		if band == bands {
			break
		}
		if hz >= edges[0] {
			out[band] += re[i]*re[i] + im[i]*im[i]
		}
	}
	return out
}

// The window of Hann, the turns of the transform, and where it wants its samples.
var window, sines, cosines, places = func() (w, s, c [windowSize]float64, at [windowSize]int) {
	for i := range windowSize {
		w[i] = 0.5 - 0.5*math.Cos(2*math.Pi*(float64(i)+0.5)/windowSize)
		s[i], c[i] = math.Sincos(-2 * math.Pi * float64(i) / windowSize)
		at[i] = int(bits.Reverse8(uint8(i)))
	}
	return w, s, c, at
}()

// loudest is the power in all bands of the loudest window of the speech.
func loudest(ref []int16) float64 {
	best := 0.0
	for at := 0; at+windowSize <= len(ref); at += windowSize {
		var x [windowSize]float64
		for i := range x {
			x[i] = window[i] * float64(ref[at+i])
		}
		total := 0.0
		for _, v := range levels(&x) {
			total += v
		}
		best = max(best, total)
	}
	return best
}
