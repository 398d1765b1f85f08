package federation

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"parklamp/parkd"
)

// stored is what the journal of an appliance has.
func (n *node) stored() (slots []parkd.SlotState) {
	for _, c := range n.machine.Hosted().Slots {
		if c.State != parkd.Moving {
			slots = append(slots, c)
		}
	}
	return slots
}

// cutOff says that a caller who has moved to an appliance that dies before it knows is lost: nobody has his dialog.
func (s *site) cutOff(n *node) {
	for _, f := range s.callers {
		known := false
		for _, c := range n.machine.Hosted().Slots {
			known = known || c.Leg == f.leg
		}
		f.over = f.over || f.host == n && !known
	}
}

// hangUp ends the call of a caller.
func (f *farEnd) hangUp(s *site) {
	for id, o := range s.far {
		if o == f {
			delete(s.far, id)
		}
	}
	f.over, f.hung = true, true
	delete(s.parked, f.leg)
	f.host.later(20*time.Millisecond, "far ends", func() { // BYE, after what was answered before
		f.host.park(parkd.LegEnded{Leg: f.leg, Doubt: true})
	})
}

// latest is how late a document comes, while its sender and its receiver are in touch.
const latest = parkd.LateWord - 2*time.Second

// moves lets callers be taken over again and again: their hosts reboot, die and come back, or stand still, links are cut, and each appliance's
// documents come to each other as late as they like, if not later than a word may be. The rule that watchLamps checks all the
// time: no lamp is dark, and no orbit is given away, of a caller who is there.
func moves(t *rapid.T) {
	names := []string{"dock-1", "dock-2", "office", "gate"}[:rapid.IntRange(2, 4).Draw(t, "appliances")]
	s := settledSite(t, rapid.Uint64().Draw(t, "seed"), names...)
	delays := map[[2]string]time.Duration{}
	s.late = func(from, to *node) time.Duration { return delays[[2]string{from.name, to.name}] }
	lose := func() { // the words of some reach some late
		for _, a := range names {
			for _, b := range names {
				delays[[2]string{a, b}] = max(0, time.Duration(s.rng.Int64N(int64(4*latest)))-3*latest)
			}
		}
	}
	journal := map[*node][]parkd.SlotState{}
	pick := func() *node { return s.nodes[rapid.IntRange(0, len(s.nodes)-1).Draw(t, "appliance")] }
	comes := func(n *node) { n.back(uint64(10000+s.serial), journal[n]) }
	for range rapid.IntRange(1, 4).Draw(t, "callers") {
		_, _ = s.tryPark(pick(), "")
	}
	for range rapid.IntRange(3, 30).Draw(t, "steps") {
		n := pick()
		switch action := rapid.SampledFrom([]string{"park", "park", "late", "late", "wait", "pass", "pass", "goes", "kill", "comes",
			"cut", "heal", "freeze", "thaw", "fetch", "hang up"}).Draw(t, "action"); {
		case action == "late":
			lose()
		case action == "wait":
			s.run(time.Duration(rapid.IntRange(1, 500).Draw(t, "ms")) * time.Millisecond)
		case action == "pass":
			s.run(time.Duration(rapid.IntRange(1, 15).Draw(t, "seconds")) * time.Second)
		case action == "cut", action == "heal":
			if m := pick(); m != n {
				s.setCut(n.name, m.name, action == "cut")
			}
		case action == "comes" && n.life == 0:
			comes(n)
		case action == "thaw" && n.frozen:
			n.thaw()
		case n.life == 0 || n.frozen && action != "kill":
		case action == "park" && len(s.callers) < 6:
			_, _ = s.tryPark(n, rapid.SampledFrom([]string{"", "701", "702"}).Draw(t, "orbit"))
		case action == "goes":
			n.goes()
			journal[n] = n.stored()
		case action == "freeze":
			n.frozen = true
		case action == "kill":
			s.cutOff(n)
			journal[n] = n.stored()
			n.kill()
		case len(s.callers) == 0:
		case action == "hang up":
			if f := rapid.SampledFrom(s.callers).Draw(t, "caller"); !f.over {
				f.hangUp(s)
			}
		case action == "fetch":
			token := s.id("fetch")
			n.ask(parkd.Fetch{Token: token, Orbit: rapid.SampledFrom(s.callers).Draw(t, "caller").orbit}, token)
		}
	}
	clear(delays)
	for _, a := range s.nodes {
		for _, b := range s.nodes {
			if a != b {
				s.setCut(a.name, b.name, false)
			}
		}
		switch {
		case a.life == 0:
			comes(a)
		case a.frozen:
			a.thaw()
		}
	}
	s.run(80 * time.Second)
	for range 5 { // a recall may be on its way in just this moment
		if s.disagreement() != "" {
			s.run(200 * time.Millisecond)
		}
	}
	if d := s.disagreement(); d != "" {
		t.Fatalf("after quiet: %s", d)
	}
	for _, f := range s.callers {
		at := 0
		for _, n := range s.nodes {
			for _, c := range n.machine.Hosted().Slots {
				if c.CallID == f.call {
					at++
				}
			}
		}
		if f.hung && at > 0 || !f.over && at != 1 {
			t.Fatalf("%s (hung up: %v) is at %d appliances", f.call, f.hung, at)
		}
	}
}

func TestNoLampIsDark(t *testing.T) { rapid.Check(t, moves) }

func FuzzMoves(f *testing.F) { f.Fuzz(rapid.MakeFuzz(moves)) }
