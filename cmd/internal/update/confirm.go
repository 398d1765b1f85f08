package update

import (
	"context"
	"fmt"
	"time"

	"parklamp/cmd/internal/slots"
)

// A system on trial has so long to become healthy, and must stay so.
const (
	ConfirmWithin = 180 * time.Second
	HealthyFor    = 20 * time.Second
	healthEvery   = time.Second
)

// Confirm watches a system on trial: when healthy has said true for HealthyFor without a break, the slot is the good one
// from then on. When that does not come within ConfirmWithin of the call it restarts, and the boot script falls back; while there
// are calls it waits, and a system that becomes healthy meanwhile is kept.
// healthy also says what is missing. Confirm returns at once if the system is not on trial. A system that does not find
// the card that it came from is never healthy. An error is one of the card: the system goes on, and the next start falls back.
func (u *Updater) Confirm(ctx context.Context, healthy func(context.Context) (bool, string)) error {
	if !u.cfg.Trial {
		return nil
	}
	begin := time.Now()
	var since time.Time // of health; zero: not healthy
	missing := "nothing was asked yet"
	caution := NewCaution(u.cfg.Busy)
	caution.dead = min(deadAfter, u.cfg.ConfirmWithin)
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, askFor)
		well, why := healthy(asking)
		cancel()
		if u.cfg.Disk == nil {
			well, why = false, ErrNoSlots.Error()
		}
		now := time.Now()
		switch {
		case !well:
			since, missing = time.Time{}, why
		case since.IsZero():
			since = now
		}
		if well && now.Sub(since) >= u.cfg.HealthyFor {
			return u.keep()
		}
		calls := ""
		if now.Sub(begin) >= u.cfg.ConfirmWithin-caution.dead {
			calls = caution.Ask(ctx)
		}
		if late := now.Sub(begin) >= u.cfg.ConfirmWithin; late && calls != "" {
			u.change(func(s *Status) { s.Waiting = calls })
		} else if late {
			u.fail(fmt.Sprintf("not healthy within %v of the start: %s", u.cfg.ConfirmWithin, missing))
			u.cfg.Restart("the update is not healthy: " + missing)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// keep makes the running slot the good one.
func (u *Updater) keep() error {
	if err := u.cfg.Disk.Store(slots.State{Good: u.cfg.Running}); err != nil {
		err = cardError(err)
		u.fail(err.Error())
		return err
	}
	u.cfg.Log.Info("update confirmed", "version", u.cfg.System.Version, "slot", u.cfg.Running.String())
	u.mu.Lock()
	defer u.mu.Unlock()
	u.trial = false
	u.status.Stage, u.status.Error, u.status.Waiting = Idle, "", ""
	return nil
}
