package wiring

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"parklamp/board"
)

// words are the texts of a drawing, each checked to be inside it.
func words(t *testing.T, m board.Model) []string {
	t.Helper()
	var b strings.Builder
	if err := SVG(&b, m, m.Name); err != nil {
		t.Fatal(err)
	}
	var all []string
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: not XML: %v", m.Name, err)
		}
		if text, ok := token.(xml.CharData); ok && strings.TrimSpace(string(text)) != "" {
			all = append(all, string(text))
		}
	}
}

func count(all []string, want string) (n int) {
	for _, w := range all {
		if w == want {
			n++
		}
	}
	return n
}

// A technician finds every line by its name or by the pin of the expander, every key, every LED and every resistor.
func TestSheet(t *testing.T) {
	for _, name := range []string{"rpi-zero-w", "rpi-4", "beaglebone-black", "qemu-virt"} {
		m, err := board.Load(name, []string{"701", "702", "703", "704", "705", "706", "707", "708", "<&>", "710"})
		if err != nil {
			t.Fatal(err)
		}
		all := words(t, m)
		for _, line := range append(append([]string{m.Hook}, m.Rows...), m.Columns...) {
			if count(all, line) == 0 {
				t.Errorf("%s: line %s is not drawn", name, line)
			}
			if pin := m.Wiring.Lines[line].Pin; pin != "" && count(all, pin) == 0 {
				t.Errorf("%s: %s of line %s is not named", name, pin, line)
			}
		}
		for _, k := range m.Keys {
			if n := count(all, k.Label); n == 0 || n > 1 && len(k.Label) > 1 { // a digit is also the number of a pin
				t.Errorf("%s: key %s is drawn %d times", name, k.Label, n)
			}
		}
		resistors := 0
		for _, l := range m.Lamps {
			for suffix, line := range map[string]board.Line{" green": l.Green, " red": l.Red} {
				if line == board.NoLine {
					continue
				}
				resistors++
				if count(all, l.Label+suffix) == 0 {
					t.Errorf("%s: LED %s%s is not drawn", name, l.Label, suffix)
				}
			}
		}
		if m.LEDOhms > 0 && count(all, "330 Ω") != resistors {
			t.Errorf("%s: %d resistors are drawn for %d LEDs", name, count(all, "330 Ω"), resistors)
		}
	}
}

func TestRegistersAndActiveLow(t *testing.T) {
	m, err := board.Parse("x.toml", []byte("from = ['rpi-3', 'leds-74hc595']\n[lines]\nFAULT_RED = { pin = 'J8.26', active_low = true }\n"))
	if err != nil {
		t.Fatal(err)
	}
	all := words(t, m)
	for _, want := range []string{"leds, register 4 of 4", "pin 14 of register 2", "pin 9 of register 1", "CE0", "SPI-0 SCLK → leds"} {
		if count(all, want) == 0 {
			t.Errorf("no %q", want)
		}
	}
	desk, _ := board.Load("desk", nil)
	if err := SVG(io.Discard, desk, "desk"); !errors.Is(err, board.ErrSimulated) {
		t.Errorf("a simulated board: %v", err)
	}
}

// A board of one's own has long names; the sheet says how it is tried.
func TestLongNames(t *testing.T) {
	m, err := board.Parse("x.toml", []byte("name = 'dock'\ntitle = '"+strings.Repeat("dock ", 30)+"'\nfrom = ['rpi-3']\n[keys]\npark = { row = 4, column = 0, label = 'Park the caller here' }\n"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := SVG(&b, m, "boards/dock.toml"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"parkctl board check boards/dock.toml<", ">Park the<", ">caller here<", "dock doc…<"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestOhms(t *testing.T) {
	for v, want := range map[int]string{0: "", 330: "330 Ω", 1000: "1 kΩ", 4700: "4.7 kΩ", 10000: "10 kΩ"} {
		if got := ohms(v); got != want {
			t.Errorf("%d: %q, want %q", v, got, want)
		}
	}
}
