package board

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"parklamp/board/spelling"
)

//go:embed models/*.toml models/parts/*.toml
var models embed.FS

// slotPrefix names the orbit keys in a definition, "slot-1" and up; withOrbits gives them their numbers.
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

// ModelLamp is a lamp and its lines; a line is NoLine when the lamp has no such LED. Steady is on for as long as the lamp
// means anything, through the dark times of its blinking: for relays, strobes and bells.
type ModelLamp struct {
	Lamp       Lamp
	Label      string
	Green, Red Line
	Steady     Line
}

// Model is one kind of hardware. A Model is a value: copies may be kept, the slices must not be changed.
type Model struct {
	Name       string
	Title      string        // for people
	Compatible []string      // the device tree's names of the board, for Detect
	Notes      []string      // what a technician should know of the board besides its wiring
	Settle     time.Duration // from SelectRows to true columns
	Diodes     bool          // a diode at each key: three keys never show a fourth
	PullOhms   int           // resistor from each column and the hook to 3.3 V; 0 where the chip's own is enough
	LEDOhms    int           // resistor of each LED; 0 where there is none
	Rows       []string      // names of the row lines
	Columns    []string      // names of the column lines
	Hook       string        // name of the hook line; "" when there is no handset
	LEDs       []string      // names of the lines that lamps, relays and the ringer hang on, index is Line
	Keys       []ModelKey
	Lamps      []ModelLamp
	Sounds     []Sound // sound cards that the board may have, the best first
	Wiring     *Wiring // nil for a simulated board
}

// Sound says how the phone's paths are wired to a sound card.
type Sound struct {
	Name          string // in the definition
	Title         string // what to buy, for people
	Bus           string // "i2s" or "usb"; "" is not said
	Card          string // id, as /proc/asound/cards has it in brackets
	Device        int    // PCM device
	CaptureCard   string // of the microphone where it is another one
	CaptureDevice int
	Rate          int                  // samples per second; 0 is not said
	Paths         map[string]SoundPath // "handset", "headset", "speaker"
	Without       []string             // paths that nothing is wired to: "headset", "speaker"
	Notes         []string             // what a technician should know of it
}

// SoundPath is one path of a Sound. What is empty or nil is not said.
type SoundPath struct {
	Wired    string            // which socket or pin takes earpiece, loudspeaker and microphone, for people
	Output   string            // "left", "right" or "both"
	Input    string            // "left" or "right"
	Controls map[string]string // mixer control = value
	MicGain  *float64          // dB
	Gain     *float64          // dB
	Sidetone *float64          // dB
	Echo     string            // "none" or "duplex"
}

// Auto is the model that Detect finds.
const Auto = "auto"

// Config chooses the hardware.
type Config struct {
	Model string `toml:"model" doc:"Hardware of the board: 'desk' is the simulated desk phone with 10 orbit keys, 'auto' finds the board by its device tree, or rpi-zero-w, rpi-zero-2w, rpi-3, rpi-4, beaglebone-black, qemu-virt. parkctl board wiring shows where its lines are."`
	File  string `toml:"file" doc:"Board definition to be used instead of a built-in one; empty for model. It may begin with from = 'rpi-4' and say what differs."`
}

// Default returns the desk phone.
func Default() Config { return Config{Model: "desk"} }

// Validate reports a model that is not built in.
func (c Config) Validate() error {
	if c.Model != Auto && !slices.Contains(Names(), c.Model) {
		names := append([]string{Auto}, Names()...)
		text := fmt.Sprintf("model: %q is not one of %s", c.Model, strings.Join(names, ", "))
		if near := spelling.Near(names, c.Model); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		return errors.New(text)
	}
	return nil
}

// Names lists the models that are built in, sorted.
func Names() []string { return definitions("models") }

// parts lists what models are made from.
func parts() []string { return definitions("models/parts") }

func definitions(folder string) []string {
	entries, err := models.ReadDir(folder)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".toml"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Load returns the configured model, as the function Load does; a file takes the place of the built-in one, and Auto is the
// model of the machine that this runs on.
func (c Config) Load(orbits []string) (Model, error) {
	if c.File == "" && c.Model == Auto {
		name, err := Detected()
		if err != nil {
			return Model{}, err
		}
		return Load(name, orbits)
	}
	if c.File == "" {
		return Load(c.Model, orbits)
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return Model{}, fmt.Errorf("board definition: %w", err)
	}
	m, err := parse(c.File, text)
	if err != nil {
		return Model{}, err
	}
	return m.withOrbits(orbits), nil
}

// Load returns a built-in model with its orbit keys named for the orbits, in order. Orbits beyond the keys
// have no key (they can still be dialled); keys beyond the orbits are left out.
func Load(name string, orbits []string) (Model, error) {
	text, err := models.ReadFile("models/" + name + ".toml")
	if err != nil {
		return Model{}, noModel(name, Names())
	}
	m, err := Parse(name+".toml", text)
	if err != nil {
		return Model{}, err
	}
	return m.withOrbits(orbits), nil
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

// AllRows is the mask that selects every row.
func (m Model) AllRows() uint32 { return uint32(1<<len(m.Rows) - 1) }
