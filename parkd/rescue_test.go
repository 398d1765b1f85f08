package parkd

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// watching is a machine that hears two peers; dock-2 has a call that can be taken over.
func watching(t *testing.T, cfg Config) (r *runner, call SlotState) {
	t.Helper()
	r = newRunner(cfg)
	call = SlotState{Orbit: "701", CallID: "dock-2.1", State: Parked, Since: t0, RecallAt: t0.Add(time.Hour), Dialog: reachable("a")}
	r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 1, State: []SlotState{call}})
	r.step(Peer{Name: "office", Alive: true, Epoch: 1, Generation: 1})
	return r, call
}

func (r *runner) collect(d time.Duration) (out []Effect) {
	r.wait(d, func(es []Effect) { out = append(out, es...) })
	return out
}

func count[E Effect](out []Effect) (n int) {
	for _, e := range out {
		if _, ok := e.(E); ok {
			n++
		}
	}
	return n
}

func sees(t *testing.T, r *runner, orbit string, want ViewState) {
	t.Helper()
	if v := r.m.View(orbit); v.State != want {
		t.Errorf("%s is %v, want %v", orbit, v.State, want)
	}
}

// A full appliance does not call the caller of a dead one, tells once that he hears nothing, and calls him when it has room.
func TestRescueWaitsForRoom(t *testing.T) {
	cfg := Default()
	cfg.MaxCalls = 1
	r, _ := watching(t, cfg)
	r.step(Restore{Slots: []SlotState{stored(func(s *SlotState) { s.Orbit = "705" })}})
	r.step(Peer{Name: "dock-2", Epoch: 1, Generation: 1})
	if out := r.collect(time.Minute); count[Rescue](out) != 0 || count[Stranded](out) != 1 {
		t.Errorf("without room: %d calls, told %d times", count[Rescue](out), count[Stranded](out))
	}
	r.step(LegEnded{Leg: stored(nil).Leg, Ours: true})
	if out := r.collect(time.Minute); count[Rescue](out) != 1 {
		t.Errorf("with room: %d calls, want 1", count[Rescue](out))
	}
}

// Who waits to look again is not hurried by each document.
func TestRescueLooksAgainInItsTime(t *testing.T) {
	r, call := watching(t, Default())
	trying := Peer{Name: "office", Alive: true, Epoch: 1, Generation: 2, Settled: []Settled{{CallID: call.CallID, Moves: 1, How: Trying}}}
	r.step(trying)
	r.step(Peer{Name: "dock-2"})
	out := r.collect(Default().RescueAfter + rescueTurn) // its turn was within that, and it looked
	looked := r.timers["rescue:"+call.CallID]
	for range 4 {
		trying.Generation++
		out = append(out, r.step(trying)...)
		if at := r.timers["rescue:"+call.CallID]; !at.Equal(looked) {
			t.Fatalf("a document makes it look again %v earlier", looked.Sub(at))
		}
		out = append(out, r.collect(rescueTurn/5)...)
	}
	if count[Rescue](out) > 0 {
		t.Fatal("called while another appliance calls")
	}
	trying.Generation, trying.Settled = trying.Generation+1, nil
	r.step(trying)
	if out := r.collect(2 * rescueTurn); count[Rescue](out) != 1 {
		t.Errorf("%d calls when the other has given up, want 1", count[Rescue](out))
	}
}

// What nobody can need any more is not told for ever.
func TestFactsAge(t *testing.T) {
	r, call := watching(t, Default())
	r.step(Peer{Name: "dock-2"})
	r.collect(20 * time.Second)
	r.step(RescueResult{CallID: call.CallID, How: Unable})
	for _, tc := range []struct {
		after time.Duration
		want  int
	}{{r.m.factsFor(), 1}, {time.Second, 0}} {
		r.collect(tc.after)
		r.step(Leave{}) // anything that is announced
		if got := r.m.Hosted().Settled; len(got) != tc.want {
			t.Errorf("%v later: %+v, want %d", tc.after, got, tc.want)
		}
	}
}

