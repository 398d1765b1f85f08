package board

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of a definition; the row and column masks are 32 bits wide.
const (
	maxRows    = 32
	maxColumns = 32
	maxSettle  = 20 * time.Millisecond
	maxOhms    = 1_000_000
	// maxDebounce is the longest time that the kernel is asked to filter a line.
	maxDebounce = 50 * time.Millisecond
	maxOffset   = 1023
	maxBus      = 63
)

// Parse reads a definition in TOML and checks it: no two keys in one place, no line used twice, every key inside the
// matrix, every line with a place if there is hardware. file names it in errors. A definition says with from what it is made
// from, built-in models or parts of them; what it gives itself counts more, and false takes a thing away. The error joins
// everything that is wrong, each with file, line, key and what is allowed.
func Parse(file string, text []byte) (Model, error) {
	if len(text) > longest {
		return Model{}, fmt.Errorf("%s: has %d bytes: a board definition has at most %d", file, len(text), longest)
	}
	return parse(file, text)
}

// parse is Parse for a definition that is on the appliance already: earlier systems took longer ones.
func parse(file string, text []byte) (Model, error) {
	base, own, err := layers(file, text, nil)
	if err != nil {
		return Model{}, err
	}
	m, errs := read(file, laid(base, own))
	errs = append(takenAway(base, own), errs...)
	if len(errs) > 0 && !slices.ContainsFunc(errs, func(f fault) bool { return f.at.file == file }) {
		return Model{}, blame(file, base, own, errs)
	}
	if err := (&reader{errs}).wrong(file); err != nil {
		return Model{}, err
	}
	return m, nil
}

// read turns a whole document into a Model.
func read(file string, root *node) (Model, []fault) {
	d := &definition{file: file, root: root, lines: map[string]wanted{}}
	m := d.model()
	return m, d.errs
}

// blame says which word of a file does not fit what it is made from: that without which there would be fewer faults, none if
// possible. What is wrong then shows in a part that nobody can mend, in its words, which say what is allowed.
func blame(file string, base, own *node, errs []fault) error {
	tries, path, at, fewest := maxTold, "from", own.fields["from"], len(errs)
	var search func(n *node, above []string)
	search = func(n *node, above []string) {
		var worst []string
		for _, key := range n.keys {
			here := append(slices.Clone(above), key)
			if tries--; tries < 0 || len(above) == 0 && (key == "name" || key == "from") {
				continue
			}
			if _, left := read(file, laid(base, own.without(here))); len(left) < fewest || len(left) == fewest && len(above) > 0 && worst == nil {
				fewest, worst = len(left), here
			}
		}
		if worst == nil {
			return
		}
		at, path = n.fields[worst[len(above)]], strings.Join(worst, ".")
		if at.table() && !whole(worst) {
			search(at, worst)
		}
	}
	search(own, nil)
	if at == nil { // a part cannot be wrong by itself
		at = own
	}
	more := ""
	if len(errs) > 1 {
		more = fmt.Sprintf(", and in %d places more", len(errs)-1)
	}
	first := errs[0]
	return fmt.Errorf("%v: %s: does not fit what the file is made from: %s (%v%s)", at.at, path, first.text, first.at, more)
}

// definition turns a document into a Model.
type definition struct {
	reader
	file  string
	root  *node
	lines map[string]wanted
	roles map[string]role
}

// wanted is where a line of the layout is asked for.
type wanted struct {
	at  *node
	key string
}

func (d *definition) model() Model {
	r := d.root
	d.closed(r, "", "name", "title", "from", "compatible", "notes", "matrix", "hook", "led_ohms", "keys", "lamps", "chips", "headers", "lines", "sound")
	m := Model{Name: d.text(r, "name", "name"), Title: d.text(r, "title", "title"), Compatible: d.names(r, "compatible", "compatible"), Notes: d.names(r, "notes", "notes")}
	if field(r, "name") == nil {
		d.fail(r, "name", `is missing; a definition begins with name = "dock" and what it is made from, as in from = ["rpi-4"]`)
	}
	m.LEDOhms, _ = d.integer(r, "led_ohms", "led_ohms", 0, maxOhms)
	d.roles = map[string]role{}
	d.matrix(&m)
	if field(r, "hook") != nil {
		m.Hook = d.lineOf(r, "hook", "hook", hookRole)
	}
	d.keys(&m)
	d.lamps(&m)
	d.wire(&m)
	d.sound(&m)
	return m
}

// lineOf returns the line that a key names, and notes that the layout has it.
func (d *definition) lineOf(t *node, key, path string, is role) string {
	name, at := value[string](&d.reader, t, key, path, "a text in quotes")
	if at != nil {
		d.line(at, path, name, is)
	}
	return name
}

