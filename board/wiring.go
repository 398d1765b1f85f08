package board

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// ErrSimulated means that a model has no wiring: no driver of real lines can open it.
var ErrSimulated = errors.New("board: the model has no lines on hardware")

// ChipKind says what a Chip is.
type ChipKind string

// The kinds of Chip.
const (
	GPIOChip   ChipKind = "gpio"     // lines of the kernel's GPIO character device
	MCP23017   ChipKind = "mcp23017" // 16 outputs on I2C
	HC595      ChipKind = "74hc595"  // 8 outputs for each register of a chain on SPI
	maxChain            = 8          // registers in a chain
	mcpLines            = 16
	mcpLowest           = 0x20 // I2C addresses of an MCP23017
	mcpHighest          = 0x27
)

// Chip is something that has lines. Which fields count depends on Kind.
type Chip struct {
	Kind    ChipKind
	Labels  []string // gpio: the kernel's label, any of these (never a /dev/gpiochip number, which changes)
	Bus     int      // mcp23017: I2C bus, 1 for /dev/i2c-1; 74hc595: SPI bus
	Address uint16   // mcp23017: 0x20 to 0x27
	Select  int      // 74hc595: chip select of the SPI bus
	Chain   int      // 74hc595: registers one behind the other
}

// Bias is the resistor that the chip puts on an input.
type Bias string

// The biases. AsIs leaves what is there.
const (
	AsIs     Bias = ""
	PullUp   Bias = "pull-up"
	PullDown Bias = "pull-down"
	NoBias   Bias = "none"
)

// Place says where a line of a Model is and how it is wired.
type Place struct {
	Chip      string   // key in Wiring.Chips
	Offset    int      // line number on the chip
	Expect    []string // names that the kernel may give the line; empty: any. "P8_07" also stands for "P8_07 [gpmc]"
	ActiveLow bool     // the line is low when the key is pressed, the handset lifted, the row driven, the LED lit
	Bias      Bias     // inputs
	OpenDrain bool     // rows: a row that is not driven floats
	Debounce  time.Duration
	Header    string // the pin of the connector, for the technician
}

// Wiring says where the lines of a Model are.
type Wiring struct {
	Chips map[string]Chip
	Lines map[string]Place // by the names in Rows, Columns, Hook and LEDs of the Model
}

type chipFile struct {
	Kind    string   `toml:"kind"`
	Labels  []string `toml:"labels"`
	Bus     int      `toml:"bus"`
	Address uint16   `toml:"address"`
	Select  int      `toml:"select"`
	Chain   int      `toml:"chain"`
}

type placeFile struct {
	Chip      string   `toml:"chip"`
	Offset    *int     `toml:"offset"`
	Expect    []string `toml:"expect"`
	ActiveLow *bool    `toml:"active_low"`
	Bias      *string  `toml:"bias"`
	Drive     string   `toml:"drive"`
	Debounce  string   `toml:"debounce"`
	Header    string   `toml:"header"`
}

// maxDebounce is the longest time that the kernel is asked to filter a line.
const maxDebounce = 50 * time.Millisecond

// role is what a line is for: it decides what its Place means when the file says nothing.
type role uint8

const (
	rowRole role = iota
	columnRole
	hookRole
	ledRole
)

// wire reads where the lines are. Without chips and lines the model stays a simulated one.
func (m *Model) wire(f modelFile) error {
	if len(f.Chips) == 0 && len(f.Lines) == 0 {
		return nil
	}
	w := &Wiring{Chips: map[string]Chip{}, Lines: map[string]Place{}}
	for _, id := range slices.Sorted(maps.Keys(f.Chips)) {
		c, err := f.Chips[id].chip()
		if err != nil {
			return fmt.Errorf("board: chips.%s: %w", id, err)
		}
		w.Chips[id] = c
	}
	roles := m.roles()
	taken := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(f.Lines)) {
		r, known := roles[name]
		if !known {
			return fmt.Errorf("board: lines.%s: the layout has no such line", name)
		}
		p, err := f.Lines[name].place(w.Chips, r)
		if err != nil {
			return fmt.Errorf("board: lines.%s: %w", name, err)
		}
		at := fmt.Sprintf("%s line %d", p.Chip, p.Offset)
		if other, twice := taken[at]; twice {
			return fmt.Errorf("board: lines.%s: %s is already that of %s", name, at, other)
		}
		taken[at] = name
		w.Lines[name] = p
	}
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		if _, ok := w.Lines[name]; !ok {
			return fmt.Errorf("board: lines.%s is missing: every line of the layout has a place", name)
		}
	}
	m.Wiring = w
	return nil
}

