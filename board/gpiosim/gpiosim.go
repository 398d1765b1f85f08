// Package gpiosim makes the chips of a board's definition out of the kernel's gpio-sim, with their labels, numbers and names of
// lines, and is the hand and the eye on the other side: keys, hook and LEDs.
//
// gpio-sim knows lines and no wires: what a key does, joining a row with a column, is done here, by Wired, each time that the
// firmware selects rows. Every key has its diode. It is for tests on a booted kernel and no part of an image.
//
// The package starts no goroutine. One goroutine may press keys while another uses the board.
package gpiosim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"parklamp/board"
)

// configfs is where chips of gpio-sim are made.
const configfs = "/sys/kernel/config/gpio-sim"

// Sim is the outside of a board on gpio-sim.
type Sim struct {
	model board.Model
	chips []string // folders of the chips' configurations
	lines map[string]*line

	mu      sync.Mutex
	pressed map[board.Key]bool
	active  []bool // scratch of follow
}

// line is one line of gpio-sim: its pull is what the hand does, its value what the firmware drives.
type line struct {
	value, pull *os.File
	activeLow   bool
	pulled      string // as last written; "" is not known
}

// active reports whether the firmware drives the line to its active level.
func (l *line) active() (bool, error) {
	var b [1]byte
	if _, err := l.value.ReadAt(b[:], 0); err != nil {
		return false, err
	}
	return (b[0] == '0') == l.activeLow, nil
}

// move pulls the line to its active level or back.
func (l *line) move(active bool) error {
	to := "pull-up"
	if active == l.activeLow {
		to = "pull-down"
	}
	if l.pulled == to {
		return nil
	}
	l.pulled = to
	_, err := l.pull.WriteAt([]byte(to), 0)
	return err
}

// New makes the gpio chips of a model. Each of change may give the lines of a chip other names, or take the last ones away.
func New(m board.Model, change ...func(names []string) []string) (*Sim, error) {
	if m.Wiring == nil {
		return nil, board.ErrSimulated
	}
	s := &Sim{model: m, lines: map[string]*line{}, pressed: map[board.Key]bool{}, active: make([]bool, len(m.Columns))}
	for id, c := range m.Wiring.Chips {
		if c.Kind != board.GPIOChip {
			continue // what hangs on lines or a bus is not simulated
		}
		if err := s.chip(id, c, change); err != nil {
			return nil, errors.Join(fmt.Errorf("simulate chip %s: %w", id, err), s.Close())
		}
	}
	for _, c := range m.Wiring.Chips {
		if l := s.lines[c.Enable]; l != nil { // its resistor
			if err := l.move(false); err != nil {
				return nil, errors.Join(err, s.Close())
			}
		}
	}
	return s, nil
}

func (s *Sim) chip(id string, c board.Chip, change []func([]string) []string) error {
	var names []string
	for line, p := range s.model.Wiring.Lines {
		if p.Chip != id {
			continue
		}
		if grow := p.Offset + 1 - len(names); grow > 0 {
			names = append(names, make([]string, grow)...)
		}
		names[p.Offset] = line
		if len(p.Expect) > 0 {
			names[p.Offset] = p.Expect[0]
		}
	}
	if len(names) == 0 {
		return nil
	}
	for _, f := range change {
		names = f(names)
	}
	config := filepath.Join(configfs, "parklamp-"+id)
	bank := filepath.Join(config, "bank")
	s.chips = append(s.chips, config)
	err := os.MkdirAll(bank, 0o755)
	put := func(file, text string) {
		if err == nil {
			err = os.WriteFile(file, []byte(text), 0o644)
		}
	}
	put(filepath.Join(bank, "num_lines"), strconv.Itoa(len(names)))
	put(filepath.Join(bank, "label"), c.Labels[0])
	for i, n := range names {
		if err != nil || n == "" {
			continue
		}
		dir := filepath.Join(bank, fmt.Sprintf("line%d", i))
		err = os.Mkdir(dir, 0o755)
		put(filepath.Join(dir, "name"), n)
	}
	put(filepath.Join(config, "live"), "1")
	if err != nil {
		return err
	}
	device, err := get(filepath.Join(config, "dev_name"))
	if err != nil {
		return err
	}
	chip, err := get(filepath.Join(bank, "chip_name"))
	if err != nil {
		return err
	}
	for name, p := range s.model.Wiring.Lines {
		if p.Chip != id || p.Offset >= len(names) {
			continue
		}
		dir := filepath.Join("/sys/devices/platform", device, chip, fmt.Sprintf("sim_gpio%d", p.Offset))
		l := &line{activeLow: p.ActiveLow}
		if l.value, err = os.Open(filepath.Join(dir, "value")); err != nil {
			return err
		}
		s.lines[name] = l
		if l.pull, err = os.OpenFile(filepath.Join(dir, "pull"), os.O_WRONLY, 0); err != nil {
			return err
		}
	}
	return nil
}

