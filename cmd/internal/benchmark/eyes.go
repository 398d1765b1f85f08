package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// maxSights bounds what eyes remember; the oldest goes.
const maxSights = 128

// eyes watch an appliance through its live status, as a browser does, and note when each status came.
type eyes struct {
	name string

	mu     sync.Mutex
	sights []sight // guarded by mu
	err    error   // why nothing more comes; guarded by mu
}

type sight struct {
	at stamp
	panel.Status
}

// watch opens eyes on an appliance until the stage ends, or the appliance does.
func (s *stage) watch(a *site.Appliance) *eyes {
	e := &eyes{name: a.Name}
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := a.Watch(ctx, func(st panel.Status) bool {
			at := now()
			e.mu.Lock()
			defer e.mu.Unlock()
			if len(e.sights) == maxSights {
				e.sights = slices.Delete(e.sights, 0, maxSights/2)
			}
			e.sights = append(e.sights, sight{at, st})
			return true
		})
		e.mu.Lock()
		defer e.mu.Unlock()
		e.err = err
	})
	s.closers = append(s.closers, func() {
		cancel()
		wg.Wait()
	})
	return e
}

// first waits for the first status after a moment that fits, and returns when it came.
func (e *eyes) first(ctx context.Context, after stamp, what string, fits func(panel.Status) bool) (stamp, error) {
	var at stamp
	err := poll(ctx, fmt.Errorf("%s never showed %s", e.name, what), func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, s := range e.sights {
			if s.at >= after && fits(s.Status) {
				at = s.at
				return true
			}
		}
		return false
	})
	return at, err
}

// settled waits until the newest status fits.
func (e *eyes) settled(ctx context.Context, what string, fits func(panel.Status) bool) error {
	var st panel.Status
	err := poll(ctx, errNotShown, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		if n := len(e.sights); n > 0 {
			st = e.sights[n-1].Status
			return fits(st)
		}
		return false
	})
	if errors.Is(err, errNotShown) {
		err = fmt.Errorf("%s does not show %s, but %s", e.name, what, summary(st))
	}
	return err
}

// errNotShown says that a status did not come about.
var errNotShown = errors.New("not shown")

// summary says what of a status tells why something did not come about.
func summary(st panel.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "phone %q", st.Phone.State)
	for _, o := range st.Orbits {
		if o.State != panel.StateFree {
			fmt.Fprintf(&b, ", %s %s at %s", o.Number, o.State, o.Host)
		}
	}
	for _, c := range st.Calls {
		fmt.Fprintf(&b, ", call %s %s %s %s", c.ID, c.Direction, c.State, c.Remote)
	}
	return b.String()
}

// lamp wants an orbit's lamp to be lit or dark.
func lamp(orbit string, lit bool) func(panel.Status) bool {
	return func(st panel.Status) bool {
		for _, l := range st.Lamps {
			if l.ID == "orbit-"+orbit {
				return (l.Colour != panel.Off) == lit
			}
		}
		return false
	}
}

// orbit wants an orbit in one of some states.
func orbit(number string, states ...string) func(panel.Status) bool {
	return func(st panel.Status) bool {
		for _, o := range st.Orbits {
			if o.Number == number {
				return slices.Contains(states, o.State)
			}
		}
		return false
	}
}

// taken counts the orbits that are not free.
func taken(st panel.Status) int {
	n := 0
	for _, o := range st.Orbits {
		if o.State != panel.StateFree {
			n++
		}
	}
	return n
}

func idle(st panel.Status) bool {
	return len(st.Calls) == 0 && taken(st) == 0 && (st.Phone.State == "" || strings.EqualFold(st.Phone.State, "idle"))
}
