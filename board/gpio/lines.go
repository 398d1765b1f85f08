package gpio

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"

	"parklamp/board"
)

// line is a line of the definition that the kernel has and nobody uses.
type line struct {
	place board.Place
	chip  string // name below /dev, of this boot
}

// find looks every line of GPIO chips up, and says of each that cannot be used why. A line may be in use by friend.
func find(w *board.Wiring, friend string) (map[string]line, []Fault) {
	found := map[string]line{}
	var faults []Fault
	for _, id := range slices.Sorted(maps.Keys(w.Chips)) {
		c := w.Chips[id]
		if c.Kind != board.GPIOChip {
			continue
		}
		places := map[string]board.Place{}
		for name, p := range w.Lines {
			if p.Chip == id {
				places[name] = p
			}
		}
		if len(places) == 0 {
			continue
		}
		chip, name, err := openChip(c.Labels, places)
		if err != nil {
			faults = append(faults, Fault{Part: id, Text: err.Error(), Hint: "is this the right board definition? gpiodetect lists the chips"})
			continue
		}
		for _, l := range slices.Sorted(maps.Keys(places)) {
			p := places[l]
			if f := inspect(chip, l, p, friend); f != nil {
				faults = append(faults, *f)
				continue
			}
			found[l] = line{place: p, chip: name}
		}
		chip.Close()
	}
	return found, faults
}

// openChip finds a chip by label: numbers below /dev change from boot to boot. Where several have one of the labels, it is
// that whose lines have most of the expected names.
func openChip(labels []string, places map[string]board.Place) (*gpiocdev.Chip, string, error) {
	var refused error
	var best *gpiocdev.Chip
	most := -1
	for _, name := range gpiocdev.Chips() {
		c, err := gpiocdev.NewChip(name, gpiocdev.WithConsumer(consumer))
		if err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		if n := fits(c, places); slices.Contains(labels, c.Label) && n > most {
			best, c, most = c, best, n
		}
		if c != nil {
			c.Close()
		}
	}
	if best != nil {
		return best, best.Name, nil
	}
	err := fmt.Errorf("no GPIO chip is called %s", strings.Join(labels, " or "))
	if refused != nil {
		err = fmt.Errorf("%w (%w)", err, refused)
	}
	return nil, "", err
}

// fits counts the places whose lines the chip calls as expected.
func fits(c *gpiocdev.Chip, places map[string]board.Place) (n int) {
	for _, p := range places {
		if info, err := c.LineInfo(p.Offset); err == nil && info.Name != "" && expected(info.Name, p.Expect) {
			n++
		}
	}
	return n
}

// inspect says what keeps a line from being used, nil for nothing.
func inspect(chip *gpiocdev.Chip, name string, p board.Place, friend string) *Fault {
	at := fmt.Sprintf("line %d of %s", p.Offset, chip.Label)
	info, err := chip.LineInfo(p.Offset)
	switch {
	case err != nil:
		return &Fault{Part: name, Text: fmt.Sprintf("%s is missing: the chip has %d lines", at, chip.Lines()), Hint: "check the offset in the board definition"}
	case !expected(info.Name, p.Expect):
		// Another pin than the technician wired could be shorted, or be somebody else's.
		return &Fault{Part: name, Text: fmt.Sprintf("%s is called %q, not %s", at, info.Name, strings.Join(p.Expect, " or ")),
			Hint: "is this the right board definition? the line is left alone"}
	case info.Used && (friend == "" || info.Consumer != friend):
		return &Fault{Part: name, Text: fmt.Sprintf("%s is in use by %q", at, info.Consumer), Hint: "end that program, or take the overlay that claims the pin out of the boot configuration"}
	}
	return nil
}

// expected compares a name; the kernel may say more than a definition ("P8_07 [gpmc_advn]"), or nothing.
func expected(name string, want []string) bool {
	if name == "" || len(want) == 0 {
		return true
	}
	return slices.ContainsFunc(want, func(w string) bool { return name == w || strings.HasPrefix(name, w+" ") })
}

// request is some outputs of one chip that were asked for together.
type request struct {
	lines  *gpiocdev.Lines
	bits   []int // for each line its place in the mask, or its LED
	values []int // as written last
}

// lines is a mask of lines, on one chip or several.
type lines []*request

// config tells lines apart that cannot be asked for together.
type config struct {
	chip      string
	activeLow bool
	bias      board.Bias
	openDrain bool
	debounce  string
}

// together gives take the named lines, those of one chip and one configuration at a time. What cannot be had is a fault.
func (b *Board) together(found map[string]line, names []string, take func(chip string, p board.Place, offsets, bits []int) error) {
	groups := map[config][]int{}
	var order []config
	for bit, n := range names {
		f, ok := found[n]
		if !ok {
			continue
		}
		c := config{f.chip, f.place.ActiveLow, f.place.Bias, f.place.OpenDrain, f.place.Debounce.String()}
		if groups[c] == nil {
			order = append(order, c)
		}
		groups[c] = append(groups[c], bit)
	}
	for _, c := range order {
		bits := groups[c]
		first := found[names[bits[0]]].place
		offsets := make([]int, len(bits))
		for i, bit := range bits {
			offsets[i] = found[names[bit]].place.Offset
		}
		if err := take(c.chip, first, offsets, bits); err != nil {
			hint := "end the program that uses them"
			if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
				hint = "run as root or as a member of the group of /dev/" + c.chip
			}
			b.fault(names[bits[0]], hint, "lines %v of %s cannot be had: %v", offsets, first.Chip, err)
		}
	}
}

// request takes outputs.
func (b *Board) request(found map[string]line, names []string, options func(board.Place) []gpiocdev.LineReqOption) (out lines) {
	b.together(found, names, func(chip string, p board.Place, offsets, bits []int) error {
		asked := append(options(p), gpiocdev.WithConsumer(consumer))
		if p.ActiveLow {
			asked = append(asked, gpiocdev.AsActiveLow)
		}
		taken, err := gpiocdev.RequestLines(chip, offsets, asked...)
		if err == nil {
			b.closers = append(b.closers, taken.Close)
			out = append(out, &request{lines: taken, bits: bits, values: make([]int, len(bits))})
		}
		return err
	})
	return out
}

func (l lines) write(mask uint32) error {
	for _, r := range l {
		for i, bit := range r.bits {
			r.values[i] = int(mask >> bit & 1)
		}
		if err := r.lines.SetValues(r.values); err != nil {
			return err
		}
	}
	return nil
}
