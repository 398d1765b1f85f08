package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parklamp/cmd/internal/site"
)

const (
	// setUpRate is how many calls a second are set up where their number is measured and not their rate.
	setUpRate = 100
	// theirRate is the rate at which the incumbent parks and fetches before it breaks.
	theirRate = 75
)

// crowd is one appliance with many parked calls.
type crowd struct {
	*stage
	appliance *site.Appliance
	at        netip.AddrPort
	idle      footprint
	uas       []*ua
	callers   *hall
	legs      []*leg
	says      []*mouth // of callers that speak
}

// newCrowd starts an appliance with n orbits.
func newCrowd(s *stage, n int, kind crowdKind) (*crowd, error) {
	a, err := s.gateway(settings{orbits: numbers(n), calls: 2*n + 50, plain: kind == plain})
	if err != nil {
		return nil, err
	}
	c := &crowd{stage: s, appliance: a, at: s.sip(1), legs: make([]*leg, n)}
	if err := pause(s.ctx, time.Second); err != nil {
		return nil, err
	}
	if c.idle, err = footprintOf(a.PID()); err != nil {
		return nil, err
	}
	if c.uas, err = s.uas(10, 4); err != nil {
		return nil, err
	}
	c.callers, err = s.hall(30)
	return c, err
}

// park parks one caller in each orbit. If they speak, each does so in a slot of its own.
func (c *crowd) park(speaking bool) error {
	c.says = make([]*mouth, len(c.legs))
	return c.together(len(c.legs), 20, setUpRate, func(i int) (err error) {
		u := c.uas[i%len(c.uas)]
		o := callOptions{me: fmt.Sprint("c", i), callee: fmt.Sprint(7000 + i), referredBy: u.contact("desk"), audio: c.callers.sock.addr}
		if speaking {
			o.onMedia = func(to netip.AddrPort) {
				c.says[i] = newMouth(c.callers.sock, to)
				c.speaker.join(c.says[i], i)
			}
		}
		if c.legs[i], err = u.invite(c.ctx, c.at, o); err != nil {
			return err
		}
		return c.legs[i].want(200)
	})
}

// hush silences the callers.
func (c *crowd) hush() {
	for _, m := range c.says {
		if m != nil {
			c.speaker.stop(m)
		}
	}
}

// loadFigures is what the appliance used over some windows of time.
type loadFigures struct {
	cpu    []float64 // % of a core, by window
	held   footprint // in the end
	itself []float64 // what this program used meanwhile, % of a core

	floor []time.Duration // how late the machine woke a thread above all others meanwhile, sorted
}

// measure looks at the appliance for some windows.
func (c *crowd) measure(windows int, window time.Duration) (f loadFigures, err error) {
	stop := floor()
	defer func() { f.floor = stop() }()
	for range windows {
		before, err := usageOf(c.appliance.PID())
		if err != nil {
			return f, err
		}
		own := ownUsage()
		if err := pause(c.ctx, window); err != nil {
			return f, err
		}
		after, err := usageOf(c.appliance.PID())
		if err != nil {
			return f, err
		}
		f.cpu = append(f.cpu, after.percent(before))
		f.itself = append(f.itself, ownUsage().percent(own))
	}
	f.held, err = footprintOf(c.appliance.PID())
	return f, err
}

// windows are how long a crowd is measured, three times.
func (s *stage) window() time.Duration { return time.Duration(s.choose(4, 1)) * time.Second }

// crowdKind is how a crowd of parked callers differs from the usual one.
type crowdKind uint8

const (
	usual    crowdKind = iota
	speaking           // the callers send RTP as well
	plain              // the appliance is not favoured over other programs
	besieged           // this program keeps one core busy meanwhile
)

