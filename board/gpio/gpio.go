// Package gpio is a board.Board on real lines: the kernel's GPIO character device for keys, hook and LEDs, MCP23017
// expanders on I2C and chains of 74HC595 registers on three or four more lines for more LEDs.
//
// Lines are found by the label of their chip and their offset, and compared with the name that the board's definition
// expects; a line that is missing, has another name or is in use is left alone and reported (Fault), and everything
// else works. It never debounces keys, never knows what a key is for and never reads an output back.
//
// Direct lines go through github.com/warthog618/go-gpiocdev and not through periph's gpioioctl (v3.8.5): in that one a
// failed read is Low, which on a keypad is a pressed key, the first Out(High) drives low first, there is no open drain
// and no active-low, and WaitForEdge(-1) returns at once. I2C is periph's conn interface with host's sysfs driver, a chain of
// registers that interface on direct lines.
//
// Edges are read from the kernel's queue (GPIO uAPI v2, Linux 5.10 and later) by who waits for them. The package starts no
// goroutine.
package gpio

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"

	"parklamp/board"
)

// consumer is how `gpioinfo` names us.
const consumer = "parklamp"

// Fault is a part of the hardware that does not work and is left out.
type Fault struct {
	Part string `json:"part"` // line or chip of the definition
	Text string `json:"text"` // what is wrong
	Hint string `json:"hint"` // what to do
}

// bank is a chip, or the lines of one that were asked for together, whose outputs are written at once.
type bank interface {
	stage(bit int, on bool) // what write will show
	write() error           // an error leaves what was staged before the last write that worked
}

// led is an LED line: a bit of a bank; bank is nil for one that is left out.
type led struct {
	bank bank
	bit  int
}

// Board is a set of open lines.
type Board struct {
	// immutable after Open
	model   board.Model
	faults  []Fault
	rows    lines
	inputs  inputs
	leds    []led // index is board.Line
	closers []func() error

	// guarded by mu: the matrix, which keypad uses
	mu     sync.Mutex
	closed bool

	lamps lampLock
}

// lampLock serialises the LEDs, whose expanders are slow, apart from the matrix.
type lampLock struct {
	mu     sync.Mutex
	closed bool // guarded by mu
}

var _ board.Board = (*Board)(nil)

// Open takes the lines of a model. The error is ErrSimulated for a model without hardware; everything else that does
// not work is a Fault.
func Open(m board.Model) (*Board, error) {
	if m.Wiring == nil {
		return nil, fmt.Errorf("open %s: %w", m.Name, board.ErrSimulated)
	}
	return open(m, kernelBuses{})
}

func open(m board.Model, buses buses) (*Board, error) {
	b := &Board{model: m, leds: make([]led, len(m.LEDs))}
	var err error
	if b.inputs.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("open %s: %w", m.Name, err)
	}
	found, faults := find(m.Wiring, "")
	b.faults = faults
	b.openMatrix(found)
	b.openLEDs(found)
	b.openExpanders(found, buses)
	return b, nil
}

// Check says what of a model's hardware is not there or cannot be used, without changing any line or lamp. Lines that
// are in use by Parklamp itself are as they should be. The error is ErrSimulated for a model without hardware.
func Check(m board.Model) ([]Fault, error) {
	if m.Wiring == nil {
		return nil, fmt.Errorf("check %s: %w", m.Name, board.ErrSimulated)
	}
	found, faults := find(m.Wiring, consumer)
	return append(faults, probe(m.Wiring, found, kernelBuses{})...), nil
}

// Faults returns what was left out at Open, in the order of the definition.
func (b *Board) Faults() []Fault { return b.faults }

func (b *Board) fault(part, hint, format string, a ...any) {
	b.faults = append(b.faults, Fault{Part: part, Text: fmt.Sprintf(format, a...), Hint: hint})
}

// openMatrix takes rows, columns and hook. Rows are driven inactive before they are outputs.
func (b *Board) openMatrix(found map[string]line) {
	m := b.model
	b.rows = b.request(found, m.Rows, func(p board.Place) []gpiocdev.LineReqOption {
		drive := gpiocdev.LineReqOption(gpiocdev.AsPushPull)
		if p.OpenDrain {
			drive = gpiocdev.AsOpenDrain
		}
		return []gpiocdev.LineReqOption{gpiocdev.AsOutput(), drive}
	})
	b.listen(found, board.Column, m.Columns)
	if m.Hook != "" {
		b.listen(found, board.Hook, []string{m.Hook})
	}
}

// listen takes inputs.
func (b *Board) listen(found map[string]line, kind board.Input, names []string) {
	b.together(found, names, func(chip string, p board.Place, offsets, bits []int) error {
		return b.inputs.open(chip, kind, p, offsets, bits)
	})
}

// openLEDs takes the LED lines that are the kernel's.
func (b *Board) openLEDs(found map[string]line) {
	taken := b.request(found, b.model.LEDs, func(board.Place) []gpiocdev.LineReqOption {
		return []gpiocdev.LineReqOption{gpiocdev.AsOutput()}
	})
	for _, r := range taken {
		outputs := &direct{request: r, shown: make([]int, len(r.values))}
		for i, line := range r.bits {
			b.leds[line] = led{outputs, i}
		}
	}
}

// Model returns the definition that the board was opened with.
func (b *Board) Model() board.Model { return b.model }

