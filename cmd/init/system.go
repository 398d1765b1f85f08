package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/logs"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/supervise"
)

// Where things are.
const (
	runFolder = "/run/parklamp" // of phoned, for its socket
	// What this process writes, reads or runs while it runs is in a folder where phoned, which talks with the network, can put nothing
	// in its place.
	rootFolder  = "/run/parklamp-init"
	leaseSocket = rootFolder + "/lease.sock"
	resolvFile  = rootFolder + "/resolv.conf"
	hookPath    = rootFolder + "/" + hookName
	builtIn     = rootFolder + "/" + provision.PhonedFile
	sshPID      = rootFolder + "/dropbear.pid"
	etcFolder   = "/etc/parklamp"
	dataMount   = "/data"
	bootMount   = "/boot"
	dataFolder  = provision.DataFolder
	phonedPath  = "/usr/bin/phoned"
	busyboxPath = "/bin/busybox"
	logBytes    = 256 << 10
	memoryData  = 32 << 20 // bytes of a data folder in memory
)

// stopAll is the longest that programs have to end when the appliance is switched off or restarted: phoned, and then the others.
const stopAll = initapi.EndFor + 3*time.Second

// unmountFor is the longest that the card has to take what was written, when everything has ended. It is shorter than watchdogFor.
const unmountFor = 10 * time.Second

// ground is what every part of the appliance stands on.
type ground struct {
	logbook *logs.Book
	log     *slog.Logger
	reaper  *supervise.Reaper
	news    *news       // of what is told
	health  *health.Set // what is wrong
	started time.Time

	// set by prepare, then immutable
	boot    bootArgs
	board   string
	version string
}

func newGround() *ground {
	g := &ground{logbook: logs.NewBook(logBytes), reaper: supervise.NewReaper(), news: newNews(), started: time.Now(), version: version}
	g.health = health.New(g.news.send)
	g.log = slog.New(slog.NewTextHandler(g.logbook.Writer("init", time.Now), &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	return g
}

// system is the whole appliance as its first process sees it: its parts, each with its own state. A part knows those that it
// stands on, which are above it here.
type system struct {
	*ground
	guard    *guard             // watchdog.go
	store    *store             // card.go
	identity *identity          // identity.go
	network  *network           // network.go
	clock    *timekeeper        // time.go
	phone    *phone             // phone.go, config.go
	restarts *restarts          // restart.go
	updates  *updates           // update.go
	ssh      *supervise.Service // ssh.go; nil: no SSH server

	listeners chan struct{} // capacity maxListeners: one for each; full: refused (told.go)
}

func newSystem() *system {
	g := newGround()
	s := &system{ground: g, guard: &guard{ground: g}, store: &store{ground: g}, network: newNetwork(g), phone: newPhone(g), listeners: make(chan struct{}, maxListeners)}
	s.identity = &identity{ground: g, store: s.store}
	s.clock = &timekeeper{ground: g, network: s.network}
	s.restarts = newRestarts(g, s.phone)
	s.updates = &updates{ground: g, store: s.store, identity: s.identity, phone: s.phone}
	return s
}

// withoutTime leaves the time away: the logbook has it.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.Attr{}
	}
	return a
}

// group is goroutines that end together.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newGroup() *group {
	g := &group{}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// start runs f, which ends with its context.
func (g *group) start(f func(context.Context)) { g.wg.Go(func() { f(g.ctx) }) }

// end ends all of them and waits until they have.
func (g *group) end() {
	g.cancel()
	g.wg.Wait()
}

// run is the life of the appliance. It does not return.
func (s *system) run() {
	defer s.end(unix.LINUX_REBOOT_CMD_RESTART) // also after a panic
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	endConsole := s.console(os.Stderr)
	s.prepare()

	care := newGroup() // of the machine, as long as nobody wants its end
	phone := newGroup()
	services := newGroup() // that phoned has use for until it has ended
	last := newGroup()     // what ends everything needs them
	last.start(s.reaper.Run)
	s.guard.step("begin", otherStep)
	last.start(func(ctx context.Context) {
		s.guard.feed(ctx, watchdogPath, func() bool { return s.phone.service.Report().Stuck })
	})
	s.startDevices(care)
	s.startData(care)
	s.startServices(services)
	s.phone.start(phone)
	s.guard.step("", 0)
	services.start(s.phone.watchConfig)
	s.startNewcomer(services)

	command := s.wait(signals)
	s.log.Info("parklamp ends")
	if command == unix.LINUX_REBOOT_CMD_RESTART {
		s.phone.service.StopBy(initapi.RebootSignal) // when the power is switched off nobody comes back: SIGTERM lets it say good-bye
	}
	care.cancel()
	within(stopAll, func() {
		phone.end() // phoned says what it has to say while there is a network
		services.end()
	})
	s.lastSteps(unmount)
	last.cancel()
	endConsole()
	s.end(command)
}

// prepare makes what programs expect, and finds out what is started here and on what.
func (s *system) prepare() {
	mountEarly(s.log)
	set("/proc/sys", s.log)
	for _, folder := range []string{runFolder, rootFolder} {
		_ = os.MkdirAll(folder, 0o755)
	}
	var err error
	if s.boot, err = parseCmdline(readText("/proc/cmdline")); err != nil {
		s.log.Warn("updates", "err", err)
	}
	if v := firstLine(filepath.Join(etcFolder, "version")); v != "" {
		s.version = v
	}
	if s.board = s.boot.Board; s.board == "" {
		s.board = firstLine(filepath.Join(etcFolder, "board"))
	}
	s.log.Info("parklamp begins", "version", s.version, "board", s.board, "slot", s.boot.Slot.String(), "trial", s.boot.Trial, "kernel", kernelRelease())
}