// Who hosts a call that was said to be gone, or not to be had, is back: the others are told that this does not hold.
func TestWhatWasFoundOutIsWithdrawn(t *testing.T) {
	for _, how := range []Outcome{Gone, Unable} {
		r, call := watching(t, Default())
		r.step(Peer{Name: "dock-2", Epoch: 1, Generation: 1})
		r.collect(20 * time.Second)
		r.step(RescueResult{CallID: call.CallID, How: how})
		r.collect(LateWord)
		if s := r.m.Hosted().Settled; len(s) != 1 || s[0].How != how {
			t.Fatalf("%v: told %+v", how, s)
		}
		out := r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 1})
		if count[Announce](out) == 0 || len(r.m.Hosted().Settled) > 0 {
			t.Errorf("%v: %d documents, the last with %+v", how, count[Announce](out), r.m.Hosted().Settled)
		}
		sees(t, r, "701", ViewElsewhere)
	}
}

// A caller had left his host before it died: nobody waits for its word for longer than a word may be late.
func TestMovingOfADeadHost(t *testing.T) {
	r, call := watching(t, Default())
	call.State = Moving
	r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 2, State: []SlotState{call}})
	r.step(Peer{Name: "dock-2", Epoch: 1, Generation: 2})
	out := r.collect(LateWord - time.Second)
	sees(t, r, "701", ViewUnknown)
	out = append(out, r.collect(2*time.Second)...)
	sees(t, r, "701", ViewFree)
	if !slices.Equal(ends(out), []End{EndAbandoned}) || count[Rescue](out) > 0 {
		t.Errorf("rows %v, %d calls", ends(out), count[Rescue](out))
	}
}

// The old host's word comes first: the orbit stays until the new host's document is there, whatever else is told, and not for
// ever if that never comes.
func TestTheNewHostsWordIsLate(t *testing.T) {
	fact := Settled{CallID: "dock-2.1", Moves: 1, How: Rescued, Host: "office", Epoch: 1, Generation: 5}
	for what, tc := range map[string]struct {
		then func(r *runner, call SlotState)
		want ViewState
	}{
		"it has him": {func(r *runner, call SlotState) {
			call.Moves++
			r.step(Peer{Name: "office", Alive: true, Epoch: 1, Generation: 5, State: []SlotState{call}})
		}, ViewElsewhere},
		"it had him":               {func(r *runner, _ SlotState) { r.step(Peer{Name: "office", Alive: true, Epoch: 1, Generation: 9}) }, ViewFree},
		"it tells something older": {func(r *runner, _ SlotState) { r.step(Peer{Name: "office", Alive: true, Epoch: 1, Generation: 4}) }, ViewUnknown},
		"a new life, a moment ago": {func(r *runner, _ SlotState) { r.step(Peer{Name: "office", Alive: true, Epoch: 2, Generation: 1}) }, ViewUnknown},
		"a new life": {func(r *runner, _ SlotState) {
			r.step(Peer{Name: "office", Alive: true, Epoch: 2, Generation: 1})
			r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1})
			r.collect(LateWord + 2*time.Second)
		}, ViewFree},
		"a new life, and out of reach is who may have him": {func(r *runner, _ SlotState) {
			r.step(Peer{Name: "gate", Alive: true, Epoch: 1, Generation: 1})
			r.step(Peer{Name: "gate", Epoch: 1, Generation: 1})
			r.step(Peer{Name: "office", Alive: true, Epoch: 2, Generation: 1})
			r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1})
			r.collect(LateWord + 2*time.Second)
		}, ViewUnknown},
		"the old host is back": {func(r *runner, _ SlotState) { r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1}) }, ViewUnknown},
		"somebody finds no dialog": {func(r *runner, _ SlotState) {
			r.step(Peer{Name: "gate", Alive: true, Epoch: 1, Generation: 1, Settled: []Settled{{CallID: "dock-2.1", Moves: 1, How: Gone}}})
		}, ViewUnknown},
		"it dies": {func(r *runner, _ SlotState) {
			r.step(Peer{Name: "office", Epoch: 1, Generation: 1})
			r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1})
			r.collect(time.Minute)
		}, ViewUnknown},
		"it stays away": {func(r *runner, _ SlotState) {
			r.step(Peer{Name: "office", Epoch: 1, Generation: 1})
			r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1})
			r.collect(Default().ForgetDead + 2*time.Second)
		}, ViewFree},
		"it is silent, and the old host's word comes again and again": {func(r *runner, _ SlotState) {
			for range Default().ForgetDead / time.Minute {
				r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 2, Settled: []Settled{fact}})
				r.collect(time.Minute)
			}
			r.collect(2 * time.Second)
		}, ViewFree},
	} {
		r, call := watching(t, Default())
		r.step(Peer{Name: "dock-2", Epoch: 1, Generation: 2, Leaving: true, Settled: []Settled{fact}})
		sees(t, r, "701", ViewUnknown)
		tc.then(r, call)
		if v := r.m.View("701"); v.State != tc.want {
			t.Errorf("%s: 701 is %v, want %v", what, v.State, tc.want)
		}
	}
}

