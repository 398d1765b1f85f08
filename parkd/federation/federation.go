package federation

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/parkd"
	"parklamp/sip"
	"parklamp/sip/event"
	"parklamp/sip/event/pidf"
)

// Fault is what is wrong with the federation, for people.
type Fault struct {
	Text, Hint string // what happened; what to do
}

func (f *Fault) Error() string { return "federation: " + f.Text + ": " + f.Hint }

// Faults. OnHealth and OnSize tell them, wrapped where more is known.
var (
	// ErrSilent means that a peer does not answer.
	ErrSilent error = &Fault{"peer does not answer", "is it powered, connected, and is this its address?"}
	// ErrRefused means that a peer answers and does not take this appliance for a peer.
	ErrRefused error = &Fault{"peer refuses", "does its list of peers have this appliance, with this name and address?"}
	// ErrUnproved means that a peer does not prove by the site's certificate who it is.
	ErrUnproved error = &Fault{"peer does not prove that it is one", "has it a certificate of this site, for this name, that has not ended?"}
	// ErrStranger means that what answers at a peer's address is not that peer.
	ErrStranger error = &Fault{"another appliance answers", "do name and address of this peer belong together?"}
	// ErrCrowded means that what this appliance hosts does not fit into one message.
	ErrCrowded error = &Fault{"more calls are parked here than one message tells, and the peers go on showing what they heard last", "set lot.max_calls to 500 or less, and park at other appliances too"}
)

const (
	presence   = "presence"
	claimEvent = "parklamp-claim" // our own event package: PUBLISH only, a claim is not presence

	// maxRequests bounds the requests that wait for an answer, maxProbes those to one peer: a link
	// that is dead holds each for 32 s.
	maxRequests = 1024
	maxProbes   = 5
	// lateAnswer is how long a claim's answer is of use: to give a late grant back.
	lateAnswer = 2 * time.Second
	// maxDocument is what a message has room for, besides its header fields, where sip.max_message_bytes is as it is by default.
	maxDocument = 65535 - 2048
)

// Callbacks are called one at a time, from Run's goroutine; they must not block. Each may be nil.
type Callbacks struct {
	OnPeer   func(parkd.Peer)             // for parkd's machine, which is told before that whom to expect
	OnRaise  func(parkd.RaiseEpoch)       // for parkd's machine
	OnStill  func(parkd.StoodStill)       // for parkd's machine
	OnHealth func(peer string, err error) // ErrSilent, ErrRefused, ErrStranger or another; nil: it is well
	OnSize   func(err error)              // ErrCrowded; nil: what is hosted here can be told again
}

// Federation is this appliance's part in the site. Its methods may be called from any goroutine.
type Federation struct {
	// immutable
	cfg       Config
	ep        *sip.Endpoint
	agent     *event.Agent
	log       *slog.Logger
	cb        Callbacks
	wake      chan struct{}        // capacity 1; full: Run is woken already
	suspended func() time.Duration // for how long the machine was, in all

	mu       sync.Mutex // guards everything below
	core     *Core
	pending  []Effect                          // bounded by what the core emits; taken by Run
	waiting  map[Claim]func(parkd.ClaimResult) // at most maxClaims
	doc      []byte                            // what peers are told
	measured bool                              // whether it is too long is known
	crowded  bool                              // it is
	local    parkd.Announce
	closing  bool
	slept    time.Duration // what suspended said last

	// owned by Run
	links    map[string]*link
	requests sync.WaitGroup
	slots    chan struct{} // capacity maxRequests; full: not sent
	tickAt   time.Time
}

// link is the way to one peer. Owned by Run, but for probes.
type link struct {
	peer   Peer
	sub    *event.Subscription
	fault  error         // last told to OnHealth
	probes chan struct{} // capacity maxProbes; full: no further probe
}

// New returns a federation for a valid configuration. It registers the presence package and the claims
// on the agent, which must not run yet, and starts nothing.
func New(cfg Config, ep *sip.Endpoint, agent *event.Agent, log *slog.Logger, cb Callbacks) *Federation {
	f := &Federation{
		cfg: cfg, ep: ep, agent: agent, log: log, cb: cb, suspended: suspended, slept: suspended(),
		wake:    make(chan struct{}, 1),
		core:    NewCore(cfg),
		waiting: make(map[Claim]func(parkd.ClaimResult)),
		links:   make(map[string]*link),
		slots:   make(chan struct{}, maxRequests),
	}
	for _, p := range cfg.Peers {
		f.links[p.Name] = &link{peer: p, probes: make(chan struct{}, maxProbes)}
	}
	f.doc = marshal(cfg.Name, f.local, false)
	agent.Serve(event.Package{
		Name: presence, ContentType: pidf.ContentType, Min: time.Minute, Max: time.Hour, Expires: cfg.Refresh,
		Document: f.document, Authorize: f.authorize,
	})
	agent.OnPublish(claimEvent, f.published)
	return f
}

