package federation

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parklamp/parkd"
)

func settledSite(t interface{ Fatalf(string, ...any) }, seed uint64, names ...string) *site {
	s := newSite(seed, names...)
	s.fail = t.Fatalf
	s.run(5 * time.Second)
	return s
}

func TestHundredParksTenOrbits(t *testing.T) {
	for seed := range uint64(20) {
		s := settledSite(t, seed, "dock-1", "dock-2", "office", "gate")
		var tokens []string
		for i := range 100 {
			tok := s.id("park")
			tokens = append(tokens, tok)
			s.nodes[i%4].ask(parkd.Park{Token: tok, Leg: parkd.LegID(s.id("leg"))}, tok)
		}
		s.run(time.Second)
		won := map[string]bool{}
		for _, tok := range tokens {
			o, ok := s.outcomes[tok]
			switch {
			case !ok:
				t.Fatalf("seed %d: %s has no outcome", seed, tok)
			case o.took > 200*time.Millisecond:
				t.Errorf("seed %d: %s took %v", seed, tok, o.took)
			case o.ok && won[o.orbit]:
				t.Errorf("seed %d: orbit %s won twice", seed, o.orbit)
			case o.ok:
				won[o.orbit] = true
			case o.reason != parkd.ReasonFull:
				t.Errorf("seed %d: %s refused as %v", seed, tok, o.reason)
			}
		}
		if len(won) != 10 {
			t.Errorf("seed %d: %d winners, want 10", seed, len(won))
		}
		if d := s.disagreement(); d != "" {
			t.Errorf("seed %d: %s", seed, d)
		}
		fetchAll(t, s, seed)
	}
}

// fetchAll: 100 fetches, ten for each orbit, from all appliances.
func fetchAll(t *testing.T, s *site, seed uint64) {
	t.Helper()
	var tokens []string
	for i := range 100 {
		tok := s.id("fetch")
		tokens = append(tokens, tok)
		leg := parkd.LegID("")
		if i%3 == 0 {
			leg = parkd.LegID(s.id("fetcher"))
		}
		s.nodes[(i/10+i)%4].ask(parkd.Fetch{Token: tok, Leg: leg, Orbit: parkd.Default().Orbits[i/10]}, tok)
	}
	s.run(time.Second)
	won := map[string]int{}
	for _, tok := range tokens {
		o, ok := s.outcomes[tok]
		switch {
		case !ok:
			t.Fatalf("seed %d: %s has no outcome", seed, tok)
		case o.took > 200*time.Millisecond:
			t.Errorf("seed %d: %s took %v", seed, tok, o.took)
		case o.ok:
			won[o.orbit]++
		case o.reason != parkd.ReasonLostRace && o.reason != parkd.ReasonEmpty:
			t.Errorf("seed %d: %s refused as %v", seed, tok, o.reason)
		}
	}
	for _, orbit := range parkd.Default().Orbits {
		if won[orbit] != 1 {
			t.Errorf("seed %d: orbit %s has %d winners", seed, orbit, won[orbit])
		}
	}
	for id, n := range s.fetched {
		if n != 1 {
			t.Errorf("seed %d: call %s was fetched %d times", seed, id, n)
		}
	}
	if d := s.disagreement(); d != "" {
		t.Errorf("seed %d: %s", seed, d)
	}
	for _, n := range s.nodes {
		for _, v := range n.machine.Orbits() {
			if v.State != parkd.ViewFree {
				t.Errorf("seed %d: %s sees %s %v after the fetches", seed, n.name, v.Orbit, v.State)
			}
		}
	}
}

