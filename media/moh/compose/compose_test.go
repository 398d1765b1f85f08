package main

import (
	"math"
	"os"
	"testing"
)

// The committed file is what this program writes. On processors with fused operations a rounding may differ.
func TestCommittedMusicIsThis(t *testing.T) {
	want, err := os.ReadFile("../music.ulaw")
	if err != nil {
		t.Fatal(err)
	}
	got := encode(compose())
	if len(got) != len(want) {
		t.Fatalf("%d bytes, the file has %d: run go run ./media/moh/compose media/moh/music.ulaw", len(got), len(want))
	}
	differ := 0
	for i := range got {
		if got[i] != want[i] {
			differ++
		}
	}
	if differ > len(got)/1000 {
		t.Errorf("%d of %d bytes differ: run go run ./media/moh/compose media/moh/music.ulaw", differ, len(got))
	}
}

func TestScoreFillsEveryBar(t *testing.T) {
	for i, phrase := range melody {
		beats := 0.0
		for _, n := range phrase {
			beats += n.beats
		}
		if beats != barBeats {
			t.Errorf("bar %d of the melody has %v beats", i+1, beats)
		}
		if n := len(harmony[i]); n != 1 && n != 2 {
			t.Errorf("bar %d has %d chords", i+1, n)
		}
	}
	if a := hertz(69); math.Abs(a-440) > 1e-9 {
		t.Errorf("A4 is %v Hz", a)
	}
}
