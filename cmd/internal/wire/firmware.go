package wire

import (
	"context"
	"fmt"
	"os"
	"time"

	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/media"
	"parklamp/sip"
)

const (
	// firmwareRetry is how long to wait before the first process is called again.
	firmwareRetry = time.Second
	// firmwareSilence calls in a row without an answer are a fault: it opens its socket while this program starts.
	firmwareSilence = 5
	// firmwareCode begins the health conditions that the first process of the image has found.
	firmwareCode = "system."
)

// underInit says whether the image's first process has started this program: then there is one appliance on the machine.
func underInit() bool { return os.Getenv(initapi.SocketEnv) != "" }

// watchFirmware shows what the first process of the image has found (no card, no time, no identity) as conditions of this
// appliance and marks packets as the switch wants, until ctx ends.
func (a *Appliance) watchFirmware(ctx context.Context) error {
	var shown map[string]bool
	for silent := 0; ctx.Err() == nil; silent++ {
		err := initapi.Listen(ctx, os.Getenv(initapi.SocketEnv), func(t initapi.Told) {
			silent = 0
			shown = a.showFirmware(t.Conditions, shown)
			audio, signalling := marks(a.cfg, t.Voice)
			a.engine.SetDSCP(audio)
			a.endpoint.SetDSCP(signalling)
		})
		if silent == firmwareSilence {
			shown = a.showFirmware([]health.Condition{{Code: "conditions", Since: a.now(), Text: fmt.Sprintf("what the first process has found cannot be read: %v", err), Hint: "restart the appliance"}}, shown)
		}
		select {
		case <-time.After(firmwareRetry):
		case <-ctx.Done():
		}
	}
	return nil
}

// marks are the DSCPs of audio and signalling: as the switch wants them, nil for no wish, where the configuration leaves them
// at the default.
func marks(cfg config.Config, v *initapi.Voice) (audio, signalling int) {
	audio, signalling = cfg.Media.DSCP, cfg.SIP.DSCP
	if v != nil && audio == media.Default().DSCP {
		audio = v.DSCP
	}
	if v != nil && signalling == sip.Default().DSCP {
		signalling = v.Signalling
	}
	return audio, signalling
}

// showFirmware raises what there is and clears what is there no more of what was shown.
func (a *Appliance) showFirmware(all []health.Condition, shown map[string]bool) map[string]bool {
	now := map[string]bool{}
	for _, c := range all {
		now[c.Code] = true
		c.Code = firmwareCode + c.Code
		a.health.Put(c)
	}
	for code := range shown {
		if !now[code] {
			a.health.Clear(firmwareCode + code)
		}
	}
	return now
}
