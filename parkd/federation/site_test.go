package federation

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"parklamp/parkd"
)

// site is several appliances, each a Core and a parkd.Machine, on a simulated network that behaves as
// TCP does: messages of one link keep their order, are held while the link is cut, and are lost when
// an end dies. Time is simulated.
type site struct {
	now    time.Time
	rng    *rand.Rand
	delay  func() time.Duration
	nodes  []*node
	events []scheduled
	serial int
	cut    map[[2]string]bool
	healed map[[2]string]time.Time // when a link was last mended
	held   map[[2]string][]func()
	last   map[[2]string]time.Time // latest arrival of a link

	fetched  map[string]int // call id -> winners
	outcomes map[string]outcome
	parked   map[parkd.LegID]bool // callers that are in some orbit or with somebody
	fail     func(format string, args ...any)

	far      map[string]*farEnd                 // by the dialog that it has now
	callers  []*farEnd                          // whose lamps are watched, see dark
	late     func(from, to *node) time.Duration // how late a document is; nil: as any message
	invites  map[string]int                     // rescues tried, by call id
	reports  []parkd.Row
	stranded []string
}

type scheduled struct {
	at  time.Time
	seq int
	do  func()
}

// arrival is a message that waits in a socket; those of one stream keep their order.
type arrival struct {
	stream string
	do     func()
}

type outcome struct {
	ok     bool
	reason parkd.Reason
	orbit  string
	took   time.Duration
}

type node struct {
	s        *site
	name     string
	life     int // grows with each start; 0: down
	core     *Core
	machine  *parkd.Machine
	tickAt   time.Time
	timers   map[string]time.Time
	watching map[string]int // peer -> our dialog with it
	watchers map[string]int // peer -> its dialog with us
	told     map[int]bool   // dialogs in which a document was sent
	closed   bool           // told good-bye
	frozen   bool           // its process is stopped: what comes waits in its sockets
	runs     time.Time      // since when it is not, in this life
	waiting  []arrival
	turns    map[string]time.Time             // since it went on: when it comes to a stream that had waited
	calls    int                              // far ends that are being called
	asked    map[string]time.Time             // token -> when
	remote   map[string]func(parkd.Reason)    // tells a peer that its fetch is refused, by token
	answers  map[string]func(parkd.SlotState) // tells a peer that it is joined
}

var siteStart = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func newSite(seed uint64, names ...string) *site {
	s := &site{
		now: siteStart, rng: rand.New(rand.NewPCG(seed, 1)),
		cut: map[[2]string]bool{}, healed: map[[2]string]time.Time{}, held: map[[2]string][]func(){}, last: map[[2]string]time.Time{},
		fetched: map[string]int{}, outcomes: map[string]outcome{}, parked: map[parkd.LegID]bool{},
		far: map[string]*farEnd{}, invites: map[string]int{},
	}
	s.delay = func() time.Duration { return time.Duration(1+s.rng.IntN(4)) * time.Millisecond }
	for _, n := range names {
		s.nodes = append(s.nodes, &node{s: s, name: n})
	}
	for _, n := range s.nodes {
		n.start(uint64(1000))
	}
	return s
}

func (s *site) config(name string) Config {
	cfg := Default()
	cfg.Name = name
	for i, n := range s.nodes {
		if n.name != name {
			cfg.Peers = append(cfg.Peers, Peer{Name: n.name, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 5060)})
		}
	}
	return cfg
}

func (s *site) node(name string) *node {
	return s.nodes[slices.IndexFunc(s.nodes, func(n *node) bool { return n.name == name })]
}

func (s *site) after(d time.Duration, do func()) {
	s.serial++
	s.events = append(s.events, scheduled{s.now.Add(d), s.serial, do})
}

// send carries a message; do runs at the far end if it lives the same life then.
func (s *site) send(from, to *node, do func()) { s.carry(from, to, "", s.delay(), do) }