// line notes that the layout has a line.
func (d *definition) line(at *node, key, name string, is role) {
	if other, twice := d.lines[name]; twice || name == "" {
		taken := other.key
		if twice && other.at.at.file == d.file && at.at.file != d.file { // told where a person can mend it
			at, key, taken = other.at, other.key, key
		}
		if name == "" {
			d.fail(at, key, `"": want the name of a line, such as "FAULT_RED"`)
			return
		}
		d.fail(at, key, "%q is already the line of %s; each has one of its own", name, taken)
		return
	}
	d.lines[name], d.roles[name] = wanted{at, key}, is
}

func (d *definition) matrix(m *Model) {
	t := field(d.root, "matrix")
	if t == nil || !t.table() {
		if t != nil {
			d.fail(t, "matrix", "%s is not a table; write [matrix]", t.show())
		}
		return
	}
	d.closed(t, "matrix", "rows", "columns", "settle", "diodes", "drive", "pull_ohms")
	m.Rows, m.Columns = d.names(t, "rows", "matrix.rows"), d.names(t, "columns", "matrix.columns")
	m.Settle = d.duration(t, "settle", "matrix.settle", maxSettle)
	m.Diodes, _ = d.yes(t, "diodes", "matrix.diodes")
	m.PullOhms, _ = d.integer(t, "pull_ohms", "matrix.pull_ohms", 0, maxOhms)
	if len(m.Rows) > maxRows || len(m.Columns) > maxColumns {
		d.fail(t, "matrix", "%d x %d lines: allowed is up to %d x %d", len(m.Rows), len(m.Columns), maxRows, maxColumns)
		m.Rows, m.Columns = nil, nil
	}
	for _, n := range m.Rows {
		d.line(t.fields["rows"], "matrix.rows", n, rowRole)
	}
	for _, n := range m.Columns {
		d.line(t.fields["columns"], "matrix.columns", n, columnRole)
	}
}

// keyNames are what a phone has a use for, besides the orbits' (package sip/phone has them), and lampNames the lamps that are
// beside no key.
var (
	keyNames = []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#", "park", "hold", "transfer", "conference", "redial", "mute", "dnd", "headset",
		"speaker", "volume-down", "volume-up"}
	lampNames = append(keyNames[12:len(keyNames):len(keyNames)], "lot", "ringer", "fault")
)

// known checks the name of a key or lamp: a misspelt one would be there and do nothing.
func (d *definition) known(t *node, name, path string, names []string) {
	if number, ok := strings.CutPrefix(name, slotPrefix); ok {
		if n, err := strconv.Atoi(number); err == nil && n >= 1 && number == strconv.Itoa(n) {
			return
		}
	}
	if !slices.Contains(names, name) {
		d.fail(t, path, "%q: %s", name, meant(append(slices.Clone(names), slotPrefix+"1 and up"), name, "allowed is "))
	}
}

func (d *definition) keys(m *Model) {
	places := map[[2]int]Key{}
	d.tables(d.root, "keys", "keys", func(name, path string, t *node) {
		wrong := len(d.errs)
		d.closed(t, path, "row", "column", "label", "group")
		d.known(t, name, path, keyNames)
		k := ModelKey{Key: Key(name), Label: d.text(t, "label", path+".label"), Group: groupOf(name)}
		if g := d.word(t, "group", path+".group", "keypad", "function", "orbit"); g != "" {
			k.Group = g
		}
		if k.Label == "" {
			k.Label = name
		}
		for _, c := range []struct {
			key  string
			to   *int
			size int
		}{{"row", &k.Row, len(m.Rows)}, {"column", &k.Column, len(m.Columns)}} {
			var given bool
			if *c.to, given = d.integer(t, c.key, path+"."+c.key, 0, max(c.size-1, 0)); !given || c.size == 0 {
				d.fail(t, path+"."+c.key, "is missing: a key is at a row and a column of the %d x %d matrix", len(m.Rows), len(m.Columns))
			}
		}
		if len(d.errs) > wrong {
			return // its place is not known
		}
		at := [2]int{k.Row, k.Column}
		if other, taken := places[at]; taken {
			d.fail(t, path, "row %d, column %d is already the place of key %q", k.Row, k.Column, other)
		}
		places[at] = k.Key
		m.Keys = append(m.Keys, k)
	})
}

// groupOf says where a key sits on the phone if its definition does not.
func groupOf(key string) string {
	switch {
	case len(key) == 1:
		return "keypad"
	case strings.HasPrefix(key, slotPrefix):
		return "orbit"
	}
	return "function"
}