// parkedMusic measures many parked callers who hear music.
func parkedMusic(s *stage) error {
	type crowd struct {
		n    int
		kind crowdKind
	}
	crowds := []crowd{{50, usual}, {200, usual}, {200, plain}, {500, usual}, {500, besieged}, {200, speaking}}
	if s.quick {
		crowds = []crowd{{50, usual}, {200, plain}}
	}
	var errs []error
	for _, c := range crowds {
		if s.calls > 0 && s.calls != c.n {
			continue
		}
		if err := s.inside(s.ctx, s.name, func(s *stage) error { return parkedCrowd(s, c.n, c.kind) }); err != nil {
			errs = append(errs, fmt.Errorf("%d calls: %w", c.n, err))
		}
	}
	return errors.Join(errs...)
}

func parkedCrowd(s *stage, n int, kind crowdKind) error {
	c, err := newCrowd(s, n, kind)
	if err != nil {
		return err
	}
	defer c.hush()
	if err := c.park(kind == speaking); err != nil {
		return err
	}
	if err := pause(s.ctx, time.Second); err != nil { // warm-up
		return err
	}
	if kind == besieged {
		defer occupy()()
	}
	const windows = 3
	c.callers.begin(n * 50 * (windows + 1) * int(s.window()/time.Second))
	f, err := c.measure(windows, s.window())
	if err != nil {
		return err
	}
	h := c.callers.end()
	if h.calls != n || len(h.gaps) == 0 {
		return fmt.Errorf("%d of %d parked callers hear something", h.calls, n)
	}
	r := &s.report
	what := fmt.Sprintf("%d parked with music: ", n)
	switch kind {
	case speaking:
		r.add(fmt.Sprintf("%d parked whose callers also send RTP: CPU", n), "% core", fmt.Sprint(windows), spread("%.1f", f.cpu), theirParkedSendingCPU)
		return nil
	case plain:
		what = fmt.Sprintf("%d parked with music, nice = 0: ", n)
	case besieged:
		what = fmt.Sprintf("%d parked with music, one core kept busy: ", n)
	default:
		r.add(what+"memory (RSS, kB a call)", "MB", "1", fmt.Sprintf("%.0f (%.0f); idle %.0f", f.held.rss, perCall(f.held, c.idle, n), c.idle.rss), theirParkedRSS[n])
		r.add(what+"threads", "", "1", fmt.Sprint(f.held.threads), theirThreads[n])
	}
	r.add(what+"CPU", "% core", fmt.Sprint(windows), spread("%.1f", f.cpu)+meanwhile(f), theirParkedCPU[n])
	r.add(what+"packet interval p99 / p99.9", "ms", fmt.Sprint(len(h.gaps)), fmt.Sprintf("%s / %s, max %s", ms(percentile(h.gaps, 99)),
		ms(percentile(h.gaps, 99.9)), ms(h.gaps[len(h.gaps)-1])), theirIntervals[n])
	r.add(what+"interval differs from 20 ms by p50 / p99 / p99.9", "µs", fmt.Sprint(len(h.off)), tails(h.off), "")
	r.even(what, f)
	for _, limit := range []time.Duration{2 * time.Millisecond, offBy} {
		theirs := ""
		if limit == offBy { // the incumbent was counted so
			theirs = theirOff[n]
		}
		r.add(what+fmt.Sprintf("off by more than %d ms", limit.Milliseconds()), "packets", fmt.Sprint(len(h.off)),
			fmt.Sprintf("%d of %d", above(h.off, limit), len(h.off)), theirs)
	}
	return nil
}

// occupy keeps one core busy until what it returns is called.
func occupy() (stop func()) {
	var ended atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for !ended.Load() {
		}
	})
	return func() {
		ended.Store(true)
		wg.Wait()
	}
}

// perCall is the memory of one call in kB.
func perCall(with, idle footprint, n int) float64 { return (with.rss - idle.rss) * 1024 / float64(n) }