// carry is send for one stream of several that a link has, each with its own order.
func (s *site) carry(from, to *node, stream string, delay time.Duration, do func()) {
	link, life := [2]string{from.name, to.name}, to.life
	var arrive func()
	arrive = func() {
		if s.cut[link] { // repeated when the link is back, behind what was sent before
			s.held[link] = append(s.held[link], arrive)
			return
		}
		to.gets(life, from.name+stream, do)
	}
	at, last := s.now.Add(delay), [2]string{from.name, to.name + stream}
	if at.Before(s.last[last]) {
		at = s.last[last]
	}
	s.last[last] = at
	s.after(at.Sub(s.now), arrive)
}

func (s *site) setCut(a, b string, cut bool) {
	for _, link := range [][2]string{{a, b}, {b, a}} {
		if s.cut[link] && !cut {
			s.healed[link] = s.now
		}
		s.cut[link] = cut
		if !cut {
			held := s.held[link]
			s.held[link] = nil
			for _, arrive := range held {
				arrive()
			}
		}
	}
}

// run lets the site work for d.
func (s *site) run(d time.Duration) {
	end := s.now.Add(d)
	for {
		at, do := end, func() {}
		best := -1
		for i, e := range s.events {
			if !e.at.After(at) && (best < 0 || e.at.Before(at) || e.seq < s.events[best].seq) {
				at, do, best = e.at, e.do, i
			}
		}
		var due *node
		var timer string
		for _, n := range s.nodes {
			if n.life == 0 || n.frozen {
				continue
			}
			if !n.tickAt.IsZero() && n.tickAt.Before(at) {
				at, due, timer = n.tickAt, n, ""
			}
			for id, t := range n.timers {
				if t.Before(at) || t.Equal(at) && due == n && timer != "" && id < timer {
					at, due, timer = t, n, id
				}
			}
		}
		if at.After(s.now) {
			s.now = at
		}
		switch {
		case due != nil && timer != "":
			delete(due.timers, timer)
			due.park(parkd.Timer{ID: timer})
		case due != nil:
			due.tickAt = time.Time{}
			due.fed(Tick{})
		case best >= 0:
			s.events = slices.Delete(s.events, best, best+1)
			do()
		default:
			return
		}
	}
}

func (n *node) start(epoch uint64) {
	s := n.s
	s.serial++
	n.life = s.serial
	cfg := s.config(n.name)
	n.closed, n.frozen, n.runs, n.waiting, n.turns, n.calls = false, false, s.now, nil, nil, 0
	n.core = NewCore(cfg)
	pc := parkd.Default()
	pc.Escalation = []parkd.Step{{To: "reception", Ring: 10 * time.Second}}
	n.machine = parkd.New(pc, n.name, epoch)
	n.timers, n.tickAt = map[string]time.Time{}, time.Time{}
	n.watching, n.watchers, n.told = map[string]int{}, map[string]int{}, map[int]bool{}
	n.asked = map[string]time.Time{}
	n.remote, n.answers = map[string]func(parkd.Reason){}, map[string]func(parkd.SlotState){}
	for _, p := range cfg.Peers {
		n.park(parkd.Peer{Name: p.Name})
	}
	n.fed(Start{})
}

// kill is kill -9: the callers that it hosted are cut off, connections break.
func (n *node) kill() {
	for _, c := range n.machine.Hosted().Slots {
		delete(n.s.parked, c.Leg)
	}
	for _, f := range n.s.callers {
		f.talks = f.talks && f.host != n
	}
	n.life = 0
	for link := range n.s.held {
		if link[0] == n.name || link[1] == n.name {
			n.s.held[link] = nil
		}
	}
}

// gets does what a message to one of the lives of a process does: when it runs, and has come to that stream.
func (n *node) gets(life int, stream string, do func()) {
	switch {
	case n.life != life || life == 0:
	case n.frozen:
		n.waiting = append(n.waiting, arrival{stream, do})
	case n.turns[stream].After(n.s.now):
		n.s.after(n.turns[stream].Sub(n.s.now), func() { n.gets(life, stream, do) })
	default:
		do()
	}
}

