package gpio

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/host/v3/sysfs"

	"parklamp/board"
)

// buses opens the buses that expanders sit on.
type buses interface {
	I2C(bus int) (i2c.BusCloser, error)
}

// kernelBuses are /dev/i2c-*.
type kernelBuses struct{}

func (kernelBuses) I2C(bus int) (i2c.BusCloser, error) { return sysfs.NewI2C(bus) }

// expander is a chip that only drives outputs. Each write sends all of them: a chip that lost its power for a moment is right
// again with the next lamp that changes, which periph's devices/mcp23xxx, caching registers, would not do.
type expander struct {
	conn  conn.Conn
	state []byte // bit 0 of byte 0 is line 0; level on the wire
	shown []byte // as last sent
	low   []byte // lines that are lit when they are low
	send  func(c conn.Conn, state []byte) error
}

func newExpander(c conn.Conn, bytes int, send func(conn.Conn, []byte) error) *expander {
	return &expander{conn: c, state: make([]byte, bytes), shown: make([]byte, bytes), low: make([]byte, bytes), send: send}
}

func (e *expander) stage(offset int, on bool) {
	i, bit := offset/8, byte(1)<<(offset%8)
	if e.state[i] &^= bit; on != (e.low[i]&bit != 0) {
		e.state[i] |= bit
	}
}

func (e *expander) write() error {
	if err := e.send(e.conn, e.state); err != nil {
		copy(e.state, e.shown)
		return err
	}
	copy(e.shown, e.state)
	return nil
}

// probe says which expanders do not answer. A chain of registers cannot answer: of it only the lines are looked at.
func probe(w *board.Wiring, found map[string]line, buses buses) (faults []Fault) {
	for _, id := range slices.Sorted(maps.Keys(w.Chips)) {
		switch c := w.Chips[id]; c.Kind {
		case board.MCP23017:
			hint := hintBus
			bus, err := buses.I2C(c.Bus)
			if err == nil {
				hint = hintChip(c)
				err = (&i2c.Dev{Bus: bus, Addr: c.Address}).Tx([]byte{iodirA}, make([]byte, 2))
				bus.Close()
			}
			if err != nil {
				faults = append(faults, Fault{Part: id, Text: fmt.Sprintf("%s does not answer: %v", c.Kind, err), Hint: hint})
			}
		case board.HC595:
			if f := undriven(id, c, found); f != nil {
				faults = append(faults, *f)
			}
		}
	}
	return faults
}

// undriven says that a chain of registers lacks one of its lines, which then has a fault of its own.
func undriven(id string, c board.Chip, found map[string]line) *Fault {
	var missing []string
	for _, name := range c.Control() {
		if _, ok := found[name]; !ok {
			missing = append(missing, name)
		}
	}
	if missing == nil {
		return nil
	}
	return &Fault{Part: id, Text: fmt.Sprintf("%s is left out: %s cannot be had", c.Kind, strings.Join(missing, " and ")), Hint: "the line's own fault says why"}
}

const hintBus = "no driver has made that bus: is bus right in the board definition?"

func hintChip(c board.Chip) string {
	return fmt.Sprintf("check its wiring and its address pins (%#x)", c.Address)
}

// openExpanders takes the LEDs that hang on other chips, dark.
func (b *Board) openExpanders(found map[string]line, buses buses) {
	w := b.model.Wiring
	shared := map[int]i2c.BusCloser{}
	for _, id := range slices.Sorted(maps.Keys(w.Chips)) {
		c := w.Chips[id]
		var e *expander
		var err error
		hint := hintBus
		switch c.Kind {
		case board.MCP23017:
			bus := shared[c.Bus]
			if bus == nil {
				if bus, err = buses.I2C(c.Bus); err == nil {
					shared[c.Bus] = bus
					b.closers = append(b.closers, bus.Close)
				}
			}
			if err == nil {
				e = mcp23017(&i2c.Dev{Bus: bus, Addr: c.Address})
				hint = hintChip(c)
			}
		case board.HC595:
			r := b.openRegisters(id, c, found)
			if r == nil {
				continue
			}
			e = hc595(r, c.Chain)
			hint = "do other programs use its lines?"
		default:
			continue
		}
		if err == nil {
			err = b.attach(id, e)
		}
		if err != nil {
			b.fault(id, hint, "%s does not answer: %v", c.Kind, err)
		}
	}
}

// attach gives an expander its lamps and darkens them. A chip that does not answer keeps them: each change is tried anew,
// so that it works as soon as it is back.
func (b *Board) attach(id string, e *expander) error {
	for i, name := range b.model.LEDs {
		p := b.model.Wiring.Lines[name]
		if p.Chip != id {
			continue
		}
		if p.ActiveLow {
			e.low[p.Offset/8] |= 1 << (p.Offset % 8)
		}
		e.stage(p.Offset, false)
		b.leds[i] = led{e, p.Offset}
	}
	copy(e.shown, e.state) // a chip that is silent now must be dark when it is back
	return e.write()
}

// Registers of the MCP23017 in its state after reset (IOCON.BANK = 0, datasheet DS20001952, table 3-1); the address counts on
// within a transfer.
const (
	iodirA = 0x00
	olatA  = 0x14
)

func mcp23017(d conn.Conn) *expander {
	return newExpander(d, 2, func(d conn.Conn, s []byte) error {
		// Levels first: a line that becomes an output after them never shows what nobody asked for.
		if err := d.Tx([]byte{olatA, s[0], s[1]}, nil); err != nil {
			return err
		}
		return d.Tx([]byte{iodirA, 0, 0}, nil)
	})
}
