package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"parklamp/parkd/panel"
)

// change is one line of watch.
type change struct {
	what string // "orbit 701", "peer dock-2"
	text cell
}

// watch prints changes until it is interrupted. An appliance that stops is
// waited for. With --json each Status is a line.
func (t *tool) watch(ctx context.Context, _ []string) error {
	c := t.appliance()
	var last *panel.Status
	seen := false // the appliance answered at least once
	for {
		err := c.Events(ctx, func(data []byte) error {
			seen = true
			if t.json {
				return t.raw(data)
			}
			var s panel.Status
			if err := json.Unmarshal(data, &s); err != nil {
				return fmt.Errorf("events of %s: %w", cmp.Or(t.at, t.socket), err)
			}
			if last == nil {
				t.line(s.At, change{s.Appliance.Name, cell{"watching", faint}})
				last = &panel.Status{} // so that all there is now is news
			}
			for _, ch := range changes(*last, s) {
				t.line(s.At, ch)
			}
			last = &s
			return nil
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !seen {
			return err
		}
		if last != nil {
			t.line(last.At, change{last.Appliance.Name, cell{"stopped answering; waiting for it", yellow}})
			last = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(t.retry):
		}
	}
}

func (t *tool) line(at time.Time, c change) {
	c.text.text = clean(c.text.text)
	fmt.Fprintf(t.out, "%s  %-14s  %s\n", t.shaded(cell{at.Local().Format("15:04:05.000"), faint}), clean(c.what), t.shaded(c.text))
}

// changes tells what a person would notice between two statuses, in the order
// of the status.
func changes(old, now panel.Status) []change {
	var cs []change
	add := func(what string, text cell) { cs = append(cs, change{what, text}) }

	if a, b := phoneLine(old.Phone), phoneLine(now.Phone); a != b {
		add("phone", cell{b, plain})
	}
	if now.Phone.Prompt != "" && (now.Phone.Prompt != old.Phone.Prompt || !now.Phone.PromptAt.Equal(old.Phone.PromptAt)) {
		add("phone", cell{fmt.Sprintf("hears %q", now.Phone.Prompt), bold})
	}
	diff(old.Orbits, now.Orbits, func(o panel.Orbit) string { return o.Number }, orbitLine, func(o panel.Orbit, gone bool) {
		// An orbit that was never taken is no news.
		if was := find(old.Orbits, func(p panel.Orbit) bool { return p.Number == o.Number }); !gone && (o.State != panel.StateFree || was != nil) {
			add("orbit "+o.Number, grade(o.State, orbitLine(o)))
		}
	})
	orbitLamps := make(map[string]bool)
	for _, o := range now.Orbits {
		orbitLamps["orbit-"+o.Number] = true // said above
	}
	diff(old.Lamps, now.Lamps, func(l panel.Lamp) string { return l.ID }, lampLine, func(l panel.Lamp, gone bool) {
		was := find(old.Lamps, func(p panel.Lamp) bool { return p.ID == l.ID })
		if !gone && !orbitLamps[l.ID] && (l.Colour != panel.Off || was != nil) {
			add("lamp "+l.ID, cell{lampLine(l), map[panel.Colour]string{panel.Green: green, panel.Red: red, panel.Amber: yellow}[l.Colour]})
		}
	})
	diff(old.Calls, now.Calls, func(c panel.Call) string { return c.ID }, callLine, func(c panel.Call, gone bool) {
		text := callLine(c)
		if gone {
			text = "ended, was " + text
		}
		add("call "+c.ID, cell{text, plain})
	})
	diff(old.Peers, now.Peers, func(p panel.Peer) string { return p.Name }, func(p panel.Peer) string { return p.State }, func(p panel.Peer, gone bool) {
		if gone {
			p.State = "removed"
		}
		add("peer "+p.Name, grade(p.State, p.State))
	})
	diff(old.Accounts, now.Accounts, func(a panel.Account) string { return a.AOR }, accountLine, func(a panel.Account, gone bool) {
		if gone {
			a = panel.Account{AOR: a.AOR, State: "removed"}
		}
		add("account "+a.AOR, grade(a.State, accountLine(a)))
	})
	healthKey := func(c panel.Condition) string { return c.Code + " " + c.Text }
	diff(old.Health, now.Health, healthKey, func(c panel.Condition) string { return c.Severity }, func(c panel.Condition, gone bool) {
		if gone {
			add("health", cell{"over: " + c.Text, green})
			return
		}
		add("health", grade(c.Severity, advised(c)))
	})
	return cs
}

// diff reports items that are new, that read otherwise, or that are gone.
func diff[T any](old, now []T, key, text func(T) string, report func(item T, gone bool)) {
	was := make(map[string]string, len(old))
	for _, o := range old {
		was[key(o)] = text(o)
	}
	for _, n := range now {
		if before, known := was[key(n)]; !known || before != text(n) {
			report(n, false)
		}
		delete(was, key(n))
	}
	for _, o := range old {
		if _, gone := was[key(o)]; gone {
			report(o, true)
		}
	}
}

func find[T any](list []T, is func(T) bool) *T {
	for i := range list {
		if is(list[i]) {
			return &list[i]
		}
	}
	return nil
}

func phoneLine(p panel.Phone) string {
	if p.State == "" {
		return ""
	}
	p.Prompt, p.VolumeMax = "", 0
	return words(p.State) + ", " + phoneDetail(panel.Status{Phone: p})
}

func orbitLine(o panel.Orbit) string {
	text := words(o.State)
	for _, part := range [][2]string{{": ", o.Caller.String()}, {", by ", o.Parker.String()}, {", on ", o.Host}} {
		if part[1] != "" {
			text += part[0] + part[1]
		}
	}
	if len(o.Calls) > 1 {
		text += fmt.Sprintf(", and %d more", len(o.Calls)-1)
	}
	return text
}

func lampLine(l panel.Lamp) string {
	if l.Colour == panel.Off {
		return "off"
	}
	return string(l.Colour) + ", " + cadence(l) + ": " + words(l.Pattern)
}

func callLine(c panel.Call) string {
	text := words(c.State)
	if who := c.Remote.String(); who != "" {
		text += map[string]string{"in": " from ", "out": " to "}[c.Direction] + who
	}
	if c.Orbit != "" {
		text += " on " + c.Orbit
	}
	return text
}

func accountLine(a panel.Account) string {
	if a.Reason == "" {
		return a.State
	}
	return a.State + ": " + a.Reason
}
