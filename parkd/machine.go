package parkd

import (
	"slices"
	"strconv"
	"time"
)

// Machine is the orbit machine of one appliance. Not safe for use by several goroutines.
type Machine struct {
	cfg  Config // immutable
	host string // immutable

	epoch      uint64
	generation uint64
	serial     uint64 // of call ids and recall tokens

	legs    map[LegID]*call      // parked or about to be, by the caller's leg
	hosted  []*call              // committed, in the order of their commit
	pending []*call              // claiming or waiting, in the order of their Park
	open    map[string]*request  // by token
	fetcher map[LegID]*request   // open fetches by the fetcher's leg
	pairs   map[LegID]LegID      // joined after a fetch, both directions
	peers   []*peer              // in the order of first sight
	avoid   map[string]time.Time // orbits just lost to a peer, until when
	rescues []*rescue            // calls of dead peers, in the order in which they were found
	settled []fact               // what became of them, oldest first; at most maxSettled, none older than factsFor
	dueAt   time.Time            // when mirrorsTimer is; zero: it does not run
	leaving bool                 // see Leave
	closing bool                 // see Close
	woke    time.Time            // when it was found last that this process had stood still; see late

	// of the present Step
	now     time.Time
	out     []Effect
	touched []string
}

// call is a leg on its way into an orbit or in it.
type call struct {
	SlotState
	want    string    // orbit asked for, "" lowest free
	orphan  bool      // the parker is gone: must not be refused
	tried   []string  // orbits lost so far
	park    *request  // open until committed or refused
	fetch   *request  // in Fetching
	recall  string    // token of the recall that rings or was answered
	from    State     // in Fetching: the state to go back to
	timerAt time.Time // when this call's timer is due; zero: none
	earlier bool      // peers may have heard of it in an earlier epoch only: they are told when it ends
	begun   time.Time // when it was parked, if that was in this life and here: by this process's clock, as Since may not be
	leftAt  time.Time // in Moving: when the caller left
	left    End       // in Moving: how that looked
	over    bool      // in Moving: reported, and nobody waits any more
	doubt   bool      // in Moving: LegEnded's
}

// request is one open token.
type request struct {
	token  string
	leg    LegID // caller's for a Park, fetcher's for a fetch; "" is the desk phone
	call   *call // nil for a fetch from a peer
	remote SlotState
}

type peer struct {
	mirror
	taken     []string // call ids fetched from it that it may still list as being fetched
	leaving   bool
	changedAt time.Time // when it was found alive, or dead, last
	downAt    time.Time // when it was found dead last
	forgetAt  time.Time
}

// New returns a machine for the appliance of that name, which no other of the federation has. epoch
// must be greater than in any earlier life of the appliance: Unix nanoseconds at start will do, and
// RaiseEpoch repairs it where the clock went back.
func New(cfg Config, host string, epoch uint64) *Machine {
	return &Machine{
		cfg: cfg, host: host, epoch: epoch,
		legs:    make(map[LegID]*call),
		open:    make(map[string]*request),
		fetcher: make(map[LegID]*request),
		pairs:   make(map[LegID]LegID),
		avoid:   make(map[string]time.Time),
	}
}

// Step takes one input and returns what is to be done, in order.
func (m *Machine) Step(now time.Time, in Input) []Effect {
	m.now, m.out, m.touched = now, nil, nil
	if !m.dueAt.IsZero() {
		m.late(m.dueAt)
	}
	m.dispatch(in)
	m.wakeWaiting()
	if len(m.touched) > 0 {
		slices.Sort(m.touched)
		m.emit(Changed{Orbits: slices.Compact(m.touched)})
	}
	out := m.out
	m.out, m.touched = nil, nil
	return out
}

