package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Shades of text: the parameters of SGR (ECMA-48 §8.3.117).
const (
	plain  = ""
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// cell is one field of a table.
type cell struct {
	text  string
	shade string
}

// head makes the first row of a table.
func head(names ...string) []cell {
	row := make([]cell, len(names))
	for i, n := range names {
		row[i] = cell{n, faint}
	}
	return row
}

// blank makes cells that stay empty, where others are marked as not known.
func blank(n int) []cell {
	row := make([]cell, n)
	for i := range row {
		row[i].text = " "
	}
	return row
}

// table prints rows in columns that are as wide as their widest cell. What
// callers told is made harmless first.
func (t *tool) table(w io.Writer, rows [][]cell) {
	var widths []int
	for _, r := range rows {
		for i := range r {
			if r[i].text = clean(r[i].text); r[i].text == "" {
				r[i].text = "-"
			}
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i].text))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r {
			line.WriteString(t.shaded(c))
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		fmt.Fprintln(w, line.String())
	}
}

// shaded returns a cell's text with its shade, if the terminal shows any.
func (t *tool) shaded(c cell) string {
	if !t.colour || c.shade == plain {
		return c.text
	}
	return "\x1b[" + c.shade + "m" + c.text + "\x1b[0m"
}

// clean replaces what a terminal would obey instead of showing: names of
// callers come from outside.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, s)
}

// cleanJSON escapes the same in valid JSON. RFC 8259 §7: only what is below U+0020 must be, and a terminal obeys more than that.
func cleanJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case unicode.IsPrint(r), r == '\n', r == '\t':
			out = utf8.AppendRune(out, r)
		case r == '\r': // stands between the values alone
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
	}
	return out
}

// age is a time span as m:ss or h:mm:ss, "" since never.
func age(now, since time.Time) string {
	if since.IsZero() {
		return ""
	}
	d := max(0, now.Sub(since)).Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%d:%02d", m, s)
}
