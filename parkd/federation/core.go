package federation

import (
	"slices"
	"time"

	"parklamp/parkd"
)

// Input is something that happened to the core.
type Input interface{ input() }

// Start is the first input: it asks all peers.
type Start struct{}

// Tick says that time has passed; see Wake.
type Tick struct{}

// Heard says that a peer has answered or asked something: it lives.
type Heard struct{ Peer string }

// Told is a peer's document.
type Told struct {
	Peer   string
	Closed bool // it is going down
	State  parkd.Announce
}

// Lost says that the subscription to a peer has ended; the agent tries to get it back.
type Lost struct{ Peer string }

// Subscribed says that a peer has made a new subscription here: it may be a new process.
type Subscribed struct{ Peer string }

// Known is what parkd knows of all calls now, those of this appliance and those of the peers: by that claims are decided.
type Known struct{ parkd.Known }

// Claim asks for an orbit on behalf of this appliance; Decided answers.
type Claim struct {
	Token string
	Orbit string
}

// Release gives a claim back, decided or not. An open one is not decided any more.
type Release struct {
	Token string
	Orbit string
}

// Asked is a peer's claim; Reply answers, in the same step.
type Asked struct {
	Peer  string
	Token string
	Orbit string
}

// Returned says that a peer gives back its claim.
type Returned struct {
	Peer  string
	Token string
	Orbit string
}

// Answered is an arbiter's answer to Ask.
type Answered struct {
	Peer    string
	Token   string
	Orbit   string
	Silent  bool // no answer, or none that decides: pass it over
	Granted bool
	Reason  parkd.Reason
}

// Moved says that this appliance has another address, or its link or its route is back.
type Moved struct{}

// Slept says that the machine was suspended: by the clock that the times are of, it was not.
type Slept struct{}

// Raised says that a peer remembers a later epoch of this appliance.
type Raised struct{ Epoch uint64 }

// Effect is something that the shell has to do.
type Effect interface{ effect() }

// Tell gives news of a peer to parkd, which keeps what its documents say; Known answers.
type Tell struct{ Peer parkd.Peer }

// Silent says that a peer has not been heard for DeadAfter.
type Silent struct{ Peer string }

// Probe asks a peer for a sign of life.
type Probe struct{ Peer string }

// Watch makes a new subscription to a peer, in the place of an earlier one.
type Watch struct{ Peer string }

// Unwatch ends the subscription to a peer.
type Unwatch struct{ Peer string }

// Dismiss ends the subscription that a peer has here: it makes a new one when it is back, and hears of nothing before.
type Dismiss struct{ Peer string }

// Refresh asks for full state in the subscription that there is.
type Refresh struct{ Peer string }

// Ask sends a claim to an arbiter; Answered answers.
type Ask struct {
	Peer  string
	Token string
	Orbit string
}

// GiveBack tells an arbiter that a claim is not used.
type GiveBack struct {
	Peer  string
	Token string
	Orbit string
}

// Decided ends a claim of this appliance.
type Decided struct {
	Token   string
	Orbit   string
	Granted bool
	Reason  parkd.Reason
}

// Reply answers Asked. Settling means that this appliance has just started and does not know enough.
type Reply struct {
	Granted  bool
	Settling bool
	Reason   parkd.Reason
}

// RaisePeer tells a peer that its epoch must be above this one.
type RaisePeer struct {
	Peer  string
	Epoch uint64
}

// RaiseSelf tells parkd that the epoch must be above this one.
type RaiseSelf struct{ Epoch uint64 }

// StandStill tells parkd that this process has stood still: what peers have said meanwhile is not read yet.
type StandStill struct{}

// Wake asks for a Tick at that time; it replaces an earlier one.
type Wake struct{ At time.Time }

func (Start) input()      {}
func (Tick) input()       {}
func (Heard) input()      {}
func (Told) input()       {}
func (Lost) input()       {}
func (Subscribed) input() {}
func (Known) input()      {}
func (Claim) input()      {}
func (Release) input()    {}
func (Asked) input()      {}
func (Returned) input()   {}
func (Answered) input()   {}
func (Moved) input()      {}
func (Slept) input()      {}
func (Raised) input()     {}

func (Tell) effect()       {}
func (Silent) effect()     {}
func (Probe) effect()      {}
func (Watch) effect()      {}
func (Unwatch) effect()    {}
func (Dismiss) effect()    {}
func (Refresh) effect()    {}
func (Ask) effect()        {}
func (GiveBack) effect()   {}
func (Decided) effect()    {}
func (Reply) effect()      {}
func (RaisePeer) effect()  {}
func (RaiseSelf) effect()  {}
func (StandStill) effect() {}
func (Wake) effect()       {}

