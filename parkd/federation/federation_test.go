package federation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/parkd"
	"parklamp/sip"
	"parklamp/sip/event"
	"parklamp/sip/event/pidf"
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

func TestParkedAnywhereLightsEverywhere(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2", "office", "gate"}, func(l *lan) {
		for i, a := range l.all {
			orbit := fmt.Sprintf("70%d", i+1)
			caller := parkd.Party{Name: "Ann <&> \"Å\"", URI: "sip:+4711@example.com", Number: "+4711"}
			o := a.ask(parkd.Park{Token: "p", Leg: "a", Orbit: orbit, Caller: caller, ParkerRef: parkd.DeskPhone,
				Dialog: parkd.DialogRef{CallID: "c@x", LocalTag: "l", RemoteTag: "r"}}, "p")
			if !o.ok || o.orbit != orbit {
				t.Fatalf("%s parks in %s: %+v", a.name, orbit, o)
			}
			d := l.within(100*time.Millisecond, "lamps "+orbit, func() bool {
				return l.allSee(orbit, a, func(_ *appliance, v parkd.OrbitView) bool { return v.State == parkd.ViewElsewhere })
			})
			t.Logf("%s: park to lamps everywhere: %v + %v", a.name, o.took, d)
			for _, b := range l.all {
				v := b.view(orbit)
				if v.Caller != caller || v.Host != a.name || len(v.Calls) != 1 || v.Calls[0].Dialog.RemoteTag != "r" {
					t.Errorf("%s sees %+v", b.name, v)
				}
			}
		}
		// Fetched from another appliance, and ended by the caller: dark everywhere.
		if o := l.all[2].ask(parkd.Fetch{Token: "f", Orbit: "701"}, "f"); !o.ok {
			t.Errorf("fetch: %+v", o)
		}
		l.all[1].park(parkd.LegEnded{Leg: "a"})
		l.within(100*time.Millisecond, "lamps dark", func() bool {
			return l.allSee("701", nil, func(_ *appliance, v parkd.OrbitView) bool { return v.State == parkd.ViewFree }) &&
				l.allSee("702", nil, func(_ *appliance, v parkd.OrbitView) bool { return v.State == parkd.ViewFree })
		})
	})
}

func TestKilledPeerIsUnknownThenBack(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2", "office"}, func(l *lan) {
		d1, d2, office := l.all[0], l.all[1], l.all[2]
		d2.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p")
		d1.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "701"}, "p")
		time.Sleep(100 * time.Millisecond)
		d2.kill()
		d := l.within(3*time.Second, "unknown", func() bool {
			return l.allSee("703", d2, func(_ *appliance, v parkd.OrbitView) bool { return v.State == parkd.ViewUnknown })
		})
		t.Logf("dead seen after %v", d)
		l.within(time.Second, "health", func() bool { return errors.Is(office.fault("dock-2"), ErrSilent) })
		if v := office.view("701"); v.State != parkd.ViewElsewhere {
			t.Errorf("701 is %v though its host lives", v.State)
		}
		time.Sleep(40 * time.Second) // transactions and subscriptions of its former life end
		d2.start(2000)
		d = l.within(5*time.Second, "recovered", func() bool {
			return d2.view("701").State == parkd.ViewElsewhere &&
				l.allSee("703", nil, func(_ *appliance, v parkd.OrbitView) bool { return v.State == parkd.ViewFree })
		})
		t.Logf("back after %v", d)
		if err := office.fault("dock-2"); err != nil {
			t.Errorf("health after the return: %v", err)
		}
		if o := d2.ask(parkd.Park{Token: "q", Leg: "b"}, "q"); !o.ok || o.orbit != "702" {
			t.Errorf("park after the return: %+v", o)
		}
	})
}

// A restart within the time of detection, with a clock that went back: no lamp of the former life stays.
func TestQuickRestartOverSIP(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2", "office"}, func(l *lan) {
		d2, office := l.all[1], l.all[2]
		d2.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p")
		time.Sleep(100 * time.Millisecond)
		d2.kill()
		time.Sleep(200 * time.Millisecond)
		d2.start(7)
		d := l.within(5*time.Second, "703 dark", func() bool {
			return l.allSee("703", nil, func(_ *appliance, v parkd.OrbitView) bool { return v.State == parkd.ViewFree })
		})
		t.Logf("clear after %v", d)
		if o := d2.ask(parkd.Park{Token: "q", Leg: "b", Orbit: "704"}, "q"); !o.ok {
			t.Errorf("park: %+v", o)
		}
		l.within(time.Second, "704 lit", func() bool { return office.view("704").State == parkd.ViewElsewhere })
	})
}

