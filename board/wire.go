package board

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// asked is a place that a definition gives to a line.
type asked struct {
	at       *node
	key      string
	place    Place
	settings *node // active_low, bias, drive and debounce, if given
}

// wire reads where the lines are. Without chips and lines the model stays a simulated one.
func (d *definition) wire(m *Model) {
	if field(d.root, "chips") == nil && field(d.root, "lines") == nil {
		return
	}
	w := &Wiring{Chips: map[string]Chip{}, Lines: map[string]Place{}}
	lines := map[string]asked{}
	expanders := map[[2]int]string{} // by bus and address
	d.tables(d.root, "chips", "chips", func(name, path string, t *node) {
		c := d.chip(t, path)
		if c.Kind == MCP23017 {
			at := [2]int{c.Bus, int(c.Address)}
			if other, taken := expanders[at]; taken {
				d.fail(t, path, "bus %d, address %#x is already that of chips.%s; each has one of its own, %#x to %#x", c.Bus, c.Address, other, mcpLowest, mcpHighest)
			}
			expanders[at] = name
		}
		w.Chips[name] = c
		for i, line := range d.names(t, "lines", path+".lines") {
			if line == "" {
				continue
			}
			a := asked{at: t.fields["lines"], key: path + ".lines", place: Place{Chip: name, Offset: i, Pin: c.Pin(i)}, settings: &node{}}
			if c.Kind == GPIOChip {
				a.place.Expect = []string{line}
			}
			if other, twice := lines[line]; twice {
				d.fail(a.at, a.key, "%q is already line %d of %s", line, other.place.Offset, other.place.Chip)
			}
			lines[line] = a
		}
	})
	d.headers(w)
	d.tables(d.root, "lines", "lines", func(name, path string, t *node) {
		if p, ok := d.place(w, t, path); ok {
			lines[name] = asked{at: t, key: path, place: p, settings: t}
		}
	})
	wrong := len(d.errs) > 0
	d.homeless(w, lines)
	if wrong {
		return // what follows would complain of the same again
	}
	d.occupy(w, lines, d.drive())
	m.Wiring = w
}

// homeless complains of the lines of the layout that have no place, not even one that is wrong.
func (d *definition) homeless(w *Wiring, lines map[string]asked) {
	given := field(d.root, "lines")
	for _, name := range slices.Sorted(maps.Keys(d.roles)) {
		if _, ok := lines[name]; ok || given != nil && given.table() && field(given, name) != nil {
			continue
		}
		want, such := d.lines[name], ""
		if pins := slices.Concat(d.unused(w, lines)); len(pins) > 0 {
			such = ", such as { pin = " + strconv.Quote(pins[0]) + " }"
		}
		if table, key, inside := strings.Cut(want.key, "."); want.key == "hook" || inside && (table == "lamps" || d.roles[name] == enableRole) {
			if last := strings.LastIndexByte(key, '.'); inside {
				table, key = table+"."+key[:last], key[last+1:]
				such += "; without it: [" + table + "] " + key + " = false"
			} else {
				such += "; without it: hook = false"
			}
		}
		d.fail(want.at, "lines."+name, "is missing: %s wants a place for it%s", want.key, such)
	}
}

// drive is how rows are driven unless a line says otherwise.
func (d *definition) drive() string {
	if t := field(d.root, "matrix"); t != nil {
		return d.word(t, "drive", "matrix.drive", "open-drain", "push-pull")
	}
	return ""
}

