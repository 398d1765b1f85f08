package keypad

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/board"
	"parklamp/board/sim"
)

// wiring is a hand on a matrix whose wires are wrong in some way.
type wiring struct {
	t     *testing.T
	m     *Machine
	model board.Model
	at    time.Time
	wrong func(rows []uint32)
	keys  map[board.Key]bool
	down  []string
}

func newWiring(t *testing.T, wrong func([]uint32)) *wiring {
	m := desk(t)
	w := &wiring{t: t, m: NewMachine(Default(), m), model: m, at: time.Unix(0, 0), wrong: wrong, keys: map[board.Key]bool{}}
	w.pass(10 * time.Millisecond) // what is down at the start is no press
	return w
}

// pass scans for a time.
func (w *wiring) pass(d time.Duration) {
	for end := w.at.Add(d); w.at.Before(end); w.at = w.at.Add(2 * time.Millisecond) {
		rows := make([]uint32, len(w.model.Rows))
		for k := range w.keys {
			at, _ := w.model.Key(k)
			rows[at.Row] |= 1 << at.Column
		}
		w.wrong(rows)
		for _, e := range w.m.Scan(Sample{At: w.at, Rows: rows}) {
			if e.Kind == Down {
				w.down = append(w.down, string(e.Key))
			}
		}
	}
}

func (w *wiring) press(keys ...board.Key) {
	for _, k := range keys {
		w.keys[k] = true
	}
	w.pass(60 * time.Millisecond)
	clear(w.keys)
	w.pass(100 * time.Millisecond)
}

// want compares what is known to be wrong.
func (w *wiring) want(names ...string) {
	w.t.Helper()
	now, _ := w.m.Shorts()
	var got []string
	for _, s := range now {
		got = append(got, s.Name(w.model))
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		w.t.Errorf("shorts %v, want %v", got, names)
	}
}

func TestLowColumn(t *testing.T) {
	grounded := true
	w := newWiring(t, func(rows []uint32) {
		for r := range rows {
			if grounded {
				rows[r] |= 1 << 1
			}
		}
	})
	w.pass(time.Second)
	w.want("COL1")
	now, _ := w.m.Shorts()
	if text := now[0].Text(w.model); !strings.Contains(text, "column COL1") || !strings.Contains(text, "2, 5, 8, 0, Do not disturb") {
		t.Errorf("it says %q", text)
	}
	w.press("1")
	w.press("2") // dead
	if got := strings.Join(w.down, " "); got != "1" {
		t.Errorf("presses %q: a short is no key, and does not deafen the others", got)
	}
	if w.m.Next() < 10*time.Millisecond {
		t.Errorf("looks again after %v: nobody waits for a wire", w.m.Next())
	}
	grounded = false
	w.pass(20 * time.Millisecond)
	w.want()
	w.press("2")
	if got := strings.Join(w.down, " "); got != "1 2" {
		t.Errorf("after mending: %q", got)
	}
}

func TestJoinedRows(t *testing.T) {
	joined := true
	w := newWiring(t, func(rows []uint32) {
		if joined {
			rows[1] |= rows[2]
			rows[2] |= rows[1]
		}
	})
	for _, k := range []board.Key{"4", "5", "1", "8"} {
		w.want() // not yet: fingers do press two keys at once
		w.press(k)
	}
	w.want("ROW1-ROW2")
	w.down = nil
	w.press("7")
	w.press("2")
	if got := strings.Join(w.down, " "); got != "2" {
		t.Errorf("presses %q: of joined rows nothing is known", got)
	}
	joined = false
	w.press("7")
	w.want()
	if got := strings.Join(w.down, " "); got != "2 7" {
		t.Errorf("after mending: %q", got)
	}
}

func TestJoinedColumns(t *testing.T) {
	w := newWiring(t, func(rows []uint32) {
		for r := range rows {
			if rows[r]&0b1001 != 0 {
				rows[r] |= 0b1001
			}
		}
	})
	w.press("1")
	w.press("4")
	w.press("7")
	w.want("COL0-COL3")
}

func TestFingersAreNoShort(t *testing.T) {
	w := newWiring(t, func([]uint32) {})
	for range 5 {
		w.press("1", "4") // a glove that hits two
		w.press("1", "4")
		w.press("4")
		w.press("1", "2")
	}
	w.want()
}

// Two fingers that always come together look like joined lines, until one of them lies on its key alone: then the other's press
// counts as well.
func TestFingersAreAcquitted(t *testing.T) {
	for _, keys := range [][2]board.Key{{"1", "4"}, {"1", "2"}} { // of a column, of a row
		w := newWiring(t, func([]uint32) {})
		for range twinsMost {
			w.press(keys[0], keys[1])
		}
		if now, _ := w.m.Shorts(); len(now) != 1 {
			t.Errorf("%v: shorts %v", keys, now)
		}
		w.down = nil
		w.keys[keys[0]] = true
		w.pass(50 * time.Millisecond)
		w.want()
		w.press(keys[0], keys[1])
		if got := strings.Join(w.down, " "); got != string(keys[0]+" "+keys[1]) {
			t.Errorf("presses %q", got)
		}
	}
}

