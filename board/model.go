package board

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

//go:embed models/*.toml
var models embed.FS

// Limits of a model; the row and column masks are 32 bits wide.
const (
	maxRows    = 32
	maxColumns = 32
	maxSettle  = 20 * time.Millisecond
)

// slotPrefix names the orbit keys in a definition, "slot-1" and up; WithOrbits gives them their numbers.
const slotPrefix = "slot-"

// OrbitPrefix starts the name of an orbit's key and lamp: "orbit-701".
const OrbitPrefix = "orbit-"

// ModelKey is a key of the matrix and where it is wired.
type ModelKey struct {
	Key    Key
	Row    int
	Column int
	Label  string // as printed on the key
	Group  string // "keypad", "function" or "orbit": where it sits on the phone
}

// ModelLamp is a lamp and its LED lines; a line is NoLine when the lamp has no such LED.
type ModelLamp struct {
	Lamp       Lamp
	Label      string
	Green, Red Line
}

// Model is one kind of hardware. A Model is a value: copies may be kept, the slices must not be changed.
type Model struct {
	Name    string
	Settle  time.Duration // from SelectRows to true columns
	Diodes  bool          // a diode at each key: three keys never show a fourth
	Rows    []string      // names of the row lines
	Columns []string      // names of the column lines
	Hook    string        // name of the hook line; "" when there is no handset
	LEDs    []string      // names of the LED lines, index is Line
	Keys    []ModelKey
	Lamps   []ModelLamp
	Wiring  *Wiring // nil for a simulated board
}

// Config chooses the hardware.
type Config struct {
	Model string `toml:"model" doc:"Hardware of the board: 'desk' is the simulated desk phone with 10 orbit keys, 'rpi' the same on a Raspberry Pi. parkctl board wiring shows where its lines are."`
	File  string `toml:"file" doc:"Board definition to be used instead of a built-in one; empty for model."`
}

// Default returns the desk phone.
func Default() Config { return Config{Model: "desk"} }

// Validate reports a model that is not built in.
func (c Config) Validate() error {
	if !slices.Contains(Names(), c.Model) {
		return fmt.Errorf("model: %q is not one of %s", c.Model, strings.Join(Names(), ", "))
	}
	return nil
}

// Names lists the models that are built in, sorted.
func Names() []string {
	entries, err := models.ReadDir("models")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".toml"))
	}
	slices.Sort(names)
	return names
}

// Load returns the configured model, as the function Load does; a file takes the place of the built-in one.
func (c Config) Load(orbits []string) (Model, error) {
	if c.File == "" {
		return Load(c.Model, orbits)
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return Model{}, fmt.Errorf("board definition: %w", err)
	}
	m, err := Parse(text)
	if err != nil {
		return Model{}, fmt.Errorf("board definition %s: %w", c.File, err)
	}
	return m.withOrbits(orbits), nil
}

// Load returns a built-in model with its orbit keys named for the orbits, in order. Orbits beyond the keys
// have no key (they can still be dialled); keys beyond the orbits are left out.
func Load(name string, orbits []string) (Model, error) {
	text, err := models.ReadFile("models/" + name + ".toml")
	if err != nil {
		return Model{}, fmt.Errorf("%w: %q (there are: %s)", ErrNoModel, name, strings.Join(Names(), ", "))
	}
	m, err := Parse(text)
	if err != nil {
		return Model{}, fmt.Errorf("model %s: %w", name, err)
	}
	return m.withOrbits(orbits), nil
}

type keyFile struct {
	Key    string `toml:"key"`
	Row    int    `toml:"row"`
	Column int    `toml:"column"`
	Label  string `toml:"label"`
	Group  string `toml:"group"`
}

type lampFile struct {
	Lamp  string `toml:"lamp"`
	Label string `toml:"label"`
	Green string `toml:"green"`
	Red   string `toml:"red"`
}

type modelFile struct {
	Name    string     `toml:"name"`
	Layout  string     `toml:"layout"`
	Settle  string     `toml:"settle"`
	Diodes  bool       `toml:"diodes"`
	Rows    []string   `toml:"rows"`
	Columns []string   `toml:"columns"`
	Hook    string     `toml:"hook"`
	Keys    []keyFile  `toml:"keys"`
	Lamps   []lampFile `toml:"lamps"`

	Chips map[string]chipFile  `toml:"chips"`
	Lines map[string]placeFile `toml:"lines"`
}

// Parse reads a definition in TOML and checks it: no two keys in one place, no line used twice, every key
// inside the matrix, every line with a place if there is hardware. A definition that names a layout has the lines,
// keys and lamps of that built-in model.
func Parse(text []byte) (Model, error) {
	var f modelFile
	d := toml.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return Model{}, fmt.Errorf("board: unknown keys:\n%s", strict.String())
		}
		return Model{}, fmt.Errorf("board: %w", err)
	}
	if f.Layout != "" {
		if err := f.takeLayout(); err != nil {
			return Model{}, err
		}
	}
	settle, err := time.ParseDuration(f.Settle)
	if err != nil || settle < 0 || settle > maxSettle {
		return Model{}, fmt.Errorf("board: settle %q is not a time from 0s to %v", f.Settle, maxSettle)
	}
	m := Model{
		Name: f.Name, Settle: settle, Diodes: f.Diodes,
		Rows: f.Rows, Columns: f.Columns, Hook: f.Hook,
	}
	if len(m.Rows) > maxRows || len(m.Columns) > maxColumns {
		return Model{}, fmt.Errorf("board: matrix of %d x %d lines is larger than %d x %d",
			len(m.Rows), len(m.Columns), maxRows, maxColumns)
	}
	if err := m.addKeys(f.Keys); err != nil {
		return Model{}, err
	}
	if err := m.addLamps(f.Lamps); err != nil {
		return Model{}, err
	}
	if err := m.checkLines(); err != nil {
		return m, err
	}
	return m, m.wire(f)
}

