package call

import (
	"context"
	"slices"
)

// Refuse takes no new calls from now on. They are answered with 503 or, if silently, not at all: then their far ends ask
// again, and another process answers.
func (u *UA) Refuse(silently bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.draining, u.hushed = true, silently
	u.past = map[*Call]bool{}
	for _, c := range u.listHeld() {
		u.past[c] = c.Ended()
	}
}

// Rest waits until no INVITE is half done in these calls, or ctx ends. Who stops in the middle of one leaves a far end that
// waits for an ACK, and ends the call when none comes (RFC 3261 §13.3.1.4).
func (u *UA) Rest(ctx context.Context, calls []*Call) {
	for _, c := range calls {
		rests := make(chan struct{})
		if !c.post(func() { c.resting = append(c.resting, rests) }) {
			continue // over, or flooded
		}
		select {
		case <-rests:
		case <-c.settled:
		case <-ctx.Done():
			return
		}
	}
}

// Drain hangs up all calls but those to keep (nil: none), and waits until they are through or ctx ends; Refuse must have
// been called. It returns how many have ended since then, and how many of their far ends have not answered. A call that was
// over by then is not waited for: the far end of its last request may be dead. Nor is what may come of an INVITE for 32 s
// after its 2xx (RFC 6026 §7.2: other 2xx from forks).
func (u *UA) Drain(ctx context.Context, keep func(*Call) bool) (ended, unanswered int) {
	u.mu.Lock()
	calls := slices.DeleteFunc(u.listHeld(), func(c *Call) bool { return u.past[c] })
	u.mu.Unlock()
	calls = slices.DeleteFunc(calls, func(c *Call) bool { return keep != nil && keep(c) })
	for _, c := range calls {
		c.Hangup("")
	}
	for _, c := range calls {
		select {
		case <-c.said:
		case <-u.stop:
		case <-ctx.Done():
			select {
			case <-c.said:
			default:
				unanswered++
			}
		}
	}
	return len(calls), unanswered
}

// quiet says that calls are refused silently.
func (u *UA) quiet() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.hushed
}