// A small appliance knows, and rescues, as many callers as a large one parks.
func TestMirrorIsNotBoundByOwnLot(t *testing.T) {
	cfg := Default()
	cfg.MaxCalls = 1
	r := newRunner(cfg)
	doc := Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 1}
	for i, orbit := range []string{"701", "702", "703"} {
		doc.State = append(doc.State, SlotState{Orbit: orbit, CallID: "dock-2." + string(rune('1'+i)), State: Parked, Since: t0, Dialog: reachable(orbit)})
	}
	r.step(doc)
	for _, s := range doc.State {
		sees(t, r, s.Orbit, ViewElsewhere)
	}
}

// Host and rescuer were lost together, and the host is back without the call: its later documents do not make it forget the
// rescuer, who may have him.
func TestTheRescuerStaysAwayLonger(t *testing.T) {
	r, _ := watching(t, Default())
	r.step(Peer{Name: "office", Epoch: 1, Generation: 1})
	r.collect(time.Second)
	r.step(Peer{Name: "dock-2", Epoch: 1, Generation: 1})
	r.collect(time.Second)
	r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1})
	for i := range 20 {
		r.collect(time.Minute / 2)
		sees(t, r, "701", ViewUnknown)
		r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: uint64(i + 2)})
	}
}

// A host hands its caller over and dies before this appliance, which has just started, has heard of the one that has him.
func TestWhoWasNeverHeardMayHaveHim(t *testing.T) {
	r, call := newRunner(Default()), SlotState{Orbit: "701", CallID: "dock-2.1", State: Moving, Since: t0, Dialog: reachable("a")}
	r.step(Peer{Name: "office"})
	r.step(Peer{Name: "gate", Alive: true, Epoch: 1, Generation: 1})
	r.step(Peer{Name: "dock-2", Leaving: true, Epoch: 1, Generation: 1, State: []SlotState{call}})
	r.collect(2 * LateWord)
	sees(t, r, "701", ViewUnknown)
	r.collect(Default().ForgetDead)
	sees(t, r, "701", ViewFree)
}

// Who is said to have taken a caller over lives anew without him: his old host does not wait for longer than a word may be late.
func TestTheTakerLivesAnew(t *testing.T) {
	r := newRunner(Default())
	call := stored(func(s *SlotState) { s.Dialog = reachable("a") })
	gate := Peer{Name: "gate", Alive: true, Epoch: 1, Generation: 1}
	r.step(gate)
	r.step(Peer{Name: "office", Alive: true, Epoch: 1, Generation: 1,
		Settled: []Settled{{CallID: call.CallID, Moves: call.Moves + 1, How: Rescued, Host: "gate", Epoch: 1, Generation: 3}}})
	r.step(Restore{Slots: []SlotState{call}})
	rows := append(ends(r.step(LegEnded{Leg: call.Leg, Lost: true})), ends(r.collect(LateWord))...)
	gate.Epoch++
	if rows = append(rows, ends(r.step(gate))...); len(rows) > 0 {
		t.Errorf("rows %v while it may have him", rows)
	}
	if rows = ends(r.collect(LateWord + 2*movingPoll)); !slices.Equal(rows, []End{EndLost}) {
		t.Errorf("rows %v, want lost", rows)
	}
}

// A host that was away for long names who took its caller over: this appliance, in a life before this one. He is elsewhere by
// now, or is lost, and until somebody says so nobody knows.
func TestAnEarlierLifeTookHimOver(t *testing.T) {
	r, call := watching(t, Default())
	told := func(generation uint64, of Settled) {
		of.CallID = call.CallID
		r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: generation, Settled: []Settled{of}})
	}
	told(2, Settled{Moves: 1, How: Rescued, Host: "dock-1", Epoch: epoch0 - 1, Generation: 2})
	sees(t, r, "701", ViewUnknown)
	r.collect(LateWord - time.Second)
	sees(t, r, "701", ViewUnknown)
	there := call
	there.Moves = 2
	r.step(Peer{Name: "office", Alive: true, Epoch: 1, Generation: 2, State: []SlotState{there}})
	sees(t, r, "701", ViewElsewhere)
	r.step(Peer{Name: "office", Alive: true, Epoch: 1, Generation: 3})
	sees(t, r, "701", ViewFree)
}

