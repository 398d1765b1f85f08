//go:build guest

package gpio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"

	"parklamp/board"
	"parklamp/board/boardtest"
)

// configfs is where the kernel's gpio-sim is made from.
const configfs = "/sys/kernel/config/gpio-sim"

// simulation is a chip of gpio-sim, made from a model, with a hand and an eye.
type simulation struct {
	t       *testing.T
	model   board.Model
	config  string // folder of the chip's configuration
	lines   string // folder of its lines
	pressed map[board.Key]bool
}

// rename changes the names or the number of the lines that the kernel knows.
type rename func(names []string) []string

func simulate(t *testing.T, m board.Model, changes ...rename) *simulation {
	t.Helper()
	s := &simulation{t: t, model: m, config: filepath.Join(configfs, "parklamp"), pressed: map[board.Key]bool{}}
	var names []string
	for name, p := range m.Wiring.Lines {
		if grow := p.Offset + 1 - len(names); grow > 0 {
			names = append(names, make([]string, grow)...)
		}
		names[p.Offset] = name
	}
	for _, c := range changes {
		names = c(names)
	}
	bank := filepath.Join(s.config, "bank")
	s.make(bank)
	s.put(filepath.Join(bank, "num_lines"), strconv.Itoa(len(names)))
	var label string
	for _, c := range m.Wiring.Chips {
		label = c.Labels[0]
	}
	s.put(filepath.Join(bank, "label"), label)
	for i, n := range names {
		dir := filepath.Join(bank, fmt.Sprintf("line%d", i))
		s.make(dir)
		s.put(filepath.Join(dir, "name"), n)
	}
	s.put(filepath.Join(s.config, "live"), "1")
	t.Cleanup(s.remove)
	s.lines = filepath.Join("/sys/devices/platform", s.get(filepath.Join(s.config, "dev_name")), s.get(filepath.Join(bank, "chip_name")))
	return s
}

func (s *simulation) make(dir string) {
	s.t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
}

func (s *simulation) put(file, text string) {
	s.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *simulation) get(file string) string {
	s.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func (s *simulation) remove() {
	s.put(filepath.Join(s.config, "live"), "0")
	var dirs []string
	_ = filepath.WalkDir(s.config, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, d := range slices.Backward(dirs) {
		if err := unix.Rmdir(d); err != nil {
			s.t.Errorf("remove %s: %v", d, err)
		}
	}
}

func (s *simulation) line(name, what string) string {
	return filepath.Join(s.lines, fmt.Sprintf("sim_gpio%d", s.model.Wiring.Lines[name].Offset), what)
}

// update is the electricity: with diodes a column is pulled low by every closed key whose row is driven low.
func (s *simulation) update() {
	low := make([]bool, len(s.model.Columns))
	for _, k := range s.model.Keys {
		if s.pressed[k.Key] && s.get(s.line(s.model.Rows[k.Row], "value")) == "0" {
			low[k.Column] = true
		}
	}
	for c, l := range low {
		s.pull(s.model.Columns[c], l)
	}
}

func (s *simulation) pull(name string, low bool) {
	to := "pull-up"
	if low {
		to = "pull-down"
	}
	if file := s.line(name, "pull"); s.get(file) != to {
		s.put(file, to)
	}
}

func (s *simulation) Press(k board.Key) error   { s.pressed[k] = true; s.update(); return nil }
func (s *simulation) Release(k board.Key) error { s.pressed[k] = false; s.update(); return nil }
func (s *simulation) SetHook(up bool) error     { s.pull(s.model.Hook, up); return nil }
func (s *simulation) LED(l board.Line) bool     { return s.get(s.line(s.model.LEDs[l], "value")) == "1" }

// wait lets the electricity follow the rows, then lets d pass.
func (s *simulation) wait(d time.Duration) {
	s.update()
	time.Sleep(d)
}

func virt(t *testing.T) board.Model {
	t.Helper()
	m, err := board.Load("qemu-virt", []string{"701", "702"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestKernelLines(t *testing.T) {
	boardtest.Run(t, func(t *testing.T, test func(*testing.T, boardtest.Rig)) {
		s := simulate(t, virt(t))
		b, err := Open(s.model)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if f := b.Faults(); len(f) > 0 {
			t.Fatalf("faults: %+v", f)
		}
		test(t, boardtest.Rig{Board: b, Hand: s, Wait: s.wait})
	})
}

// A board with parts missing works as far as it can, and says what is missing.
func TestMissingLines(t *testing.T) {
	m := virt(t)
	park := m.Wiring.Lines["PARK_RED"]
	s := simulate(t, m,
		func(n []string) []string { n[m.Wiring.Lines["COL3"].Offset] = "SPI_CE0"; return n },
		func(n []string) []string { return n[:len(n)-1] }) // FAULT_RED
	other, err := gpiocdev.RequestLine(chipName(t), park.Offset, gpiocdev.AsInput, gpiocdev.WithConsumer("spy"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	b, err := Open(m)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	text := fmt.Sprint(b.Faults())
	for _, want := range []string{"COL3", `"SPI_CE0"`, "FAULT_RED", "missing", "PARK_RED", `in use by "spy"`} {
		if !strings.Contains(text, want) {
			t.Errorf("faults %s do not say %s", text, want)
		}
	}
	for i := range m.LEDs {
		if err := b.SetLED(board.Line(i), true); err != nil {
			t.Errorf("LED %s: %v", m.LEDs[i], err)
		}
	}
	if !s.LED(0) {
		t.Error("an LED that is there is dark")
	}
	_ = s.Press("5")
	for row, columns := range boardtest.Scan(t, boardtest.Rig{Board: b, Hand: s, Wait: s.wait}) {
		if want := uint32(0b10); (row == 1) != (columns == want) {
			t.Errorf("row %d reads %#b", row, columns)
		}
	}
}

func chipName(t *testing.T) string {
	t.Helper()
	c, name, err := openChip([]string{"parklamp-sim"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	return name
}

func TestNoChip(t *testing.T) {
	b, err := Open(virt(t))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if f := b.Faults(); len(f) != 1 || f[0].Part != "sim" || !strings.Contains(f[0].Text, "parklamp-sim") {
		t.Errorf("faults %+v", f)
	}
	if c, err := b.Columns(); c != 0 || err != nil {
		t.Errorf("columns %#b, %v", c, err)
	}
	if err := b.SetLED(0, true); err != nil {
		t.Errorf("LED: %v", err)
	}
	desk, err := board.Load("desk", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(desk); !errors.Is(err, board.ErrSimulated) {
		t.Errorf("open a simulated model: %v", err)
	}
}
