package federation

import (
	"slices"
	"testing"
	"time"

	"parklamp/parkd"
)

// farEnd is a caller's phone: it has one dialog at a time, and moves with INVITE and Replaces (RFC 3891 §3).
type farEnd struct {
	host  *node
	leg   parkd.LegID
	moves int
	mute  bool   // does not answer
	dumb  bool   // answers, and refuses Replaces
	call  string // its id, as it was parked
	orbit string
	over  bool            // the caller has hung up, somebody has him, or he is cut off
	hung  bool            // he has hung up
	talks bool            // to whoever fetched him, in the dialog that he has with his host
	knew  map[[2]any]bool // appliances, and their lives, that have shown him
}

// leaves says that a caller is somebody's, as n has it. Was he taken over in that very moment, n has nobody, and hears of him
// again by the word of his new host.
func (s *site) leaves(n *node, slot parkd.SlotState) {
	if f := s.far[slot.Dialog.CallID]; f != nil {
		f.over, f.talks = true, true
		return
	}
	for _, f := range s.callers {
		if f.call == slot.CallID {
			delete(f.knew, [2]any{n.name, n.life})
		}
	}
}

// watchLamps fails if an appliance shows an orbit as free, or would give it away, whose caller it knew and who is still there.
func (s *site) watchLamps(n *node) {
	for _, f := range s.callers {
		if f.over || n.life == 0 {
			continue
		}
		v, who := n.machine.View(f.orbit), [2]any{n.name, n.life}
		if slices.ContainsFunc(v.Calls, func(c parkd.SlotState) bool { return c.CallID == f.call }) {
			f.knew[who] = true
		}
		if f.knew[who] && (v.State == parkd.ViewFree || len(v.Calls) > 0 && !n.core.takes(f.orbit)) {
			f.over = true
			s.fail("%v: %s shows %s as %v (refused to others: %v), the caller of %s is at %s (life %d)", s.now.Sub(siteStart), n.name, f.orbit, v.State, n.core.takes(f.orbit), f.call, f.host.name, f.host.life)
		}
	}
}

// takes says whether the core refuses claims of an orbit for a call that it knows of.
func (c *Core) takes(orbit string) bool {
	return c.known.Refuses(orbit) != parkd.ReasonNone
}

// goes ends an appliance for a reboot, as package wire does: its peers have some time to take over.
func (n *node) goes() {
	n.park(parkd.Close{})
	for n.calls > 0 { // a far end that has moved for it would be dropped
		n.s.run(time.Millisecond)
	}
	n.park(parkd.Leave{})
	for waits, until := true, n.s.now.Add(4*time.Second); waits && n.s.now.Before(until); {
		n.s.run(time.Millisecond)
		_, waits = n.machine.Remaining()
	}
	n.park(parkd.Close{})
	n.closed = true
	n.tellAll()
	n.kill()
}

// parkCaller parks somebody whose phone knows Replaces, and returns the phone.
func (s *site) parkCaller(n *node, orbit string) *farEnd {
	f, why := s.tryPark(n, orbit)
	if f == nil {
		s.fail("park on %s: %v", orbit, why)
	}
	return f
}

// tryPark is parkCaller where the park may be refused.
func (s *site) tryPark(n *node, orbit string) (*farEnd, parkd.Reason) {
	f := &farEnd{host: n, leg: parkd.LegID(s.id("caller")), knew: map[[2]any]bool{}}
	token := s.id("park")
	n.ask(parkd.Park{Token: token, Leg: f.leg, Orbit: orbit, Caller: parkd.Party{Name: string(f.leg), URI: "sip:" + string(f.leg) + "@x"},
		Parker: parkd.Party{URI: "sip:201@10.0.0.1"}, ParkerRef: parkd.DeskPhone, Dialog: s.dialog(f)}, token)
	s.run(100 * time.Millisecond)
	o := s.outcomes[token]
	for _, c := range n.machine.Hosted().Slots {
		if c.Leg == f.leg {
			f.orbit, f.call = c.Orbit, c.CallID
			s.callers = append(s.callers, f)
			return f, 0
		}
	}
	return nil, o.reason
}