// later is what comes to this life of a process in some time.
func (n *node) later(in time.Duration, stream string, do func()) {
	life := n.life
	n.s.after(in, func() { n.gets(life, stream, do) })
}

// thaw lets a frozen process go on: it has a goroutine for each socket and each timer, which come to their turns in any order.
func (n *node) thaw() {
	s := n.s
	n.frozen, n.runs = false, s.now
	turn := func() time.Duration { return time.Duration(s.rng.IntN(20)) * time.Millisecond }
	waiting := n.waiting
	n.waiting, n.turns = nil, map[string]time.Time{}
	for _, a := range waiting {
		if _, known := n.turns[a.stream]; !known {
			n.turns[a.stream] = s.now.Add(turn())
		}
		n.gets(n.life, a.stream, a.do)
	}
	awake := func(due time.Time) time.Time {
		if due.IsZero() || due.After(s.now) {
			return due
		}
		return s.now.Add(turn())
	}
	n.tickAt = awake(n.tickAt)
	for _, id := range slices.Sorted(maps.Keys(n.timers)) {
		n.timers[id] = awake(n.timers[id])
	}
}

func (n *node) fed(in Input) (r Reply) {
	for _, e := range n.core.Step(n.s.now, in) {
		n.effect(e, &r)
	}
	return r
}

func (n *node) effect(e Effect, r *Reply) {
	s := n.s
	switch e := e.(type) {
	case Reply:
		*r = e
	case Tell:
		n.posts(e.Peer)
	case RaiseSelf:
		n.posts(parkd.RaiseEpoch(e))
	case StandStill:
		n.posts(parkd.StoodStill(e))
	case Wake:
		n.tickAt = e.At
	case Decided:
		n.posts(parkd.ClaimResult{Token: e.Token, Orbit: e.Orbit, Granted: e.Granted, Reason: e.Reason})
	case Probe:
		to := s.node(e.Peer)
		s.send(n, to, func() { s.send(to, n, func() { n.fed(Heard{Peer: to.name}) }) })
	case Watch:
		s.serial++
		n.watching[e.Peer] = s.serial
		n.subscribe(s.node(e.Peer), s.serial)
	case Unwatch:
		delete(n.watching, e.Peer)
	case Dismiss:
		to, id := s.node(e.Peer), n.watchers[e.Peer]
		delete(n.watchers, e.Peer)
		s.carry(n, to, fmt.Sprint(" documents ", id), s.delay(), func() {
			if to.watching[n.name] == id && id != 0 {
				to.fed(Lost{Peer: n.name})
				s.serial++
				to.watching[n.name] = s.serial
				to.subscribe(n, s.serial)
			}
		})
	case Refresh:
		to, id := s.node(e.Peer), n.watching[e.Peer]
		s.send(n, to, func() {
			if to.watchers[n.name] == id && id != 0 {
				to.notify(n, id)
				return
			}
			s.send(to, n, func() { // 481: the agent makes a new dialog
				if n.watching[to.name] == id && id != 0 {
					s.serial++
					n.watching[to.name] = s.serial
					n.subscribe(to, s.serial)
				}
			})
		})
	case Ask:
		to := s.node(e.Peer)
		s.send(n, to, func() {
			to.fed(Heard{Peer: n.name})
			re := to.fed(Asked{Peer: n.name, Token: e.Token, Orbit: e.Orbit})
			s.send(to, n, func() {
				n.fed(Answered{Peer: to.name, Token: e.Token, Orbit: e.Orbit, Silent: re.Settling, Granted: re.Granted, Reason: re.Reason})
			})
		})
	case GiveBack:
		if e.Peer != "" {
			to := s.node(e.Peer)
			s.send(n, to, func() { to.fed(Returned{Peer: n.name, Token: e.Token, Orbit: e.Orbit}) })
		}
	case RaisePeer:
		to := s.node(e.Peer)
		s.send(n, to, func() { to.fed(Raised{Epoch: e.Epoch}) })
	}
}

