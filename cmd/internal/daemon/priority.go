package daemon

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// slice is how long a thread wants to run at a time, in the normal scheduling class. One that wakes up takes the place of a
// thread with a longer slice at once, where the kernel knows that (Linux 6.12 and later; the default is 1.4 ms with two
// cores), and once its own is used up it can lose the processor until the next tick. So it is shorter than the default, and
// longer than what is to be done in one go: a pacer's turn with 500 calls takes 0.2 ms.
const slice = 500 * time.Microsecond

// favour asks the kernel to let the threads of this process run soon after they wake up: a nice value and a short slice, in
// the normal class. All threads get the same. A goroutine that sends media waits, now and then, for another thread of the
// Go runtime (garbage collector, monitor), so a class above the rest of the machine is of use only to all of them. And no
// real-time class: with all threads in SCHED_RR quiet runs were better, but there threads of this process that are busy hold up
// the media for as long as they like (packets up to 27 ms late were seen), and media threads in SCHED_FIFO above the others
// can hold up the collector for which they wait, and so stop the process. Package benchmark measures the classes beside
// rtpengine, whose threads have no collector to wait for.
func favour(nice int) error {
	var refused error
	for range 2 { // a thread may have been started meanwhile by one that was not favoured yet; later ones inherit it
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			if err := favourThread(tid, nice); err != nil {
				refused = err
			}
		}
	}
	if err := favourSession(nice); err != nil {
		refused = err
	}
	return refused
}

// favourSession gives the nice value to the session too: where the kernel shares the processor between sessions first (autogroup,
// sched(7); Debian's does), the values of threads count within their own only. A session that is another's, such as a
// shell's, is left alone. Init and systemd start each service in a session of its own.
func favourSession(nice int) error {
	if sid, err := unix.Getsid(0); err != nil || sid != os.Getpid() {
		return nil
	}
	err := os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(nice)), 0)
	if err == nil || errors.Is(err, os.ErrNotExist) { // a kernel without autogroups
		return nil
	}
	return fmt.Errorf("nice value %d of the session: %w", nice, err)
}

// favourThread gives one thread the slice also where the nice value is refused.
func favourThread(tid, nice int) error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: int32(nice), Runtime: uint64(slice)}
	err := unix.SchedSetAttr(tid, &attr, 0)
	if errors.Is(err, unix.EPERM) {
		attr.Nice = 0
		if plain := unix.SchedSetAttr(tid, &attr, 0); plain != nil {
			err = plain
		}
	}
	if err != nil && !errors.Is(err, unix.ESRCH) { // a thread may have ended
		return fmt.Errorf("nice value %d: %w", nice, err)
	}
	return nil
}
