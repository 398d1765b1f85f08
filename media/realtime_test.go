package media_test

import (
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/media"
)

// No thread of the engine is above the rest of the program, on however many processors: it could keep the garbage
// collector from ever running (Engine.hurry).
func TestNoThreadIsAboveTheRest(t *testing.T) {
	e := media.NewEngine(media.Default(), slog.New(slog.DiscardHandler))
	runEngine(t, e, func() {
		s, err := e.Open(netip.MustParseAddr("127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ours, err := unix.SchedGetAttr(os.Getpid(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // the engine's threads are there at some time of this
			time.Sleep(10 * time.Millisecond)
			tasks, err := os.ReadDir("/proc/self/task")
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range tasks {
				tid, _ := strconv.Atoi(task.Name())
				if attr, err := unix.SchedGetAttr(tid, 0); err == nil && (attr.Policy != ours.Policy || attr.Priority != ours.Priority) {
					t.Fatalf("thread %d has class %d and priority %d, the program %d and %d", tid, attr.Policy, attr.Priority, ours.Policy, ours.Priority)
				}
			}
		}
	})
}
