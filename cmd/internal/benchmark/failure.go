package main

import (
	"context"
	"fmt"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// failure kills the appliance that hosts a parked call, as a power cut would, and starts it again: once when the others
// have noticed, and once at once, as a supervisor does.
func failure(s *stage) error {
	all, err := s.phones(settings{})
	if err != nil {
		return err
	}
	v := &victim{stage: s, host: all.Appliances[0], others: []*eyes{s.watch(all.Appliances[1]), s.watch(all.Appliances[2])}}
	if v.ua, err = s.ua(10); err != nil {
		return err
	}
	if v.ear, err = s.ear(30); err != nil {
		return err
	}
	var unknown, process, back, gap sample
	kept, rounds := 0, s.choose(5, 1)
	for range rounds {
		l, err := v.park()
		if err != nil {
			return err
		}
		killed := now()
		if err := v.host.Kill(); err != nil {
			return err
		}
		at, err := v.seen(killed, "701 unknown", orbit("701", panel.StateUnknown))
		if err != nil {
			return err
		}
		unknown.add(at.since(killed))

		begun := now()
		if err := v.start(); err != nil {
			return err
		}
		process.add(now().since(begun))
		if at, err = v.seen(begun, "all peers alive and 701 known", known); err != nil {
			return err
		}
		back.add(at.since(begun))
		d, ok, err := v.restart()
		if err != nil {
			return err
		}
		if ok {
			kept++
			gap.add(d)
		}
		// A host that has forgotten the call answers 481, which is an end as well.
		if err := l.bye(s.ctx); err != nil {
			return err
		}
		for _, e := range v.others {
			if err := e.settled(s.ctx, "no orbit taken", func(st panel.Status) bool { return taken(st) == 0 && knows(2)(st) }); err != nil {
				return fmt.Errorf("after the return: %w", err)
			}
		}
	}
	r := &s.report
	r.times("kill -9 of the host to unknown on both others", &unknown, "Asterisk: parked calls lost, nobody told")
	r.times("Start of its process to an answering API", &process, "")
	r.times("Start of its process to recovered on both others", &back, "")
	r.add("Parked calls that outlived two kill -9 of their host", "calls", fmt.Sprint(rounds), fmt.Sprint(kept), "Asterisk 0")
	r.times("kill -9 and start at once: gap in the caller's music", &gap, "Asterisk: for ever")
	return nil
}

// victim is an appliance with a parked call that others watch.
type victim struct {
	*stage
	host   *site.Appliance
	others []*eyes
	ua     *ua
	ear    *ear // of the caller
}

// known wants a site that is whole again.
func known(st panel.Status) bool {
	return knows(2)(st) && !orbit("701", panel.StateUnknown)(st)
}

// park parks a caller at the host.
func (v *victim) park() (*leg, error) {
	l, err := v.ua.invite(v.ctx, v.sip(1), callOptions{me: "caller", callee: "701", referredBy: v.ua.contact("desk"), audio: v.ear.sock.addr})
	if err == nil {
		err = l.accepted()
	}
	if err != nil {
		return nil, err
	}
	if _, err := v.ear.await(v.ctx, l.sent, isMusic); err != nil {
		return nil, err
	}
	if _, err := v.seen(l.sent, "701 parked elsewhere", orbit("701", panel.StateParkedElsewhere)); err != nil {
		return nil, err
	}
	return l, pause(v.ctx, time.Second/2)
}

// seen waits until all others have shown something, and returns when the last did.
func (v *victim) seen(after stamp, what string, fits func(panel.Status) bool) (last stamp, err error) {
	for _, e := range v.others {
		at, err := e.first(v.ctx, after, what, fits)
		if err != nil {
			return 0, err
		}
		last = max(last, at)
	}
	return last, nil
}

func (v *victim) start() error {
	if err := v.host.Start(); err != nil {
		return err
	}
	return v.host.AwaitReady(v.ctx)
}

// keptLimit is how long after a restart music must come for the call to count as kept.
const keptLimit = 3 * time.Second

// restart kills the host and starts it at once. It returns how long the caller heard nothing, and false if he has heard
// nothing since the host was killed before.
func (v *victim) restart() (time.Duration, bool, error) {
	if !v.hears(now()) {
		return 0, false, nil
	}
	if err := pause(v.ctx, time.Second/2); err != nil {
		return 0, false, err
	}
	if err := v.host.Kill(); err != nil {
		return 0, false, err
	}
	dead := now()
	if err := v.start(); err != nil {
		return 0, false, err
	}
	if !v.hears(dead) {
		return 0, false, nil
	}
	return v.ear.longestGap(dead), true, nil
}

// hears waits for music.
func (v *victim) hears(after stamp) bool {
	ctx, cancel := context.WithTimeout(v.ctx, keptLimit)
	defer cancel()
	_, err := v.ear.await(ctx, after, isMusic)
	return err == nil
}
