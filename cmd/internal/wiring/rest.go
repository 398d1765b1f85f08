package wiring

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"parklamp/board"
)

// rest draws the hook, the LEDs and relays that hang on the headers themselves, a relay's driver and the list of parts.
func (s *sheet) rest(y float64) float64 {
	parts := Parts(s.m)
	height := max(300, 64+24*float64(len(parts))+4)
	s.box(margin, y, headerW, height, "Hook, lamps on the header, relays", "")
	s.single(margin, y)
	s.box(margin+headerW+gap, y, headerW, height, "Parts", "")
	for i, p := range parts {
		py := y + 64 + float64(i)*24
		s.text(margin+headerW+gap+60, py, style{size: 13, bold: true, anchor: "end"}, p.Count)
		s.fitted(margin+headerW+gap+74, py, headerW-90, style{size: 13}, p.What)
	}
	return y + height + gap
}

// single draws the circuits that are not on an expander.
func (s *sheet) single(x, y float64) {
	at := y + 76
	for _, u := range s.uses {
		direct := s.m.Wiring.Chips[u.place.Chip].Kind == board.GPIOChip && len(s.m.Wiring.Headers) > 0
		switch {
		case u.kind == hook:
			s.pill(x+130, at, true, u.line, u.colour)
			s.text(x+122, at+24, style{size: 11.5, fill: faint, anchor: "end"}, u.place.Pin)
			s.line(x+130, at, x+196, at, u.colour, 3)
			if pulled(s.m, u.place) {
				s.upright(x+160, at-34, ohms(s.m.PullOhms))
				s.text(x+170, at-26, style{size: 10, bold: true, fill: volts3}, "3V3")
				s.dot(x+160, at, 3.5, u.colour, u.colour)
			}
			s.dot(x+200, at, 4, paper, ink)
			s.line(x+203, at-3, x+240, at-18, ink, 2)
			s.dot(x+244, at, 4, paper, ink)
			s.line(x+248, at, x+270, at, ink, 1.6)
			if upward(u.place) {
				s.text(x+274, at+4, style{size: 10, bold: true, fill: volts3}, "3V3")
			} else {
				s.earth(x+270, at)
			}
			s.text(x+302, at+4, style{size: 12.5}, "hook switch: "+Contact(u.place)+" when the handset is lifted")
			if !pulled(s.m, u.place) {
				s.text(x+302, at+22, style{size: 12.5}, Pull(s.m, u.place))
			}
			at += 58
		case direct && (u.kind == ledGreen || u.kind == ledRed):
			s.pill(x+130, at, true, u.line, u.colour)
			s.text(x+122, at+24, style{size: 11.5, fill: faint, anchor: "end"}, u.place.Pin)
			s.line(x+130, at, x+160, at, u.colour, 3)
			s.load(x+160, at, 1, u)
			at += 46
		}
	}
	// A relay's driver.
	dy := y + 218
	s.text(x+20, dy+4, style{size: 12, bold: true, fill: relay}, "driver")
	s.line(x+76, dy, x+100, dy, relay, 2.4)
	s.resistor(x+100, dy, "1 kΩ")
	s.line(x+134, dy, x+166, dy, ink, 1.4)
	s.dot(x+186, dy, 20, paper, ink)
	s.line(x+178, dy-12, x+178, dy+12, ink, 2.4)
	s.line(x+166, dy, x+178, dy, ink, 1.4)
	s.line(x+178, dy-5, x+194, dy-16, ink, 1.4)
	s.line(x+178, dy+5, x+194, dy+16, ink, 1.4)
	s.line(x+194, dy+16, x+194, dy+26, ink, 1.4)
	s.earth(x+194, dy+26)
	s.line(x+194, dy-16, x+194, dy-30, ink, 1.4)
	s.line(x+194, dy-30, x+226, dy-30, ink, 1.4)
	s.rect(x+226, dy-40, 56, 20, 3, paper, ink, 1.6)
	s.text(x+254, dy-26, style{size: 10.5, bold: true, anchor: "middle"}, "relay")
	s.line(x+282, dy-30, x+306, dy-30, ink, 1.4)
	s.text(x+312, dy-26, style{size: 11, bold: true, fill: volts5}, "5V")
	s.text(x+226, dy-4, style{size: 11.5}, "1N4148 across the coil, cathode at 5 V. BC337 or the like, 100 mA.")
	s.text(x+226, dy+14, style{size: 11.5}, "A relay board with its own transistor and a 3.3 V input does as well.")
	s.text(x+226, dy+32, style{size: 11.5}, "Mains on a relay's contacts is work for an electrician.")
}

// Part is what has to be bought.
type Part struct {
	Count string `json:"count"`
	What  string `json:"what"`
}

// Parts lists what has to be bought.
func Parts(m board.Model) []Part {
	s := &sheet{m: m}
	s.collect()
	counts := map[kind]int{}
	for _, u := range s.uses {
		counts[u.kind]++
	}
	n := func(i int) string { return fmt.Sprintf("%d ×", i) }
	list := []Part{{n(len(m.Keys)), "key, one contact that closes"}}
	if m.Diodes {
		list = append(list, Part{n(len(m.Keys)), "diode 1N4148, one for each key"})
	}
	if counts[hook] > 0 {
		list = append(list, Part{n(1), "hook switch that " + map[bool]string{false: "closes", true: "opens"}[opens(m.Wiring.Lines[m.Hook])] + " when the handset is lifted"})
	}
	var pulls []string
	for _, u := range s.uses {
		if (u.kind == column || u.kind == hook) && pulled(m, u.place) {
			pulls = append(pulls, u.line)
		}
	}
	if len(pulls) > 0 {
		list = append(list, Part{n(len(pulls)), ohms(m.PullOhms) + " resistor to 3.3 V, one each at " + strings.Join(pulls, ", ")})
	}
	list = append(list, Part{n(counts[ledGreen]), "green LED, " + n(counts[ledRed]) + " red LED; a pair behind one lens for each lamp that has both"})
	if m.LEDOhms > 0 {
		list = append(list, Part{n(counts[ledGreen] + counts[ledRed]), ohms(m.LEDOhms) + " resistor, one for each LED (about 4 mA)"})
	}
	if counts[switched] > 0 {
		list = append(list, Part{n(counts[switched]), "relay, strobe or bell with its driver, as far as wanted"})
	}
	for _, id := range slices.Sorted(maps.Keys(m.Wiring.Chips)) {
		switch c := m.Wiring.Chips[id]; c.Kind {
		case board.MCP23017:
			list = append(list, Part{n(1), "MCP23017 (" + id + ") with 100 nF from VDD to VSS"})
		case board.HC595:
			list = append(list, Part{n(c.Chain), "74HC595 (" + id + ") with 100 nF from VCC to GND each"})
			if c.Enable != "" {
				list = append(list, Part{n(1), "resistor at " + c.Enable + ", " + held(m, c) + ", so that all is off until the phone runs"})
			}
		}
	}
	first := n(1)
	for _, c := range Sounds(m) {
		list = append(list, Part{first, c.Title})
		first = "or"
	}
	return list
}
