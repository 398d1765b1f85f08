package parkd

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is everything around one machine: legs, arbiter, phone. It answers in any order and at any time,
// or never, and checks after each step what the package comment promises.
type world struct {
	t *rapid.T
	r *runner

	serial   int
	alive    map[LegID]bool
	expend   map[LegID]bool   // legs that the machine may hang up
	joined   map[LegID]LegID  // what a JoinResult made a pair
	open     map[string]LegID // tokens not yet answered
	claims   []Claim
	joins    []Join // HandToPhone too, with an empty Fetcher
	remotes  []FetchRemote
	recalls  []Recall
	rescues  []Rescue
	commits  map[string]bool // call ids
	reports  map[string]End
	last     Announce
	peerGens map[string]uint64
	rescued  map[string]bool // calls whose far end is being called
}

func newWorld(t *rapid.T) *world {
	cfg := Default()
	cfg.Orbits = []string{"701", "702", "703"}
	cfg.Escalation = []Step{{To: "reception", Ring: 10 * time.Second}}
	cfg.MaxCalls = 12
	return &world{t: t, r: newRunner(cfg), alive: make(map[LegID]bool), expend: make(map[LegID]bool),
		joined: make(map[LegID]LegID), open: make(map[string]LegID), commits: make(map[string]bool), reports: make(map[string]End), peerGens: make(map[string]uint64), rescued: make(map[string]bool)}
}

func (w *world) newLeg() LegID {
	w.serial++
	l := LegID(fmt.Sprintf("leg%d", w.serial))
	w.alive[l] = true
	return l
}

func (w *world) newToken() string {
	w.serial++
	return fmt.Sprintf("t%d", w.serial)
}

func (w *world) step(in Input) { w.observe(w.r.step(in)) }

func (w *world) observe(out []Effect) {
	for _, e := range out {
		switch e := e.(type) {
		case Claim:
			if _, ok := w.open[e.Token]; !ok {
				w.t.Fatalf("claim for token %s, which is not open", e.Token)
			}
			w.claims = append(w.claims, e)
		case Committed:
			w.closeToken(e.Token)
			if !w.alive[e.Leg] {
				w.t.Fatalf("leg %s is committed and gone", e.Leg)
			}
			w.commits[e.Slot.CallID] = true
		case Refused:
			w.closeToken(e.Token)
		case HandToPhone:
			w.joins = append(w.joins, Join{Token: e.Token, Parked: e.Leg, Slot: e.Slot})
		case Join:
			w.joins = append(w.joins, e)
		case FetchRemote:
			w.remotes = append(w.remotes, e)
		case Recall:
			w.recalls = append(w.recalls, e)
		case Rescue:
			if w.rescued[e.Slot.CallID] {
				w.t.Fatalf("call %s is rescued again while that is under way", e.Slot.CallID)
			}
			w.rescued[e.Slot.CallID] = true
			w.rescues = append(w.rescues, e)
		case HangUp:
			if !w.expend[e.Leg] {
				w.t.Fatalf("caller %s is hung up: %s", e.Leg, e.Reason)
			}
			delete(w.alive, e.Leg)
		case Announce:
			if e.Generation <= w.last.Generation || e.Epoch < w.last.Epoch {
				w.t.Fatalf("announced %d.%d after %d.%d", e.Epoch, e.Generation, w.last.Epoch, w.last.Generation)
			}
			w.last = e
		case Report:
			if e.Row.Slot.Host != "dock-1" {
				continue // told of a peer's call
			}
			if _, twice := w.reports[e.Row.Slot.CallID]; twice {
				w.t.Fatalf("call %s is reported twice", e.Row.Slot.CallID)
			}
			w.reports[e.Row.Slot.CallID] = e.Row.End
		}
	}
	w.invariants()
}

func (w *world) closeToken(token string) {
	if _, ok := w.open[token]; !ok {
		w.t.Fatalf("token %s is answered twice, or was never asked", token)
	}
	delete(w.open, token)
}