func (m *Machine) dispatch(in Input) {
	switch in := in.(type) {
	case Park:
		m.parkAsked(in)
	case Fetch:
		m.fetchAsked(in)
	case Undo:
		m.undoAsked(in)
	case ClaimResult:
		m.claimAnswered(in)
	case JoinResult:
		m.byToken(in.Token, in)
	case ParkerGone:
		m.byToken(in.Token, in)
	case Abort:
		m.byToken(in.Token, in)
	case LegEnded:
		m.legEnded(in)
	case Swap:
		m.swapAsked(in)
	case CallerChanged:
		m.byLeg(in.Leg, in)
	case DialogChanged:
		m.byLeg(in.Leg, in)
	case RescueResult:
		m.rescueAnswered(in)
	case Leave:
		m.leaving = true
		m.announce()
	case RecallProgress:
		m.byRecall(in.Token, in)
	case RecallAnswered:
		m.recallAnswered(in)
	case RecallFailed:
		m.byRecall(in.Token, in)
	case Peer:
		m.peerTold(in)
	case StoodStill:
		m.woke = m.now
	case Timer:
		m.timer(in)
	case Restore:
		m.restore(in)
	case Close:
		m.closeDown()
	case RaiseEpoch:
		if !m.raiseEpoch(in.Epoch) {
			m.ignore(nil, in)
			return
		}
		for _, c := range m.hosted {
			c.Epoch, c.earlier = m.epoch, true
		}
		m.announce()
	default:
		m.ignore(nil, in)
	}
}

// raiseEpoch makes the epoch greater than one of an earlier life, and reports whether that was needed and possible.
func (m *Machine) raiseEpoch(above uint64) bool {
	const step = 1 << 20
	if above < m.epoch || above > ^uint64(0)-2*step {
		return false
	}
	// Not just one more: another life may have been raised from there, told by a peer that the one
	// who asks now has not heard. What the clock said at start tells the lives apart.
	m.epoch = above + 1 + m.epoch%step
	return true
}

// stepCall gives an input to the call that it is about.
func (m *Machine) stepCall(c *call, in Input) {
	switch c.State {
	case Waiting, Claiming:
		m.inClaiming(c, in)
	case Parked, Ending:
		m.inParked(c, in)
	case Recalling:
		m.inRecalling(c, in)
	case Fetching:
		m.inFetching(c, in)
	case Moving:
		m.inMoving(c, in)
	default:
		m.ignore(c, in)
	}
}

func (m *Machine) byToken(token string, in Input) {
	r := m.open[token]
	switch {
	case r == nil:
		m.lateAnswer(in)
	case r.call == nil:
		m.inRemote(r, in)
	default:
		m.stepCall(r.call, in)
	}
}

// lateAnswer takes what came after its token was closed. A leg that was made meanwhile has no owner.
func (m *Machine) lateAnswer(in Input) {
	if j, ok := in.(JoinResult); ok && j.OK && j.Leg != "" {
		m.emit(HangUp{Leg: j.Leg, Reason: "fetch came too late"})
	}
	m.ignore(nil, in)
}

func (m *Machine) byLeg(leg LegID, in Input) {
	if c := m.legs[leg]; c != nil {
		m.stepCall(c, in)
		return
	}
	m.ignore(nil, in)
}

func (m *Machine) byRecall(token string, in Input) {
	for _, c := range m.hosted {
		if c.recall == token && token != "" {
			m.stepCall(c, in)
			return
		}
	}
	m.ignore(nil, in)
}

// legEnded clears everything that knows the leg: an orbit, a fetch under way, a pair.
func (m *Machine) legEnded(in LegEnded) {
	known := false
	if other, ok := m.pairs[in.Leg]; ok {
		known = true
		delete(m.pairs, in.Leg)
		delete(m.pairs, other)
		if c := m.legs[other]; c != nil && (c.State == Claiming || c.State == Waiting) {
			// The parker sent REFER and hung up before the claim was answered.
			m.stepCall(c, ParkerGone{Token: c.park.token})
		} else {
			m.emit(HangUp{Leg: other, Reason: "the other side hung up"})
		}
	}
	if c := m.legs[in.Leg]; c != nil {
		known = true
		m.stepCall(c, in)
	}
	if r := m.fetcher[in.Leg]; r != nil {
		known = true
		if r.call == nil {
			m.inRemote(r, in)
		} else {
			m.stepCall(r.call, in)
		}
	}
	if !known {
		m.ignore(nil, in)
	}
}

// news is what a hosted call takes in any state: who the caller is, and how the dialog goes on.
func (m *Machine) news(c *call, in Input) {
	switch in := in.(type) {
	case CallerChanged:
		c.take(in)
	case DialogChanged:
		c.Dialog = in.Dialog
	default:
		m.ignore(c, in)
		return
	}
	m.changed(c)
}