// A host that was thought dead yields its caller, and then takes him over from a dying rescuer. A peer that has heard nothing of
// either, and hears the one document that says that it tries, or how that went, does not take the caller for gone.
func TestWhoTriesStillTellsWhoHadHim(t *testing.T) {
	for what, tc := range map[string]struct {
		then func(host *runner)
		want Outcome
	}{
		"tries":            {func(*runner) {}, Trying},
		"has no answer":    {func(host *runner) { host.step(RescueResult{CallID: "dock-1.z.1"}) }, 0},
		"finds him refuse": {func(host *runner) { host.step(RescueResult{CallID: "dock-1.z.1", How: Unable}) }, Unable},
		"finds no dialog":  {func(host *runner) { host.step(RescueResult{CallID: "dock-1.z.1", How: Gone}) }, Absent},
	} {
		host, watcher := newRunner(Default()), &runner{m: New(Default(), "gate", 1), now: t0, timers: map[string]time.Time{}}
		tell := func() {
			own := host.m.Hosted()
			watcher.step(Peer{Name: "dock-1", Alive: true, Epoch: own.Epoch, Generation: own.Generation, State: own.Slots, Settled: own.Settled})
		}
		call := stored(func(s *SlotState) { s.Dialog = reachable("a") })
		host.step(Restore{Slots: []SlotState{call}})
		tell()
		sees(t, watcher, "701", ViewElsewhere)
		there := call
		there.Moves, there.Dialog = 1, reachable("b")
		host.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 5, State: []SlotState{there}})
		host.step(Peer{Name: "dock-2", Epoch: 1, Generation: 5})
		if n := count[Rescue](host.collect(2 * Default().RescueAfter)); n != 1 {
			t.Fatalf("%s: called %d times, want 1", what, n)
		}
		tc.then(host)
		if tells := host.m.Hosted().Settled; tc.want != 0 && !slices.ContainsFunc(tells, func(f Settled) bool { return f.How == tc.want }) {
			t.Fatalf("%s: tells %+v", what, tells)
		}
		tell()
		sees(t, watcher, "701", ViewUnknown)
		watcher.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 5, State: []SlotState{there}})
		sees(t, watcher, "701", ViewElsewhere)
		if n := len(watcher.m.List()); n != 1 {
			t.Errorf("%s: shown %d times", what, n)
		}
	}
}

// An appliance that stood still is called by its timers before it reads what its peers have told meanwhile: the time that their
// words may take did not pass for it, and whom they tell of is not given up.
func TestWordsWaitUnread(t *testing.T) {
	for what, still := range map[string]time.Duration{"for long": time.Minute, "for very long": Default().ForgetDead + time.Minute} {
		r, call := watching(t, Default())
		call.State = Moving
		r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 2, State: []SlotState{call}})
		r.step(Peer{Name: "dock-2", Leaving: true, Epoch: 1, Generation: 2})
		own := stored(func(s *SlotState) { s.Orbit, s.Dialog = "702", reachable("b") })
		r.step(Restore{Slots: []SlotState{own}})
		r.step(LegEnded{Leg: own.Leg, Doubt: true})
		r.now = r.now.Add(still)
		out := r.collect(0)
		sees(t, r, "701", ViewUnknown)
		sees(t, r, "702", ViewUnknown)
		call.State, call.Moves = Parked, 1
		own.Moves = 1
		out = append(out, r.step(Peer{Name: "office", Alive: true, Epoch: 1, Generation: 2, State: []SlotState{call, own}})...)
		sees(t, r, "701", ViewElsewhere)
		sees(t, r, "702", ViewElsewhere)
		if rows := ends(out); !slices.Equal(rows, []End{EndRescued}) {
			t.Errorf("still %s: rows %v, want rescued", what, rows)
		}
	}
}

