package wire

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// startLoop runs a loop until the test calls stop.
func startLoop(t *testing.T) (l *loop, stop func()) {
	l = newLoop()
	ctx, cancel := context.WithCancel(t.Context())
	go l.run(ctx, func() {})
	return l, func() {
		cancel()
		<-l.done
	}
}

func TestLoopKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := startLoop(t)
		var got []int
		for i := range 100 {
			l.post(func() { got = append(got, i) })
		}
		l.ask(func() {})
		stop()
		for i, n := range got {
			if i != n {
				t.Fatalf("work %d was done as number %d", n, i)
			}
		}
		if len(got) != 100 {
			t.Errorf("%d of 100 were done", len(got))
		}
	})
}

func TestLoopTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := startLoop(t)
		defer stop()
		var fired []string
		at := func(name string, d time.Duration, mark string) {
			l.ask(func() { l.after(name, d, func() { fired = append(fired, mark) }) })
		}
		at("a", 2*time.Second, "a: replaced")
		at("a", time.Second, "a")
		at("b", time.Second, "b: stopped")
		l.ask(func() { l.stop("b") })
		at("c", 3*time.Second, "c")
		time.Sleep(10 * time.Second)
		l.ask(func() {})
		if len(fired) != 2 || fired[0] != "a" || fired[1] != "c" {
			t.Errorf("fired %q, want a and c", fired)
		}
	})
}

// A timer that is stopped after it has fired, but before its turn, does nothing.
func TestLoopTimerStoppedInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := startLoop(t)
		defer stop()
		fired := false
		l.ask(func() {
			l.after("a", time.Millisecond, func() { fired = true })
			time.Sleep(time.Second) // the loop is busy while the timer fires
			l.stop("a")
		})
		l.ask(func() {})
		if fired {
			t.Error("a timer fired after it was stopped")
		}
	})
}

func TestLoopEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := startLoop(t)
		l.ask(func() { l.after("late", time.Hour, func() { t.Error("fired after the end") }) })
		stop()
		for range maxQueue + 1 {
			l.post(func() { t.Error("done after the end") }) // does not block
		}
		if l.ask(func() {}) {
			t.Error("ask of a loop that has ended says that it was done")
		}
		time.Sleep(2 * time.Hour)
	})
}
