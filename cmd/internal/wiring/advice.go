package wiring

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"parklamp/board"
)

// pulled says whether an input has the resistor of the model: one that is pulled down by its chip has not.
func pulled(m board.Model, p board.Place) bool { return m.PullOhms > 0 && !upward(p) }

// upward says whether the contact of an input is to 3.3 V, which its chip pulls down, instead of to ground.
func upward(p board.Place) bool { return p.Bias == board.PullDown }

// opens says whether the contact of an input is open while that is active.
func opens(p board.Place) bool { return p.ActiveLow == upward(p) }

// Contact says what the contact of an input is while that is active.
func Contact(p board.Place) string {
	return map[bool]string{false: "closed", true: "open"}[opens(p)] + " to " + map[bool]string{false: "ground", true: "3.3 V"}[upward(p)]
}

// Pull says what holds an input while its contact is open.
func Pull(m board.Model, p board.Place) string {
	switch {
	case pulled(m, p):
		return ohms(m.PullOhms) + " to 3.3 V"
	case p.Bias == board.PullUp:
		return "internal pull-up"
	case p.Bias == board.PullDown:
		return "internal pull-down"
	}
	return "no pull-up: put a resistor to 3.3 V there"
}

// holdOhms is the resistor that keeps the outputs of registers off while nothing drives their OE.
const holdOhms = 10000

// held says where that resistor leads: the line is at rest there.
func held(m board.Model, c board.Chip) string {
	return ohms(holdOhms) + " to " + map[bool]string{false: "ground", true: "3.3 V"}[m.Wiring.Lines[c.Enable].ActiveLow]
}

// Warnings are what a technician should know of a model that works as it is wired, but not at all times or not everywhere.
func Warnings(m board.Model) []string {
	all := append(slices.Clone(m.Notes), Doubts(m)...)
	for _, id := range slices.Sorted(maps.Keys(m.Wiring.Chips)) {
		if c := m.Wiring.Chips[id]; c.Kind != board.HC595 || c.Enable != "" {
			continue
		}
		text := id + ": from power-on until the phone first writes them, for the seconds of its start, the outputs of a 74HC595 are on or off as they please, as it has no enable line at OE: LEDs may light"
		if on := switchedOn(m, id); len(on) > 0 {
			text += ", and what hangs on " + strings.Join(on, " and ") + " may switch. Hang nothing there that must not; the outputs of an MCP23017 are off until they are written"
		}
		all = append(all, text+".")
	}
	for _, line := range slices.Sorted(maps.Keys(m.Wiring.Lines)) {
		if why := shared(m, m.Wiring.Lines[line]); why != "" {
			all = append(all, fmt.Sprintf("%s is at %s, %s.", line, m.Wiring.Lines[line].Pin, why))
		}
	}
	return all
}

// Doubts are what a definition asks for that its author can hardly mean.
func Doubts(m board.Model) []string {
	var all []string
	for _, l := range m.Lamps {
		if l.Green != board.NoLine && l.Red != board.NoLine {
			green, red := m.LEDs[l.Green], m.LEDs[l.Red]
			if m.Wiring.Lines[green].ActiveLow != m.Wiring.Lines[red].ActiveLow {
				all = append(all, fmt.Sprintf("The lamp %s cannot be a pair behind one lens: %s is %s, %s is %s, and such a pair has one wire in common. Give both lines the same active_low, or take two single LEDs.",
					l.Label, green, when(m, green), red, when(m, red)))
			}
		}
		if _, there := m.Key(board.Key(l.Lamp)); !there && !slices.Contains([]board.Lamp{"lot", "ringer", "fault"}, l.Lamp) {
			all = append(all, fmt.Sprintf("The lamp %s has no key beside it. If it is not wanted either: [lamps] %s = false.", l.Label, l.Lamp))
		}
	}
	return all
}

func when(m board.Model, line string) string {
	return "lit when " + map[bool]string{false: "high", true: "low"}[m.Wiring.Lines[line].ActiveLow]
}

// switchedOn lists the relays of a chip.
func switchedOn(m board.Model, chip string) []string {
	var lines []string
	for _, l := range m.Lamps {
		if l.Steady != board.NoLine && m.Wiring.Lines[m.LEDs[l.Steady]].Chip == chip {
			lines = append(lines, m.LEDs[l.Steady])
		}
	}
	return lines
}

// shared says what else may use the pin of a line. The buses of expanders are not among it: a definition that has them and the
// line on one pin is refused.
func shared(m board.Model, p board.Place) string {
	signal := ""
	for _, h := range m.Wiring.Headers {
		for _, pin := range h.Pins {
			if h.Name == p.Header && pin.Number == p.Number {
				signal = pin.Signal
			}
		}
	}
	switch bus, _, _ := strings.Cut(signal, " "); {
	case bus == "", strings.HasPrefix(bus, "i2c-"):
		return ""
	case bus == "console":
		return "which is also the serial console's (" + signal + "): while that is on in the boot configuration it disturbs the line, and the line it"
	case bus == "i2s":
		for _, s := range m.Sounds {
			if s.Bus == "i2s" {
				return fmt.Sprintf("which is also %s: with the sound card %s it does not work", signal, s.Card)
			}
		}
		return ""
	}
	return "which is also " + signal + ": it works only while nothing else uses that"
}

// warnings ends the sheet with what is to be known besides.
func (s *sheet) warnings(y float64) float64 {
	var lines []string
	for _, w := range Warnings(s.m) {
		lines = append(lines, wrapped(w, 190)...)
	}
	if len(lines) == 0 {
		return y
	}
	height := 58 + 22*float64(len(lines))
	s.box(margin, y, 2*headerW+gap, height, "Mind", "")
	for i, l := range lines {
		s.text(margin+20, y+60+22*float64(i), style{size: 13}, l)
	}
	return y + height + gap
}

// wrapped breaks text into lines of at most so many letters.
func wrapped(text string, most int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > most {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
