// Package wiring draws the sheet that a technician wires a board from: the pins of its headers with the wires on them, the matrix of
// keys, every expander with its resistors, LEDs and relays, and the list of parts. Everything in it comes out of the board's
// definition.
//
// The sheet is SVG 1.1 without scripts, fonts or pictures from elsewhere, for a browser or a printer. The package never looks
// at the machine it runs on and starts no goroutine.
package wiring

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"parklamp/board"
)

// Measures of the sheet, in pixels.
const (
	margin   = 40.0
	gap      = 28.0
	pitch    = 25.0  // of the header's pins
	sideText = 300.0 // for the label of a pin
	headerW  = 2*sideText + 130
	sheetW   = 2*margin + 2*headerW + gap
)

// use is what hangs on a line.
type use struct {
	line   string
	text   string
	colour string
	kind   kind
	place  board.Place
}

type kind uint8

const (
	row kind = iota
	column
	hook
	ledGreen
	ledRed
	switched // relay, strobe or bell
	control  // input of registers
)

// inputs are the pins of a 74HC595 at the lines of board.Chip's Control.
var inputs = []string{"SER", "SRCLK", "RCLK", "OE"}

// Driven says to which pins of registers a line of their Control leads, and what else hangs on it.
func Driven(m board.Model, chip, line string) string {
	c := m.Wiring.Chips[chip]
	text := inputs[slices.Index(c.Control(), line)] + map[bool]string{true: " of the first register", false: " of each register"}[line == c.Data]
	if line == c.Enable {
		text += ", " + held(m, c)
	}
	return text
}

// sheet is one drawing.
type sheet struct {
	canvas
	m    board.Model
	from string // what parkctl was given for it
	uses []use
}

