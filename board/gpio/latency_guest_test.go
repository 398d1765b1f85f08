//go:build guest

package gpio

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/board"
	"parklamp/keypad"
	"parklamp/leds"
)

// Limits of the product, by the guest's clock.
const (
	keyLimit  = 15 * time.Millisecond // edge of a contact to its event, p99
	lampLimit = 10 * time.Millisecond // new state of a lamp to its LED
	scanLimit = 10 * time.Millisecond // the whole matrix
	idleLimit = 1.0                   // % of a core with nothing to do
)

// watched takes the time of a scan: from the first row's selection to the reading after the last one's.
type watched struct {
	board.Board
	rows  uint32
	began time.Time
	scans []time.Duration
}

func (w *watched) SelectRows(rows uint32) error {
	w.rows = rows
	if rows == 1 {
		w.began = time.Now()
	}
	return w.Board.SelectRows(rows)
}

func (w *watched) Columns() (uint32, error) {
	c, err := w.Board.Columns()
	if w.rows == 1<<(len(w.Model().Rows)-1) {
		w.scans = append(w.scans, time.Since(w.began))
	}
	return c, err
}

// figure prints a line that a report can take over.
func figure(t *testing.T, what string, all []time.Duration, limit time.Duration) {
	t.Helper()
	slices.Sort(all)
	p50, p99, most := all[len(all)/2], all[len(all)*99/100], all[len(all)-1]
	if testing.Verbose() && p99 > limit/2 {
		t.Logf("%s: the slowest are %v", what, all[max(len(all)-10, 0):])
	}
	fmt.Printf("FIGURE %s: p50 %.2f ms, p99 %.2f ms, most %.2f ms of %d\n", what, ms(p50), ms(p99), ms(most), len(all))
	if p99 > limit {
		t.Errorf("%s: p99 is %v, allowed is %v", what, p99, limit)
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// fast is the board with the settle time of the real ones: the columns of the simulation follow at once.
func fast(t *testing.T) (board.Model, *simulation, *Board) {
	t.Helper()
	m := virt(t)
	m.Settle = 50 * time.Microsecond
	s := simulate(t, m)
	b, err := Open(m)
	if err != nil {
		t.Fatal(err)
	}
	if f := b.Faults(); len(f) > 0 {
		t.Fatalf("faults: %+v", f)
	}
	return m, s, b
}

// Key edge to event, by the kernel's stamp of the interrupt, for every key; and the time of the scans that took.
func TestKeyLatency(t *testing.T) {
	m, s, b := fast(t)
	defer b.Close()
	w := &watched{Board: s.Wired(b)}
	events := make(chan keypad.Event, 16)
	scanner := keypad.New(keypad.Default(), w, func(e keypad.Event) { events <- e }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- scanner.Run(ctx) }()
	next := func(what string) keypad.Event {
		t.Helper()
		select {
		case e := <-events:
			return e
		case <-time.After(5 * time.Second):
			t.Fatalf("no event of %s", what)
			return keypad.Event{}
		}
	}
	_ = s.SetHook(true) // its event says that the scanner is at rest and the columns raise edges
	next("the hook")
	var took []time.Duration
	for range 8 {
		for _, k := range m.Keys {
			time.Sleep(5 * time.Millisecond)
			if err := s.Press(k.Key); err != nil {
				t.Fatal(err)
			}
			e := next("the press of " + string(k.Key))
			if e.Key != k.Key || e.Kind != keypad.Down {
				t.Fatalf("press of %s: %v %s", k.Key, e.Kind, e.Key)
			}
			took = append(took, e.Seen.Sub(e.At))
			if err := s.Release(k.Key); err != nil {
				t.Fatal(err)
			}
			if e := next("the release of " + string(k.Key)); e.Key != k.Key || e.Kind != keypad.Up {
				t.Fatalf("release of %s: %v %s", k.Key, e.Kind, e.Key)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	figure(t, "key edge to event", took, keyLimit)
	figure(t, "scan of the whole matrix", w.scans, scanLimit)
}

// New state of a lamp to its LED, for every lamp, and for all of them at once.
func TestLampLatency(t *testing.T) {
	m, s, b := fast(t)
	defer b.Close()
	d := leds.New(b, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	until := func(lit bool, lines ...board.Line) time.Duration {
		began := time.Now()
		for slices.ContainsFunc(lines, func(l board.Line) bool { return s.LED(l) != lit }) {
			if time.Since(began) > time.Second {
				t.Fatalf("LED lines %v are not %v", lines, lit)
			}
		}
		return time.Since(began)
	}
	var one, all []time.Duration
	for range 8 {
		for _, l := range m.Lamps {
			line := slices.Max([]board.Line{l.Red, l.Green, l.Steady})
			d.Set(l.Lamp, leds.Unknown)
			one = append(one, until(true, line))
			d.Set(l.Lamp, leds.Free)
			one = append(one, until(false, line))
		}
	}
	var lines []board.Line
	for _, l := range m.Lamps {
		if l.Green != board.NoLine {
			lines = append(lines, l.Green)
		}
	}
	for range 20 {
		for _, state := range []leds.State{leds.Unknown, leds.Free} {
			for _, l := range m.Lamps {
				d.Set(l.Lamp, state)
			}
			all = append(all, until(state != leds.Free, lines...))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	figure(t, "lamp change", one, lampLimit)
	figure(t, fmt.Sprintf("change of %d lamps at once, looked at one by one", len(lines)), all, 2*lampLimit)
}

// At rest, keys and lamps cost nothing: interrupts, no polling.
func TestIdleCPU(t *testing.T) {
	_, s, b := fast(t)
	defer b.Close()
	scanner := keypad.New(keypad.Default(), s.Wired(b), func(keypad.Event) {}, slog.New(slog.DiscardHandler))
	d := leds.New(b, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- scanner.Run(ctx) }()
	go func() { done <- d.Run(ctx) }()
	time.Sleep(time.Second)
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for _, c := range []struct {
		what  string
		state leds.State
		limit float64
	}{{"dark", leds.Free, idleLimit}, {"a lamp blinking", leds.ParkedHere, 3 * idleLimit}} {
		d.Set("orbit-701", c.state)
		time.Sleep(100 * time.Millisecond)
		scans, before := scanner.Stats().Scans, used()
		const watch = 10 * time.Second
		time.Sleep(watch)
		percent := float64(used()-before) / float64(watch) * 100
		fmt.Printf("FIGURE idle keys and lamps, %s: %.2f %% of a core, %d scans in %v\n", c.what, percent, scanner.Stats().Scans-scans, watch)
		if percent > c.limit || scanner.Stats().Scans != scans {
			t.Errorf("%s: %.2f %% of a core, allowed is %.1f; %d scans, want none", c.what, percent, c.limit, scanner.Stats().Scans-scans)
		}
	}
	cancel()
	<-done
	<-done
}