func TestPartitionOverSIP(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2", "office"}, func(l *lan) {
		d1, d2 := l.all[0], l.all[1]
		l.cutOff(d1, true)
		// Not yet known as dead: the silent arbiter is passed over.
		if o := d1.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "705"}, "p"); !o.ok || o.took > time.Second {
			t.Errorf("park in the partition: %+v", o)
		}
		if o := d2.ask(parkd.Park{Token: "q", Leg: "b", Orbit: "705"}, "q"); !o.ok || o.took > time.Second {
			t.Errorf("park on the other side: %+v", o)
		}
		time.Sleep(20 * time.Second)
		l.cutOff(d1, false)
		d := l.within(5*time.Second, "queue", func() bool {
			return l.allSee("705", nil, func(_ *appliance, v parkd.OrbitView) bool {
				return v.State == parkd.ViewQueued && len(v.Calls) == 2
			})
		})
		t.Logf("healed after %v", d)
		for _, tok := range []string{"f", "g"} {
			if o := l.all[2].ask(parkd.Fetch{Token: tok, Orbit: "705"}, tok); !o.ok {
				t.Errorf("fetch %s: %+v", tok, o)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if v := d1.view("705"); v.State != parkd.ViewFree {
			t.Errorf("705 is %v", v.State)
		}
	})
}

func TestHundredParksAndFetchesOverSIP(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2", "office", "gate"}, func(l *lan) {
		for i := range 100 {
			tok := fmt.Sprintf("p%d", i)
			l.all[i%4].begin(parkd.Park{Token: tok, Leg: parkd.LegID(tok)}, tok)
		}
		time.Sleep(time.Second)
		won := map[string]bool{}
		var slowest time.Duration
		for i := range 100 {
			o, ok := l.all[i%4].outcome(fmt.Sprintf("p%d", i))
			switch {
			case !ok:
				t.Fatalf("park %d has no outcome", i)
			case o.ok && won[o.orbit]:
				t.Errorf("orbit %s was won twice", o.orbit)
			case o.ok:
				won[o.orbit] = true
			case o.reason != parkd.ReasonFull:
				t.Errorf("park %d is refused as %v", i, o.reason)
			}
			slowest = max(slowest, o.took)
		}
		if len(won) != 10 || slowest > 200*time.Millisecond {
			t.Errorf("%d winners, slowest %v", len(won), slowest)
		}
		t.Logf("parks: slowest %v", slowest)
		orbits := parkd.Default().Orbits
		for i := range 100 {
			tok := fmt.Sprintf("f%d", i)
			l.all[(i/10+i)%4].begin(parkd.Fetch{Token: tok, Orbit: orbits[i%10]}, tok)
		}
		time.Sleep(time.Second)
		winners := map[string]int{}
		slowest = 0
		for i := range 100 {
			o, ok := l.all[(i/10+i)%4].outcome(fmt.Sprintf("f%d", i))
			if !ok {
				t.Fatalf("fetch %d has no outcome", i)
			}
			if o.ok {
				winners[o.orbit]++
			} else if o.reason != parkd.ReasonLostRace && o.reason != parkd.ReasonEmpty {
				t.Errorf("fetch %d is refused as %v", i, o.reason)
			}
			slowest = max(slowest, o.took)
		}
		for _, orbit := range orbits {
			if winners[orbit] != 1 {
				t.Errorf("orbit %s has %d winners", orbit, winners[orbit])
			}
			if !l.allSee(orbit, nil, func(_ *appliance, v parkd.OrbitView) bool { return v.State == parkd.ViewFree }) {
				t.Errorf("orbit %s is lit somewhere", orbit)
			}
		}
		if slowest > 200*time.Millisecond {
			t.Errorf("slowest fetch %v", slowest)
		}
		t.Logf("fetches: slowest %v", slowest)
	})
}

// The last word comes by itself, or, so soon after another change that it is held back, with the end of the subscription.
func TestGoodByeIsUnknownAtOnce(t *testing.T) {
	for _, after := range []time.Duration{100 * time.Millisecond, 10 * time.Millisecond, 3 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			onLAN(t, []string{"dock-1", "dock-2"}, func(l *lan) {
				d1, d2 := l.all[0], l.all[1]
				d2.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p")
				time.Sleep(after)
				d2.stop()
				l.within(50*time.Millisecond, "unknown", func() bool { return d1.view("703").State == parkd.ViewUnknown })
				d2.start(2000)
				l.within(5*time.Second, "back", func() bool { return d1.view("703").State == parkd.ViewFree })
			})
		})
	}
}

