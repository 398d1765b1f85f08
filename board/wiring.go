package board

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrSimulated means that a model has no wiring: no driver of real lines can open it.
var ErrSimulated = errors.New("the model has no lines on hardware")

// ChipKind says what a Chip is.
type ChipKind string

// The kinds of Chip.
const (
	GPIOChip   ChipKind = "gpio"     // lines of the kernel's GPIO character device
	MCP23017   ChipKind = "mcp23017" // 16 outputs on I2C
	HC595      ChipKind = "74hc595"  // 8 outputs for each register of a chain that three or four lines drive
	maxChain            = 8          // registers in a chain
	mcpLines            = 16
	mcpLowest           = 0x20 // I2C addresses of an MCP23017
	mcpHighest          = 0x27
)

// Chip is something that has lines. Which fields count depends on Kind.
type Chip struct {
	Kind ChipKind
	// Labels are the kernel's names of a gpio chip, any of these (never a /dev/gpiochip number, which changes). Where several
	// chips have one of them, as on a BeagleBone, whose kernel counts in the order of the probe, the right one is that whose
	// lines have the expected names.
	Labels  []string
	Count   int    // gpio: lines that it has; 0: only the kernel knows
	Bus     int    // mcp23017: I2C bus, 1 for /dev/i2c-1
	Address uint16 // mcp23017: 0x20 to 0x27
	Chain   int    // 74hc595: registers one behind the other
	// 74hc595: keys in Wiring.Lines of its inputs SER, SRCLK, RCLK and OE. Without Enable, OE is at ground.
	Data, Clock, Latch, Enable string
}

// Control are the lines that drive the registers of a 74hc595, Enable last if there is one.
func (c Chip) Control() []string {
	if c.Kind != HC595 {
		return nil
	}
	lines := []string{c.Data, c.Clock, c.Latch}
	if c.Enable != "" {
		lines = append(lines, c.Enable)
	}
	return lines
}

// Pin names an output of an expander as its data sheet does; "" for a line of the kernel.
func (c Chip) Pin(offset int) string {
	switch c.Kind {
	case MCP23017:
		return fmt.Sprintf("GP%c%d", 'A'+offset/8, offset%8)
	case HC595:
		return fmt.Sprintf("%d.Q%c", offset/8+1, 'A'+offset%8)
	}
	return ""
}

// Text says what the chip is, for a technician.
func (c Chip) Text() string {
	switch c.Kind {
	case MCP23017:
		return fmt.Sprintf("an MCP23017 at %#x on /dev/i2c-%d", c.Address, c.Bus)
	case HC595:
		return fmt.Sprintf("%d 74HC595 in a chain on %s", c.Chain, strings.Join(c.Control(), ", "))
	}
	return "the GPIO chip that the kernel calls " + strings.Join(c.Labels, " or ")
}

// Uses reports whether a pin with that signal, "i2c-1 SDA", leads to the chip.
func (c Chip) Uses(signal string) bool {
	return c.Kind == MCP23017 && strings.HasPrefix(signal, fmt.Sprintf("i2c-%d ", c.Bus))
}

// Pin is a pin of a header.
type Pin struct {
	Number int
	Chip   string   // "" for a pin that is no line
	Offset int      // on the chip
	Expect []string // what the kernel may call it; "P8_7" also stands for "P8_7 [gpmc]"
	Signal string   // what else it can be: "i2c-1 SDA", "i2s BCLK"
	Supply string   // "3V3", "5V", "GND": what it is if it is no line
}

// Header is a connector with two rows of pins: odd numbers in one, even ones in the other.
type Header struct {
	Name  string
	Title string
	Pins  []Pin // by number
}

// Bias is the resistor that the chip puts on an input.
type Bias string

// The biases. AsIs leaves what is there.
const (
	AsIs     Bias = ""
	PullUp   Bias = "pull-up"
	PullDown Bias = "pull-down"
	NoBias   Bias = "none"
)

// Place says where a line of a Model is and how it is wired.
type Place struct {
	Chip      string   // key in Wiring.Chips
	Offset    int      // line number on the chip
	Expect    []string // names that the kernel may give the line; empty: any
	ActiveLow bool     // the line is low when the key is pressed, the handset lifted, the row driven, the LED lit
	Bias      Bias     // inputs
	OpenDrain bool     // rows: a row that is not driven floats
	Debounce  time.Duration
	Header    string // header of its pin, "" for none
	Number    int    // of the pin
	Pin       string // what to tell the technician: "pin 29", "P8_7", "GPA3"
}

// Wiring says where the lines of a Model are.
type Wiring struct {
	Chips   map[string]Chip
	Headers []Header
	Lines   map[string]Place // by the names in Rows, Columns, Hook and LEDs of the Model and in Control of the chips
}

// role is what a line is for: it decides what its Place means when the file says nothing.
type role uint8

const (
	rowRole role = iota
	columnRole
	hookRole
	ledRole
	controlRole // drives a chip, high when active
	enableRole  // lets a chip's outputs go when it is not active, which is high
)
