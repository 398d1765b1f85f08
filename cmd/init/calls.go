package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// phoneCalls is what counts of phoned's status.
type phoneCalls struct {
	Calls []phoneCall `json:"calls"`
}

// phoneCall is what counts of a call in it (panel.Call).
type phoneCall struct {
	State   string `json:"state"`
	Orbit   string `json:"orbit"`
	Kept    bool   `json:"kept"`
	Movable bool   `json:"movable"`
}

// callsThat asks phoned for its calls and says which of them something would disturb, "" for none.
func callsThat(ctx context.Context, disturb func(phoneCalls) string) (string, error) {
	var st phoneCalls
	if err := ask(ctx, "/api/status", &st); err != nil {
		return "", err
	}
	return disturb(st), nil
}

// inRestart tells whom a restart of phoned alone would disturb: those who talk or ring. Who is parked waits on, unless phoned
// says that it could not go on with him or that somebody is about to have him.
func inRestart(st phoneCalls) string {
	live, unsettled, _ := st.sorted()
	return listed(live, unsettled, nil)
}

// inAbsence tells whom a restart of the whole appliance would disturb: also the parked callers whom no other appliance takes
// over, as they would hear nothing until this one is back.
func inAbsence(st phoneCalls) string { return listed(st.sorted()) }

// anybody counts everybody: the journal of an appliance without an identity is not that of the one that it becomes.
func anybody(st phoneCalls) string { return counted(len(st.Calls), "call") }

// sorted sorts out the calls that anything disturbs, parked callers with whom something is going on or who are not in the
// journal, and those who would have to wait here.
func (st phoneCalls) sorted() (live, unsettled, staying []phoneCall) {
	for _, c := range st.Calls {
		switch parked := c.State == "parked"; {
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
func listed(live, unsettled, staying []phoneCall) string {
	all := []string{counted(len(live), "call"), parked(unsettled, "being recalled or fetched, or not in the journal"),
		parked(staying, "whom no other appliance would take over")}
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), ", ")
}

// parked is "2 parked callers (on 701, 702) WHICH".
func parked(all []phoneCall, which string) string {
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
