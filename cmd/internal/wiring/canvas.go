package wiring

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// The colours: of wires after their use, and of the drawing itself. Nothing is said by colour alone.
const (
	ink    = "#1b2733"
	faint  = "#8a97a5"
	hair   = "#d5dce3"
	paper  = "#ffffff"
	panel  = "#f6f8fa"
	ground = "#37474f"
	volts3 = "#e67700"
	volts5 = "#c92a2a"
	busInk = "#7048e8"
	hookIn = "#0b7285"
	green  = "#2b8a3e"
	red    = "#e03131"
	relay  = "#862e9c"
)

// wires are the colours of rows and columns, light ones last: by number of the resistor code, then others.
var wires = []string{"#8d5524", "#d9480f", "#f08c00", "#b59f00", "#2f9e44", "#1971c2", "#7048e8", "#868e96",
	"#c2255c", "#0c8599", "#5c940d", "#343a40"}

func wireColour(i int) string { return wires[i%len(wires)] }

// canvas collects the elements of a drawing. Coordinates are in pixels, x to the right, y down.
type canvas struct{ b strings.Builder }

func (c *canvas) add(format string, a ...any) { fmt.Fprintf(&c.b, format+"\n", a...) }

// safe makes text harmless in XML.
func safe(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

// style is how text looks.
type style struct {
	size   float64
	bold   bool
	fill   string
	anchor string // start, middle or end
	mono   bool
}

func (c *canvas) text(x, y float64, s style, words string) {
	extra := ""
	if s.bold {
		extra += ` font-weight="700"`
	}
	if s.mono {
		extra += ` font-family="DejaVu Sans Mono, Consolas, monospace"`
	}
	if s.anchor != "" && s.anchor != "start" {
		extra += ` text-anchor="` + s.anchor + `"`
	}
	if s.fill == "" {
		s.fill = ink
	}
	c.add(`<text x="%.1f" y="%.1f" font-size="%g" fill="%s"%s>%s</text>`, x, y, s.size, s.fill, extra, safe(words))
}

func (c *canvas) line(x1, y1, x2, y2 float64, colour string, width float64) {
	c.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%g" stroke-linecap="round"/>`, x1, y1, x2, y2, colour, width)
}

func (c *canvas) rect(x, y, w, h, r float64, fill, stroke string, width float64) {
	c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%g" fill="%s" stroke="%s" stroke-width="%g"/>`, x, y, w, h, r, fill, stroke, width)
}

func (c *canvas) dot(x, y, r float64, fill, stroke string) {
	c.add(`<circle cx="%.1f" cy="%.1f" r="%g" fill="%s" stroke="%s" stroke-width="1.2"/>`, x, y, r, fill, stroke)
}

// fitted is text that is made smaller where there is no room for it, and below the smallest that can be read it is cut.
func (c *canvas) fitted(x, y, room float64, s style, words string) {
	const smallest = 8.0
	n := float64(len([]rune(words)))
	if s.size = min(s.size, room/(n*letter)); s.size < smallest {
		s.size = smallest
		words = shorten(words, int(room/(smallest*letter)))
	}
	c.text(x, y, s, words)
}

// letter is about how wide a letter of DejaVu Sans is that is not bold, beside its size.
const letter = 0.52

// width is about how wide a text is, in bold DejaVu Sans.
func width(words string, size float64) float64 { return float64(len([]rune(words))) * size * 0.68 }

// pill is a name on a coloured ground; it begins, or with end ends, at x, its middle is at y. It returns its width.
func (c *canvas) pill(x, y float64, end bool, words, fill string) float64 {
	w := width(words, 11.5) + 14
	left := x
	if end {
		left = x - w
	}
	c.rect(left, y-9.5, w, 19, 9.5, fill, fill, 1)
	c.text(left+w/2, y+4.2, style{size: 11.5, bold: true, fill: paper, anchor: "middle"}, words)
	return w
}

// resistor lies from x to the right, 34 wide; its value stands above.
func (c *canvas) resistor(x, y float64, value string) {
	c.line(x, y, x+34, y, ink, 1.4)
	c.rect(x+5, y-5, 24, 10, 1.5, paper, ink, 1.4)
	c.text(x+17, y-8, style{size: 9, fill: faint, anchor: "middle"}, value)
}

// upright is a resistor from y downwards, 34 high, with its value beside it.
func (c *canvas) upright(x, y float64, value string) {
	c.line(x, y, x, y+34, ink, 1.4)
	c.rect(x-5, y+5, 10, 24, 1.5, paper, ink, 1.4)
	c.text(x+9, y+21, style{size: 10}, value)
}

// led lies from x to the right, 26 wide, anode left; mirrored it has its anode right.
func (c *canvas) led(x, y float64, fill string, mirrored bool) {
	tip, base := x+19, x+7
	if mirrored {
		tip, base = x+7, x+19
	}
	c.line(x, y, x+26, y, ink, 1.4)
	c.add(`<path d="M%.1f %.1f L%.1f %.1f L%.1f %.1f Z" fill="%s" stroke="%s" stroke-width="1.2"/>`, base, y-7, base, y+7, tip, y, fill, ink)
	c.line(tip, y-7, tip, y+7, ink, 1.8)
	up := 1.0
	if mirrored {
		up = -1
	}
	for _, dx := range []float64{-2, 4} { // the light
		c.line(x+13+up*dx, y-9, x+13+up*(dx+5), y-14, fill, 1.4)
	}
}

// earth is the sign of ground, hanging from x, y.
func (c *canvas) earth(x, y float64) {
	c.line(x, y, x, y+5, ink, 1.4)
	for i, w := range []float64{8, 5, 2} {
		c.line(x-w, y+5+float64(i)*3, x+w, y+5+float64(i)*3, ink, 1.6)
	}
}

// box is a part of the sheet with a heading.
func (c *canvas) box(x, y, w, h float64, heading, more string) {
	c.rect(x, y, w, h, 10, panel, hair, 1.2)
	c.text(x+20, y+31, style{size: 17, bold: true}, heading)
	c.text(x+20+width(heading, 17)+12, y+31, style{size: 12, fill: faint}, more)
}
