package parkd

import (
	"slices"
	"testing"
	"time"
)

// leaving is a machine that has said that it leaves, with a rescuable call on 701, and hears one peer.
func leaving(t *testing.T) (r *runner, call SlotState) {
	t.Helper()
	r = newRunner(Default())
	call = stored(func(s *SlotState) { s.Dialog = reachable("a") })
	r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 1})
	r.step(Restore{Slots: []SlotState{call}})
	r.step(Close{})
	r.step(Leave{})
	remains(t, r, 1, true)
	return r, call
}

func remains(t *testing.T, r *runner, here int, wait bool) {
	t.Helper()
	if n, w := r.m.Remaining(); n != here || w != wait {
		t.Errorf("%d callers here, wait %v; want %d, %v", n, w, here, wait)
	}
}

func ends(effects []Effect) (all []End) {
	for _, e := range effects {
		if r, ok := e.(Report); ok {
			all = append(all, r.Row.End)
		}
	}
	return all
}

// The caller's BYE and the word of the peer that has him come in any order: one row says rescued, before the process ends, and
// the others are told by which document of which peer he is there.
func TestLeavingReportsAtOnce(t *testing.T) {
	for _, byeFirst := range []bool{true, false} {
		r, call := leaving(t)
		there := call
		there.Moves++
		bye, word := LegEnded{Leg: call.Leg}, Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 2, State: []SlotState{there}}
		var rows []End
		if byeFirst {
			rows = ends(r.step(bye))
			remains(t, r, 0, true)
			rows = append(rows, ends(r.step(word))...)
		} else {
			rows = append(ends(r.step(word)), ends(r.step(bye))...)
		}
		remains(t, r, 0, false)
		want := Settled{CallID: call.CallID, Moves: 1, How: Rescued, Host: "dock-2", Epoch: 1, Generation: 2}
		if last := r.m.Hosted(); len(last.Slots) > 0 || !slices.Equal(last.Settled, []Settled{want}) {
			t.Errorf("BYE first %v: told as %+v", byeFirst, last)
		}
		rows = append(rows, ends(r.step(Close{}))...)
		r.wait(time.Minute, func(out []Effect) { rows = append(rows, ends(out)...) })
		if !slices.Equal(rows, []End{EndRescued}) || len(r.m.Hosted().Slots) > 0 {
			t.Errorf("BYE first %v: rows %v, hosted %+v", byeFirst, rows, r.m.Hosted().Slots)
		}
	}
}

// A caller who hung up just then is looked for until the process ends.
func TestLeavingReportsWhoHungUp(t *testing.T) {
	r, call := leaving(t)
	if rows := ends(r.step(LegEnded{Leg: call.Leg})); len(rows) > 0 {
		t.Errorf("rows %v before anybody can know", rows)
	}
	remains(t, r, 0, true)
	if rows := ends(r.step(Close{})); !slices.Equal(rows, []End{EndAbandoned}) {
		t.Errorf("rows %v, want abandoned", rows)
	}
	remains(t, r, 0, false)
}

// Nobody is waited for who cannot come, or with nobody to take him.
func TestLeavingWaitsForNobody(t *testing.T) {
	for _, how := range []Outcome{Unable, Absent, Gone} { // a peer says Absent first, and Gone after LateWord
		r, call := leaving(t)
		r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 2, Settled: []Settled{{CallID: call.CallID, Moves: 1, How: how}}})
		remains(t, r, 1, false)
	}
	r, _ := leaving(t)
	r.step(Peer{Name: "dock-2"})
	remains(t, r, 1, false)

	r = newRunner(Default())
	r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 1})
	r.step(Restore{Slots: []SlotState{stored(nil)}})
	remains(t, r, 1, false)
}

// Who asks before he lets this appliance leave learns whom a peer would have: nobody without a peer, and nobody whose phone cannot come.
func TestWhoWouldBeTakenOver(t *testing.T) {
	r := newRunner(Default())
	knows, cannot := stored(func(s *SlotState) { s.Dialog = reachable("a") }), stored(func(s *SlotState) { s.CallID, s.Leg, s.Orbit = "b", "leg-b", "702" })
	r.step(Restore{Slots: []SlotState{knows, cannot}})
	for _, tc := range []struct {
		peer Peer
		want bool
	}{{Peer{Name: "dock-2"}, false}, {Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 1}, true},
		{Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 2, Settled: []Settled{{CallID: knows.CallID, Moves: 1, How: Unable}}}, false}} {
		r.step(tc.peer)
		if got := r.m.Movable(knows); got != tc.want || r.m.Movable(cannot) {
			t.Errorf("after %+v: %v and %v", tc.peer, got, r.m.Movable(cannot))
		}
	}
}

// Whoever stood still finds its peers dead, and then the BYE of the caller whom they have taken: it waits for their word.
func TestBYEAfterStandingStill(t *testing.T) {
	r := newRunner(Default())
	call := stored(func(s *SlotState) { s.Dialog = reachable("a") })
	r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 1})
	r.step(Restore{Slots: []SlotState{call}})
	r.now = r.now.Add(5 * time.Second)
	r.step(Peer{Name: "dock-2", Epoch: 1, Generation: 1})
	if rows := ends(r.step(LegEnded{Leg: call.Leg, Doubt: true})); len(rows) > 0 {
		t.Errorf("rows %v while the peer may have him", rows)
	}
	call.Moves++
	if rows := ends(r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 2, State: []SlotState{call}})); !slices.Equal(rows, []End{EndRescued}) {
		t.Errorf("rows %v, want rescued", rows)
	}
}

// After a loss of power the clock may stand before the time at which a call was parked: its far end's 481 waits for the word of
// a peer that may have him all the same.
func TestRestoredBeforeItWasParked(t *testing.T) {
	r := newRunner(Default())
	call := stored(func(s *SlotState) { s.Dialog, s.Since = reachable("a"), t0.Add(time.Hour) })
	r.step(Peer{Name: "dock-2"})
	r.step(Restore{Slots: []SlotState{call}})
	if rows := ends(r.step(LegEnded{Leg: call.Leg, Lost: true})); len(rows) > 0 {
		t.Errorf("rows %v while the peer may have him", rows)
	}
}

// A peer that was lost may take a caller over after it has waited and called in vain: the BYE that comes of it is not taken for
// the caller's before.
func TestTakenOverLate(t *testing.T) {
	for _, after := range []time.Duration{2 * time.Second, 5 * time.Minute} {
		cfg := Default()
		cfg.RescueAfter = after
		r := newRunner(cfg)
		call := stored(func(s *SlotState) { s.Dialog = reachable("a") })
		r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 1})
		r.step(Restore{Slots: []SlotState{call}})
		r.step(Peer{Name: "dock-2", Epoch: 1, Generation: 1})
		r.now = r.now.Add(after + 75*time.Second)
		rows := ends(r.step(LegEnded{Leg: call.Leg}))
		r.wait(time.Minute, func(out []Effect) { rows = append(rows, ends(out)...) })
		call.Moves++
		rows = append(rows, ends(r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 2, State: []SlotState{call}}))...)
		if !slices.Equal(rows, []End{EndRescued}) {
			t.Errorf("rescue_after %v: rows %v, want rescued", after, rows)
		}
	}
}
