package wiring

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"parklamp/board"
)

// leg is a pin of an expander: either an output or something that has to be wired in the same way always.
type leg struct {
	number int
	name   string
	output int    // offset of the line, -1 for none
	wired  string // "3V3", "GND", a bus or line, "" or "open" for nothing
}

// chips draws every expander, two beside each other.
func (s *sheet) chips(y float64) float64 {
	x, bottom := margin, y
	next := func(h float64) {
		bottom = max(bottom, y+h)
		if x += headerW + gap; x > margin+headerW+gap {
			x, y = margin, bottom+gap
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.m.Wiring.Chips)) {
		switch c := s.m.Wiring.Chips[id]; c.Kind {
		case board.MCP23017:
			next(s.chip(x, y, id, fmt.Sprintf("MCP23017, address %#x, I2C bus %d", c.Address, c.Bus), id, mcpLegs(c)))
		case board.HC595:
			for i := range c.Chain {
				next(s.chip(x, y, fmt.Sprintf("%s, register %d of %d", id, i+1, c.Chain), "74HC595", id, registerLegs(s.m, c, i)))
			}
		case board.GPIOChip:
			if len(s.m.Wiring.Headers) > 0 {
				break
			}
			if x > margin {
				y = bottom + gap
			}
			x, y = margin, y+s.plain(margin, y, id, c)+gap
			bottom = y
		}
	}
	if x > margin {
		y = bottom + gap
	}
	return y
}

// mcpLegs are the pins of an MCP23017 in its DIP (datasheet DS20001952, figure of the package).
func mcpLegs(c board.Chip) []leg {
	var legs []leg
	for i := range 8 {
		legs = append(legs, leg{i + 1, fmt.Sprintf("GPB%d", i), 8 + i, ""})
	}
	bit := func(i int) string {
		if c.Address>>i&1 == 1 {
			return "3V3"
		}
		return "GND"
	}
	legs = append(legs, leg{9, "VDD", -1, "3V3"}, leg{10, "VSS", -1, "GND"}, leg{11, "NC", -1, ""}, leg{12, "SCK", -1, "SCL"}, leg{13, "SDA", -1, "SDA"},
		leg{14, "NC", -1, ""}, leg{15, "A0", -1, bit(0)}, leg{16, "A1", -1, bit(1)}, leg{17, "A2", -1, bit(2)}, leg{18, "RESET", -1, "3V3"},
		leg{19, "INTB", -1, ""}, leg{20, "INTA", -1, ""})
	for i := range 8 {
		legs = append(legs, leg{21 + i, fmt.Sprintf("GPA%d", i), i, ""})
	}
	return legs
}

// registerLegs are the pins of a 74HC595 (the same with all makers), register i of a chain.
func registerLegs(m board.Model, c board.Chip, i int) []leg {
	var legs []leg
	for j := 1; j < 8; j++ {
		legs = append(legs, leg{j, fmt.Sprintf("Q%c", 'A'+j), 8*i + j, ""})
	}
	from, to, enable := c.Data, "open", "GND"
	if i > 0 {
		from = fmt.Sprintf("pin 9 of register %d", i)
	}
	if i < c.Chain-1 {
		to = fmt.Sprintf("pin 14 of register %d", i+2)
	}
	if c.Enable != "" {
		if enable = c.Enable; i == 0 {
			enable += ", and " + held(m, c)
		}
	}
	return append(legs, leg{8, "GND", -1, "GND"}, leg{9, "QH'", -1, to}, leg{10, "SRCLR", -1, "3V3"}, leg{11, "SRCLK", -1, c.Clock},
		leg{12, "RCLK", -1, c.Latch}, leg{13, "OE", -1, enable}, leg{14, "SER", -1, from}, leg{15, "QA", 8 * i, ""}, leg{16, "VCC", -1, "3V3"})
}

// chip draws an expander from above, pin 1 at the top left, with what hangs on it. It returns its height.
func (s *sheet) chip(x, y float64, heading, more, id string, legs []leg) float64 {
	rows := len(legs) / 2
	const step = 30.0
	height := 62 + float64(rows)*step + 20
	s.box(x, y, headerW, height, heading, more)
	mid, top := x+headerW/2, y+58
	s.rect(mid-44, top, 88, float64(rows)*step+4, 6, ink, ink, 1)
	s.add(`<path d="M%.1f %.1f a10 10 0 0 0 20 0" fill="%s"/>`, mid-10, top, panel)
	for i, l := range legs {
		side, ly := -1.0, top+float64(i)*step+step/2+2
		if i >= rows {
			side, ly = 1, top+float64(len(legs)-1-i)*step+step/2+2
		}
		s.leg(mid+side*44, ly, side, id, l)
	}
	return height
}