// A caller whom nobody takes over is told good-bye by an appliance that goes for good: his orbit is free for the others at
// once, and can be had.
func TestWhoWasToldGoodByeFreesHisOrbit(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2"}, func(l *lan) {
		d1, d2 := l.all[0], l.all[1]
		d2.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703", Dialog: parkd.DialogRef{CallID: "x", LocalTag: "l", RemoteTag: "r",
			Reach: parkd.Reach{Remote: "sip:x", Target: "sip:x"}}}, "p")
		time.Sleep(100 * time.Millisecond)
		d2.park(parkd.Leave{})
		time.Sleep(4 * time.Second)
		d1.park(parkd.RescueResult{CallID: d1.view("703").Calls[0].CallID, How: parkd.Unable})
		time.Sleep(100 * time.Millisecond)
		d2.park(parkd.LegEnded{Leg: "a", Ours: true})
		d2.stop()
		l.within(50*time.Millisecond, "free", func() bool { return len(d1.view("703").Calls) == 0 })
		if o := d1.ask(parkd.Park{Token: "q", Leg: "b", Orbit: "703"}, "q"); !o.ok {
			t.Errorf("703 cannot be had: %v", o.reason)
		}
	})
}

// A caller who fills a whole message with his name and address does not make the host unknown to its peers.
func TestLongAddressIsNotTold(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2"}, func(l *lan) {
		d1, d2 := l.all[0], l.all[1]
		uri := "sip:" + strings.Repeat("x", 30000) + "@x"
		d2.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703", Caller: parkd.Party{Name: "Ann", URI: uri}, Dialog: parkd.DialogRef{
			CallID: "x", LocalTag: "l", RemoteTag: "r", Reach: parkd.Reach{Remote: uri, Target: uri}}}, "p")
		time.Sleep(20 * time.Second)
		v := d1.view("703")
		if v.State != parkd.ViewElsewhere || v.Caller.Name != "Ann" || v.Calls[0].Dialog.CallID != "x" || v.Calls[0].Dialog.Reach != (parkd.Reach{}) {
			t.Errorf("703 is %v, with %d calls", v.State, len(v.Calls))
		}
	})
}

// All that an appliance may park is told: 200 calls, whose names, dialogs and ways have little in common.
func TestAllThatMayBeParkedIsTold(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2"}, func(l *lan) {
		d1, d2 := l.all[0], l.all[1]
		for i := range parkd.Default().MaxCalls {
			sum := sha256.Sum256(fmt.Append(nil, i))
			random := hex.EncodeToString(sum[:])
			uri := "sip:+49711" + random[:8] + "@pbx.example.com"
			name := fmt.Sprint("p", i)
			d2.ask(parkd.Park{Token: name, Leg: parkd.LegID(name), Orbit: parkd.Default().Orbits[i%10], Gone: true,
				Caller: parkd.Party{Name: "Caller " + random[:6], URI: uri, Number: random[:8]}, Parker: parkd.Party{Name: "Gate", URI: "sip:202@10.0.0.2", Number: "202"},
				Dialog: parkd.DialogRef{CallID: random + "@10.0.0.9", LocalTag: random[8:24], RemoteTag: random[24:40], Reach: parkd.Reach{Remote: uri,
					Target: "sip:" + random[40:48] + "@198.51.100.7:5060;transport=tcp;ob", Routes: "<sip:198.51.100.1;lr;ftag=" + random[30:40] + ">", Transport: "tcp",
					Account: "sip:202@pbx.example.com", Codec: "PCMA", Security: "off"}}}, name)
		}
		time.Sleep(20 * time.Second)
		told := 0
		for _, orbit := range parkd.Default().Orbits {
			told += len(d1.view(orbit).Calls)
		}
		if told != parkd.Default().MaxCalls {
			t.Errorf("the peer knows of %d calls", told)
		}
	})
}

