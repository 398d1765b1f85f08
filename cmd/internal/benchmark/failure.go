package main

import (
	"fmt"
	"time"

	"parklamp/parkd/panel"
)

// failure kills the appliance that hosts a parked call, as a power cut would, and starts it again.
func failure(s *stage) error {
	all, err := s.phones(settings{})
	if err != nil {
		return err
	}
	host := all.Appliances[0]
	eyes := []*eyes{s.watch(all.Appliances[1]), s.watch(all.Appliances[2])}
	u, err := s.ua(10)
	if err != nil {
		return err
	}
	deaf, err := s.hall(30)
	if err != nil {
		return err
	}
	var unknown, process, back sample
	for range s.choose(5, 1) {
		l, err := u.invite(s.ctx, s.sip(1), callOptions{me: "caller", callee: "701", referredBy: u.contact("desk"), audio: deaf.sock.addr})
		if err == nil {
			err = l.want(200)
		}
		if err != nil {
			return err
		}
		for _, e := range eyes {
			if _, err := e.settled(s.ctx, "701 parked elsewhere", orbit("701", panel.StateParkedElsewhere)); err != nil {
				return err
			}
		}
		if err := pause(s.ctx, time.Second/2); err != nil {
			return err
		}
		killed := now()
		if err := host.Kill(); err != nil {
			return err
		}
		var last stamp
		for _, e := range eyes {
			at, err := e.first(s.ctx, killed, "701 unknown", orbit("701", panel.StateUnknown))
			if err != nil {
				return err
			}
			last = max(last, at)
		}
		unknown.add(last.since(killed))
		l.drop() // its appliance knows nothing of it any more

		begun := now()
		if err := host.Start(); err != nil {
			return err
		}
		if err := host.AwaitReady(s.ctx); err != nil {
			return err
		}
		process.add(now().since(begun))
		last = 0
		for _, e := range eyes {
			at, err := e.first(s.ctx, begun, "all peers alive and no orbit unknown", func(st panel.Status) bool {
				return knows(2)(st) && !orbit("701", panel.StateUnknown)(st)
			})
			if err != nil {
				return err
			}
			last = max(last, at)
		}
		back.add(last.since(begun))
		for _, e := range eyes {
			if _, err := e.settled(s.ctx, "no orbit taken", func(st panel.Status) bool { return taken(st) == 0 }); err != nil {
				return fmt.Errorf("after the return: %w", err)
			}
		}
		if err := pause(s.ctx, time.Second); err != nil {
			return err
		}
	}
	s.report.times("kill -9 of the host to unknown on both others", &unknown, "Asterisk: parked calls lost, nobody told")
	s.report.times("Start of its process to an answering API", &process, "")
	s.report.times("Start of its process to recovered on both others", &back, "")
	return nil
}