// Run takes part until ctx ends; peers are then told that the appliance is going down. It must end
// before the agent's Run. It waits for the endpoint to be ready.
func (f *Federation) Run(ctx context.Context) error {
	select {
	case <-f.ep.Ready():
	case <-ctx.Done():
		return nil
	}
	f.step(Start{})
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		for _, e := range f.take() {
			f.carryOut(ctx, e)
		}
		var due <-chan time.Time
		if !f.tickAt.IsZero() {
			timer.Reset(time.Until(f.tickAt))
			due = timer.C
		}
		select {
		case <-f.wake:
		case <-due:
			f.tickAt = time.Time{}
			f.step(Tick{})
		case <-ctx.Done():
			f.close()
			f.requests.Wait()
			return nil
		}
	}
}

// SetLocal publishes what this appliance hosts, as parkd announced it.
func (f *Federation) SetLocal(a parkd.Announce) {
	f.mu.Lock()
	f.local = a
	f.doc = marshal(f.cfg.Name, a, f.closing)
	f.measured = false
	f.mu.Unlock()
	f.agent.Changed(presence, f.cfg.Name)
}

// Know takes what parkd knows of all calls, after each of its steps and before anybody is told what has changed.
func (f *Federation) Know(k parkd.Known) { f.step(Known{k}) }

// AddressChanged connects to every peer anew, at once: this appliance has another address, or its network is back.
func (f *Federation) AddressChanged() { f.step(Moved{}) }

// Claim asks the federation for an orbit. done is called once, from Run's goroutine, unless Release
// comes first: at once when this appliance is the arbiter or alone, else within ClaimWait for each
// arbiter that is silent.
func (f *Federation) Claim(token, orbit string, done func(parkd.ClaimResult)) {
	f.mu.Lock()
	f.waiting[Claim{Token: token, Orbit: orbit}] = done
	f.mu.Unlock()
	f.step(Claim{Token: token, Orbit: orbit})
}

// Release gives a claim back, also one that is not decided yet.
func (f *Federation) Release(token, orbit string) {
	f.mu.Lock()
	delete(f.waiting, Claim{Token: token, Orbit: orbit})
	f.mu.Unlock()
	f.step(Release{Token: token, Orbit: orbit})
}

// Quiet is Core's.
func (f *Federation) Quiet() bool {
	f.mu.Lock()
	f.wakeUp()
	quiet := f.core.Quiet(time.Now())
	more := len(f.pending) > 0
	f.mu.Unlock()
	if more {
		f.rouse()
	}
	return quiet
}

// PeerURI is where a peer is reached, for INVITEs that fetch its calls.
func (f *Federation) PeerURI(name, user string) (gosip.Uri, bool) {
	l := f.links[name]
	if l == nil {
		return gosip.Uri{}, false
	}
	return f.uriAt(user, l.peer.Address), true
}

// peerOf reports which peer sent a request, going by the user of its From and by what shows who sent it.
func (f *Federation) peerOf(user string, source netip.Addr, proved []string) (name string, ok bool) {
	return user, slices.ContainsFunc(f.cfg.From(source, proved), func(p Peer) bool { return p.Name == user })
}

func (f *Federation) uriAt(user string, at netip.AddrPort) gosip.Uri {
	u := gosip.Uri{Scheme: "sip", User: user, Host: sip.Host(at.Addr()), Port: int(at.Port()), UriParams: gosip.NewParams()}
	// Documents exceed what UDP carries, and a connection shows that the peer is alive.
	u.UriParams.Add("transport", f.cfg.Transport())
	return u
}

func (f *Federation) from() gosip.Uri {
	return gosip.Uri{Scheme: "sip", User: f.cfg.Name, Host: "parklamp.invalid"}
}

// step gives an input to the core. A reply comes back; the rest is left to Run.
func (f *Federation) step(in Input) (reply Reply) {
	f.mu.Lock()
	f.wakeUp()
	for _, e := range f.core.Step(time.Now(), in) {
		if r, ok := e.(Reply); ok {
			reply = r
			continue
		}
		f.pending = append(f.pending, e)
	}
	more := len(f.pending) > 0
	f.mu.Unlock()
	if more {
		f.rouse()
	}
	return reply
}

