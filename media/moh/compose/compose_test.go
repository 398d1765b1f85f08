package main

import (
	"math"
	"os"
	"testing"

	"parklamp/media/codec/g722"
)

// The committed file is what this program writes. On processors with fused operations a rounding may differ.
func TestCommittedMusicIsThis(t *testing.T) {
	want, err := os.ReadFile("../music.ulaw")
	if err != nil {
		t.Fatal(err)
	}
	got := encode(compose())
	if len(got) != len(want) {
		t.Fatalf("%d bytes, the file has %d: run go run ./media/moh/compose media/moh", len(got), len(want))
	}
	differ := 0
	for i := range got {
		if got[i] != want[i] {
			differ++
		}
	}
	if differ > len(got)/1000 {
		t.Errorf("%d of %d bytes differ: run go run ./media/moh/compose media/moh", differ, len(got))
	}
}

// The same piece in G.722, to the byte but for such roundings.
func TestCommittedWideMusicIsThis(t *testing.T) {
	ulaw, err := os.ReadFile("../music.ulaw")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("../music.g722")
	if err != nil || len(file) != len(ulaw) {
		t.Fatalf("%d bytes, %v: run go run ./media/moh/compose media/moh", len(file), err)
	}
	want, got := make([]int16, 2*len(ulaw)), make([]int16, 2*len(ulaw))
	new(g722.Decoder).Decode(want, widen(ulaw))
	new(g722.Decoder).Decode(got, file)
	var noise, signal float64
	for i, v := range want {
		d := float64(v) - float64(got[i])
		noise, signal = noise+d*d, signal+float64(v)*float64(v)
	}
	if noise > signal/1000 {
		t.Errorf("it differs by %.1f dB: run go run ./media/moh/compose media/moh", 10*math.Log10(noise/signal))
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
