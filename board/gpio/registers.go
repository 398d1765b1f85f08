package gpio

import (
	"errors"

	"github.com/warthog618/go-gpiocdev"
	"periph.io/x/conn/v3"

	"parklamp/board"
)

// The inputs of a chain of 74HC595 that lines of the kernel drive, as bits of a mask; OE is apart, for it changes once.
const (
	dataBit  = 1 << iota // SER of the first register
	clockBit             // SRCLK of all: its rising edge takes the data
	latchBit             // RCLK of all: its rising edge shows what was taken
)

// outputs are lines that are driven together; a clear bit is an inactive line.
type outputs interface{ write(mask uint32) error }

// registers is a chain of 74HC595 as a connection that can be written only. Its lines are plain ones of the GPIO character
// device: no image has an SPI bus, which is off in every board's device tree. A chain of n registers takes 16n + 2 calls of the
// kernel, each far slower than a 74HC595, where its three lines are on one chip.
type registers struct {
	lines   outputs
	enable  outputs // nil where OE is at ground
	enabled bool
}

var _ conn.Conn = (*registers)(nil)

// openRegisters takes the lines of a chain; nil, if one is missing, which is a fault. Its outputs stay off until it is first written.
func (b *Board) openRegisters(id string, c board.Chip, found map[string]line) *registers {
	taken := map[string]line{}
	take := func(names ...string) lines {
		got := b.request(found, names, func(board.Place) []gpiocdev.LineReqOption { return []gpiocdev.LineReqOption{gpiocdev.AsOutput()} })
		for _, r := range got {
			for _, bit := range r.bits {
				taken[names[bit]] = found[names[bit]]
			}
		}
		return got
	}
	r := &registers{}
	if c.Enable != "" {
		r.enable = take(c.Enable)
	}
	r.lines = take(c.Data, c.Clock, c.Latch)
	if f := undriven(id, c, taken); f != nil {
		b.faults = append(b.faults, *f)
		return nil
	}
	return r
}

// String implements conn.Conn.
func (r *registers) String() string { return "74HC595" }

// Duplex implements conn.Conn.
func (r *registers) Duplex() conn.Duplex { return conn.Half }

// Tx shifts bytes into the chain, the highest bit of each first, and shows them. Nothing can be read.
func (r *registers) Tx(w, read []byte) error {
	if len(read) > 0 {
		return errors.New("a 74HC595 cannot be read")
	}
	for _, v := range w {
		for bit := 7; bit >= 0; bit-- {
			data := uint32(v >> bit & 1) // dataBit
			if err := r.lines.write(data); err != nil {
				return err
			}
			if err := r.lines.write(data | clockBit); err != nil {
				return err
			}
		}
	}
	if err := r.lines.write(latchBit); err != nil {
		return err
	}
	if err := r.lines.write(0); err != nil {
		return err
	}
	if r.enable == nil || r.enabled {
		return nil
	}
	if err := r.enable.write(1); err != nil {
		return err
	}
	r.enabled = true
	return nil
}

// hc595 is the LEDs of a chain.
func hc595(c conn.Conn, chain int) *expander {
	out := make([]byte, chain)
	return newExpander(c, chain, func(c conn.Conn, s []byte) error {
		// The byte that is sent first ends up in the last register of the chain.
		for i, v := range s {
			out[chain-1-i] = v
		}
		return c.Tx(out, nil)
	})
}