// posts gives an input to the machine a little later, in order: the two have a goroutine each.
func (n *node) posts(in parkd.Input) {
	n.s.carry(n, n, " loop", time.Duration(n.s.rng.IntN(3))*time.Millisecond, func() { n.park(in) })
}

func (n *node) subscribe(to *node, id int) {
	n.s.send(n, to, func() {
		to.watchers[n.name] = id
		to.fed(Subscribed{Peer: n.name})
		to.notify(n, id)
	})
}

// notify sends the document as it is now, as a NOTIFY in that dialog.
func (n *node) notify(to *node, id int) {
	state, delay := n.machine.Hosted(), n.s.delay()
	if n.s.late != nil && n.told[id] { // a first one that is late is asked for again
		delay += n.s.late(n, to)
	}
	n.told[id] = true
	closed := n.closed || state.Leaving
	n.s.carry(n, to, fmt.Sprint(" documents ", id), delay, func() {
		if to.watching[n.name] == id {
			to.fed(Told{Peer: n.name, Closed: closed, State: state})
		}
	})
}

func (n *node) tellAll() {
	for _, to := range n.s.nodes {
		if id, ok := n.watchers[to.name]; ok {
			n.notify(to, id)
		}
	}
}

func (n *node) ask(in parkd.Input, token string) {
	n.asked[token] = n.s.now
	n.park(in)
}

func (n *node) finish(token string, o outcome) {
	if at, ok := n.asked[token]; ok {
		if _, twice := n.s.outcomes[token]; twice {
			n.s.fail("token %s has two outcomes", token)
		}
		o.took = n.s.now.Sub(at)
		n.s.outcomes[token] = o
	}
}

// park gives an input to the machine and carries its effects out. Phones and media work at once.
func (n *node) park(in parkd.Input) {
	s := n.s
	effects := n.machine.Step(s.now, in)
	n.fed(Known{n.machine.Known()})
	for _, e := range effects {
		switch e := e.(type) {
		case parkd.Claim:
			n.fed(Claim{Token: e.Token, Orbit: e.Orbit})
		case parkd.ReleaseClaim:
			n.fed(Release{Token: e.Token, Orbit: e.Orbit})
		case parkd.Announce:
			n.tellAll()
		case parkd.Committed:
			s.parked[e.Leg] = true
			n.finish(e.Token, outcome{ok: true, orbit: e.Orbit})
		case parkd.Refused:
			if back := n.remote[e.Token]; back != nil {
				delete(n.remote, e.Token)
				back(e.Reason)
			}
			n.finish(e.Token, outcome{reason: e.Reason})
		case parkd.HandToPhone:
			n.joined(e.Token, e.Slot)
		case parkd.Join:
			n.joined(e.Token, e.Slot)
		case parkd.FetchRemote:
			n.fetchRemote(e)
		case parkd.Rescue:
			n.rescue(e.Slot)
		case parkd.Stranded:
			s.stranded = append(s.stranded, n.name+" "+e.Slot.CallID)
		case parkd.Report:
			s.reports = append(s.reports, e.Row)
		case parkd.HangUp:
			leg := e.Leg
			n.later(0, "hang up", func() { n.park(parkd.LegEnded{Leg: leg}) })
		case parkd.SetTimer:
			n.timers[e.ID] = e.At
		case parkd.StopTimer:
			delete(n.timers, e.ID)
		}
	}
	s.watchLamps(n)
}

