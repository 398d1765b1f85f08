package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/health"
	"parklamp/leds"
	"parklamp/media"
	"parklamp/parkd"
	"parklamp/parkd/journal"
	"parklamp/sip/call"
	"parklamp/sip/phone"
)

// keeping is a keeper whose disk is the test: nothing is written before the test says so.
type keeping struct {
	*keeper
	lot  *lot
	told []string // call ids of each announcement that peers were told
}

func newKeeping(t *testing.T, path string) *keeping {
	a := &Appliance{loop: newLoop(), log: slog.New(slog.DiscardHandler), now: time.Now, health: health.New(func() {})}
	lot := &lot{a: a, machine: parkd.New(parkd.Default(), "dock-1", 1), know: func(parkd.Known) {}, requests: map[string]*request{}}
	a.lot = lot
	k := &keeping{lot: lot, keeper: &keeper{loop: a.loop, log: a.log, health: a.health, now: a.now, present: a.snapshot, commits: make(chan commit, 1), stored: map[string]parkd.SlotState{},
		last: map[string]storedEntry{}}}
	k.tell = func(e parkd.Announce) {
		var ids []string
		for _, s := range e.Slots {
			ids = append(ids, s.CallID)
		}
		k.told = append(k.told, fmt.Sprintf("%d:%s", e.Generation, strings.Join(ids, ",")))
	}
	if path != "" {
		k.journal = journal.New(path, "dock-1")
		t.Cleanup(k.journal.Close)
	}
	go a.loop.run(t.Context(), func() {})
	return k
}

// hosts announces these calls, on the loop as the orbit machine would.
func (k *keeping) hosts(generation uint64, ids ...string) {
	e := parkd.Announce{Generation: generation}
	for _, id := range ids {
		e.Slots = append(e.Slots, slotOf(id))
	}
	k.loop.ask(func() { k.announce(e) })
}

// slotOf is a call with that id on the orbit of that name; "a!" is the same call in another state, "a>" one that was taken over.
func slotOf(id string) parkd.SlotState {
	id, recalling := strings.CutSuffix(id, "!")
	id, moved := strings.CutSuffix(id, ">")
	s := parkd.SlotState{CallID: id, Orbit: "7" + id, Leg: parkd.LegID("leg of " + id), State: parkd.Parked}
	if recalling {
		s.State = parkd.Recalling
	}
	if moved {
		s.Moves = 1
	}
	return s
}

// onDisk says what the disk has now.
func (k *keeping) onDisk(ids ...string) {
	set := map[string]parkd.SlotState{}
	for _, id := range ids {
		s := slotOf(id)
		s.Leg = ""
		set[s.CallID] = s
	}
	k.loop.ask(func() { k.written(set, nil) })
}

func (k *keeping) expect(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	k.loop.ask(func() { got = k.told })
	if !slices.Equal(got, want) {
		t.Fatalf("peers were told %v, want %v", got, want)
	}
}

// A call is on the disk before peers hear of it; what else there is to tell does not wait.
func TestStoredThenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t, filepath.Join(t.TempDir(), "journal"))
		k.hosts(1, "a")
		k.expect(t)
		k.onDisk("a")
		k.expect(t, "1:a")
		k.hosts(2, "a!") // recalling: another state is stored as well
		k.expect(t, "1:a")
		k.onDisk("a!")
		k.expect(t, "1:a", "2:a")
		k.onDisk("a")

		k.hosts(3, "a", "b")
		k.hosts(4, "b") // a was fetched meanwhile: order is kept
		k.expect(t, "1:a", "2:a")
		k.onDisk("a") // written before b was parked
		k.expect(t, "1:a", "2:a")
		k.onDisk("a", "b")
		k.expect(t, "1:a", "2:a", "4:b")
		k.hosts(5)
		k.expect(t, "1:a", "2:a", "4:b", "5:")

		k.hosts(6, "a", "c")
		k.expect(t, "1:a", "2:a", "4:b", "5:")
		k.hosts(7, "a") // c hung up before the disk had him: nothing is left to wait for
		k.expect(t, "1:a", "2:a", "4:b", "5:", "7:a")
		time.Sleep(time.Second)
		k.expect(t, "1:a", "2:a", "4:b", "5:", "7:a")
	})
}

