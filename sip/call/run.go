package call

import "sync"

// maxQueued bounds the requests and, counted apart, the method calls that wait for a call's goroutine. A request above
// it is refused, a method call has no effect; both mean that a Handler blocks. Hangup and Reject always find room: no
// flood can keep a call alive.
const maxQueued = 1024

// Where work for a call comes from.
const (
	network = iota
	owner
)

// post queues f, a command of the owner, for the call's goroutine; false when the call is gone or too much waits.
func (c *Call) post(f func()) bool { return c.enqueue(owner, f) }

// admit queues f, a request, for the call's goroutine; false when the call is gone or too much waits.
func (c *Call) admit(f func()) bool { return c.enqueue(network, f) }

func (c *Call) enqueue(from int, f func()) bool {
	c.mu.Lock()
	if c.closed || c.waiting[from] >= maxQueued {
		c.mu.Unlock()
		return false
	}
	c.waiting[from]++
	c.queue = append(c.queue, f)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return true
}

// must queues f whatever waits: for responses and ends of transactions, whose number is bounded by the
// transactions themselves.
func (c *Call) must(f func()) {
	c.mu.Lock()
	if !c.closed {
		c.queue = append(c.queue, f)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// The commands that are never dropped. Once is enough of each.
const (
	hangingUp = iota
	rejecting
)

// leave queues the first of the commands that end a call, whatever waits.
func (c *Call) leave(by int, f func()) {
	c.mu.Lock()
	again := c.leaving[by]
	c.leaving[by] = true
	c.mu.Unlock()
	if !again {
		c.must(f)
	}
}

// run is the call's goroutine.
func (c *Call) run() {
	defer close(c.settled)
	said := sync.OnceFunc(func() { close(c.said) })
	for {
		select {
		case <-c.wake:
		case <-c.ua.stop:
			c.stopped()
			return
		}
		for {
			c.mu.Lock()
			batch := c.queue
			c.queue, c.waiting = nil, [2]int{}
			c.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			for _, f := range batch {
				f()
			}
			c.publish()
		}
		if c.atRest() {
			for _, told := range c.resting {
				close(told)
			}
			c.resting = nil
		}
		if c.state == phaseEnded && c.busy == c.answered {
			said()
		}
		if c.state == phaseEnded && c.busy == 0 && c.close() {
			return
		}
	}
}

// atRest says that no INVITE of either side is half done: another process can go on with the dialog.
func (c *Call) atRest() bool { return c.invite == nil && c.tx == nil && c.waitACK == 0 }

// close closes the queue if nothing has come meanwhile.
func (c *Call) close() bool {
	c.mu.Lock()
	if len(c.queue) > 0 {
		c.mu.Unlock()
		return false
	}
	c.closed = true
	c.mu.Unlock()
	c.ua.remove(c)
	c.stopTimers()
	return true
}

// stopped is the end of a call whose UA ends.
func (c *Call) stopped() {
	c.ended(Ended{Cause: Stopped})
	c.mu.Lock()
	c.closed, c.queue = true, nil
	c.mu.Unlock()
	c.ua.remove(c)
	c.stopTimers()
}

func (c *Call) stopTimers() {
	for _, t := range []*timer{c.ringTimer, c.retry, c.refresh, c.expiry, c.hurry} {
		t.stop()
	}
	for _, r := range c.notified {
		r.timer.stop()
	}
	for _, t := range c.transfers {
		t.timer.stop()
	}
}