func TestDeadPeerIsUnknownAndComesBack(t *testing.T) {
	s := settledSite(t, 1, "dock-1", "dock-2", "office")
	d2, office := s.node("dock-2"), s.node("office")
	d2.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p")
	s.run(100 * time.Millisecond)
	if v := office.machine.View("703"); v.State != parkd.ViewElsewhere || v.Host != "dock-2" {
		t.Fatalf("office sees 703 as %+v", v)
	}
	d2.kill()
	died := s.now
	for office.machine.View("703").State != parkd.ViewUnknown {
		s.run(10 * time.Millisecond)
		if s.now.Sub(died) >= 3*time.Second {
			t.Fatalf("703 is %v 3 s after its host died", office.machine.View("703").State)
		}
	}
	if v := office.machine.View("701"); v.State != parkd.ViewFree {
		t.Errorf("701 is %v though dock-1 lives", v.State)
	}
	// While it is unknown, nobody gets the orbit, and the others can be had.
	office.ask(parkd.Park{Token: "q", Leg: "b", Orbit: "703"}, "q")
	office.ask(parkd.Park{Token: "r", Leg: "c"}, "r")
	s.run(time.Second)
	if o := s.outcomes["q"]; o.ok || o.reason != parkd.ReasonUnknown {
		t.Errorf("park into an unknown orbit: %+v", o)
	}
	if o := s.outcomes["r"]; !o.ok || o.orbit != "701" {
		t.Errorf("park into the lowest free: %+v", o)
	}
	back := s.now
	d2.start(2000)
	for office.machine.View("703").State != parkd.ViewFree || d2.machine.View("701").State != parkd.ViewElsewhere {
		s.run(10 * time.Millisecond)
		if s.now.Sub(back) >= 5*time.Second {
			t.Fatalf("5 s after its return: %s", s.disagreement())
		}
	}
}

// The calls of a dead peer refuse claims until they are forgotten.
func TestDeadPeersCallsRefuseUntilForgotten(t *testing.T) {
	s := settledSite(t, 1, "dock-1", "dock-2", "office")
	s.node("dock-2").ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p")
	s.run(time.Second)
	s.node("dock-2").kill()
	s.run(parkd.Default().ForgetDead)
	for _, want := range []bool{false, true} {
		tok := s.id("park")
		s.node("office").ask(parkd.Park{Token: tok, Leg: parkd.LegID(tok), Orbit: "703"}, tok)
		s.run(5 * time.Second)
		if o := s.outcomes[tok]; o.ok != want {
			t.Errorf("%+v, want %v", o, want)
		}
	}
}

// A restart that is faster than the detection of its death must not leave lamps of its former life.
func TestQuickRestartClearsLamps(t *testing.T) {
	for _, epoch := range []uint64{2000, 3} { // 3: the clock went back over the restart
		s := settledSite(t, 1, "dock-1", "dock-2", "office")
		d2, office := s.node("dock-2"), s.node("office")
		d2.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p")
		s.run(100 * time.Millisecond)
		d2.kill()
		s.run(300 * time.Millisecond)
		d2.start(epoch)
		s.run(2 * time.Second)
		if v := office.machine.View("703"); v.State != parkd.ViewFree {
			t.Errorf("epoch %d: office sees 703 as %v", epoch, v.State)
		}
		d2.ask(parkd.Park{Token: "q", Leg: "b", Orbit: "703"}, "q")
		s.run(100 * time.Millisecond)
		if d := s.disagreement(); d != "" || !s.outcomes["q"].ok {
			t.Errorf("epoch %d: %v %s", epoch, s.outcomes["q"], d)
		}
	}
}

func TestPartitionHealsToAQueue(t *testing.T) {
	s := settledSite(t, 1, "dock-1", "dock-2", "office")
	for _, n := range []string{"dock-2", "office"} {
		s.setCut("dock-1", n, true)
	}
	s.run(4 * time.Second)
	s.node("dock-1").ask(parkd.Park{Token: "p", Leg: "a", Orbit: "705"}, "p")
	s.node("office").ask(parkd.Park{Token: "q", Leg: "b", Orbit: "705"}, "q")
	s.run(2 * time.Second)
	if !s.outcomes["p"].ok || !s.outcomes["q"].ok {
		t.Fatalf("parks on both sides: %+v, %+v", s.outcomes["p"], s.outcomes["q"])
	}
	if v := s.node("dock-1").machine.View("701"); v.State != parkd.ViewUnknown {
		t.Errorf("cut off from all, dock-1 shows a free orbit as %v", v.State)
	}
	for _, n := range []string{"dock-2", "office"} {
		s.setCut("dock-1", n, false)
	}
	s.run(5 * time.Second)
	if d := s.disagreement(); d != "" {
		t.Fatal(d)
	}
	for _, n := range s.nodes {
		if v := n.machine.View("705"); v.State != parkd.ViewQueued || len(v.Calls) != 2 || v.Calls[0].Leg == "b" {
			t.Errorf("%s sees %+v", n.name, v)
		}
	}
	// Oldest first, then the other.
	for _, tok := range []string{"f", "g"} {
		s.node("dock-2").ask(parkd.Fetch{Token: tok, Orbit: "705"}, tok)
		s.run(100 * time.Millisecond)
		if !s.outcomes[tok].ok {
			t.Errorf("fetch %s: %+v", tok, s.outcomes[tok])
		}
	}
	if len(s.fetched) != 2 || s.node("office").machine.View("705").State != parkd.ViewFree {
		t.Errorf("fetched %v, 705 is %v", s.fetched, s.node("office").machine.View("705").State)
	}
}