// Before the far end of a dead peer's call is called, the peers know it: they do not wait for the disk any longer, and who has just
// parked somebody does.
func TestRescueDoesNotWaitForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t, filepath.Join(t.TempDir(), "journal"))
		k.hosts(1, "a")
		k.expect(t)
		k.loop.ask(func() { k.once("a", func() { k.told = append(k.told, "committed a") }) })
		k.loop.ask(func() { k.lot.a.keeper = k.keeper; k.lot.do(parkd.Rescue{}) })
		k.expect(t, "1:a")
		k.onDisk("a")
		k.expect(t, "1:a", "committed a")
	})
}

// Who was taken over is told of at once, and with him whoever waits for the disk; after that all is as ever.
func TestTakenOverThenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t, filepath.Join(t.TempDir(), "journal"))
		k.hosts(1, "a")
		k.expect(t)
		k.hosts(2, "a", "b>")
		k.expect(t, "2:a,b")
		k.onDisk("a", "b>")
		k.expect(t, "2:a,b")
		k.hosts(3, "a", "b>!")
		k.expect(t, "2:a,b")
		time.Sleep(heldFor + time.Millisecond)
		k.expect(t, "2:a,b", "3:a,b")
	})
}

// Who transferred a caller here hears that the park holds after the disk has it and the peers know, or after heldFor.
func TestStoredThenCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t, filepath.Join(t.TempDir(), "journal"))
		once := func(id string) {
			k.loop.ask(func() { k.once(id, func() { k.told = append(k.told, "committed "+id) }) })
		}
		once("a") // the machine says Committed before Announce
		k.hosts(1, "a")
		k.expect(t)
		k.onDisk()
		k.expect(t)
		k.onDisk("a")
		k.expect(t, "1:a", "committed a")
		once("a")
		k.expect(t, "1:a", "committed a", "committed a")
		once("b")
		time.Sleep(heldFor - time.Millisecond)
		k.expect(t, "1:a", "committed a", "committed a")
		time.Sleep(2 * time.Millisecond)
		k.expect(t, "1:a", "committed a", "committed a", "committed b")
	})
}

// A disk that stands still delays the lamps by heldFor and no more.
func TestDiskThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t, filepath.Join(t.TempDir(), "journal"))
		k.hosts(1, "a")
		time.Sleep(heldFor / 2)
		k.hosts(2, "a", "b")
		time.Sleep(heldFor/2 - time.Millisecond)
		k.expect(t)
		time.Sleep(2 * time.Millisecond)
		k.expect(t, "2:a,b")
		k.onDisk("a", "b")
		k.expect(t, "2:a,b")
	})
}

func TestWithoutJournalNothingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t, "")
		k.hosts(1, "a")
		k.expect(t, "1:a")
		k.loop.ask(k.settle)
		if len(k.commits) > 0 {
			t.Error("a commit without a journal")
		}
	})
}

// The newest state takes the place of one that waits for the disk, and the loop never waits.
func TestNewestStateIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t, filepath.Join(t.TempDir(), "journal"))
		for i := range 10 {
			k.hosts(uint64(i), "a")
			k.loop.ask(k.settle)
		}
		if len(k.commits) != 1 {
			t.Fatalf("%d commits wait", len(k.commits))
		}
		k.loop.ask(k.settle)
		<-k.commits
		k.loop.ask(k.settle) // nothing has changed
		if len(k.commits) != 0 {
			t.Error("a commit of nothing")
		}
	})
}

// A call that the journal does not take is not on the disk; the others are, and hold up no restart.
func TestCallThatDoesNotFit(t *testing.T) {
	k := newKeeping(t, filepath.Join(t.TempDir(), "journal"))
	long := strings.Repeat("x", 100<<10)
	all := commit{slots: map[string]parkd.SlotState{}}
	for id, uri := range map[string]string{"1": "sip:1@a", "2": "sip:" + long + "@a", "3": "sip:3@a"} {
		s := slotOf(id)
		s.Leg = ""
		all.slots[id] = s
		all.calls = append(all.calls, storedCall{key: id, slot: &s, dialog: storedDialog{Dialog: call.Dialog{CallID: id, RemoteURI: uri}}})
	}
	k.loop.ask(func() { k.written(all.slots, k.write(all)) })
	for id, safe := range map[string]bool{"1": true, "2": false, "3": true, "4": false} {
		if got := k.safe(slotOf(id)); got != safe {
			t.Errorf("%s: safe %t", id, got)
		}
	}
	if conditions := k.health.All(); len(conditions) != 1 || conditions[0].Code != journalCode {
		t.Errorf("conditions %+v", conditions)
	}
}

