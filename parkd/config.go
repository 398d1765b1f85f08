package parkd

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The policies for a recall that is refused.
const (
	RefusedNext    = "next"    // go on to the next step
	RefusedPark    = "park"    // park again for the whole timeout
	RefusedRelease = "release" // end the call
)

// Config is the policy of the lot, the same on every appliance of the federation.
type Config struct {
	Lot           string        `toml:"lot" doc:"name of the lot, shown with every call"`
	Orbits        []string      `toml:"orbits" doc:"orbit numbers of the lot, each of 1 to 16 digits, in the order in which free ones are taken"`
	Timeout       time.Duration `toml:"timeout" doc:"how long a call waits before the parker is recalled"`
	RecallRing    time.Duration `toml:"recall_ring" doc:"how long a recall of the parker rings"`
	RecallRefused string        `toml:"recall_refused" doc:"what a refused recall does: next (go on), park (again, for the whole timeout) or release (end the call)"`
	Escalation    []Step        `toml:"escalation" doc:"whom to ring when the recall fails, in order; after the last the call is parked again with higher priority"`
	UndoWindow    time.Duration `toml:"undo_window" doc:"how long after parking the same key takes the call back, and how long the phone tells the orbit (at least 1s)"`
	ClaimTimeout  time.Duration `toml:"claim_timeout" doc:"how long a park waits for the federation's answer before it is refused"`
	FetchTimeout  time.Duration `toml:"fetch_timeout" doc:"how long a fetch may take before the caller goes back to the orbit"`
	AvoidFor      time.Duration `toml:"avoid_for" doc:"how long an orbit that was just lost to a peer is not tried again"`
	ForgetDead    time.Duration `toml:"forget_dead" doc:"how long the calls of a dead peer keep their orbits (amber) and refuse claims for them, before they are reported lost"`
	RescueAfter   time.Duration `toml:"-"` // how long after a peer was found dead its callers are taken over; 0 never; the federation section sets it
	BackWithin    time.Duration `toml:"-"` // an appliance that was away for no longer goes on with its calls; the journal section sets it
	MaxCalls      int           `toml:"max_calls" doc:"calls that this appliance parks or is about to, at most"`
	MaxPeers      int           `toml:"max_peers" doc:"peers that are mirrored, at most"`
}

// Step is one escalation.
type Step struct {
	To   string        `toml:"to" doc:"URI or extension to ring"`
	Ring time.Duration `toml:"ring" doc:"how long it rings"`
}

// Default returns ten orbits, 701 to 710, and a recall after 90 s.
func Default() Config {
	return Config{
		Lot:           "main",
		Orbits:        []string{"701", "702", "703", "704", "705", "706", "707", "708", "709", "710"},
		Timeout:       90 * time.Second,
		RecallRing:    20 * time.Second,
		RecallRefused: RefusedNext,
		UndoWindow:    5 * time.Second,
		ClaimTimeout:  5 * time.Second,
		FetchTimeout:  10 * time.Second,
		AvoidFor:      500 * time.Millisecond,
		ForgetDead:    15 * time.Minute,
		RescueAfter:   2 * time.Second, // a process that is started anew goes on within one; a caller should not sit in silence for a boot
		BackWithin:    30 * time.Minute,
		MaxCalls:      200,
		MaxPeers:      100,
	}
}

// Validate returns everything that is wrong with the entries of a list, joined, else the first other thing, each naming key, value and
// allowed range.
func (c Config) Validate() error {
	if c.Lot == "" || len(c.Lot) > 64 {
		return fmt.Errorf("lot = %q: 1 to 64 characters", c.Lot)
	}
	if len(c.Orbits) == 0 || len(c.Orbits) > 1000 {
		return fmt.Errorf("orbits has %d entries: 1 to 1000", len(c.Orbits))
	}
	seen := make(map[string]bool, len(c.Orbits))
	var errs []error
	for i, o := range c.Orbits {
		switch {
		case o == "" || len(o) > 16 || strings.Trim(o, "0123456789") != "":
			errs = append(errs, fmt.Errorf("orbits[%d] = %q: each is one number of 1 to 16 digits", i, o))
		case seen[o]:
			errs = append(errs, fmt.Errorf("orbits[%d] = %q: each once", i, o))
		}
		seen[o] = true
	}
	if errs != nil {
		return errors.Join(errs...)
	}
	for _, d := range []struct {
		key      string
		v        time.Duration
		min, max time.Duration
	}{
		{"timeout", c.Timeout, time.Second, 24 * time.Hour},
		{"recall_ring", c.RecallRing, time.Second, 10 * time.Minute},
		{"undo_window", c.UndoWindow, 0, time.Minute},
		{"claim_timeout", c.ClaimTimeout, 100 * time.Millisecond, time.Minute},
		{"fetch_timeout", c.FetchTimeout, time.Second, time.Minute},
		{"avoid_for", c.AvoidFor, 0, 10 * time.Second},
		{"forget_dead", c.ForgetDead, 10 * time.Second, 24 * time.Hour},
	} {
		if d.v < d.min || d.v > d.max {
			return fmt.Errorf("%s = %v: %v to %v", d.key, d.v, d.min, d.max)
		}
	}
	switch c.RecallRefused {
	case RefusedNext, RefusedPark, RefusedRelease:
	default:
		return fmt.Errorf("recall_refused = %q: next, park or release", c.RecallRefused)
	}
	if len(c.Escalation) > 20 {
		return fmt.Errorf("escalation has %d entries: 0 to 20", len(c.Escalation))
	}
	for i, s := range c.Escalation {
		if s.To == "" {
			errs = append(errs, fmt.Errorf("escalation[%d].to = %q: a URI or an extension", i, s.To))
		}
		if s.Ring < time.Second || s.Ring > 10*time.Minute {
			errs = append(errs, fmt.Errorf("escalation[%d].ring = %v: 1s to 10m", i, s.Ring))
		}
	}
	if errs != nil {
		return errors.Join(errs...)
	}
	if c.MaxCalls < 1 || c.MaxCalls > 10000 {
		return fmt.Errorf("max_calls = %d: 1 to 10000", c.MaxCalls)
	}
	if c.MaxPeers < 0 || c.MaxPeers > 1000 {
		return fmt.Errorf("max_peers = %d: 0 to 1000", c.MaxPeers)
	}
	return nil
}
