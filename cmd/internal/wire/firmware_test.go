package wire

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
)

// What the first process has found is a condition of the phone as long as the file has it.
func TestConditionsOfTheFirstProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conditions.json")
	a := &Appliance{health: health.New(func() {}), now: time.Now}
	codes := func() (out string) {
		for _, c := range a.health.All() {
			out += c.Code + " " + c.Severity.String() + ";"
		}
		return out
	}
	write := func(all ...initapi.Condition) {
		t.Helper()
		if err := initapi.WriteConditions(path, all); err != nil {
			t.Fatal(err)
		}
	}
	write(initapi.Condition{Code: "data", Error: true, Text: "no card"}, initapi.Condition{Code: "clock", Text: "no time"})
	shown := a.showFirmware(path, nil)
	if got := codes(); got != "system.data error;system.clock warning;" {
		t.Error(got)
	}
	write(initapi.Condition{Code: "clock", Text: "no time"})
	shown = a.showFirmware(path, shown)
	if got := codes(); got != "system.clock warning;" {
		t.Error(got)
	}
	if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	shown = a.showFirmware(path, shown)
	if got := codes(); got != "system.conditions warning;" {
		t.Error(got)
	}
	write()
	a.showFirmware(path, shown)
	if got := codes(); got != "" {
		t.Error(got)
	}
}