// Who is not on the disk is tried again soon, without news of anybody: there may be room again.
func TestStoredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t, filepath.Join(t.TempDir(), "journal"))
		for _, lost := range []map[string]bool{{"a": true}, {}} {
			k.loop.ask(func() { k.dirty = false; k.written(nil, lost) })
			time.Sleep(storeAgainAfter + time.Millisecond)
			k.loop.ask(func() {
				if k.dirty != lost["a"] {
					t.Errorf("not on the disk: %v; another try: %t", lost, k.dirty)
				}
			})
		}
	})
}

// A stream that runs is not stored again, until it goes elsewhere.
func TestStreamThatGoesElsewhereIsStored(t *testing.T) {
	k := newKeeping(t, filepath.Join(t.TempDir(), "journal"))
	said, heard := netip.MustParseAddrPort("10.0.0.7:4000"), netip.MustParseAddrPort("192.0.2.7:40000")
	s := slotOf("a")
	for _, tc := range []struct {
		goes   netip.AddrPort
		seq    uint16
		stored uint16
	}{{said, 1, 1}, {said, 2, 1}, {heard, 3, 3}, {heard, 4, 3}} {
		k.write(commit{calls: []storedCall{{key: "a", slot: &s, media: storedMedia{State: media.State{Remote: tc.goes, Seq: tc.seq}}}}})
		var m storedMedia
		if c, err := k.journal.Load(); err != nil || len(c.Entries) != 1 || json.Unmarshal(c.Entries[0].Media, &m) != nil {
			t.Fatal(c, err)
		}
		if m.State.Remote != tc.goes || m.State.Seq != tc.stored {
			t.Errorf("packet %d to %s: packet %d to %s is stored", tc.seq, tc.goes, m.State.Seq, m.State.Remote)
		}
	}
}

// A disk that does not work is a health condition until it works.
func TestBadDiskIsACondition(t *testing.T) {
	k := newKeeping(t, "")
	k.report(errors.New("no space left on device"))
	if all := k.health.All(); len(all) != 1 || all[0].Code != journalCode || !strings.Contains(all[0].Text, "no space left") || all[0].Hint == "" {
		t.Errorf("conditions %+v", all)
	}
	k.report(nil)
	if all := k.health.All(); len(all) != 0 {
		t.Errorf("conditions %+v", all)
	}
}

// The worker, who parked himself, lamps and subscribers of the orbit hear that a park holds when the disk has it, or after heldFor.
func TestParkIsStoredThenSaidAndShown(t *testing.T) {
	for name, written := range map[string]bool{"the disk has it": true, "the disk stands still": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config.Default()
				cfg.SIP.Listen, cfg.Journal.Path = []string{"udp:127.0.0.1:5060"}, filepath.Join(t.TempDir(), "journal")
				a, err := New(cfg, "test", true, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(a.keeper.journal.Close)
				defer a.board.Close()
				go a.loop.run(t.Context(), func() {})
				told := func() (said string, lit leds.State, watched int) {
					a.loop.ask(func() {
						said, lit, watched = a.desk.prompt, a.lamps.States()["orbit-701"], len((*a.documents.orbits.Load())["701"].Calls)
					})
					return said, lit, watched
				}
				a.loop.ask(func() {
					a.desk.step(phone.Incoming{Call: "c", From: "0301234"})
					a.desk.step(phone.Hook{Up: true})
					l := &leg{id: "leg", call: &call.Call{}, incoming: true, answered: true}
					a.legs[l.id] = l
					a.desk.take(l, "c")
					a.desk.step(phone.KeyDown{Key: phone.KeyPark})
					a.lot.step(parkd.ClaimResult{Token: l.parking, Orbit: "701", Granted: true})
				})
				if _, hosted := a.lot.callOf("leg"); !hosted {
					t.Fatal("nobody is parked")
				}
				if said, lit, watched := told(); said != "" || lit == leds.ParkedHere || watched != 0 {
					t.Errorf("before the disk has it: said %q, lamp %v, %d calls watched", said, lit, watched)
				}
				if written {
					a.loop.ask(func() { a.keeper.written(a.snapshot().slots, nil) })
				} else {
					time.Sleep(heldFor + time.Millisecond)
				}
				if said, lit, watched := told(); said != "call parked on seven zero one" || lit != leds.ParkedHere || watched != 1 {
					t.Errorf("said %q, lamp %v, %d calls watched", said, lit, watched)
				}
				a.loop.ask(func() { a.lot.step(parkd.LegEnded{Leg: "leg"}) }) // that needs no disk
				if _, lit, watched := told(); lit != leds.Free || watched != 0 {
					t.Errorf("gone, and lamp %v, %d calls watched", lit, watched)
				}
			})
		})
	}
}