// The arbiter dies and nobody knows yet: it is passed over after 300 ms, and the park holds.
func TestSilentArbiterIsPassedOver(t *testing.T) {
	s := settledSite(t, 1, "dock-1", "dock-2", "office")
	orbit := parkd.Default().Orbits[slices.IndexFunc(parkd.Default().Orbits, func(o string) bool {
		return parkd.Rank(o, []string{"dock-1", "dock-2", "office"})[0] == "dock-2"
	})]
	s.node("dock-2").kill()
	s.node("dock-1").ask(parkd.Park{Token: "p", Leg: "a", Orbit: orbit}, "p")
	s.node("office").ask(parkd.Park{Token: "q", Leg: "b", Orbit: orbit}, "q")
	s.run(2 * time.Second)
	p, q := s.outcomes["p"], s.outcomes["q"]
	if p.ok == q.ok {
		t.Errorf("both or none: %+v %+v", p, q)
	}
	for _, o := range []outcome{p, q} {
		if o.took < 300*time.Millisecond || o.took > 400*time.Millisecond {
			t.Errorf("took %v, want one wait of 300 ms", o.took)
		}
	}
}

// chaos does random things on a random site. Calm keeps the network whole and nobody dies or hangs up
// too early: then no orbit is ever booked twice.
func chaos(t *rapid.T, calm bool) {
	names := []string{"dock-1", "dock-2", "office", "gate"}[:rapid.IntRange(2, 4).Draw(t, "appliances")]
	s := settledSite(t, rapid.Uint64().Draw(t, "seed"), names...)
	slowest := rapid.IntRange(1, 60).Draw(t, "slowest")
	s.delay = func() time.Duration { return time.Duration(s.rng.IntN(slowest)+1) * time.Millisecond }
	pick := func() *node { return s.nodes[rapid.IntRange(0, len(s.nodes)-1).Draw(t, "appliance")] }
	orbit := rapid.SampledFrom([]string{"", "701", "702", "703"})
	actions := []string{"park", "park", "park", "fetch", "fetch", "end", "wait", "pass"}
	if !calm {
		actions = append(actions, "kill", "start", "cut", "heal", "gone")
	}
	lastPark := map[string]string{}
	for range rapid.IntRange(1, 50).Draw(t, "steps") {
		n := pick()
		switch action := rapid.SampledFrom(actions).Draw(t, "action"); {
		case action == "wait":
			s.run(time.Duration(rapid.IntRange(1, 500).Draw(t, "ms")) * time.Millisecond)
		case action == "pass":
			s.run(time.Duration(rapid.IntRange(1, 100).Draw(t, "seconds")) * time.Second)
		case action == "cut", action == "heal":
			if m := pick(); m != n {
				s.setCut(n.name, m.name, action == "cut")
			}
		case action == "start" && n.life == 0:
			epoch := n.machine.Hosted().Epoch + 1
			if rapid.Bool().Draw(t, "clockWentBack") {
				epoch = uint64(s.serial) // different in each life, as nanoseconds are
			}
			n.start(epoch)
		case n.life == 0:
		case action == "park":
			tok := s.id("park")
			lastPark[n.name] = tok
			n.ask(parkd.Park{Token: tok, Leg: parkd.LegID(s.id("leg")), Orbit: orbit.Draw(t, "orbit"), ParkerRef: parkd.DeskPhone}, tok)
		case action == "gone":
			n.park(parkd.ParkerGone{Token: lastPark[n.name]})
		case action == "fetch":
			tok, leg := s.id("fetch"), parkd.LegID("")
			if rapid.Bool().Draw(t, "byLeg") {
				leg = parkd.LegID(s.id("fetcher"))
			}
			n.ask(parkd.Fetch{Token: tok, Leg: leg, Orbit: orbit.Draw(t, "orbit")}, tok)
		case action == "end":
			if slots := n.machine.Hosted().Slots; len(slots) > 0 {
				leg := slots[rapid.IntRange(0, len(slots)-1).Draw(t, "call")].Leg
				delete(s.parked, leg)
				n.park(parkd.LegEnded{Leg: leg})
			}
		case action == "kill":
			n.kill()
		}
		if calm {
			for _, o := range parkd.Default().Orbits {
				var calls []string
				for _, n := range s.nodes {
					for _, c := range n.machine.Hosted().Slots {
						if c.Orbit == o {
							calls = append(calls, c.CallID)
						}
					}
				}
				if len(calls) > 1 {
					t.Fatalf("orbit %s holds %v", o, calls)
				}
			}
		}
	}
	// Quiet: all links heal, the dead return.
	for _, a := range s.nodes {
		for _, b := range s.nodes {
			if a != b {
				s.setCut(a.name, b.name, false)
			}
		}
		if a.life == 0 {
			a.start(uint64(s.serial))
		}
	}
	s.run(30 * time.Second)
	d := s.disagreement()
	for range 3 { // a recall may be on its way in just this moment
		if d != "" {
			s.run(200 * time.Millisecond)
			d = s.disagreement()
		}
	}
	if d != "" {
		t.Fatalf("after quiet: %s", d)
	}
	// No call lost: whoever was parked and neither fetched nor gone is in exactly one orbit.
	hosted := map[parkd.LegID]int{}
	for _, n := range s.nodes {
		for _, c := range n.machine.Hosted().Slots {
			hosted[c.Leg]++
		}
	}
	for leg := range s.parked {
		if hosted[leg] != 1 {
			t.Fatalf("caller %s is in %d orbits", leg, hosted[leg])
		}
	}
	if len(hosted) != len(s.parked) {
		t.Fatalf("%d calls hosted, %d callers parked", len(hosted), len(s.parked))
	}
	for id, n := range s.fetched {
		if n != 1 {
			t.Fatalf("call %s was fetched by %d", id, n)
		}
	}
	for _, n := range s.nodes {
		for _, c := range n.machine.Hosted().Slots {
			n.park(parkd.LegEnded{Leg: c.Leg})
		}
	}
	s.run(time.Second)
	for _, n := range s.nodes {
		for _, v := range n.machine.Orbits() {
			if v.State != parkd.ViewFree {
				t.Fatalf("%s sees %s as %v when all calls have ended", n.name, v.Orbit, v.State)
			}
		}
		if len(n.core.claims) > 0 {
			t.Fatalf("%s has claims left", n.name)
		}
	}
}

func TestNothingIsLostInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { chaos(t, false) })
}

func TestConnectedSiteNeverBooksTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { chaos(t, true) })
}

func FuzzSite(f *testing.F) { f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { chaos(t, false) })) }

// Two appliances that are so busy that they stand still for a moment go on saying who gets an orbit, while a third one is off: of two
// parks at the same time one has it.
func TestBusyAppliancesArbitrate(t *testing.T) {
	for seed := range uint64(50) {
		s := settledSite(t, seed, "dock-1", "dock-2", "office")
		s.node("office").kill()
		s.run(20 * time.Second)
		both := s.nodes[:2]
		for _, n := range both {
			n.frozen = true
		}
		s.run(1700 * time.Millisecond)
		for _, n := range both {
			n.thaw()
		}
		s.run(300 * time.Millisecond)
		for _, n := range both {
			f := &farEnd{host: n, leg: parkd.LegID(s.id("caller")), knew: map[[2]any]bool{}}
			n.park(parkd.Park{Token: s.id("park"), Leg: f.leg, Orbit: "701", Caller: parkd.Party{URI: "sip:" + string(f.leg) + "@x"},
				Parker: parkd.Party{URI: "sip:201@10.0.0.1"}, ParkerRef: parkd.DeskPhone, Dialog: s.dialog(f)})
			s.run(time.Millisecond)
		}
		s.run(3 * time.Second)
		if at := s.copies("701"); len(at) != 1 {
			t.Errorf("seed %d: the orbit is taken at %v", seed, at)
		}
	}
}
