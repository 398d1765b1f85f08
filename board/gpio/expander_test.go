package gpio

import (
	"errors"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"

	"parklamp/board"
)

// fakeBuses record what goes out; a bus that is nil is not there.
type fakeBuses struct{ i2c *bus }

// bus can fail as one does whose chip has no power.
type bus struct {
	i2ctest.Record
	broken error
}

func (b *bus) Tx(addr uint16, w, r []byte) error {
	if b.broken != nil {
		return b.broken
	}
	if len(r) > 0 { // Record cannot be read
		b.Ops = append(b.Ops, i2ctest.IO{Addr: addr, W: w, R: r})
		return nil
	}
	return b.Record.Tx(addr, w, r)
}

func (b *bus) Close() error { return nil }

var errAbsent = errors.New("no such bus")

func (f fakeBuses) I2C(n int) (i2c.BusCloser, error) {
	if f.i2c == nil || n != 1 {
		return nil, errAbsent
	}
	return f.i2c, nil
}

const small = `
name = "x"
[lamps]
lot = { green = "G", red = "R" }
hold = { red = "B" }
[chips.more]
`

func parse(t *testing.T, text string) board.Model {
	t.Helper()
	m, err := board.Parse("x.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestExpanderOnI2C(t *testing.T) {
	m := parse(t, small+`kind = "mcp23017"
bus = 1
address = 0x21
[lines]
G = { chip = "more", offset = 0 }
R = { chip = "more", offset = 9 }
B = { chip = "more", offset = 15, active_low = true }
`)
	fake := &bus{}
	b, err := open(m, fakeBuses{i2c: fake})
	if err != nil || len(b.Faults()) != 0 {
		t.Fatal(err, b.Faults())
	}
	want := [][]byte{{olatA, 0, 0x80}, {iodirA, 0, 0}}
	check := func(step string) {
		t.Helper()
		if len(fake.Ops) != len(want) {
			t.Fatalf("%s: %d transfers %v, want %v", step, len(fake.Ops), fake.Ops, want)
		}
		for i, op := range fake.Ops {
			if op.Addr != 0x21 || string(op.W) != string(want[i]) {
				t.Errorf("%s: transfer %d is %#x to %#x, want %#x to 0x21", step, i, op.W, op.Addr, want[i])
			}
		}
		fake.Ops = nil
	}
	check("power-on: dark before they are outputs")
	set := func(l board.Line, on bool) {
		t.Helper()
		if err := b.SetLED(l, on); err != nil {
			t.Fatal(err)
		}
	}
	set(1, true)
	want[0] = []byte{olatA, 0, 0x82}
	check("second port")
	set(2, true)
	want[0] = []byte{olatA, 0, 0x02}
	check("active low")

	fake.broken = errors.New("no acknowledge")
	if err := b.SetLED(0, true); err == nil || !strings.Contains(err.Error(), "G") {
		t.Errorf("a chip without power: %v", err)
	}
	fake.broken = nil
	set(1, false)
	want[0] = []byte{olatA, 0, 0}
	check("back again: what failed is not remembered as done")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if last := fake.Ops[len(fake.Ops)-2].W; string(last) != string([]byte{olatA, 0, 0x80}) {
		t.Errorf("closed with %#x", last)
	}
	if err := b.SetLED(0, true); !errors.Is(err, board.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestExpanderThatIsSilentKeepsItsLamps(t *testing.T) {
	m := parse(t, small+`kind = "mcp23017"
bus = 1
address = 0x20
[lines]
G = { chip = "more", offset = 0 }
R = { chip = "more", offset = 1 }
B = { chip = "more", offset = 2 }
`)
	fake := &bus{broken: errors.New("no acknowledge")}
	b, err := open(m, fakeBuses{i2c: fake})
	if err != nil {
		t.Fatal(err)
	}
	if f := b.Faults(); len(f) != 1 || f[0].Part != "more" || !strings.Contains(f[0].Hint, "0x20") {
		t.Errorf("faults %+v", f)
	}
	if f := probe(m.Wiring, nil, fakeBuses{i2c: fake}); len(f) != 1 || f[0] != b.Faults()[0] {
		t.Errorf("check says %+v, open %+v", f, b.Faults())
	}
	fake.broken = nil
	if f := probe(m.Wiring, nil, fakeBuses{i2c: fake}); len(f) != 0 || len(fake.Ops) != 1 || len(fake.Ops[0].W) != 1 {
		t.Errorf("check: %+v with %+v, want one read", f, fake.Ops)
	}
	if err := b.SetLED(0, true); err != nil || len(fake.Ops) == 0 {
		t.Errorf("with power again: %v, %d transfers", err, len(fake.Ops))
	}
	none, err := open(m, fakeBuses{})
	if err != nil || len(none.Faults()) != 1 || !strings.Contains(none.Faults()[0].Text, errAbsent.Error()) {
		t.Errorf("no bus: %v, %+v", err, none.Faults())
	}
	if err := none.SetLED(0, true); err != nil {
		t.Errorf("an LED that is left out: %v", err)
	}
}

// Ten lamps that blink in step cost two transfers on the bus and not twenty, which would take 7 ms at 100 kHz.
func TestExpanderIsWrittenOnceForMany(t *testing.T) {
	m := parse(t, small+`kind = "mcp23017"
bus = 1
address = 0x20
[lines]
G = { chip = "more", offset = 0 }
R = { chip = "more", offset = 1 }
B = { chip = "more", offset = 8, active_low = true }
`)
	fake := &bus{}
	b, err := open(m, fakeBuses{i2c: fake})
	if err != nil {
		t.Fatal(err)
	}
	fake.Ops = nil
	changes := []board.LEDChange{{Line: 0, On: true}, {Line: 1, On: true}, {Line: 2, On: true}, {Line: 9}}
	b.SetLEDs(changes)
	if len(fake.Ops) != 2 || string(fake.Ops[0].W) != string([]byte{olatA, 3, 0}) {
		t.Errorf("transfers %+v", fake.Ops)
	}
	if changes[0].Err != nil || changes[1].Err != nil || changes[2].Err != nil || !errors.Is(changes[3].Err, board.ErrNoLine) {
		t.Errorf("changes %+v", changes)
	}
	fake.broken = errors.New("no acknowledge")
	b.SetLEDs(changes[:2])
	if changes[0].Err == nil || changes[1].Err == nil {
		t.Errorf("a chip without power: %+v", changes)
	}
}
