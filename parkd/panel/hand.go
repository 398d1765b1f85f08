package panel

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errStopping: the server is ending and presses nothing any more.
var errStopping = errors.New("the appliance is stopping")

// How long the hand takes: well above debouncing (some 10 ms), and for Long
// above the 800 ms that make a long press.
const (
	tapTime  = 80 * time.Millisecond
	longTime = 1000 * time.Millisecond
	restTime = 60 * time.Millisecond // between two presses of one key
	lookTime = 10 * time.Millisecond // between two looks whether the keypad has noticed
)

// noticeTime is how long after a press the keypad may take to notice: the answer must come well before bodyTimeout.
const noticeTime = 5 * time.Second

// maxHeldKeys bounds the keys that are down at once over the API.
const maxHeldKeys = 64

// hand presses keys for people who are not there. It makes taps and long
// presses of the two true edges, and lets go of a key that nobody released. On a
// machine that stands still it keeps a key where it is until the keypad has
// noticed, for noticeTime at most: a finger that is told what it did.
type hand struct {
	backend  Backend
	maxHold  time.Duration
	requests chan handRequest // capacity 0: the asker waits, and gives up with its context
	ended    chan struct{}    // closed when run has returned

	held map[string]*holding // owned by run
}

type handRequest struct {
	key    string
	action Action
	done   chan error // capacity 1, answered once
}

// holding is a key that is down, or resting after it was.
type holding struct {
	since time.Time  // when it went down
	next  time.Time  // when it goes up, or when the rest is over
	down  bool       // false: resting
	done  chan error // who waits for the end of a tap; nil for a plain down
}

func newHand(b Backend, maxHold time.Duration) *hand {
	return &hand{
		backend:  b,
		maxHold:  maxHold,
		requests: make(chan handRequest),
		ended:    make(chan struct{}),
		held:     make(map[string]*holding),
	}
}

// do carries out the action and returns when it is over: for Tap and Long when
// the key has come up again and rested.
func (h *hand) do(ctx context.Context, key string, action Action) error {
	r := handRequest{key, action, make(chan error, 1)}
	select {
	case h.requests <- r:
	case <-h.ended:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-h.ended:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run serves requests until ctx ends and then releases every key.
func (h *hand) run(ctx context.Context) {
	defer close(h.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(h.earliest()))
		select {
		case <-ctx.Done():
			for key, k := range h.held {
				if k.down {
					h.release(key, k)
				}
			}
			return
		case r := <-h.requests:
			h.start(r, time.Now())
		case <-timer.C:
			h.due(time.Now())
		}
	}
}

// earliest returns when the next key is due, an hour ahead if none is.
func (h *hand) earliest() time.Time {
	at := time.Now().Add(time.Hour)
	for _, k := range h.held {
		if k.next.Before(at) {
			at = k.next
		}
	}
	return at
}

func (h *hand) start(r handRequest, now time.Time) {
	k := h.held[r.key]
	if r.action == Up {
		if k != nil && k.done == nil && (now.Before(k.since.Add(tapTime)) || !h.backend.Looked(r.key)) {
			k.next, k.done = k.since.Add(tapTime), r.done // too short for the debouncing: it becomes a tap
			return
		}
		if k != nil && k.done != nil {
			k.done <- nil // the tap was cut short, but it was a tap
		}
		delete(h.held, r.key)
		r.done <- h.backend.Press(r.key, Up)
		return
	}
	if k != nil && k.done != nil {
		r.done <- fmt.Errorf("press %s: the key is being pressed: %w", r.key, ErrNotNow)
		return
	}
	if k == nil && len(h.held) >= maxHeldKeys {
		r.done <- fmt.Errorf("press %s: %d keys are down already: %w", r.key, len(h.held), ErrNotNow)
		return
	}
	if k != nil && r.action != Down {
		r.done <- fmt.Errorf("press %s: the key is held down: %w", r.key, ErrNotNow)
		return
	}
	if err := h.backend.Press(r.key, Down); err != nil {
		r.done <- err
		return
	}
	switch r.action {
	case Tap:
		h.held[r.key] = &holding{since: now, next: now.Add(tapTime), down: true, done: r.done}
	case Long:
		h.held[r.key] = &holding{since: now, next: now.Add(longTime), down: true, done: r.done}
	default:
		h.held[r.key] = &holding{since: now, next: now.Add(h.maxHold), down: true}
		r.done <- nil
	}
}

// due lets keys up whose time has come.
func (h *hand) due(now time.Time) {
	for key, k := range h.held {
		if k.next.After(now) {
			continue
		}
		if k.done != nil && now.Before(k.since.Add(min(noticeTime, h.maxHold))) && !h.backend.Looked(key) {
			k.next = now.Add(lookTime)
			continue
		}
		if !k.down {
			delete(h.held, key)
			k.done <- nil
			continue
		}
		err := h.release(key, k)
		if err == nil && k.done != nil {
			k.next, k.down = now.Add(restTime), false
			continue
		}
		delete(h.held, key)
		if k.done != nil {
			k.done <- err
		}
	}
}

func (h *hand) release(key string, k *holding) error {
	k.down = false
	return h.backend.Press(key, Up)
}
