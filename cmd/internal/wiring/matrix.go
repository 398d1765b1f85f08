package wiring

import (
	"fmt"
)

// matrix draws the keys at the crossings of rows and columns; least is the height that looks well beside its neighbour.
func (s *sheet) matrix(x, y, w, least float64) float64 {
	m := s.m
	if len(m.Rows) == 0 || len(m.Columns) == 0 {
		return y
	}
	const left, above = 136.0, 128.0
	cellH := 46.0
	height := max(above+float64(len(m.Rows))*cellH+46, least)
	cellH = min((height-above-46)/float64(len(m.Rows)), 60)
	cellW := min((w-left-20)/float64(len(m.Columns)), 330)
	s.box(x, y, w, height, "Keys", fmt.Sprintf("%d keys at the crossings of %d rows and %d columns%s", len(m.Keys), len(m.Rows), len(m.Columns), s.inside(m.Columns)))
	at := func(r, c int) (float64, float64) {
		return x + left + float64(c)*cellW, y + above + float64(r)*cellH
	}
	right, _ := at(0, len(m.Columns))
	_, bottom := at(len(m.Rows), 0)
	const low = 9 // of a row's wire below the middle of its cell's end
	for r, name := range m.Rows {
		_, ry := at(r+1, 0)
		ry -= low
		u := s.uses[r]
		s.line(x+20, ry, right-14, ry, u.colour, 3)
		w := s.pill(x+20, ry, false, name, u.colour)
		s.text(x+20+w/2, ry-14, style{size: 11.5, fill: faint, anchor: "middle"}, u.place.Pin)
	}
	for c, name := range m.Columns {
		cx, cy := at(0, c)
		cx += 16
		u := s.uses[len(m.Rows)+c]
		// Wires that cross do not touch: the column's has an edge in the colour of the ground.
		s.line(cx, cy+10, cx, bottom-cellH/2-low, panel, 11)
		s.line(cx, y+74, cx, bottom-cellH/2-low, u.colour, 3)
		s.pill(cx+6, y+110, false, name, u.colour)
		s.text(cx+14+width(name, 11.5)+14, y+114, style{size: 11.5, fill: faint}, u.place.Pin)
		if pulled(m, u.place) {
			s.text(cx, y+59, style{size: 10, bold: true, fill: volts3, anchor: "middle"}, "3V3")
			s.upright(cx, y+64, ohms(m.PullOhms))
			s.line(cx, y+98, cx, cy, u.colour, 3)
		}
	}
	for _, k := range m.Keys {
		kx, ky := at(k.Row, k.Column)
		capH := cellH - low - 13
		mid := ky + 4 + capH/2
		rowInk, columnInk := wireColour(k.Row), wireColour(len(m.Rows)+k.Column)
		// The switch: from the column's dot through the cap to the row's.
		s.line(kx+16, mid, kx+32, mid, ink, 1.6)
		s.dot(kx+16, mid, 4.5, columnInk, paper)
		s.line(kx+cellW-24, ky+4+capH, kx+cellW-24, ky+cellH-low, ink, 1.6)
		s.dot(kx+cellW-24, ky+cellH-low, 4.5, rowInk, paper)
		s.rect(kx+32, ky+4, cellW-46, capH, 6, paper, ink, 1.3)
		size := 13.0
		if len(k.Label) == 1 {
			size = 17
		}
		lines := []string{k.Label}
		if width(k.Label, 9) > cellW-52 { // smaller than that nobody reads it at the wall
			lines = inTwo(k.Label)
		}
		for _, words := range lines {
			size = min(size, (cellW-52)/width(words, 1))
		}
		size = min(size, 22/float64(len(lines)))
		for i, words := range lines {
			s.text(kx+32+(cellW-46)/2, mid+size*(0.36+1.1*(float64(i)-float64(len(lines)-1)/2)), style{size: size, bold: true, anchor: "middle"}, words)
		}
	}
	note := "A key is a switch from its column (dot on its left) to its row (dot below it). Crossing wires do not touch."
	if m.Diodes {
		note += " A 1N4148 in series with each, cathode at the row."
	}
	s.text(x+20, y+height-18, style{size: 12, fill: faint}, note)
	return y + height
}

// inside tells of the pull-ups of lines that have no resistor outside the chip.
func (s *sheet) inside(lines []string) string {
	for _, l := range lines {
		if p := s.m.Wiring.Lines[l]; !pulled(s.m, p) {
			return " · " + Pull(s.m, p)
		}
	}
	return ""
}

// inTwo breaks words at the space nearest to their middle.
func inTwo(words string) []string {
	best := -1
	for i, r := range words {
		if r == ' ' && (best < 0 || abs(2*i-len(words)) < abs(2*best-len(words))) {
			best = i
		}
	}
	if best < 0 {
		return []string{words}
	}
	return []string{words[:best], words[best+1:]}
}

func abs(n int) int { return max(n, -n) }