func (w *world) invariants() {
	hosted := w.r.m.Hosted()
	legs := make(map[LegID]bool)
	ids := make(map[string]bool)
	for _, s := range hosted.Slots {
		if ids[s.CallID] {
			w.t.Fatalf("call %s is hosted twice", s.CallID)
		}
		ids[s.CallID] = true
		if s.State == Moving {
			if s.Leg != "" || w.r.timers["call:"+s.CallID].Before(w.r.now) && !w.r.m.closing {
				w.t.Fatalf("call %s has left and has leg %q, or nothing ends it", s.CallID, s.Leg)
			}
			continue
		}
		switch {
		case legs[s.Leg]:
			w.t.Fatalf("leg %s is in two orbits", s.Leg)
		case !w.alive[s.Leg]:
			w.t.Fatalf("orbit %s holds leg %s, which is gone", s.Orbit, s.Leg)
		case w.r.timers["call:"+s.CallID].Before(w.r.now) && !w.r.m.closing:
			w.t.Fatalf("call %s in state %v has no timer to get it out", s.CallID, s.State)
		}
		legs[s.Leg] = true
		v := w.r.m.View(s.Orbit)
		if v.State == ViewFree || v.State == ViewUnknown {
			w.t.Fatalf("orbit %s holds a call and looks %v", s.Orbit, v.State)
		}
	}
	if hosted.Generation != w.last.Generation || len(hosted.Slots) != len(w.last.Slots) {
		w.t.Fatalf("hosted %v was not announced; last %v", hosted, w.last)
	}
	taken := make(map[string]bool)
	for _, j := range w.joins {
		if _, ok := w.open[j.Token]; ok && taken[j.Slot.CallID] {
			w.t.Fatalf("call %s is given to two", j.Slot.CallID)
		} else if ok {
			taken[j.Slot.CallID] = true
		}
	}
	if n := len(w.r.m.legs); n > w.r.m.cfg.MaxCalls {
		w.t.Fatalf("%d calls, limit %d", n, w.r.m.cfg.MaxCalls)
	}
	for a, b := range w.r.m.pairs {
		if w.r.m.pairs[b] != a {
			w.t.Fatalf("%s is joined to %s, but not back", a, b)
		}
	}
}

func (w *world) endLeg(l LegID) {
	delete(w.alive, l)
	w.step(LegEnded{Leg: l, Doubt: rapid.IntRange(0, 3).Draw(w.t, "doubt") == 0})
}

func (w *world) answerJoin(i int, ok bool) {
	j := w.joins[i]
	w.joins = slices.Delete(w.joins, i, i+1)
	_, open := w.open[j.Token]
	if open && ok {
		w.expend[j.Parked] = true // has a partner now
		if j.Fetcher != "" {
			w.expend[j.Fetcher] = true
		}
		delete(w.open, j.Token)
	}
	w.step(JoinResult{Token: j.Token, OK: ok})
}

