package event

import (
	"slices"
	"sync"
	"time"
)

// maxTopics bounds the changes that a mailbox remembers one by one; beyond it
// everything is taken as changed.
const maxTopics = 1024

// mailbox carries work to Run's goroutine without ever blocking the sender. Work
// from the network is bounded by limit; work of our own (commands, answers, changes)
// is bounded by what it belongs to: owners, requests in flight, topics.
type mailbox struct {
	wake  chan struct{} // capacity 1: full means that Run will look anyway
	limit int

	mu      sync.Mutex // guards the rest
	work    []func(now time.Time)
	offered int // how much of work came from the network
	changed []topic
	closed  bool
}

// put takes work of our own. It reports false once Run has ended.
func (m *mailbox) put(f func(now time.Time)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.work = append(m.work, f)
	m.signal()
	return true
}

// offer takes work from the network unless too much waits.
func (m *mailbox) offer(f func(now time.Time)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.offered >= m.limit {
		return false
	}
	m.offered++
	m.work = append(m.work, f)
	m.signal()
	return true
}

// mark remembers that a topic has changed.
func (m *mailbox) mark(t topic) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || slices.Contains(m.changed, t) {
		return
	}
	if len(m.changed) == maxTopics {
		m.changed = append(m.changed[:0], topic{})
	}
	m.changed = append(m.changed, t)
	m.signal()
}

// signal needs mu.
func (m *mailbox) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take returns and empties everything, changes in the order of their first mark.
func (m *mailbox) take() ([]func(now time.Time), []topic) {
	m.mu.Lock()
	defer m.mu.Unlock()
	work, changed := m.work, m.changed
	m.work, m.changed, m.offered = nil, nil, 0
	return work, changed
}

func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.work, m.changed = true, nil, nil
}
