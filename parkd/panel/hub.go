package panel

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

const (
	// coalesce is the least time between two events; a first change goes out
	// at once.
	coalesce = 20 * time.Millisecond
	// refresh is the longest time between two events, so that counters move
	// and a reader whose connection died notices.
	refresh = 2 * time.Second
)

// event is one encoded Status with its number.
type event struct {
	id   uint64
	data []byte
}

// hub encodes each new Status once for all readers.
type hub struct {
	backend Backend
	wake    chan struct{} // capacity 1; full: a change is noted already

	mu      sync.Mutex
	readers map[chan event]struct{} // guarded by mu
}

func newHub(b Backend) *hub {
	return &hub{backend: b, wake: make(chan struct{}, 1), readers: make(map[chan event]struct{})}
}

// join returns a channel of capacity 1 that always holds the newest event (an
// older one that was not read is dropped), the first at once.
func (h *hub) join() (events <-chan event, leave func()) {
	c := make(chan event, 1)
	h.mu.Lock()
	h.readers[c] = struct{}{}
	h.mu.Unlock()
	h.changed()
	return c, func() {
		h.mu.Lock()
		delete(h.readers, c)
		h.mu.Unlock()
	}
}

// changed notes that there is something new. It never blocks.
func (h *hub) changed() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run sends events until ctx ends.
func (h *hub) run(ctx context.Context) {
	cancel := h.backend.Subscribe(h.changed)
	defer cancel()
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	var id uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-tick.C:
		}
		select { // coalesce since the last event
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		select { // noted while pausing: this event has it
		case <-h.wake:
		default:
		}
		id++
		h.send(id)
		pause.Reset(coalesce)
	}
}

func (h *hub) send(id uint64) {
	h.mu.Lock()
	n := len(h.readers)
	h.mu.Unlock()
	if n == 0 {
		return
	}
	data, err := json.Marshal(h.backend.Status().complete())
	if err != nil {
		panic("panel: status cannot be encoded: " + err.Error()) // plain data of this package
	}
	e := event{id, data}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.readers {
		select {
		case <-c: // not read yet: the newest wins
		default:
		}
		c <- e // run is the only sender, so there is room
	}
}