// act does one random thing.
func (w *world) act() {
	t := w.t
	legs := slices.Sorted(maps.Keys(w.alive))
	tokens := slices.Sorted(maps.Keys(w.open))
	pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
	orbit := rapid.SampledFrom([]string{"", "", "701", "702", "703", "799"})
	switch rapid.SampledFrom([]string{"park", "park", "claim", "claim", "claim", "fetch", "fetch", "join", "join", "end", "wait",
		"abort", "gone", "undo", "swap", "recall", "recall", "peer", "peer", "remote", "rescue", "rescue", "leave", "close", "junk", "restart"}).Draw(t, "action") {
	case "park":
		leg := w.newLeg()
		if len(legs) > 0 && rapid.Bool().Draw(t, "again") {
			leg = legs[pick(len(legs))]
		}
		tok := w.newToken()
		w.open[tok] = leg
		w.step(Park{Token: tok, Leg: leg, Orbit: orbit.Draw(t, "orbit"),
			ParkerRef: rapid.SampledFrom([]string{DeskPhone, "sip:x", ""}).Draw(t, "ref"),
			Dialog:    rapid.SampledFrom([]DialogRef{{}, reachable(tok)}).Draw(t, "dialog")})
	case "claim":
		if len(w.claims) > 0 {
			i := pick(len(w.claims))
			c := w.claims[i]
			w.claims = slices.Delete(w.claims, i, i+1)
			w.step(ClaimResult{Token: c.Token, Orbit: c.Orbit, Granted: rapid.Bool().Draw(t, "granted"), Reason: ReasonTaken})
		}
	case "fetch":
		leg := LegID("")
		if rapid.Bool().Draw(t, "byLeg") {
			leg = w.newLeg()
		}
		tok := w.newToken()
		w.open[tok] = leg
		w.step(Fetch{Token: tok, Leg: leg, Orbit: orbit.Draw(t, "orbit")})
	case "join":
		if len(w.joins) > 0 {
			w.answerJoin(pick(len(w.joins)), rapid.Bool().Draw(t, "ok"))
		}
	case "remote":
		if len(w.remotes) > 0 {
			i := pick(len(w.remotes))
			f := w.remotes[i]
			w.remotes = slices.Delete(w.remotes, i, i+1)
			ok := rapid.Bool().Draw(t, "ok")
			res := JoinResult{Token: f.Token, OK: ok}
			if ok && f.Fetcher != "" {
				res.Leg = w.newLeg()
				w.expend[res.Leg], w.expend[f.Fetcher] = true, true
			}
			if ok {
				delete(w.open, f.Token)
			}
			w.step(res)
		}
	case "end":
		if len(legs) > 0 {
			w.endLeg(legs[pick(len(legs))])
		}
	case "wait":
		d := time.Duration(rapid.IntRange(1, 120).Draw(t, "seconds")) * time.Second
		w.r.wait(d, w.observe)
	case "abort":
		if len(tokens) > 0 {
			w.step(Abort{Token: tokens[pick(len(tokens))]})
		}
	case "gone":
		if len(tokens) > 0 {
			w.step(ParkerGone{Token: tokens[pick(len(tokens))]})
		}
	case "undo":
		tok := w.newToken()
		w.open[tok] = ""
		w.step(Undo{Token: tok, ParkerRef: DeskPhone})
	case "swap":
		if len(legs) > 0 {
			old := legs[pick(len(legs))]
			tok, leg := w.newToken(), w.newLeg()
			w.open[tok] = leg
			was := w.expend[old]
			w.expend[old] = true
			_, paired := w.r.m.pairs[old]
			w.step(Swap{Token: tok, Leg: old, NewLeg: leg})
			if _, ok := w.r.m.pairs[leg]; ok && paired { // took its place beside a fetcher: nobody waits for an answer
				w.expend[leg] = true
				delete(w.open, tok)
			}
			if w.alive[old] {
				w.expend[old] = was
			}
		}
	case "recall":
		if len(w.recalls) > 0 {
			i := pick(len(w.recalls))
			rc := w.recalls[i]
			w.recalls = slices.Delete(w.recalls, i, i+1)
			if rapid.Bool().Draw(t, "fails") {
				w.step(RecallFailed{Token: rc.Token, Code: 486})
				return
			}
			leg := LegID("")
			if rapid.Bool().Draw(t, "byLeg") {
				leg = w.newLeg()
			}
			w.open[rc.Token] = leg
			w.step(RecallAnswered{Token: rc.Token, Leg: leg})
		}
	case "peer":
		name := rapid.SampledFrom([]string{"dock-2", "office"}).Draw(t, "peer")
		w.peerGens[name] += uint64(rapid.IntRange(0, 1).Draw(t, "newer"))
		p := Peer{Name: name, Alive: rapid.Bool().Draw(t, "alive"), Epoch: 1, Generation: w.peerGens[name]}
		for i, o := range rapid.SliceOfN(orbit, 0, 3).Draw(t, "calls") {
			p.State = append(p.State, SlotState{Orbit: o, CallID: fmt.Sprintf("%s.%d", name, i), State: Parked, Since: w.r.now,
				Dialog: rapid.SampledFrom([]DialogRef{{}, reachable(name)}).Draw(t, "dialog")})
		}
		for _, s := range w.last.Slots { // takes over from us what it may have taken over
			if rapid.IntRange(0, 9).Draw(t, "takes") == 0 {
				s.Moves++
				w.expend[s.Leg] = true
				p.State = append(p.State, s)
			}
		}
		p.Leaving = !p.Alive && rapid.Bool().Draw(t, "leaving")
		for i := range rapid.IntRange(0, 2).Draw(t, "settled") {
			p.Settled = append(p.Settled, Settled{CallID: fmt.Sprintf("%s.%d", rapid.SampledFrom([]string{"dock-2", "office"}).Draw(t, "of"), i),
				Moves: 1, How: Outcome(rapid.IntRange(1, len(outcomeNames)-1).Draw(t, "how")),
				Host: rapid.SampledFrom([]string{"", "office", "gate"}).Draw(t, "by"), Epoch: 1, Generation: uint64(rapid.IntRange(0, 3).Draw(t, "as of"))})
		}
		w.step(p)
	case "rescue":
		if len(w.rescues) > 0 {
			w.answerRescue(pick(len(w.rescues)), Outcome(rapid.IntRange(0, 3).Draw(t, "how")))
		}
	case "leave":
		if rapid.IntRange(0, 5).Draw(t, "really") == 0 {
			w.step(Leave{})
		}
	case "restart":
		w.restart()
	case "close":
		w.step(Close{})
		for range rapid.IntRange(0, 5).Draw(t, "meanwhile") {
			w.act()
		}
		rings := len(w.recalls)
		w.r.wait(5*time.Minute, w.observe)
		if w.r.m.closing && (len(w.recalls) > rings || len(w.r.m.pending) > 0) {
			t.Fatalf("after Close %d rang and %d wait for an orbit", len(w.recalls)-rings, len(w.r.m.pending))
		}
		w.restart()
	case "junk":
		in := rapid.SampledFrom([]Input{Timer{ID: "call:x"}, Timer{ID: "fetch:"}, Timer{ID: "peer:office"}, LegEnded{Leg: "x"},
			ClaimResult{Token: "x", Orbit: "701", Granted: true}, JoinResult{Token: "x"}, Abort{}, RecallFailed{}, nil,
			Peer{Name: "dock-1"}, RaiseEpoch{}, RaiseEpoch{Epoch: 1000}, CallerChanged{Leg: "x"}}).Draw(t, "junk")
		w.step(in)
	}
}