// startDevices loads drivers, and follows what is plugged in from now on.
func (s *system) startDevices(g *group) {
	d := &devices{reaper: s.reaper, busybox: busyboxPath, log: s.log, begin: func() { s.guard.step("drivers", driverStep) }}
	d.load(g.ctx, filepath.Join(etcFolder, "modules.list"))
	grantNodes("/dev", parklampID)
	g.start(d.watch)
}

// startData finds the card, the time that it has seen last and the identity that it brings, and keeps an eye on its space.
func (s *system) startData(g *group) {
	s.guard.step("card", cardStep)
	s.store.mount(g.ctx)
	s.guard.step("data and network", otherStep)
	s.clock.guess()
	s.identity.takeIn(filepath.Join(bootMount, provision.Folder), dataFolder, checks())
	g.start(s.store.watch)
}

// startServices starts what phoned has use for: the network first, then the time, the log's way out, updates, SSH and the socket.
func (s *system) startServices(g *group) {
	cfg, err := networkConfig(dataFolder, filepath.Join(bootMount, provision.Folder))
	if err != nil {
		s.raise(health.Condition{Code: "network.toml", Severity: health.Error, Text: err.Error(), Hint: "mend network.toml; DHCP is used meanwhile"})
	}
	host := cfg.Hostname
	if host == "" {
		host = s.identity.hostname()
	}
	if err := setHostname(host); err != nil {
		s.log.Warn("hostname", "err", err)
	}
	s.network.start(g, cfg, host, func(ctx context.Context) bool { return s.phone.untilIdle(ctx, inAbsence, func(string) {}) })
	s.clock.start(g)
	if cfg.Syslog != "" {
		sender := logs.NewSyslog(cfg.Syslog, host)
		unfollow := s.logbook.Follow(sender.Send)
		g.start(func(ctx context.Context) { defer unfollow(); sender.Run(ctx) })
	}
	s.updates.start(g, func() { s.restarts.askEnd(unix.LINUX_REBOOT_CMD_RESTART) })
	s.startSSH(g, cfg.SSHKeys)
	g.start(func(ctx context.Context) {
		if err := s.serve(ctx, initapi.Socket); err != nil {
			s.log.Error("socket", "err", err)
		}
	})
}

// wait returns the reboot(2) command that was asked for. busybox's halt sends the first process SIGUSR1, poweroff SIGUSR2
// and reboot SIGTERM, the kernel SIGINT for Ctrl-Alt-Del. To phoned the first two mean something else (package initapi).
func (s *system) wait(signals <-chan os.Signal) int {
	select {
	case sig := <-signals:
		if sig == syscall.SIGUSR2 || sig == syscall.SIGUSR1 {
			return unix.LINUX_REBOOT_CMD_POWER_OFF
		}
		return unix.LINUX_REBOOT_CMD_RESTART
	case command := <-s.restarts.ending:
		return command
	}
}

// within runs f and returns after a time even if f has not ended.
func within(limit time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// end switches off or restarts the machine.
func (s *system) end(command int) {
	if p := recover(); p != nil {
		fmt.Fprintln(os.Stderr, "init: panic:", p)
		s.lastSteps(unmount)
	}
	_ = unix.Reboot(command)
	select {} // the kernel takes its time; the first process must not end
}

// lastSteps lets the file systems go, if the card still answers, and ends the feeding of the watchdog: it resets a board that
// hangs from here on.
func (s *system) lastSteps(unmount func()) {
	s.guard.end()
	within(unmountFor, unmount)
}

// unmount ends everything that still runs and lets the file systems go.
func unmount() {
	_ = syscall.Kill(-1, syscall.SIGTERM)
	time.Sleep(100 * time.Millisecond)
	_ = syscall.Kill(-1, syscall.SIGKILL)
	unix.Sync()
	for _, at := range []string{dataMount, bootMount} {
		if err := unix.Unmount(at, 0); err != nil {
			_ = unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
	}
}

// raise adds a fault that lasts and tells phoned.
func (g *ground) raise(c health.Condition) {
	c.Since = time.Now()
	if g.health.Put(c) {
		g.log.Warn("condition", "code", c.Code, "text", c.Text)
	}
}

// clear ends a fault.
func (g *ground) clear(code string) {
	if g.health.Clear(code) {
		g.log.Info("condition is over", "code", code)
	}
}

// consoleQueue is how many lines wait for a slow serial line; more are not shown there.
const consoleQueue = 128

// console shows what init says, and warnings of the others, until the function that it returns is called.
func (s *system) console(w io.Writer) (end func()) {
	lines := make(chan logs.Line, consoleQueue)
	unfollow := s.logbook.Follow(func(l logs.Line) {
		if l.Program != "init" && l.Severity > logs.Warning && !s.boot.verbose {
			return
		}
		select {
		case lines <- l:
		default:
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for l := range lines {
			fmt.Fprintf(w, "%s: %s\n", l.Program, l.Text)
		}
	}()
	return func() { unfollow(); close(lines); <-done }
}
