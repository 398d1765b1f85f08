package parkd

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// ViewState is what the lamp of an orbit says.
type ViewState uint8

// The states of an orbit as people see them.
const (
	ViewFree      ViewState = iota + 1
	ViewHere                // a call hosted here waits
	ViewElsewhere           // a call hosted by a peer waits
	ViewEnding              // last tenth of the wait
	ViewRecalling           // the parker or an escalation step is being rung
	ViewFetching            // being handed over
	ViewQueued              // more than one call, or one that was recalled in vain (priority)
	ViewUnknown             // its host is dead; or free as far as known, but no peer can be reached
)

var viewNames = [...]string{
	ViewFree: "free", ViewHere: "parked-here", ViewElsewhere: "parked-elsewhere", ViewEnding: "ending",
	ViewRecalling: "recalling", ViewFetching: "fetching", ViewQueued: "queued", ViewUnknown: "unknown",
}

// String returns the word used in panel and logs.
func (v ViewState) String() string {
	if int(v) < len(viewNames) && viewNames[v] != "" {
		return viewNames[v]
	}
	return fmt.Sprintf("view(%d)", uint8(v))
}

// OrbitView is one orbit of the federation, the union of what is hosted here and what the peers told.
// Caller, Parker, Since, Deadline and Host are those of the call that a fetch would take.
type OrbitView struct {
	Orbit    string
	State    ViewState
	Caller   Party
	Parker   Party
	Since    time.Time
	Deadline time.Time // when its state gives way to the next step; zero: never, or no call
	Host     string
	Calls    []SlotState // oldest first
}

// View returns the orbit's present view; an orbit outside the lot is Unknown without calls.
func (m *Machine) View(orbit string) OrbitView {
	v := OrbitView{Orbit: orbit, State: ViewUnknown}
	if !m.hasOrbit(orbit) {
		return v
	}
	v.Calls = m.calls(func(s SlotState) bool { return s.Orbit == orbit })
	if len(v.Calls) == 0 {
		if !m.isolated() {
			v.State = ViewFree
		}
		return v
	}
	first := v.Calls[0]
	if i := slices.IndexFunc(v.Calls, fetchable); i >= 0 {
		first = v.Calls[i]
	} else if i := slices.IndexFunc(v.Calls, func(s SlotState) bool { return !s.Unknown && s.State != Moving }); i >= 0 {
		first = v.Calls[i]
	}
	v.Caller, v.Parker, v.Since, v.Deadline, v.Host = first.Caller, first.Parker, first.Since, first.Deadline, first.Host
	switch {
	case first.Unknown, first.State == Moving:
		v.State = ViewUnknown
	case len(v.Calls) > 1 || first.Priority > 0 && first.State != Recalling && first.State != Fetching:
		v.State = ViewQueued
	case first.State == Recalling:
		v.State = ViewRecalling
	case first.State == Ending:
		v.State = ViewEnding
	case first.State == Fetching:
		v.State = ViewFetching
	case first.Host == m.host:
		v.State = ViewHere
	default:
		v.State = ViewElsewhere
	}
	return v
}

// Orbits returns the view of every orbit of the lot, in the lot's order.
func (m *Machine) Orbits() []OrbitView {
	vs := make([]OrbitView, 0, len(m.cfg.Orbits))
	for _, o := range m.cfg.Orbits {
		vs = append(vs, m.View(o))
	}
	return vs
}

// List returns every call of the lot in the federation, oldest first.
func (m *Machine) List() []SlotState {
	return m.calls(func(SlotState) bool { return true })
}

// Known is what an arbiter goes by: all calls of which an appliance knows, its own and those of the peers. Who owns the machine
// tells it after each Step, before the effects are carried out: so that it and the lamps say the same, and nobody hears that an
// orbit is free before it does.
type Known struct {
	Calls []KnownCall
	Heard []string // the peers whose documents are in it
}

// KnownCall is a call in its orbit.
type KnownCall struct {
	Orbit, Host string
	Unknown     bool
}

// Refuses says why an orbit is not to be had; ReasonNone if nobody is in it.
func (k Known) Refuses(orbit string) (why Reason) {
	for _, c := range k.Calls {
		switch {
		case c.Orbit != orbit:
		case !c.Unknown:
			return ReasonTaken
		default:
			why = ReasonUnknown
		}
	}
	return why
}

// Known returns what is known now.
func (m *Machine) Known() (k Known) {
	for _, c := range m.hosted {
		k.Calls = append(k.Calls, KnownCall{c.Orbit, m.host, false})
	}
	for _, p := range m.peers {
		for _, s := range p.copies() {
			k.Calls = append(k.Calls, KnownCall{s.Orbit, p.Name, s.Unknown})
		}
		if p.Epoch != 0 {
			k.Heard = append(k.Heard, p.Name)
		}
	}
	return k
}

// Hosted returns what this appliance hosts with its epoch and generation, as last announced.
func (m *Machine) Hosted() Announce {
	a := Announce{Epoch: m.epoch, Generation: m.generation, Slots: make([]SlotState, 0, len(m.hosted)), Leaving: m.leaving}
	for _, f := range m.settled {
		a.Settled = append(a.Settled, f.Settled)
	}
	for _, c := range m.hosted {
		a.Slots = append(a.Slots, c.SlotState)
	}
	return a
}

// HostedBy returns the call that a leg is, if it is parked here.
func (m *Machine) HostedBy(leg LegID) (SlotState, bool) {
	for _, c := range m.hosted {
		if c.Leg == leg {
			return c.SlotState, true
		}
	}
	return SlotState{}, false
}

// calls returns the known calls that keep wants, oldest first; equal times in the order of call ids, so
// that all appliances agree.
func (m *Machine) calls(keep func(SlotState) bool) []SlotState {
	var cs []SlotState
	for _, c := range m.hosted {
		if keep(c.SlotState) {
			cs = append(cs, c.SlotState)
		}
	}
	for _, p := range m.peers {
		for _, s := range p.copies() {
			if keep(s) {
				cs = append(cs, s)
			}
		}
	}
	slices.SortFunc(cs, func(a, b SlotState) int {
		if d := a.Since.Compare(b.Since); d != 0 {
			return d
		}
		return cmp.Compare(a.CallID, b.CallID)
	})
	return cs
}

// fetchable reports whether somebody may take the call now.
func fetchable(s SlotState) bool {
	return !s.Unknown && (s.State == Parked || s.State == Ending || s.State == Recalling)
}

// isolated reports whether there are peers and none of them can be heard.
func (m *Machine) isolated() bool {
	for _, p := range m.peers {
		if p.Alive {
			return false
		}
	}
	return len(m.peers) > 0
}

func (m *Machine) hasOrbit(orbit string) bool { return slices.Contains(m.cfg.Orbits, orbit) }
