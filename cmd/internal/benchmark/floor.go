package main

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floorPeriod is how often the machine is asked.
const floorPeriod = 4 * time.Millisecond

// floor measures what the machine itself does to any program: on each core a thread above all others (SCHED_FIFO) sleeps to
// each fourth millisecond and notes how late it was woken. It calls nothing of the Go runtime between the kernel and its clock, so
// what it sees is the kernel and, on a virtual machine, the host. The result is sorted; nil if the class was refused.
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
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	var set unix.CPUSet
	set.Set(core)
	class := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 80}
	if unix.SchedSetaffinity(0, &set) != nil || unix.SchedSetAttr(0, &class, 0) != nil {
		return nil
	}
	late = make([]time.Duration, 0, int(time.Minute/floorPeriod))
	for !ended.Load() && len(late) < cap(late) {
		next := (monotonic()/int64(floorPeriod) + 1) * int64(floorPeriod)
		ts := unix.NsecToTimespec(next)
		if _, _, errno := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, uintptr(unsafe.Pointer(&ts)), 0, 0, 0); errno != 0 {
			continue // a signal of the Go runtime
		}
		late = append(late, time.Duration(monotonic()-next))
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
