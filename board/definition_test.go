package board_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/board"
)

const hardware = `name = 'x'
hook = 'H'
[matrix]
settle = '1ms'
rows = ['R']
columns = ['C']
[keys]
1 = { row = 0, column = 0 }
[lamps]
lot = { red = 'L' }
[chips.soc]
kind = 'gpio'
labels = ['soc']
[chips.more]
kind = 'mcp23017'
bus = 1
address = 0x20
[chips]
chain = { kind = '74hc595', chain = 1, data = 'D', clock = 'K', latch = 'T' }

[headers.J1.pins]
1 = '3V3'
2 = { chip = 'soc', offset = 0, expect = ['R', 'GPIO0'] }
3 = { chip = 'soc', offset = 30, signal = 'i2c-1 SDA' }
[lines]
R = { pin = 'J1.2' }
C = { chip = 'soc', offset = 1 }
H = { chip = 'soc', offset = 2, debounce = '5ms' }
L = { chip = 'more', offset = 15 }
D = { chip = 'soc', offset = 3 }
K = { chip = 'soc', offset = 4 }
T = { chip = 'soc', offset = 5, active_low = true }
`

func TestWiring(t *testing.T) {
	m, err := board.Parse("x.toml", []byte(hardware))
	if err != nil {
		t.Fatal(err)
	}
	w := m.Wiring.Lines
	if r := w["R"]; !r.OpenDrain || !r.ActiveLow || r.Bias != board.AsIs || r.Pin != "pin 2" || r.Offset != 0 || !slices.Equal(r.Expect, []string{"R", "GPIO0"}) {
		t.Errorf("row %+v", r)
	}
	if c := w["C"]; !c.ActiveLow || c.Bias != board.PullUp || c.OpenDrain {
		t.Errorf("column %+v", c)
	}
	if h := w["H"]; h.Debounce != 5*time.Millisecond || h.Bias != board.PullUp {
		t.Errorf("hook %+v", h)
	}
	if m.Wiring.Chips["chain"].Text() != "1 74HC595 in a chain on D, K, T" || w["D"].ActiveLow || !w["T"].ActiveLow || w["K"].OpenDrain {
		t.Errorf("chain %s, %+v", m.Wiring.Chips["chain"].Text(), w)
	}
	if l := w["L"]; l.ActiveLow || l.Bias != board.AsIs || l.Pin != "GPB7" {
		t.Errorf("LED %+v", l)
	}
}

