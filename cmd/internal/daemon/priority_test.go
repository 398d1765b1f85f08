package daemon

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Every thread of the process is favoured alike, and those that it starts later: one that is not could hold up the media for
// as long as other programs are busy. Who may not have the nice value is told, and has the short slice.
func TestFavourAllThreads(t *testing.T) {
	const nice = -1
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = favour(nice)
	if err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	want := int32(nice)
	if err != nil {
		want = before.Nice // what whoever started the tests has
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

// Where sessions share the processor, the session of an appliance is favoured, and that of the shell that it runs in is not.
func TestFavourOwnSession(t *testing.T) {
	if os.Getenv("FAVOUR_TEST_INSIDE") == "" {
		before, _ := os.ReadFile("/proc/self/autogroup")
		if err := favourSession(-1); err != nil {
			t.Error(err)
		}
		if after, _ := os.ReadFile("/proc/self/autogroup"); string(after) != string(before) {
			t.Errorf("the session of others was %q and is %q", before, after)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestFavourOwnSession$", "-test.v")
		cmd.Env = append(os.Environ(), "FAVOUR_TEST_INSIDE=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	err := favourSession(-1)
	group, missing := os.ReadFile("/proc/self/autogroup")
	switch {
	case errors.Is(err, unix.EPERM): // who may not have a nice value is told
	case err != nil:
		t.Error(err)
	case missing == nil && !strings.HasSuffix(string(group), " nice -1\n"):
		t.Errorf("the session is %q", group)
	}
}
