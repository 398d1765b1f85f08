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
	keepFor       = 5 * time.Second // for the card to take why a trial was given up
)

// Confirm watches a system on trial: when Config.Healthy has said true for HealthyFor without a break, the slot is the good one
// from then on. When that does not come within ConfirmWithin of the call it restarts, and the boot script falls back; while there
// are calls it waits, and a system that becomes healthy meanwhile is kept.
// Confirm returns at once if the system is not on trial. A system that does not find
// the card that it came from is never healthy. An error is one of the card: the system goes on, and the next start falls back.
func (u *Updater) Confirm(ctx context.Context) error {
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
		well, why := u.cfg.Healthy(asking)
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
			kept := make(chan struct{})
			go func() { defer close(kept); u.giveUp(missing) }()
			select {
			case <-kept:
			case <-time.After(keepFor): // a card that has stopped answering: the restart ends what waits for it
			}
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

// giveUp ends the trial and leaves word for the system before it, since the log goes with this one. A card that does not keep
// it ends the trial too: the boot script has used up its attempts.
func (u *Updater) giveUp(why string) {
	if u.cfg.Disk == nil {
		return
	}
	st, err := u.cfg.Disk.State()
	if err == nil && st.Try == u.cfg.Running {
		st.Left, st.Why = 0, slots.Reason(why)
		err = u.cfg.Disk.Store(st)
	}
	if err != nil {
		u.cfg.Log.Warn("why the update is given up is not kept", "err", err)
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
