package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"parklamp/cmd/internal/speech"
	"parklamp/media/wav"
)

func TestPeople(t *testing.T) {
	folder := t.TempDir()
	if all, err := people(filepath.Join(folder, "nobody")); len(all) > 0 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
	if got := conversation(nil); !slices.Equal(got, append(speech.Caller(), speech.Worker()...)) {
		t.Errorf("%d samples of a program", len(got))
	}
	long, word := speech.Worker(), speech.Caller()[:rate]
	for name, x := range map[string][]int16{"ann/menu/one.wav": long, "ann/two.wav": word, "bob/one.wav": long, "bob/three.wav": long} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := wav.WriteFile(path, x, rate); err != nil {
			t.Fatal(err)
		}
	}
	all, err := people(folder)
	if err != nil || len(all) != 2 || all[0].name != "ann" || len(all[0].phrases) != 2 || len(all[1].phrases) != 2 {
		t.Fatalf("%d people, %v", len(all), err)
	}
	ann := slices.Concat(long, make([]int16, breath))
	both := slices.Concat(ann, ann)
	if got := conversation(all); !slices.Equal(got, slices.Concat(ann, both[:int(turn.Seconds()*rate)])) {
		t.Errorf("%d samples of two people", len(got))
	}
	if err := os.WriteFile(filepath.Join(folder, "bob", "two.wav"), []byte("RIFF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := people(folder); err == nil {
		t.Error("half a file is read")
	}
}
