package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// relayRounds is how often the programs that relay take turns: what the machine does differs from one minute to the next.
const relayRounds = 2

// relayer is a program that relays calls between two halls, in which everybody speaks.
type relayer struct {
	pid               int
	idle              footprint // without a call
	callers, fetchers *hall
}

// relayFigures are those of one contestant over all rounds.
type relayFigures struct {
	loadFigures
	delays []time.Duration // sorted
	said   uint64
	memory float64 // kB a call
}

// relayed measures fetched calls, whose audio goes through the appliance, beside rtpengine, which relays nothing but.
func relayed(s *stage) error {
	if err := direct(s); err != nil {
		return err
	}
	var errs []error
	for _, n := range []int{50, 200}[:s.choose(2, 1)] {
		if s.calls > 0 && s.calls != n {
			continue
		}
		if err := relayRace(s, n); err != nil {
			errs = append(errs, fmt.Errorf("%d calls: %w", n, err))
		}
	}
	return errors.Join(errs...)
}

// relayRace measures all contestants in turns. What passes packets on as they come waits for a core like any other thread,
// so each of ours stands beside rtpengine of the same class, and beside how late the machine woke a bare thread meanwhile.
func relayRace(s *stage, n int) error {
	engine, err := findRTPEngine()
	if err != nil {
		s.report.note("rtpengine did not run beside the relay: %v.", err)
	}
	type pair struct {
		name         string
		ours, theirs *relayFigures
	}
	debian, realTimed := &relayFigures{}, &relayFigures{}
	pairs := []pair{{"", &relayFigures{}, debian}, {", nice = 0", &relayFigures{}, debian}, {", SCHED_RR", &relayFigures{}, realTimed}}
	if err := exec.Command(realTimeClass[0], append(slices.Clone(realTimeClass[1:]), "true")...).Run(); err != nil || s.quick {
		if !s.quick {
			s.report.note("Nothing relayed in a real-time class: %v.", err)
		}
		pairs = pairs[:2]
	}
	if n < 200 { // where there is much to do the class matters more
		pairs = pairs[:1]
	}
	turn := func(f *relayFigures, start func(*stage) (*relayer, error)) error {
		return s.inside(s.ctx, s.name, func(s *stage) error { return relayTurn(s, n, f, start) })
	}
	for range s.choose(relayRounds, 1) {
		for i, p := range pairs {
			kind := []crowdKind{usual, plain, realTime}[i]
			if err := turn(p.ours, func(s *stage) (*relayer, error) { return ourRelay(s, n, kind) }); err != nil {
				return err
			}
			if engine == "" || kind == plain { // the class is the one that Debian starts it in
				continue
			}
			if err := turn(p.theirs, func(s *stage) (*relayer, error) { return rtpengineRelay(s, n, engine, kind.under()) }); err != nil {
				return fmt.Errorf("rtpengine: %w", err)
			}
		}
	}
	r := &s.report
	for i, p := range pairs {
		what, beside := fmt.Sprintf("%d relayed calls%s: ", n, p.name), engine != ""
		theirs := func(figure, earlier string) string {
			if !beside {
				return earlier
			}
			return strings.TrimSuffix("rtpengine here "+figure+"; "+earlier, "; ")
		}
		earlier := ""
		if i != 1 {
			earlier = "earlier: " + theirRelayCPU[n]
		}
		r.add(what+"CPU", "% core", fmt.Sprint(len(p.ours.cpu)), spread(p.ours.cpu)+meanwhile(p.ours.loadFigures),
			theirs(spread(p.theirs.cpu), earlier))
		earlier = "earlier: " + theirRelayNormal[n]
		if i == 2 {
			earlier = "earlier: " + theirRelay[n]
		}
		r.add(what+"one-way time through the relay p50/p99/p99.9", "µs", fmt.Sprint(len(p.ours.delays)), tails(p.ours.delays),
			theirs(tails(p.theirs.delays), earlier))
		r.add(what+"lateness of a bare real-time thread meanwhile p50/p99/p99.9", "µs", fmt.Sprint(len(p.ours.floor)),
			tails(p.ours.floor)+p.ours.caveat(), theirs(tails(p.theirs.floor)+p.theirs.caveat(), ""))
		// The last packet is counted as said before it has come, and the counters are not read in the same moment.
		r.add(what+"packets that came of those that were sent", "%", fmt.Sprint(p.ours.said), p.ours.came(), theirs(p.theirs.came(), ""))
		if i == 0 {
			r.add(what+"memory a call (two legs)", "kB", "1", fmt.Sprintf("%.0f", p.ours.memory),
				theirs(fmt.Sprintf("%.0f", p.theirs.memory), "earlier: "+theirRelayRSS))
		}
	}
	return nil
}

