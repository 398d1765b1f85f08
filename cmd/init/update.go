package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/update"
)

// startUpdater takes updates over the socket from now on, and judges the system if it is on trial.
func (s *system) startUpdater(ctx context.Context, start func(func())) {
	boot, err := slots.ParseCommandLine(readText("/proc/cmdline"))
	if err != nil {
		s.log.Warn("updates", "err", err)
	}
	built, _ := time.Parse(time.RFC3339, firstLine(filepath.Join(etcFolder, "time")))
	keys, err := update.ReadKeys(filepath.Join(dataFolder, provision.UpdateFile), filepath.Join(etcFolder, provision.UpdateFile))
	if err != nil {
		s.log.Warn("keys of updates", "err", err)
	}
	u := update.New(update.Config{Disk: s.disk, Running: boot.Slot, Trial: boot.Trial, Keys: keys, Busy: busy, Log: s.log,
		System: update.System{Board: firstLine(filepath.Join(etcFolder, "board")), Version: s.version, Time: built},
		Restart: func(reason string) {
			s.log.Info("restart", "reason", reason)
			s.askEnd(unix.LINUX_REBOOT_CMD_RESTART)
		}})
	s.mu.Lock()
	s.updater = u
	s.mu.Unlock()
	start(func() { u.Run(ctx) })
	start(func() {
		if err := u.Confirm(ctx, s.healthy); err != nil && ctx.Err() == nil {
			s.raise(initapi.Condition{Code: "update", Error: true, Text: "the new system is not confirmed: " + err.Error(), Hint: "replace the card"})
			return
		}
		s.mu.Lock()
		s.confirmed = true
		s.mu.Unlock()
	})
	start(func() { s.watchUpdater(ctx, u) })
}

// watchUpdater says that an update has failed.
func (s *system) watchUpdater(ctx context.Context, u *update.Updater) {
	look := time.NewTicker(10 * time.Second)
	defer look.Stop()
	for {
		if st := u.Status(); st.Error != "" {
			s.raise(initapi.Condition{Code: "update", Text: "the last update failed: " + st.Error, Hint: "parkctl update says more; the system before it runs"})
		} else {
			s.clear("update")
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// phoneHealth is what counts of phoned's status.
type phoneHealth struct {
	Accounts []struct {
		State string `json:"state"`
	} `json:"accounts"`
	Peers []struct {
		State string `json:"state"`
	} `json:"peers"`
	Health []struct {
		Code     string `json:"code"`
		Severity string `json:"severity"`
		Text     string `json:"text"`
	} `json:"health"`
}

// healthy says whether this system does its work: phoned answers, hears SIP, has its journal, and is registered or has a
// peer if it has any of them to reach.
func (s *system) healthy(ctx context.Context) (bool, string) {
	if !s.phoned.Report().Answering {
		return false, "phoned does not answer"
	}
	var h phoneHealth
	if err := ask(ctx, "/api/status", &h); err != nil {
		return false, fmt.Sprintf("phoned does not answer: %v", err)
	}
	return h.verdict()
}

func (h phoneHealth) verdict() (bool, string) {
	for _, c := range h.Health {
		if c.Severity == "error" && (strings.HasPrefix(c.Code, "journal") || strings.HasPrefix(c.Code, "sip.listener")) {
			return false, c.Text
		}
	}
	if len(h.Accounts)+len(h.Peers) == 0 {
		return true, ""
	}
	for _, a := range h.Accounts {
		if a.State == "registered" {
			return true, ""
		}
	}
	for _, p := range h.Peers {
		if p.State == "alive" { // panel.PeerAlive
			return true, ""
		}
	}
	return false, "neither registered nor in touch with a peer"
}
