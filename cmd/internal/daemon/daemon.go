// Package daemon is what phoned and parkd have in common: command line, configuration, log and signals. It starts one
// appliance (package wire) and turns its end into an exit status.
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
	"syscall"

	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/wire"
)

// memoryLimit is where the garbage collector works harder: an appliance needs a tenth of it with ten parked calls.
const memoryLimit = 256 << 20

const (
	exitFailed = 1
	exitUsage  = 2 // as the flag package has it
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
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: the configuration cannot be used:\n%v\n", name, err)
		return exitUsage
	}
	if *check {
		fmt.Println(*file + ": the configuration is good")
		return 0
	}
	debug.SetMemoryLimit(memoryLimit)
	// The pacer's thread needs a processor of its own the moment it wakes, whatever the others do: without one more than
	// there are cores it waits for a busy goroutine to yield.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level(cfg.Appliance.LogLevel)}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
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

// level reads a log level that config has checked.
func level(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return l
}