func (d *definition) chip(t *node, path string) Chip {
	d.closed(t, path, "kind", "labels", "count", "bus", "address", "chain", "data", "clock", "latch", "enable", "lines")
	c := Chip{Kind: ChipKind(d.word(t, "kind", path+".kind", string(GPIOChip), string(MCP23017), string(HC595))), Labels: d.names(t, "labels", path+".labels")}
	if t.fields["kind"] == nil {
		d.fail(t, path+".kind", "is missing: allowed is %s, %s, %s", GPIOChip, MCP23017, HC595)
	}
	c.Bus, _ = d.integer(t, "bus", path+".bus", 0, maxBus)
	if t.fields["address"] != nil {
		address, f := value[int64](&d.reader, t, "address", path+".address", "a number")
		if f != nil && (address < mcpLowest || address > mcpHighest) {
			d.fail(f, path+".address", "%#x: allowed is %#x to %#x", address, mcpLowest, mcpHighest)
		} else {
			c.Address = uint16(address)
		}
	}
	chain, chained := d.integer(t, "chain", path+".chain", 1, maxChain)
	if chained {
		c.Chain = chain
	}
	c.Count, _ = d.integer(t, "count", path+".count", 0, maxOffset+1)
	switch c.Kind {
	case GPIOChip:
		if len(c.Labels) == 0 || slices.Contains(c.Labels, "") {
			d.fail(t, path+".labels", "names no chip: give the kernel's label, as gpiodetect prints it")
		}
	case MCP23017:
		if t.fields["address"] == nil {
			d.fail(t, path+".address", "is missing: allowed is %#x to %#x", mcpLowest, mcpHighest)
		}
	case HC595:
		if !chained {
			d.fail(t, path+".chain", "is missing: allowed is 1 to %d registers", maxChain)
		}
		d.control(t, path, &c)
	}
	if list := field(t, "lines"); list != nil && c.lines() > 0 {
		if n, ok := list.value.([]*node); ok && len(n) > c.lines() {
			d.fail(list, path+".lines", "%d names: the chip has %d lines", len(n), c.lines())
		}
	}
	return c
}

// control reads which lines drive a chain of registers.
func (d *definition) control(t *node, path string, c *Chip) {
	if f := t.fields["bus"]; f != nil {
		d.fail(f, path+".bus", "a 74hc595 is on no bus: name its lines with data, clock, latch and, if OE is not at ground, enable")
	}
	for _, input := range []struct {
		key string
		to  *string
		is  role
	}{{"data", &c.Data, controlRole}, {"clock", &c.Clock, controlRole}, {"latch", &c.Latch, controlRole}, {"enable", &c.Enable, enableRole}} {
		switch f := field(t, input.key); {
		case f != nil:
			*input.to = d.lineOf(t, input.key, path+"."+input.key, input.is)
		case input.is == controlRole:
			d.fail(t, path+"."+input.key, `is missing: the name of a line, such as "LEDS_%s", which has its place in [lines]`, strings.ToUpper(input.key))
		}
	}
}

// lines is the number of lines that a chip is known to have, 0 for one that only the kernel knows.
func (c Chip) lines() int {
	switch c.Kind {
	case GPIOChip:
		return c.Count
	case MCP23017:
		return mcpLines
	case HC595:
		return 8 * c.Chain
	}
	return 0
}

func (d *definition) headers(w *Wiring) {
	d.tables(d.root, "headers", "headers", func(name, path string, t *node) {
		d.closed(t, path, "title", "pins")
		h := Header{Name: name, Title: d.text(t, "title", path+".title")}
		pins := field(t, "pins")
		if pins == nil || !pins.table() {
			d.fail(t, path+".pins", "is missing: a table of the header's pins by number")
			return
		}
		for _, number := range pins.keys {
			n, at := pins.fields[number], path+".pins."+number
			p := Pin{}
			var err error
			if p.Number, err = strconv.Atoi(number); err != nil || p.Number < 1 || p.Number > maxOffset {
				d.fail(n, at, "a pin is a number from 1 up")
				continue
			}
			switch supply, is := n.value.(string); {
			case is:
				p.Supply = supply
			case !n.table():
				d.fail(n, at, `%s is neither a supply such as "GND" nor { chip = ..., offset = ... }`, n.show())
				continue
			default:
				d.closed(n, at, "chip", "offset", "expect", "signal")
				p.Signal = d.text(n, "signal", at+".signal")
				if field(n, "chip") != nil {
					p.Chip, p.Offset, p.Expect = d.position(w, n, at)
				}
			}
			h.Pins = append(h.Pins, p)
		}
		slices.SortFunc(h.Pins, func(a, b Pin) int { return a.Number - b.Number })
		w.Headers = append(w.Headers, h)
	})
}

