package gpio

import (
	"errors"
	"slices"
	"testing"

	"parklamp/board"
)

// chain is 74HC595 registers one behind the other, as their data sheet has them: from power-on they hold anything.
type chain struct {
	bits    []bool // that of line 0 first
	shown   []bool
	enabled bool
	before  uint32
	writes  int
	broken  error
}

func newChain(registers int) *chain {
	c := &chain{bits: make([]bool, 8*registers), shown: make([]bool, 8*registers)}
	for i := range c.shown {
		c.bits[i], c.shown[i] = i%3 == 0, i%2 == 0
	}
	return c
}

// write is the lines' change.
func (c *chain) write(mask uint32) error {
	if c.broken != nil {
		return c.broken
	}
	c.writes++
	c.follow(mask)
	return nil
}

func (c *chain) follow(mask uint32) {
	up := mask &^ c.before
	if up&clockBit != 0 {
		// QA takes what SER was, each other the one before it.
		c.bits = append([]bool{c.before&dataBit != 0}, c.bits[:len(c.bits)-1]...)
	}
	if up&latchBit != 0 {
		c.shown = slices.Clone(c.bits)
	}
	c.before = mask
}

// lit are the outputs that are on.
func (c *chain) lit() (on []int) {
	for i, v := range c.shown {
		if v && c.enabled {
			on = append(on, i)
		}
	}
	return on
}

// oe is the enable line of a chain.
type oe struct{ *chain }

func (o oe) write(mask uint32) error { o.enabled = mask != 0; return nil }

const registersOnLines = `name = "x"
[lamps]
lot = { green = "G", red = "R" }
hold = { red = "B" }
[chips.soc]
kind = "gpio"
labels = ["soc"]
[chips.more]
kind = "74hc595"
chain = 3
data = "D"
clock = "C"
latch = "L"
enable = "E"
[lines]
D = { chip = "soc", offset = 0 }
C = { chip = "soc", offset = 1 }
L = { chip = "soc", offset = 2 }
E = { chip = "soc", offset = 3 }
G = { chip = "more", offset = 0 }
R = { chip = "more", offset = 15 }
B = { chip = "more", offset = 16, active_low = true }
`

func TestChainOfRegisters(t *testing.T) {
	m := parse(t, registersOnLines)
	if e := m.Wiring.Lines["E"]; !e.ActiveLow || m.Wiring.Lines["C"].ActiveLow {
		t.Fatalf("enable %+v", e)
	}
	outside := newChain(3)
	r := &registers{lines: outside, enable: oe{outside}}
	b := &Board{model: m, leds: make([]led, 3)}
	if err := b.attach("more", hc595(r, 3)); err != nil {
		t.Fatal(err)
	}
	check := func(what string, want ...int) {
		t.Helper()
		if got := outside.lit(); !slices.Equal(got, want) || !outside.enabled {
			t.Errorf("%s: outputs %v are high, want %v; enabled %v", what, got, want, outside.enabled)
		}
	}
	check("dark before it is enabled", 16)
	outside.writes = 0
	for _, step := range []struct {
		line board.Line
		on   bool
		want []int
	}{{0, true, []int{0, 16}}, {1, true, []int{0, 15, 16}}, {2, true, []int{0, 15}}, {0, false, []int{15}}} {
		if err := b.SetLED(step.line, step.on); err != nil {
			t.Fatal(err)
		}
		check("after a change", step.want...)
	}
	// At 10 us a call, what a Raspberry Pi Zero needs at most, that is half a millisecond of the ten that a lamp may take.
	if perChange := outside.writes / 4; perChange != 2*24+2 {
		t.Errorf("a change takes %d calls", perChange)
	}

	outside.broken = errors.New("gone")
	if err := b.SetLED(2, false); !errors.Is(err, outside.broken) {
		t.Errorf("lines that are gone: %v", err)
	}
	outside.broken = nil
	outside.shown = make([]bool, 24) // it lost its power for a moment
	if err := b.SetLED(0, true); err != nil {
		t.Fatal(err)
	}
	check("what failed is not remembered as done, what was lost is back", 0, 15)
	if err := r.Tx(nil, make([]byte, 1)); err == nil {
		t.Error("a register was read")
	}
}

// Registers that were not written stay off.
func TestRegistersAreNotEnabledUnwritten(t *testing.T) {
	outside := newChain(1)
	outside.broken = errors.New("gone")
	b := &Board{model: parse(t, registersOnLines), leds: make([]led, 3)}
	if err := b.attach("more", hc595(&registers{lines: outside, enable: oe{outside}}, 3)); err == nil || outside.enabled {
		t.Errorf("enabled %v after %v", outside.enabled, err)
	}
}

// A chain that lacks a line is left out, and check and phone say the same of it.
func TestRegistersWithoutALine(t *testing.T) {
	m := parse(t, registersOnLines)
	there := map[string]line{"D": {}, "L": {}, "E": {}}
	want := Fault{Part: "more", Text: "74hc595 is left out: C cannot be had", Hint: "the line's own fault says why"}
	if f := probe(m.Wiring, there, fakeBuses{}); len(f) != 1 || f[0] != want {
		t.Errorf("check: %+v", f)
	}
	b, err := open(m, fakeBuses{}) // no chip is called soc here
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if f := b.Faults(); len(f) != 2 || f[0].Part != "soc" || f[1].Text != "74hc595 is left out: D and C and L and E cannot be had" {
		t.Errorf("faults %+v", f)
	}
	if err := b.SetLED(0, true); err != nil {
		t.Errorf("an LED that is left out: %v", err)
	}
}