// reachable is the dialog of a far end that knows Replaces.
func reachable(name string) DialogRef {
	return DialogRef{CallID: name, LocalTag: "l", RemoteTag: "r", Reach: Reach{Remote: "sip:x", Target: "sip:x"}}
}

// answerRescue lets the far end come, or not.
func (w *world) answerRescue(i int, how Outcome) {
	e := w.rescues[i]
	w.rescues = slices.Delete(w.rescues, i, i+1)
	delete(w.rescued, e.Slot.CallID)
	in := RescueResult{CallID: e.Slot.CallID, How: how}
	if how == Rescued {
		in = RescueResult{CallID: e.Slot.CallID, Leg: w.newLeg(), Dialog: reachable("new")}
		w.expend[in.Leg] = true // if it comes too late
		delete(w.reports, e.Slot.CallID)
	}
	w.step(in)
	if w.r.m.legs[in.Leg] != nil {
		w.expend[in.Leg], w.commits[e.Slot.CallID] = false, true
	}
}

// restart is a crash: what was announced last is all that the next life knows, and legs that are not in it are gone.
func (w *world) restart() {
	later := uint64(1)
	if slices.ContainsFunc(w.last.Slots, func(s SlotState) bool { return s.State != Moving }) { // then the stored calls tell that the clock went back
		later = uint64(rapid.IntRange(0, 1).Draw(w.t, "later"))
	}
	w.r.m = New(w.r.m.cfg, "dock-1", w.last.Epoch+later)
	clear(w.r.timers)
	clear(w.open)
	clear(w.alive)
	w.claims, w.joins, w.remotes, w.recalls, w.rescues = nil, nil, nil, nil, nil
	clear(w.rescued)
	stored := w.last
	stored.Slots = nil
	for _, s := range w.last.Slots {
		if s.State == Moving { // no leg, nothing that the journal keeps
			delete(w.commits, s.CallID)
			continue
		}
		w.alive[s.Leg] = true
		stored.Slots = append(stored.Slots, s)
	}
	w.last = Announce{Epoch: stored.Epoch}
	w.step(Restore{Slots: stored.Slots})
	if len(w.last.Slots) != len(stored.Slots) {
		w.t.Fatalf("%d calls were stored, %d are back", len(stored.Slots), len(w.last.Slots))
	}
}

