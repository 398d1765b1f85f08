package sip

import "sync"

// serial runs functions of one key one after the other, in order, and those of
// different keys at the same time. A key has a goroutine only while functions
// wait for it.
type serial struct {
	running *sync.WaitGroup
	max     int // functions waiting in total; more are refused

	mu      sync.Mutex // guards everything below
	waiting map[string][]func()
	total   int
	closed  bool
}

func newSerial(running *sync.WaitGroup, limit int) *serial {
	return &serial{running: running, max: limit, waiting: make(map[string][]func())}
}

// do queues f behind everything of the same key; false means that the queue is
// full or closed.
func (s *serial) do(key string, f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.total >= s.max {
		return false
	}
	s.total++
	q, busy := s.waiting[key]
	s.waiting[key] = append(q, f)
	if !busy {
		s.running.Go(func() { s.drain(key) })
	}
	return true
}

// close refuses everything that is not yet queued.
func (s *serial) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}

func (s *serial) drain(key string) {
	for {
		s.mu.Lock()
		q := s.waiting[key]
		if len(q) == 0 {
			delete(s.waiting, key)
			s.mu.Unlock()
			return
		}
		s.waiting[key] = nil
		s.mu.Unlock()
		for _, f := range q {
			f()
			s.mu.Lock()
			s.total--
			s.mu.Unlock()
		}
	}
}
