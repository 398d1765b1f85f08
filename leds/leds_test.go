package leds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/board"
	"parklamp/board/sim"
)

// inStep is what a lamp shows at t that has been in state s for long.
func inStep(s State, t time.Time) board.Colour {
	c, _ := PatternOf(s).at(t)
	return c
}

// draw gives two seconds of a pattern in 25 ms characters.
func draw(s State) string {
	var out []byte
	start := time.Unix(1_800_000_000, 0).Truncate(10 * time.Second)
	for i := range 80 {
		out = append(out, ".gra"[inStep(s, start.Add(time.Duration(i)*25*ms))])
	}
	return string(out)
}

func TestPatterns(t *testing.T) {
	want := map[State]string{
		Free:            "................................................................................",
		ParkedHere:      "gggggggggggggggg....gggggggggggggggg....gggggggggggggggg....gggggggggggggggg....",
		ParkedElsewhere: "rrrr................rrrr................rrrr................rrrr................",
		Recalling:       "rrrrr.....rrrrr.....rrrrr.....rrrrr.....rrrrr.....rrrrr.....rrrrr.....rrrrr.....",
		Ending:          "rrrrr.....rrrrr.....rrrrr.....rrrrr.....rrrrr.....rrrrr.....rrrrr.....rrrrr.....",
		Queued:          "rrrr....rrrr............................rrrr....rrrr............................",
		Unknown:         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		Active:          "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr....",
		Held:            "gggggggggggggggggggg....................gggggggggggggggggggg....................",
		Ringing:         "gggggggggg..........gggggggggg..........gggggggggg..........gggggggggg..........",
		Warning:         "aa..............................................................................",
		Fault:           "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr........................................",
	}
	for s := range states {
		if got := draw(s); got != want[s] {
			t.Errorf("%v\n got %s\nwant %s", s, got, want[s])
		}
	}
}

// DESIGN: no two meanings differ in colour alone.
func TestMeaningsDifferWithoutColour(t *testing.T) {
	seen := map[string]State{}
	for s := range states {
		shape := ""
		for _, step := range PatternOf(s) {
			shape += fmt.Sprint(step.Colour != board.Off, step.For, " ")
		}
		other, taken := seen[shape]
		if taken && !(other == Recalling && s == Ending) {
			t.Errorf("%v and %v differ in colour alone", other, s)
		}
		seen[shape] = s
	}
	if PatternOf(200)[0].Colour != board.Amber || State(200).String() != "state 200" {
		t.Error("a state that does not exist must look unknown")
	}
}

// A new state is seen at once, whatever the phase, and is in step after its first flash.
func TestShowLightsAtOnce(t *testing.T) {
	for s := range states {
		p := PatternOf(s)
		for phase := range p.Period() / ms {
			since := time.Unix(1_800_000_000, 0).Add(phase * ms)
			if c, _ := show(s, since, since); c != p[0].Colour {
				t.Fatalf("%v at phase %v shows %v first", s, phase*ms, c)
			}
			at := since.Add(p[0].For)
			if c, _ := show(s, since, at); c != inStep(s, at) {
				t.Fatalf("%v at phase %v is out of step after %v", s, phase*ms, p[0].For)
			}
			for t0 := since; t0.Before(since.Add(3 * time.Second)); {
				c, stays := show(s, since, t0)
				if stays <= 0 {
					t.Fatalf("%v stays %v", s, stays)
				}
				if last, _ := show(s, since, t0.Add(stays-1)); last != c {
					t.Fatalf("%v at phase %v changes before %v are over", s, phase*ms, stays)
				}
				t0 = t0.Add(stays)
			}
		}
	}
}

func start(t *testing.T) (*sim.Board, *Driver) {
	t.Helper()
	m, err := board.Load("desk", []string{"701", "702"})
	if err != nil {
		t.Fatal(err)
	}
	b := sim.New(m, sim.Options{})
	d := New(b, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, board.ErrClosed) {
			t.Error(err)
		}
		b.Close()
	})
	synctest.Wait()
	return b, d
}

func TestDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := start(t)
		time.Sleep(450*ms - time.Duration(time.Now().UnixNano()%int64(500*ms))) // the dark part of both cadences
		d.Set("orbit-701", ParkedHere)
		d.Set("orbit-702", ParkedElsewhere)
		d.Set("hold", Unknown) // a lamp with a green LED alone
		d.Set("mute", Unknown) // with a red one alone
		d.Set("orbit-999", Fault)
		synctest.Wait()
		for lamp, want := range map[board.Lamp]board.Colour{
			"orbit-701": board.Green, "orbit-702": board.Red, "hold": board.Green, "mute": board.Red, "dnd": board.Off,
		} {
			if got := b.Lit(lamp); got != want {
				t.Errorf("at once: %s is %v, want %v", lamp, got, want)
			}
		}
		time.Sleep(time.Second)
		for range 1000 {
			time.Sleep(7 * ms)
			synctest.Wait()
			for lamp, s := range d.States() {
				if l, _ := b.Model().Lamp(lamp); l.Green == board.NoLine || l.Red == board.NoLine {
					continue
				}
				if got, want := b.Lit(lamp), inStep(s, time.Now()); got != want {
					t.Fatalf("%s is %v, want %v", lamp, got, want)
				}
			}
		}
		d.Set("orbit-701", Unknown)
		d.Set("orbit-702", Free)
		synctest.Wait()
		if b.Lit("orbit-701") != board.Amber || b.Lit("orbit-702") != board.Off {
			t.Errorf("701 %v, 702 %v", b.Lit("orbit-701"), b.Lit("orbit-702"))
		}
		if d.States()["orbit-701"] != Unknown || d.States()["orbit-999"] != Free {
			t.Error("states are not what was set")
		}
	})
}

// With nothing blinking the driver sleeps: no line moves, no timer runs, and only differences are written.
func TestDriverWritesDifferencesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := start(t)
		d.Set("orbit-701", Unknown)
		synctest.Wait()
		if h := b.History(); len(h) != 2 {
			t.Errorf("amber took %d changes, want green and red", len(h))
		}
		time.Sleep(time.Hour)
		d.Set("orbit-701", Unknown)
		synctest.Wait()
		if h := b.History(); len(h) != 2 {
			t.Errorf("%d changes after an hour of amber", len(h))
		}
		d.Set("orbit-701", ParkedHere)
		synctest.Wait()
		if h := b.History(); len(h) != 3 {
			t.Errorf("amber to green took %d changes, want red off alone", len(h)-2)
		}
	})
}

// failing breaks one LED line until it is mended.
type failing struct {
	*sim.Board
	line   board.Line
	mended atomic.Bool
}

func (f *failing) SetLEDs(changes []board.LEDChange) {
	f.Board.SetLEDs(changes)
	for i := range changes {
		if changes[i].Line == f.line && !f.mended.Load() {
			changes[i].Err = errors.New("EIO")
			_ = f.Board.SetLED(f.line, false)
		}
	}
}

func TestDriverRetriesFailedLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := board.Load("desk", []string{"701"})
		if err != nil {
			t.Fatal(err)
		}
		lamp, _ := m.Lamp("orbit-701")
		f := &failing{Board: sim.New(m, sim.Options{}), line: lamp.Green}
		d := New(f, slog.New(slog.DiscardHandler))
		faults := make(chan error, 10)
		d.OnFault(func(err error) { faults <- err })
		d.Set("orbit-701", Unknown)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if f.Lit("orbit-701") != board.Red || len(faults) != 1 || <-faults == nil {
			t.Errorf("lamp %v, %d faults", f.Lit("orbit-701"), len(faults))
		}
		f.mended.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if f.Lit("orbit-701") != board.Amber || len(faults) != 1 || <-faults != nil {
			t.Errorf("lamp %v, %d faults", f.Lit("orbit-701"), len(faults))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.Close()
	})
}

