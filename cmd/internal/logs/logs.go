// Package logs keeps what the programs of an appliance say: the last lines in memory, and each line at once to a syslog
// server if one is configured (RFC 5424 over UDP, RFC 5426). Nothing is written to the card.
//
// A Book is the memory; its writers take the output of programs, cut it into lines and never block the program. Syslog
// sends from one goroutine, its Run.
package logs

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"
)

// maxLine is the longest line kept, in bytes; the rest of a longer one is dropped.
const maxLine = 1024

// Severity is that of syslog. RFC 5424 §6.2.1.
type Severity uint8

// The severities that programs of the appliance use.
const (
	Error   Severity = 3
	Warning Severity = 4
	Info    Severity = 6
	Debug   Severity = 7
)

// Line is one line that a program said.
type Line struct {
	At       time.Time `json:"at"`
	Program  string    `json:"program"`
	PID      int       `json:"pid,omitempty"`
	Severity Severity  `json:"severity"`
	Text     string    `json:"text"`
}

// Book holds the last lines. Its methods may be called from any goroutine.
type Book struct {
	limit int // immutable: bytes of text

	mu    sync.Mutex
	lines []Line             // guarded by mu: oldest first
	size  int                // guarded by mu: of their texts and what a line costs
	tell  map[int]func(Line) // guarded by mu
	next  int                // guarded by mu: key of tell
}

// perLine is what a line costs besides its text, in bytes.
const perLine = 96

// NewBook makes an empty book of so many bytes.
func NewBook(limit int) *Book { return &Book{limit: limit, tell: map[int]func(Line){}} }

// Add keeps a line. The oldest ones make room.
func (b *Book) Add(l Line) {
	if len(l.Text) > maxLine {
		l.Text = strings.ToValidUTF8(l.Text[:maxLine], "")
	}
	b.mu.Lock()
	b.lines = append(b.lines, l)
	b.size += len(l.Text) + perLine
	drop := 0
	for b.size > b.limit && drop < len(b.lines)-1 {
		b.size -= len(b.lines[drop].Text) + perLine
		b.lines[drop] = Line{}
		drop++
	}
	b.lines = b.lines[drop:]
	for _, f := range b.tell {
		f(l)
	}
	b.mu.Unlock()
}

// Follow calls f with each line from now on, until the function that it returns is called. f must not block and must not
// use the book.
func (b *Book) Follow(f func(Line)) (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := b.next
	b.next++
	b.tell[key] = f
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.tell, key)
	}
}

// Last returns up to n lines, oldest first.
func (b *Book) Last(n int) []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Line(nil), b.lines[max(0, len(b.lines)-n):]...)
}

// Writer takes the output of a program, for one goroutine.
func (b *Book) Writer(program string, now func() time.Time) io.Writer {
	return &writer{book: b, program: program, now: now}
}

type writer struct {
	book    *Book
	program string
	now     func() time.Time
	rest    []byte // a line that has not ended; at most maxLine
	skip    bool   // the rest of a line that was too long
}

// Write never fails.
func (w *writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, after, ended := bytes.Cut(p, []byte{'\n'})
		p = after
		if !w.skip {
			w.rest = append(w.rest, line[:min(len(line), maxLine-len(w.rest))]...)
		}
		w.skip = w.skip || len(w.rest) >= maxLine
		if ended {
			w.flush()
		}
	}
	return n, nil
}

func (w *writer) flush() {
	text := strings.TrimRight(strings.ToValidUTF8(string(w.rest), "?"), "\r ")
	w.rest, w.skip = w.rest[:0], false
	if text != "" {
		w.book.Add(Line{At: w.now(), Program: w.program, Severity: severityOf(text), Text: text})
	}
}

// severityOf reads the level out of a line of log/slog's text handler; a line of another kind is Info.
func severityOf(line string) Severity {
	_, rest, ok := strings.Cut(line, "level=")
	if !ok {
		return Info
	}
	level, _, _ := strings.Cut(rest, " ")
	switch {
	case strings.HasPrefix(level, "ERROR"):
		return Error
	case strings.HasPrefix(level, "WARN"):
		return Warning
	case strings.HasPrefix(level, "DEBUG"):
		return Debug
	}
	return Info
}
