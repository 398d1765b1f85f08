package keypad

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/board"
	"parklamp/board/sim"
)

// stalling is a board whose reader stands still now and then: whoever calls it in such a time returns when it is over, and what
// he looks at he sees before or after.
type stalling struct {
	*sim.Board
	from, until time.Time // the next stall, or the last one
}

func (b *stalling) stalled() bool {
	now := time.Now()
	return !now.Before(b.from) && now.Before(b.until)
}

func (b *stalling) stand() {
	if b.stalled() {
		time.Sleep(time.Until(b.until))
	}
}

// stall begins a stall after a time.
func (b *stalling) stall(after, d time.Duration) {
	synctest.Wait()
	b.from = time.Now().Add(after)
	b.until = b.from.Add(d)
}

func (b *stalling) SelectRows(rows uint32) error {
	b.stand()
	defer b.stand()
	return b.Board.SelectRows(rows)
}

func (b *stalling) Columns() (uint32, error) {
	b.stand()
	defer b.stand()
	return b.Board.Columns()
}

func (b *stalling) HookUp() (bool, error) {
	b.stand()
	defer b.stand()
	return b.Board.HookUp()
}

func (b *stalling) Wait(limit time.Duration, edges []board.Edge) ([]board.Edge, error) {
	b.stand()
	edges, err := b.Board.Wait(limit, edges)
	if err == nil && b.stalled() { // it was woken up and did not run
		b.stand()
		edges, err = b.Board.Wait(0, edges)
	}
	return edges, err
}

// halting is a scanner on such a board.
type halting struct {
	*stalling
	*Scanner
	events []Event // read only after synctest.Wait
}

func halt(t *testing.T, model board.Model, opts sim.Options, test func(h *halting)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &halting{stalling: &stalling{Board: sim.New(model, opts)}}
		h.Scanner = New(Default(), h.stalling, func(e Event) { h.events = append(h.events, e) }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		test(h)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		h.stalling.Close()
	})
}

// take returns the events since the last call as "kind key".
func (h *halting) take() []string {
	synctest.Wait()
	var out []string
	for _, e := range h.events {
		out = append(out, fmt.Sprintf("%v %s", e.Kind, e.Key))
	}
	h.events = nil
	return out
}

const ms = time.Millisecond

// Every tap that outlasts the stall in or before it, and the looks that are left, is reported once: what the package promises.
func TestTapsOutlastStalls(t *testing.T) {
	for _, c := range []struct {
		settle, hold, stall time.Duration
	}{
		{50 * time.Microsecond, 60 * ms, 20 * ms},
		{50 * time.Microsecond, 60 * ms, 50 * ms},
		{50 * time.Microsecond, 80 * ms, 70 * ms},
		{50 * time.Microsecond, 120 * ms, 110 * ms},
		{2 * ms, 60 * ms, 20 * ms},
		{2 * ms, 80 * ms, 40 * ms},
		{2 * ms, 120 * ms, 80 * ms},
	} {
		t.Run(fmt.Sprintf("columns %v, taps %v, stalls %v", c.settle, c.hold, c.stall), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			model := desk(t)
			model.Settle = c.settle
			halt(t, model, sim.Options{Bounce: 5 * ms, Seed: 1}, func(h *halting) {
				for range 300 {
					k := model.Keys[rng.IntN(len(model.Keys))].Key
					got := h.tap(k, c.hold, time.Duration(rng.Int64N(int64(c.stall+c.hold)))-c.stall, c.stall)
					if want := []string{"down " + string(k), "up " + string(k)}; !slices.Equal(got, want) {
						t.Errorf("got %q, want %q", got, want)
					}
				}
				if n := h.Stats().Unseen; n != 0 {
					t.Errorf("%d presses unseen", n)
				}
			})
		})
	}
}

// tap taps a key, with a stall that begins some time after the press or, at most its own length, before it.
func (h *halting) tap(k board.Key, hold, after, stall time.Duration) []string {
	h.stall(stall+after, stall)
	time.Sleep(stall)
	_ = h.Press(k)
	time.Sleep(hold)
	_ = h.Release(k)
	time.Sleep(stall + 200*ms)
	return h.take()
}