// Wait takes the edges of columns and hook. While it waits the board can be used and closed.
func (b *Board) Wait(limit time.Duration, edges []board.Edge) ([]board.Edge, error) {
	b.inputs.reading.Lock()
	defer b.inputs.reading.Unlock()
	if b.isClosed() {
		return edges, board.ErrClosed
	}
	edges, err := b.inputs.wait(limit, edges)
	if b.isClosed() {
		return edges, board.ErrClosed
	}
	return edges, err
}

func (b *Board) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// Sleep lets the thread sleep.
func (b *Board) Sleep(d time.Duration) {
	left := unix.NsecToTimespec(max(0, int64(d)))
	for errors.Is(unix.Nanosleep(&left, &left), unix.EINTR) { // the runtime's signals
	}
}

// Interrupt ends a Wait.
func (b *Board) Interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.inputs.interrupt()
	}
}

// SelectRows drives the rows of the mask and lets the others go.
func (b *Board) SelectRows(rows uint32) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return board.ErrClosed
	}
	if rows&^b.model.AllRows() != 0 {
		return fmt.Errorf("select rows %#x: %w", rows, board.ErrNoLine)
	}
	if err := b.rows.write(rows); err != nil {
		return fmt.Errorf("select rows %#x: %w", rows, err)
	}
	return nil
}

// Columns returns the columns that are active.
func (b *Board) Columns() (uint32, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, board.ErrClosed
	}
	mask, err := b.inputs.levels(board.Column)
	if err != nil {
		return 0, fmt.Errorf("read columns: %w", err)
	}
	return mask, nil
}

// HookUp reports whether the handset is lifted; never, when the board has no working hook.
func (b *Board) HookUp() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false, board.ErrClosed
	}
	mask, err := b.inputs.levels(board.Hook)
	if err != nil {
		return false, fmt.Errorf("read hook: %w", err)
	}
	return mask != 0, nil
}

// SetLED drives an LED line. One that was left out at Open takes the order and stays dark.
func (b *Board) SetLED(l board.Line, on bool) error {
	b.lamps.mu.Lock()
	defer b.lamps.mu.Unlock()
	if b.lamps.closed {
		return board.ErrClosed
	}
	if l < 0 || int(l) >= len(b.leds) {
		return fmt.Errorf("LED line %d: %w", l, board.ErrNoLine)
	}
	if err := b.setLEDs([]board.LEDChange{{Line: l, On: on}})[0].Err; err != nil {
		return fmt.Errorf("LED line %s: %w", b.model.LEDs[l], err)
	}
	return nil
}

// SetLEDs drives LED lines, each bank of them at once.
func (b *Board) SetLEDs(changes []board.LEDChange) {
	b.lamps.mu.Lock()
	defer b.lamps.mu.Unlock()
	for i := range changes {
		c := &changes[i]
		switch {
		case b.lamps.closed:
			c.Err = board.ErrClosed
		case c.Line < 0 || int(c.Line) >= len(b.leds):
			c.Err = fmt.Errorf("LED line %d: %w", c.Line, board.ErrNoLine)
		default:
			c.Err = nil
		}
	}
	b.setLEDs(changes)
}

// setLEDs drives the lines of the changes that have no error; b.lamps.mu is held.
func (b *Board) setLEDs(changes []board.LEDChange) []board.LEDChange {
	for i, c := range changes {
		if c.Err != nil || b.leds[c.Line].bank == nil || slices.ContainsFunc(changes[:i], func(before board.LEDChange) bool {
			return before.Err == nil && b.leds[before.Line].bank == b.leds[c.Line].bank
		}) {
			continue // or its bank has been written
		}
		bank := b.leds[c.Line].bank
		same := func(c board.LEDChange) bool { return c.Err == nil && b.leds[c.Line].bank == bank }
		for _, c := range changes[i:] {
			if same(c) {
				bank.stage(b.leds[c.Line].bit, c.On)
			}
		}
		if err := bank.write(); err != nil {
			for j := i; j < len(changes); j++ {
				if same(changes[j]) {
					changes[j].Err = err
				}
			}
		}
	}
	return changes
}

// Close turns every LED off, lets the rows go, frees the lines and ends a Wait. A second Close does nothing.
func (b *Board) Close() error {
	b.lamps.mu.Lock()
	defer b.lamps.mu.Unlock()
	if b.isClosed() {
		return nil
	}
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock() // who waits for edges looks whether the board is closed
	b.lamps.closed = true
	errs := []error{b.inputs.close()}
	dark := make([]board.LEDChange, len(b.leds))
	for i := range dark {
		dark[i].Line = board.Line(i)
	}
	for _, c := range b.setLEDs(dark) {
		if c.Err != nil && !slices.ContainsFunc(errs, func(e error) bool { return errors.Is(e, c.Err) }) {
			errs = append(errs, c.Err)
		}
	}
	errs = append(errs, b.rows.write(0))
	for _, c := range b.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// direct is LED lines of the kernel.
type direct struct {
	*request
	shown []int // as last written
}

func (d *direct) stage(bit int, on bool) {
	d.values[bit] = 0
	if on {
		d.values[bit] = 1
	}
}

func (d *direct) write() error {
	if err := d.lines.SetValues(d.values); err != nil {
		copy(d.values, d.shown)
		return err
	}
	copy(d.shown, d.values)
	return nil
}
