package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"parklamp/board"
	"parklamp/board/gpio"
	"parklamp/cmd/internal/wiring"
	"parklamp/media/audio/alsa"
)

// mostOrbitKeys is more than a board can have: the wiring is shown with all of them.
const mostOrbitKeys = 64

// loadBoard takes a built-in model or a file; what has a dot or a slash in it is a file.
func loadBoard(name string) (board.Model, error) {
	c := board.Config{Model: name}
	if strings.ContainsAny(name, "./") {
		c = board.Config{File: name}
	}
	keys := make([]string, mostOrbitKeys)
	for i := range keys {
		keys[i] = fmt.Sprintf("orbit %d", i+1)
	}
	m, err := c.Load(keys)
	if err != nil {
		return m, configError{err}
	}
	return m, nil
}

var errBoard = errors.New("the board is not complete")

func (t *tool) boardCheck(_ context.Context, args []string) error {
	m, err := loadBoard(args[0])
	if err != nil {
		return err
	}
	faults, err := gpio.Check(m)
	if err != nil {
		return fmt.Errorf("%w; a definition with [lines] can be checked", err)
	}
	faults = append(faults, soundFault(m.Sounds)...)
	if t.json {
		if faults == nil {
			faults = []gpio.Fault{}
		}
		if err := json.NewEncoder(t.out).Encode(faults); err != nil {
			return err
		}
	} else {
		for _, f := range faults {
			fmt.Fprintf(t.out, "%s: %s (%s)\n", f.Part, f.Text, f.Hint)
		}
	}
	if m.Wiring != nil && !t.json {
		for _, d := range wiring.Doubts(m) {
			fmt.Fprintf(t.out, "Mind: %s\n", d)
		}
	}
	if len(faults) > 0 {
		return errBoard
	}
	if !t.json {
		fmt.Fprintf(t.out, "%s is complete: %d lines on %d chips.\n", m.Name, len(m.Wiring.Lines), len(m.Wiring.Chips))
	}
	return nil
}

// soundFault says that none of the sound cards is there which the board may have.
func soundFault(sounds []board.Sound) []gpio.Fault {
	cards, err := alsa.Cards()
	var wanted, there []string
	for _, c := range cards {
		there = append(there, c.ID)
	}
	for _, s := range sounds {
		if slices.Contains(there, s.Card) {
			return nil
		}
		wanted = append(wanted, s.Card)
	}
	if len(sounds) == 0 {
		return nil
	}
	text := "no sound card is called " + strings.Join(wanted, " or ")
	if err != nil {
		text += ": " + err.Error()
	}
	hint := "there is none: is its driver in the boot configuration?"
	if len(there) > 0 {
		hint = "there are: " + strings.Join(there, ", ") + "; audio.card in the configuration takes another one"
	}
	return []gpio.Fault{{Part: "sound", Text: text, Hint: hint}}
}

// plan is all of the wiring for programs.
type plan struct {
	Lines    []wire         `json:"lines"`
	Legs     []wiring.Leg   `json:"legs"`
	Supplies []string       `json:"supplies"`
	Parts    []wiring.Part  `json:"parts"`
	Sound    []wiring.Sound `json:"sound"`
	Rules    []string       `json:"rules"`
	Mind     []string       `json:"mind"`
}

// wire is a row of the wiring table.
type wire struct {
	Line   string `json:"line"`
	For    string `json:"for"`
	Chip   string `json:"chip"`
	Offset int    `json:"offset"`
	Pin    string `json:"pin,omitempty"`
	Wired  string `json:"wired"`
}