// dialog gives a far end a new dialog.
func (s *site) dialog(f *farEnd) parkd.DialogRef {
	for id, old := range s.far {
		if old == f {
			delete(s.far, id)
		}
	}
	id := s.id("dialog")
	s.far[id] = f
	return parkd.DialogRef{CallID: id, LocalTag: "l", RemoteTag: "r", Reach: parkd.Reach{Remote: "sip:x", Target: "sip:x"}}
}

// rescue is INVITE with Replaces to a far end, which every appliance reaches whatever is cut between them.
func (n *node) rescue(slot parkd.SlotState) {
	s, life := n.s, n.life
	if f := s.far[slot.Dialog.CallID]; f != nil && s.inTouch(n, f.host) && f.host.has(f) {
		s.fail("%v: %s calls the caller of %s, who is at %s, which lives and is in touch", s.now.Sub(siteStart), n.name, f.call, f.host.name)
	}
	s.invites[slot.CallID]++
	n.calls++
	answer := func(in parkd.RescueResult) {
		s.after(s.delay(), func() {
			n.gets(life, "far ends", func() {
				n.calls--
				in.CallID = slot.CallID
				n.park(in)
			})
		})
	}
	s.after(s.delay(), func() {
		f := s.far[slot.Dialog.CallID]
		switch {
		case f == nil:
			answer(parkd.RescueResult{How: parkd.Gone})
		case f.dumb:
			answer(parkd.RescueResult{How: parkd.Unable})
		case f.mute:
			s.after(4*time.Second, func() { answer(parkd.RescueResult{}) })
		default:
			old, leg := f.host, f.leg
			f.host, f.leg = n, parkd.LegID(s.id("rescued"))
			f.moves++
			f.over = f.over || n.life != life // it died with the INVITE on its way: nobody has his dialog, as in cutOff
			s.parked[f.leg] = true
			delete(s.parked, leg)
			old.later(s.delay(), "far ends", func() { // BYE on the dialog that is replaced
				old.park(parkd.LegEnded{Leg: leg, Doubt: old.core.Quiet(s.now)})
			})
			answer(parkd.RescueResult{Leg: f.leg, Dialog: s.dialog(f)})
		}
	})
}

// inTouch says whether a host runs, does not leave, and could have told an appliance so for long enough.
func (s *site) inTouch(n, host *node) bool {
	link := [2]string{host.name, n.name}
	return host.life != 0 && !host.frozen && !host.machine.Hosted().Leaving && !s.cut[link] &&
		s.now.Sub(host.runs) >= enough && s.now.Sub(s.healed[link]) >= enough
}

// has says whether an appliance knows of a caller whom it has, in an orbit or in somebody's ear.
func (n *node) has(f *farEnd) bool {
	return f.talks || slices.ContainsFunc(n.machine.Hosted().Slots, func(c parkd.SlotState) bool { return c.Leg == f.leg })
}

// enough is how long it takes at most until an appliance that is back, or can be reached again, is known to live.
const enough = 5 * time.Second

// back starts an appliance with what its journal had; re-INVITEs find out who is still there.
func (n *node) back(epoch uint64, stored []parkd.SlotState) {
	n.start(epoch)
	n.park(parkd.Restore{Slots: stored})
	for _, c := range stored {
		if f := n.s.far[c.Dialog.CallID]; f != nil {
			n.s.parked[c.Leg] = true
			continue
		}
		n.later(n.s.delay(), "far ends", func() { n.park(parkd.LegEnded{Leg: c.Leg, Lost: true}) }) // 481
	}
}

// copies lists who hosts a call, as the appliances themselves say.
func (s *site) copies(orbit string) (at []string) {
	for _, n := range s.nodes {
		for _, c := range n.machine.Hosted().Slots {
			if n.life != 0 && c.Orbit == orbit && c.State != parkd.Moving {
				at = append(at, n.name)
			}
		}
	}
	return at
}