// position reads chip, offset and expect.
func (d *definition) position(w *Wiring, t *node, path string) (chip string, offset int, expect []string) {
	chip = d.text(t, "chip", path+".chip")
	c, known := w.Chips[chip]
	if !known {
		chips := strings.Join(slices.Sorted(maps.Keys(w.Chips)), ", ")
		if at := field(t, "chip"); at != nil {
			d.fail(at, path+".chip", "%q: allowed is %s", chip, chips)
		} else {
			d.fail(t, path, "has neither pin nor chip: a pin of a header, or one of %s and the offset there", chips)
		}
		return "", 0, nil
	}
	highest := maxOffset
	if n := c.lines(); n > 0 {
		highest = n - 1
	}
	var given bool
	if offset, given = d.integer(t, "offset", path+".offset", 0, highest); !given {
		d.fail(t, path+".offset", "is missing: the number of the line on the chip, 0 to %d", highest)
	}
	return chip, offset, d.names(t, "expect", path+".expect")
}

// place reads where a line is: at a pin of a header, or on a chip.
func (d *definition) place(w *Wiring, t *node, path string) (Place, bool) {
	d.closed(t, path, "pin", "chip", "offset", "expect", "active_low", "bias", "drive", "debounce")
	at := field(t, "pin")
	if at == nil {
		chip, offset, expect := d.position(w, t, path)
		return Place{Chip: chip, Offset: offset, Expect: expect, Pin: w.Chips[chip].Pin(offset)}, chip != ""
	}
	for _, k := range []string{"chip", "offset", "expect"} {
		if f := field(t, k); f != nil {
			d.fail(f, path+"."+k, "not with pin: the header says which line that is")
		}
	}
	name := d.text(t, "pin", path+".pin")
	if _, is := at.value.(string); !is {
		return Place{}, false // told by text
	}
	header, number, _ := strings.Cut(name, ".")
	for _, h := range w.Headers {
		for _, p := range h.Pins {
			if h.Name != header || strconv.Itoa(p.Number) != number {
				continue
			}
			if p.Chip == "" {
				d.fail(at, path+".pin", "%q is %s: a line is wanted", name, p.Supply+p.Signal)
				return Place{}, false
			}
			for _, id := range slices.Sorted(maps.Keys(w.Chips)) {
				if w.Chips[id].Uses(p.Signal) {
					d.fail(at, path+".pin", "%q is %s, which %s needs", name, p.Signal, id)
				}
			}
			return Place{Chip: p.Chip, Offset: p.Offset, Expect: p.Expect, Header: h.Name, Number: p.Number, Pin: w.PinName(h.Name, p.Number)}, true
		}
	}
	d.fail(at, path+".pin", "%q: allowed is a pin of a header, such as %s", name, examplePin(w))
	return Place{}, false
}

// PinName is what a technician calls a pin: the header counts only where there are several.
func (w *Wiring) PinName(header string, number int) string {
	if len(w.Headers) > 1 {
		return header + "_" + strconv.Itoa(number)
	}
	return "pin " + strconv.Itoa(number)
}

func examplePin(w *Wiring) string {
	for _, h := range w.Headers {
		for _, p := range h.Pins {
			if p.Chip != "" {
				return strconv.Quote(h.Name + "." + strconv.Itoa(p.Number))
			}
		}
	}
	return "none, as the definition has no headers"
}

// occupy gives every line of the layout its place, and complains of two on one.
func (d *definition) occupy(w *Wiring, lines map[string]asked, drive string) {
	taken := map[string]map[int]string{}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		a := lines[name]
		is, known := d.roles[name]
		if !known {
			// What a part brings and the layout does not want is left alone; in the file itself it is a typo.
			if a.at.at.file == d.file {
				d.fail(a.at, a.key, "the layout has no line %q; it has %s", name, strings.Join(slices.Sorted(maps.Keys(d.roles)), ", "))
			}
			continue
		}
		p := d.settle(w, a, is, drive)
		if taken[p.Chip] == nil {
			taken[p.Chip] = map[int]string{}
		}
		if other, twice := taken[p.Chip][p.Offset]; twice {
			if first := lines[other]; first.at.at.file == d.file && a.at.at.file != d.file { // told where a person can mend it
				a, other = first, name
			}
			d.fail(a.at, a.key, "line %d of %s%s is already that of %s%s", p.Offset, p.Chip, called(p), other, d.free(w, lines))
			continue
		}
		taken[p.Chip][p.Offset] = name
		w.Lines[name] = p
	}
}

