package media_test

import (
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/media"
)

// TestOneProcessor: where there is one processor, no thread of the engine is above the rest of the program. The Go runtime
// reads the number at its start, so that the test starts itself on one.
func TestOneProcessor(t *testing.T) {
	const child = "PARKLAMP_TEST_ONE_PROCESSOR"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOneProcessor$")
		cmd.Env = append(os.Environ(), child+"=1")
		done := make(chan struct{})
		var out []byte
		var err error
		go func() { // its thread, which is not unlocked, ends with it
			defer close(done)
			runtime.LockOSThread()
			var all, one unix.CPUSet
			if err = unix.SchedGetaffinity(0, &all); err != nil {
				return
			}
			cpu := 0
			for !all.IsSet(cpu) {
				cpu++
			}
			one.Set(cpu)
			if err = unix.SchedSetaffinity(0, &one); err == nil {
				out, err = cmd.CombinedOutput()
			}
		}()
		<-done
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if n := runtime.NumCPU(); n != 1 {
		t.Fatalf("%d processors", n)
	}
	e := media.NewEngine(media.Default(), slog.New(slog.DiscardHandler))
	runEngine(t, e, func() {
		s, err := e.Open(netip.MustParseAddr("127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for range 20 { // the engine's threads are there at some time of this
			time.Sleep(10 * time.Millisecond)
			tasks, err := os.ReadDir("/proc/self/task")
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range tasks {
				tid, _ := strconv.Atoi(task.Name())
				if attr, err := unix.SchedGetAttr(tid, 0); err == nil && attr.Policy == unix.SCHED_FIFO {
					t.Fatalf("thread %d has priority %d", tid, attr.Priority)
				}
			}
		}
	})
}
