//go:build guest

package gpio

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/warthog618/go-gpiocdev"

	"parklamp/board"
	"parklamp/board/boardtest"
	"parklamp/board/gpiosim"
)

// simulation is a board's outside, with a clock.
type simulation struct {
	*gpiosim.Sim
	t *testing.T
}

func simulate(t *testing.T, m board.Model, changes ...func([]string) []string) *simulation {
	t.Helper()
	s, err := gpiosim.New(m, changes...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &simulation{s, t}
}

// wait lets the electricity follow the rows, then lets d pass.
func (s *simulation) wait(d time.Duration) {
	if err := s.Follow(); err != nil {
		s.t.Error(err)
	}
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
		b, err := Open(virt(t))
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
	checked, err := Check(m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(m)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	text := fmt.Sprint(b.Faults())
	if fmt.Sprint(checked) != text {
		t.Errorf("the check says %v, and the phone %s", checked, text)
	}
	if ours, _ := Check(m); fmt.Sprint(ours) != text {
		t.Errorf("the check beside a running phone says %v", ours)
	}
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

// Chips whose labels depend on the order of probing, as on a BeagleBone, are told apart by the names of their lines.
func TestChipsAreFoundByTheirLines(t *testing.T) {
	labels := []string{"gpio-0-31", "gpio-32-63"}
	chip := func(lines ...string) string {
		return "kind = 'gpio'\nlabels = ['gpio-0-31', 'gpio-32-63']\nlines = ['" + strings.Join(lines, "', '") + "']\n"
	}
	parse := func(first, second []string) board.Model {
		m, err := board.Parse("x.toml", []byte("name = 'x'\nhook = 'H'\n[lamps]\nlot = { red = 'R', green = 'G' }\n[chips.one]\n"+chip(first...)+
			"[chips.two]\n"+chip(second...)))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := parse([]string{"H"}, []string{"R", "G"})
	swapped := parse([]string{"H"}, []string{"R", "G"})
	for id, label := range map[string]string{"one": labels[1], "two": labels[0]} {
		c := swapped.Wiring.Chips[id]
		c.Labels = []string{label}
		swapped.Wiring.Chips[id] = c
	}
	s := simulate(t, swapped)
	b, err := Open(m)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if len(b.Faults()) > 0 {
		t.Fatalf("faults %+v", b.Faults())
	}
	if err := b.SetLED(1, true); err != nil || !s.LED(1) || s.LED(0) {
		t.Errorf("LED: %v, %v, %v", err, s.LED(0), s.LED(1))
	}
	if err := s.SetHook(true); err != nil {
		t.Fatal(err)
	}
	if up, err := b.HookUp(); !up || err != nil {
		t.Errorf("hook %v, %v", up, err)
	}
}
