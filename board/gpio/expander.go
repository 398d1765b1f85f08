package gpio

import (
	"fmt"
	"maps"
	"slices"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/host/v3/sysfs"

	"parklamp/board"
)

// buses opens the buses that expanders sit on.
type buses interface {
	I2C(bus int) (i2c.BusCloser, error)
	SPI(bus, chipSelect int) (spi.PortCloser, error)
}

// kernelBuses are /dev/i2c-* and /dev/spidev*.
type kernelBuses struct{}

func (kernelBuses) I2C(bus int) (i2c.BusCloser, error)       { return sysfs.NewI2C(bus) }
func (kernelBuses) SPI(bus, sel int) (spi.PortCloser, error) { return sysfs.NewSPI(bus, sel) }

// expander is a chip that only drives outputs. Each write sends all of them: a chip that lost its power for a moment is right
// again with the next lamp that changes, which periph's devices/mcp23xxx, caching registers, would not do.
type expander struct {
	state []byte // bit 0 of byte 0 is line 0; level on the wire
	shown []byte // as last sent
	low   []byte // lines that are lit when they are low
	send  func(state []byte) error
}

func newExpander(bytes int, send func([]byte) error) *expander {
	return &expander{state: make([]byte, bytes), shown: make([]byte, bytes), low: make([]byte, bytes), send: send}
}

func (e *expander) stage(offset int, on bool) {
	i, bit := offset/8, byte(1)<<(offset%8)
	if e.state[i] &^= bit; on != (e.low[i]&bit != 0) {
		e.state[i] |= bit
	}
}

func (e *expander) write() error {
	if err := e.send(e.state); err != nil {
		copy(e.state, e.shown)
		return err
	}
	copy(e.shown, e.state)
	return nil
}

// probe says which expanders do not answer. A chain of registers cannot answer: of it only the bus is looked at.
func probe(w *board.Wiring, buses buses) (faults []Fault) {
	for _, id := range slices.Sorted(maps.Keys(w.Chips)) {
		c := w.Chips[id]
		var err error
		hint := hintBus
		switch c.Kind {
		case board.MCP23017:
			var bus i2c.BusCloser
			if bus, err = buses.I2C(c.Bus); err == nil {
				hint = hintChip(c)
				err = (&i2c.Dev{Bus: bus, Addr: c.Address}).Tx([]byte{iodirA}, make([]byte, 2))
				bus.Close()
			}
		case board.HC595:
			var port spi.PortCloser
			if port, err = buses.SPI(c.Bus, c.Select); err == nil {
				port.Close()
			}
		}
		if err != nil {
			faults = append(faults, Fault{Part: id, Text: fmt.Sprintf("%s does not answer: %v", c.Kind, err), Hint: hint})
		}
	}
	return faults
}

const hintBus = "is the bus enabled in the boot configuration?"

func hintChip(c board.Chip) string {
	return fmt.Sprintf("check its wiring and its address pins (%#x)", c.Address)
}

// openExpanders takes the LEDs that hang on other chips, dark.
func (b *Board) openExpanders(buses buses) {
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
			var port spi.PortCloser
			if port, err = buses.SPI(c.Bus, c.Select); err == nil {
				e, err = hc595(port, c.Chain)
				b.closers = append(b.closers, port.Close)
			}
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
	return newExpander(2, func(s []byte) error {
		// Levels first: a line that becomes an output after them never shows what nobody asked for.
		if err := d.Tx([]byte{olatA, s[0], s[1]}, nil); err != nil {
			return err
		}
		return d.Tx([]byte{iodirA, 0, 0}, nil)
	})
}

// spiSpeed is far below what a 74HC595 takes at 3.3 V, for the sake of long wires.
const spiSpeed = physic.MegaHertz

func hc595(port spi.Port, chain int) (*expander, error) {
	c, err := port.Connect(spiSpeed, spi.Mode0, 8)
	if err != nil {
		return nil, err
	}
	out := make([]byte, chain)
	return newExpander(chain, func(s []byte) error {
		// The byte that is sent first ends up in the last register of the chain; chip select latches.
		for i, v := range s {
			out[chain-1-i] = v
		}
		return c.Tx(out, nil)
	}), nil
}
