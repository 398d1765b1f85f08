package keypad

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/board"
	"parklamp/board/boardtest"
	"parklamp/board/sim"
)

// bench is a scanner running on a simulated board inside a synctest bubble.
type bench struct {
	*sim.Board
	*Scanner
	events []Event // read only after synctest.Wait
	faults []error
	end    func() error
}

func start(t *testing.T, opts sim.Options) *bench {
	t.Helper()
	b := &bench{Board: sim.New(desk(t), opts)}
	b.Scanner = New(Default(), b.Board, func(e Event) { b.events = append(b.events, e) }, slog.New(slog.DiscardHandler))
	b.OnFault(func(err error) { b.faults = append(b.faults, err) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	b.end = func() error {
		cancel()
		err := <-done
		b.Board.Close()
		return err
	}
	synctest.Wait()
	time.Sleep(100 * time.Millisecond)
	return b
}

// take returns the events since the last call as "kind key".
func (b *bench) take() []string {
	synctest.Wait()
	var out []string
	for _, e := range b.events {
		out = append(out, fmt.Sprintf("%v %s", e.Kind, e.Key))
	}
	b.events = nil
	return out
}

func TestScannerWithBounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var worst time.Duration
		for seed := range uint64(8) {
			b := start(t, sim.Options{Bounce: 6 * time.Millisecond, Seed: seed})
			for _, k := range b.Board.Model().Keys {
				pressed := time.Now()
				b.Press(k.Key)
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				if len(b.events) != 1 || b.events[0].Key != k.Key || b.events[0].Kind != Down {
					t.Fatalf("seed %d, key %s: %v", seed, k.Key, b.events)
				}
				worst = max(worst, b.events[0].Seen.Sub(pressed))
				b.Release(k.Key)
				time.Sleep(100 * time.Millisecond)
				if got := b.take(); !slices.Equal(got, []string{"down " + string(k.Key), "up " + string(k.Key)}) {
					t.Fatalf("seed %d, key %s: %q", seed, k.Key, got)
				}
			}
			if err := b.end(); err != nil {
				t.Fatal(err)
			}
		}
		if worst > 12*time.Millisecond {
			t.Errorf("worst time from touch to event is %v", worst)
		}
		t.Logf("worst time from touch to event with 6 ms of bounce: %v", worst)
	})
}

func TestScannerRestsWithoutPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, sim.Options{})
		b.SetHook(true) // a handset off the hook is rest, too
		time.Sleep(time.Second)
		before := b.Stats().Scans
		time.Sleep(time.Hour)
		if got := b.Stats().Scans; got != before {
			t.Errorf("%d scans in an hour at rest", got-before)
		}
		b.Press("9")
		time.Sleep(5 * time.Millisecond)
		if got := b.take(); !slices.Equal(got, []string{"lifted hook", "down 9"}) {
			t.Errorf("got %q", got)
		}
		b.end()
	})
}

func TestScannerGhosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, sim.Options{Bounce: 4 * time.Millisecond})
		keys, _, _, _ := boardtest.Corners(b.Board.Model())
		for _, k := range keys {
			b.Press(k)
			time.Sleep(20 * time.Millisecond)
		}
		want := []string{"down " + string(keys[0]), "down " + string(keys[1])}
		if got := b.take(); !slices.Equal(got, want) {
			t.Errorf("three corners: %q, want %q", got, want)
		}
		if b.Stats().Ghosts != 1 {
			t.Errorf("%d ghosts counted", b.Stats().Ghosts)
		}
		b.Release(keys[0])
		time.Sleep(100 * time.Millisecond)
		want = []string{"down " + string(keys[2]), "up " + string(keys[0])}
		if got := b.take(); !slices.Equal(got, want) {
			t.Errorf("one corner released: %q, want %q", got, want)
		}
		b.end()
	})
}

// A jammed key must not deafen the others, least of all those that share its column.
func TestScannerHearsOthersWhileOneIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, sim.Options{Bounce: 2 * time.Millisecond})
		b.Press("1")
		time.Sleep(time.Minute)
		if got := b.take(); !slices.Equal(got, []string{"down 1", "long 1", "stuck 1"}) {
			t.Fatalf("got %q", got)
		}
		for _, k := range []board.Key{"4", "2", "park"} {
			b.Press(k)
			time.Sleep(15 * time.Millisecond)
			if got := b.take(); !slices.Equal(got, []string{"down " + string(k)}) {
				t.Errorf("%s: %q", k, got)
			}
			b.Release(k)
			time.Sleep(100 * time.Millisecond)
			b.take()
		}
		b.end()
	})
}

func TestScannerThrowsFailedReadsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, sim.Options{})
		b.Press("5")
		time.Sleep(20 * time.Millisecond)
		b.Break(errors.New("EIO"))
		time.Sleep(5 * time.Second)
		if got := b.take(); !slices.Equal(got, []string{"down 5"}) {
			t.Errorf("while broken: %q", got)
		}
		if len(b.faults) != 1 || b.faults[0] == nil || b.Stats().ReadErrors < 10 {
			t.Errorf("faults %v, %d read errors", b.faults, b.Stats().ReadErrors)
		}
		b.Break(nil)
		b.Release("5")
		time.Sleep(time.Second)
		if got := b.take(); !slices.Equal(got, []string{"up 5"}) {
			t.Errorf("after mending: %q", got)
		}
		if len(b.faults) != 2 || b.faults[1] != nil {
			t.Errorf("faults %v", b.faults)
		}
		b.end()
	})
}

func TestScannerEndsWithTheBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(desk(t), sim.Options{})
		s := New(Default(), b, func(Event) {}, slog.New(slog.DiscardHandler))
		done := make(chan error, 1)
		go func() { done <- s.Run(t.Context()) }()
		synctest.Wait()
		b.Close()
		if err := <-done; !errors.Is(err, board.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
	})
}

// storm lets the hook line flicker for a time, with pulses that are over before anybody can look. It returns the scans meanwhile.
func (b *bench) storm(every, lasts time.Duration) uint64 {
	before := b.Stats().Scans
	for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(every) {
		b.SetHook(true)
		b.SetHook(false)
	}
	return b.Stats().Scans - before
}

// A line that flickers costs no more than a look now and then, is named, and takes nothing from the keys.
func TestScannerBoundsAFlickeringLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, every := range []time.Duration{9 * time.Millisecond, 5 * time.Millisecond, time.Millisecond, 200 * time.Microsecond, 50 * time.Microsecond} {
			b := start(t, sim.Options{Bounce: 5 * time.Millisecond, Seed: 1})
			var named []string
			b.OnShort(func(now []Short) {
				for _, s := range now {
					named = append(named, s.Text(b.Board.Model()))
				}
				if len(now) == 0 {
					named = append(named, "none")
				}
			})
			const lasts = 11 * time.Second
			if most, n := uint64(lasts/(2*b.machine.cfg.ScanPeriod)), b.storm(every, lasts); n > most {
				t.Errorf("an edge every %v: %d scans in %v, want %d at most", every, n, lasts, most)
			}
			if got := b.take(); len(got) > 0 {
				t.Errorf("an edge every %v: %q", every, got)
			}
			if want := []string{"the hook switch HOOK changed 400 times or more within 5s, and no movement of the handset came of it: whether it is lifted may be told wrongly"}; !slices.Equal(named, want) {
				t.Errorf("an edge every %v: named %q", every, named)
			}
			for _, k := range []board.Key{"park", "5", "#"} {
				pressed := time.Now()
				b.Press(k)
				b.storm(every, 60*time.Millisecond)
				synctest.Wait()
				if len(b.events) != 1 || b.events[0].Key != k || b.events[0].Seen.Sub(pressed) > 15*time.Millisecond {
					t.Errorf("an edge every %v, key %s: %v", every, k, b.events)
				}
				b.Release(k)
				b.storm(every, 60*time.Millisecond)
				b.take()
			}
			time.Sleep(2 * flickerFor)
			if synctest.Wait(); len(named) != 2 || named[1] != "none" {
				t.Errorf("an edge every %v, and then none: %q", every, named)
			}
			before := b.Stats().Scans
			time.Sleep(time.Hour)
			if n := b.Stats().Scans - before; n > 0 {
				t.Errorf("%d scans in an hour at rest", n)
			}
			b.end()
		}
	})
}

// What moved often for a while, and then no more, is not named by the scan that an hour later a press brings.
func TestScannerForgetsABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, sim.Options{})
		b.OnShort(func(now []Short) {
			if len(now) > 0 {
				t.Errorf("named %q", now[0].Text(b.Board.Model()))
			}
		})
		time.Sleep(2 * flickerFor)
		b.storm(5*time.Millisecond, flickerFor/2) // 1000 edges
		time.Sleep(time.Hour)
		b.Press("5")
		time.Sleep(100 * time.Millisecond)
		if got := b.take(); !slices.Equal(got, []string{"down 5"}) {
			t.Errorf("got %q", got)
		}
		b.end()
	})
}

// A line that is lifted half of the time is looked at as seldom, once it is known.
func TestScannerHookThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, sim.Options{})
		flap := func(lasts time.Duration) uint64 {
			before := b.Stats().Scans
			for end := time.Now().Add(lasts); time.Now().Before(end); {
				b.SetHook(true)
				time.Sleep(time.Millisecond)
				b.SetHook(false)
				time.Sleep(time.Millisecond)
			}
			return b.Stats().Scans - before
		}
		flap(2 * flickerFor)
		if n := flap(time.Second); n > 130 {
			t.Errorf("%d scans in a second", n)
		}
		if got := b.take(); len(got) > 0 {
			t.Errorf("got %q", got)
		}
		b.SetHook(true)
		time.Sleep(100 * time.Millisecond)
		if got := b.take(); !slices.Equal(got, []string{"lifted hook"}) {
			t.Errorf("lifted at last: %q", got)
		}
		b.end()
	})
}

// BenchmarkPressToEvent measures on the real clock, with 5 ms of bounce: finger to event.
func BenchmarkPressToEvent(b *testing.B) {
	board := sim.New(desk(b), sim.Options{Bounce: 5 * time.Millisecond, Seed: 1})
	defer board.Close()
	events := make(chan Event, 16)
	s := New(Default(), board, func(e Event) { events <- e }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	board.SetHook(true) // the first event says that the scanner has begun: a key held before that is no press
	<-events
	var took []time.Duration
	for range b.N {
		start := time.Now()
		board.Press("park")
		<-events
		took = append(took, time.Since(start))
		board.Release("park")
		<-events
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
