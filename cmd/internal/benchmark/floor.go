package main

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// floorPeriod is how often the machine is asked.
	floorPeriod = 4 * time.Millisecond
	// unevenLimit and stillLimit are the p99 and the p99.9 of a bare thread's lateness beyond which a measurement says more
	// about the machine than about what ran on it: nothing can be more even than the machine.
	unevenLimit = 200 * time.Microsecond
	stillLimit  = 2 * time.Millisecond
	// attempts bounds how often a measurement is taken until the machine is even; the last one counts as it is.
	attempts = 3
)

// uneven says that the machine kept programs waiting that nobody can pass: more than one of a hundred times, or for long.
func uneven(floor []time.Duration) bool {
	return len(floor) > 0 && (percentile(floor, 99) > unevenLimit || percentile(floor, 99.9) > stillLimit)
}

// evenly takes a measurement again, attempts times at most, while the machine is uneven.
func evenly(take func() (loadFigures, error)) (loadFigures, error) {
	for again := 0; ; again++ {
		f, err := take()
		f.again = again
		if err != nil || !uneven(f.floor) {
			return f, err
		}
		if again == attempts-1 {
			f.uneven = 1
			return f, nil
		}
	}
}

// caveat says which measurements an uneven machine spoilt.
func (f loadFigures) caveat() (text string) {
	if f.again > 0 {
		text = fmt.Sprintf("; taken again %d times, p99 above %s or p99.9 above %s", f.again, micros(unevenLimit), micros(stillLimit))
	}
	if f.uneven > 0 {
		text += fmt.Sprintf("; %d that count were UNEVEN to the last attempt", f.uneven)
	}
	return text
}

// floor measures what the machine itself does to any program: on each core a thread above all others (SCHED_FIFO) sleeps to
// each fourth millisecond and notes how late it was woken. It calls nothing of the Go runtime between the kernel and its clock, so
// what it sees is the kernel and, on a virtual machine, the host. Each of these moments counts, also those that a thread slept
// through: a core that stood still for 100 ms is 25 late wake-ups, as it is five late packets of each call, and not one. The result
// is sorted; nil if the class was refused.
func floor() (stop func() []time.Duration) {
	var ended atomic.Bool
	var wg sync.WaitGroup
	all := make([][]time.Duration, runtime.NumCPU())
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + len(all)) // a thread that sleeps keeps its processor of the Go runtime
	for core := range all {
		wg.Go(func() { all[core] = watchCore(core, &ended) })
	}
	return func() []time.Duration {
		ended.Store(true)
		wg.Wait()
		runtime.GOMAXPROCS(before)
		return slices.Sorted(slices.Values(slices.Concat(all...)))
	}
}

// watchCore notes how late a thread of one core is woken until ended is set.
func watchCore(core int, ended *atomic.Bool) (late []time.Duration) {
	runtime.LockOSThread()
	var usual, set unix.CPUSet
	if unix.SchedGetaffinity(0, &usual) != nil {
		return nil
	}
	// The thread must not end: the programs that were started from it would be killed (PR_SET_PDEATHSIG of prctl(2)).
	defer func() {
		plain := unix.SchedAttr{Size: unix.SizeofSchedAttr}
		if unix.SchedSetAttr(0, &plain, 0) == nil && unix.SchedSetaffinity(0, &usual) == nil {
			runtime.UnlockOSThread()
		}
	}()
	set.Set(core)
	class := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 80}
	if unix.SchedSetaffinity(0, &set) != nil || unix.SchedSetAttr(0, &class, 0) != nil {
		return nil
	}
	late = make([]time.Duration, 0, int(time.Minute/floorPeriod))
	for next := monotonic(); !ended.Load() && len(late) < cap(late); {
		ts := unix.NsecToTimespec(next)
		if _, _, errno := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, uintptr(unsafe.Pointer(&ts)), 0, 0, 0); errno != 0 {
			continue // a signal of the Go runtime
		}
		late = append(late, time.Duration(monotonic()-next))
		next += int64(floorPeriod)
	}
	return late
}

func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano()
}
