// Package daemon is what phoned and parkd have in common: command line, configuration, log and signals. It starts one
// appliance (package wire) and turns its end into an exit status. SIGTERM and SIGINT end it for good; SIGUSR1 when another
// process follows at once, and SIGUSR2 when the machine starts anew: then the parked callers stay (wire.Going). The first
// process of an image takes these two for something else: see package initapi.
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/wire"
	"parklamp/media/rtpio"
)

// memoryLimit is where the garbage collector works harder: an appliance needs a tenth of it with ten parked calls.
const memoryLimit = 256 << 20

const (
	exitFailed = 1
	exitUsage  = 2 // as the flag package has it, and the runtime after a panic
)

// Main runs a daemon and ends the process.
func Main(name, version string, phone bool) {
	os.Exit(run(name, version, phone, os.Args[1:]))
}

func run(name, version string, phone bool, args []string) int {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	file := flags.String("config", "/etc/parklamp/parklamp.toml", "configuration `file`; 'parkctl config describe' prints every key")
	check := flags.Bool("check", false, "check the configuration file and exit")
	show := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "%s: %q is not an option; the configuration is named with -config FILE\n", name, flags.Arg(0))
		return exitUsage
	}
	if *show {
		fmt.Println(name, version)
		return 0
	}
	cfg, err := config.Load(*file)
	if err == nil && *check {
		err = config.Check(*file)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n%v\n", name, initapi.BadConfigWords, err)
		return initapi.BadConfig
	}
	if *check {
		fmt.Println(*file + ": the configuration is good")
		return 0
	}
	debug.SetMemoryLimit(memoryLimit)
	// What paces and what reads media (package media) need a processor of the runtime the moment they wake, whatever the
	// others do: without one for each besides the cores they wait for a goroutine to yield. Measured when there was one reader, with 500
	// parked calls and one of two cores busy, packets off by p99 and p99.9: one more 349 and 2,300 µs, two more 200 and 857 µs. The
	// second reader has one for the same reason.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1 + rtpio.Readers())
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level(cfg.Appliance.LogLevel)}))
	if cfg.Media.Nice < 0 {
		if err := favour(cfg.Media.Nice); err != nil {
			log.Info("the kernel does not favour the appliance over other programs", "err", err)
		}
	}
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, len(goings))
	for s := range goings {
		signal.Notify(signals, s)
	}
	defer signal.Stop(signals)
	over := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop(nil)
	defer close(over)
	wg.Go(func() { obey(signals, over, stop, log) })
	wg.Go(func() { thrift(ctx) })
	a, err := wire.New(cfg, version, phone, log)
	if err == nil {
		err = a.Run(ctx)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return exitFailed
	}
	return 0
}

// goings are the signals that end a daemon, and how the appliance goes then.
var goings = map[os.Signal]wire.Going{os.Interrupt: wire.Final, syscall.SIGTERM: wire.Final, initapi.RestartSignal: wire.Restart, initapi.RebootSignal: wire.Reboot}

// obey ends the appliance at the first signal. What comes later counts as far as wire.Told lets it.
func obey(signals <-chan os.Signal, over <-chan struct{}, stop context.CancelCauseFunc, log *slog.Logger) {
	var told *wire.Told
	for {
		select {
		case s := <-signals:
			if told == nil {
				told = wire.NewTold(goings[s])
				stop(told)
			} else {
				told.Again(goings[s])
			}
			log.Info("told to end", "signal", s.String(), "how", goings[s].Error(), "goes", told.Error())
		case <-over:
			return
		}
	}
}

// level reads a log level that config has checked.
func level(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return l
}