// SVG draws the sheet of a model; from is its name or file, as parkctl board was given it. The error is board.ErrSimulated
// for one without lines, or the writer's.
func SVG(w io.Writer, m board.Model, from string) error {
	if m.Wiring == nil {
		return fmt.Errorf("draw %s: %w", m.Name, board.ErrSimulated)
	}
	s := &sheet{m: m, from: from}
	s.collect()
	y := s.title()
	y = s.headersAndMatrix(y)
	y = s.chips(y)
	y = s.rest(y)
	y = s.sound(y)
	y = s.warnings(y)
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]g %[2]g" width="%[1]g" height="%[2]g" font-family="DejaVu Sans, Verdana, Arial, sans-serif">
<title>%[3]s</title>
<rect width="%[1]g" height="%[2]g" fill="%[4]s"/>
%[5]s</svg>
`, sheetW, y+margin-gap, safe("Wiring of "+m.Title), paper, s.b.String())
	return err
}

// collect lists what hangs on each line, in the order of the model.
func (s *sheet) collect() {
	m := s.m
	add := func(line, text, colour string, k kind) {
		s.uses = append(s.uses, use{line, text, colour, k, m.Wiring.Lines[line]})
	}
	for i, line := range m.Rows {
		var labels []string
		for _, k := range m.Keys {
			if k.Row == i {
				labels = append(labels, k.Label)
			}
		}
		add(line, "row "+strings.Join(labels, " · "), wireColour(i), row)
	}
	for i, line := range m.Columns {
		add(line, fmt.Sprintf("column %d of the keys", i+1), wireColour(len(m.Rows)+i), column)
	}
	if m.Hook != "" {
		add(m.Hook, "hook switch, "+Contact(m.Wiring.Lines[m.Hook])+" when lifted", hookIn, hook)
	}
	for _, id := range slices.Sorted(maps.Keys(m.Wiring.Chips)) {
		for i, line := range m.Wiring.Chips[id].Control() {
			add(line, inputs[i]+" of "+id, busInk, control)
		}
	}
	for _, l := range m.Lamps {
		for _, led := range []struct {
			line   board.Line
			text   string
			colour string
			kind   kind
		}{{l.Green, " green", green, ledGreen}, {l.Red, " red", red, ledRed}, {l.Steady, ": relay, strobe or bell", relay, switched}} {
			if led.line != board.NoLine {
				add(m.LEDs[led.line], l.Label+led.text, led.colour, led.kind)
			}
		}
	}
}

// on returns what hangs on a line of a chip.
func (s *sheet) on(chip string, offset int) (use, bool) {
	for _, u := range s.uses {
		if u.place.Chip == chip && u.place.Offset == offset {
			return u, true
		}
	}
	return use{}, false
}

// title heads the sheet and returns where the next part begins.
func (s *sheet) title() float64 {
	s.rect(0, 0, sheetW, 96, 0, ink, ink, 0)
	const beside = 640 // what the lines at the right leave
	title := shorten(cmp.Or(s.m.Title, s.m.Name), 64)
	s.text(margin, 48, style{size: min(28, 28*beside/width(title, 28)), bold: true, fill: paper}, title)
	s.text(margin, 76, style{size: 14, fill: "#c3ccd5"}, "Wiring of the Parklamp desk phone · board definition "+s.m.Name)
	for i, line := range []string{
		"Take the power off before you touch a wire. All lines are 3.3 V: 5 V on one of them destroys the board.",
		"Try it: hold Park while the power comes on, and a voice asks for every lamp and key. The panel lists what is missing,",
		"and so does, where there is a shell on the board: parkctl board check " + s.from,
	} {
		s.text(sheetW-margin, 32+float64(i)*24, style{size: 14, fill: paper, anchor: "end"}, line)
	}
	return 96 + gap
}

// headersAndMatrix puts the matrix beside a single header and below two.
func (s *sheet) headersAndMatrix(y float64) float64 {
	headers := s.m.Wiring.Headers
	x, bottom := margin, y
	for _, h := range headers {
		bottom = max(bottom, s.header(x, y, h))
		x += headerW + gap
	}
	if len(headers) != 1 {
		x = margin
		if len(headers) > 0 {
			y = bottom + gap
		}
	}
	w := headerW
	if len(headers) != 1 {
		w = 2*headerW + gap
	}
	return max(bottom, s.matrix(x, y, w, bottom-y)) + gap
}

// header draws a header with its pins in two rows and what is on each.
func (s *sheet) header(x, y float64, h board.Header) float64 {
	rows := 0
	for _, p := range h.Pins {
		rows = max(rows, (p.Number+1)/2)
	}
	height := 64 + float64(rows)*pitch + 16
	s.box(x, y, headerW, height, h.Name, h.Title)
	mid := x + headerW/2
	top := y + 62
	s.rect(mid-29, top-4, 58, float64(rows)*pitch+6, 5, ink, ink, 1)
	for _, p := range h.Pins {
		left := p.Number%2 == 1
		py := top + float64((p.Number-1)/2)*pitch + pitch/2 - 1
		side := 1.0
		if left {
			side = -1
		}
		s.pin(mid+side*14, py, side, p)
	}
	return y + height
}

// pin draws one pin of a header; side is -1 for one whose label is left of it.
func (s *sheet) pin(x, y, side float64, p board.Pin) {
	anchor := "start"
	if side < 0 {
		anchor = "end"
	}
	fill, at := "#5c6b7a", x+side*24
	u, used := s.on(p.Chip, p.Offset)
	used = used && p.Chip != ""
	signal := s.signal(p)
	label := func(text, colour string, bold bool) {
		s.text(at, y+4, style{size: 11.5, fill: colour, anchor: anchor, bold: bold}, text)
	}
	switch {
	case used:
		fill = u.colour
		s.line(x, y, at, y, u.colour, 3)
		w := s.pill(at, y, side < 0, u.line, u.colour)
		at += side * (w + 8)
		s.fitted(at, y+4, sideText+5-w, style{size: 11.5, fill: ink, anchor: anchor}, u.text)
	case signal != "":
		fill = busInk
		s.line(x, y, at, y, busInk, 3)
		at += side * 5
		label(signal, busInk, true)
	case p.Supply != "":
		fill = supplyColour(p.Supply)
		label(p.Supply, fill, true)
	default:
		name := strings.Join(p.Expect, " or ")
		if p.Signal != "" {
			name += " (" + p.Signal + ")"
		}
		label(name, faint, false)
	}
	if p.Number == 1 {
		s.rect(x-9, y-9, 18, 18, 2, fill, paper, 1.2)
	} else {
		s.dot(x, y, 9, fill, paper)
	}
	s.text(x, y+3.4, style{size: 9.5, bold: true, fill: paper, anchor: "middle"}, fmt.Sprint(p.Number))
}

// signal says which chips a pin's bus leads to, "" if it leads to none.
func (s *sheet) signal(p board.Pin) string {
	var to []string
	for _, id := range slices.Sorted(maps.Keys(s.m.Wiring.Chips)) {
		if s.m.Wiring.Chips[id].Uses(p.Signal) {
			to = append(to, id)
		}
	}
	if len(to) == 0 {
		return ""
	}
	return strings.ToUpper(p.Signal) + " → " + strings.Join(to, ", ")
}

func supplyColour(supply string) string {
	switch {
	case supply == "3V3":
		return volts3
	case strings.HasPrefix(supply, "5V"):
		return volts5
	case supply == "GND":
		return ground
	}
	return faint
}

func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// ohms writes a resistor's value as it stands in catalogues.
func ohms(v int) string {
	switch {
	case v == 0:
		return ""
	case v < 1000:
		return fmt.Sprintf("%d Ω", v)
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.1f", float64(v)/1000), "0"), ".") + " kΩ"
}
