package board_test

import (
	"errors"
	"strings"
	"testing"

	"parklamp/board"
)

func TestLoadNamesOrbits(t *testing.T) {
	m, err := board.Load("desk", []string{"701", "705"})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []board.Key{"0", "#", "park", "orbit-701", "orbit-705"} {
		mk, ok := m.Key(k)
		if !ok || keyAt(m, mk.Row, mk.Column) != k {
			t.Errorf("key %s: %+v, %v", k, mk, ok)
		}
	}
	if k, _ := m.Key("orbit-705"); k.Label != "705" || k.Group != "orbit" {
		t.Errorf("orbit key %+v", k)
	}
	for _, k := range m.Keys {
		if strings.HasPrefix(string(k.Key), "slot") {
			t.Errorf("unused slot %s is left", k.Key)
		}
	}
	lamp, ok := m.Lamp("orbit-705")
	if !ok || lamp.Green == board.NoLine || lamp.Red == board.NoLine || m.LEDs[lamp.Green] != "SLOT2_GREEN" {
		t.Errorf("lamp %+v", lamp)
	}
	if hold, _ := m.Lamp("hold"); hold.Red != board.NoLine {
		t.Errorf("hold lamp has a red LED: %+v", hold)
	}
	if m.AllRows() != 0xff || keyAt(m, 7, 3) != "headset" || keyAt(m, 7, 0) != "" {
		t.Errorf("rows %#x, keys %q and, for an orbit that is not there, %q", m.AllRows(), keyAt(m, 7, 3), keyAt(m, 7, 0))
	}
	many := make([]string, 30)
	for i := range many {
		many[i] = string(rune('a' + i))
	}
	if _, err := board.Load("desk", many); err != nil {
		t.Errorf("more orbits than keys: %v", err)
	}
}

func TestEveryModelLoads(t *testing.T) {
	names := board.Names()
	if len(names) == 0 {
		t.Fatal("no models")
	}
	for _, n := range names {
		m, err := board.Load(n, nil)
		if err != nil {
			t.Errorf("%s: %v", n, err)
		}
		if m.Name != n {
			t.Errorf("file %s.toml defines %q", n, m.Name)
		}
	}
	if _, err := board.Load("toaster", nil); !errors.Is(err, board.ErrNoModel) {
		t.Errorf("unknown model: %v", err)
	}
	if err := board.Default().Validate(); err != nil {
		t.Error(err)
	}
	if err := (board.Config{Model: "toaster"}).Validate(); err == nil || !strings.Contains(err.Error(), `"toaster"`) {
		t.Errorf("unknown model in the configuration: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("name='x'\nhook='H'\n[matrix]\nsettle='1ms'\nrows=['R0','R1']\ncolumns=['C0']\n[keys]\na={row=0,column=0}\n[lamps]\na={red='X'}\n")
	f.Add("from='rpi-4'\n[keys]\nmute=false\n[lines]\nHOOK={chip='soc',offset=14}\n")
	f.Add(hardware)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := board.Parse("x.toml", []byte(text))
		if err != nil {
			return
		}
		for _, k := range m.Keys {
			if keyAt(m, k.Row, k.Column) != k.Key {
				t.Errorf("key %s is not where it says", k.Key)
			}
		}
		for _, l := range m.Lamps {
			for _, line := range []board.Line{l.Green, l.Red, l.Steady} {
				if line != board.NoLine && int(line) >= len(m.LEDs) {
					t.Errorf("lamp %s has line %d of %d", l.Lamp, line, len(m.LEDs))
				}
			}
		}
	})
}

func TestColour(t *testing.T) {
	for c, want := range map[board.Colour]struct {
		name       string
		green, red bool
	}{
		board.Off: {"off", false, false}, board.Green: {"green", true, false},
		board.Red: {"red", false, true}, board.Amber: {"amber", true, true},
	} {
		if c.String() != want.name || c.HasGreen() != want.green || c.HasRed() != want.red {
			t.Errorf("%v: green %v, red %v", c, c.HasGreen(), c.HasRed())
		}
	}
}

// keyAt is the key at a crossing, "" where none is fitted.
func keyAt(m board.Model, row, column int) board.Key {
	for _, mk := range m.Keys {
		if mk.Row == row && mk.Column == column {
			return mk.Key
		}
	}
	return ""
}
