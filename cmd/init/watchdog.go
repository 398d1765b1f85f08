package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/health"
)

const (
	watchdogPath = "/dev/watchdog"
	watchdogFor  = 15 * time.Second // the longest that a Raspberry Pi's can
	watchdogKick = 3 * time.Second
	// watchdogWait is how long a board may be without its watchdog after its start before that is told.
	watchdogWait = time.Minute
	// The longest that a step of the start may take. That of the card gives a slow one up by itself.
	driverStep = modprobeLimit + 20*time.Second
	cardStep   = cardMost + time.Minute
	otherStep  = 2 * time.Minute
	// withoutWatchdog is the board of which it is no fault to have none.
	withoutWatchdog = "qemu-virt"
)

// watchdog is the hardware's, which resets the board when it is not fed. A nil one feeds nothing.
type watchdog struct {
	feed     func()
	identity string
}

// openWatchdog starts the hardware's watchdog; nil if there is none.
func openWatchdog(path string) *watchdog {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	w := &watchdog{feed: func() { _ = unix.IoctlWatchdogKeepalive(int(f.Fd())) }, identity: "watchdog"}
	if info, err := unix.IoctlGetWatchdogInfo(int(f.Fd())); err == nil {
		w.identity = unix.ByteSliceToString(info.Identity[:])
	}
	// A driver that cannot do so long takes what it can.
	_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, int(watchdogFor/time.Second))
	w.kick()
	return w
}

func (w *watchdog) kick() {
	if w != nil {
		w.feed()
	}
}

// String is the identity for people.
func (w *watchdog) String() string {
	if w == nil {
		return ""
	}
	return fmt.Sprintf("%s, %v", w.identity, watchdogFor)
}

// guard feeds the hardware's watchdog as long as there is nothing that only a reset mends.
type guard struct {
	*ground
	unfed atomic.Bool // nobody feeds it any more

	mu       sync.Mutex
	dog      *watchdog // guarded by mu; nil: none yet
	stepName string    // guarded by mu: of the start
	stepEnd  time.Time // guarded by mu: when it has taken too long; zero: the start is over
}

// watchdog is the hardware's, nil for none. One that was not there before is started if there is one at path now; "" starts none.
func (g *guard) watchdog(path string) *watchdog {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dog == nil && path != "" {
		g.dog = openWatchdog(path)
	}
	return g.dog
}

// end feeds it for the last time.
func (g *guard) end() {
	g.unfed.Store(true)
	g.watchdog("").kick()
}

// step begins a step of the start, which the watchdog ends after limit: a reset is all that mends one that hangs, and falls back
// from a system on trial. With 0 the start is over.
func (g *guard) step(name string, limit time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stepName, g.stepEnd = name, time.Time{}
	if limit > 0 {
		g.stepEnd = time.Now().Add(limit)
	}
}

// late is the step of the start that has taken too long, "" for none.
func (g *guard) late() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stepEnd.IsZero() || time.Now().Before(g.stepEnd) {
		return ""
	}
	return g.stepName
}

// feed starts the watchdog as soon as there is one, as its driver may be a module, and feeds it until ctx ends, as long as there is
// nothing that only a reset mends: a step of the start that hangs, a phoned that is stuck (it cannot even be killed), or last steps
// that do not end.
func (g *guard) feed(ctx context.Context, path string, stuck func() bool) {
	tick := time.NewTicker(watchdogKick)
	defer tick.Stop()
	told := false
	for {
		dog := g.watchdog(path)
		late := g.late()
		switch {
		case late != "" && !told:
			g.log.Error("the start hangs: the watchdog is not fed any more", "step", late)
			told = true
		case late == "" && !g.unfed.Load() && !stuck():
			told = false
			dog.kick()
		}
		if dog != nil {
			g.clear("watchdog")
		} else if time.Since(g.started) > watchdogWait && g.board != withoutWatchdog {
			g.raise(health.Condition{Code: "watchdog", Severity: health.Warning,
				Text: "the board's watchdog cannot be used: a system that hangs does so until the board is switched off and on", Hint: "use an image whose kernel has its driver"})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