func (s *site) ends(end parkd.End) (n int) {
	for _, r := range s.reports {
		if r.End == end {
			n++
		}
	}
	return n
}

// everyCallOnce checks that each caller of an orbit list is hosted once, by whom his phone thinks, and as he was parked.
func everyCallOnce(t *testing.T, s *site, seed uint64, was []parkd.SlotState, phones []*farEnd) {
	t.Helper()
	for i, c := range was {
		at := s.copies(c.Orbit)
		if len(at) != 1 || at[0] != phones[i].host.name {
			t.Fatalf("seed %d: %s is hosted by %v, the phone talks to %s", seed, c.Orbit, at, phones[i].host.name)
		}
		for _, now := range phones[i].host.machine.Hosted().Slots {
			if now.Orbit == c.Orbit && (now.CallID != c.CallID || !now.Since.Equal(c.Since) || now.Caller != c.Caller || now.Parker != c.Parker ||
				now.Lot != c.Lot || now.Priority != c.Priority || !now.RecallAt.Equal(c.RecallAt) || now.Leg != phones[i].leg) {
				t.Errorf("seed %d: the call was %+v and is %+v", seed, c, now)
			}
		}
	}
	if d := s.disagreement(); d != "" {
		t.Errorf("seed %d: %s", seed, d)
	}
}

// tenCalls parks ten callers at dock-1.
func tenCalls(s *site) (was []parkd.SlotState, phones []*farEnd) {
	for _, orbit := range parkd.Default().Orbits {
		phones = append(phones, s.parkCaller(s.node("dock-1"), orbit))
	}
	return s.node("dock-1").machine.Hosted().Slots, phones
}

func TestRescueOfADeadHostsCalls(t *testing.T) {
	for seed := range uint64(20) {
		s := settledSite(t, seed, "dock-1", "dock-2", "office", "gate")
		was, phones := tenCalls(s)
		s.node("dock-1").kill()
		s.run(4 * time.Second)
		if len(s.invites) > 0 {
			t.Fatalf("seed %d: rescued after 4 s, a process that starts anew would be back", seed)
		}
		s.run(2 * time.Second)
		everyCallOnce(t, s, seed, was, phones)
		hosts := map[*node]int{}
		for i, c := range was {
			hosts[phones[i].host]++
			if s.invites[c.CallID] != 1 {
				t.Errorf("seed %d: %d INVITEs for %s, want 1", seed, s.invites[c.CallID], c.CallID)
			}
		}
		if s.ends(parkd.EndRescued) != 10 || s.ends(parkd.EndLost) > 0 {
			t.Errorf("seed %d: %d rescued and %d lost", seed, s.ends(parkd.EndRescued), s.ends(parkd.EndLost))
		}
		if len(hosts) < 2 {
			t.Logf("seed %d: one appliance has rescued all", seed)
		}

		// Somebody fetches one; then the old host is back with its journal, and all know what became of its calls.
		token := s.id("fetch")
		s.node("gate").ask(parkd.Fetch{Token: token, Orbit: was[0].Orbit}, token)
		s.run(time.Second)
		if !s.outcomes[token].ok {
			t.Fatalf("seed %d: a rescued call is not fetched: %v", seed, s.outcomes[token].reason)
		}
		s.node("dock-1").back(2000, was)
		s.run(3 * time.Second)
		if at := s.copies(was[0].Orbit); len(at) > 0 {
			t.Errorf("seed %d: %s was fetched and is at %v", seed, was[0].Orbit, at)
		}
		everyCallOnce(t, s, seed, was[1:], phones[1:])
		if s.ends(parkd.EndRescued) != 20 || s.ends(parkd.EndLost)+s.ends(parkd.EndAbandoned) > 0 {
			t.Errorf("seed %d: the old host reports otherwise than rescued: %d rescued, %d lost", seed, s.ends(parkd.EndRescued), s.ends(parkd.EndLost))
		}
	}
}

