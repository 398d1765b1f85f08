package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/client"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/supervise"
	"parklamp/cmd/internal/update"
	"parklamp/parkd/panel"
)

const (
	idleLook = 2 * time.Second // between two looks whether a call is there
	askFor   = 5 * time.Second // whether phoned lives
)

// phone is phoned: how it is started, with which configuration, and what it is asked.
type phone struct {
	*ground
	service *supervise.Service
	asks    *client.Client

	mu        sync.Mutex
	refused   int // guarded by mu: how many configurations it could not use
	refusedAt int // guarded by mu: its starts by then
}

func newPhone(g *ground) *phone {
	p := &phone{ground: g, asks: client.Socket(initapi.PhonedSocket)}
	patience := supervise.DefaultPolicy()
	patience.StopFor = initapi.EndFor
	p.service = supervise.NewService("phoned", supervise.Spec{}, patience, p.alive, g.reaper, g.log)
	return p
}

// start starts it.
func (p *phone) start(g *group) {
	p.service.SetSpec(p.spec())
	g.start(p.service.Run)
	p.service.Start()
}

// spec is how phoned is started. The capabilities are for ports below 1024 (5060 needs none, 80 and 443 do) and a nice
// value below 0.
func (p *phone) spec() supervise.Spec {
	return supervise.Spec{Path: phonedPath, Args: []string{"-config", p.config()},
		Env:     []string{"PATH=/usr/bin:/bin", "HOME=" + dataFolder, initapi.SocketEnv + "=" + initapi.Socket},
		User:    &supervise.User{UID: parklampID, GID: parklampID},
		Restart: initapi.RestartSignal,
		Ambient: []uintptr{unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_NICE},
		Output:  p.logbook.Writer("phoned", time.Now)}
}

// alive is the question whether phoned works. It is asked over its control socket, as the loop that owns the calls makes the
// answer: who answers lives.
func (p *phone) alive(ctx context.Context) error {
	_, err := p.asks.Get(ctx, "orbits")
	return err
}

// busy says what an absence of the appliance would disturb, "" for nothing.
func (p *phone) busy(ctx context.Context) (string, error) { return p.callsThat(ctx, inAbsence) }

// uncountedCode is the health condition of a phone that did not say which calls it has when somebody waited for that.
const uncountedCode = "phoned.calls"

// callsThat asks phoned for its calls and says which of them something would disturb, "" for none. The error is
// update.ErrUncounted, which is also a health condition, or one of a phone that is silent.
func (p *phone) callsThat(ctx context.Context, disturb func([]panel.Call) string) (string, error) {
	st, err := p.asks.Status(ctx)
	if err == nil {
		p.clear(uncountedCode)
		return disturb(st.Calls), nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return "", err
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor) // the answer may have taken all the time that there was
	defer cancel()
	if p.alive(asking) != nil {
		p.clear(uncountedCode)
		return "", err
	}
	err = fmt.Errorf("%w: %w", update.ErrUncounted, err)
	p.raise(health.Condition{Code: uncountedCode, Severity: health.Error, Text: err.Error(),
		Hint: fmt.Sprintf("a restart that was to disturb nobody comes after %v of this all the same; parkctl restart --now does not wait", update.UncountedFor)})
	return "", err
}

// countAgain asks once more while that condition lasts: who waited may have given up since.
func (p *phone) countAgain(ctx context.Context) {
	if _, lasts := p.health.Get(uncountedCode); !lasts {
		return
	}
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	_, _ = p.callsThat(asking, anybody)
}

// untilIdle waits until phoned has no calls that waitFor names.
func (p *phone) untilIdle(ctx context.Context, waitFor func([]panel.Call) string, tell func(why string)) bool {
	return untilIdle(ctx, func(ctx context.Context) (string, error) { return p.callsThat(ctx, waitFor) }, tell)
}

// untilIdle waits until busy names nothing, or the phone is silent for so long that there is nothing. It tells each time what
// it waits for, "" in the end; false if ctx ended.
func untilIdle(ctx context.Context, busy func(context.Context) (string, error), tell func(why string)) bool {
	defer tell("")
	caution := update.NewCaution(busy)
	look := time.NewTicker(idleLook)
	defer look.Stop()
	for {
		why := caution.Ask(ctx)
		if why == "" {
			return ctx.Err() == nil
		}
		tell(why)
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
	}
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
