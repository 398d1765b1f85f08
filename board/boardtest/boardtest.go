// Package boardtest holds the conformance suite that every Board driver passes: the simulated one and kernel
// GPIO lines. It never looks inside a driver; what it needs from the outside world is the Hand.
//
// It starts a goroutine where one waits, and ends it.
package boardtest

import (
	"errors"
	"testing"
	"time"

	"parklamp/board"
)

// Hand is the outside of a board: fingers on its keys and eyes on its LEDs. Movements are clean (no bounce).
type Hand interface {
	Press(k board.Key) error
	Release(k board.Key) error
	SetHook(up bool) error
	LED(line board.Line) bool
}

// Rig is one board under test.
type Rig struct {
	Board board.Board
	Hand  Hand
	// Wait lets d pass: time.Sleep on hardware, and in a synctest bubble too.
	Wait func(d time.Duration)
}

// edgeWait is longer than any driver may take from a movement to its edge.
const edgeWait = 50 * time.Millisecond

// Run checks the driver. open is called for each case; it makes a new board in the state after power-on, calls
// test with it and cleans up.
func Run(t *testing.T, open func(t *testing.T, test func(t *testing.T, r Rig))) {
	cases := []struct {
		name string
		test func(t *testing.T, r Rig)
	}{
		{"every key is at its crossing", everyKey},
		{"unselected rows float", rowsFloat},
		{"idle: any key raises an edge", keyEdge},
		{"hook level and edge", hook},
		{"edges wait for a reader that is late", lateReader},
		{"waiting ends when it should", waiting},
		{"one LED line at a time", leds},
		{"all LED lines at once", manyLEDs},
		{"lines that do not exist", noLine},
		{"two keys in a row and in a column", twoKeys},
		{"three corners show a fourth unless there are diodes", ghost},
		{"close", closed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { open(t, c.test) })
	}
}

// Scan reads the whole matrix, a column mask for each row.
func Scan(t *testing.T, r Rig) []uint32 {
	t.Helper()
	m := r.Board.Model()
	rows := make([]uint32, len(m.Rows))
	for i := range m.Rows {
		if err := r.Board.SelectRows(1 << i); err != nil {
			t.Fatalf("select row %d: %v", i, err)
		}
		r.Wait(m.Settle)
		columns, err := r.Board.Columns()
		if err != nil {
			t.Fatalf("read columns: %v", err)
		}
		rows[i] = columns
	}
	return rows
}

func press(t *testing.T, r Rig, keys ...board.Key) {
	t.Helper()
	for _, k := range keys {
		if err := r.Hand.Press(k); err != nil {
			t.Fatal(err)
		}
	}
}

func release(t *testing.T, r Rig, keys ...board.Key) {
	t.Helper()
	for _, k := range keys {
		if err := r.Hand.Release(k); err != nil {
			t.Fatal(err)
		}
	}
}

func everyKey(t *testing.T, r Rig) {
	for _, k := range r.Board.Model().Keys {
		press(t, r, k.Key)
		for row, columns := range Scan(t, r) {
			want := uint32(0)
			if row == k.Row {
				want = 1 << k.Column
			}
			if columns != want {
				t.Errorf("key %s pressed: row %d reads %#b, want %#b", k.Key, row, columns, want)
			}
		}
		release(t, r, k.Key)
	}
	for row, columns := range Scan(t, r) {
		if columns != 0 {
			t.Errorf("nothing pressed: row %d reads %#b", row, columns)
		}
	}
}

func rowsFloat(t *testing.T, r Rig) {
	m := r.Board.Model()
	if len(m.Keys) == 0 {
		return
	}
	k := m.Keys[0]
	press(t, r, k.Key)
	if err := r.Board.SelectRows(m.AllRows() &^ (1 << k.Row)); err != nil {
		t.Fatal(err)
	}
	r.Wait(m.Settle)
	if columns, err := r.Board.Columns(); err != nil || columns != 0 {
		t.Errorf("all rows but the key's: columns %#b, %v; want none", columns, err)
	}
	if err := r.Board.SelectRows(0); err != nil {
		t.Fatal(err)
	}
	r.Wait(m.Settle)
	if columns, err := r.Board.Columns(); err != nil || columns != 0 {
		t.Errorf("no row selected: columns %#b, %v; want none", columns, err)
	}
}

