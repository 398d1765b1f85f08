// Package sim is a board without hardware that behaves electrically like one: a switch matrix whose contacts
// bounce, columns that rise slowly through their pull-ups, currents that find their way through three closed
// keys to show a fourth, a hook switch, and one line per LED colour.
//
// The same keypad and leds code runs on it as on GPIO lines. The other side of the package is the hand and the
// eye: Press, Release, SetHook, Lit and History. It never debounces, never knows what a key means.
//
// It starts no goroutine; contacts that are still bouncing hold a timer each, and Close stops them. At rest
// there is none.
package sim

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"

	"parklamp/board"
)

// Options are the electrical properties; the zero value is a clean switch (no bounce) with default wiring.
type Options struct {
	// Bounce is how long a contact chatters after it closes or opens. 0 is an ideal switch. Cheap switches
	// have 1 to 10 ms.
	Bounce time.Duration
	// Rise is how long a column still reads active after its key let go: pull-up times wiring capacity.
	// 0 means 20 µs; it must be below the model's Settle for scanning to work, as on hardware.
	Rise time.Duration
	// Seed makes the chatter repeatable.
	Seed uint64
	// OnLED, when set, is told of every change of an LED line, from the goroutine that called SetLED, without
	// a lock held. It must not block.
	OnLED func(LEDChange)
}

// defaultRise is 10 kOhm times about 1 nF, to the input's threshold.
const defaultRise = 20 * time.Microsecond

// historySize bounds the record of LED changes; the oldest are overwritten.
const historySize = 4096

// maxFlips bounds the chatter of one contact movement.
const maxFlips = 6

// LEDChange is one change of an LED line, for tests that look at cadence.
type LEDChange struct {
	Line board.Line
	On   bool
	At   time.Time
}

// contact is one switch: what the hand wants and what the metal does.
type contact struct {
	pressed bool        // the hand
	closed  bool        // the metal
	chatter *time.Timer // the next flip, nil when there is none
	epoch   int         // counts movements, so that a late timer of an older one does nothing
	looks   int         // how often the row was read since the last movement
}

// Board is a simulated board. All methods may be called from any goroutine.
type Board struct {
	// immutable
	model board.Model
	opts  Options
	// wake says that there are edges, an interrupt or the end; capacity 1, a full one says so already.
	wake chan struct{}

	// guarded by mu
	mu          sync.Mutex
	closed      bool
	rng         *rand.Rand
	keys        []contact // index as in model.Keys
	hook        contact
	selected    uint32
	pulled      uint32      // columns held low now
	fell        []time.Time // per column: when it was let go and began to rise
	leds        []bool
	history     []LEDChange // ring
	oldest      int
	fault       error // what Columns and HookUp answer while a test breaks the lines
	edges       []board.Edge
	dropped     int
	interrupted bool
}

var _ board.Board = (*Board)(nil)

// New makes a board of the model with every key open, the handset on the hook and every LED off.
func New(model board.Model, opts Options) *Board {
	if opts.Rise == 0 {
		opts.Rise = defaultRise
	}
	return &Board{
		model: model,
		opts:  opts,
		wake:  make(chan struct{}, 1),
		rng:   rand.New(rand.NewPCG(opts.Seed, 0x5157)),
		keys:  make([]contact, len(model.Keys)),
		fell:  make([]time.Time, len(model.Columns)),
		leds:  make([]bool, len(model.LEDs)),
	}
}

// Model returns the definition that the board was made with.
func (b *Board) Model() board.Model { return b.model }

// Wait takes the edges of columns and hook.
func (b *Board) Wait(limit time.Duration, edges []board.Edge) ([]board.Edge, error) {
	var due <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		due = timer.C
	}
	for {
		taken, done, err := b.take(edges, limit != 0)
		if done || limit == 0 {
			return taken, err
		}
		select {
		case <-b.wake:
		case <-due:
			limit = 0
		}
	}
}

// take empties the queue; done says that there is nothing to wait for.
func (b *Board) take(edges []board.Edge, waits bool) (_ []board.Edge, done bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return edges, true, board.ErrClosed
	}
	done = len(b.edges) > 0 || b.interrupted
	edges = append(edges, b.edges...)
	b.edges, b.interrupted = b.edges[:0], b.interrupted && !waits
	return edges, done, nil
}

// Interrupt ends a Wait.
func (b *Board) Interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupted = true
	b.tell()
}

