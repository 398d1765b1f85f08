// Package board says what the hardware of an appliance is: a key matrix, a hook switch and LED lines.
//
// It holds the words (Key, Lamp, Line, Colour, Edge), the Board interface that the drivers fulfil, and one
// definition per hardware model as data (models/*.toml). It never debounces, never knows what a key is for and
// never blinks: keypad and leds do that, with the same code on every board. Drivers are board/sim here and
// kernel GPIO lines on hardware; both must pass board/boardtest.
//
// The package starts no goroutine.
package board

import (
	"errors"
	"time"
)

var (
	// ErrClosed is returned by every method of a Board after Close.
	ErrClosed = errors.New("closed")
	// ErrNoModel means that no definition with that name is built in.
	ErrNoModel = errors.New("no such model")
	// ErrNoLine means that a row, column or LED line number is not one of the model's.
	ErrNoLine = errors.New("no such line")
)

// Key names a key by what is printed on it or what it is for: "0" to "9", "*", "#", "park", "hold",
// "orbit-701". Names are stable: configuration, log, panel and tests use them.
type Key string

// Lamp names a lamp; the lamp beside a key has the key's name, others are "fault" and "lot".
type Lamp string

// Line numbers an LED line of a model, from 0. NoLine stands for a colour that a lamp does not have.
type Line int

// NoLine is the Line of a colour that a lamp cannot show.
const NoLine Line = -1

// Colour is what a lamp with a green and a red LED behind one lens can show.
type Colour uint8

// The colours. Amber is green and red together.
const (
	Off Colour = iota
	Green
	Red
	Amber
)

// String gives the colour in the words of the panel and the transcript: "off", "green", "red", "amber".
func (c Colour) String() string {
	switch c {
	case Green:
		return "green"
	case Red:
		return "red"
	case Amber:
		return "amber"
	default:
		return "off"
	}
}

// HasGreen reports whether the green LED is lit for c.
func (c Colour) HasGreen() bool { return c == Green || c == Amber }

// HasRed reports whether the red LED is lit for c.
func (c Colour) HasRed() bool { return c == Red || c == Amber }

// Input says which kind of input line an Edge was seen on.
type Input uint8

// The inputs that raise interrupts.
const (
	Column Input = iota // a column of the key matrix
	Hook                // the hook switch
)

// String gives the input's name for logs.
func (i Input) String() string {
	if i == Hook {
		return "hook"
	}
	return "column"
}

// Edge is one interrupt: an input line became active or inactive. It is raw, with all the bounce.
type Edge struct {
	Input  Input
	Index  int       // column number; 0 for the hook
	Active bool      // column pulled low by a closed key, or handset lifted
	At     time.Time // when the line changed, by the driver's clock; the kernel's stamp on hardware
}

// EdgeQueue is how many edges a Board keeps for its reader at least. When more come, the oldest are lost, as in the kernel.
const EdgeQueue = 64

// Forever is a limit of Wait that is none.
const Forever time.Duration = -1

// LEDChange is one of the changes of SetLEDs.
type LEDChange struct {
	Line Line
	On   bool
	Err  error // set by SetLEDs
}

// Board is the hardware as lines. "Active" is logical: a driver hides active-low wiring, pull-ups and the
// order in which outputs must be written.
//
// SelectRows, Columns, HookUp, Wait and Sleep are called by one goroutine (keypad), SetLED and SetLEDs by one other (leds).
type Board interface {
	// Model returns the definition that the board was opened with.
	Model() Model
	// SelectRows drives the rows whose bit is set and lets all others float (open drain). The columns are
	// true after Model().Settle.
	SelectRows(rows uint32) error
	// Columns returns the columns that are active now, a bit each. After an error the value means nothing:
	// a failed read must never look like a pressed key.
	Columns() (uint32, error)
	// HookUp reports whether the handset is lifted, raw.
	HookUp() (bool, error)
	// Wait appends the edges of columns and hook that have come since the last Wait, in order of time, to edges. If there are
	// none it waits for the first, at most limit: 0 is not at all. When it returns, every edge up to then has been returned,
	// however late the reader is: that no edge came is a fact about the line.
	Wait(limit time.Duration, edges []Edge) ([]Edge, error)
	// Interrupt ends the Wait that is under way, or else the next one whose limit is not 0, early. Any goroutine may call it.
	Interrupt()
	// Sleep lets d pass. On hardware the thread sleeps in the kernel: a timer of the Go runtime waits for a goroutine to yield
	// while the garbage collector is at work (40 ms were seen on one core of 250 million instructions a second).
	Sleep(d time.Duration)
	// SetLED drives an LED line. There is no way to read one back: on some drivers reading an output turns
	// it into an input.
	SetLED(line Line, on bool) error
	// SetLEDs drives several, of which each is told if it failed: lamps that blink in step change together, and on a
	// bus one transfer does for all of a chip.
	SetLEDs(changes []LEDChange)
	// Close turns every LED off and frees the lines.
	Close() error
}
