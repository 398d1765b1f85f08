package mediatest

import (
	"testing"
	"time"

	"parklamp/media/codec"
	"parklamp/media/timeline"
)

// throughLine is what a listener gets: µ-law, a delay, pieces moved and lost.
func throughLine(s []int16, delay int, damage bool) []int16 {
	b := make([]byte, len(s))
	codec.Encode(codec.PCMU, b, s)
	out := make([]int16, delay, delay+len(s))
	for i := 0; i+timeline.FrameTicks <= len(b); i += timeline.FrameTicks {
		var f [timeline.FrameTicks]int16
		codec.Decode(codec.PCMU, f[:], b[i:])
		k := i / timeline.FrameTicks
		if damage && k%12 == 5 {
			clear(f[:])
		}
		out = append(out, f[:]...)
		if damage && k%60 == 30 {
			out = append(out, f[:]...)
		}
	}
	return append(out, make([]int16, 4000)...)
}

func TestMatch(t *testing.T) {
	melody, voice := Melody(1, 2*time.Second), Voice(1, 2*time.Second)
	otherMelody, otherVoice := Melody(2, 3*time.Second), Voice(2, 3*time.Second)
	quiet := make([]int16, len(voice))
	for i, s := range voice {
		quiet[i] = s / 8
	}
	looped := append(append(append([]int16{}, otherMelody...), throughLine(voice, 0, false)...), voice...)
	for _, tc := range []struct {
		name     string
		got, ref []int16
		min, max float64
		lag      int
		slack    int
	}{
		{"melody through µ-law", throughLine(melody, 777, false), melody, 0.95, 1, 777, 1},
		{"voice through µ-law", throughLine(voice, 12345, false), voice, 0.95, 1, 12345, 1},
		{"quiet voice", throughLine(quiet, 100, false), voice, 0.9, 1, 100, 1},
		{"voice, frames lost and repeated", throughLine(voice, 900, true), voice, Same, 1, 900, 600},
		{"melody, frames lost and repeated", throughLine(melody, 900, true), melody, Same, 1, 900, 600},
		{"voice after music, and again", looped, voice, 0.9, 1, len(otherMelody), 40000},
		{"a part of the reference", voice[8000:16000], voice, 0.95, 1, -8000, 1},
		{"another melody", throughLine(otherMelody, 0, false), melody, 0, Different, 0, 1e9},
		{"another voice", throughLine(otherVoice, 0, false), voice, 0, Different, 0, 1e9},
		{"music for voice", throughLine(otherMelody, 0, false), voice, 0, Different, 0, 1e9},
		{"silence", make([]int16, 40000), voice, 0, 0.01, 0, 1e9},
		{"nothing", nil, voice, 0, 0, 0, 1e9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			score, lag := Match(tc.got, tc.ref)
			t.Logf("score %.3f lag %d", score, lag)
			if score < tc.min || score > tc.max+1e-6 {
				t.Errorf("score %.3f, want %.2f to %.2f", score, tc.min, tc.max)
			}
			if lag < tc.lag-tc.slack || lag > tc.lag+tc.slack {
				t.Errorf("lag %d, want %d ± %d", lag, tc.lag, tc.slack)
			}
		})
	}
}

func TestLevel(t *testing.T) {
	tone := make([]int16, 8000)
	for i := range tone {
		tone[i] = []int16{0, 16384, 0, -16384}[i%4] // 2 kHz, half of full scale
	}
	if l := Level(tone, 2000); l < -6.5 || l > -5.5 {
		t.Errorf("level at 2000 Hz is %.1f dBFS, want -6", l)
	}
	if l := Level(tone, 1000); l > -40 {
		t.Errorf("level at 1000 Hz is %.1f dBFS, want nothing", l)
	}
}
