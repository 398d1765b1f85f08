package wire

import (
	"context"
	"time"
)

// maxQueue bounds the work that waits for the loop. It is far above what one appliance can have under way; past it the
// poster waits, which slows the socket that the work came from.
const maxQueue = 4096

// loop is the one goroutine that owns the machines and the legs. Everybody else posts work to it.
type loop struct {
	work chan func()   // capacity maxQueue; a full one blocks the poster
	done chan struct{} // closed when run has returned

	timers map[string]*timer // owned by run
}

type timer struct{ t *time.Timer }

func newLoop() *loop {
	return &loop{work: make(chan func(), maxQueue), done: make(chan struct{}), timers: map[string]*timer{}}
}

// post hands f to the loop; it is lost if the loop has ended. It must not be called by the loop itself.
func (l *loop) post(f func()) {
	select {
	case l.work <- f:
	case <-l.done:
	}
}

// ask runs f on the loop and waits for it; false if the loop has ended or is about to.
func (l *loop) ask(f func()) bool {
	ready := make(chan struct{})
	l.post(func() { f(); close(ready) })
	select {
	case <-ready:
		return true
	case <-l.done:
		return false
	}
}

// run does posted work in order, and calls settled whenever nothing more is waiting.
func (l *loop) run(ctx context.Context, settled func()) {
	defer close(l.done)
	defer l.stopTimers()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-l.work:
			f()
			for range len(l.work) { // one settled for a burst
				f := <-l.work
				f()
			}
			settled()
		}
	}
}

// after posts f once, d from now, unless stop or another after of the same name comes first.
func (l *loop) after(name string, d time.Duration, f func()) {
	l.stop(name)
	t := &timer{}
	t.t = time.AfterFunc(d, func() {
		l.post(func() {
			if l.timers[name] == t { // not stopped or replaced while it waited in the queue
				delete(l.timers, name)
				f()
			}
		})
	})
	l.timers[name] = t
}

func (l *loop) stop(name string) {
	if t := l.timers[name]; t != nil {
		t.t.Stop()
		delete(l.timers, name)
	}
}

func (l *loop) stopTimers() {
	for _, t := range l.timers {
		t.t.Stop()
	}
}
