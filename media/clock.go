package media

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock is the one clock of an Engine. Times count from a fixed origin and never go back.
type Clock interface {
	Now() time.Duration
	// SleepUntil blocks until Now is at least t. It may return early.
	SleepUntil(t time.Duration)
}

// kernelClock sleeps to absolute deadlines: a late wake-up does not move the next one.
type kernelClock struct {
	origin time.Time
	ns     int64 // CLOCK_MONOTONIC at origin
}

func newKernelClock() Clock {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return NewTimerClock()
	}
	return &kernelClock{origin: time.Now(), ns: ts.Nano()}
}

func (c *kernelClock) Now() time.Duration { return time.Since(c.origin) }

func (c *kernelClock) SleepUntil(t time.Duration) {
	ts := unix.NsecToTimespec(c.ns + int64(t))
	// An interrupted sleep (EINTR) returns early, as SleepUntil may.
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil)
}

// timerClock is built on package time only, so that it obeys testing/synctest.
type timerClock struct{ origin time.Time }

// NewTimerClock returns a clock made of the Go runtime's timers: less even than the default, and fake
// inside testing/synctest.
func NewTimerClock() Clock { return timerClock{time.Now()} }

func (c timerClock) Now() time.Duration         { return time.Since(c.origin) }
func (c timerClock) SleepUntil(t time.Duration) { time.Sleep(t - c.Now()) }
