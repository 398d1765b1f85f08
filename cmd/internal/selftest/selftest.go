// Package selftest is the walk of a technician through an appliance: every lamp in each colour, every key, the hook, a tone
// in every ear, the microphone, then what needs no hands (sound loop, network, storage, clock), and the signed report.
//
// Machine is pure: inputs in (keys, hook, ends of sounds, measurements, timers), effects out (lamps, words, tones, what to
// measure, findings). It has no clock, goroutine or hardware; cmd/internal/exam owns one while a test runs and carries out
// its effects, parkctl shows its questions. Report and its signature are here as well, so that the appliance that writes
// and the desk that verifies have one definition.
//
// # The walk
//
//	lamps       one lamp lights: press the key beside it, * if none lights in that colour. Lamps without a key, and all
//	            amber, all dark: # yes, * no
//	keys        press each key that the lamps have not asked for
//	hook        put the handset back, lift it
//	tones       a tone in loudspeaker, handset, headset: # yes, * no
//	microphone  two seconds are recorded, measured and played back: # yes, * no
//	loop        a known signal from the loudspeaker to the microphone
//	network, disk, clock: measured
//
// Hold skips a question, Hold held down the rest of the step, hanging up ends the test. A question has its time; after
// three without an answer nobody is there, and only what needs no hands goes on. A key that does not come up, and one that
// closes another one with it, is named wherever it shows itself.
//
// Standards: the signature is a JWS (RFC 7515) with detached content (Appendix F), ES256 (RFC 7518 §3.4) or EdDSA
// (RFC 8037 §3.1). The package starts no goroutine.
package selftest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"parklamp/media/prompt"
)

// Step is a part of the walk.
type Step string

// The steps, in the order of the walk.
const (
	Lamps      Step = "lamps"
	Keys       Step = "keys"
	Hook       Step = "hook"
	Tones      Step = "tones"
	Microphone Step = "microphone"
	Loop       Step = "loop"
	Network    Step = "network"
	Disk       Step = "disk"
	Clock      Step = "clock"
)

// Steps lists all of them.
var Steps = []Step{Lamps, Keys, Hook, Tones, Microphone, Loop, Network, Disk, Clock}

// Choose reads a selection of steps; none is all. The order is that of the walk.
func Choose(names []string) ([]Step, error) {
	var chosen []Step
	for _, n := range names {
		if !slices.Contains(Steps, Step(n)) {
			return nil, fmt.Errorf("%q is no step; there are %s", n, stepNames())
		}
	}
	for _, s := range Steps {
		if len(names) == 0 || slices.Contains(names, string(s)) {
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}

func stepNames() string {
	names := make([]string, len(Steps))
	for i, s := range Steps {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// Outcome is what came of a question or a measurement, or of the whole test.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Warned  Outcome = "warning" // works, but somebody should look
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped" // by who tests, or because nobody was there
	Absent  Outcome = "absent"  // this appliance has no such part
	Aborted Outcome = "aborted" // of the whole test: it was ended before its end
)

// Figure is a measured value with its unit.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Finding is what came of one item of a step.
type Finding struct {
	Step    Step     `json:"step"`
	Item    string   `json:"item"` // "orbit-701 green", "5", "eth0", "peer dock-2"
	Outcome Outcome  `json:"outcome"`
	Text    string   `json:"text,omitempty"` // what was found, for people
	Figures []Figure `json:"figures,omitempty"`
}

// Key is a key of the board.
type Key struct{ ID, Label, Orbit string }

// Lamp is a lamp of the board and the lines that it has; on Steady hangs something that is not seen but switched: a bell, a
// relay, a strobe.
type Lamp struct {
	ID, Label          string
	Green, Red, Steady bool
}

// Phone is what there is to test.
type Phone struct {
	Keys    []Key
	Lamps   []Lamp
	Hook    bool
	Headset bool   // there is a path for one
	Sound   string // what is wrong with the sound card; empty: nothing known
	// Faults is why items cannot be tested, since what they hang on is known to be missing: by key, by lamp and "green", "red" or
	// "contact", or HookSwitch.
	Faults map[string]string
}

// HookSwitch is the hook in Phone.Faults.
const HookSwitch = "hook switch"

// Colour of a lamp, in the words of package board.
type Colour string

// The colours.
const (
	Green Colour = "green"
	Red   Colour = "red"
	Amber Colour = "amber"
)

// Path is where something is heard.
type Path string

// The paths.
const (
	OnHandset Path = "handset"
	OnHeadset Path = "headset"
	OnSpeaker Path = "loudspeaker"
)

// Input is something that happened.
type Input interface{ input() }

// The inputs. A Jammed key is one that was down when the keypad began or is reported stuck.
type (
	Begin    struct{}
	Press    struct{ Key string }
	Release  struct{ Key string }
	Long     struct{ Key string }
	Jammed   struct{ Key string }
	HookMove struct{ Up bool }
	Heard    struct{ Sound uint64 } // a Say, Tone or Replay has ended
	Recorded struct {
		LevelDBFS float64 // of the loudest fifth of the recording
		PeakDBFS  float64
		Err       string
	}
	Measured struct {
		Step     Step
		Findings []Finding
	}
	Timer struct {
		ID  uint64
		Key bool
	}
	Stop struct{ Reason string }
)

func (Begin) input()    {}
func (Press) input()    {}
func (Release) input()  {}
func (Long) input()     {}
func (Jammed) input()   {}
func (HookMove) input() {}
func (Heard) input()    {}
func (Recorded) input() {}
func (Measured) input() {}
func (Timer) input()    {}
func (Stop) input()     {}

// Effect is something to be done.
type Effect interface{ effect() }

// The effects.
type (
	// Ask shows a question, or what is being measured.
	Ask struct {
		Step       Step
		Item       string
		Number, Of int // this question among all
		Text       string
		Again      bool          // the answer was not the one asked for
		For        time.Duration // how long it waits; 0: it needs no hands
	}
	// Say speaks on the open path, and comes back as Heard.
	Say struct {
		Sound uint64
		Words prompt.Phrase
	}
	// PlayTone plays dial tone until the next sound.
	PlayTone struct{}
	// Open opens a path in place of the one before.
	Open struct{ Path Path }
	// Show lights exactly these lamps.
	Show struct{ Lamps map[string]Colour }
	// Record listens to the microphone of the open path after a short tone, and comes back as Recorded.
	Record struct{ For time.Duration }
	// Replay plays what was recorded, and comes back as Heard.
	Replay struct{ Sound uint64 }
	// Measure comes back as Measured.
	Measure struct{ Step Step }
	// Wait comes back as Timer; a later one of the same kind takes the place of the one before.
	Wait struct {
		ID    uint64
		After time.Duration
		Key   bool // for a key to come up; else for the question
	}
	// Note is a finding.
	Note struct{ Finding }
	// End is the last effect.
	End struct {
		Outcome Outcome
		Reason  string // of an abort
	}
)

func (Ask) effect()      {}
func (Say) effect()      {}
func (PlayTone) effect() {}
func (Open) effect()     {}
func (Show) effect()     {}
func (Record) effect()   {}
func (Replay) effect()   {}
func (Measure) effect()  {}
func (Wait) effect()     {}
func (Note) effect()     {}
func (End) effect()      {}