// edges takes what is queued, and waits for the first at most limit.
func edges(t *testing.T, r Rig, limit time.Duration) []board.Edge {
	t.Helper()
	all, err := r.Board.Wait(limit, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// nextEdge returns the one edge that comes within edgeWait.
func nextEdge(t *testing.T, r Rig) board.Edge {
	t.Helper()
	all := edges(t, r, edgeWait)
	if len(all) != 1 {
		t.Fatalf("edges %+v, want one", all)
	}
	return all[0]
}

func keyEdge(t *testing.T, r Rig) {
	m := r.Board.Model()
	if err := r.Board.SelectRows(m.AllRows()); err != nil {
		t.Fatal(err)
	}
	r.Wait(m.Settle)
	edges(t, r, 0)
	for _, k := range m.Keys {
		press(t, r, k.Key)
		if e := nextEdge(t, r); e.Input != board.Column || e.Index != k.Column || !e.Active || e.At.IsZero() {
			t.Errorf("press %s: edge %+v, want column %d active", k.Key, e, k.Column)
		}
		release(t, r, k.Key)
		if e := nextEdge(t, r); e.Input != board.Column || e.Index != k.Column || e.Active {
			t.Errorf("release %s: edge %+v, want column %d inactive", k.Key, e, k.Column)
		}
	}
}

func hook(t *testing.T, r Rig) {
	if r.Board.Model().Hook == "" {
		return
	}
	for _, up := range []bool{true, false, true} {
		if err := r.Hand.SetHook(up); err != nil {
			t.Fatal(err)
		}
		if e := nextEdge(t, r); e.Input != board.Hook || e.Active != up {
			t.Errorf("hook up %v: edge %+v", up, e)
		}
		if got, err := r.Board.HookUp(); err != nil || got != up {
			t.Errorf("hook up %v: reads %v, %v", up, got, err)
		}
	}
}

// What a hand does while nobody reads is told with the times at which it was done, and all of it at once.
func lateReader(t *testing.T, r Rig) {
	m := r.Board.Model()
	if len(m.Keys) == 0 {
		return
	}
	if err := r.Board.SelectRows(m.AllRows()); err != nil {
		t.Fatal(err)
	}
	r.Wait(m.Settle)
	edges(t, r, 0)
	k := m.Keys[0]
	const held = 20 * time.Millisecond
	for range 3 {
		press(t, r, k.Key)
		time.Sleep(held)
		release(t, r, k.Key)
		time.Sleep(held)
	}
	time.Sleep(2 * edgeWait)
	now := time.Now()
	all := edges(t, r, 0)
	if len(all) != 6 {
		t.Fatalf("three presses: edges %+v", all)
	}
	for i, e := range all {
		if e.Input != board.Column || e.Index != k.Column || e.Active != (i%2 == 0) {
			t.Errorf("edge %d: %+v", i, e)
		}
		if i > 0 && e.At.Sub(all[i-1].At) < held*9/10 {
			t.Errorf("edges %d and %d are %v apart, want %v", i-1, i, e.At.Sub(all[i-1].At), held)
		}
	}
	if age := now.Sub(all[5].At); age < held+2*edgeWait-time.Millisecond {
		t.Errorf("the last edge is %v old", age)
	}
	if rest := edges(t, r, 0); len(rest) != 0 {
		t.Errorf("edges that were told before: %+v", rest)
	}
}

func waiting(t *testing.T, r Rig) {
	edges(t, r, 0)
	began := time.Now()
	if all := edges(t, r, edgeWait); len(all) != 0 || time.Since(began) < edgeWait {
		t.Errorf("with nothing to tell: %+v after %v", all, time.Since(began))
	}
	began = time.Now()
	if r.Board.Sleep(edgeWait / 10); time.Since(began) < edgeWait/10 {
		t.Errorf("a sleep of %v took %v", edgeWait/10, time.Since(began))
	}
	r.Board.Interrupt()
	edges(t, r, 0) // takes what is there and waits for nothing: the interrupt is for who waits
	if all := edges(t, r, board.Forever); len(all) != 0 {
		t.Errorf("interrupted before: %+v", all)
	}
	ended := make(chan error, 1)
	wait := func() {
		_, err := r.Board.Wait(board.Forever, nil)
		ended <- err
	}
	go wait()
	time.Sleep(edgeWait / 5)
	r.Board.Interrupt()
	if err := <-ended; err != nil {
		t.Errorf("interrupted: %v", err)
	}
	go wait()
	time.Sleep(edgeWait / 5)
	if err := r.Board.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, board.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func leds(t *testing.T, r Rig) {
	m := r.Board.Model()
	for i := range m.LEDs {
		if r.Hand.LED(board.Line(i)) {
			t.Errorf("LED %s is lit at power-on", m.LEDs[i])
		}
	}
	for i := range m.LEDs {
		for _, on := range []bool{true, true, false} {
			if err := r.Board.SetLED(board.Line(i), on); err != nil {
				t.Fatalf("LED %s: %v", m.LEDs[i], err)
			}
			for j := range m.LEDs {
				if got, want := r.Hand.LED(board.Line(j)), on && i == j; got != want {
					t.Errorf("LED %s set to %v: %s is %v", m.LEDs[i], on, m.LEDs[j], got)
				}
			}
		}
	}
}

func manyLEDs(t *testing.T, r Rig) {
	m := r.Board.Model()
	for round := range 3 {
		var changes []board.LEDChange
		for i := range m.LEDs {
			if (i+round)%3 != 0 { // those that are left out stay as they are
				changes = append(changes, board.LEDChange{Line: board.Line(i), On: (i+round)%2 == 0, Err: errors.New("from before")})
			}
		}
		changes = append(changes, board.LEDChange{Line: board.Line(len(m.LEDs)), On: true})
		before := make([]bool, len(m.LEDs))
		for i := range before {
			before[i] = r.Hand.LED(board.Line(i))
		}
		r.Board.SetLEDs(changes)
		for _, c := range changes {
			if int(c.Line) == len(m.LEDs) {
				if !errors.Is(c.Err, board.ErrNoLine) {
					t.Errorf("LED line %d: %v, want ErrNoLine", c.Line, c.Err)
				}
				continue
			}
			if c.Err != nil {
				t.Errorf("LED line %d: %v", c.Line, c.Err)
			}
			before[c.Line] = c.On
		}
		for i, want := range before {
			if got := r.Hand.LED(board.Line(i)); got != want {
				t.Errorf("round %d: LED line %d is %v, want %v", round, i, got, want)
			}
		}
	}
}

func noLine(t *testing.T, r Rig) {
	m := r.Board.Model()
	for _, l := range []board.Line{board.NoLine, board.Line(len(m.LEDs))} {
		if err := r.Board.SetLED(l, true); !errors.Is(err, board.ErrNoLine) {
			t.Errorf("LED line %d: %v, want ErrNoLine", l, err)
		}
	}
	if len(m.Rows) < 32 {
		if err := r.Board.SelectRows(1 << len(m.Rows)); !errors.Is(err, board.ErrNoLine) {
			t.Errorf("row %d: %v, want ErrNoLine", len(m.Rows), err)
		}
	}
}

func twoKeys(t *testing.T, r Rig) {
	m := r.Board.Model()
	for _, k := range m.Keys[1:] {
		first := m.Keys[0]
		press(t, r, first.Key, k.Key)
		want := make([]uint32, len(m.Rows))
		want[first.Row] |= 1 << first.Column
		want[k.Row] |= 1 << k.Column
		for row, columns := range Scan(t, r) {
			// Two keys in a column join their rows, but join no other column: both rows read that column.
			if columns != want[row] {
				t.Errorf("%s and %s: row %d reads %#b, want %#b", first.Key, k.Key, row, columns, want[row])
			}
		}
		release(t, r, first.Key, k.Key)
	}
}

// Corners finds keys at three corners of a rectangle and the crossing of the fourth.
func Corners(m board.Model) (keys [3]board.Key, row, column int, ok bool) {
	for _, a := range m.Keys {
		for _, b := range m.Keys {
			for _, c := range m.Keys {
				if a.Row == b.Row && a.Column != b.Column && b.Column == c.Column && c.Row != b.Row {
					return [3]board.Key{a.Key, b.Key, c.Key}, c.Row, a.Column, true
				}
			}
		}
	}
	return keys, 0, 0, false
}

func ghost(t *testing.T, r Rig) {
	m := r.Board.Model()
	keys, row, column, ok := Corners(m)
	if !ok {
		return
	}
	press(t, r, keys[:]...)
	seen := Scan(t, r)[row]&(1<<column) != 0
	if seen == m.Diodes {
		t.Errorf("keys %v: fourth corner (%d,%d) reads %v with diodes %v", keys, row, column, seen, m.Diodes)
	}
}

func closed(t *testing.T, r Rig) {
	m := r.Board.Model()
	if len(m.LEDs) > 0 {
		if err := r.Board.SetLED(0, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Board.Close(); err != nil {
		t.Fatal(err)
	}
	if len(m.LEDs) > 0 && r.Hand.LED(0) {
		t.Error("an LED is lit after Close")
	}
	if err := r.Board.SelectRows(0); !errors.Is(err, board.ErrClosed) {
		t.Errorf("SelectRows after Close: %v", err)
	}
	if _, err := r.Board.Columns(); !errors.Is(err, board.ErrClosed) {
		t.Errorf("Columns after Close: %v", err)
	}
	if _, err := r.Board.HookUp(); !errors.Is(err, board.ErrClosed) {
		t.Errorf("HookUp after Close: %v", err)
	}
	if _, err := r.Board.Wait(board.Forever, nil); !errors.Is(err, board.ErrClosed) {
		t.Errorf("Wait after Close: %v", err)
	}
}