func (m *Machine) timer(in Timer) {
	for _, cs := range [][]*call{m.pending, m.hosted} {
		for _, c := range cs {
			if in.ID == c.timerID() {
				if c.timerAt.IsZero() || m.now.Before(c.timerAt) {
					m.ignore(c, in) // it was set anew after this one had left
					return
				}
				m.late(c.timerAt)
				c.timerAt = time.Time{}
				m.stepCall(c, in)
				return
			}
		}
	}
	for _, p := range m.peers {
		if in.ID == p.timerID() {
			m.peerForgotten(p, in)
			return
		}
	}
	for _, r := range m.rescues {
		if in.ID == r.timerID() {
			m.rescueDue(r, in)
			return
		}
	}
	if in.ID == mirrorsTimer {
		m.expire(in)
		return
	}
	if r := m.openFetch(in.ID); r != nil {
		m.inRemote(r, in)
		return
	}
	m.ignore(nil, in)
}

// Standstill is how late a timer comes at least if this process, or its machine, has stood still.
const Standstill = time.Second

// late takes note that a timer comes later than it was due: the words that came meanwhile may wait unread, and what was given the
// time to be told was not.
func (m *Machine) late(due time.Time) {
	if m.now.Sub(due) >= Standstill {
		m.woke = m.now
	}
}

// waking says whether words that came while this process stood still may be unread.
func (m *Machine) waking() bool { return !m.woke.IsZero() && m.now.Sub(m.woke) < LateWord }

func (m *Machine) openFetch(timerID string) *request {
	const prefix = "fetch:"
	if len(timerID) <= len(prefix) || timerID[:len(prefix)] != prefix {
		return nil
	}
	if r := m.open[timerID[len(prefix):]]; r != nil && r.call == nil {
		return r
	}
	return nil
}

func (c *call) timerID() string {
	if c.CallID == "" {
		return "park:" + c.park.token
	}
	return "call:" + c.CallID
}

func (p *peer) timerID() string { return "peer:" + p.Name }

// mirrorsTimer is the timer of what waits for a peer's word; see mirrors.due.
const mirrorsTimer = "peers"

func (r *request) timerID() string { return "fetch:" + r.token }

// setTimer arms the one timer of a call.
func (m *Machine) setTimer(c *call, at time.Time) {
	c.timerAt = at
	m.emit(SetTimer{ID: c.timerID(), At: at})
}

func (m *Machine) stopTimer(c *call) {
	if !c.timerAt.IsZero() {
		c.timerAt = time.Time{}
		m.emit(StopTimer{ID: c.timerID()})
	}
}

// refuse closes a token.
func (m *Machine) refuse(token string, leg LegID, orbit string, why Reason) {
	m.close(token)
	m.emit(Refused{Token: token, Leg: leg, Orbit: orbit, Reason: why})
}

func (m *Machine) close(token string) {
	if r := m.open[token]; r != nil {
		delete(m.open, token)
		if m.fetcher[r.leg] == r {
			delete(m.fetcher, r.leg)
		}
	}
}

// changed stamps a slot and announces it.
func (m *Machine) changed(c *call) {
	c.Epoch, c.Generation = m.epoch, m.generation+1
	m.announce()
	m.touched = append(m.touched, c.Orbit)
}

func (m *Machine) announce() {
	m.settled = slices.DeleteFunc(m.settled, func(f fact) bool { return m.now.Sub(f.since) > m.factsFor() })
	m.generation++
	m.emit(m.Hosted())
}

func (m *Machine) emit(e Effect) { m.out = append(m.out, e) }

func (m *Machine) ignore(c *call, in Input) {
	var s State
	if c != nil {
		s = c.State
	}
	m.emit(Ignored{State: s, Input: in})
}

func (m *Machine) nextSerial() string {
	m.serial++
	return strconv.FormatUint(m.serial, 10)
}

func remove(cs []*call, c *call) []*call {
	if i := slices.Index(cs, c); i >= 0 {
		return slices.Delete(cs, i, i+1)
	}
	return cs
}