// Who is not in the list of peers learns nothing and claims nothing; the reason is told to people.
func TestStrangersAreRefused(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2", "rogue"}, func(l *lan) {
		d1, rogue := l.all[0], l.all[2]
		d1.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p")
		if o := rogue.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p"); !o.ok {
			t.Errorf("alone, a stranger parks by itself: %+v", o)
		}
		time.Sleep(10 * time.Second)
		if v := rogue.view("701"); v.State != parkd.ViewUnknown {
			t.Errorf("the stranger sees 701 as %v", v.State)
		}
		if v := d1.view("703"); len(v.Calls) != 1 || v.State != parkd.ViewHere {
			t.Errorf("dock-1 believes the stranger: %+v", v)
		}
		if err := rogue.fault("dock-1"); !errors.Is(err, ErrRefused) {
			t.Errorf("the stranger's health says %v", err)
		}
	}, func(c *Config) {
		if c.Name != "rogue" {
			c.Peers = c.Peers[:1]
		}
	})
}

// The source of a datagram can be forged, so that it proves no peer: the documents name the dialogs of parked callers.
func TestADatagramProvesNoPeer(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2"}, func(l *lan) {
		f, source := l.all[0].fed, netip.AddrPortFrom(l.all[1].addr, 5060)
		req := gosip.NewRequest(gosip.SUBSCRIBE, gosip.Uri{Scheme: "sip", User: "dock-1", Host: "10.0.0.1"})
		req.AppendHeader(&gosip.FromHeader{Address: gosip.Uri{Scheme: "sip", User: "dock-2", Host: "parklamp.invalid"}})
		for transport, code := range map[string]int{"udp": 403, "tcp": 200, "tls": 200} {
			if ok := f.authorize(req, event.Request{Source: source, Transport: transport}); ok != (code == 200) {
				t.Errorf("%s: subscription let in: %v", transport, ok)
			}
			got, _ := f.published(event.Publication{Kind: event.Initial, From: "sip:dock-2@parklamp.invalid", Source: source,
				Transport: transport, ContentType: pidf.ContentType, Body: marshalClaim("dock-2", wordClaim, "t", "701")})
			if got != code {
				t.Errorf("%s: claim answered %d, want %d", transport, got, code)
			}
		}
	})
}

func TestWrongNameIsAHealthCondition(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2"}, func(l *lan) {
		time.Sleep(10 * time.Second)
		if err := l.all[0].fault("dock-3"); !errors.Is(err, ErrStranger) {
			t.Errorf("health says %v", err)
		}
		if o := l.all[0].ask(parkd.Park{Token: "p", Leg: "a"}, "p"); !o.ok {
			t.Errorf("park all the same: %+v", o)
		}
	}, func(c *Config) {
		if c.Name == "dock-1" {
			c.Peers[0].Name = "dock-3"
		}
	})
}

// issue gives the appliances of a LAN certificates of one site.
func issue(names ...string) func(l *lan) {
	return func(l *lan) {
		l.site = siptest.NewSite(l.t)
		for _, name := range names {
			l.site.Issue(name, name, time.Now(), time.Now().AddDate(1, 0, 0))
		}
	}
}

// With certificates of the site everything is as without, and a dead peer is seen as fast.
func TestPeersByTLS(t *testing.T) {
	names := []string{"dock-1", "dock-2", "office"}
	onSite(t, names, issue(names...), func(l *lan) {
		d1, d2, office := l.all[0], l.all[1], l.all[2]
		for i, a := range l.all[:2] {
			if o := a.ask(parkd.Park{Token: "p", Leg: "a", Orbit: fmt.Sprintf("70%d", i+1)}, "p"); !o.ok {
				t.Fatalf("%s parks: %+v", a.name, o)
			}
		}
		l.within(100*time.Millisecond, "lamps", func() bool {
			return office.view("701").State == parkd.ViewElsewhere && d1.view("702").State == parkd.ViewElsewhere
		})
		d2.kill()
		d := l.within(3*time.Second, "unknown", func() bool {
			return l.allSee("702", d2, func(_ *appliance, v parkd.OrbitView) bool { return v.State == parkd.ViewUnknown })
		})
		t.Logf("dead seen after %v", d)
		time.Sleep(40 * time.Second)
		d2.start(2000)
		d = l.within(5*time.Second, "back", func() bool { return d2.view("701").State == parkd.ViewElsewhere })
		t.Logf("back after %v", d)
	})
}