// Registers take the place of the expanders on each board, on plain lines that are free there and, so that they change in one
// call, on one chip.
func TestRegistersOnEachBoard(t *testing.T) {
	for _, name := range []string{"rpi-zero-w", "rpi-zero-2w", "rpi-3", "rpi-4", "beaglebone-black"} {
		m, err := board.Parse("x.toml", []byte("name = 'x'\nfrom = ['"+name+"', 'leds-74hc595']\n"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		w := m.Wiring
		for _, line := range w.Chips["leds"].Control() {
			if p := w.Lines[line]; p.Chip != w.Lines["LEDS_DATA"].Chip || p.Header == "" || p.ActiveLow != (line == "LEDS_ENABLE") {
				t.Errorf("%s: %s is %+v", name, line, p)
			}
		}
		if plain, err := board.Load(name, nil); err != nil || plain.Wiring.Lines["LEDS_DATA"].Chip != "" {
			t.Errorf("%s: its expanders take lines of registers, %v", name, err)
		}
	}
}

func TestTwoOnOneLine(t *testing.T) {
	_, err := board.Parse("x.toml", []byte("name = 'x'\nfrom = ['rpi-4']\n[lines]\nFAULT_RED = { pin = 'J8.29' }\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "x.toml:4:1: lines.FAULT_RED: line 5 of soc (pin 29) is already that of ROW0; free are J8.19, J8.21, J8.23, J8.24, J8.26, J8.8 (console TXD), J8.10 (console RXD), J8.12 (i2s BCLK), ") {
		t.Errorf("told elsewhere than in the file that somebody has written: %v", err)
	}
}

// Any key may have a lamp beside it, and the place of an orbit's key or lamp may be wanted for something else.
func TestOrbitKeyLeftOut(t *testing.T) {
	own := "name = 'x'\nfrom = 'desk'\n[keys]\nslot-9 = false\nspeaker = { row = 7, column = 0 }\n[lamps]\nslot-4 = false\nredial = { red = 'REDIAL_RED' }\n"
	if _, err := board.Parse("x.toml", []byte(own)); err != nil {
		t.Error(err)
	}
}

// What is wrong is told where a person can mend it, not in the built-in part that it does not fit.
func TestBlamesTheFile(t *testing.T) {
	for own, want := range map[string]string{
		"[lamps]\npark = { green = 'HOLD_GREEN' }\n":      `x.toml:4:10: lamps.park.green: "HOLD_GREEN" is already the line of lamps.hold.green; each has one of its own`,
		"[chips]\nsoc = false\n":                          `x.toml:4:1: chips.soc: does not fit what the file is made from: headers.J8.pins.3.chip: "soc": allowed is leds-a, leds-b (rpi.toml:26:7, and in 45 places more)`,
		"[chips.leds-a]\naddress = 0x21\n":                "x.toml:4:1: chips.leds-a.address: does not fit what the file is made from: chips.leds-b: bus 1, address 0x21 is already that of chips.leds-a; each has one of its own, 0x20 to 0x27 (rpi.toml:17:8)",
		"[keys]\nmute = false\n[lines]\nHOOK = false\n":   `x.toml:6:1: lines.HOOK: does not fit what the file is made from: lines.HOOK: is missing: hook wants a place for it, such as { pin = "J8.7" }; without it: hook = false (desk.toml:6:1)`,
		"[lines]\nFAULT_RED = false\n":                    `x.toml:4:1: lines.FAULT_RED: does not fit what the file is made from: lines.FAULT_RED: is missing: lamps.fault.red wants a place for it, such as { pin = "J8.19" }; without it: [lamps.fault] red = false (`,
		"[chips]\nleds-a = false\n":                       `x.toml:4:1: chips.leds-a: does not fit what the file is made from: lines.SLOT1_GREEN: is missing: lamps.slot-1.green wants a place for it, such as { pin = "J8.19" }; without it: [lamps.slot-1] green = false (`,
		"[matrix]\nrows = ['ROW0', 'ROWX']\n":             `x.toml:4:1: lines.ROWX: is missing: matrix.rows wants a place for it, such as { pin = "J8.11" }`,
		"[lines]\nHOOK = { chip = 'soc', offset = 99 }\n": `x.toml:4:24: lines.HOOK.offset: 99: allowed is 0 to 57`,
	} {
		if _, err := board.Parse("x.toml", []byte("name = 'x'\nfrom = 'rpi-4'\n"+own)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Parts that do not fit one another are the fault of who put them together.
func TestBlamesFrom(t *testing.T) {
	_, err := board.Parse("x.toml", []byte("name = 'x'\nfrom = ['qemu-virt', 'leds-74hc595']\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "x.toml:2:1: from: does not fit what the file is made from: chips.leds.lines: ") {
		t.Error(err)
	}
}

// A person who misspelt something is told file, line, column and key, the value, and what is allowed.
func TestParseRefuses(t *testing.T) {
	cases := []struct{ name, old, new, want string }{
		{"unknown key", "hook = 'H'", "hok = 'H'", `x.toml:2:1: hok: unknown key; did you mean "hook"?`},
		{"key like no other", "hook = 'H'", "wolf = 'H'", `x.toml:2:1: wolf: unknown key; allowed here: name, title, from`},
		{"misspelt key of a line", "offset = 15 }", "ofset = 15 }", `x.toml:29:22: lines.L.ofset: unknown key; did you mean "offset"?`},
		{"not TOML", "name =", "name = =", "x.toml:1:"},
		{"text for a number", "row = 0", "row = '0'", `x.toml:8:7: keys.1.row: "0" is not a whole number`},
		{"settle", "'1ms'", "'1h'", `x.toml:4:1: matrix.settle: "1h": allowed is a length of time from 0s to 20ms, such as "50us"`},
		{"outside the matrix", "row = 0", "row = 1", "x.toml:8:7: keys.1.row: 1: allowed is 0 to 0"},
		{"row missing", "row = 0, ", "", "x.toml:8:1: keys.1.row: is missing"},
		{"two keys in one place", "[lamps]", "2 = { row = 0, column = 0 }\n[lamps]", `x.toml:9:1: keys.2: row 0, column 0 is already the place of key "1"`},
		{"group", "row = 0", "group = 'odd', row = 0", `keys.1.group: "odd": allowed is keypad, function, orbit`},
		{"key that nobody knows", "[lamps]", "prak = { row = 0, column = 0 }\n[lamps]", `x.toml:9:1: keys.prak: "prak": did you mean "park"?`},
		{"key like no other key", "[lamps]", "giraffe = { row = 0, column = 0 }\n[lamps]", `x.toml:9:1: keys.giraffe: "giraffe": allowed is 1, 2, 3`},
		{"orbit key without number", "[lamps]", "slot-01 = { row = 0, column = 0 }\n[lamps]", `keys.slot-01: "slot-01": allowed is 1, 2, 3`},
		{"lamp that nobody knows", "lot = {", "fualt = {", `x.toml:10:1: lamps.fualt: "fualt": did you mean "fault"?`},
		{"two expanders at an address", "[chips]", "[chips.less]\nkind = 'mcp23017'\nbus = 1\naddress = 0x20\n[chips]", "x.toml:18:8: chips.less: bus 1, address 0x20 is already that of chips.more; each has one of its own, 0x20 to 0x27"},
		{"lamp without line", "red = 'L'", "label = 'L'", "x.toml:10:1: lamps.lot: has no line: give green, red or steady"},
		{"line used twice", "red = 'L'", "red = 'L', green = 'R'", `x.toml:10:20: lamps.lot.green: "R" is already the line of matrix.rows; each has one of its own`},
		{"too many rows", "['R']", "[" + strings.Repeat("'r',", 33) + "]", "33 x 1 lines: allowed is up to 32 x 32"},
		{"unknown chip kind", "'mcp23017'", "'pcf8574'", `x.toml:15:1: chips.more.kind: "pcf8574": allowed is gpio, mcp23017, 74hc595`},
		{"no kind", "kind = 'mcp23017'\n", "", "chips.more.kind: is missing: allowed is gpio, mcp23017, 74hc595"},
		{"no label", "labels = ['soc']\n", "", "chips.soc.labels: names no chip: give the kernel's label"},
		{"address", "0x20", "0x48", "x.toml:17:1: chips.more.address: 0x48: allowed is 0x20 to 0x27"},
		{"chain", "chain = 1", "chain = 9", "chips.chain.chain: 9: allowed is 1 to 8"},
		{"registers without a clock", "clock = 'K', ", "", `x.toml:19:1: chips.chain.clock: is missing: the name of a line, such as "LEDS_CLOCK", which has its place in [lines]`},
		{"registers whose line has no place", "K = { chip = 'soc', offset = 4 }\n", "", `x.toml:19:52: lines.K: is missing: chips.chain.clock wants a place for it`},
		{"two of a register's inputs on a line", "clock = 'K'", "clock = 'D'", `x.toml:19:52: chips.chain.clock: "D" is already the line of chips.chain.data; each has one of its own`},
		{"registers on a key's line", "'soc', offset = 4", "'soc', offset = 0", "line 0 of soc (pin 2) is already that of K; no pin of a header is free"},
		{"registers on an expander", "K = { chip = 'soc', offset = 4", "K = { chip = 'more', offset = 4", "lines.K: more is a mcp23017: it drives LEDs only, it raises no interrupts and drives no other chip"},
		{"registers on a bus", "chain = 1", "chain = 1, bus = 0", "x.toml:19:40: chips.chain.bus: a 74hc595 is on no bus: name its lines with data, clock, latch and"},
		{"line of nobody", "H = {", "G = {", `x.toml:28:1: lines.G: the layout has no line "G"`},
		{"line without place", "L = { chip = 'more', offset = 15 }\n", "", "x.toml:10:9: lines.L: is missing: lamps.lot.red wants a place for it; without it: [lamps.lot] red = false"},
		{"no such chip", "'more', offset = 15", "'less', offset = 15", `x.toml:29:7: lines.L.chip: "less": allowed is chain, more, soc`},
		{"no offset", ", offset = 15", "", "lines.L.offset: is missing"},
		{"outside the chip", "offset = 15", "offset = 16", "x.toml:29:22: lines.L.offset: 16: allowed is 0 to 15"},
		{"TOML", "[lines]", "[lines]\nX = \u201cJ8.7\u201d", "x.toml:26:5: toml: unexpected character U+00E2 'â' at start of value; lines are key = \"text\", "},
		{"two on one line", "offset = 1 }", "offset = 0 }", "line 0 of soc (pin 2) is already that of C; no pin of a header is free"},
		{"key on an expander", "C = { chip = 'soc'", "C = { chip = 'more'", "lines.C: more is a mcp23017: it drives LEDs only"},
		{"bias of an LED", "offset = 15 }", "offset = 15, bias = 'pull-up' }", "only columns and hook have one"},
		{"unknown bias", "offset = 1 }", "offset = 1, bias = 'up' }", `lines.C.bias: "up": allowed is pull-up, pull-down, none`},
		{"column pulled down", "offset = 1 }", "offset = 1, bias = 'pull-down' }", `lines.C.bias: "pull-down": only the hook can have it`},
		{"drive of a column", "offset = 1 }", "offset = 1, drive = 'push-pull' }", "only rows have one"},
		{"unknown drive", "'J1.2'", "'J1.2', drive = 'strong'", `lines.R.drive: "strong": allowed is open-drain, push-pull`},
		{"debounced column", "offset = 1 }", "offset = 1, debounce = '5ms' }", "only the hook has one"},
		{"long debounce", "'5ms'", "'1s'", `lines.H.debounce: "1s": allowed is a length of time from 0s to 50ms`},
		{"neither pin nor chip", "{ chip = 'more', offset = 15 }", "{ offset = 15 }", "x.toml:29:1: lines.L: has neither pin nor chip: a pin of a header, or one of chain, more, soc and the offset there"},
		{"no such pin", "'J1.2'", "'J1.9'", `x.toml:26:7: lines.R.pin: "J1.9": allowed is a pin of a header, such as "J1.2"`},
		{"pin of a supply", "'J1.2'", "'J1.1'", `lines.R.pin: "J1.1" is 3V3: a line is wanted`},
		{"pin of a bus in use", "'J1.2'", "'J1.3'", `lines.R.pin: "J1.3" is i2c-1 SDA, which more needs`},
		{"pin and chip", "'J1.2'", "'J1.2', chip = 'soc'", "lines.R.chip: not with pin"},
		{"from nothing", "name = 'x'", "name = 'x'\nfrom = 'toaster'", `x.toml:2:1: from: no such model: "toaster" (there are: beaglebone-black, desk`},
		{"sound card", "[lines]", "[sound.a]\nrate = 44100\n[lines]", "x.toml:25:8: sound.a.card: is missing"},
		{"sound rate of more than 32 bits", "[lines]", "[sound.a]\ncard = 'A'\nrate = 4294975296\n[lines]", "x.toml:27:1: sound.a.rate: 4294975296: allowed is 8000, 16000, 48000"},
		{"sound bus", "[lines]", "[sound.a]\ncard = 'A'\nbus = 'pci'\n[lines]", `x.toml:27:1: sound.a.bus: "pci": allowed is i2s, usb`},
		{"sound rate", "[lines]", "[sound.a]\ncard = 'A'\nrate = 44100\n[lines]", "x.toml:27:1: sound.a.rate: 44100: allowed is 8000, 16000, 48000"},
		{"gain", "[lines]", "[sound.a]\ncard = 'A'\nhandset = { gain = 99 }\n[lines]", "sound.a.handset.gain: 99: allowed is -30 to 12 dB"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(hardware, c.old) {
				t.Fatalf("the definition has no %q", c.old)
			}
			_, err := board.Parse("x.toml", []byte(strings.Replace(hardware, c.old, c.new, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error\n%v\nwant one that says\n%s", err, c.want)
			}
		})
	}
}

// A pin that is no text is no pin that the header lacks.
func TestPinWithoutQuotes(t *testing.T) {
	_, err := board.Parse("x.toml", []byte("name = 'x'\nfrom = 'rpi-4'\n[lines]\nHOOK = { pin = 7 }\n"))
	if want := "x.toml:4:10: lines.HOOK.pin: 7 is not a text in quotes"; err == nil || err.Error() != want {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
}

// What is taken away must be there: of a misspelt name the right one would stay. The rest of the file is told with it.
func TestTakenAway(t *testing.T) {
	_, err := board.Parse("x.toml", []byte("name = 'x'\nfrom = 'rpi-4'\n[keys]\nconferense = false\nhold = { row = 1, column = 3, activelow = true }\n[lamps]\nfalt = false\ngiraffe = false\n"))
	for _, want := range []string{`x.toml:4:1: keys.conferense: there is none to leave out; did you mean "conference"?`, `x.toml:5:31: keys.hold.activelow: unknown key; `,
		"x.toml:7:1: lamps.falt: there is none", "x.toml:8:1: lamps.giraffe: there is none to leave out; there are slot-1, "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error\n%v\nwant one that says\n%s", err, want)
		}
	}
}

// One mistake is told once, and does not hide another.
func TestEachFaultOnce(t *testing.T) {
	for text, want := range map[string][]string{
		"from = 'rpi-4'\n[lines]\nFAULT_RED = { pin = 'J8.26', bias = 'pullup', drive = 'x', debounce = 'y' }\n": {
			`lines.FAULT_RED.bias: "pullup": only columns and hook have one`, `lines.FAULT_RED.drive: "x": only rows have one`, "lines.FAULT_RED.debounce: only the hook has one"},
		"from = 'rpi-4'\n[lines]\nCOL0 = { pin = 'J8.18', bias = 'pullup' }\n": {`lines.COL0.bias: "pullup": allowed is pull-up, pull-down, none`},
		"from = 'rpi-4'\n[hook]\npin = 'J8.7'\n":                               {"hook: a table is not a text in quotes"},
		"from = 'rpi-4'\n[lamps.park]\ngreen = 5\n":                            {"lamps.park.green: 5 is not a text in quotes"},
		"[chips.a]\nkind = 'pcf8574'\naddress = 0x48\n":                        {`chips.a.kind: "pcf8574": allowed is gpio, mcp23017, 74hc595`, "chips.a.address: 0x48: allowed is 0x20 to 0x27"},
		"from = 'rpi-4'\n[keys]\nconfernce = { row = 99, col = 2 }\n": {`keys.confernce.col: unknown key; did you mean "column"?`, `keys.confernce: "confernce": did you mean "conference"?`,
			"keys.confernce.row: 99: allowed is 0 to 7", "keys.confernce.column: is missing"},
	} {
		_, err := board.Parse("x.toml", []byte("name = 'x'\n"+text))
		if err == nil || strings.Count(err.Error(), "\n") != len(want)-1 {
			t.Errorf("%s%v\nwant %d faults", text, err, len(want))
		}
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s%v\nwant %s", text, err, w)
			}
		}
	}
	for _, name := range []string{"rpi4", "rpi-5"} {
		if _, err := board.Load(name, nil); err == nil || !strings.Contains(err.Error(), `no such model: "`+name+`" (did you mean "rpi-`) {
			t.Error(err)
		}
	}
	if err := (board.Config{Model: "beaglebone"}).Validate(); err == nil || !strings.HasSuffix(err.Error(), `, rpi-zero-w; did you mean "beaglebone-black"?`) {
		t.Error(err)
	}
}

// A file of nonsense costs little and is refused in so many lines as a person reads.
func TestHugeDefinitions(t *testing.T) {
	text := strings.Repeat("#", 32<<10)
	if _, err := board.Parse("x.toml", []byte(text+"#")); err == nil || err.Error() != "x.toml: has 32769 bytes: a board definition has at most 32768" {
		t.Error(err)
	}
	// One that an earlier system took is used further.
	held := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(held, []byte("name = 'x'\nfrom = 'rpi-4'\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := (board.Config{File: held}).Load(nil); err != nil || m.Name != "x" {
		t.Errorf("%q: %v", m.Name, err)
	}
	text = "name = 'x'\nfrom = 'rpi-4'\n[headers.J8.pins]\n"
	for i := range 300 {
		text += fmt.Sprintf("x%d = 'GND'\n", i)
	}
	_, err := board.Parse("x.toml", []byte(text))
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != 101 || !strings.HasPrefix(lines[99], "x.toml:103:1: headers.J8.pins.x99: a pin is") || lines[100] != "x.toml: and 200 faults more" {
		t.Errorf("%d lines, at last %q", len(lines), lines[len(lines)-1])
	}
}

// What a definition costs grows with its length, not with the square of it: the first process of an appliance reads what a
// server sends, and has some hundred megabytes at most.
func TestCostlyDefinitions(t *testing.T) {
	const n = 31 << 10
	var chips, keys strings.Builder
	for i := range n / 24 {
		fmt.Fprintf(&chips, "%x={kind='mcp23017'}\n", i)
		fmt.Fprintf(&keys, "%x=1\n", i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"parts of a header": {"[" + strings.Repeat("a.", n/2) + "a]\n", `x.toml:1:258: the key that begins with "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a." is too long: at most 255 bytes`},
		"parts of a key":    {strings.Repeat("a.", n/2) + "a = 1\n", "x.toml:1:257: the key that begins with \"a.a."},
		"lists in lists":    {"a = " + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + "\n", "x.toml:1:1: the key that begins with \"a.0.0."},
		"tables in tables":  {"a = " + strings.Repeat("{a=", 7000) + "1" + strings.Repeat("}", 7000) + "\n", "x.toml:1:387: the key that begins with \"a.a."},
		"tables in a list":  {"a = [1, {" + strings.Repeat("b", 300) + "=1}]\n", "x.toml:1:10: the key that begins with \"a.1.bbb"},
		"a long name":       {"[" + strings.Repeat("a", n/2) + "]\n" + keys.String(), "x.toml:1:2: the key that begins with \"aaa"},
		"made from many":    {"from = [" + strings.Repeat("'rpi-4', ", n/9) + "]\n", "x.toml:1:1: from: has 3527 names: at most 16 are allowed"},
		"expanders at an address": {"name='x'\n[chips]\n" + chips.String(),
			"x.toml:3:1: chips.0.address: is missing: allowed is 0x20 to 0x27\nx.toml:4:1: chips.1.address: is missing: allowed is 0x20 to 0x27\nx.toml:4:1: chips.1: bus 0, address 0x0 is already that of chips.0;"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := board.Parse("x.toml", []byte(c.text))
		runtime.ReadMemStats(&after)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %.200v, want %s", name, err, c.want)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 40 {
			t.Errorf("%s: %d bytes take %d MB", name, len(c.text), took)
		}
	}
}

// A board on a device differs from a built-in one by what it says, line by line.
func TestOwnDefinition(t *testing.T) {
	const own = `name = "ours"
from = ["rpi-4", "leds-74hc595"]
hook = false
[keys]
mute = false
park = { row = 3, column = 3 }
[lamps]
mute = false
[lines]
FAULT_RED = { pin = "J8.8", active_low = true }
`
	m, err := board.Parse("own.toml", []byte(own))
	if err != nil {
		t.Fatal(err)
	}
	if _, mute := m.Key("mute"); mute || keyAt(m, 3, 3) != "park" || m.Hook != "" || m.Name != "ours" {
		t.Errorf("keys %v, hook %q, name %q", m.Keys, m.Hook, m.Name)
	}
	w := m.Wiring
	if l := w.Lines["FAULT_RED"]; l.Offset != 14 || !l.ActiveLow || l.Pin != "pin 8" {
		t.Errorf("fault LED %+v", l)
	}
	if l := w.Lines["SLOT5_RED"]; l.Chip != "leds" || l.Pin != "2.QB" {
		t.Errorf("LED on the second register %+v", l)
	}
	if _, expander := w.Chips["leds-a"]; expander {
		t.Error("the expanders are still there")
	}
	if _, muted := w.Lines["MUTE_RED"]; muted {
		t.Error("a lamp that was taken away has a line")
	}
	if _, err := board.Parse("own.toml", []byte(own+"HOOK = { pin = 'J8.7' }\n")); err == nil || !strings.Contains(err.Error(), `own.toml:11:1: lines.HOOK: the layout has no line "HOOK"`) {
		t.Errorf("a line that the layout does not have any more: %v", err)
	}
}