// joined: media is relayed; later, so that other inputs come between.
func (n *node) joined(token string, slot parkd.SlotState) {
	n.later(n.s.delay(), "media "+token, func() {
		if !n.s.parked[slot.Leg] {
			return
		}
		if answer := n.answers[token]; answer != nil {
			delete(n.answers, token)
			answer(slot) // 200 to a peer: the caller is its own when the ACK has come
			return
		}
		if n.hand(token, slot) {
			n.finish(token, outcome{ok: true, orbit: slot.Orbit})
		}
	})
}

// hand completes a fetch at the host, unless it has given up meanwhile.
func (n *node) hand(token string, slot parkd.SlotState) bool {
	for _, c := range n.machine.Hosted().Slots {
		if c.CallID == slot.CallID && c.State == parkd.Fetching && n.s.parked[slot.Leg] {
			n.s.fetched[slot.CallID]++
			n.s.leaves(n, slot)
			delete(n.s.parked, slot.Leg)
			delete(n.remote, token)
			n.park(parkd.JoinResult{Token: token, OK: true})
			return true
		}
	}
	return false
}

// fetchRemote is INVITE with Replaces to the host, its answer and the ACK. A fetcher that has given up
// answers 200 with ACK and BYE, which the host takes for a failed join.
func (n *node) fetchRemote(e parkd.FetchRemote) {
	s, host := n.s, n.s.node(e.Slot.Host)
	s.send(n, host, func() {
		token := s.id("remote")
		host.remote[token] = func(why parkd.Reason) {
			s.send(host, n, func() { n.park(parkd.JoinResult{Token: e.Token, Reason: why}) })
		}
		host.answers[token] = func(slot parkd.SlotState) {
			s.send(host, n, func() {
				if _, over := s.outcomes[e.Token]; over {
					s.send(n, host, func() { host.park(parkd.JoinResult{Token: token, Reason: parkd.ReasonGone}) })
					return
				}
				s.leaves(n, slot)
				res := parkd.JoinResult{Token: e.Token, OK: true}
				if e.Fetcher != "" {
					res.Leg = parkd.LegID(token)
				}
				n.park(res)
				n.finish(e.Token, outcome{ok: true, orbit: slot.Orbit})
				s.send(n, host, func() { host.hand(token, slot) })
			})
		}
		host.park(parkd.Fetch{Token: token, Leg: parkd.LegID(token), CallID: e.Slot.CallID})
	})
}

func (s *site) id(kind string) string {
	s.serial++
	return fmt.Sprintf("%s%d", kind, s.serial)
}

// disagreement says where two live appliances, or an appliance and the truth, differ.
func (s *site) disagreement() string {
	truth := map[string][]string{}
	for _, n := range s.nodes {
		if n.life != 0 {
			for _, c := range n.machine.Hosted().Slots {
				truth[c.Orbit] = append(truth[c.Orbit], c.CallID+" "+c.State.String())
			}
		}
	}
	for _, n := range s.nodes {
		if n.life == 0 {
			continue
		}
		for _, v := range n.machine.Orbits() {
			var seen []string
			for _, c := range v.Calls {
				if !c.Unknown {
					seen = append(seen, c.CallID+" "+c.State.String())
				}
			}
			want := slices.Sorted(slices.Values(truth[v.Orbit]))
			if !slices.Equal(slices.Sorted(slices.Values(seen)), want) {
				return fmt.Sprintf("%s sees %v in %s, the truth is %v", n.name, seen, v.Orbit, want)
			}
			unknown := len(v.Calls) > len(seen)
			if dead := slices.ContainsFunc(s.nodes, func(o *node) bool { return o.life == 0 }); unknown && !dead {
				return fmt.Sprintf("%s: %s holds unknown calls, and everybody lives", n.name, v.Orbit)
			}
			if len(want) > 0 && (v.State == parkd.ViewFree || v.State == parkd.ViewUnknown) {
				return fmt.Sprintf("%s: %s is %v and holds %v", n.name, v.Orbit, v.State, want)
			}
		}
	}
	return ""
}