// Sleep lets time pass.
func (b *Board) Sleep(d time.Duration) { time.Sleep(d) }

// tell wakes who waits.
func (b *Board) tell() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// SelectRows drives the rows of the mask low and lets the others float.
func (b *Board) SelectRows(rows uint32) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return board.ErrClosed
	}
	if rows&^b.model.AllRows() != 0 {
		return fmt.Errorf("select rows %#x: %w", rows, board.ErrNoLine)
	}
	b.selected = rows
	b.settle(time.Now())
	return nil
}

// Columns returns the columns that read active: pulled low now, or let go less than Rise ago.
func (b *Board) Columns() (uint32, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, board.ErrClosed
	}
	if b.fault != nil {
		return 0, b.fault
	}
	for i := range b.keys {
		if b.selected == 1<<b.model.Keys[i].Row {
			b.keys[i].looks++
		}
	}
	active := b.pulled
	now := time.Now()
	for c, at := range b.fell {
		if !at.IsZero() && now.Sub(at) < b.opts.Rise {
			active |= 1 << c
		}
	}
	return active, nil
}

// HookUp reports whether the hook contact is in its lifted position, with its bounce.
func (b *Board) HookUp() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false, board.ErrClosed
	}
	if b.fault != nil {
		return false, b.fault
	}
	return b.hook.closed, nil
}

// SetLED drives an LED line.
func (b *Board) SetLED(line board.Line, on bool) error {
	change, changed, err := b.setLED(line, on)
	if changed && b.opts.OnLED != nil {
		b.opts.OnLED(change)
	}
	return err
}

// SetLEDs drives LED lines, one after another.
func (b *Board) SetLEDs(changes []board.LEDChange) {
	for i, c := range changes {
		changes[i].Err = b.SetLED(c.Line, c.On)
	}
}

func (b *Board) setLED(line board.Line, on bool) (LEDChange, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return LEDChange{}, false, board.ErrClosed
	}
	if line < 0 || int(line) >= len(b.leds) {
		return LEDChange{}, false, fmt.Errorf("LED line %d: %w", line, board.ErrNoLine)
	}
	if b.leds[line] == on {
		return LEDChange{}, false, nil
	}
	b.leds[line] = on
	change := LEDChange{Line: line, On: on, At: time.Now()}
	if len(b.history) < historySize {
		b.history = append(b.history, change)
	} else {
		b.history[b.oldest] = change
		b.oldest = (b.oldest + 1) % historySize
	}
	return change, true, nil
}

// Close turns every LED off, stops the chatter and ends a Wait. A second Close does nothing.
func (b *Board) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	for i := range b.keys {
		b.keys[i].stop()
	}
	b.hook.stop()
	for i := range b.leds {
		b.leds[i] = false
	}
	b.tell()
	return nil
}

// settle works out the columns from the contacts and the selected rows, and raises edges. mu is held.
func (b *Board) settle(now time.Time) {
	pulled := b.flow()
	for changed := pulled ^ b.pulled; changed != 0; changed &= changed - 1 {
		c := bits.TrailingZeros32(changed)
		active := pulled&(1<<c) != 0
		if active {
			b.fell[c] = time.Time{}
		} else {
			b.fell[c] = now
		}
		b.raise(board.Edge{Input: board.Column, Index: c, Active: active, At: now})
	}
	b.pulled = pulled
}

// flow returns the columns that a selected row pulls low. Without diodes a closed key joins its row and its
// column, so a low column pulls every floating row that has a key closed on it, and so on: ghosts.
func (b *Board) flow() uint32 {
	rows := b.selected
	var columns uint32
	for {
		before, beforeColumns := rows, columns
		for i := range b.keys {
			if !b.keys[i].closed {
				continue
			}
			k := &b.model.Keys[i]
			if rows&(1<<k.Row) != 0 {
				columns |= 1 << k.Column
			} else if !b.model.Diodes && columns&(1<<k.Column) != 0 {
				rows |= 1 << k.Row
			}
		}
		if rows == before && columns == beforeColumns {
			return columns
		}
	}
}

// raise queues an edge; a full queue loses its oldest, as the kernel's does. mu is held.
func (b *Board) raise(e board.Edge) {
	if len(b.edges) == board.EdgeQueue {
		b.edges = b.edges[:copy(b.edges, b.edges[1:])]
		b.dropped++
	}
	b.edges = append(b.edges, e)
	b.tell()
}
