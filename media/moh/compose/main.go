// Command compose writes the music on hold: a piece of our own, "Warehouse at Dusk", one minute and four
// seconds of soft chords, a broken-chord accompaniment and a melody, made from nothing but sines.
//
//	go run ./media/moh/compose media/moh
//
// The output is music.ulaw, 8 kHz µ-law without a header, and music.g722, the same in G.722. The same program writes the same bytes on every machine whose
// floating point follows IEEE 754 without fused operations (amd64, arm); the file is committed. The piece is
// written into a ring, so that its last note rings into its first bar and the loop has no seam. It reads
// nothing and starts no goroutine.
package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"parklamp/media/codec"
	"parklamp/media/codec/g722"
	"parklamp/media/halfband"
)

// Time: 75 beats a minute make a beat 0.8 s and all 20 bars of four beats 64 s, a whole number of frames.
const (
	rate       = 8000         // samples per second
	beat       = rate * 4 / 5 // samples
	bars       = 20
	barBeats   = 4
	length     = bars * barBeats * beat
	levelDBFS  = -20.0 // of the whole piece, root mean square
	peakDBFS   = -4.0  // what is louder is rounded off
	fullScale  = 32768
	arpeggio   = 0.30 // loudness of the parts against each other
	padLevel   = 0.16
	bassLevel  = 0.42
	melodyPart = 0.62
)

// ring is the piece as it grows; whatever is added past the end begins again at the start.
type ring []float64

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: compose FOLDER")
		os.Exit(2)
	}
	ulaw := encode(compose())
	for name, b := range map[string][]byte{"music.ulaw": ulaw, "music.g722": widen(ulaw)} {
		if err := os.WriteFile(filepath.Join(os.Args[1], name), b, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "compose:", err)
			os.Exit(1)
		}
	}
}

// compose returns the finished piece as linear samples.
func compose() []int16 {
	dry := make(ring, length)
	playChords(dry)
	playMelody(dry)
	return master(room(dry))
}

func encode(x []int16) []byte {
	out := make([]byte, len(x))
	codec.Encode(codec.PCMU, out, x)
	return out
}

// widen encodes the piece in G.722. It has nothing above 4 kHz: its highest voices end at 3.
func widen(ulaw []byte) []byte {
	x, wide := make([]int16, len(ulaw)), make([]int16, 2*len(ulaw))
	codec.Decode(codec.PCMU, x, ulaw)
	out := make([]byte, len(ulaw))
	var up halfband.Up
	var e g722.Encoder
	for range 2 { // the second time filter and codec begin in the state in which the end of the piece leaves them
		up.Fill(wide, x)
		e.Encode(out, wide)
	}
	return out
}

// hertz is the frequency of a MIDI note number, A4 being 69 and 440 Hz.
func hertz(note int) float64 { return 440 * math.Pow(2, float64(note-69)/12) }

// playChords plays bass, pad and broken chords of every bar.
func playChords(r ring) {
	for bar, halves := range harmony {
		for h, c := range halves {
			start := (bar*barBeats + h*barBeats/len(halves)) * beat
			beats := barBeats / len(halves)
			r.bass(start, beats, c.bass)
			for _, n := range c.notes {
				r.pad(start, beats, n)
			}
			// Eighth notes up and down through the chord, each a little different, as a hand plays them.
			pattern := [8]int{0, 2, 1, 3, 2, 3, 1, 2}
			for i := range 2 * beats {
				touch := 1 - 0.16*float64(i%2) - 0.05*float64((i*7+bar*3)%4)
				late := (i*37 + bar*11) % 60 // samples, below 8 ms
				r.piano(start+i*beat/2+late, c.notes[pattern[i%8]]+12*(i/6%2), arpeggio*touch)
			}
		}
	}
}

// playMelody plays the tune.
func playMelody(r ring) {
	for bar, phrase := range melody {
		at := 0.0
		for _, n := range phrase {
			if n.note != 0 {
				r.flute((bar*barBeats)*beat+int(at*beat), int(n.beats*beat), n.note)
			}
			at += n.beats
		}
	}
}

// master brings the piece to its level and rounds off what would be too loud.
func master(x ring) []int16 {
	var power float64
	for _, v := range x {
		power += v * v
	}
	gain := math.Pow(10, levelDBFS/20) / math.Sqrt(power/float64(len(x)))
	ceiling := math.Pow(10, peakDBFS/20)
	out := make([]int16, len(x))
	for i, v := range x {
		out[i] = int16(math.Round(fullScale * ceiling * math.Tanh(v*gain/ceiling)))
	}
	return out
}