func (t *tool) boardWiring(_ context.Context, args []string) error {
	m, err := loadBoard(args[0])
	if err != nil {
		return err
	}
	if m.Wiring == nil {
		return fmt.Errorf("wiring of %s: %w", m.Name, board.ErrSimulated)
	}
	if len(args) == 2 {
		if err := drawWiring(m, args[0], args[1]); err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s: the wiring of %s, for a browser or a printer\n", args[1], m.Name)
		return nil
	}
	rows := rowsOf(m)
	if t.json {
		return json.NewEncoder(t.out).Encode(plan{rows, wiring.Legs(m), wiring.Supplies(m), wiring.Parts(m), wiring.Sounds(m), wiring.Rules(m), wiring.Warnings(m)})
	}
	for _, id := range slices.Sorted(maps.Keys(m.Wiring.Chips)) {
		fmt.Fprintf(t.out, "%s is %s\n", id, m.Wiring.Chips[id].Text())
	}
	fmt.Fprintln(t.out)
	table := [][]cell{{{text: "LINE"}, {text: "CHIP"}, {text: "PIN"}, {text: "WIRED"}, {text: "FOR"}}}
	for _, r := range rows {
		table = append(table, []cell{{text: r.Line}, {text: fmt.Sprintf("%s %d", r.Chip, r.Offset)}, {text: r.Pin}, {text: r.Wired}, {text: r.For}})
	}
	t.table(t.out, table)
	if legs := wiring.Legs(m); len(legs) > 0 {
		table = [][]cell{{{text: "EXPANDER"}, {text: "PIN"}, {text: "WIRED"}}}
		for _, l := range legs {
			table = append(table, []cell{{text: l.Chip}, {text: l.Pin}, {text: l.Wired}})
		}
		fmt.Fprintln(t.out)
		t.table(t.out, table)
	}
	t.list("Supplies", wiring.Supplies(m))
	table = nil
	for _, p := range wiring.Parts(m) {
		table = append(table, []cell{{text: "  " + p.Count}, {text: p.What}})
	}
	fmt.Fprintln(t.out, "\nParts")
	t.table(t.out, table)
	for _, s := range wiring.Sounds(m) {
		t.list(s.Title, s.Lines)
	}
	t.list("Rules", wiring.Rules(m))
	t.list("Mind", wiring.Warnings(m))
	return nil
}

// list prints lines below a heading, nothing if there are none.
func (t *tool) list(heading string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(t.out, "\n%s\n", clean(heading))
	for _, l := range lines {
		fmt.Fprintf(t.out, "  %s\n", clean(l))
	}
}

// drawWiring writes the sheet for the technician.
func drawWiring(m board.Model, from, file string) error {
	if !strings.HasSuffix(file, ".svg") {
		return usagef("board wiring %s %s: want a file that ends in .svg", from, file)
	}
	var b bytes.Buffer
	if err := wiring.SVG(&b, m, from); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// rowsOf lists rows, columns, hook and LEDs in the order of the model.
func rowsOf(m board.Model) []wire {
	var rows []wire
	add := func(line, use, wired string) {
		p := m.Wiring.Lines[line]
		rows = append(rows, wire{Line: line, For: use, Chip: p.Chip, Offset: p.Offset, Pin: wiring.Pin(m, p), Wired: wired})
	}
	keys := func(of func(board.ModelKey) bool) string {
		var labels []string
		for _, k := range m.Keys {
			if of(k) {
				labels = append(labels, k.Label)
			}
		}
		return strings.Join(labels, ", ")
	}
	for i, line := range m.Rows {
		drive := "push-pull, a diode at each key"
		if m.Wiring.Lines[line].OpenDrain {
			drive = "open drain"
		}
		add(line, keys(func(k board.ModelKey) bool { return k.Row == i }), "row, "+drive)
	}
	for i, line := range m.Columns {
		add(line, keys(func(k board.ModelKey) bool { return k.Column == i }), "column"+input(m, line))
	}
	if m.Hook != "" {
		add(m.Hook, "hook switch", "switch"+input(m, m.Hook))
	}
	for _, id := range slices.Sorted(maps.Keys(m.Wiring.Chips)) {
		for _, line := range m.Wiring.Chips[id].Control() {
			add(line, id, wiring.Driven(m, id, line))
		}
	}
	for _, l := range m.Lamps {
		for _, led := range []struct {
			line   board.Line
			colour string
		}{{l.Green, "green"}, {l.Red, "red"}} {
			if led.line == board.NoLine {
				continue
			}
			name := m.LEDs[led.line]
			add(name, l.Label+" "+led.colour, wiring.Lit(m, m.Wiring.Lines[name]))
		}
		if l.Steady != board.NoLine {
			name, on := m.LEDs[l.Steady], "on when high"
			if m.Wiring.Lines[name].ActiveLow {
				on = "on when low"
			}
			add(name, l.Label+" relay", "driver of a relay or strobe, "+on)
		}
	}
	return rows
}

func input(m board.Model, line string) string {
	p := m.Wiring.Lines[line]
	return ", " + wiring.Contact(p) + ", " + wiring.Pull(m, p)
}