// relayed measures fetched calls, whose audio goes through the appliance.
func relayed(s *stage) error {
	if err := direct(s); err != nil {
		return err
	}
	var errs []error
	for _, n := range []int{50, 200}[:s.choose(2, 1)] {
		if s.calls > 0 && s.calls != n {
			continue
		}
		for _, kind := range []crowdKind{usual, plain} {
			if err := s.inside(s.ctx, s.name, func(s *stage) error { return relayedCrowd(s, n, kind) }); err != nil {
				errs = append(errs, fmt.Errorf("%d calls: %w", n, err))
			}
		}
	}
	return errors.Join(errs...)
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
			m := newMouth(from.sock, to.sock.addr)
			s.speaker.join(m, i)
			defer s.speaker.stop(m)
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

// relayedCrowd measures n relayed calls, favoured by the kernel as the configuration asks, or not: what passes packets on as
// they come waits for a core like any other thread.
func relayedCrowd(s *stage, n int, kind crowdKind) error {
	c, err := newCrowd(s, n, kind)
	if err != nil {
		return err
	}
	defer c.hush()
	if err := c.park(true); err != nil {
		return err
	}
	fetchers, err := s.hall(31)
	if err != nil {
		return err
	}
	says := make([]*mouth, n)
	defer func() {
		for _, m := range says {
			if m != nil {
				s.speaker.stop(m)
			}
		}
	}()
	err = s.together(n, 20, setUpRate, func(i int) error {
		l, err := c.uas[i%len(c.uas)].invite(s.ctx, c.at, callOptions{me: fmt.Sprint("f", i), callee: fmt.Sprint(7000 + i), audio: fetchers.sock.addr,
			onMedia: func(to netip.AddrPort) {
				says[i] = newMouth(fetchers.sock, to)
				s.speaker.join(says[i], i+int(slots)/2)
			}})
		if err != nil {
			return err
		}
		return l.want(200)
	})
	if err != nil {
		return err
	}
	if err := pause(s.ctx, time.Second); err != nil { // warm-up
		return err
	}
	const windows = 3
	expected := n * 50 * (windows + 1) * int(s.window()/time.Second)
	c.callers.begin(expected)
	fetchers.begin(expected)
	said := s.speaker.said.Load()
	f, err := c.measure(windows, s.window())
	if err != nil {
		return err
	}
	said = s.speaker.said.Load() - said
	a, b := c.callers.end(), fetchers.end()
	delays := slices.Sorted(slices.Values(slices.Concat(a.delays, b.delays)))
	if a.calls != n || b.calls != n || len(delays) == 0 {
		return fmt.Errorf("%d callers and %d fetchers of %d hear something", a.calls, b.calls, n)
	}
	r := &s.report
	what, cpu, times := fmt.Sprintf("%d relayed calls: ", n), theirRelayCPU[n], theirRelay[n]
	if kind == plain {
		what, times = fmt.Sprintf("%d relayed calls, nice = 0: ", n), theirRelayNormal[n]
	}
	r.add(what+"CPU", "% core", fmt.Sprint(windows), spread("%.1f", f.cpu)+meanwhile(f), cpu)
	r.add(what+"one-way time through the relay p50/p99/p99.9", "µs", fmt.Sprint(len(delays)), tails(delays), times)
	r.even(what, f)
	// The last packet is counted as said before it has come, and the counters are not read in the same moment.
	r.add(what+"packets that came of those that were sent", "%", fmt.Sprint(said), fmt.Sprintf("%.2f", 100*float64(len(delays))/float64(said)), "")
	if kind == usual {
		r.add(what+"memory a call (two legs)", "kB", "1", fmt.Sprintf("%.0f", perCall(f.held, c.idle, n)), theirRelayRSS)
	}
	return nil
}

// even adds how even the machine itself was during a measurement.
func (r *report) even(what string, f loadFigures) {
	r.add(what+"lateness of a bare real-time thread meanwhile p50/p99/p99.9", "µs", fmt.Sprint(len(f.floor)), tails(f.floor), "")
}

// meanwhile says what this program used of the machine.
func meanwhile(f loadFigures) string {
	return fmt.Sprintf(" (this program meanwhile %.0f)", percentile(slices.Sorted(slices.Values(f.itself)), 50))
}