// Close takes the chips away. Nobody may have their lines any more.
func (s *Sim) Close() error {
	var errs []error
	for _, l := range s.lines {
		errs = append(errs, l.value.Close())
		if l.pull != nil {
			errs = append(errs, l.pull.Close())
		}
	}
	for _, config := range s.chips {
		errs = append(errs, os.WriteFile(filepath.Join(config, "live"), []byte("0"), 0o644))
		var dirs []string
		_ = filepath.WalkDir(config, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, d := range slices.Backward(dirs) {
			errs = append(errs, os.Remove(d))
		}
	}
	return errors.Join(errs...)
}

func get(file string) (string, error) {
	text, err := os.ReadFile(file)
	return strings.TrimSpace(string(text)), err
}

// Press closes a key's contact.
func (s *Sim) Press(k board.Key) error { return s.move(k, true) }

// Release opens it.
func (s *Sim) Release(k board.Key) error { return s.move(k, false) }

func (s *Sim) move(k board.Key, closed bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pressed[k] = closed
	for _, l := range s.lines {
		l.pulled = "" // a program that took the lines meanwhile has set their bias, which is the same thing to gpio-sim
	}
	return s.follow()
}

// SetHook lifts or replaces the handset.
func (s *Sim) SetHook(up bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lines[s.model.Hook]
	if l == nil {
		return board.ErrNoLine
	}
	l.pulled = ""
	return l.move(up)
}

// LED reports whether an LED line is driven to its lit level.
func (s *Sim) LED(led board.Line) bool { return s.Driven(s.model.LEDs[led]) }

// Driven reports whether a line is driven to its active level.
func (s *Sim) Driven(name string) bool {
	l := s.lines[name]
	if l == nil {
		return false
	}
	active, err := l.active()
	return err == nil && active
}

// Follow pulls the columns as the rows are now.
func (s *Sim) Follow() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.follow()
}

// follow pulls a column for as long as a closed key joins it with a row that is driven.
func (s *Sim) follow() error {
	clear(s.active)
	for i := range s.model.Keys {
		k := &s.model.Keys[i]
		row := s.lines[s.model.Rows[k.Row]]
		if !s.pressed[k.Key] || row == nil {
			continue
		}
		driven, err := row.active()
		if err != nil {
			return err
		}
		s.active[k.Column] = s.active[k.Column] || driven
	}
	for c, on := range s.active {
		if l := s.lines[s.model.Columns[c]]; l != nil {
			if err := l.move(on); err != nil {
				return err
			}
		}
	}
	return nil
}

// wired is a board whose columns follow its rows at once.
type wired struct {
	board.Board
	sim *Sim
}

// Wired joins rows and columns of an open board through the pressed keys, before SelectRows returns: the time that takes is
// the simulation's and not the board's.
func (s *Sim) Wired(b board.Board) board.Board { return wired{b, s} }

// SelectRows implements board.Board.
func (w wired) SelectRows(rows uint32) error {
	if err := w.Board.SelectRows(rows); err != nil {
		return err
	}
	return w.sim.Follow()
}
