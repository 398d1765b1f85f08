package panel

import (
	"context"
	"errors"
)

// Errors that a Backend returns, wrapped or bare, to be told apart by clients.
// Any other error is answered as 500 with its text.
var (
	// ErrNoSuchKey: the board has no key of that name (404).
	ErrNoSuchKey = errors.New("no such key")
	// ErrNotNow: the request is sound but cannot be done in this state (409).
	ErrNotNow = errors.New("not possible now")
	// ErrInvalid: the request makes no sense, such as a letter to dial (400).
	ErrInvalid = errors.New("invalid request")
	// ErrNoPhone: the appliance is a gateway without keys, hook or handset (404).
	ErrNoPhone = errors.New("no phone hardware")
	// ErrNoSuchReport: no report of a self test has that name (404).
	ErrNoSuchReport = errors.New("no such report")
)

// Action is what a hand does to a key.
type Action string

// The actions of POST /api/press. A Backend is asked for Down and Up alone:
// the server makes Tap and Long of them.
const (
	Down Action = "down"
	Up   Action = "up"
	Tap  Action = "tap"
	Long Action = "long"
)

// Backend is the appliance behind the API. Its methods are called from many
// goroutines, must answer within a few milliseconds, and may be called before
// the appliance is ready and while it stops.
type Backend interface {
	// Status returns a copy that is never changed afterwards.
	Status() Status
	// Subscribe calls changed, which does not block, after every change of what
	// Status returns, from any goroutine, until cancel is called.
	Subscribe(changed func()) (cancel func())
	// Press moves the named key Down or Up.
	Press(key string, action Action) error
	// Looked reports whether the keypad has noticed where Press last moved the key.
	Looked(key string) bool
	// Hook lifts (up) or replaces the handset.
	Hook(up bool) error
	// Dial presses the digit keys one after another, without waiting for the end.
	Dial(digits string) error
	// Listen hands out what the handset hears from now on: a frame of 160
	// samples (8 kHz, mono) each 20 ms. A frame belongs to the reader. A reader
	// that is late loses frames. The channel is closed after ctx ends.
	Listen(ctx context.Context) (<-chan []int16, error)
}
