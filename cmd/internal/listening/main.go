// Command listening is the part of `make bench` that shows what the jitter buffer does: a table of the seeded models of
// networks (media/jitter/lab), and, where recorded traces and the figures of other buffers on them lie in a folder,
// a table of those side by side; and whether the speech of people is taken for digits. For each network it leaves that speech as WAV files: as it was sent, as a plain
// buffer of 60 ms without concealment would play it, and as it is heard.
//
// It opens no socket, starts one goroutine for each processor, and its figures do not depend on the machine.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/zaf/g711"

	"parklamp/media/jitter"
	"parklamp/media/jitter/lab"
	"parklamp/media/wav"
)

const (
	seeds  = 3
	length = 3 * time.Minute  // of a trace
	heard  = 36 * time.Second // of a WAV file
	rate   = 8000
	plain  = 60 * time.Millisecond
)

func main() {
	out := flag.String("out", "out/listening", "`folder` for the WAV files")
	peers := flag.String("peers", "../shared/jitter", "`folder` with recorded traces (open/*.csv.gz) and other buffers' figures (PEERS.md); left out if it is not there")
	voices := flag.String("speech", "/usr/share/asterisk/sounds", "`folder` with recorded speech, of each person a folder of WAV files; made by a program if it is not there")
	flag.Parse()
	if err := run(*out, *peers, *voices); err != nil {
		fmt.Fprintln(os.Stderr, "listening:", err)
		os.Exit(1)
	}
}

func run(out, peers, voices string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	all, err := people(voices)
	if err != nil {
		return err
	}
	pcm := conversation(all)
	said := make([]byte, len(pcm))
	for i, s := range pcm {
		said[i] = g711.EncodeUlawFrame(s)
	}
	if err := models(out, said, pcm); err != nil {
		return err
	}
	talkOff(all)
	err = recorded(peers, said)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// row is what a network did to a buffer.
type row struct {
	ours, plain, best lab.Score
	distortion        lab.Distortion
	holes             lab.Distortion
}

// models prints the table of the seeded networks and writes the WAV files.
func models(out string, said []byte, pcm []int16) error {
	networks := lab.Networks()
	rows := make([]row, len(networks))
	errs := make([]error, len(networks))
	each(len(networks), func(i int) {
		for seed := range uint64(seeds) {
			t := networks[i].Trace(seed+1, length)
			ours, fixed := lab.Replay(t, jitter.Default(), said, true), lab.Fixed(t, plain, said, true)
			rows[i].add(ours, fixed, said)
			if seed == 0 {
				errs[i] = errors.Join(
					write(filepath.Join(out, networks[i].Name+"-plain.wav"), fixed.Sound),
					write(filepath.Join(out, networks[i].Name+"-heard.wav"), ours.Sound))
			}
		}
	})
	fmt.Printf("\n## Jitter buffer on seeded networks (%d seeds of %s each)\n\n", seeds, length)
	fmt.Println("| network | what | R | R of the best constant delay, future known | R of a plain 60 ms | delay, ms | bad by our doing, % | stretched, % | off by stretching, dB | by concealment, dB | of all, dB | plain 60 ms, of all, dB |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|")
	var mean row
	for i, n := range networks {
		r := rows[i].over(seeds)
		fmt.Printf("| %s | %s | %.1f | %.1f | %.1f | %.0f | %.2f | %.1f | %.1f | %.1f | %.2f | %.2f |\n", n.Name, n.What, r.ours.R, r.best.R,
			r.plain.R, float64(r.ours.Delay)/1e6, 100*r.ours.Own, 100*r.ours.Stretched, r.distortion.Stretched, r.distortion.Concealed,
			r.distortion.All, r.holes.All)
		mean.ours.R += r.ours.R
		mean.best.R += r.best.R
		mean.plain.R += r.plain.R
	}
	n := float64(len(networks))
	fmt.Printf("| mean | | %.2f | %.2f | %.2f | | | | | | | |\n", mean.ours.R/n, mean.best.R/n, mean.plain.R/n)
	fmt.Printf("\nThe speech of seed 1 is in %s as WAV files. dB: how far the levels in Bark bands are from what was said, after alignment by the playout log.\n", out)
	return errors.Join(append(errs, write(filepath.Join(out, "sent.wav"), pcm))...)
}

func (r *row) add(ours, fixed *lab.Run, said []byte) {
	add := func(to *lab.Score, s lab.Score) {
		to.R, to.Delay, to.Own, to.Stretched = to.R+s.R, to.Delay+s.Delay, to.Own+s.Own, to.Stretched+s.Stretched
	}
	add(&r.ours, ours.Score())
	add(&r.plain, fixed.Score())
	add(&r.best, lab.BestFixed(ours.Trace))
	d, h := ours.Distortion(said), fixed.Distortion(said)
	r.distortion.All += d.All
	r.distortion.Stretched += d.Stretched
	r.distortion.Concealed += d.Concealed
	r.holes.All += h.All
}

func (r row) over(n float64) row {
	for _, s := range []*lab.Score{&r.ours, &r.plain, &r.best} {
		s.R, s.Own, s.Stretched, s.Delay = s.R/n, s.Own/n, s.Stretched/n, s.Delay/time.Duration(n)
	}
	r.distortion.All, r.distortion.Stretched, r.distortion.Concealed = r.distortion.All/n, r.distortion.Stretched/n, r.distortion.Concealed/n
	r.holes.All /= n
	return r
}

// each calls f for 0 to n-1, on all processors.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// write writes the first part of a sound.
func write(path string, sound []int16) error {
	return wav.WriteFile(path, sound[:min(len(sound), int(heard.Seconds()*rate))], rate)
}

// shown are the columns of PEERS.md that are printed.
var shown = []string{"asterisk_t", "baresip_a", "livekit", "neteq", "neteq_fast", "*fixed*", "*adaptive*", "*elastic*"}

// recorded prints ours beside the published figures, trace by trace.
func recorded(folder string, said []byte) error {
	published, err := readPeers(filepath.Join(folder, "PEERS.md"))
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(folder, "open", "*.csv.gz"))
	if err != nil || len(files) == 0 {
		return err
	}
	scores := make([]lab.Score, len(files))
	errs := make([]error, len(files))
	each(len(files), func(i int) {
		f, err := os.Open(files[i])
		if err != nil {
			errs[i] = err
			return
		}
		defer f.Close()
		t, err := lab.Read(f)
		if err != nil {
			errs[i] = fmt.Errorf("read %s: %w", files[i], err)
			return
		}
		scores[i] = lab.Replay(t, jitter.Default(), said, false).Score()
	})
	fmt.Printf("\n## R on recorded and published traces\n\n| trace | Parklamp | delay, ms | %s |\n|---|---|---|%s\n",
		strings.Join(shown, " | "), strings.Repeat("---|", len(shown)))
	mean := 0.0
	sums := make([]float64, len(shown))
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".csv.gz")
		fmt.Printf("| %s | %.2f | %.0f |", name, scores[i].R, float64(scores[i].Delay)/1e6)
		mean += scores[i].R
		for k, column := range shown {
			v := published[name][column]
			sums[k] += v
			fmt.Printf(" %.1f |", v)
		}
		fmt.Println()
	}
	fmt.Printf("| mean | %.2f | |", mean/float64(len(files)))
	for _, s := range sums {
		fmt.Printf(" %.2f |", s/float64(len(files)))
	}
	fmt.Println()
	return errors.Join(errs...)
}
