// Command benchmark is `make bench`: how fast and how heavy the real programs are, measured from outside, over loopback,
// beside the figures of what does this job today (incumbent.go); the relay in turns with Debian's rtpengine, where it is
// installed (rtpengine.go). It prints Markdown tables on standard output and what it is doing on standard error.
//
// What is measured from are its own phones: a small SIP client and RTP ends that share no code with the firmware, whose
// packets carry the kernel's time of arrival. A time counts from just before the system call that sends a request, or
// the API call that moves a switch, to the kernel's stamp of the packet that answers it. Every series has warm-up
// cycles that do not count, and several runs. Music and relay are measured again where the machine was uneven meanwhile
// (floor.go). Nothing here passes or fails by its time; a stage fails when the thing that it measures does not happen.
//
// To be known when figures are compared. A virtual machine whose host takes some of its time away differs from one minute to
// the next: a figure without the lateness of the bare thread beside it says little. The report says
// when the system did not grant the programs their nice value. 1 to 1.5 MB of the memory with parked calls are the Go
// runtime's tables of spans by size: they fill with the first garbage collections whatever is alive, so the memory of a call is
// told by what each further one takes. That of a relayed call changes with when the collector ran last.
//
// It stays on 127.0.0.0/8 and stops everything that it starts. Goroutines: one for each open port, one that speaks
// (speaker), one that times the appliances' status (eyes), and those of package site.
//
// Exit status: 0, 1 when a stage failed (the others are printed), 2 for a wrong command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stages in the order in which they run.
var stages = []struct {
	name string
	run  func(*stage) error
}{
	{"churn", churn},
	{"keys", keys},
	{"transfers", transfers},
	{"parks", parks},
	{"race", race},
	{"failure", failure},
	{"music", parkedMusic},
	{"relay", relayed},
}

// runLimit ends a benchmark that hangs.
const runLimit = 15 * time.Minute

func main() {
	bin := flag.String("bin", "out/bin", "`folder` with the programs that make build makes")
	quick := flag.Bool("quick", false, "fewer cycles and smaller numbers: a minute instead of ten")
	only := flag.String("only", "", "`stages` to run, with commas between; all if empty")
	calls := flag.Int("calls", 0, "only crowds of so many `calls`; 0 is every size")
	flag.Parse()
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(*only, ",") {
		wanted[name] = true
	}
	names := []string{}
	for _, s := range stages {
		names = append(names, s.name)
		delete(wanted, s.name)
	}
	delete(wanted, "")
	if flag.NArg() > 0 || len(wanted) > 0 {
		fmt.Fprintf(os.Stderr, "benchmark: there is no such argument or stage; the stages are %s\n", strings.Join(names, ", "))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	if err := run(ctx, *bin, *quick, *only, *calls); err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, quick bool, only string, calls int) (err error) {
	// What this program throws away must not make it stop the world while it reads: it has memory to spare.
	debug.SetGCPercent(400)
	head := machine()
	dir, err := os.MkdirTemp("", "parklamp-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{bin: bin, dir: dir, quick: quick, calls: calls, speaker: &speaker{}}
	var wg sync.WaitGroup
	speaking, hush := context.WithCancel(ctx)
	wg.Go(func() { b.speaker.run(speaking) })
	defer func() {
		hush()
		wg.Wait()
	}()
	defer func() {
		for _, f := range b.atEnd {
			f()
		}
	}()
	var failed error
	for _, s := range stages {
		if only != "" && !strings.Contains(","+only+",", ","+s.name+",") {
			continue
		}
		if err := b.stage(ctx, s.name, s.run); err != nil {
			failed = errors.Join(failed, fmt.Errorf("stage %s: %w", s.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	for _, f := range b.late {
		failed = errors.Join(failed, f())
	}
	b.report.note(theirSource)
	b.report.note("ms unless the unit says otherwise. %d requests of the benchmark had to be sent again; %d packets had no stamp of the kernel.",
		resent.Load(), unstamped.Load())
	fmt.Print(head)
	if quick {
		fmt.Print("Quick run: fewer cycles and smaller numbers than the figures to cite.\n")
	}
	fmt.Println()
	b.report.print(os.Stdout)
	return failed
}
