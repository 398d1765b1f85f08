package main

import (
	"context"
	"fmt"
	"time"
)

// churn lets 1,000 calls come, be parked, be fetched and go, and looks at what stays of them in memory: at once, after
// some seconds, and when everything else has been measured. Its appliance lives until then.
func churn(s *stage) error {
	calls := s.choose(1000, 300)
	const orbits = 200
	c, err := newCrowd(s, orbits, usual)
	if err != nil {
		return err
	}
	s.outlive()
	before, err := usageOf(c.appliance.PID())
	if err != nil {
		return err
	}
	if err := s.together(calls, orbits/2, theirRate, func(i int) error { return c.comeAndGo(i, orbits) }); err != nil {
		return err
	}
	after, err := usageOf(c.appliance.PID())
	if err != nil {
		return err
	}
	r := &s.report
	r.add("Idle: memory (RSS)", "MB", "1", fmt.Sprintf("%.0f", c.idle.rss), theirIdleRSS)
	r.add(fmt.Sprintf("%d calls parked and fetched at %d a second: CPU", calls, theirRate), "% core", "1",
		fmt.Sprintf("%.0f", after.percent(before)), theirRateCPU)
	ended := time.Now()
	look := func(when string) error {
		held, err := footprintOf(c.appliance.PID())
		if err != nil {
			return err
		}
		r.add(fmt.Sprintf("Memory (RSS) after %d calls have gone, %s", calls, when), "MB", "1", fmt.Sprintf("%.0f", held.rss), theirRSSAfter)
		return nil
	}
	if err := look("at once"); err != nil {
		return err
	}
	while := s.choose(10, 2)
	if err := pause(s.ctx, time.Duration(while)*time.Second); err != nil {
		return err
	}
	if err := look(fmt.Sprintf("%d s later", while)); err != nil {
		return err
	}
	s.late = append(s.late, func() error {
		st, err := c.appliance.Status(context.WithoutCancel(s.ctx))
		if err != nil {
			return err
		}
		if n := len(st.Calls) + taken(st); n > 0 {
			r.note("After the %d calls %d calls and %d taken orbits are left over.", calls, len(st.Calls), taken(st))
		}
		return look(fmt.Sprintf("%.0f s later", time.Since(ended).Seconds()))
	})
	return nil
}

// comeAndGo is the life of one call: sent to an orbit, fetched after half a second, ended by the
// caller after another.
func (c *crowd) comeAndGo(i, orbits int) error {
	number := fmt.Sprint(7000 + i%orbits)
	u := c.uas[i%len(c.uas)]
	caller, err := u.invite(c.ctx, c.at, callOptions{me: fmt.Sprint("c", i), callee: number, referredBy: u.contact("desk"), audio: c.callers.sock.addr})
	if err == nil {
		err = caller.accepted()
	}
	if err != nil {
		return err
	}
	if err := pause(c.ctx, time.Second/2); err != nil {
		return err
	}
	fetcher, err := u.invite(c.ctx, c.at, callOptions{me: fmt.Sprint("f", i), callee: number, audio: c.callers.sock.addr})
	if err == nil {
		err = fetcher.accepted()
	}
	if err != nil {
		return err
	}
	if err := pause(c.ctx, time.Second/2); err != nil {
		return err
	}
	if err := caller.bye(c.ctx); err != nil {
		return err
	}
	return fetcher.ended(c.ctx)
}