// roles says what each line of the model is for.
func (m *Model) roles() map[string]role {
	roles := map[string]role{}
	for _, n := range m.Rows {
		roles[n] = rowRole
	}
	for _, n := range m.Columns {
		roles[n] = columnRole
	}
	if m.Hook != "" {
		roles[m.Hook] = hookRole
	}
	for _, n := range m.LEDs {
		roles[n] = ledRole
	}
	return roles
}

func (f chipFile) chip() (Chip, error) {
	c := Chip{Kind: ChipKind(f.Kind), Labels: f.Labels, Bus: f.Bus, Address: f.Address, Select: f.Select, Chain: f.Chain}
	switch c.Kind {
	case GPIOChip:
		if len(c.Labels) == 0 || slices.Contains(c.Labels, "") {
			return c, errors.New("labels names no chip: give the kernel's label, as gpiodetect prints it")
		}
	case MCP23017:
		if c.Address < mcpLowest || c.Address > mcpHighest {
			return c, fmt.Errorf("address = %#x: allowed is %#x to %#x", c.Address, mcpLowest, mcpHighest)
		}
		if c.Bus < 0 {
			return c, fmt.Errorf("bus = %d: allowed is 0 and up", c.Bus)
		}
	case HC595:
		if c.Chain < 1 || c.Chain > maxChain {
			return c, fmt.Errorf("chain = %d: allowed is 1 to %d", c.Chain, maxChain)
		}
		if c.Bus < 0 || c.Select < 0 {
			return c, fmt.Errorf("bus = %d, select = %d: allowed is 0 and up", c.Bus, c.Select)
		}
	default:
		return c, fmt.Errorf("kind = %q: allowed is %s, %s, %s", f.Kind, GPIOChip, MCP23017, HC595)
	}
	return c, nil
}

// lines is the number of lines that a chip is known to have, 0 for one that only the kernel knows.
func (c Chip) lines() int {
	switch c.Kind {
	case MCP23017:
		return mcpLines
	case HC595:
		return 8 * c.Chain
	}
	return 0
}

// place applies what goes without saying: rows are open drain and driven low, columns and hook have a pull-up and are
// closed to ground, an LED lights when its line is high.
func (f placeFile) place(chips map[string]Chip, r role) (Place, error) {
	p := Place{Chip: f.Chip, Expect: f.Expect, Header: f.Header, ActiveLow: r != ledRole}
	c, ok := chips[f.Chip]
	switch {
	case !ok:
		return p, fmt.Errorf("chip = %q: allowed is one of %v", f.Chip, slices.Sorted(maps.Keys(chips)))
	case f.Offset == nil:
		return p, errors.New("offset is missing")
	case *f.Offset < 0 || c.lines() > 0 && *f.Offset >= c.lines():
		return p, fmt.Errorf("offset = %d: %s has lines 0 to %d", *f.Offset, f.Chip, c.lines()-1)
	case c.Kind != GPIOChip && r != ledRole:
		return p, fmt.Errorf("chip = %q: a %s drives LEDs only, it raises no interrupts", f.Chip, c.Kind)
	}
	p.Offset = *f.Offset
	if f.ActiveLow != nil {
		p.ActiveLow = *f.ActiveLow
	}
	switch input := r == columnRole || r == hookRole; {
	case f.Bias == nil && input:
		p.Bias = PullUp
	case f.Bias == nil:
	case !input:
		return p, fmt.Errorf("bias = %q: only columns and hook have one", *f.Bias)
	case !slices.Contains([]Bias{AsIs, PullUp, PullDown, NoBias}, Bias(*f.Bias)):
		return p, fmt.Errorf("bias = %q: allowed is %s, %s, %s", *f.Bias, PullUp, PullDown, NoBias)
	default:
		p.Bias = Bias(*f.Bias)
	}
	switch {
	case f.Drive == "" || f.Drive == "open-drain":
		p.OpenDrain = r == rowRole
	case f.Drive != "push-pull":
		return p, fmt.Errorf("drive = %q: allowed is open-drain, push-pull", f.Drive)
	}
	if f.Drive != "" && r != rowRole {
		return p, fmt.Errorf("drive = %q: only rows have one", f.Drive)
	}
	if f.Debounce != "" {
		d, err := time.ParseDuration(f.Debounce)
		if err != nil || d < 0 || d > maxDebounce {
			return p, fmt.Errorf("debounce = %q: allowed is 0s to %v", f.Debounce, maxDebounce)
		}
		if r != hookRole {
			// The kernel's filter would swallow the columns' changes while rows are scanned.
			return p, fmt.Errorf("debounce = %q: only the hook has one, keys are debounced by their scanner", f.Debounce)
		}
		p.Debounce = d
	}
	return p, nil
}
