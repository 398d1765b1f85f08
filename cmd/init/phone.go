package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/update"
	"parklamp/parkd/panel"
)

// alive is the question whether phoned works. It is asked over its control socket, as the loop that owns the calls makes the
// answer: who answers lives.
func (s *system) alive(ctx context.Context) error {
	_, err := s.phone.Get(ctx, "orbits")
	return err
}

// healthy says whether this system does its work: it has the appliance's own data, identity and configuration, phoned answers,
// hears SIP, has its journal, and is registered or has a peer if it has any of them to reach.
func (s *system) healthy(ctx context.Context) (bool, string) {
	if lack := s.lacks(); lack != "" {
		return false, lack
	}
	return s.verdict(ctx)
}

// lacks says what of the appliance this system cannot use, "" for nothing. A phone that runs on the built-in configuration
// instead has neither accounts nor peers to miss. Where the system before had the same fault, that is to be mended before
// an update: nobody could tell whether the new system works.
func (s *system) lacks() string {
	s.mu.Lock()
	refused := s.refused > 0
	s.mu.Unlock()
	nameless := s.identity.lacks()
	switch data := s.store.state(); {
	case data.Device == "":
		return "the data partition is not in use: " + data.Fault
	case nameless != "":
		return nameless
	case refused:
		if c, told := s.health.Get(initapi.CodeConfiguration); told {
			return c.Text
		}
		return "the phone refuses its configuration" // which fault it has is told in a moment
	}
	return ""
}

// verdict is healthy by what phoned says of itself. It is asked now: what is known of it may be older than its start.
func (s *system) verdict(ctx context.Context) (bool, string) {
	st, err := s.phone.Status(ctx)
	if err != nil {
		return false, fmt.Sprintf("phoned does not answer: %v", err)
	}
	for _, c := range st.Health {
		// Calls that cannot be stored on a card that works are this system's doing; else the system before had that too.
		if c.Code == panel.CodeJournal && !s.store.fails() ||
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

// busy says what an absence of the appliance would disturb, "" for nothing.
func (s *system) busy(ctx context.Context) (string, error) { return s.callsThat(ctx, inAbsence) }

// uncountedCode is the health condition of a phone that did not say which calls it has when somebody waited for that.
const uncountedCode = "phoned.calls"

// callsThat asks phoned for its calls and says which of them something would disturb, "" for none. The error is
// update.ErrUncounted, which is also a health condition, or one of a phone that is silent.
func (s *system) callsThat(ctx context.Context, disturb func([]panel.Call) string) (string, error) {
	st, err := s.phone.Status(ctx)
	if err == nil {
		s.clear(uncountedCode)
		return disturb(st.Calls), nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return "", err
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor) // the answer may have taken all the time that there was
	defer cancel()
	if s.alive(asking) != nil {
		s.clear(uncountedCode)
		return "", err
	}
	err = fmt.Errorf("%w: %w", update.ErrUncounted, err)
	s.raise(health.Condition{Code: uncountedCode, Severity: health.Error, Text: err.Error(),
		Hint: fmt.Sprintf("a restart that was to disturb nobody comes after %v of this all the same; parkctl restart --now does not wait", update.UncountedFor)})
	return "", err
}

// countAgain asks once more while that condition lasts: who waited may have given up since.
func (s *system) countAgain(ctx context.Context) {
	if _, lasts := s.health.Get(uncountedCode); !lasts {
		return
	}
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	_, _ = s.callsThat(asking, anybody)
}

// inRestart tells whom a restart of phoned alone would disturb: those who talk or ring. Who is parked waits on, unless phoned
// says that it could not go on with him or that somebody is about to have him.
func inRestart(calls []panel.Call) string {
	live, unsettled, _ := sorted(calls)
	return listed(live, unsettled, nil)
}

// inAbsence tells whom a restart of the whole appliance would disturb: also the parked callers whom no other appliance takes
// over, as they would hear nothing until this one is back.
func inAbsence(calls []panel.Call) string { return listed(sorted(calls)) }

// anybody counts everybody: the journal of an appliance without an identity is not that of the one that it becomes.
func anybody(calls []panel.Call) string { return counted(len(calls), "call") }

// sorted sorts out the calls that anything disturbs, parked callers with whom something is going on or who are not in the
// journal, and those who would have to wait here.
func sorted(calls []panel.Call) (live, unsettled, staying []panel.Call) {
	for _, c := range calls {
		switch parked := c.State == panel.CallParked; {
		case !c.Kept && parked:
			unsettled = append(unsettled, c)
		case !c.Kept:
			live = append(live, c)
		case parked && !c.Movable:
			staying = append(staying, c)
		}
	}
	return live, unsettled, staying
}

// listed says it in words, with the orbits where somebody can be fetched.
func listed(live, unsettled, staying []panel.Call) string {
	all := []string{counted(len(live), "call"), parked(unsettled, "being recalled or fetched, or not in the journal"),
		parked(staying, "whom no other appliance would take over")}
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), ", ")
}

// parked is "2 parked callers (on 701, 702) WHICH".
func parked(all []panel.Call, which string) string {
	var orbits []string
	for _, c := range all {
		if c.Orbit != "" && !slices.Contains(orbits, c.Orbit) {
			orbits = append(orbits, c.Orbit)
		}
	}
	text := counted(len(all), "parked caller")
	if len(orbits) > 0 {
		slices.Sort(orbits)
		text += " (on " + strings.Join(orbits, ", ") + ")"
	}
	if text != "" {
		text += " " + which
	}
	return text
}

// counted is "" for none.
func counted(n int, what string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