// Who does not prove by the site's certificate that it is the peer of that name is none, and people are told.
func TestUnprovedPeers(t *testing.T) {
	names := []string{"dock-1", "dock-2"}
	for name, spoil := range map[string]func(l *lan, s *siptest.Site){
		"another site": func(l *lan, s *siptest.Site) {
			s.Issue("dock-2", "dock-2", time.Now(), time.Now().AddDate(1, 0, 0))
			l.foreign = map[string]*siptest.Site{"dock-2": s}
		},
		"another appliance's": func(l *lan, _ *siptest.Site) {
			l.site.Issue("dock-2", "dock-3", time.Now(), time.Now().AddDate(1, 0, 0))
		},
		"a certificate that ended": func(l *lan, _ *siptest.Site) {
			l.site.Issue("dock-2", "dock-2", time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onSite(t, names, func(l *lan) {
				issue(names...)(l)
				spoil(l, siptest.NewSite(t))
			}, func(l *lan) {
				d1, d2 := l.all[0], l.all[1]
				d1.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "701"}, "p")
				time.Sleep(10 * time.Second)
				if v := d2.view("701"); v.State == parkd.ViewElsewhere {
					t.Errorf("dock-2 sees 701 as %v", v.State)
				}
				if err := d1.fault("dock-2"); !errors.Is(err, ErrUnproved) && !errors.Is(err, ErrSilent) {
					t.Errorf("health of dock-2 says %v", err)
				}
				if l.foreign != nil {
					return
				}
				// Renewed while both run.
				l.site.Issue("dock-2", "dock-2", time.Now(), time.Now().AddDate(1, 0, 0))
				time.Sleep(10 * time.Second)
				l.within(40*time.Second, "peers", func() bool { return d2.view("701").State == parkd.ViewElsewhere })
				if err := d1.fault("dock-2"); err != nil {
					t.Errorf("renewed, health says %v", err)
				}
			})
		})
	}
}

// With certificates an address, a name and TCP prove nothing.
func TestAddressProvesNoPeerWithCertificates(t *testing.T) {
	names := []string{"dock-1", "dock-2"}
	onSite(t, names, issue(names...), func(l *lan) {
		f, source := l.all[0].fed, netip.AddrPortFrom(l.all[1].addr, 5061)
		req := gosip.NewRequest(gosip.SUBSCRIBE, gosip.Uri{Scheme: "sip", User: "dock-1", Host: "10.0.0.1"})
		req.AppendHeader(&gosip.FromHeader{Address: gosip.Uri{Scheme: "sip", User: "dock-2", Host: "parklamp.invalid"}})
		for _, c := range []struct {
			transport string
			proved    []string
			in        bool
		}{{"tcp", nil, false}, {"tls", nil, false}, {"tls", []string{"dock-3"}, false}, {"tls", []string{"dock-2"}, true}} {
			if ok := f.authorize(req, event.Request{Source: source, Transport: c.transport, Proved: c.proved}); ok != c.in {
				t.Errorf("%+v: let in: %v", c, ok)
			}
			code, _ := f.published(event.Publication{Kind: event.Initial, From: "sip:dock-2@parklamp.invalid", Source: source, Proved: c.proved,
				Transport: c.transport, ContentType: pidf.ContentType, Body: marshalClaim("dock-2", wordClaim, "t", "701")})
			if (code == 200) != c.in {
				t.Errorf("%+v: claim answered %d", c, code)
			}
		}
	})
}

// More calls than one message tells are a fault, once, until they are fewer.
func TestMoreCallsThanOneMessageTells(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	sc := sip.Default()
	sc.Listen = []string{"udp:127.0.0.1:5060"} // not opened
	ep, err := sip.New(sc, log)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.Name = "dock-1"
	f := New(cfg, ep, event.New(ep, event.Default(), log), log, Callbacks{})
	rng := rand.New(rand.NewPCG(1, 1))
	hosts := func(n int) (told []Effect) {
		var a parkd.Announce
		for i := range n {
			id := fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64())
			a.Slots = append(a.Slots, parkd.SlotState{Orbit: fmt.Sprint(700 + i%100), CallID: id, State: parkd.Parked, Since: siteStart,
				Caller: parkd.Party{URI: "sip:" + id + "@x"}, Dialog: parkd.DialogRef{CallID: id, LocalTag: id[:9], RemoteTag: id[9:20]}})
		}
		f.SetLocal(a)
		f.document(event.Request{Resource: "dock-1"})
		for _, e := range f.take() {
			if _, ok := e.(sized); ok {
				told = append(told, e)
			}
		}
		return told
	}
	for _, tc := range []struct {
		calls int
		want  []Effect
	}{{200, nil}, {1500, []Effect{sized{true}}}, {1600, nil}, {200, []Effect{sized{false}}}} {
		if got := hosts(tc.calls); !slices.Equal(got, tc.want) {
			t.Errorf("%d calls: %v, want %v", tc.calls, got, tc.want)
		}
	}
}
