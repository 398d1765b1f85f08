package sim

import (
	"fmt"
	"time"

	"parklamp/board"
)

// Press puts a finger on a key. The contact closes, bouncing. A key that is already pressed stays so.
func (b *Board) Press(k board.Key) error { return b.move(k, true) }

// Release takes the finger off. The contact opens, bouncing.
func (b *Board) Release(k board.Key) error { return b.move(k, false) }

// Looked reports whether the scanner has looked at a key since the hand last moved it, often enough to know what the hand did:
// within two scans (package keypad). A key that is not there has been looked at.
func (b *Board) Looked(k board.Key) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.model.Keys {
		if b.model.Keys[i].Key == k {
			return b.keys[i].looks >= 2
		}
	}
	return true
}

// SetHook lifts the handset (up) or puts it back.
func (b *Board) SetHook(up bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return board.ErrClosed
	}
	b.swing(&b.hook, up, func(now time.Time) {
		b.raise(board.Edge{Input: board.Hook, Active: b.hook.closed, At: now})
	})
	return nil
}

// LED reports whether an LED line is driven: what the eye sees, not what the firmware could read.
func (b *Board) LED(line board.Line) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return line >= 0 && int(line) < len(b.leds) && b.leds[line]
}

// Lit returns the colour that a lamp shows now; an unknown lamp is off.
func (b *Board) Lit(l board.Lamp) board.Colour {
	ml, _ := b.model.Lamp(l)
	if ml.Lamp == "" {
		return board.Off
	}
	green, red := b.LED(ml.Green), b.LED(ml.Red)
	switch {
	case green && red:
		return board.Amber
	case green:
		return board.Green
	case red:
		return board.Red
	default:
		return board.Off
	}
}

// History returns the LED changes in order, the oldest first, at most the last 4096.
func (b *Board) History() []LEDChange {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]LEDChange, 0, len(b.history))
	out = append(out, b.history[b.oldest:]...)
	return append(out, b.history[:b.oldest]...)
}

// Break makes every read of columns and hook fail with err until Break(nil).
func (b *Board) Break(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = err
}

// Dropped counts the edges that were lost because nobody took them.
func (b *Board) Dropped() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}

func (b *Board) move(k board.Key, down bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return board.ErrClosed
	}
	for i := range b.model.Keys {
		if b.model.Keys[i].Key == k {
			b.swing(&b.keys[i], down, b.settle)
			return nil
		}
	}
	return fmt.Errorf("no key %q on model %s", k, b.model.Name)
}

// swing moves a contact: it touches at once, flips an even number of times within Bounce and ends where the
// hand wants it. apply tells the lines after each flip. mu is held, and is again when apply runs later.
func (b *Board) swing(c *contact, to bool, apply func(now time.Time)) {
	if c.pressed == to {
		return
	}
	c.pressed, c.looks = to, 0
	c.stop()
	c.closed = to
	apply(time.Now())
	if b.opts.Bounce > 0 {
		b.flip(c, 2*(1+b.rng.IntN(maxFlips/2)), c.epoch, apply)
	}
}

// flip schedules the next of the flips that are left, at a random time in the last part of an equal share of
// Bounce. With an even number left the contact breaks, with an odd number it mends.
func (b *Board) flip(c *contact, left, epoch int, apply func(now time.Time)) {
	if left == 0 {
		return
	}
	share := b.opts.Bounce / maxFlips
	after := share/2 + time.Duration(b.rng.Int64N(int64(share/2)+1))
	c.chatter = time.AfterFunc(after, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.closed || c.epoch != epoch {
			return
		}
		c.closed = c.pressed == (left%2 == 1)
		apply(time.Now())
		b.flip(c, left-1, epoch, apply)
	})
}

// stop ends the chatter of the movement before.
func (c *contact) stop() {
	if c.chatter != nil {
		c.chatter.Stop()
		c.chatter = nil
	}
	c.epoch++
}
