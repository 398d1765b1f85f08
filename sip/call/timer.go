package call

import "time"

// timer is a time.Timer whose function runs in the call's goroutine, and never after stop.
type timer struct {
	t    *time.Timer
	dead bool // owned by the call's goroutine
}

func (c *Call) after(d time.Duration, f func()) *timer {
	t := &timer{}
	t.t = time.AfterFunc(d, func() {
		c.must(func() {
			if !t.dead {
				t.dead = true
				f()
			}
		})
	})
	return t
}

// stop is a no-op on nil.
func (t *timer) stop() {
	if t != nil {
		t.dead = true
		t.t.Stop()
	}
}

// waiting says whether the timer still runs.
func (t *timer) waiting() bool { return t != nil && !t.dead }