// Killed and back at once: the journal has the calls, nobody else calls the far ends.
func TestNoRescueOfAProcessThatStartsAnew(t *testing.T) {
	for _, away := range []time.Duration{100 * time.Millisecond, 4 * time.Second} {
		s := settledSite(t, 1, "dock-1", "dock-2", "office")
		was, phones := tenCalls(s)
		s.node("dock-1").kill()
		s.run(away)
		s.node("dock-1").back(2000, was)
		s.run(time.Minute)
		everyCallOnce(t, s, 1, was, phones)
		if len(s.invites) > 0 {
			t.Errorf("away for %v: %d rescues", away, len(s.invites))
		}
	}
}

// A host is back at once without its calls, as when its disk had not taken them: the others have them.
func TestRescueOfWhomTheHostForgot(t *testing.T) {
	for seed := range uint64(20) {
		for _, twice := range []bool{false, true} {
			s := settledSite(t, seed, "dock-1", "dock-2", "office", "gate")
			was, phones := tenCalls(s)
			s.node("dock-1").kill()
			if !twice {
				s.run(time.Second)
				s.node("dock-1").back(2000, nil)
			}
			s.run(8 * time.Second)
			if twice { // and again, with those who have taken them over
				for _, n := range s.nodes[1:] {
					n.kill()
					s.run(time.Second)
					n.back(2000, nil)
					s.run(10 * time.Second)
				}
			}
			for i, f := range phones {
				if f.over || f.host.name == "dock-1" {
					t.Errorf("seed %d: %s is at %s", seed, was[i].CallID, f.host.name)
				}
			}
			everyCallOnce(t, s, seed, was, phones)
			if s.ends(parkd.EndLost)+s.ends(parkd.EndAbandoned) > 0 || len(s.stranded) > 0 {
				t.Errorf("seed %d: %d lost, %v stranded", seed, s.ends(parkd.EndLost), s.stranded)
			}
		}
	}
}

// A host is back at once with its calls, and one is fetched there before the others have heard from its new life: nobody calls him,
// who talks to whoever fetched him, and nobody takes him for lost.
func TestNoRescueOfWhoWasFetchedAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		s := settledSite(t, seed, "dock-1", "dock-2", "office", "gate")
		was, _ := tenCalls(s)
		host, token := s.node("dock-1"), s.id("fetch")
		host.kill()
		s.run(time.Second)
		host.back(2000, was)
		host.ask(parkd.Fetch{Token: token, Orbit: was[0].Orbit}, token)
		s.run(20 * time.Second)
		if !s.outcomes[token].ok {
			t.Fatalf("seed %d: not fetched: %+v", seed, s.outcomes[token])
		}
		if n := len(s.invites); n > 0 || s.ends(parkd.EndLost) > 0 {
			t.Errorf("seed %d: %d callers were called, %d lost", seed, n, s.ends(parkd.EndLost))
		}
		for _, n := range s.nodes {
			if v := n.machine.View(was[0].Orbit); v.State != parkd.ViewFree {
				t.Errorf("seed %d: at %s his orbit is %v", seed, n.name, v.State)
			}
		}
	}
}

// The others stand still when they have found a host dead; it is back with its calls, and one is fetched there. When they go on, in
// any order, rescue calls nobody who talks (see there), and the rest stay where they are.
func TestNoRescueOfWhoTalks(t *testing.T) {
	for seed := range uint64(20) {
		s := settledSite(t, seed, "dock-1", "dock-2", "office", "gate")
		was, phones := tenCalls(s)
		host, token := s.node("dock-1"), s.id("fetch")
		host.kill()
		s.run(4 * time.Second)
		for _, n := range s.nodes[1:] {
			n.frozen = true
		}
		host.back(2000, was)
		s.run(time.Second)
		host.ask(parkd.Fetch{Token: token, Orbit: was[0].Orbit}, token)
		s.run(10 * time.Second)
		if !phones[0].talks {
			t.Fatalf("seed %d: not fetched: %+v", seed, s.outcomes[token])
		}
		for _, n := range s.nodes[1:] {
			n.thaw()
		}
		s.run(20 * time.Second)
		if n := len(s.invites); n > 0 {
			t.Errorf("seed %d: %d callers were called", seed, n)
		}
		everyCallOnce(t, s, seed, was[1:], phones[1:])
	}
}

