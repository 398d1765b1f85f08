package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"parklamp/cmd/internal/speech"
	"parklamp/media/codec"
	"parklamp/media/jitter"
	"parklamp/media/jitter/lab"
)

func TestReadPeers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "PEERS.md")
	text := "# x\n\n## R by trace\n\n| trace | a | *b* |\n|---|---|---|\n| one | 80.5 | 90 |\n| two | - | 91.25 |\n\n## Delay\n\n| one | 1 | 2 |\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readPeers(path)
	if err != nil || got["one"]["a"] != 80.5 || got["one"]["*b*"] != 90 || got["two"]["*b*"] != 91.25 || len(got["two"]) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readPeers(path); err == nil {
		t.Error("a file without the table is read")
	}
}

// TestWhatIsHeard holds the distortion on speech to a bound: a perfect line adds next to nothing, seams little,
// and concealment less than the holes of a plain buffer.
func TestWhatIsHeard(t *testing.T) {
	pcm := speech.Worker()
	said := make([]byte, len(pcm))
	codec.Encode(codec.PCMU, said, pcm)
	networks := map[string]lab.Network{}
	for _, n := range lab.Networks() {
		networks[n.Name] = n
	}
	hear := func(name string) lab.Distortion {
		return lab.Replay(networks[name].Trace(1, 40*time.Second), jitter.Default(), said, true).Distortion(said)
	}
	if d := hear("lan").All; d > 0.3 {
		t.Errorf("a good line is off by %.2f dB", d)
	}
	for _, name := range []string{"wifi-tail", "dsl-bloat", "drive"} {
		if d := hear(name).Stretched; d == 0 || d > 1.5 {
			t.Errorf("%s: stretched packets are off by %.2f dB", name, d)
		}
	}
	trace := networks["ge-loss"].Trace(2, 40*time.Second)
	ours := lab.Replay(trace, jitter.Default(), said, true).Distortion(said).Concealed
	holes := lab.Fixed(trace, 60*time.Millisecond, said, true).Distortion(said).Concealed
	if ours > 0.9*holes {
		t.Errorf("concealment is off by %.1f dB, holes by %.1f", ours, holes)
	}
}
