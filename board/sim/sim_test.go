package sim_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/board"
	"parklamp/board/boardtest"
	"parklamp/board/sim"
)

func desk(t *testing.T, diodes bool) board.Model {
	t.Helper()
	m, err := board.Load("desk", []string{"701", "702", "703", "704", "705", "706", "707", "708", "709", "710"})
	if err != nil {
		t.Fatal(err)
	}
	m.Diodes = diodes
	return m
}

func TestConformance(t *testing.T) {
	for _, diodes := range []bool{false, true} {
		name := "without diodes"
		if diodes {
			name = "with diodes"
		}
		t.Run(name, func(t *testing.T) {
			boardtest.Run(t, func(t *testing.T, test func(t *testing.T, r boardtest.Rig)) {
				synctest.Test(t, func(t *testing.T) {
					b := sim.New(desk(t, diodes), sim.Options{})
					defer b.Close()
					test(t, boardtest.Rig{Board: b, Hand: b, Wait: time.Sleep})
				})
			})
		})
	}
}

func TestBounceEndsWhereTheHandIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(20) {
			b := sim.New(desk(t, false), sim.Options{Bounce: 6 * time.Millisecond, Seed: seed})
			if err := b.SelectRows(b.Model().AllRows()); err != nil {
				t.Fatal(err)
			}
			for _, down := range []bool{true, false} {
				if down {
					b.Press("park")
				} else {
					b.Release("park")
				}
				start := time.Now()
				synctest.Wait()
				time.Sleep(time.Second)
				edges, err := b.Wait(0, nil)
				if err != nil || len(edges) < 3 || len(edges)%2 == 0 {
					t.Fatalf("seed %d: %d edges, want an odd number above 1; %v", seed, len(edges), err)
				}
				last := edges[len(edges)-1]
				if last.Active != down || last.At.Sub(start) > 6*time.Millisecond {
					t.Errorf("seed %d, down %v: last edge %+v after %v", seed, down, last, last.At.Sub(start))
				}
			}
			b.Close()
		}
	})
}

func TestHandLetsGoWhileBouncing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(desk(t, false), sim.Options{Bounce: 10 * time.Millisecond, Seed: 3})
		defer b.Close()
		b.SelectRows(b.Model().AllRows())
		b.Press("5")
		time.Sleep(2 * time.Millisecond)
		b.Release("5")
		time.Sleep(20 * time.Millisecond)
		if columns, err := b.Columns(); err != nil || columns != 0 {
			t.Errorf("columns %#b, %v", columns, err)
		}
	})
}

// A scanner that does not wait for the settle time sees the key of the row before.
func TestColumnsRiseSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(desk(t, false), sim.Options{})
		defer b.Close()
		b.Press("1")
		b.SelectRows(1)
		b.SelectRows(2)
		if columns, _ := b.Columns(); columns != 1 {
			t.Errorf("at once: %#b, want the column still low", columns)
		}
		time.Sleep(b.Model().Settle)
		if columns, _ := b.Columns(); columns != 0 {
			t.Errorf("after settling: %#b", columns)
		}
	})
}

func TestLookedAt(t *testing.T) {
	model := desk(t, false)
	b := sim.New(model, sim.Options{})
	defer b.Close()
	k := model.Keys[0]
	look := func(rows uint32) {
		t.Helper()
		if err := b.SelectRows(rows); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Columns(); err != nil {
			t.Fatal(err)
		}
	}
	for _, move := range []func(board.Key) error{b.Press, b.Release} {
		if err := move(k.Key); err != nil {
			t.Fatal(err)
		}
		look(model.AllRows())
		look(1 << k.Row)
		if b.Looked(k.Key) {
			t.Error("a key counts as looked at after one look at its row")
		}
		look(1 << k.Row)
		if !b.Looked(k.Key) {
			t.Error("a key does not count as looked at after two")
		}
	}
}

func TestLampAndHistory(t *testing.T) {
	var told []sim.LEDChange
	b := sim.New(desk(t, false), sim.Options{OnLED: func(c sim.LEDChange) { told = append(told, c) }})
	lamp, ok := b.Model().Lamp("orbit-701")
	if !ok {
		t.Fatal("no lamp orbit-701")
	}
	steps := []struct {
		line board.Line
		on   bool
		want board.Colour
	}{
		{lamp.Green, true, board.Green},
		{lamp.Red, true, board.Amber},
		{lamp.Red, true, board.Amber},
		{lamp.Green, false, board.Red},
		{lamp.Red, false, board.Off},
	}
	for _, s := range steps {
		if err := b.SetLED(s.line, s.on); err != nil {
			t.Fatal(err)
		}
		if got := b.Lit("orbit-701"); got != s.want {
			t.Errorf("line %d %v: %v, want %v", s.line, s.on, got, s.want)
		}
	}
	if h := b.History(); len(h) != 4 || len(told) != 4 {
		t.Errorf("history has %d changes, told %d, want 4 (writing the same level is no change)", len(h), len(told))
	}
	for range 3000 {
		b.SetLED(0, true)
		b.SetLED(0, false)
	}
	h := b.History()
	if len(h) != 4096 {
		t.Fatalf("history holds %d", len(h))
	}
	for i := 1; i < len(h); i++ {
		if h[i].At.Before(h[i-1].At) || h[i].On == h[i-1].On {
			t.Fatalf("history out of order at %d", i)
		}
	}
	if b.Lit("no such lamp") != board.Off {
		t.Error("an unknown lamp is lit")
	}
}

func TestBrokenLinesAnswerErrors(t *testing.T) {
	b := sim.New(desk(t, false), sim.Options{})
	wire := errors.New("EIO")
	b.Break(wire)
	if _, err := b.Columns(); !errors.Is(err, wire) {
		t.Errorf("columns: %v", err)
	}
	if _, err := b.HookUp(); !errors.Is(err, wire) {
		t.Errorf("hook: %v", err)
	}
	if err := b.Press("nonsense"); err == nil {
		t.Error("pressed a key that does not exist")
	}
}

// Nobody reads the edges: the oldest are dropped, nothing blocks.
func TestEdgesDropWhenFull(t *testing.T) {
	b := sim.New(desk(t, false), sim.Options{})
	for range board.EdgeQueue {
		b.SetHook(true)
		b.SetHook(false)
	}
	if got := b.Dropped(); got != board.EdgeQueue {
		t.Errorf("dropped %d, want %d", got, board.EdgeQueue)
	}
}
