package wire

import (
	"context"
	"fmt"
	"os"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
)

const (
	// firmwareLook is how often the file is looked at; it is in memory.
	firmwareLook = 2 * time.Second
	// firmwareCode begins the health conditions that the first process of the image has found.
	firmwareCode = "system."
)

// underInit says whether the image's first process has started this program: then there is one appliance on the machine.
func underInit() bool { return os.Getenv(initapi.ConditionsEnv) != "" }

// watchFirmware shows what the first process of the image has found (no card, no time, no identity) as conditions of this
// appliance, until ctx ends. On a machine that has another first process there is nothing to show.
func (a *Appliance) watchFirmware(ctx context.Context) error {
	path := os.Getenv(initapi.ConditionsEnv)
	if path == "" {
		<-ctx.Done()
		return nil
	}
	shown := map[string]bool{}
	var last time.Time
	look := time.NewTicker(firmwareLook)
	defer look.Stop()
	for {
		if info, err := os.Stat(path); err == nil && !info.ModTime().Equal(last) {
			last = info.ModTime()
			shown = a.showFirmware(path, shown)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// showFirmware raises what the file has and clears what it has no more of what was shown.
func (a *Appliance) showFirmware(path string, shown map[string]bool) map[string]bool {
	all, err := initapi.ReadConditions(path)
	if err != nil {
		all = []initapi.Condition{{Code: "conditions", Text: fmt.Sprintf("what the first process has found cannot be read: %v", err), Hint: "restart the appliance"}}
	}
	now := map[string]bool{}
	for _, c := range all {
		severity := health.Warning
		if c.Error {
			severity = health.Error
		}
		now[c.Code] = true
		a.health.Raise(a.now(), firmwareCode+c.Code, severity, c.Text, c.Hint)
	}
	for code := range shown {
		if !now[code] {
			a.health.Clear(firmwareCode + code)
		}
	}
	return now
}
