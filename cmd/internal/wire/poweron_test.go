package wire

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/board"
	"parklamp/board/sim"
	"parklamp/cmd/internal/config"
	"parklamp/sip/phone"
)

// Park begins a self test when it is held over the start or held down within five seconds of it; pressed shortly then, or
// later, it is the key that it always is. A key that was down when the program began is no press when it comes up.
func TestParkAtPowerOn(t *testing.T) {
	type move struct {
		at   time.Duration
		key  board.Key
		down bool
	}
	cases := []struct {
		name  string
		hook  bool
		moves []move
		until time.Duration
		test  bool
		state phone.State
	}{
		{"held over the start", false, []move{{0, "park", true}}, 4 * time.Second, true, phone.Idle},
		{"held over the start, the handset lifted", true, []move{{0, "park", true}}, 4 * time.Second, true, phone.Idle},
		{"let go soon", false, []move{{0, "park", true}, {time.Second, "park", false}}, 6 * time.Second, false, phone.Idle},
		{"held down soon after", false, []move{{4 * time.Second, "park", true}}, 5 * time.Second, true, phone.Idle},
		{"pressed soon after", false, []move{{2 * time.Second, "park", true}, {2100 * time.Millisecond, "park", false}}, 2200 * time.Millisecond, false, phone.Listing},
		{"held down later", false, []move{{6 * time.Second, "park", true}}, 8 * time.Second, false, phone.Listing},
		{"another key is jammed", false, []move{{0, "orbit-701", true}, {time.Second, "orbit-701", false}}, 2 * time.Second, false, phone.Idle},
		{"in the middle of a number", true, []move{{time.Second, "5", true}, {1100 * time.Millisecond, "5", false}, {2 * time.Second, "park", true}}, 4 * time.Second, false, phone.Listing},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config.Default()
				cfg.SIP.Listen, cfg.Journal.Path, cfg.SelfTest.Reports = []string{"udp:127.0.0.1:5060"}, "", t.TempDir()
				a, err := New(cfg, "test", true, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				b := a.board.(*sim.Board)
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				defer running.Wait()
				defer b.Close()
				defer cancel()
				if c.hook {
					if err := b.SetHook(true); err != nil {
						t.Fatal(err)
					}
				}
				begun := time.Now()
				start := sync.OnceFunc(func() {
					running.Go(func() { a.loop.run(ctx, func() {}) })
					running.Go(func() { _ = a.scanner.Run(ctx) }) // its end is the test's
				})
				for _, m := range append(c.moves, move{at: c.until}) {
					if m.at > 0 {
						start()
					}
					time.Sleep(time.Until(begun.Add(m.at)))
					switch {
					case m.key == "":
					case m.down:
						err = b.Press(m.key)
					default:
						err = b.Release(m.key)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				a.loop.ask(func() {
					if got := a.examiner.Underway(); got != c.test {
						t.Errorf("self test %v, want %v", got, c.test)
					}
					if got := a.desk.machine.View().State; got != c.state {
						t.Errorf("the phone is in %v, want %v", got, c.state)
					}
				})
			})
		})
	}
}
