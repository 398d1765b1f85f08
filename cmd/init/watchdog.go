package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	watchdogFor  = 15 * time.Second // the longest that a Raspberry Pi's can
	watchdogKick = 3 * time.Second
)

// watchdog is the hardware's, which resets the board when it is not fed. A nil one feeds nothing.
type watchdog struct {
	f        *os.File
	Identity string
}

// openWatchdog starts the hardware's watchdog; nil if there is none.
func openWatchdog(path string) *watchdog {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	w := &watchdog{f: f, Identity: "watchdog"}
	if info, err := unix.IoctlGetWatchdogInfo(int(f.Fd())); err == nil {
		w.Identity = unix.ByteSliceToString(info.Identity[:])
	}
	// A driver that cannot do so long takes what it can.
	_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, int(watchdogFor/time.Second))
	w.kick()
	return w
}

func (w *watchdog) kick() {
	if w != nil {
		_ = unix.IoctlWatchdogKeepalive(int(w.f.Fd()))
	}
}

// String is the identity for people.
func (w *watchdog) String() string {
	if w == nil {
		return ""
	}
	return fmt.Sprintf("%s, %v", w.Identity, watchdogFor)
}