// rouse has Run carry out what is pending.
func (f *Federation) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *Federation) take() []Effect {
	f.mu.Lock()
	defer f.mu.Unlock()
	es := f.pending
	f.pending = nil
	return es
}

func (f *Federation) carryOut(ctx context.Context, e Effect) {
	switch e := e.(type) {
	case Tell:
		f.tell(e.Peer)
	case Probe:
		f.probe(ctx, f.links[e.Peer])
	case Watch:
		f.watch(f.links[e.Peer])
	case Unwatch:
		f.unwatch(f.links[e.Peer])
	case Dismiss:
		f.dismiss(e.Peer)
	case Refresh:
		if l := f.links[e.Peer]; l.sub != nil {
			l.sub.Refresh()
		}
	case Ask:
		f.askFor(ctx, e)
	case GiveBack:
		if l := f.links[e.Peer]; l != nil {
			f.publish(ctx, l, -1, marshalClaim(f.cfg.Name, wordRelease, e.Token, e.Orbit), nil)
		}
	case RaisePeer:
		f.log.Warn("peer started with an epoch of the past: was its clock set back?", "peer", e.Peer, "epoch", e.Epoch)
		f.publish(ctx, f.links[e.Peer], -1, marshalRaise(f.cfg.Name, e.Epoch), nil)
	case RaiseSelf:
		if f.cb.OnRaise != nil {
			f.cb.OnRaise(parkd.RaiseEpoch(e))
		}
	case StandStill:
		if f.cb.OnStill != nil {
			f.cb.OnStill(parkd.StoodStill(e))
		}
	case Decided:
		key := Claim{Token: e.Token, Orbit: e.Orbit}
		f.mu.Lock()
		done := f.waiting[key]
		delete(f.waiting, key)
		f.mu.Unlock()
		if done != nil {
			done(parkd.ClaimResult{Token: e.Token, Orbit: e.Orbit, Granted: e.Granted, Reason: e.Reason})
		}
	case Silent:
		f.health(f.links[e.Peer], ErrSilent)
	case sized:
		var err error
		if e.crowded {
			err = ErrCrowded
			f.log.Warn("peers are not told what is parked here", "err", err)
		}
		if f.cb.OnSize != nil {
			f.cb.OnSize(err)
		}
	case faulty:
		f.health(f.links[e.peer], e.err)
	case Wake:
		f.tickAt = e.At
	}
}

func (f *Federation) tell(p parkd.Peer) {
	if p.Alive {
		f.health(f.links[p.Name], nil)
	}
	if f.cb.OnPeer != nil {
		f.cb.OnPeer(p)
	}
}

func (f *Federation) health(l *link, err error) {
	if (err == nil) == (l.fault == nil) && (err == nil || err.Error() == l.fault.Error()) {
		return
	}
	l.fault = err
	if err == nil {
		f.log.Info("peer is well", "peer", l.peer.Name)
	} else {
		f.log.Warn("peer is not in reach", "peer", l.peer.Name, "err", err)
	}
	if f.cb.OnHealth != nil {
		f.cb.OnHealth(l.peer.Name, err)
	}
}

// measure looks whether the document is too long for a message, once for each. f.mu is held.
func (f *Federation) measure() {
	if f.measured {
		return
	}
	f.measured = true
	if long := len(f.doc) > maxDocument && event.PackedSize(f.doc) > maxDocument; long != f.crowded {
		f.crowded = long
		f.pending = append(f.pending, sized{long})
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// fault leaves news for OnHealth to Run.
func (f *Federation) fault(name string, err error) {
	f.mu.Lock()
	f.pending = append(f.pending, faulty{peer: name, err: err})
	f.mu.Unlock()
}

// faulty is the shell's own effect: a peer that answers, and not as it should.
type faulty struct {
	peer string
	err  error
}

func (faulty) effect() {}

// sized is the shell's own, too: the document has become too long for a message, or short enough.
type sized struct{ crowded bool }

func (sized) effect() {}

// close says good-bye.
func (f *Federation) close() {
	f.mu.Lock()
	f.closing = true
	f.doc = marshal(f.cfg.Name, f.local, true)
	f.mu.Unlock()
	f.agent.Changed(presence, f.cfg.Name)
	for _, l := range f.links {
		f.unwatch(l)
	}
}
