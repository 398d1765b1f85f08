package wiring

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"slices"
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
		for _, text := range all {
			if strings.Contains(text, "…") {
				t.Errorf("%s: cut: %s", name, text)
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
	for _, want := range []string{"leds, register 4 of 4", "pin 14 of register 2", "pin 9 of register 1", "SRCLK of leds", "OE of leds",
		"LEDS_ENABLE, and 10 kΩ to 3.3 V", "resistor at LEDS_ENABLE, 10 kΩ to 3.3 V, so that all is off until the phone runs"} {
		if count(all, want) == 0 {
			t.Errorf("no %q", want)
		}
	}
	for line, places := range map[string]int{"LEDS_DATA": 2, "LEDS_CLOCK": 5, "LEDS_LATCH": 5, "LEDS_ENABLE": 4} { // at the header and at the registers
		if n := count(all, line); n != places {
			t.Errorf("%s is on the sheet %d times, want %d", line, n, places)
		}
	}
	m, err = board.Parse("x.toml", []byte("name = 'x'\nfrom = ['rpi-3', 'leds-74hc595']\n[lines]\nLEDS_ENABLE = { pin = 'J8.21', active_low = false }\n"))
	if err != nil {
		t.Fatal(err)
	}
	if all = words(t, m); count(all, "LEDS_ENABLE, and 10 kΩ to ground") != 1 {
		t.Error("the resistor of an enable line that a transistor turns over")
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

// Drawing, list of parts and table say the same of what holds an input: a resistor, or the chip.
func TestPulls(t *testing.T) {
	for definition, want := range map[string]struct {
		resistors int
		pulls     map[string]string // by line
		part      string
		hook      string // how it is wired
		supplies  int    // how often 3V3 is on the sheet
	}{
		"from = 'rpi-4'": {5, map[string]string{"COL0": "10 kΩ to 3.3 V", "HOOK": "10 kΩ to 3.3 V"},
			"10 kΩ resistor to 3.3 V, one each at COL0, COL1, COL2, COL3, HOOK", "closed to ground", 12},
		"from = 'rpi-4'\n[lines.HOOK]\npin = 'J8.7'\nactive_low = false\nbias = 'pull-down'": {4, map[string]string{"COL3": "10 kΩ to 3.3 V", "HOOK": "internal pull-down"},
			"10 kΩ resistor to 3.3 V, one each at COL0, COL1, COL2, COL3", "closed to 3.3 V", 12},
		"from = 'rpi-4'\n[lines.HOOK]\npin = 'J8.7'\nbias = 'pull-down'": {4, map[string]string{"HOOK": "internal pull-down"},
			"10 kΩ resistor to 3.3 V, one each at COL0, COL1, COL2, COL3", "open to 3.3 V", 12},
		"from = 'rpi-4'\n[lines.HOOK]\npin = 'J8.7'\nactive_low = false": {5, map[string]string{"HOOK": "10 kΩ to 3.3 V"},
			"10 kΩ resistor to 3.3 V, one each at COL0, COL1, COL2, COL3, HOOK", "open to ground", 12},
		"from = 'rpi-4'\n[matrix]\npull_ohms = 0":                                            {0, map[string]string{"COL0": "internal pull-up", "HOOK": "internal pull-up"}, "", "closed to ground", 7},
		"from = 'rpi-4'\n[matrix]\npull_ohms = 0\n[lines.HOOK]\npin = 'J8.7'\nbias = 'none'": {0, map[string]string{"HOOK": "no pull-up: put a resistor to 3.3 V there"}, "", "closed to ground", 7},
	} {
		m, err := board.Parse("x.toml", []byte("name = 'x'\n"+definition))
		if err != nil {
			t.Fatal(err)
		}
		all := words(t, m)
		if got := count(all, "10 kΩ"); got != want.resistors || want.part != "" && count(all, want.part) != 1 || want.part == "" && strings.Contains(strings.Join(all, "\n"), "resistor to 3.3 V, one") {
			t.Errorf("%s: %d resistors are drawn, the list has:\n%s", definition, got, strings.Join(all[len(all)-9:], "\n"))
		}
		hook := "hook switch: " + want.hook + " when the handset is lifted"
		part := "hook switch that " + map[bool]string{true: "closes", false: "opens"}[strings.HasPrefix(want.hook, "closed")] + " when the handset is lifted"
		if n := count(all, "3V3"); n != want.supplies || !strings.Contains(strings.Join(all, "\n"), hook) || count(all, part) != 1 {
			t.Errorf("%s: 3V3 %d times; want %q and %q:\n%s", definition, n, hook, part, strings.Join(all, "\n"))
		}
		for line, pull := range want.pulls {
			if got := Pull(m, m.Wiring.Lines[line]); got != pull {
				t.Errorf("%s: %s: %s", definition, line, got)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	for definition, want := range map[string][]string{
		"from = 'rpi-4'":                   nil, // FAULT_RED is at the pin of CE1, which nothing needs
		"from = ['rpi-4', 'leds-74hc595']": nil,
		"from = ['rpi-4', 'leds-74hc595']\n[chips.leds]\nenable = false": {
			"leds: from power-on until the phone first writes them, for the seconds of its start, the outputs of a 74HC595 are on or off as they please, as it has no enable line at OE: LEDs may light, and what hangs on LOT_RELAY and RINGER may switch."},
		"from = ['rpi-4', 'leds-74hc595']\n[chips.leds]\nenable = false\n[lamps.lot]\nsteady = false\n[lamps]\nringer = false": {"LEDs may light."},
		"from = 'rpi-4'\n[lines]\nFAULT_RED = { pin = 'J8.8' }\nHOOK = { pin = 'J8.12' }": {
			"FAULT_RED is at pin 8, which is also the serial console's (console TXD): ",
			"HOOK is at pin 12, which is also i2s BCLK: with the sound card wm8960soundcard it does not work."},
		"from = 'rpi-4'\n[sound]\nwm8960 = false\n[lines]\nHOOK = { pin = 'J8.12' }": nil,
		"from = 'beaglebone-black'\n[lines]\nHOOK = { pin = 'P8.3' }":                {"Hold S2, ", "dd if=/dev/zero ", "HOOK is at P8_3, which is also emmc DAT6: it works only while nothing else uses that."},
	} {
		m, err := board.Parse("x.toml", []byte("name = 'x'\n"+definition))
		if err != nil {
			t.Fatal(err)
		}
		got := Warnings(m)
		if len(got) != len(want) {
			t.Errorf("%s: warns %q", definition, got)
			continue
		}
		sheet := strings.Join(words(t, m), " ")
		for i := range want {
			if !strings.Contains(got[i], want[i]) || !strings.Contains(sheet, want[i]) {
				t.Errorf("%s: warns %q, want %q, on the sheet too", definition, got[i], want[i])
			}
		}
	}
}

// The sheet says what hangs on the sound card, and which key and lamp one that lacks a path needs not.
func TestSound(t *testing.T) {
	for _, name := range []string{"rpi-4", "beaglebone-black"} {
		m, err := board.Load(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		sheet := strings.Join(words(t, m), " ")
		for _, want := range []string{"handset: earpiece, 32 Ω or more, at the headphone socket (green)", "No headset with this card: the key Headset and the lamp Headset need not be fitted",
			"No hands-free with this card. ", "a second adapter is not taken", "The ring comes from the same output"} {
			if !strings.Contains(sheet, want) {
				t.Errorf("%s: the sheet lacks %q", name, want)
			}
		}
		if got := strings.Contains(sheet, "or I2S sound board with a WM8960"); got != (name == "rpi-4") {
			t.Errorf("%s: with the codec: %v", name, got)
		}
	}
	// As the note says: an active loudspeaker on the other channel.
	m, err := board.Parse("x.toml", []byte("name = 'x'\nfrom = 'rpi-4'\n[keys]\nheadset = false\n[lamps]\nheadset = false\n[sound]\nwm8960 = false\n[sound.usb]\nwithout = 'headset'\nhandset.output = 'left'\nspeaker.output = 'right'\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p := m.Sounds[0].Paths; p["handset"].Output != "left" || p["speaker"].Output != "right" {
		t.Errorf("%+v", p)
	}
	if sheet := strings.Join(words(t, m), " "); !strings.Contains(sheet, "No headset with this card. It has") || strings.Contains(sheet, "hands-free with this card") {
		t.Error(sheet)
	}
	if _, err := board.Parse("x.toml", []byte("name = 'x'\nfrom = 'rpi-4'\n[sound.usb]\nwithout = ['handset']\n")); err == nil || err.Error() != `x.toml:4:1: sound.usb.without: "handset": allowed is headset, speaker` {
		t.Error(err)
	}
}

// What nobody can mean is told: two colours of one lamp that light on different levels, a lamp whose key was taken away.
func TestDoubts(t *testing.T) {
	for own, want := range map[string][]string{
		"[lines]\nFAULT_RED = { pin = 'J8.26', active_low = true }\n": {"The lamp Fault cannot be a pair behind one lens: FAULT_GREEN is lit when high, FAULT_RED is lit when low"},
		"[keys]\nconference = false\nslot-9 = false\n":                {"The lamp slot-9 has no key beside it. If it is not wanted either: [lamps] slot-9 = false.", "The lamp Conference has no key beside it"},
		"[keys]\nconference = false\n[lamps]\nconference = false\n":   nil,
	} {
		m, err := board.Parse("x.toml", []byte("name = 'x'\nfrom = 'rpi-4'\n"+own))
		if err != nil {
			t.Fatal(err)
		}
		got, sheet := Doubts(m), strings.Join(words(t, m), " ")
		if len(got) != len(want) {
			t.Errorf("%s: %q", own, got)
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) || !strings.Contains(sheet, want[i]) {
				t.Errorf("%s: %q, want %q, on the sheet too", own, got[i], want[i])
			}
		}
	}
}

// The example of the README can be built.
func TestExampleOfTheREADME(t *testing.T) {
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```toml\nname = \"dock\"\n")
	example, _, _ := strings.Cut(rest, "```")
	m, err := board.Parse("dock.toml", []byte("name = 'dock'\n"+example))
	if err != nil || example == "" {
		t.Fatal(err)
	}
	if all := Warnings(m); len(all) > 0 {
		t.Errorf("%q", all)
	}
}

// The table has every pin of the packages that the drawing has, and the pins of the header that they lead to.
func TestLegs(t *testing.T) {
	for definition, want := range map[string][]Leg{
		"from = 'rpi-4'":            {{"leds-a", "12 SCK", "SCL, header pin 5"}, {"leds-a", "13 SDA", "SDA, header pin 3"}, {"leds-a", "15 A0", "GND"}, {"leds-b", "15 A0", "3V3"}, {"leds-b", "18 RESET", "3V3"}},
		"from = 'beaglebone-black'": {{"leds-b", "12 SCK", "SCL, P9_19"}},
		"from = ['rpi-3', 'leds-74hc595']": {{"leds, register 1", "13 OE", "LEDS_ENABLE, and 10 kΩ to 3.3 V"}, {"leds, register 1", "14 SER", "LEDS_DATA"},
			{"leds, register 2", "14 SER", "pin 9 of register 1"}, {"leds, register 4", "9 QH'", "open"}},
	} {
		m, err := board.Parse("x.toml", []byte("name = 'x'\n"+definition))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !slices.Contains(Legs(m), w) {
				t.Errorf("%s: no %+v in %+v", definition, w, Legs(m))
			}
		}
	}
	m, err := board.Parse("x.toml", []byte("name = 'x'\nfrom = ['rpi-3', 'leds-74hc595']\n[lines]\nFAULT_RED = { pin = 'J8.26', active_low = true }\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := Pin(m, m.Wiring.Lines["SLOT5_RED"]); got != "2.QB, pin 1" {
		t.Error(got)
	}
	if got := Lit(m, m.Wiring.Lines["FAULT_RED"]); got != "330 Ω and LED to 3.3 V, lit when low" {
		t.Error(got)
	}
	if got := Supplies(m); len(got) != 3 || got[1] != "3V3: pin 1, pin 17" {
		t.Error(got)
	}
}

func TestOhms(t *testing.T) {
	for v, want := range map[int]string{0: "", 330: "330 Ω", 1000: "1 kΩ", 4700: "4.7 kΩ", 10000: "10 kΩ"} {
		if got := ohms(v); got != want {
			t.Errorf("%d: %q, want %q", v, got, want)
		}
	}
}
