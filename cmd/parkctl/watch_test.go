package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/parkd/panel"
)

// TestChanges is the story of a call, as watch tells it.
func TestChanges(t *testing.T) {
	var all strings.Builder
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	tell := func(old, now panel.Status) {
		for _, c := range changes(old, now) {
			all.WriteString(strings.TrimPrefix(c.what+": "+clean(c.text.text), " ") + "\n")
		}
		all.WriteString("--\n")
	}
	jane, dock := panel.Party{Name: "Jane Miller", Number: "0123456"}, panel.Party{Name: "Dock 1", Number: "201"}
	idle := panel.Status{At: at(0), Phone: panel.Phone{State: "idle", Volume: 5, VolumeMax: 10},
		Orbits: []panel.Orbit{{Number: "701", State: panel.StateFree}, {Number: "702", State: panel.StateFree}},
		Lamps:  []panel.Lamp{{ID: "orbit-701", Colour: panel.Off}, {ID: "fault", Colour: panel.Off}},
		Peers:  []panel.Peer{{Name: "dock-2", State: panel.PeerAlive}}}
	tell(panel.Status{}, idle)

	rings := idle
	rings.Phone.State, rings.Phone.Ring, rings.Phone.Party = "ringing", "normal", jane
	rings.Calls = []panel.Call{{ID: "c1", State: "ringing", Direction: "in", Remote: jane}}
	tell(idle, rings)

	talks := rings
	talks.Phone = panel.Phone{HookUp: true, State: "talking", Party: jane, Volume: 5, VolumeMax: 10}
	talks.Calls = []panel.Call{{ID: "c1", State: "talking", Direction: "in", Remote: jane}}
	tell(rings, talks)
	moved := talks
	moved.At = at(9)
	moved.Calls = slices.Clone(talks.Calls)
	moved.Calls[0].Media.Sent = 450 // counters are no news
	tell(talks, moved)

	parked := talks
	parked.Phone = panel.Phone{HookUp: true, State: "parked", Prompt: "parked on seven zero one", PromptAt: at(10), Volume: 5, VolumeMax: 10}
	parked.Orbits = []panel.Orbit{{Number: "701", State: panel.StateParkedHere, Caller: jane, Parker: dock, Host: "dock-1", Since: at(10), Calls: make([]panel.ParkedCall, 1)}, idle.Orbits[1]}
	parked.Lamps = []panel.Lamp{{ID: "orbit-701", Colour: panel.Green, Pattern: "parked-here"}, {ID: "fault", Colour: panel.Off}}
	parked.Calls = []panel.Call{{ID: "c1", State: "parked", Direction: "in", Remote: jane, Orbit: "701"}}
	tell(talks, parked)

	again := parked // the same words once more
	again.Phone.PromptAt = at(20)
	tell(parked, again)

	ill := again
	ill.Peers = []panel.Peer{{Name: "dock-2", State: panel.PeerDead}}
	ill.Health = []panel.Condition{{Code: "peer-dead", Severity: panel.SeverityError, Text: "dock-2 does not answer", Hint: "look at it"}}
	ill.Accounts = []panel.Account{{AOR: "sip:a@b", State: "failed", Reason: "403 Forbidden"}}
	ill.Lamps = []panel.Lamp{ill.Lamps[0], {ID: "fault", Colour: panel.Amber, Pattern: "fault"}}
	ill.Orbits = []panel.Orbit{ill.Orbits[0], {Number: "702", State: panel.StateUnknown, Host: "dock-2"}}
	tell(again, ill)

	tell(ill, idle)
	golden(t, "changes.txt", all.String())
}

// watchLines runs parkctl watch and returns its lines; end interrupts it.
func watchLines(t *testing.T, socket string, args ...string) (lines *bufio.Scanner, end func() int) {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		c := tool{out: w, err: w, env: func(string) string { return socket }}
		code <- c.run(ctx, append([]string{"watch"}, args...))
		w.Close()
	}()
	lines = bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	return lines, func() int {
		cancel()
		for lines.Scan() { // what it was printing
		}
		return <-code
	}
}

func TestWatch(t *testing.T) {
	s := dock1()
	a := &appliance{s: s, changed: func() {}}
	socket := t.TempDir() + "/phoned.sock"
	stop := run(t, a, socket)
	lines, end := watchLines(t, socket)
	until := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("watch ended without %q", want)
	}
	until("dock-1          watching")
	until("orbit 701       parked here: Acme�[2J (0761234567), by Dock 1 (201), on dock-1")
	until("health          office does not answer; look whether it has power and network")
	s.At = begin.Add(1500 * time.Millisecond)
	s.Orbits = slices.Clone(s.Orbits)
	s.Orbits[0] = panel.Orbit{Number: "701", State: panel.StateFree}
	a.set(s)
	until(s.At.Local().Format("15:04:05.000") + "  orbit 701       free")
	stop()
	until("stopped answering")
	run(t, a, socket)
	until("watching")
	if code := end(); code != 0 {
		t.Errorf("interrupted: exit %d, want 0", code)
	}
}

func TestWatchJSON(t *testing.T) {
	a, socket := serve(t, dock1())
	lines, end := watchLines(t, socket, "--json")
	for _, name := range []string{"dock-1", "dock-9"} {
		var s panel.Status
		if !lines.Scan() {
			t.Fatal("watch ended")
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil || s.Appliance.Name != name {
			t.Errorf("line %s of %q (%v), want %s", lines.Text(), s.Appliance.Name, err, name)
		}
		s.Appliance.Name = "dock-9"
		a.set(s)
	}
	if code := end(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestWatchNobody(t *testing.T) {
	code, out, errs := parkctl(t.TempDir()+"/phoned.sock", "watch")
	if code != 1 || out != "" || !strings.Contains(errs, "no appliance on") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}