// A host that lives and is only not seen by the others: every caller moves once at most, and is at one place after it.
func TestRescueAcrossPartition(t *testing.T) {
	names := []string{"dock-1", "dock-2", "office", "gate"}
	for what, groups := range map[string][][]string{
		"host alone":      {{"dock-1"}, {"dock-2", "office", "gate"}},
		"two halves":      {{"dock-1", "gate"}, {"dock-2", "office"}},
		"everybody alone": {{"dock-1"}, {"dock-2"}, {"office"}, {"gate"}},
	} {
		for seed := range uint64(10) {
			s := settledSite(t, seed, names...)
			was, phones := tenCalls(s)
			cut := func(on bool) {
				for i, g := range groups {
					for _, h := range groups[i+1:] {
						for _, a := range g {
							for _, b := range h {
								s.setCut(a, b, on)
							}
						}
					}
				}
			}
			cut(true)
			s.run(time.Duration(3+seed*3) * time.Second)
			cut(false)
			s.run(70 * time.Second)
			everyCallOnce(t, s, seed, was, phones)
			for i, f := range phones {
				if f.moves > 1 {
					t.Errorf("%s, seed %d: %s has moved %d times", what, seed, was[i].CallID, f.moves)
				}
			}
			if s.ends(parkd.EndAbandoned) > 0 {
				t.Errorf("%s, seed %d: %d reported as abandoned", what, seed, s.ends(parkd.EndAbandoned))
			}
		}
	}
}

// A host that stood still goes on, and hears in any order what has waited for it: the BYE of those who have moved, its peers'
// words, their new subscriptions. Whoever was taken over is reported as that, and no lamp is dark.
func TestRescueOfAHostThatStoodStill(t *testing.T) {
	for _, still := range []time.Duration{time.Second, 4 * time.Second, 6 * time.Second, 15 * time.Second, 75 * time.Second} {
		for seed := range uint64(20) {
			s := settledSite(t, seed, "dock-1", "dock-2", "office", "gate")
			host := s.node("dock-1")
			was, phones := tenCalls(s)
			phones[0].dumb = true // he stays
			s.run(time.Duration(s.rng.IntN(2000)) * time.Millisecond)
			host.frozen = true
			s.run(still)
			host.thaw()
			s.run(30 * time.Second)
			everyCallOnce(t, s, seed, was, phones)
			moved := 0
			for _, f := range phones {
				moved += f.moves
			}
			if phones[0].moves > 0 || still < 4*time.Second && moved > 0 || still > 10*time.Second && moved != 9 {
				t.Fatalf("still for %v, seed %d: %d have moved", still, seed, moved)
			}
			if s.ends(parkd.EndAbandoned)+s.ends(parkd.EndLost) > 0 || s.ends(parkd.EndRescued) != 2*moved {
				t.Errorf("still for %v, seed %d: %d have moved, %d rows say so at both ends, %d abandoned, %d lost", still, seed, moved,
					s.ends(parkd.EndRescued), s.ends(parkd.EndAbandoned), s.ends(parkd.EndLost))
			}
		}
	}
}

