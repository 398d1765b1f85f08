//go:build image

package guesthost

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/hands"
	"parklamp/media/moh"
	"parklamp/parkd/panel"
)

// again switches a phone on that had its plug pulled: the same card, as it was left.
func (s *site) again(p *phone) *phone {
	s.Helper()
	return s.on(spec{Machine: Machine{Name: p.Name, Card: p.Card, Cable: p.Cable}, number: p.number, last: int(p.MAC)})
}

// TestPlugIsPulled takes the power from the host of parked calls, and later from the other phone. Lamps say unknown, never free;
// when the power is back the callers hear music again or are told of as lost with the number to ring back.
func TestPlugIsPulled(t *testing.T) {
	s := newSite(t)
	a, b := s.pair()
	one, two := s.parks(a, "701"), s.parks(a, "702")
	three := s.parks(b, "703")
	callers := map[string]*caller{"701": one, "702": two, "703": three}
	for _, c := range callers {
		c.connected()
	}
	waiting := func(p *phone) {
		s.Helper()
		for number, c := range callers {
			p.await("caller "+c.number+" on "+number, func(st panel.Status) bool {
				o := orbit(st, number)
				return o.Caller.Number == c.number && o.State != panel.StateUnknown
			})
		}
	}
	waiting(a)
	waiting(b)

	for i, mine := range [][]string{{"701", "702"}, {"703"}} {
		dead, alive := a, b
		if i == 1 {
			dead, alive = b, a
		}
		dead.PullPlug()
		began := time.Now()
		for _, number := range mine {
			alive.await(number+" unknown", func(st panel.Status) bool {
				if orbit(st, number).State == panel.StateFree {
					t.Fatalf("%s shows %s free while its host is dead", alive.Name, number)
				}
				return orbit(st, number).State == panel.StateUnknown
			})
			alive.lit("orbit-"+number, hands.LampState{Green: true, Red: true})
		}
		t.Logf("%s shows its calls unknown %.1f s after the plug of %s was pulled", alive.Name, time.Since(began).Seconds(), dead.Name)
		back := s.again(dead)
		t.Logf("%s is back %.1f s after it was switched on", back.Name, back.ready().Seconds())
		if i == 0 {
			a = back
		} else {
			b = back
		}
		waiting(alive)
		waiting(back)
		back.data()
		for _, number := range mine {
			s.hears(callers[number].ear(), "music", moh.BuiltIn().Samples())
		}
	}
	for _, c := range callers {
		c.hangsUp()
	}
	for number := range callers {
		a.await(number+" free", func(st panel.Status) bool { return orbit(st, number).State == panel.StateFree })
	}
}

// lit checks a lamp that is steady.
func (p *phone) lit(lamp string, want hands.LampState) {
	p.s.Helper()
	seen, err := p.Watch(p.s.Context(), lamp, time.Second)
	p.must(err)
	if last := seen[len(seen)-1]; last.LampState != want || len(seen) > 2 {
		p.s.Errorf("%s: lamp %s shows %+v, want steady %+v", p.Name, lamp, seen, want)
	}
}

var dataThere = regexp.MustCompile(`msg=data device=/dev/vda4`)

// data checks that the data partition is there, also after the plug was pulled.
func (p *phone) data() {
	p.s.Helper()
	text, err := os.ReadFile(p.Console)
	p.must(err)
	if !dataThere.Match(text) {
		p.s.Errorf("%s: the data partition is not in use\n%s", p.Name, p.Tail())
	}
}

var startedPhoned = regexp.MustCompile(`msg=started service=phoned pid=\d+ gap=(\S+)`)

// TestPhonedIsKilled kills the program: the first process starts it again, the caller's music has a short gap.
func TestPhonedIsKilled(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1"}, number: "201", last: 11})
	p.ready()
	c := s.parks(p, "701")
	c.connected()
	p.await("a call on 701", func(st panel.Status) bool { return orbit(st, "701").Caller.Number == c.number })
	s.hears(c.ear(), "music", moh.BuiltIn().Samples())

	old := p.process("phoned")
	killed := time.Now()
	p.must(p.Signal(t.Context(), "phoned", int(syscall.SIGKILL)))
	var now hands.Process
	for now = p.process("phoned"); now.PID == old.PID || now.PID == 0; now = p.process("phoned") {
		if time.Since(killed) > limit {
			t.Fatalf("phoned is not started again\n%s", p.Tail())
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.ready()
	p.await("the call on 701 again", func(st panel.Status) bool { return orbit(st, "701").Caller.Number == c.number })
	s.hears(c.ear(), "music", moh.BuiltIn().Samples())
	gap, err := c.LongestGap(killed.Add(-time.Second))
	p.must(err)
	text, err := os.ReadFile(p.Console)
	p.must(err)
	starts := startedPhoned.FindAllSubmatch(text, -1)
	again, err := time.ParseDuration(string(starts[len(starts)-1][1]))
	p.must(err)
	t.Logf("| phoned killed in the guest: start after its end, gap in the caller's music | %.0f ms, %.0f ms |", again.Seconds()*1000, gap.Seconds()*1000)
	if again > 300*time.Millisecond {
		t.Errorf("phoned was started %v after its end", again)
	}
	c.hangsUp()
}

// process is the program of a name; its PID is 0 if none runs.
func (p *phone) process(name string) hands.Process {
	p.s.Helper()
	m, err := p.Look(p.s.Context())
	p.must(err)
	for _, x := range m.Processes {
		if x.Name == name {
			return x
		}
	}
	return hands.Process{}
}

// says waits for a health condition whose code has a prefix.
func (p *phone) says(code string) panel.Condition {
	p.s.Helper()
	var found panel.Condition
	p.await("condition "+code, func(st panel.Status) bool {
		for _, c := range st.Health {
			if strings.HasPrefix(c.Code, code) {
				found = c
				return true
			}
		}
		return false
	})
	p.s.Logf("%s: %s: %s (%s)", p.Name, found.Code, found.Text, found.Hint)
	return found
}
