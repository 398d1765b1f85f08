package main

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"parklamp/cmd/internal/initapi"
)

const (
	maxListeners = 4 // at one time: phoned, and one that is about to end
	tellFor      = 5 * time.Second
)

// news wakes all who wait for a change.
type news struct {
	mu   sync.Mutex
	next chan struct{} // guarded by mu: closed by the next change
}

func newNews() *news { return &news{next: make(chan struct{})} }

// wait returns what is closed by the next change.
func (n *news) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.next
}

func (n *news) send() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.next)
	n.next = make(chan struct{})
}

// tell tells what phoned shows and does of what is found here, at once and after each change, until the far end goes.
func (s *system) tell(w http.ResponseWriter, r *http.Request) {
	select {
	case s.listeners <- struct{}{}:
		defer func() { <-s.listeners }()
	default:
		answer(w, http.StatusTooManyRequests, refusal{"others listen already"})
		return
	}
	out := http.NewResponseController(w)
	var last []byte
	for {
		changed := s.news.wait()
		t := initapi.Told{Conditions: s.health.All(), Voice: s.network.state().Voice}
		line, err := json.Marshal(t)
		if err != nil {
			return
		}
		if string(line) != string(last) {
			_ = out.SetWriteDeadline(time.Now().Add(tellFor))
			if _, err := w.Write(append(line, '\n')); err != nil || out.Flush() != nil {
				return
			}
			last = line
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}