// An appliance stands still until the others have found it dead, goes on, and loses the host before the host has heard of it, or just
// after: it takes no caller away of whom the host thinks that it does not know him, as he was parked meanwhile.
func TestWhoWasDeadIsLostAgain(t *testing.T) {
	for seed := range uint64(300) {
		s := settledSite(t, seed, "dock-1", "dock-2", "office", "gate")
		host, dead := s.node("dock-1"), s.node("office")
		dead.frozen = true
		s.run(4 * time.Second)
		f := s.parkCaller(host, "701")
		was := host.machine.Hosted().Slots
		dead.thaw()
		s.run(time.Duration(seed%60) * time.Millisecond)
		s.setCut(host.name, dead.name, true)
		s.run(30 * time.Second)
		s.setCut(host.name, dead.name, false)
		s.run(30 * time.Second)
		everyCallOnce(t, s, seed, was, []*farEnd{f})
	}
}

// The first rescuer dies when the far end has moved to it and nobody else knows how that went. They know that it was trying:
// the caller is not given up while it may come back, and is at one place when it does. When it comes back without him he is
// lost, with a number to ring back, and so he is when it stays away.
func TestRescuerDiesHalfWay(t *testing.T) {
	for what, back := range map[string]bool{"it has him": true, "it has lost him": false, "it stays away": false} {
		s := settledSite(t, 1, "dock-1", "dock-2", "office")
		f := s.parkCaller(s.node("dock-1"), "701")
		was := s.node("dock-1").machine.Hosted().Slots
		s.node("dock-1").kill()
		for f.moves == 0 {
			s.run(time.Millisecond)
		}
		rescuer := f.host
		rescuer.kill()
		s.run(time.Minute)
		for _, n := range s.nodes {
			if n.life != 0 && n.machine.View("701").State != parkd.ViewUnknown {
				t.Errorf("%s: %s shows 701 as %v", what, n.name, n.machine.View("701").State)
			}
		}
		if s.ends(parkd.EndLost) > 0 || len(s.stranded) != 1 {
			t.Errorf("%s: %d lost, %v stranded after a minute", what, s.ends(parkd.EndLost), s.stranded)
		}
		if back {
			c := was[0]
			c.Host, c.Moves, c.Leg, c.Dialog = rescuer.name, 1, f.leg, s.dialog(f)
			rescuer.back(2000, []parkd.SlotState{c})
			s.run(20 * time.Second)
			everyCallOnce(t, s, 1, was, []*farEnd{f})
			continue
		}
		f.over = true
		if what == "it stays away" {
			s.run(20 * time.Minute)
		} else {
			rescuer.start(2000)
			s.run(20 * time.Second)
		}
		if len(s.copies("701")) > 0 || s.ends(parkd.EndLost) != 1 {
			t.Errorf("%s: hosted by %v, %d reported lost, want nobody and 1", what, s.copies("701"), s.ends(parkd.EndLost))
		}
		for _, n := range s.nodes {
			if v := n.machine.View("701"); n.life != 0 && len(v.Calls) > 0 {
				t.Errorf("%s: %s still shows %+v", what, n.name, v.Calls)
			}
		}
	}
}

// The rescuer dies later, when all know: the next one takes over from it, and it yields when it is back.
func TestRescueOfTheRescuer(t *testing.T) {
	for seed := range uint64(10) {
		s := settledSite(t, seed, "dock-1", "dock-2", "office", "gate")
		was, phones := tenCalls(s)
		s.node("dock-1").kill()
		s.run(6 * time.Second)
		second := phones[0].host
		stored := second.machine.Hosted().Slots
		second.kill()
		s.run(6 * time.Second)
		everyCallOnce(t, s, seed, was, phones)
		second.back(3000, stored)
		s.node("dock-1").back(2000, was)
		s.run(5 * time.Second)
		everyCallOnce(t, s, seed, was, phones)
		if s.ends(parkd.EndLost) > 0 {
			t.Errorf("seed %d: %d lost", seed, s.ends(parkd.EndLost))
		}
	}
}

