package daemon

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Every thread of the process is favoured alike, and those that it starts later: one that is not could hold up the media for
// as long as other programs are busy. Who may not have the nice value is told, and has the short slice.
func TestFavourAllThreads(t *testing.T) {
	const nice = -1
	err := favour(nice)
	if err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	want := int32(nice)
	if err != nil {
		want = 0
	}
	started := make(chan unix.SchedAttr)
	go func() {
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Error(err)
			attr = new(unix.SchedAttr)
		}
		started <- *attr
	}()
	if attr := <-started; attr.Nice != want || attr.Policy != unix.SCHED_NORMAL {
		t.Errorf("a goroutine's thread has class %d and nice value %d, want the normal class and %d", attr.Policy, attr.Nice, want)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		attr, err := unix.SchedGetAttr(tid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil || attr.Nice != want || attr.Policy != unix.SCHED_NORMAL {
			t.Errorf("thread %d: %+v, %v; want the normal class and nice value %d", tid, attr, err, want)
		}
	}
}
