package federation

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/parkd"
	"parklamp/sip"
	"parklamp/sip/event"
	"parklamp/sip/siptest"
)

// lan is appliances on an in-memory network, each an endpoint, an agent, a Federation and a machine.
type lan struct {
	t    *testing.T
	net  *siptest.Net
	all  []*appliance
	each []Peer // everybody
	edit []func(*Config)
	site *siptest.Site // peers prove themselves; nil: they do not
	// foreign are the sites that appliances have their certificates from, if it is another.
	foreign map[string]*siptest.Site
}

type appliance struct {
	lan  *lan
	name string
	addr netip.Addr
	kill func() // ends everything, without a word to the peers
	stop func() // ends it in order

	mu      sync.Mutex // guards everything below
	fed     *Federation
	machine *parkd.Machine
	timers  map[string]*time.Timer
	asked   map[string]time.Time
	done    map[string]outcome
	faults  map[string]error
	still   int // how often parkd was told of a standstill
}

// onLAN runs f in a synctest bubble with appliances that have found each other; edit changes what each
// is configured with.
func onLAN(t *testing.T, names []string, f func(l *lan), edit ...func(*Config)) {
	onSite(t, names, func(*lan) {}, f, edit...)
}

// onSite is the same with something before they start.
func onSite(t *testing.T, names []string, before, f func(l *lan), edit ...func(*Config)) {
	synctest.Test(t, func(t *testing.T) {
		l := &lan{t: t, net: siptest.New(1), edit: edit}
		before(l)
		for i, name := range names {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})
			l.all = append(l.all, &appliance{lan: l, name: name, addr: addr})
			l.each = append(l.each, Peer{Name: name, Address: netip.AddrPortFrom(addr, 5060)})
			for j := range i {
				l.link(l.all[i].addr, l.all[j].addr, siptest.Link{Delay: time.Millisecond})
			}
		}
		for i, a := range l.all {
			a.start(uint64(1000 + i))
		}
		time.Sleep(5 * time.Second)
		f(l)
		for _, a := range l.all {
			a.stop()
		}
	})
}

func (l *lan) link(a, b netip.Addr, k siptest.Link) {
	l.net.SetLink(a, b, k)
	l.net.SetLink(b, a, k)
}

// cutOff takes an appliance from the network, or gives it back.
func (l *lan) cutOff(a *appliance, down bool) {
	for _, b := range l.all {
		if a != b {
			l.link(a.addr, b.addr, siptest.Link{Delay: time.Millisecond, Down: down})
		}
	}
}

