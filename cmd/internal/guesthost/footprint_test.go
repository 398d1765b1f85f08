//go:build image

package guesthost

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parklamp/cmd/internal/hands"
	"parklamp/parkd/panel"
)

// figure prints a row of the README's table, and fails if it is beyond its limit.
func figure(t *testing.T, what, unit string, value, limit float64) {
	t.Helper()
	t.Logf("| %s | %.1f %s | below %g %s |", what, value, unit, limit, unit)
	if value >= limit {
		t.Errorf("%s: %.1f %s, want below %g", what, value, unit, limit)
	}
}

const mb = 1e6

// TestFootprintOfTheImage reads what make image has counted.
func TestFootprintOfTheImage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(built.image, "image.json"))
	if err != nil {
		t.Fatal(err)
	}
	var image struct {
		Files  float64 `json:"slot_files_bytes"`
		Packed float64 `json:"compressed_bytes"`
		Slot   float64 `json:"slot_bytes"`
		Phoned float64 `json:"phoned_bytes"`
	}
	if err := json.Unmarshal(text, &image); err != nil {
		t.Fatal(err)
	}
	figure(t, "image: kernel, root and programs of a slot", "MB", image.Files/mb, 40)
	figure(t, "image: slot as an update brings it", "MB", image.Slot/mb, 40)
	figure(t, "image: whole card, compressed", "MB", image.Packed/mb, 40)
	figure(t, "phoned, stripped", "MB", image.Phoned/mb, 16)
}

// TestFootprintOfTime measures in a clock of 250 million instructions a second, less than the slowest board has: power-on
// to ready, first (with the identity taken in) and later, and what an idle phone costs.
func TestFootprintOfTime(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1", Clock: Steady}, number: "201", last: 11})
	for _, boot := range []string{"first", "later"} {
		p.must(p.Ready(t.Context()))
		up, err := p.Up(t.Context(), socket)
		p.must(err)
		p.ready()
		figure(t, "power-on to ready to park, "+boot+" boot, guest clock", "s", up.Seconds(), 6)
		if boot == "first" {
			p.PullPlug()
			p = s.on(spec{Machine: Machine{Name: p.Name, Clock: Steady, Card: p.Card, Cable: p.Cable}, number: "201", last: 11})
		}
	}
	sleep := func(d time.Duration) {
		_, err := p.Play(t.Context(), hands.Act{Then: d}) // the handset is where it was
		p.must(err)
	}
	sleep(10 * time.Second) // what a start leaves to be done
	before, err := p.Look(t.Context())
	p.must(err)
	sleep(20 * time.Second)
	after, err := p.Look(t.Context())
	p.must(err)
	wall := (after.Uptime - before.Uptime).Seconds()
	cpu := func(m hands.Machine) (all time.Duration) {
		for _, x := range m.Processes {
			if x.Name == "phoned" || x.Name == "init" {
				all += x.CPU
			}
		}
		return all
	}
	figure(t, "idle: phoned and init, of one core of 250 million instructions a second", "%", 100*(cpu(after)-cpu(before)).Seconds()/wall, 1)
}

// TestFootprintOfKeys measures through all of phoned, from the contact to the lamp's line.
func TestFootprintOfKeys(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1", Clock: Steady}, number: "201"})
	p.ready()
	var all []time.Duration
	for range 20 {
		took, err := p.Reaction(t.Context(), "dnd", "dnd", hold, 5*time.Second)
		p.must(err)
		all = append(all, took)
		_, err = p.Play(t.Context(), hands.Act{Then: 200 * time.Millisecond})
		p.must(err)
	}
	slices.Sort(all)
	ms := func(i int) float64 { return all[i].Seconds() * 1000 }
	t.Logf("| key to lamp through phoned, matrix of 8 rows that settle for 2 ms, guest clock: p50, worst of 20 | %.1f, %.1f ms | |", ms(10), ms(19))
	if ms(10) > 60 { // a scan takes 16 ms here
		t.Errorf("key to lamp takes %.1f ms", ms(10))
	}
}

// TestFootprintOfMemory parks ten calls.
func TestFootprintOfMemory(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1"}, number: "201", last: 11})
	p.ready()
	t.Logf("| memory of phoned on arm, idle | %.1f MB | |", float64(p.process("phoned").RSS)/mb)
	var all []*caller
	for _, number := range []string{"701", "702", "703", "704", "705", "706", "707", "708", "709", "710"} {
		c := s.parks(p, number)
		c.connected()
		all = append(all, c)
		p.await(number+" parked", func(st panel.Status) bool { return orbit(st, number).Caller.Number == c.number })
	}
	time.Sleep(5 * time.Second) // music plays
	figure(t, "memory of phoned on arm, 10 calls parked", "MB", float64(p.process("phoned").RSS)/mb, 32)
	m, err := p.Look(t.Context())
	p.must(err)
	for _, x := range m.Processes {
		t.Logf("%s (%d): %.1f MB, %d threads", x.Name, x.PID, float64(x.RSS)/mb, x.Threads)
	}
	for _, c := range all {
		c.Stop()
	}
}