// An appliance that stood still when its turn came, or just before, may have the word that the host is back unread: it reads what
// there is before it takes a caller away from there, and takes him over if there is nothing.
func TestRescuerStoodStill(t *testing.T) {
	for what, late := range map[string]time.Duration{"its turn came long ago": 20 * time.Second, "its turn came just now": 50 * time.Millisecond,
		"its turn comes": -50 * time.Millisecond} {
		for _, back := range []bool{true, false} {
			cfg := Default()
			cfg.RescueAfter = 5 * time.Second
			r, call := watching(t, cfg)
			r.step(Peer{Name: "dock-2", Epoch: 1, Generation: 1})
			due := r.timers["rescue:"+call.CallID]
			out := r.collect(due.Sub(r.now) - 3*Standstill)
			r.now = due.Add(late)
			if late > 0 {
				out = append(out, r.step(Timer{ID: "rescue:" + call.CallID})...)
			}
			out = append(out, r.collect(Standstill/2)...)
			if count[Rescue](out) > 0 {
				t.Fatalf("%s: called before anything was read", what)
			}
			if back {
				r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1, State: []SlotState{call}})
			}
			r.step(Peer{Name: "office", Alive: true, Epoch: 1, Generation: 2}) // other news makes it neither earlier nor later
			out = append(out, r.collect(2*rescueTurn)...)
			if n := count[Rescue](out); n > 0 == back || n > 1 {
				t.Errorf("%s, host back %v: called %d times", what, back, n)
			}
		}
	}
}

// A host lives anew without a caller, and those whose turn comes first know nothing of him, or his phone does not answer at once: he is
// not given up before this appliance has called it as often as it does, and not held for ever where it cannot.
func TestOrphanIsNotGivenUpBeforeItsTurn(t *testing.T) {
	lost := func(out []Effect) (n int) {
		for _, e := range out {
			if row, ok := e.(Report); ok && row.Row.End == EndLost {
				n++
			}
		}
		return n
	}
	for what, c := range map[string]struct {
		answer      RescueResult
		tries, lost int
	}{
		"comes":           {RescueResult{Leg: "b", Dialog: reachable("b")}, 1, 0},
		"does not answer": {RescueResult{}, rescueTries, 1},
		"is not there":    {RescueResult{How: Gone}, 1, 1},
	} {
		r, call := watching(t, Default())
		for i := range 20 {
			if name := fmt.Sprintf("gate-%d", i); Rank(call.CallID, []string{"dock-1", name})[0] == name {
				r.step(Peer{Name: name, Alive: true, Epoch: 1, Generation: 1})
			}
		}
		r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1})
		c.answer.CallID = call.CallID
		var all []Effect
		for range rescueTries + 1 {
			out := r.collect(2 * time.Minute)
			if all = append(all, out...); count[Rescue](out) > 0 {
				all = append(all, r.step(c.answer)...)
			}
		}
		if count[Rescue](all) != c.tries || lost(all) != c.lost || (r.m.View("701").State == ViewFree) != (c.lost > 0) {
			t.Errorf("%s: called %d times, want %d; %d lost, the orbit is %v", what, count[Rescue](all), c.tries, lost(all), r.m.View("701").State)
		}
	}
	cfg := Default()
	cfg.MaxCalls = 1
	r, _ := watching(t, cfg)
	r.step(Park{Token: "p", Leg: "a", Orbit: "702"})
	r.step(ClaimResult{Token: "p", Orbit: "702", Granted: true})
	r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1})
	if out := r.collect(cfg.ForgetDead - time.Minute); lost(out) > 0 {
		t.Error("given up while somebody may hang up, and there is room for him")
	}
	if out := r.collect(2 * time.Minute); lost(out) != 1 {
		t.Error("held for ever")
	}
}

// A peer that has been dead for long is found dead again, without having been told alive between: it may have heard meanwhile of a
// caller who was parked since, and take him over. For as long as that takes nobody says that he has hung up.
func TestFoundDeadAgain(t *testing.T) {
	for _, again := range []bool{true, false} {
		r := newRunner(Default())
		r.step(Peer{Name: "dock-2", Alive: true, Epoch: 1, Generation: 1})
		r.step(Peer{Name: "dock-2"})
		r.wait(r.m.rescueSpan()+time.Minute, func([]Effect) {})
		r.step(Park{Token: "p", Leg: "a", Orbit: "701", Dialog: reachable("a")})
		r.step(ClaimResult{Token: "p", Orbit: "701", Granted: true})
		r.wait(time.Second, func([]Effect) {})
		if again {
			r.step(Peer{Name: "dock-2"})
		}
		out := append(r.step(LegEnded{Leg: "a"}), r.collect(r.m.rescueSpan()-time.Minute)...)
		if gone := len(ends(out)) > 0; gone == again {
			t.Errorf("found dead again %v: ends %v", again, ends(out))
		}
		if rows := ends(append(out, r.collect(2*time.Minute)...)); !slices.Equal(rows, []End{EndAbandoned}) {
			t.Errorf("found dead again %v: ends %v", again, rows)
		}
	}
}