// One LED that cannot be written, as with an expander without power, must not disturb the blinking of the others.
func TestDriverBlinksOnBesideFailedLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := board.Load("desk", []string{"701", "702"})
		if err != nil {
			t.Fatal(err)
		}
		broken, _ := m.Lamp("orbit-701")
		other, _ := m.Lamp("orbit-702")
		var changes int
		f := &failing{Board: sim.New(m, sim.Options{OnLED: func(c sim.LEDChange) {
			if c.Line == other.Red {
				changes++
			}
		}}), line: broken.Red}
		d := New(f, slog.New(slog.DiscardHandler))
		d.Set("orbit-701", Unknown)
		d.Set("orbit-702", Recalling) // 125 ms on, 125 ms off
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		time.Sleep(10 * time.Second)
		cancel()
		<-done
		f.Close()
		if changes < 79 || changes > 82 {
			t.Errorf("%d changes in 10 s, want 80", changes)
		}
	})
}

func BenchmarkLook(b *testing.B) {
	m, err := board.Load("desk", []string{"701", "702", "703", "704", "705", "706", "707", "708", "709", "710"})
	if err != nil {
		b.Fatal(err)
	}
	d := New(sim.New(m, sim.Options{}), slog.New(slog.DiscardHandler))
	for _, l := range m.Lamps {
		d.Set(l.Lamp, Queued)
	}
	now := time.Now()
	b.ReportAllocs()
	for i := range b.N {
		d.look(now.Add(time.Duration(i) * ms))
	}
}

// A person who tests the lamps sees what was chosen, and afterwards what the states have become meanwhile.
func TestOverride(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := start(t)
		d.Set("orbit-701", ParkedHere)
		d.Override(map[board.Lamp]board.Colour{"orbit-702": board.Amber, "nowhere": board.Red})
		d.Set("orbit-701", ParkedElsewhere)
		for range 100 {
			time.Sleep(37 * ms)
			synctest.Wait()
			if b.Lit("orbit-701") != board.Off || b.Lit("orbit-702") != board.Amber {
				t.Fatalf("701 is %v, 702 %v", b.Lit("orbit-701"), b.Lit("orbit-702"))
			}
		}
		if shown, on := d.Overridden(); !on || shown["orbit-702"] != board.Amber {
			t.Errorf("overridden: %v %v", shown, on)
		}
		d.Override(nil)
		synctest.Wait()
		if _, on := d.Overridden(); on || b.Lit("orbit-702") != board.Off || d.States()["orbit-701"] != ParkedElsewhere {
			t.Errorf("afterwards: 702 %v, 701 %v", b.Lit("orbit-702"), d.States()["orbit-701"])
		}
	})
}

// A relay, a strobe or a bell does not blink: it is on for as long as the lamp means anything.
func TestSteadyLineStaysOnWhileItsLampBlinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := board.Load("desk", []string{"701"})
		if err != nil {
			t.Fatal(err)
		}
		var changes []bool
		lot, _ := m.Lamp("lot")
		b := sim.New(m, sim.Options{OnLED: func(c sim.LEDChange) {
			if c.Line == lot.Steady {
				changes = append(changes, c.On)
			}
		}})
		defer b.Close()
		d := New(b, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		for _, s := range []State{ParkedHere, Recalling, Free, Unknown, Free} {
			d.Set("lot", s)
			time.Sleep(3 * time.Second)
		}
		d.Set("ringer", Ringing) // has a steady line and no LED
		time.Sleep(time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if want := []bool{true, false, true, false}; !slices.Equal(changes, want) {
			t.Errorf("the relay went %v, want %v", changes, want)
		}
		ringer, _ := m.Lamp("ringer")
		if !b.LED(ringer.Steady) {
			t.Error("the ringer's line is off")
		}
	})
}
