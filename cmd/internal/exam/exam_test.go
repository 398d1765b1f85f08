package exam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/board"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/selftest"
	"parklamp/keypad"
	"parklamp/media/audio"
	"parklamp/media/prompt"
	"parklamp/parkd/panel"
)

// desk is a phone with one lamp, which has no key beside it, that writes down what a test does to it.
type desk struct {
	sound audio.Device
	did   []string
}

func (d *desk) note(format string, a ...any) { d.did = append(d.did, fmt.Sprintf(format, a...)) }

func (d *desk) Parts() selftest.Phone {
	return selftest.Phone{Lamps: []selftest.Lamp{{ID: "ringer", Label: "Ringer", Green: true}}, Keys: []selftest.Key{{ID: "#", Label: "#"}, {ID: "*", Label: "*"}}}
}
func (d *desk) Model() string                       { return "desk" }
func (d *desk) Rest()                               { d.note("rest") }
func (d *desk) Resume(hookUp bool)                  { d.note("resume %v", hookUp) }
func (d *desk) Light(m map[board.Lamp]board.Colour) { d.note("light %v", m) }
func (d *desk) Told(prompt.Phrase)                  {}
func (d *desk) Sound() audio.Device                 { return d.sound }
func (d *desk) Country() string                     { return "de" }
func (d *desk) Simulated() bool                     { return true }
func (d *desk) SoundFault() string                  { return "" }
func (d *desk) Dial(number string)                  { d.note("dial %s", number) }
func (d *desk) Emergency(digits string) string {
	if strings.HasSuffix(digits, "112") {
		return "112"
	}
	return ""
}

// examiner makes one whose loop is the test itself, and whose worker has begun.
func examiner(t *testing.T, measure Measurements) *Examiner {
	t.Helper()
	x := New(Options{Config: selftest.Config{Reports: t.TempDir(), Keep: 2}, Name: "dock-7", Health: health.New(func() {}),
		Loop:    Loop{Post: func(func()) {}, After: func(string, time.Duration, func()) {}, Stop: func(string) {}},
		Measure: func() Measurements { return measure }, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return x
}

// result reads the events of a test up to its end.
func result(t *testing.T, events <-chan []byte) selftest.Result {
	t.Helper()
	var last selftest.Event
	for text := range events {
		last = selftest.Event{}
		if err := json.Unmarshal(text, &last); err != nil {
			t.Fatal(err)
		}
	}
	if last.End == nil {
		t.Fatalf("the last event is %+v", last)
	}
	return *last.End
}

// An emergency number ends the test and is dialled: the phone has its lamps and its hook back before the first digit. The report of
// what was tested by then is kept.
func TestEmergencyNumberEndsTheTest(t *testing.T) {
	x, d := examiner(t, nil), &desk{sound: audio.NewSim()}
	events := make(chan []byte, MaxEvents)
	x.Begin(t.Context(), d, "parkctl", []selftest.Step{selftest.Lamps}, true, nil, events)
	if !x.Underway() || !x.HookUp() {
		t.Fatalf("under way %v, hook up %v", x.Underway(), x.HookUp())
	}
	for _, digit := range "112" {
		x.Key(keypad.Event{Key: board.Key(digit), Kind: keypad.Down})
	}
	if n := len(d.did); x.Underway() || n < 3 || d.did[0] != "rest" || !slices.Equal(d.did[n-2:], []string{"resume true", "dial 112"}) {
		t.Errorf("under way %v: %q", x.Underway(), d.did)
	}
	end := result(t, events)
	reports, err := x.Reports()
	if end.Reason != "an emergency number was dialled" || err != nil || len(reports) != 1 || !strings.HasSuffix(end.Path, reports[0]) {
		t.Errorf("%+v, kept %v, %v", end, reports, err)
	}
	if text, err := x.Report(reports[0]); err != nil || string(text) != end.Report {
		t.Errorf("the report that is kept: %q, %v", text, err)
	}
	if _, err := x.Report("../" + reports[0]); !errors.Is(err, panel.ErrNoSuchReport) {
		t.Errorf("a report of another folder: %v", err)
	}
}

// The steps that need no hands are measured and told; what is found is in the report.
func TestHandsOff(t *testing.T) {
	found := func(context.Context) []selftest.Finding {
		return []selftest.Finding{{Item: "it", Outcome: selftest.Passed, Text: "well"}}
	}
	x := examiner(t, Measurements{selftest.Network: found, selftest.Disk: found, selftest.Clock: found})
	events := make(chan []byte, MaxEvents)
	if err := x.BeginHandsOff(t.Context(), "parkctl", HandsOff, events); err != nil {
		t.Fatal(err)
	}
	end := result(t, events)
	if n := strings.Count(end.Report, `"well"`); end.Outcome != selftest.Passed || n != len(HandsOff) || !strings.Contains(end.Report, `"dock-7"`) {
		t.Errorf("%+v", end)
	}
	if x.Underway() {
		t.Error("a phone is tested, and there is none")
	}
}