// called is the pin of a line in brackets.
func called(p Place) string {
	if p.Pin == "" {
		return ""
	}
	return " (" + p.Pin + ")"
}

// unused are the pins of the headers that have nothing on them, those that are good for nothing else apart.
func (d *definition) unused(w *Wiring, lines map[string]asked) (plain, shared []string) {
	taken := map[string]map[int]bool{}
	for name, a := range lines {
		if _, known := d.roles[name]; known {
			if taken[a.place.Chip] == nil {
				taken[a.place.Chip] = map[int]bool{}
			}
			taken[a.place.Chip][a.place.Offset] = true
		}
	}
	for _, h := range w.Headers {
		for _, p := range h.Pins {
			used := p.Chip == "" || taken[p.Chip][p.Offset]
			for _, c := range w.Chips {
				used = used || c.Uses(p.Signal)
			}
			switch name := h.Name + "." + strconv.Itoa(p.Number); {
			case used:
			case p.Signal == "":
				plain = append(plain, name)
			default:
				shared = append(shared, name+" ("+p.Signal+")")
			}
		}
	}
	return plain, shared
}

// free says which pins of the headers have nothing on them.
func (d *definition) free(w *Wiring, lines map[string]asked) string {
	const most = 16
	pins := slices.Concat(d.unused(w, lines))
	switch {
	case len(w.Headers) == 0:
		return ""
	case len(pins) == 0:
		return "; no pin of a header is free"
	case len(pins) > most:
		pins = append(pins[:most], "…")
	}
	return "; free are " + strings.Join(pins, ", ")
}

// settle applies what goes without saying: rows are open drain and driven low, columns and hook have a pull-up and are
// closed to ground, an LED lights when its line is high, registers are enabled by a low line.
func (d *definition) settle(w *Wiring, a asked, is role, drive string) Place {
	p, t := a.place, a.settings
	p.ActiveLow = is != ledRole && is != controlRole
	p.OpenDrain = is == rowRole && drive != "push-pull"
	input := is == columnRole || is == hookRole
	if input {
		p.Bias = PullUp
	}
	if kind := w.Chips[p.Chip].Kind; kind != GPIOChip && is != ledRole {
		d.fail(a.at, a.key, "%s is a %s: it drives LEDs only, it raises no interrupts and drives no other chip", p.Chip, kind)
	}
	if low, given := d.yes(t, "active_low", a.key+".active_low"); given {
		p.ActiveLow = low
	}
	if f := field(t, "bias"); f != nil && !input {
		d.fail(f, a.key+".bias", "%s: only columns and hook have one", f.show())
	} else if f != nil {
		if b := d.word(t, "bias", a.key+".bias", string(PullUp), string(PullDown), string(NoBias)); is == columnRole && Bias(b) == PullDown {
			d.fail(f, a.key+".bias", "%q: only the hook can have it, a key joins its column to a row that is driven low; allowed is pull-up, none", b)
		} else {
			p.Bias = Bias(b)
		}
	}
	if f := field(t, "drive"); f != nil && is != rowRole {
		d.fail(f, a.key+".drive", "%s: only rows have one", f.show())
	} else if f != nil {
		p.OpenDrain = d.word(t, "drive", a.key+".drive", "open-drain", "push-pull") == "open-drain"
	}
	if f := field(t, "debounce"); f != nil && is != hookRole {
		// The kernel's filter would swallow the columns' changes while rows are scanned.
		d.fail(f, a.key+".debounce", "only the hook has one, keys are debounced by their scanner")
	} else if f != nil {
		p.Debounce = d.duration(t, "debounce", a.key+".debounce", maxDebounce)
	}
	return p
}