// Joined lines whose contact chatters, so that a look sees only one of them, are not acquitted by that.
func TestJoinedRowsThatChatter(t *testing.T) {
	looks := 0
	w := newWiring(t, func(rows []uint32) {
		rows[1] |= rows[2]
		rows[2] |= rows[1]
		if looks++; looks%8 < 2 {
			rows[2] = 0
		}
	})
	for range 8 {
		w.keys["4"] = true
		w.pass(200 * time.Millisecond)
		w.press()
	}
	w.want("ROW1-ROW2")
}

func TestJoinedWhereNoKeyIs(t *testing.T) {
	m, err := board.Load("desk", []string{"701"})
	if err != nil {
		t.Fatal(err)
	}
	w := newWiring(t, func(rows []uint32) { rows[6] |= 1 << 2 })
	w.model, w.m = m, NewMachine(Default(), m)
	w.pass(20 * time.Second)
	w.want()
	w.pass(20 * time.Second)
	w.want("ROW6-COL2")
}

func TestScannerTellsOfShorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(desk(t), sim.Options{})
		s := New(Default(), b, func(Event) {}, slog.New(slog.DiscardHandler))
		var told [][]Short
		s.OnShort(func(now []Short) { told = append(told, now) })
		done := make(chan error, 1)
		go func() { done <- s.Run(t.Context()) }()
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		for _, k := range []board.Key{"1", "2", "4"} { // three corners: the fourth is 5
			b.Press(k)
		}
		time.Sleep(10 * time.Second)
		for _, k := range []board.Key{"1", "2", "4"} {
			b.Release(k)
		}
		time.Sleep(time.Second)
		b.Close()
		<-done
		if len(told) != 2 || len(told[0]) != 1 || told[0][0].Cause != Alike || len(told[1]) != 0 {
			t.Errorf("told %v", told)
		}
	})
}

// A finger that hammers, or a machine in its place, on a switch that bounces is no line that flickers.
func TestHammering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, sim.Options{Bounce: 5 * time.Millisecond, Seed: 1})
		b.OnShort(func(now []Short) {
			if len(now) > 0 {
				t.Errorf("named %q", now[0].Text(b.Board.Model()))
			}
		})
		for range 500 {
			b.Press("park")
			time.Sleep(12 * time.Millisecond)
			b.Release("park")
			time.Sleep(36 * time.Millisecond)
		}
		if got := len(b.take()); got < 900 {
			t.Errorf("%d events", got)
		}
		b.end()
	})
}

// Who plays with the hook, on a worn switch that bounces thirty times at each movement, has none that flickers either.
func TestPlayingWithTheHook(t *testing.T) {
	w := newWiring(t, func([]uint32) {})
	up := false
	for range 8 * 12 { // 12 s
		up = !up
		var edges []board.Edge
		for i := range 31 {
			edges = append(edges, board.Edge{Input: board.Hook, Active: up == (i%2 == 0), At: w.at.Add(time.Duration(i) * time.Millisecond / 2)})
		}
		for end := w.at.Add(125 * time.Millisecond); w.at.Before(end); edges = nil {
			w.at = w.at.Add(20 * time.Millisecond)
			w.m.Scan(Sample{At: w.at, Rows: make([]uint32, len(w.model.Rows)), Edges: edges, Hook: up})
		}
		w.want()
	}
}

// A line that moves more often than hands can move it is named, until it rests.
func TestFlicker(t *testing.T) {
	for name, c := range map[string]struct {
		pulses int // a second
		edge   board.Edge
		want   string
	}{
		"hum on a column":       {50, board.Edge{Input: board.Column, Index: 1}, "COL1"},
		"hum on the hook":       {50, board.Edge{Input: board.Hook}, "HOOK"},
		"a finger that bounces": {35, board.Edge{Input: board.Column, Index: 1}, ""},
		"a line that is none":   {50, board.Edge{Input: board.Column, Index: 9}, ""},
	} {
		w := newWiring(t, func([]uint32) {})
		every := time.Second / time.Duration(c.pulses)
		for end := w.at.Add(2*flickerFor + every); w.at.Before(end); w.at = w.at.Add(every) {
			made, lost := c.edge, c.edge
			made.Active, made.At, lost.At = true, w.at.Add(-time.Millisecond), w.at
			w.m.Scan(Sample{At: w.at, Rows: make([]uint32, len(w.model.Rows)), Edges: []board.Edge{made, lost}})
		}
		w.want(strings.Fields(c.want)...)
		rest := w.m.Rest(w.at)
		if (rest == board.Forever) != (c.want == "") || rest > flickerFor {
			t.Errorf("%s: rests for %v", name, rest)
		}
		if c.want == "" {
			continue
		}
		now, _ := w.m.Shorts()
		if text := now[0].Text(w.model); !strings.Contains(text, c.want+" changed 400 times or more within 5s, and no ") || !strings.Contains(now[0].Hint(), "a bell or a relay") {
			t.Errorf("%s: it says %q", name, text)
		}
		for range 2 {
			w.at = w.at.Add(w.m.Rest(w.at))
			w.pass(2 * time.Millisecond)
		}
		w.want()
	}
}