// The caller has hung up meanwhile: lost, once for each appliance, and nobody asks again.
func TestRescueOfACallerWhoHasGone(t *testing.T) {
	s := settledSite(t, 1, "dock-1", "dock-2", "office", "gate")
	s.parkCaller(s.node("dock-1"), "701").over = true
	clear(s.far)
	s.node("dock-1").kill()
	s.run(30 * time.Second)
	for id, n := range s.invites {
		if n != 1 {
			t.Errorf("%d INVITEs for %s, want 1", n, id)
		}
	}
	if s.ends(parkd.EndLost) != 3 {
		t.Errorf("%d reports of a lost call, want one at each appliance", s.ends(parkd.EndLost))
	}
	for _, n := range s.nodes[1:] {
		if v := n.machine.View("701"); v.State != parkd.ViewFree {
			t.Errorf("%s: 701 is %v, want free", n.name, v.State)
		}
	}
	token := s.id("park")
	s.nodes[1].ask(parkd.Park{Token: token, Leg: "next", Orbit: "701"}, token)
	s.run(time.Second)
	if o := s.outcomes[token]; !o.ok {
		t.Errorf("the orbit cannot be used: %v", o.reason)
	}
}

// Who cannot be rescued keeps his orbit, unknown, while his host may come back, and is not called for ever.
func TestRescueInVain(t *testing.T) {
	for name, tc := range map[string]struct {
		edit    func(*farEnd)
		invites int
	}{
		"refuses Replaces": {func(f *farEnd) { f.dumb = true }, 1},
		"does not answer":  {func(f *farEnd) { f.mute = true }, 9},
	} {
		s := settledSite(t, 1, "dock-1", "dock-2", "office", "gate")
		f := s.parkCaller(s.node("dock-1"), "701")
		tc.edit(f)
		was := s.node("dock-1").machine.Hosted().Slots
		s.node("dock-1").kill()
		s.run(5 * time.Minute)
		if n := s.invites[was[0].CallID]; n != tc.invites {
			t.Errorf("%s: %d INVITEs, want %d", name, n, tc.invites)
		}
		if len(s.stranded) != 3 || s.ends(parkd.EndLost) > 0 {
			t.Errorf("%s: %v stranded, %d lost", name, s.stranded, s.ends(parkd.EndLost))
		}
		for _, n := range s.nodes[1:] {
			if v := n.machine.View("701"); v.State != parkd.ViewUnknown || len(v.Calls) != 1 {
				t.Errorf("%s: %s shows %v", name, n.name, v.State)
			}
		}
		s.node("dock-1").back(2000, was)
		s.run(5 * time.Second)
		everyCallOnce(t, s, 1, was, []*farEnd{f})
	}
}

// Who says that it goes loses its callers to the others at once, and no lamp is free in between.
func TestLeavingHostsCallersMove(t *testing.T) {
	for seed := range uint64(20) {
		s := settledSite(t, seed, "dock-1", "dock-2", "office", "gate")
		was, phones := tenCalls(s)
		s.node("dock-1").park(parkd.Leave{})
		s.run(time.Second)
		everyCallOnce(t, s, seed, was, phones)
		if left := len(s.node("dock-1").machine.Hosted().Slots); left > 0 || s.ends(parkd.EndRescued) != 20 {
			t.Errorf("seed %d: %d are left, %d rows say rescued", seed, left, s.ends(parkd.EndRescued))
		}
		if slices.ContainsFunc(phones, func(f *farEnd) bool { return f.moves != 1 }) {
			t.Errorf("seed %d: not everybody moved once", seed)
		}
	}
}

// The word of who has a caller comes late, and the good-bye of who had him does not: no lamp goes dark in between.
func TestNoLampIsDarkWhileTheNewHostsWordIsLate(t *testing.T) {
	for seed := range uint64(20) {
		s := settledSite(t, seed, "dock-1", "dock-2", "office", "gate")
		was, phones := tenCalls(s)
		s.late = func(from, to *node) time.Duration {
			if from.name != "dock-1" && to.name != "dock-1" {
				return 5 * time.Second
			}
			return 0
		}
		s.node("dock-1").goes()
		s.run(20 * time.Second)
		everyCallOnce(t, s, seed, was, phones)
	}
}
