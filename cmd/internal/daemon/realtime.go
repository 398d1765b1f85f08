package daemon

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// makeRealtime puts every thread of this process into the real-time class SCHED_RR at one priority. A media thread that the
// garbage collector or the Go scheduler has stopped goes on only when another thread of the process has run: in the normal
// class that one waits for whatever else is busy on the machine (measured: packets up to 100 ms late), and below the media
// threads it may never run (package media, Engine.hurry).
func makeRealtime(priority int) error {
	class := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: uint32(priority)}
	for range 2 { // a thread may have been started meanwhile by one that was not in the class yet; later ones inherit it
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("real-time class: %w", err)
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			if err := unix.SchedSetAttr(tid, &class, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("real-time class: %w", err)
			}
		}
	}
	return nil
}
