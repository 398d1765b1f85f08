package main

import (
	"context"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/update"
)

// startUpdater takes updates over the socket from now on, and judges the system if it is on trial.
func (s *system) startUpdater(g *group) {
	built, _ := time.Parse(time.RFC3339, firstLine(filepath.Join(etcFolder, "time")))
	keys, err := update.ReadKeys(filepath.Join(dataFolder, provision.UpdateFile), filepath.Join(etcFolder, provision.UpdateFile))
	if err != nil {
		s.log.Warn("keys of updates", "err", err)
	}
	u := update.New(update.Config{Disk: s.store.disk, Running: s.boot.Slot, Trial: s.boot.Trial, Keys: keys, Busy: s.busy, Healthy: s.healthy, Log: s.log,
		System: update.System{Board: firstLine(filepath.Join(etcFolder, "board")), Version: s.version, Time: built},
		Restart: func(reason string) {
			s.log.Info("restart", "reason", reason)
			s.askEnd(unix.LINUX_REBOOT_CMD_RESTART)
		}})
	s.mu.Lock()
	s.updater = u
	s.mu.Unlock()
	g.start(u.Run)
	g.start(func(ctx context.Context) {
		if err := u.Confirm(ctx); err != nil && ctx.Err() == nil {
			s.raise(health.Condition{Code: "update", Severity: health.Error, Text: "the new system is not confirmed: " + err.Error(), Hint: "replace the card"})
			return
		}
		s.mu.Lock()
		s.confirmed = true
		s.mu.Unlock()
	})
	g.start(func(ctx context.Context) { s.watchUpdater(ctx, u) })
}

// watchUpdater says that an update has failed, and sees the end of what those who waited for calls have found.
func (s *system) watchUpdater(ctx context.Context, u *update.Updater) {
	look := time.NewTicker(10 * time.Second)
	defer look.Stop()
	for {
		if st := u.Status(); st.Error != "" {
			s.raise(health.Condition{Code: "update", Text: "the last update failed: " + st.Error, Hint: "parkctl update says more; the system before it runs"})
		} else {
			s.clear("update")
		}
		s.countAgain(ctx)
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}
