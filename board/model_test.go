package board_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"parklamp/board"
)

func TestLoadNamesOrbits(t *testing.T) {
	m, err := board.Load("desk", []string{"701", "705"})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []board.Key{"0", "#", "park", "orbit-701", "orbit-705"} {
		mk, ok := m.Key(k)
		if !ok || m.KeyAt(mk.Row, mk.Column) != k {
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
	if m.AllRows() != 0xff || m.KeyAt(7, 3) != "" {
		t.Errorf("rows %#x, key at the empty crossing %q", m.AllRows(), m.KeyAt(7, 3))
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

func TestParseRefuses(t *testing.T) {
	const head = "name='x'\nsettle='1ms'\nrows=['R0','R1']\ncolumns=['C0']\nhook='H'\n"
	cases := []struct{ name, text, want string }{
		{"unknown key", head + "colour=1\n", "colour"},
		{"settle", strings.Replace(head, "1ms", "1h", 1), "settle"},
		{"settle missing", "name='x'\n", "settle"},
		{"outside the matrix", head + "[[keys]]\nkey='a'\nrow=2\n", "outside"},
		{"two keys in one place", head + "[[keys]]\nkey='a'\n[[keys]]\nkey='b'\n", "both at"},
		{"key twice", head + "[[keys]]\nkey='a'\n[[keys]]\nkey='a'\nrow=1\n", "twice"},
		{"lamp without LED", head + "[[lamps]]\nlamp='a'\n", "no LED"},
		{"lamp twice", head + "[[lamps]]\nlamp='a'\nred='X'\n[[lamps]]\nlamp='a'\nred='Y'\n", "twice"},
		{"line twice", head + "[[lamps]]\nlamp='a'\nred='R0'\n", "R0"},
		{"not TOML", "=", "board:"},
		{"too many rows", "settle='0s'\nrows=[" + strings.Repeat("'r',", 33) + "]\n", "larger"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := board.Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("name='x'\nsettle='1ms'\nrows=['R0','R1']\ncolumns=['C0']\nhook='H'\n[[keys]]\nkey='a'\n[[lamps]]\nlamp='a'\nred='X'\n")
	f.Add("settle='0s'\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := board.Parse([]byte(text))
		if err != nil {
			return
		}
		for _, k := range m.Keys {
			if m.KeyAt(k.Row, k.Column) != k.Key {
				t.Errorf("key %s is not where it says", k.Key)
			}
		}
		for _, l := range m.Lamps {
			for _, line := range []board.Line{l.Green, l.Red} {
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

const hardware = `
name = 'x'
settle = '1ms'
rows = ['R']
columns = ['C']
hook = 'H'
[[keys]]
key = 'a'
[[lamps]]
lamp = 'a'
red = 'L'
[chips.soc]
kind = 'gpio'
labels = ['soc']
[chips.more]
kind = 'mcp23017'
bus = 1
address = 0x20
[lines]
R = { chip = 'soc', offset = 0 }
C = { chip = 'soc', offset = 1 }
H = { chip = 'soc', offset = 2, debounce = '5ms' }
L = { chip = 'more', offset = 15 }
`

func TestWiring(t *testing.T) {
	m, err := board.Parse([]byte(hardware))
	if err != nil {
		t.Fatal(err)
	}
	w := m.Wiring.Lines
	if r := w["R"]; !r.OpenDrain || !r.ActiveLow || r.Bias != board.AsIs {
		t.Errorf("row %+v", r)
	}
	if c := w["C"]; !c.ActiveLow || c.Bias != board.PullUp || c.OpenDrain {
		t.Errorf("column %+v", c)
	}
	if h := w["H"]; h.Debounce != 5*time.Millisecond || h.Bias != board.PullUp {
		t.Errorf("hook %+v", h)
	}
	if l := w["L"]; l.ActiveLow || l.Bias != board.AsIs {
		t.Errorf("LED %+v", l)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown chip kind", "kind = 'gpio'", "kind = 'pcf8574'", "allowed is gpio, mcp23017, 74hc595"},
		{"no label", "labels = ['soc']", "", "labels"},
		{"address", "address = 0x20", "address = 0x48", "0x20 to 0x27"},
		{"line of nobody", "H = {", "G = {", "lines.G"},
		{"line without place", "L = { chip = 'more', offset = 15 }", "", "lines.L is missing"},
		{"no such chip", "chip = 'more'", "chip = 'less'", "[more soc]"},
		{"no offset", ", offset = 15", "", "offset is missing"},
		{"outside the chip", "offset = 15", "offset = 16", "lines 0 to 15"},
		{"two on one line", "offset = 1 }", "offset = 0 }", "already that of"},
		{"key on an expander", "C = { chip = 'soc'", "C = { chip = 'more'", "no interrupts"},
		{"bias of an LED", "offset = 15 }", "offset = 15, bias = 'pull-up' }", "only columns and hook"},
		{"unknown bias", "offset = 1 }", "offset = 1, bias = 'up' }", "allowed is pull-up"},
		{"drive of a column", "offset = 1 }", "offset = 1, drive = 'push-pull' }", "only rows"},
		{"unknown drive", "R = { chip = 'soc', offset = 0 }", "R = { chip = 'soc', offset = 0, drive = 'strong' }", "open-drain, push-pull"},
		{"debounced column", "offset = 1 }", "offset = 1, debounce = '5ms' }", "only the hook"},
		{"long debounce", "'5ms'", "'1s'", "0s to 50ms"},
		{"misspelt key", "offset = 15 }", "ofset = 15 }", "ofset"},
		{"layout and keys", "name = 'x'", "name = 'x'\nlayout = 'desk'", "come from it"},
	} {
		if _, err := board.Parse([]byte(strings.Replace(hardware, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := board.Parse([]byte("layout = 'rpi'\nsettle = '0s'\n")); err == nil || !strings.Contains(err.Error(), "layout itself") {
		t.Errorf("layout of a layout: %v", err)
	}
}