// came is the share of what was said that was heard.
func (f *relayFigures) came() string {
	return fmt.Sprintf("%.2f", 100*float64(len(f.delays))/float64(max(f.said, 1)))
}

// relayTurn starts a program, has it relay n calls, measures it and adds what it saw to f.
func relayTurn(s *stage, n int, f *relayFigures, start func(*stage) (*relayer, error)) error {
	relay, err := start(s)
	if err != nil {
		return err
	}
	if err := pause(s.ctx, time.Second); err != nil { // warm-up
		return err
	}
	windows, window := 3, time.Duration(s.choose(2, 1))*time.Second
	expected := n * 50 * (windows + 1) * int(window/time.Second)
	var a, b heardBy
	var said uint64
	load, err := evenly(func() (loadFigures, error) {
		relay.callers.begin(expected)
		relay.fetchers.begin(expected)
		before := s.speaker.said.Load()
		load, err := s.measure(relay.pid, windows, window)
		said = s.speaker.said.Load() - before
		a, b = relay.callers.end(), relay.fetchers.end()
		return load, err
	})
	if err != nil {
		return err
	}
	f.said += said
	f.again, f.uneven = f.again+load.again, f.uneven+load.uneven
	if a.calls != n || b.calls != n || len(a.delays) == 0 || len(b.delays) == 0 {
		return fmt.Errorf("%d callers and %d fetchers of %d hear something", a.calls, b.calls, n)
	}
	f.cpu, f.itself = append(f.cpu, load.cpu...), append(f.itself, load.itself...)
	f.floor = slices.Sorted(slices.Values(slices.Concat(f.floor, load.floor)))
	f.delays = slices.Sorted(slices.Values(slices.Concat(f.delays, a.delays, b.delays)))
	f.memory = perCall(load.held, relay.idle, n)
	return nil
}

// ourRelay is an appliance with n calls that were parked and fetched.
func ourRelay(s *stage, n int, kind crowdKind) (*relayer, error) {
	c, err := newCrowd(s, n, kind)
	if err != nil {
		return nil, err
	}
	if err := c.park(true); err != nil {
		return nil, err
	}
	fetchers, err := s.hall(31)
	if err != nil {
		return nil, err
	}
	err = s.together(n, 20, setUpRate, func(i int) error {
		l, err := c.uas[i%len(c.uas)].invite(s.ctx, c.at, callOptions{me: fmt.Sprint("f", i), callee: fmt.Sprint(7000 + i), audio: fetchers.sock.addr,
			onMedia: func(to netip.AddrPort) { s.speak(fetchers, to, i+int(slots)/2) }})
		if err != nil {
			return err
		}
		return l.accepted()
	})
	return &relayer{pid: c.appliance.PID(), idle: c.idle, callers: c.callers, fetchers: fetchers}, err
}

// direct measures the way without an appliance: a mouth and an ear of this program.
func direct(s *stage) error {
	return s.inside(s.ctx, s.name, func(s *stage) error {
		from, err := s.hall(30)
		if err != nil {
			return err
		}
		to, err := s.hall(31)
		if err != nil {
			return err
		}
		for i := range 100 {
			s.speak(from, to.sock.addr, i)
		}
		to.begin(100 * 50 * 3)
		if err := pause(s.ctx, 2*time.Second); err != nil {
			return err
		}
		h := to.end()
		s.report.add("Without an appliance: one-way time of the measuring side, p50/p99/p99.9", "µs", fmt.Sprint(len(h.delays)), tails(h.delays), "")
		return nil
	})
}

func tails(sorted []time.Duration) string {
	if len(sorted) == 0 {
		return "nothing measured"
	}
	return micros(percentile(sorted, 50)) + "/" + micros(percentile(sorted, 99)) + "/" + micros(percentile(sorted, 99.9))
}

// even adds how even the machine itself was during a measurement.
func (r *report) even(what string, f loadFigures) {
	r.add(what+"lateness of a bare real-time thread meanwhile p50/p99/p99.9", "µs", fmt.Sprint(len(f.floor)), tails(f.floor)+f.caveat(), "")
}

// meanwhile says what this program used of the machine.
func meanwhile(f loadFigures) string {
	return fmt.Sprintf(" (this program meanwhile %.0f)", percentile(slices.Sorted(slices.Values(f.itself)), 50))
}
