package stretch_test

import (
	"math"
	"testing"

	"parklamp/media"
	"parklamp/media/prompt"
	"parklamp/media/stretch"
)

// TestSeamsOfSpeech: where a word is cut gently, what is joined resembles itself for 5 ms before the seam and as long after it.
func TestSeamsOfSpeech(t *testing.T) {
	var speech []int16
	for _, p := range []prompt.Phrase{prompt.Full(), prompt.Failed(), prompt.NoneParked(), prompt.Taken("1234567890"), prompt.NoSuchOrbit("43")} {
		source := p.Source()
		for f := (media.Frame{}); source.Next(&f); {
			speech = append(speech, f[:]...)
		}
	}
	const side, packet, background = 40, 160, 20
	s := stretch.New(8000)
	cuts, unlike := 0, 0
	var dst [packet]int16
	for at := packet; at+packet <= len(speech); at += packet {
		past, src := speech[at-packet:at], speech[at:at+packet]
		lag := packet - s.Shorten(dst[:], past, src, 100, stretch.Gentle, background)
		if lag == 0 || rms(src) < 4*background {
			continue
		}
		cuts++
		after := min(side, packet-lag)
		if likeness(speech[at-side:at+after], speech[at+lag-side:at+lag+after]) < 0.5 {
			unlike++
		}
	}
	if cuts < 200 || unlike*100 > cuts {
		t.Errorf("%d of %d cuts join what is not alike", unlike, cuts)
	}
}

func rms(s []int16) float64 { return math.Sqrt(product(s, s) / float64(len(s))) }

func likeness(a, b []int16) float64 { return product(a, b) / math.Sqrt(product(a, a)*product(b, b)) }

func product(a, b []int16) (sum float64) {
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}