func (s *sheet) leg(x, y, side float64, id string, l leg) {
	inner, outer := "start", "end"
	if side > 0 {
		inner, outer = "end", "start"
	}
	s.text(x-side*7, y+4, style{size: 10.5, fill: paper, anchor: inner, mono: true}, l.name)
	u, used := use{}, false
	if l.output >= 0 {
		u, used = s.on(id, l.output)
	}
	colour := faint
	switch {
	case used:
		colour = u.colour
	case l.wired == "3V3" || l.wired == "GND":
		colour = supplyColour(l.wired)
	case l.wired != "" && l.wired != "open":
		colour = busInk
	}
	s.line(x, y, x+side*26, y, colour, 2.4)
	s.text(x+side*14, y-4, style{size: 9.5, bold: true, fill: colour, anchor: "middle"}, fmt.Sprint(l.number))
	at := x + side*26
	switch {
	case used:
		s.load(at, y, side, u)
	case l.output >= 0:
		s.text(at+side*6, y+4, style{size: 11.5, fill: faint, anchor: outer}, "free")
	case l.wired == "" || l.wired == "open":
		s.text(at+side*6, y+4, style{size: 11.5, fill: faint, anchor: outer}, "open")
	default:
		s.text(at+side*6, y+4, style{size: 11.5, bold: true, fill: colour, anchor: outer}, l.wired)
	}
}

// load draws what hangs on an output: resistor and LED to ground or to 3.3 V, or the input of a relay's driver.
func (s *sheet) load(x, y, side float64, u use) {
	anchor := "start"
	if side < 0 {
		anchor = "end"
	}
	if u.kind == switched {
		s.line(x, y, x+side*12, y, u.colour, 1.6)
		bx := x + side*12
		if side < 0 {
			bx -= 62
		}
		s.rect(bx, y-10, 62, 20, 3, paper, u.colour, 1.6)
		s.text(bx+31, y+4, style{size: 10, bold: true, fill: u.colour, anchor: "middle"}, "driver")
		s.text(x+side*82, y+4, style{size: 11.5, anchor: anchor}, u.text)
		return
	}
	at := x
	if v := ohms(s.m.LEDOhms); v != "" {
		rx := at
		if side < 0 {
			rx -= 34
		}
		s.resistor(rx, y, v)
		at += side * 34
	}
	lx := at
	if side < 0 {
		lx -= 26
	}
	s.led(lx, y, u.colour, (side < 0) != u.place.ActiveLow)
	at += side * 26
	if u.place.ActiveLow {
		s.text(at+side*4, y+4, style{size: 10, bold: true, fill: volts3, anchor: anchor}, "3V3")
		at += side * 30
	} else {
		s.line(at, y, at+side*7, y, ink, 1.4)
		s.earth(at+side*7, y)
		at += side * 20
	}
	s.text(at+side*4, y+4, style{size: 11.5, anchor: anchor}, u.text)
}

// plain lists the lines of a chip that has no header to draw.
func (s *sheet) plain(x, y float64, id string, c board.Chip) float64 {
	var lines []use
	for _, u := range s.uses {
		if u.place.Chip == id {
			lines = append(lines, u)
		}
	}
	slices.SortFunc(lines, func(a, b use) int { return a.place.Offset - b.place.Offset })
	half := (len(lines) + 1) / 2
	height := 58 + float64(half)*pitch + 12
	s.box(x, y, 2*headerW+gap, height, id, "lines of "+strings.Join(c.Labels, " or "))
	for i, u := range lines {
		lx, ly := x+20, y+62+float64(i%half)*pitch
		if i >= half {
			lx += headerW + gap
		}
		s.text(lx+22, ly+4, style{size: 11.5, fill: faint, anchor: "end", mono: true}, fmt.Sprint(u.place.Offset))
		w := s.pill(lx+30, ly, false, u.line, u.colour)
		s.fitted(lx+38+w, ly+4, headerW-60-w, style{size: 11}, u.text)
	}
	return height
}