func (d *definition) lamps(m *Model) {
	d.tables(d.root, "lamps", "lamps", func(name, path string, t *node) {
		d.closed(t, path, "label", "green", "red", "steady")
		d.known(t, name, path, lampNames)
		l := ModelLamp{Lamp: Lamp(name), Label: d.text(t, "label", path+".label"), Green: NoLine, Red: NoLine, Steady: NoLine}
		if l.Label == "" {
			l.Label = name
		}
		for _, led := range []struct {
			key string
			to  *Line
		}{{"green", &l.Green}, {"red", &l.Red}, {"steady", &l.Steady}} {
			if field(t, led.key) == nil {
				continue
			}
			if line := d.lineOf(t, led.key, path+"."+led.key, ledRole); line != "" {
				m.LEDs = append(m.LEDs, line)
				*led.to = Line(len(m.LEDs) - 1)
			}
		}
		if l.Green == NoLine && l.Red == NoLine && l.Steady == NoLine {
			d.fail(t, path, "has no line: give green, red or steady")
		}
		m.Lamps = append(m.Lamps, l)
	})
}

// sound reads the sound cards, the best first.
func (d *definition) sound(m *Model) {
	d.tables(d.root, "sound", "sound", func(name, path string, t *node) {
		d.closed(t, path, "title", "bus", "card", "device", "capture_card", "capture_device", "rate", "handset", "headset", "speaker", "without", "notes")
		s := Sound{Name: name, Title: d.text(t, "title", path+".title"), Bus: d.word(t, "bus", path+".bus", "i2s", "usb"), Card: d.text(t, "card", path+".card"), CaptureCard: d.text(t, "capture_card", path+".capture_card"), Paths: map[string]SoundPath{}}
		if s.Card == "" {
			d.fail(t, path+".card", "is missing: the id of the card, as /proc/asound/cards has it in brackets")
		}
		s.Device, _ = d.integer(t, "device", path+".device", 0, 31)
		s.CaptureDevice, _ = d.integer(t, "capture_device", path+".capture_device", 0, 31)
		if rate, given := value[int64](&d.reader, t, "rate", path+".rate", "a whole number"); given != nil {
			if s.Rate = int(rate); !slices.Contains([]int64{8000, 16000, 48000}, rate) {
				d.fail(given, path+".rate", "%d: allowed is 8000, 16000, 48000", rate)
			}
		}
		s.Without, s.Notes = d.names(t, "without", path+".without"), d.names(t, "notes", path+".notes")
		for _, p := range s.Without {
			if p != "headset" && p != "speaker" {
				d.fail(t.fields["without"], path+".without", "%q: allowed is headset, speaker", p)
			}
		}
		for _, name := range []string{"handset", "headset", "speaker"} {
			f := field(t, name)
			if f == nil {
				continue
			}
			if !f.table() {
				d.fail(f, path+"."+name, "%s is not a table", f.show())
				continue
			}
			s.Paths[name] = d.soundPath(f, path+"."+name)
		}
		m.Sounds = append(m.Sounds, s)
	})
}

func (d *definition) soundPath(t *node, path string) SoundPath {
	d.closed(t, path, "wired", "output", "input", "controls", "mic_gain", "gain", "sidetone", "echo")
	p := SoundPath{
		Wired:  d.text(t, "wired", path+".wired"),
		Output: d.word(t, "output", path+".output", "both", "left", "right"),
		Input:  d.word(t, "input", path+".input", "left", "right"),
		Echo:   d.word(t, "echo", path+".echo", "none", "duplex"),
	}
	for _, g := range []struct {
		key             string
		to              **float64
		lowest, highest float64
	}{{"mic_gain", &p.MicGain, -30, 30}, {"gain", &p.Gain, -30, 12}, {"sidetone", &p.Sidetone, -40, 0}} {
		f := field(t, g.key)
		if f == nil {
			continue
		}
		v, err := strconv.ParseFloat(fmt.Sprint(f.value), 64)
		if err != nil || !(v >= g.lowest && v <= g.highest) { // written so that NaN is refused
			d.fail(f, path+"."+g.key, "%s: allowed is %g to %g dB", f.show(), g.lowest, g.highest)
			continue
		}
		*g.to = &v
	}
	if c := field(t, "controls"); c != nil && !c.table() {
		d.fail(c, path+".controls", "%s is not a table of mixer controls and values", c.show())
	} else if c != nil {
		p.Controls = map[string]string{}
		for _, name := range c.keys {
			if field(c, name) != nil {
				p.Controls[name] = d.text(c, name, path+".controls."+name)
			}
		}
	}
	return p
}
