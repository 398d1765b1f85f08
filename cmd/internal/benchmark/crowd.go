package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
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
}

// newCrowd starts an appliance with n orbits.
func newCrowd(s *stage, n int, kind crowdKind) (*crowd, error) {
	a, err := s.gateway(settings{orbits: numbers(n), calls: 2*n + 50, plain: kind == plain || kind == realTime, under: kind.under()})
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
	return c.together(len(c.legs), 20, setUpRate, func(i int) (err error) {
		u := c.uas[i%len(c.uas)]
		o := callOptions{me: fmt.Sprint("c", i), callee: fmt.Sprint(7000 + i), referredBy: u.contact("desk"), audio: c.callers.sock.addr}
		if speaking {
			o.onMedia = func(to netip.AddrPort) { c.speak(c.callers, to, i) }
		}
		if c.legs[i], err = u.invite(c.ctx, c.at, o); err != nil {
			return err
		}
		return c.legs[i].accepted()
	})
}

// loadFigures is what a program used over some windows of time.
type loadFigures struct {
	cpu    []float64 // % of a core, by window
	held   footprint // in the end
	itself []float64 // what this program used meanwhile, % of a core

	floor         []time.Duration // how late the machine woke a thread above all others meanwhile, sorted
	again, uneven int             // measurements that were thrown away, and that count, of an uneven machine
}

// measure looks at a program for some windows.
func (s *stage) measure(pid, windows int, window time.Duration) (f loadFigures, err error) {
	stop := floor()
	defer func() { f.floor = stop() }()
	for range windows {
		before, err := usageOf(pid)
		if err != nil {
			return f, err
		}
		own := ownUsage()
		if err := pause(s.ctx, window); err != nil {
			return f, err
		}
		after, err := usageOf(pid)
		if err != nil {
			return f, err
		}
		f.cpu = append(f.cpu, after.percent(before))
		f.itself = append(f.itself, ownUsage().percent(own))
	}
	f.held, err = footprintOf(pid)
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
	realTime           // the appliance is in a real-time class
)

// realTimeClass is the command that puts a program into the class in which Debian starts Asterisk.
var realTimeClass = []string{"chrt", "--rr", "10"}

// under is the command that an appliance is started with.
func (k crowdKind) under() []string {
	if k == realTime {
		return realTimeClass
	}
	return nil
}

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
	var h heardBy
	f, err := evenly(func() (loadFigures, error) {
		c.callers.begin(n * 50 * (windows + 1) * int(s.window()/time.Second))
		f, err := s.measure(c.appliance.PID(), windows, s.window())
		h = c.callers.end()
		return f, err
	})
	if err != nil {
		return err
	}
	if h.calls != n || len(h.gaps) == 0 {
		return fmt.Errorf("%d of %d parked callers hear something", h.calls, n)
	}
	r := &s.report
	what := fmt.Sprintf("%d parked with music: ", n)
	switch kind {
	case speaking:
		r.add(fmt.Sprintf("%d parked whose callers also send RTP: CPU", n), "% core", fmt.Sprint(windows), spread(f.cpu), theirParkedSendingCPU)
		return nil
	case plain:
		what = fmt.Sprintf("%d parked with music, nice = 0: ", n)
	case besieged:
		what = fmt.Sprintf("%d parked with music, one core kept busy: ", n)
	default:
		r.add(what+"memory (RSS, kB a call)", "MB", "1", fmt.Sprintf("%.0f (%.0f); idle %.0f", f.held.rss, perCall(f.held, c.idle, n), c.idle.rss), theirParkedRSS[n])
		r.add(what+"threads", "", "1", fmt.Sprint(f.held.threads), theirThreads[n])
	}
	r.add(what+"CPU", "% core", fmt.Sprint(windows), spread(f.cpu)+meanwhile(f), theirParkedCPU[n])
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
