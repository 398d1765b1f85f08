package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// never is the stuck of a phoned that can always be killed.
func never() bool { return false }

// A watchdog whose driver comes late is opened when it is there, and a board that lacks its own says so.
func TestWatchdogThatComesLate(t *testing.T) {
	for _, board := range []string{"rpi", withoutWatchdog} {
		path := filepath.Join(t.TempDir(), "watchdog")
		synctest.Test(t, func(t *testing.T) {
			s := newSystem()
			s.board = board
			go s.guard.feed(t.Context(), path, never)
			time.Sleep(watchdogWait)
			if all := s.health.All(); len(all) != 0 || s.status().Watchdog != "" {
				t.Errorf("%s: too early: %+v, %q", board, all, s.status().Watchdog)
			}
			time.Sleep(2 * watchdogKick)
			if all := s.health.All(); (len(all) == 1) != (board == "rpi") {
				t.Errorf("%s: %+v", board, all)
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * watchdogKick)
			if all := s.health.All(); len(all) != 0 || s.status().Watchdog == "" {
				t.Errorf("%s: not opened: %+v", board, all)
			}
		})
	}
}

// A card that stops answering holds the last steps up for a while only, and nobody feeds the watchdog meanwhile: what hangs after
// them, it resets.
func TestLastStepsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem()
		fed := 0
		s.guard.dog = &watchdog{feed: func() { fed++ }}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.guard.feed(ctx, "", never)
		time.Sleep(10 * watchdogKick)
		synctest.Wait()
		if fed < 10 {
			t.Errorf("fed %d times", fed)
		}
		fed = 0
		begin, answers := time.Now(), make(chan struct{})
		s.lastSteps(func() { <-answers })
		if took := time.Since(begin); took != unmountFor || took >= watchdogFor {
			t.Errorf("took %v", took)
		}
		time.Sleep(time.Minute)
		if fed != 1 {
			t.Errorf("fed %d times from the last steps on, want once, at their begin", fed)
		}
		close(answers)
	})
}

// A start that hangs is not fed for ever: the watchdog resets the board, and a system on trial falls back. A start that goes on, and
// a phone that has been started, is.
func TestStartThatHangs(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(*system)
		want  time.Duration // fed until then; 0: always
	}{
		{"a driver hangs", func(s *system) { s.guard.step("drivers", driverStep) }, driverStep},
		{"the last of three steps hangs", func(s *system) {
			for range 3 {
				s.guard.step("drivers", driverStep)
				time.Sleep(driverStep - time.Second)
			}
		}, 3*driverStep - 2*time.Second},
		{"all is well", func(s *system) {
			s.guard.step("drivers", driverStep)
			time.Sleep(driverStep - time.Second)
			s.guard.step("", 0)
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem()
				began := time.Now()
				fed := began
				s.guard.dog = &watchdog{feed: func() { fed = time.Now() }}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go s.guard.feed(ctx, "", never)
				go c.start(s)
				time.Sleep(time.Hour)
				synctest.Wait()
				want := c.want
				if want == 0 {
					want = time.Hour
				}
				if last := fed.Sub(began); last > want || last < want-watchdogKick {
					t.Errorf("fed until %v, want %v", last, want)
				}
			})
		})
	}
}