// The first word that an appliance reads after a standstill is that the host leaves, and it may have come back since. One that does
// leave waits for a few seconds only.
func TestRescuerStoodStillWhenTheHostLeft(t *testing.T) {
	for _, back := range []bool{true, false} {
		r, call := watching(t, Default())
		r.step(Peer{Name: "office", Epoch: 1, Generation: 1})
		r.step(StoodStill{})
		r.step(Peer{Name: "dock-2", Leaving: true, Epoch: 1, Generation: 2, State: []SlotState{call}})
		out := r.collect(Standstill / 2)
		if back {
			r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1, State: []SlotState{call}})
		}
		out = append(out, r.collect(lookAround)...)
		if n := count[Rescue](out); n > 0 == back {
			t.Errorf("host back %v: called %d times", back, n)
		}
	}
}

// Who is said to have taken a caller over has handed him on, and the first that is heard of it says so: neither a peer nor the host
// itself goes by it before it hears from who has him now.
func TestTheTakerHasHandedHimOn(t *testing.T) {
	for _, handedOnFirst := range []bool{true, false} {
		r, call := watching(t, Default())
		own := stored(func(s *SlotState) { s.Orbit, s.Dialog = "702", reachable("b") })
		r.step(Restore{Slots: []SlotState{own}})
		to := func(host string, moves int, generation uint64) (fs []Settled) {
			for _, id := range []string{call.CallID, own.CallID} {
				fs = append(fs, Settled{CallID: id, Moves: moves, How: Rescued, Host: host, Epoch: 1, Generation: generation})
			}
			return fs
		}
		docs := []Peer{
			{Name: "dock-2", Alive: true, Epoch: 1, Generation: 2, Settled: to("office", 1, 5)},
			{Name: "office", Alive: true, Epoch: 1, Generation: 7, Settled: to("gate", 2, 4)},
		}
		if handedOnFirst {
			slices.Reverse(docs)
		}
		r.step(LegEnded{Leg: own.Leg, Doubt: true})
		rows := append(ends(r.step(docs[0])), ends(r.step(docs[1]))...)
		sees(t, r, "701", ViewUnknown)
		sees(t, r, "702", ViewUnknown)
		if len(rows) > 0 {
			t.Errorf("rows %v before it is known where they are", rows)
		}
		call.Moves, own.Moves = 2, 2
		rows = ends(r.step(Peer{Name: "gate", Alive: true, Epoch: 1, Generation: 4, State: []SlotState{call, own}}))
		sees(t, r, "701", ViewElsewhere)
		sees(t, r, "702", ViewElsewhere)
		if !slices.Equal(rows, []End{EndRescued}) || len(r.m.List()) != 2 {
			t.Errorf("rows %v, %d calls, want rescued and 2", rows, len(r.m.List()))
		}
	}
}

// A host lives anew without a caller, and a peer goes on telling that his phone does not know him: its try may be long over, so nobody
// waits for more of it than for a late word.
func TestOrphanWhoseTryIsOver(t *testing.T) {
	r, call := watching(t, Default())
	for i := range 20 {
		if name := fmt.Sprintf("gate-%d", i); Rank(call.CallID, []string{"dock-1", name})[0] == name {
			r.step(Peer{Name: name, Alive: true, Epoch: 1, Generation: 1})
		}
	}
	r.step(Peer{Name: "office", Alive: true, Epoch: 1, Generation: 2, Settled: []Settled{{CallID: call.CallID, Moves: 1, How: Absent}}})
	r.step(Peer{Name: "dock-2", Alive: true, Epoch: 2, Generation: 1})
	if out := r.collect(LateWord - time.Second); len(ends(out)) > 0 {
		t.Errorf("ends %v at once", ends(out))
	}
	if out := r.collect(time.Minute); !slices.Equal(ends(out), []End{EndLost}) {
		t.Errorf("ends %v", ends(out))
	}
	sees(t, r, "701", ViewFree)
}