func (a *appliance) start(epoch uint64) {
	t := a.lan.t
	at := netip.AddrPortFrom(a.addr, 5060).String()
	sc := sip.Default()
	sc.Listen = []string{"udp:" + at, "tcp:" + at}
	log := slog.New(slog.DiscardHandler)
	cfg := Default()
	cfg.Name = a.name
	if a.lan.site != nil {
		sc.Listen = append(sc.Listen, "tls:"+netip.AddrPortFrom(a.addr, 5061).String())
		cmp.Or(a.lan.foreign[a.name], a.lan.site).Use(&sc, a.name, a.lan.site)
		cfg.Proof = true
	}
	for _, p := range a.lan.each {
		if cfg.Proof {
			p.Address = netip.AddrPortFrom(p.Address.Addr(), 5061)
		}
		if p.Name != a.name {
			cfg.Peers = append(cfg.Peers, p)
		}
	}
	ep, err := sip.New(sc, log, sip.WithNetwork(a.lan.net.Host(a.addr)), siptest.WithNames(nil), sip.WithAppliances(func(at netip.AddrPort) string {
		if p := cfg.Peer(at); p != nil {
			return p.Name
		}
		return ""
	}))
	if err != nil {
		t.Fatal(err)
	}
	agent := event.New(ep, event.Default(), log)
	for _, f := range a.lan.edit {
		f(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	a.machine = parkd.New(parkd.Default(), a.name, epoch)
	a.timers, a.asked = map[string]*time.Timer{}, map[string]time.Time{}
	a.done, a.faults = map[string]outcome{}, map[string]error{}
	a.fed = New(cfg, ep, agent, log, Callbacks{
		OnPeer:  func(p parkd.Peer) { a.park(p) },
		OnRaise: func(r parkd.RaiseEpoch) { a.park(r) },
		OnStill: func(s parkd.StoodStill) {
			a.park(s)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.still++
		},
		OnHealth: func(peer string, err error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.faults[peer] = err
		},
	})
	a.fed.SetLocal(a.machine.Hosted())
	for _, p := range cfg.Peers {
		a.parkLocked(parkd.Peer{Name: p.Name})
	}
	a.mu.Unlock()
	run := func(r func(context.Context) error) (end func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r(ctx) }()
		return sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	endEndpoint, endAgent, endFederation := run(ep.Run), run(agent.Run), run(a.fed.Run)
	end := func(in ...func()) func() {
		return func() {
			for _, f := range in {
				f()
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			for _, timer := range a.timers {
				timer.Stop()
			}
		}
	}
	a.stop = end(endFederation, endAgent, endEndpoint)
	a.kill = end(func() { a.lan.cutOff(a, true) }, endEndpoint, endAgent, endFederation, func() { a.lan.cutOff(a, false) })
}

// park gives an input to the machine and carries the effects out. Phones and media work at once; an
// INVITE to a peer is a call of a function.
func (a *appliance) park(in parkd.Input) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parkLocked(in)
}

func (a *appliance) parkLocked(in parkd.Input) {
	effects := a.machine.Step(time.Now(), in)
	a.fed.Know(a.machine.Known())
	for _, e := range effects {
		switch e := e.(type) {
		case parkd.Claim:
			a.fed.Claim(e.Token, e.Orbit, func(r parkd.ClaimResult) { a.park(r) })
		case parkd.ReleaseClaim:
			a.fed.Release(e.Token, e.Orbit)
		case parkd.Announce:
			a.fed.SetLocal(e)
		case parkd.Committed:
			a.finish(e.Token, outcome{ok: true, orbit: e.Orbit})
		case parkd.Refused:
			a.finish(e.Token, outcome{reason: e.Reason})
		case parkd.HandToPhone:
			a.finish(e.Token, outcome{ok: true, orbit: e.Slot.Orbit})
			a.parkLocked(parkd.JoinResult{Token: e.Token, OK: true})
		case parkd.Join:
			a.finish(e.Token, outcome{ok: true, orbit: e.Slot.Orbit})
			a.parkLocked(parkd.JoinResult{Token: e.Token, OK: true})
		case parkd.FetchRemote:
			host := a.lan.find(e.Slot.Host)
			go func() {
				o := host.ask(parkd.Fetch{Token: a.name + e.Token, Leg: parkd.LegID(a.name + e.Token), CallID: e.Slot.CallID}, a.name+e.Token)
				a.mu.Lock()
				defer a.mu.Unlock()
				if o.ok {
					a.finish(e.Token, outcome{ok: true, orbit: o.orbit})
				}
				a.parkLocked(parkd.JoinResult{Token: e.Token, OK: o.ok, Reason: o.reason})
			}()
		case parkd.SetTimer:
			if t := a.timers[e.ID]; t != nil {
				t.Stop()
			}
			a.timers[e.ID] = time.AfterFunc(time.Until(e.At), func() { a.park(parkd.Timer{ID: e.ID}) })
		case parkd.StopTimer:
			if t := a.timers[e.ID]; t != nil {
				t.Stop()
			}
		}
	}
}

func (a *appliance) finish(token string, o outcome) {
	o.took = time.Since(a.asked[token])
	if _, twice := a.done[token]; twice {
		a.lan.t.Errorf("%s: token %s has two outcomes", a.name, token)
	}
	a.done[token] = o
}

// begin asks and does not wait.
func (a *appliance) begin(in parkd.Input, token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[token] = time.Now()
	a.parkLocked(in)
}

// ask waits for the outcome.
func (a *appliance) ask(in parkd.Input, token string) outcome {
	a.begin(in, token)
	for {
		if o, ok := a.outcome(token); ok {
			return o
		}
		time.Sleep(time.Millisecond)
	}
}

func (a *appliance) outcome(token string) (outcome, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o, ok := a.done[token]
	return o, ok
}

func (a *appliance) view(orbit string) parkd.OrbitView {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.machine.View(orbit)
}

func (a *appliance) fault(peer string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.faults[peer]
}

func (l *lan) find(name string) *appliance {
	for _, a := range l.all {
		if a.name == name {
			return a
		}
	}
	l.t.Fatalf("no appliance %s", name)
	return nil
}

// within waits until ok holds and returns how long that took; d is the longest.
func (l *lan) within(d time.Duration, what string, ok func() bool) time.Duration {
	l.t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > d {
			l.t.Fatalf("not within %v: %s", d, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(begin)
}

func (l *lan) allSee(orbit string, here *appliance, want func(a *appliance, v parkd.OrbitView) bool) bool {
	for _, a := range l.all {
		if a != here && !want(a, a.view(orbit)) {
			return false
		}
	}
	return true
}
