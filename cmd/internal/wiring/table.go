package wiring

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"parklamp/board"
)

// Leg is a pin of an expander that is wired in the same way whatever its outputs drive.
type Leg struct {
	Chip  string `json:"chip"`
	Pin   string `json:"pin"`   // number and name
	Wired string `json:"wired"` // what it leads to
}

// Legs are those of every expander, but for what stays open.
func Legs(m board.Model) []Leg {
	var all []Leg
	for _, id := range slices.Sorted(maps.Keys(m.Wiring.Chips)) {
		c := m.Wiring.Chips[id]
		for i, legs := range packages(m, c) {
			chip := id
			if c.Chain > 1 {
				chip = fmt.Sprintf("%s, register %d", id, i+1)
			}
			for _, l := range legs {
				if l.output < 0 && l.wired != "" {
					all = append(all, Leg{chip, fmt.Sprintf("%d %s", l.number, l.name), l.wired + busPin(m, c, l.wired)})
				}
			}
		}
	}
	return all
}

// packages are the pins of each package of an expander.
func packages(m board.Model, c board.Chip) [][]leg {
	switch c.Kind {
	case board.MCP23017:
		return [][]leg{mcpLegs(c)}
	case board.HC595:
		var all [][]leg
		for i := range c.Chain {
			all = append(all, registerLegs(m, c, i))
		}
		return all
	}
	return nil
}

// busPin is the pin of a header that has a wire of the chip's bus.
func busPin(m board.Model, c board.Chip, wire string) string {
	for _, h := range m.Wiring.Headers {
		for _, p := range h.Pins {
			if c.Uses(p.Signal) && strings.HasSuffix(p.Signal, " "+wire) {
				name := m.Wiring.PinName(h.Name, p.Number)
				if len(m.Wiring.Headers) == 1 {
					name = "header " + name
				}
				return ", " + name
			}
		}
	}
	return ""
}

// Pin is where a line is: the pin of a header, or the output of an expander with the number of its pin.
func Pin(m board.Model, p board.Place) string {
	for _, legs := range packages(m, m.Wiring.Chips[p.Chip]) {
		for _, l := range legs {
			if l.output == p.Offset {
				return fmt.Sprintf("%s, pin %d", p.Pin, l.number)
			}
		}
	}
	return p.Pin
}

// Supplies says where the headers have the supplies that expanders, pull-ups, LEDs and relays want.
func Supplies(m board.Model) []string {
	var all []string
	for _, supply := range []string{"GND", "3V3", "5V"} {
		var pins []string
		for _, h := range m.Wiring.Headers {
			for _, p := range h.Pins {
				if p.Supply == supply {
					pins = append(pins, m.Wiring.PinName(h.Name, p.Number))
				}
			}
		}
		if len(pins) > 0 {
			all = append(all, supply+": "+strings.Join(pins, ", "))
		}
	}
	return all
}

// Lit says what hangs on the line of an LED.
func Lit(m board.Model, p board.Place) string {
	to, when := "ground", "high"
	if p.ActiveLow {
		to, when = "3.3 V", "low"
	}
	led := "LED to "
	if v := ohms(m.LEDOhms); v != "" {
		led = v + " and LED to "
	}
	return led + to + ", lit when " + when
}

// Rules are what the drawing shows of keys and relays, in words.
func Rules(m board.Model) []string {
	key := "A key is a switch between its column and its row"
	if m.Diodes {
		key += ", with a 1N4148 in series, its cathode at the row"
	}
	all := []string{"Take the power off before you touch a wire. All lines are 3.3 V: 5 V on one of them destroys the board.", key + "."}
	if slices.ContainsFunc(m.Lamps, func(l board.ModelLamp) bool { return l.Steady != board.NoLine }) {
		all = append(all, "The driver of a relay, strobe or bell: 1 kΩ from the line to the base of a BC337 or the like (100 mA), its emitter at ground, the coil between collector and 5 V with a 1N4148 across, cathode at 5 V. "+
			"A relay board with its own transistor and a 3.3 V input does as well. Mains on a relay's contacts is work for an electrician.")
	}
	return all
}
