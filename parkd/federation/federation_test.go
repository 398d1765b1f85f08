package federation

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/parkd"
	"parklamp/sip"
	"parklamp/sip/event"
)

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

// A peer that was found dead hears of nothing, and when it is back, of everything.
func TestDeadPeerIsNotTold(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2", "office"}, func(l *lan) {
		d1, d2, office := l.all[0], l.all[1], l.all[2]
		living := d1.fed.agent.Stats()
		l.cutOff(d2, true)
		time.Sleep(4 * time.Second)
		before := d1.fed.agent.Stats()
		if before.Sent != living.Sent+1 {
			t.Errorf("%d NOTIFY for the end of one subscription", before.Sent-living.Sent)
		}
		if o := d1.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p"); !o.ok {
			t.Fatalf("park: %+v", o)
		}
		time.Sleep(time.Second)
		if now := d1.fed.agent.Stats(); now.Sent != before.Sent+1 || now.Watchers != 1 || office.view("703").State != parkd.ViewElsewhere {
			t.Errorf("one peer of two lives: %d NOTIFY for the park, %d watchers, the living one sees %v", now.Sent-before.Sent, now.Watchers, office.view("703").State)
		}
		l.cutOff(d2, false)
		l.within(5*time.Second, "told", func() bool { return d2.view("703").State == parkd.ViewElsewhere })
		time.Sleep(time.Minute)
		if n := d1.fed.agent.Stats().Watchers; n != 2 {
			t.Errorf("%d subscriptions, and two peers", n)
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

// While a machine is suspended its monotonic clock stands still, and by that nothing was missed.
func TestSuspended(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2"}, func(l *lan) {
		a := l.all[0]
		was, more := suspended(), time.Duration(0)
		a.fed.mu.Lock()
		a.fed.suspended = func() time.Duration { return was + more }
		a.fed.mu.Unlock()
		if a.fed.Quiet() {
			t.Fatal("quiet, and nothing has happened")
		}
		a.fed.mu.Lock()
		more = time.Minute
		a.fed.mu.Unlock()
		if !a.fed.Quiet() {
			t.Error("suspended for a minute, and knows what its peers have done")
		}
		l.within(time.Second, "parkd is told", func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.still == 1
		})
		time.Sleep(parkd.LateWord)
		if a.fed.Quiet() {
			t.Error("quiet for ever")
		}
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