// Of a tap that is over before anybody could look nothing wrong is said: it is reported once, or counted.
func TestTapsWithinStalls(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	model := desk(t)
	halt(t, model, sim.Options{Bounce: 5 * ms, Seed: 2}, func(h *halting) {
		const taps = 500
		once := 0
		for range taps {
			k := model.Keys[rng.IntN(len(model.Keys))].Key
			hold, stall := time.Duration(rng.IntN(60)+60)*ms, time.Duration(rng.IntN(180)+20)*ms
			got := h.tap(k, hold, time.Duration(rng.Int64N(int64(stall+hold)))-stall, stall)
			switch {
			case slices.Equal(got, []string{"down " + string(k), "up " + string(k)}):
				once++
			case len(got) != 0:
				t.Errorf("tap of %s for %v, stall of %v: %q", k, hold, stall, got)
			}
		}
		// One that comes while a scan is under way, which then stands still for all of it, leaves no trace.
		if unseen := int(h.Stats().Unseen); once+unseen > taps || once+unseen < taps*99/100 {
			t.Errorf("%d taps: %d reported, %d counted", taps, once, unseen)
		}
		before := h.Stats().Scans
		time.Sleep(time.Hour)
		if got := h.Stats().Scans; got != before {
			t.Errorf("%d scans in an hour at rest", got-before)
		}
	})
}

// Where a column has one key, its edges say all.
func TestTheOnlyKeyOfItsColumn(t *testing.T) {
	model := desk(t)
	model.Keys = slices.DeleteFunc(slices.Clone(model.Keys), func(k board.ModelKey) bool { return k.Column == 0 && k.Key != "park" })
	halt(t, model, sim.Options{Bounce: 5 * ms}, func(h *halting) {
		h.stall(0, 500*ms)
		var want []Event
		for range 2 {
			time.Sleep(100 * ms)
			want = append(want, Event{Key: "park", Kind: Down, At: time.Now()})
			_ = h.Press("park")
			time.Sleep(60 * ms)
			want = append(want, Event{Key: "park", Kind: Up, At: time.Now()})
			_ = h.Release("park")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(h.events) != len(want) {
			t.Fatalf("events %v", h.events)
		}
		for i, e := range h.events {
			if off := e.At.Sub(want[i].At); e.Key != want[i].Key || e.Kind != want[i].Kind || off < 0 || off > 5*ms {
				t.Errorf("event %d: %v %s, %v after it was done", i, e.Kind, e.Key, off)
			}
		}
		if n := h.Stats().Unseen; n != 0 {
			t.Errorf("%d presses unseen", n)
		}
	})
}

// What a hand does with a key that is known, in a stall, is told as it was done: no press is drawn out to a long one, and two are
// not taken for one.
func TestReleasedWithinAStall(t *testing.T) {
	const key = "orbit-703"
	for _, c := range []struct {
		name   string
		during func(h *halting)
		want   []string
		unseen uint64
	}{
		{"released", func(h *halting) {}, []string{"down", "up"}, 0},
		{"pressed again and held", func(h *halting) {
			time.Sleep(300 * ms)
			_ = h.Press(key)
			time.Sleep(1200 * ms)
			_ = h.Release(key)
		}, []string{"down", "up", "down", "up"}, 0},
		{"pressed again", func(h *halting) {
			time.Sleep(300 * ms)
			_ = h.Press(key)
			time.Sleep(80 * ms)
			_ = h.Release(key)
		}, []string{"down", "up"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for after := 8 * ms; after < 13*ms; after += 70 * time.Microsecond { // at any moment of a scan and of the pause after it
				halt(t, desk(t), sim.Options{}, func(h *halting) {
					h.stall(after, time.Second)
					_ = h.Press(key)
					time.Sleep(80 * ms)
					_ = h.Release(key)
					c.during(h)
					time.Sleep(2 * time.Second)
					want := slices.Clone(c.want)
					for i := range want {
						want[i] += " " + key
					}
					// A stall within a scan hides edges. What was done then is lost, not made up.
					inScan := []string{"down " + key, "up " + key}
					if got := h.take(); !slices.Equal(got, want) && (c.unseen == 0 && len(want) == 2 || !slices.Equal(got, inScan)) {
						t.Errorf("a stall %v after the press: %q, want %q", after, got, want)
					}
				})
			}
		})
	}
}

// The hook's edges say all that a hand does with the handset.
func TestHookWithinAStall(t *testing.T) {
	halt(t, desk(t), sim.Options{Bounce: 3 * ms}, func(h *halting) {
		for _, c := range []struct {
			down time.Duration
			want []string
		}{{120 * ms, []string{"replaced hook", "lifted hook"}}, {50 * ms, nil}} {
			_ = h.SetHook(true)
			time.Sleep(time.Second)
			h.take()
			h.stall(0, 400*ms)
			time.Sleep(100 * ms)
			_ = h.SetHook(false)
			time.Sleep(c.down)
			_ = h.SetHook(true)
			time.Sleep(time.Second)
			if got := h.take(); !slices.Equal(got, c.want) {
				t.Errorf("on the hook for %v: %q, want %q", c.down, got, c.want)
			}
		}
	})
}
