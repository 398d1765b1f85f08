// Command generate speaks the prompts: each line of words.txt through espeak-ng into 8 kHz µ-law, all in one
// file, with an index beside it.
//
//	go run ./media/prompt/generate media/prompt
//
// It needs the Debian package espeak-ng (1.51 made the committed files; the same version makes the same bytes).
// It writes prompts.ulaw and prompts.txt into the folder and reads nothing but words.txt in it. It starts no
// goroutine, and no process but espeak-ng.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"parklamp/media/codec"
	"parklamp/media/wav"
)

// How the voice speaks and how its sound is finished.
const (
	voice     = "en-us"
	speed     = "140" // words a minute; a warehouse is loud
	pitch     = "42"
	longest   = 10 * time.Second
	levelDBFS = -18.0 // of the loudest half of the 20 ms blocks, mean power
	ceiling   = 0.7   // of full scale; what is louder is rounded off
	quietDBFS = -45.0 // what is below this at both ends is cut off
	margin    = 12 * wav.Rate / 1000
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: generate FOLDER")
		os.Exit(2)
	}
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(folder string) error {
	words, err := os.Open(filepath.Join(folder, "words.txt"))
	if err != nil {
		return err
	}
	defer words.Close()
	var sound, index bytes.Buffer
	lines := bufio.NewScanner(words)
	for lines.Scan() {
		text, spoken, ok := strings.Cut(lines.Text(), "\t")
		if text == "" || strings.HasPrefix(text, "//") {
			continue
		}
		if !ok {
			spoken = text
		}
		x, err := speak(spoken)
		if err != nil {
			return fmt.Errorf("speak %q: %w", spoken, err)
		}
		b := make([]byte, len(x))
		codec.Encode(codec.PCMU, b, x)
		fmt.Fprintf(&index, "%d\t%d\t%s\n", sound.Len(), len(b), text)
		sound.Write(b)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "prompts.ulaw"), sound.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "prompts.txt"), index.Bytes(), 0o644)
}

// speak returns the sound of words at 8 kHz, cut to its length and brought to its level.
func speak(words string) ([]int16, error) {
	out, err := exec.Command("espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "-z", "--stdout", words).Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%w; apt-get install espeak-ng", err)
	}
	if err != nil {
		return nil, err
	}
	x, err := wav.Read(bytes.NewReader(out), longest)
	if err != nil {
		return nil, err
	}
	return finish(x), nil
}

// finish cuts silence off both ends, fades what is left in and out, and brings it to its level.
func finish(in []int16) []int16 {
	limit := 32768 * math.Pow(10, quietDBFS/20)
	first, last := -1, 0
	for i, s := range in {
		if math.Abs(float64(s)) > limit {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return nil
	}
	in = in[max(0, first-margin):min(len(in), last+margin)]
	gain := 32768 * math.Pow(10, levelDBFS/20) / loudness(in)
	out := make([]int16, len(in))
	for i, s := range in {
		edge := min(1, float64(min(i, len(in)-1-i))/margin)
		v := float64(s) * gain * edge / 32768
		out[i] = int16(math.Round(32768 * ceiling * math.Tanh(v/ceiling)))
	}
	return out
}

// loudness is the root mean square of the loud blocks of 20 ms: those above a quarter of the loudest.
func loudness(x []int16) float64 {
	const block = wav.Rate / 50
	var powers []float64
	var most float64
	for ; len(x) >= block; x = x[block:] {
		p := 0.0
		for _, s := range x[:block] {
			p += float64(s) * float64(s) / block
		}
		powers = append(powers, p)
		most = max(most, p)
	}
	sum, n := 0.0, 0.0
	for _, p := range powers {
		if p >= most/16 {
			sum += p
			n++
		}
	}
	return math.Sqrt(sum / max(n, 1))
}
