//go:build image

package guesthost

import (
	"fmt"
	"testing"
	"time"

	"parklamp/cmd/internal/hands"
	"parklamp/cmd/internal/speech"
	"parklamp/media/moh"
	"parklamp/parkd/panel"
)

// pair switches two phones on that know each other.
func (s *site) pair() (a, b *phone) {
	s.Helper()
	peers := func(name string, last int, number string) string {
		// An emulator that this machine lets wait is not dead.
		return fmt.Sprintf("[federation]\ndead_after = \"8s\"\n[dial.directory]\n%s = \"sip:%s@%s\"\n[[federation.peers]]\nname = %q\naddress = \"%s:5060\"\n", number, number, addr(last), name, addr(last))
	}
	a = s.on(spec{Machine: Machine{Name: "dock-1"}, number: "201", last: 11, extra: peers("dock-2", 12, "202")})
	b = s.on(spec{Machine: Machine{Name: "dock-2"}, number: "202", last: 12, extra: peers("dock-1", 11, "201")})
	for _, p := range []*phone{a, b} {
		s.Logf("%s is ready after %.2f s of its clock", p.Name, p.ready().Seconds())
	}
	for _, p := range []*phone{a, b} {
		p.await("the other one", func(st panel.Status) bool { return len(st.Peers) == 1 && st.Peers[0].State == panel.PeerAlive })
	}
	return a, b
}

// orbit is one of a status; its number alone if there is none.
func orbit(st panel.Status, number string) panel.Orbit {
	for _, o := range st.Orbits {
		if o.Number == number {
			return o
		}
	}
	return panel.Orbit{Number: number}
}

// blinks watches a lamp for two of its periods and checks the part of the time for which each colour is lit, three times at most.
func (p *phone) blinks(lamp string, d time.Duration, green, red float64) {
	p.s.Helper()
	const tolerance = 0.15 // of an emulator
	for looks := 0; ; looks++ {
		seen, err := p.Watch(p.s.Context(), lamp, d)
		p.must(err)
		lit := share(seen, d)
		if abs(lit[0]-green) <= tolerance && abs(lit[1]-red) <= tolerance {
			return
		}
		if looks == 2 { // it may have changed meanwhile: what is wrong with a phone is found out bit by bit
			p.s.Errorf("%s: lamp %s is green for %.2f and red for %.2f of the time, want %.2f and %.2f: %v", p.Name, lamp, lit[0], lit[1], green, red, seen)
			return
		}
	}
}

// share is how much of a time a lamp was green and red.
func share(seen []hands.LampChange, d time.Duration) (lit [2]float64) {
	for i, c := range seen {
		until := d
		if i+1 < len(seen) {
			until = seen[i+1].At
		}
		for colour, on := range []bool{c.Green, c.Red} {
			if on {
				lit[colour] += float64(until-c.At) / float64(d)
			}
		}
	}
	return lit
}

func abs(x float64) float64 { return max(x, -x) }

// TestParkAndFetch is the story of the README on two booted phones, with sound by the kernel's card and keys by its lines.
func TestParkAndFetch(t *testing.T) {
	s := newSite(t)
	a, b := s.pair()
	ctx := t.Context()
	a.must(a.Say(ctx, speech.Worker()))
	b.must(b.Say(ctx, speech.Worker()))

	c := s.call(a, "201", "")
	a.await("ringing", func(st panel.Status) bool { return st.Phone.State == "ringing" })
	a.must(a.Hook(ctx, true))
	c.connected()
	a.await("talking", func(st panel.Status) bool { return st.Phone.State == "talking" })
	s.hears(a.ear(), "the caller", speech.Caller())
	s.hears(c.ear(), "the worker", speech.Worker())

	a.tap("park")
	for _, p := range []*phone{a, b} {
		p.await("a call on 701", func(st panel.Status) bool { return orbit(st, "701").Caller.Number == c.number })
	}
	s.hears(c.ear(), "music", moh.BuiltIn().Samples())
	a.blinks("orbit-701", 2*time.Second, 0.8, 0)
	b.blinks("orbit-701", 2*time.Second, 0, 0.2)

	b.must(b.Hook(ctx, true))
	b.await("dial tone", func(st panel.Status) bool { return st.Phone.State == "dial-tone" })
	b.tap("orbit-701")
	b.await("talking", func(st panel.Status) bool { return st.Phone.State == "talking" })
	s.hears(b.ear(), "the caller", speech.Caller())
	s.hears(c.ear(), "the worker", speech.Worker())
	for _, p := range []*phone{a, b} {
		p.await("701 free", func(st panel.Status) bool { return orbit(st, "701").State == panel.StateFree })
		seen, err := p.Watch(ctx, "orbit-701", time.Second)
		p.must(err)
		if last := seen[len(seen)-1].LampState; last != (hands.LampState{}) {
			t.Errorf("%s: the lamp of 701 is %+v when 701 is free", p.Name, last)
		}
	}
	b.must(b.Hook(ctx, false))
	b.await("idle", func(st panel.Status) bool { return st.Phone.State == "idle" })
}