// takeLayout fills what the definition takes from another one.
func (f *modelFile) takeLayout() error {
	if f.Rows != nil || f.Columns != nil || f.Hook != "" || f.Keys != nil || f.Lamps != nil {
		return fmt.Errorf("board: layout = %q: rows, columns, hook, keys and lamps come from it and cannot be given", f.Layout)
	}
	text, err := models.ReadFile("models/" + f.Layout + ".toml")
	if err != nil {
		return fmt.Errorf("board: layout: %w: %q (there are: %s)", ErrNoModel, f.Layout, strings.Join(Names(), ", "))
	}
	var from modelFile
	if err := toml.Unmarshal(text, &from); err != nil {
		return fmt.Errorf("board: layout %s: %w", f.Layout, err)
	}
	if from.Layout != "" {
		return fmt.Errorf("board: layout = %q: that one has a layout itself", f.Layout)
	}
	f.Rows, f.Columns, f.Hook, f.Keys, f.Lamps = from.Rows, from.Columns, from.Hook, from.Keys, from.Lamps
	return nil
}

func (m *Model) addKeys(keys []keyFile) error {
	names := map[string]bool{}
	places := map[[2]int]string{}
	for _, k := range keys {
		if k.Key == "" || names[k.Key] {
			return fmt.Errorf("board: key name %q is empty or used twice", k.Key)
		}
		names[k.Key] = true
		if k.Row < 0 || k.Row >= len(m.Rows) || k.Column < 0 || k.Column >= len(m.Columns) {
			return fmt.Errorf("board: key %q at row %d, column %d is outside the %d x %d matrix",
				k.Key, k.Row, k.Column, len(m.Rows), len(m.Columns))
		}
		place := [2]int{k.Row, k.Column}
		if other, taken := places[place]; taken {
			return fmt.Errorf("board: keys %q and %q are both at row %d, column %d", other, k.Key, k.Row, k.Column)
		}
		places[place] = k.Key
		m.Keys = append(m.Keys, ModelKey{Key: Key(k.Key), Row: k.Row, Column: k.Column, Label: k.Label, Group: k.Group})
	}
	return nil
}

func (m *Model) addLamps(lamps []lampFile) error {
	names := map[string]bool{}
	line := func(name string) Line {
		if name == "" {
			return NoLine
		}
		m.LEDs = append(m.LEDs, name)
		return Line(len(m.LEDs) - 1)
	}
	for _, l := range lamps {
		if l.Lamp == "" || names[l.Lamp] {
			return fmt.Errorf("board: lamp name %q is empty or used twice", l.Lamp)
		}
		names[l.Lamp] = true
		if l.Green == "" && l.Red == "" {
			return fmt.Errorf("board: lamp %q has no LED line", l.Lamp)
		}
		m.Lamps = append(m.Lamps, ModelLamp{Lamp: Lamp(l.Lamp), Label: l.Label, Green: line(l.Green), Red: line(l.Red)})
	}
	return nil
}

func (m *Model) checkLines() error {
	seen := map[string]bool{}
	all := slices.Concat(m.Rows, m.Columns, m.LEDs)
	if m.Hook != "" {
		all = append(all, m.Hook)
	}
	for _, name := range all {
		if name == "" || seen[name] {
			return fmt.Errorf("board: line name %q is empty or used twice", name)
		}
		seen[name] = true
	}
	return nil
}

// withOrbits names the slot keys and lamps after orbits.
func (m Model) withOrbits(orbits []string) Model {
	rename := map[string]string{}
	labels := map[string]string{}
	for i, o := range orbits {
		slot := fmt.Sprintf("%s%d", slotPrefix, i+1)
		rename[slot] = OrbitPrefix + o
		labels[slot] = o
	}
	keys := m.Keys
	m.Keys = nil
	for _, k := range keys {
		if strings.HasPrefix(string(k.Key), slotPrefix) {
			name, used := rename[string(k.Key)]
			if !used {
				continue
			}
			k.Label = labels[string(k.Key)]
			k.Key = Key(name)
		}
		m.Keys = append(m.Keys, k)
	}
	lamps := m.Lamps
	m.Lamps = nil
	for _, l := range lamps {
		if strings.HasPrefix(string(l.Lamp), slotPrefix) {
			name, used := rename[string(l.Lamp)]
			if !used {
				continue
			}
			l.Label = labels[string(l.Lamp)]
			l.Lamp = Lamp(name)
		}
		m.Lamps = append(m.Lamps, l)
	}
	return m
}

// Key returns where a key is wired.
func (m Model) Key(k Key) (ModelKey, bool) {
	for _, mk := range m.Keys {
		if mk.Key == k {
			return mk, true
		}
	}
	return ModelKey{}, false
}

// Lamp returns a lamp's LED lines.
func (m Model) Lamp(l Lamp) (ModelLamp, bool) {
	for _, ml := range m.Lamps {
		if ml.Lamp == l {
			return ml, true
		}
	}
	return ModelLamp{}, false
}

// KeyAt returns the key at a crossing, "" where none is fitted.
func (m Model) KeyAt(row, column int) Key {
	for _, mk := range m.Keys {
		if mk.Row == row && mk.Column == column {
			return mk.Key
		}
	}
	return ""
}

// AllRows is the mask that selects every row.
func (m Model) AllRows() uint32 { return uint32(1<<len(m.Rows) - 1) }
