package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/update"
	"parklamp/parkd/panel"
)

// updates takes new systems, and judges this one as long as it is on trial.
type updates struct {
	*ground
	store    *store
	identity *identity
	phone    *phone

	mu        sync.Mutex
	updater   *update.Updater // guarded by mu; nil: not yet
	confirmed bool            // guarded by mu: the trial
}

// start takes updates over the socket from now on, and judges the system if it is on trial. restart restarts the appliance.
func (u *updates) start(g *group, restart func()) {
	built, _ := time.Parse(time.RFC3339, firstLine(filepath.Join(etcFolder, "time")))
	keys, err := update.ReadKeys(filepath.Join(dataFolder, provision.UpdateFile), filepath.Join(etcFolder, provision.UpdateFile))
	if err != nil {
		u.log.Warn("keys of updates", "err", err)
	}
	updater := update.New(update.Config{Disk: u.store.disk, Running: u.boot.Slot, Trial: u.boot.Trial, Keys: keys, Busy: u.phone.busy, Healthy: u.healthy, Log: u.log,
		System: update.System{Board: firstLine(filepath.Join(etcFolder, "board")), Version: u.version, Time: built},
		Restart: func(reason string) {
			u.log.Info("restart", "reason", reason)
			restart()
		}})
	u.mu.Lock()
	u.updater = updater
	u.mu.Unlock()
	g.start(updater.Run)
	g.start(func(ctx context.Context) {
		if err := updater.Confirm(ctx); err != nil && ctx.Err() == nil {
			u.raise(health.Condition{Code: "update", Severity: health.Error, Text: "the new system is not confirmed: " + err.Error(), Hint: "replace the card"})
			return
		}
		u.mu.Lock()
		u.confirmed = true
		u.mu.Unlock()
	})
	g.start(func(ctx context.Context) { u.watch(ctx, updater) })
}

// watch says that an update has failed, and sees the end of what those who waited for calls have found.
func (u *updates) watch(ctx context.Context, updater *update.Updater) {
	look := time.NewTicker(10 * time.Second)
	defer look.Stop()
	for {
		if st := updater.Status(); st.Error != "" {
			u.raise(health.Condition{Code: "update", Text: "the last update failed: " + st.Error, Hint: "parkctl update says more; the system before it runs"})
		} else {
			u.clear("update")
		}
		u.phone.countAgain(ctx)
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// onTrial says whether this system is yet to be confirmed.
func (u *updates) onTrial() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.boot.Trial && !u.confirmed
}

// healthy says whether this system does its work: it has the appliance's own data, identity and configuration, phoned answers,
// hears SIP, has its journal, and is registered or has a peer if it has any of them to reach.
func (u *updates) healthy(ctx context.Context) (bool, string) {
	if lack := u.lacks(); lack != "" {
		return false, lack
	}
	return u.verdict(ctx)
}

// lacks says what of the appliance this system cannot use, "" for nothing. A phone that runs on the built-in configuration
// instead has neither accounts nor peers to miss. Where the system before had the same fault, that is to be mended before
// an update: nobody could tell whether the new system works.
func (u *updates) lacks() string {
	if data := u.store.state(); data.Device == "" {
		return "the data partition is not in use: " + data.Fault
	}
	if nameless := u.identity.lacks(); nameless != "" {
		return nameless
	}
	return u.phone.lacks()
}

// verdict is healthy by what phoned says of itself. It is asked now: what is known of it may be older than its start.
func (u *updates) verdict(ctx context.Context) (bool, string) {
	st, err := u.phone.asks.Status(ctx)
	if err != nil {
		return false, fmt.Sprintf("phoned does not answer: %v", err)
	}
	for _, c := range st.Health {
		// Calls that cannot be stored on a card that works are this system's doing; else the system before had that too.
		if c.Code == panel.CodeJournal && !u.store.fails() ||
			c.Severity == panel.SeverityError && (strings.HasPrefix(c.Code, panel.CodeJournal) || strings.HasPrefix(c.Code, panel.CodeListener)) {
			return false, c.Text
		}
	}
	if len(st.Accounts)+len(st.Peers) == 0 ||
		slices.ContainsFunc(st.Accounts, func(a panel.Account) bool { return a.State == panel.AccountRegistered }) ||
		slices.ContainsFunc(st.Peers, func(p panel.Peer) bool { return p.State == panel.PeerAlive }) {
		return true, ""
	}
	return false, "neither registered nor in touch with a peer"
}

// taker is who takes updates; nil: nobody yet.
func (u *updates) taker() *update.Updater {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.updater
}