// Core decides: who lives, whose word is newest, who gets an orbit. Pure; owned by one goroutine.
type Core struct {
	cfg   Config   // immutable
	names []string // immutable: all appliances, this one first

	started time.Time // or went on after a standstill: it knows as little then
	peers   []*peer   // in the order of the configuration
	known   parkd.Known
	claims  []*claim         // ours, not decided, in the order of asking
	grants  map[string]grant // by orbit: what this appliance gave away as arbiter
	won     map[string]won   // by orbit: what others granted us, while they may still keep it

	// of the present step
	now    time.Time
	out    []Effect
	wakeAt time.Time
	missed time.Time // the Tick by which a standstill was last found
}

// peer is one other appliance.
type peer struct {
	name              string
	heard             time.Time // last sign of life; zero: never, or given up
	spoke             time.Time // last time that anything came of it, claims included
	silentAt          time.Time // when it was found last that it had been silent, or is; see Quiet
	probeAt           time.Time
	watched           time.Time // when the subscription was made; zero: there is none
	synced            bool      // its document has come since it was last lost
	awaited           bool      // it may host what is not known here since Core.started; see settling
	closed            bool      // it said that it is going down
	told              bool      // parkd knows it as alive
	lostAt            time.Time // subscription lost, the state still believed for a moment
	silent            time.Time // when a peer that was never heard is called silent; zero: it was heard
	epoch, generation uint64    // of its last document
}

// claim is a claim of ours that is being asked around.
type claim struct {
	token, orbit string
	tried        []string // appliances asked, the last one being the present
	asked        time.Time
	until        time.Time
}

// grant is what an arbiter keeps for a claimant until its document shows the call.
type grant struct {
	peer, token string
	until       time.Time
}

// won remembers who granted us an orbit.
type won struct {
	peer, token string
	until       time.Time
}

// The limits of the claim tables: more than a lot has orbits, more than an appliance parks.
const (
	maxGrants = 1000
	maxClaims = 10000
)

// NewCore returns the core for a valid configuration.
func NewCore(cfg Config) *Core {
	c := &Core{cfg: cfg, names: []string{cfg.Name}, grants: make(map[string]grant), won: make(map[string]won)}
	for _, p := range cfg.Peers {
		c.names = append(c.names, p.Name)
		c.peers = append(c.peers, &peer{name: p.Name, awaited: true})
	}
	return c
}

// Step takes one input and returns what is to be done, in order.
func (c *Core) Step(now time.Time, in Input) []Effect {
	c.now, c.out = now, nil
	if !c.wakeAt.IsZero() && c.wakeAt != c.missed && now.Sub(c.wakeAt) >= parkd.Standstill {
		c.missed = c.wakeAt
		c.stoodStill(now.Sub(c.wakeAt) >= c.cfg.DeadAfter)
	}
	switch in := in.(type) {
	case Start:
		c.start()
	case Tick:
		c.tick()
	case Heard:
		c.withPeer(in.Peer, c.heard)
	case Told:
		c.withPeer(in.Peer, func(p *peer) { c.told(p, in) })
	case Lost:
		c.withPeer(in.Peer, c.lost)
	case Subscribed:
		c.withPeer(in.Peer, c.subscribed)
	case Known:
		c.knows(in.Known)
	case Claim:
		c.ask(&claim{token: in.Token, orbit: in.Orbit})
	case Release:
		c.release(in)
	case Asked:
		c.withPeer(in.Peer, c.spoke)
		c.emit(c.arbitrate(in.Peer, in.Token, in.Orbit))
	case Returned:
		if g, ok := c.grants[in.Orbit]; ok && g.peer == in.Peer && g.token == in.Token {
			delete(c.grants, in.Orbit)
		}
	case Answered:
		if !in.Silent {
			c.withPeer(in.Peer, c.spoke)
		}
		c.answered(in)
	case Moved:
		c.moved()
	case Slept:
		c.stoodStill(true)
	case Raised:
		c.emit(RaiseSelf(in))
	}
	c.wake()
	out := c.out
	c.out = nil
	return out
}

func (c *Core) withPeer(name string, f func(*peer)) {
	if i := slices.IndexFunc(c.peers, func(p *peer) bool { return p.name == name }); i >= 0 {
		f(c.peers[i])
	}
}

func (c *Core) emit(e Effect) { c.out = append(c.out, e) }

// wake asks for the next Tick, if that has changed.
func (c *Core) wake() {
	var at time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, p := range c.peers {
		earlier(p.probeAt)
		if !p.heard.IsZero() {
			earlier(p.heard.Add(c.cfg.DeadAfter))
		}
		if !p.lostAt.IsZero() {
			earlier(p.lostAt.Add(c.cfg.DeadAfter))
		}
		earlier(p.silent)
	}
	for _, q := range c.claims {
		earlier(q.until)
	}
	if !at.Equal(c.wakeAt) && !at.IsZero() {
		c.wakeAt = at
		c.emit(Wake{At: at})
	}
}