// drain lets everything come to its end and checks that nothing is left.
func (w *world) drain() {
	for len(w.claims) > 0 {
		c := w.claims[0]
		w.claims = w.claims[1:]
		w.step(ClaimResult{Token: c.Token, Orbit: c.Orbit, Granted: true})
	}
	for len(w.joins) > 0 {
		w.answerJoin(0, true)
	}
	for len(w.rescues) > 0 {
		w.answerRescue(0, 0)
	}
	w.r.wait(30*time.Second, w.observe)
	for _, l := range slices.Sorted(maps.Keys(w.alive)) {
		if w.alive[l] {
			w.endLeg(l)
		}
	}
	w.r.wait(20*time.Minute, w.observe)
	for len(w.rescues) > 0 {
		w.answerRescue(0, 0)
	}
	for _, name := range []string{"dock-2", "office"} {
		w.step(Peer{Name: name, Alive: true, Epoch: 2})
	}
	for range rescueTries { // of whom they live anew without
		w.r.wait(2*time.Minute, w.observe)
		for len(w.rescues) > 0 {
			w.answerRescue(0, 0)
		}
	}
	w.r.wait(2*time.Minute, w.observe)
	if len(w.open) > 0 {
		w.t.Fatalf("tokens without an answer: %v", w.open)
	}
	m := w.r.m
	if len(m.hosted)+len(m.pending)+len(m.legs)+len(m.open)+len(m.fetcher)+len(m.pairs)+len(m.rescues) > 0 {
		w.t.Fatalf("left behind: %d hosted, %d pending, %d legs, %d open, %d fetchers, %d paired, %d rescues",
			len(m.hosted), len(m.pending), len(m.legs), len(m.open), len(m.fetcher), len(m.pairs), len(m.rescues))
	}
	for id := range w.commits {
		if w.reports[id] == 0 {
			w.t.Fatalf("call %s was parked and has no report", id)
		}
	}
	for _, v := range m.Orbits() {
		if v.State != ViewFree {
			w.t.Fatalf("orbit %s is %v with no call anywhere", v.Orbit, v.State)
		}
	}
	if len(w.r.timers) > 0 {
		w.t.Fatalf("timers left: %v", w.r.timers)
	}
}

func anyOrder(t *rapid.T) {
	w := newWorld(t)
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		w.act()
	}
	w.drain()
}

func TestAnyOrderKeepsEveryCall(t *testing.T) { rapid.Check(t, anyOrder) }

func FuzzAnyOrder(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyOrder)) }
