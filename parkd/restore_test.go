package parkd

import (
	"strings"
	"testing"
	"time"
)

// stored is a call as the journal gives it back at t0, parked half a minute before.
func stored(edit func(*SlotState)) SlotState {
	s := SlotState{Orbit: "701", Lot: "main", CallID: "dock-1.z.1", Host: "dock-1", State: Parked, Since: t0.Add(-30 * time.Second),
		RecallAt: t0.Add(60 * time.Second), Deadline: t0.Add(60 * time.Second), Caller: Party{Name: "Ann"}, ParkerRef: DeskPhone,
		Epoch: 35, Generation: 7, Leg: "a"}
	if edit != nil {
		edit(&s)
	}
	return s
}

func TestRestore(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*SlotState)
		want string // effects, without the announcement and the change
	}{
		{"parked", nil, "music a; timer call:dock-1.z.1 at=51s"},
		{"last tenth", func(s *SlotState) { s.State, s.RecallAt = Ending, t0.Add(5*time.Second) }, "music a; timer call:dock-1.z.1 at=5s"},
		{"wait over meanwhile", func(s *SlotState) { s.RecallAt = t0.Add(-time.Second) },
			"music a; timer call:dock-1.z.1 at=20s; recall recall:1 to=phone step=0"},
		{"recalling", func(s *SlotState) { s.State, s.RecallAt, s.Step = Recalling, t0.Add(-time.Minute), 1 },
			"music a; timer call:dock-1.z.1 at=10s; recall recall:1 to=reception step=1"},
		{"fetching", func(s *SlotState) { s.State, s.Deadline = Fetching, t0.Add(time.Second) }, "music a; timer call:dock-1.z.1 at=51s"},
		{"fetching, wait over", func(s *SlotState) { s.State, s.RecallAt = Fetching, t0 },
			"music a; timer call:dock-1.z.1 at=20s; recall recall:1 to=phone step=0"},
		{"clock was set back a year", func(s *SlotState) {
			s.Since, s.RecallAt = s.Since.AddDate(1, 0, 0), s.RecallAt.AddDate(1, 0, 0)
		}, "music a; timer call:dock-1.z.1 at=1m21s"},
		{"clock was put forward a year", func(s *SlotState) { s.RecallAt = s.RecallAt.AddDate(-1, 0, 0) },
			"music a; timer call:dock-1.z.1 at=20s; recall recall:1 to=phone step=0"},
		{"orbit is not of the lot any more", func(s *SlotState) { s.Orbit = "799" }, "music a; timer call:dock-1.z.1 at=51s"},
		{"no call id", func(s *SlotState) { s.CallID = "" }, "hang-up a (the call cannot be kept)"},
		{"no state of the journal's", func(s *SlotState) { s.State = Claiming }, "hang-up a (the call cannot be kept)"},
		{"no leg", func(s *SlotState) { s.Leg = "" }, "ignored parkd.Restore"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Default()
			cfg.Orbits = []string{"701", "702", "703"}
			cfg.Escalation = []Step{{To: "reception", Ring: 10 * time.Second}}
			r := newRunner(cfg)
			in := stored(tc.edit)
			var got []string
			for _, e := range r.step(Restore{Slots: []SlotState{in}}) {
				switch e.(type) {
				case Announce, Changed:
				default:
					got = append(got, line(e))
				}
			}
			if s := strings.Join(got, "; "); s != tc.want {
				t.Errorf("got  %s\nwant %s", s, tc.want)
			}
			for _, s := range r.m.Hosted().Slots {
				if s.CallID != in.CallID || !s.Since.Equal(in.Since) || s.Priority != in.Priority || s.Epoch != epoch0 {
					t.Errorf("restored as %+v", s)
				}
				if v := r.m.View(s.Orbit); v.Host != "dock-1" || !v.Since.Equal(in.Since) {
					t.Errorf("orbit %s shows %+v", s.Orbit, v)
				}
			}
		})
	}
}

// Peers must never see a document in which one of several restored calls is missing: they would call it lost.
func TestRestoreAnnouncesAllAtOnce(t *testing.T) {
	r := newRunner(Default())
	r.m.epoch = 3 // the clock was set back: the earlier life had 35
	var in Restore
	for i, leg := range []LegID{"a", "b", "c", "a"} {
		in.Slots = append(in.Slots, stored(func(s *SlotState) { s.Leg, s.CallID = leg, "dock-1.z."+string(rune('1'+i)) }))
	}
	in.Slots = append(in.Slots, stored(func(s *SlotState) { s.Leg, s.Orbit = "d", "702" })) // an id twice
	announced := 0
	for _, e := range r.step(in) {
		switch e := e.(type) {
		case Announce:
			announced++
			if len(e.Slots) != 3 || e.Epoch <= 35 {
				t.Errorf("announced epoch %d with %d calls, want more than 35 and 3", e.Epoch, len(e.Slots))
			}
		case HangUp:
			if e.Leg != "d" {
				t.Errorf("hung up %s", e.Leg)
			}
		}
	}
	if announced == 0 {
		t.Error("nothing was announced")
	}
	if v := r.m.View("701"); v.State != ViewQueued || len(v.Calls) != 3 {
		t.Errorf("orbit 701 is %v with %d calls, want queued with 3", v.State, len(v.Calls))
	}
}

// What happened while this appliance was down: a peer parked somebody in the same orbit.
func TestRestoreQueuesBesideAPeersCall(t *testing.T) {
	r := newRunner(Default())
	r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 1, State: []SlotState{{Orbit: "701", CallID: "dock-2.1.1",
		State: Parked, Since: t0, Caller: Party{Name: "Zoe"}}}})
	r.step(Restore{Slots: []SlotState{stored(nil)}})
	if v := r.m.View("701"); v.State != ViewQueued || v.Caller.Name != "Ann" || len(v.Calls) != 2 {
		t.Errorf("orbit 701 is %v with %d calls, first %q; want queued, 2, Ann", v.State, len(v.Calls), v.Caller.Name)
	}
}

func TestLineLostIsReportedLost(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for state, cmd := range map[string]Input{"parked": nil, "fetching": Fetch{Token: "f", Orbit: "701"}} {
			r := newRunner(Default())
			r.step(Restore{Slots: []SlotState{stored(nil)}})
			if cmd != nil {
				r.step(cmd)
			}
			want := map[bool]End{false: EndAbandoned, true: EndLost}[lost]
			found := false
			for _, e := range r.step(LegEnded{Leg: "a", Lost: lost}) {
				if rep, ok := e.(Report); ok {
					found = rep.Row.End == want
				}
			}
			if !found || r.m.View("701").State != ViewFree {
				t.Errorf("%s, lost %v: no report of %v, or the orbit is not free", state, lost, want)
			}
		}
	}
}
