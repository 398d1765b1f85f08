//go:build guest

package gpio

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/board"
	"parklamp/board/boardtest"
)

// withRegisters is the board of the guest with its LEDs on a chain that hangs on four lines of gpio-sim.
func withRegisters(t *testing.T) board.Model {
	t.Helper()
	m := virt(t)
	var inputs []string
	for _, name := range append(slices.Concat(m.Rows, m.Columns), m.Hook, "LEDS_DATA", "LEDS_CLOCK", "LEDS_LATCH", "LEDS_ENABLE") {
		inputs = append(inputs, fmt.Sprintf("%q", name))
	}
	text := "name = 'x'\nfrom = ['qemu-virt', 'leds-74hc595']\n[chips.leds]\nchain = 5\nlines = ['" + strings.Join(m.LEDs, "', '") + "']\n[chips.sim]\nlines = [" + strings.Join(inputs, ", ") + "]\n"
	return parse(t, text)
}

// soldered is a chain that sees what the kernel does to its lines: after each call it looks at them.
type soldered struct {
	outputs
	sim  *simulation
	seen *chain
}

func (s *soldered) write(mask uint32) error {
	err := s.outputs.write(mask)
	var levels uint32
	for bit, name := range []string{"LEDS_DATA", "LEDS_CLOCK", "LEDS_LATCH"} {
		if s.sim.Driven(name) {
			levels |= 1 << bit
		}
	}
	s.seen.follow(levels)
	return err
}

// hand is the outside of the board with the chain.
type hand struct {
	*simulation
	model board.Model
	seen  *chain
}

func (h hand) LED(l board.Line) bool {
	return h.seen.shown[h.model.Wiring.Lines[h.model.LEDs[l]].Offset] && h.Driven("LEDS_ENABLE")
}

// A chain of registers on plain lines passes what every board passes.
func TestKernelLinesOfRegisters(t *testing.T) {
	var took []time.Duration
	boardtest.Run(t, func(t *testing.T, test func(*testing.T, boardtest.Rig)) {
		m := withRegisters(t)
		s := simulate(t, m)
		if s.Driven("LEDS_ENABLE") {
			t.Fatal("enabled before the phone has written")
		}
		b, err := Open(m)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if f := b.Faults(); len(f) > 0 {
			t.Fatalf("faults: %+v", f)
		}
		if f, err := Check(m); err != nil || len(f) > 0 {
			t.Errorf("check beside a running phone: %+v, %v", f, err)
		}
		if !s.Driven("LEDS_ENABLE") {
			t.Error("the outputs are not on")
		}
		for range 20 {
			began := time.Now()
			if err := b.SetLED(0, false); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
		r := b.leds[0].bank.(*expander).conn.(*registers)
		seen := newChain(5)
		r.lines = &soldered{outputs: r.lines, sim: s, seen: seen}
		if err := b.SetLED(0, false); err != nil { // what is shown is known from here
			t.Fatal(err)
		}
		test(t, boardtest.Rig{Board: b, Hand: hand{s, m, seen}, Wait: s.wait})
	})
	figure(t, "a lamp on a chain of five registers", took, lampLimit)
}
