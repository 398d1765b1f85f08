package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// transfers measures a third-party phone that has the caller through the appliance: it parks him by REFER and fetches
// him by dialling the orbit, again and again, while others watch the orbit.
func transfers(s *stage) error {
	var errs []error
	for _, watchers := range []int{1, 50, s.choose(500, 200)} {
		if err := s.inside(s.ctx, s.name, func(s *stage) error { return watched(s, watchers) }); err != nil {
			errs = append(errs, fmt.Errorf("%d watchers: %w", watchers, err))
		}
	}
	return errors.Join(errs...)
}

// pair is a caller in an orbit and the phone that fetches and parks him.
type pair struct {
	*stage
	at     netip.AddrPort // the appliance
	phone  *ua
	says   *mouth // the caller's
	caller *ear
	ear    *ear // the phone's
	watch  *watch
}

// fetched is one fetch: the call of the phone, and how long things took from its INVITE.
type fetched struct {
	leg    *leg
	says   *mouth        // the phone's; nil if it says nothing
	answer time.Duration // to the 200
	hears  time.Duration // to the caller's first frame at the phone
	audio  time.Duration // to the first frame of the later of both directions
	idle   time.Duration // to the last watcher's NOTIFY that the orbit is free
}

// sent is one park by REFER: how long things took from the REFER.
type sent struct {
	accept      time.Duration // to the 2xx
	music       time.Duration // to the first music packet at the caller
	first, last time.Duration // to the watchers' NOTIFYs that the orbit is taken
	done        time.Duration // to the BYE at the phone that sent it
}

func watched(s *stage, watchers int) error {
	appliance, err := s.gateway(settings{})
	if err != nil {
		return err
	}
	p, err := newPair(s, watchers)
	if err != nil {
		return err
	}
	defer p.close()
	var accept, music, first, last, done, answer, audio, idle, silent sample
	const warmUp = 3
	for range s.choose(4, 1) {
		for _, f := range []*sample{&accept, &music, &first, &last, &done, &answer, &audio, &idle} {
			f.run()
		}
		for i := range s.choose(20, 8) + warmUp {
			f, t, err := p.cycle([]string{"*68", "701"}[i%2], false)
			if err != nil {
				return err
			}
			if i < warmUp {
				continue
			}
			for _, v := range []struct {
				of *sample
				is time.Duration
			}{{&accept, t.accept}, {&music, t.music}, {&first, t.first}, {&last, t.last}, {&done, t.done},
				{&answer, f.answer}, {&audio, f.audio}, {&idle, f.idle}} {
				v.of.add(v.is)
			}
		}
	}
	held, err := footprintOf(appliance.PID())
	if err != nil {
		return err
	}
	with := fmt.Sprintf(", %d watchers", watchers)
	if watchers == 1 {
		with = ", 1 watcher"
	}
	r := &s.report
	r.times("REFER to 202"+with, &accept, "")
	r.times("REFER to first music packet"+with, &music, theirReferMusic[watchers])
	r.times("REFER to first NOTIFY"+with, &first, theirReferFirst[watchers])
	r.times("REFER to last NOTIFY"+with, &last, theirReferLast[watchers])
	r.times("REFER to BYE at the parker"+with, &done, "")
	r.times("Fetch INVITE to 200"+with, &answer, theirFetchAnswer[watchers])
	r.times("Fetch INVITE to audio both ways"+with, &audio, theirFetchAudio[watchers])
	r.times("Fetch INVITE to last idle NOTIFY"+with, &idle, theirFetchIdle[watchers])
	r.add("Memory (RSS)"+with, "MB", "1", fmt.Sprintf("%.0f", held.rss), theirWatchedRSS[watchers])
	if watchers > 1 {
		return nil
	}
	for range s.choose(10, 4) {
		f, _, err := p.cycle("*68", true)
		if err != nil {
			return err
		}
		silent.add(f.hears)
	}
	r.times("Fetch INVITE to the caller's voice, fetcher sends no RTP", &silent, theirSilentFetch)
	return nil
}

// newPair parks a caller at orbit 701 of the appliance, with watchers on that orbit.
func newPair(s *stage, watchers int) (*pair, error) {
	p := &pair{stage: s, at: s.sip(1)}
	uas, err := s.uas(10, 7)
	if err != nil {
		return nil, err
	}
	p.phone = uas[1]
	if p.caller, err = s.ear(30); err != nil {
		return nil, err
	}
	if p.ear, err = s.ear(31); err != nil {
		return nil, err
	}
	if p.watch, err = subscribe(s.ctx, uas[2:], p.at, "701", watchers); err != nil {
		return nil, err
	}
	l, err := uas[0].invite(s.ctx, p.at, callOptions{me: "caller", callee: "701", referredBy: uas[0].contact("desk"), audio: p.caller.sock.addr,
		onMedia: func(to netip.AddrPort) {
			p.says = newMouth(p.caller.sock, to)
			s.speaker.start(p.says)
		}})
	if err == nil {
		err = l.accepted()
	}
	if err != nil {
		return nil, err
	}
	_, err = p.caller.await(s.ctx, l.sent, isMusic)
	return p, err
}

func (p *pair) close() {
	p.watch.close()
	p.speaker.stop(p.says)
}

// unevenly waits a while that has no relation to anybody's 20 ms.
func (s *stage) unevenly(least time.Duration) error {
	return pause(s.ctx, least+rand.N(frame))
}

// music waits for the first packet of the music after a moment. The piece begins with each park, so that its first frame
// is the first packet; anything else is noted, as the time would then be that of a later packet.
func (s *stage) music(e *ear, after stamp) (packet, error) {
	p, err := e.await(s.ctx, after, isMusic)
	if err == nil && p.mark != 0 {
		s.report.note("%s: the first music packet was not always the first frame of the piece: its times may be a frame too long.", s.name)
	}
	return p, err
}

// cycle fetches the caller and parks him again.
func (p *pair) cycle(target string, silent bool) (fetched, sent, error) {
	if err := p.unevenly(2 * frame); err != nil {
		return fetched{}, sent{}, err
	}
	f, err := p.fetch(silent)
	if err != nil {
		return f, sent{}, fmt.Errorf("fetch: %w", err)
	}
	if err := p.unevenly(3 * frame); err != nil {
		return f, sent{}, err
	}
	t, err := p.park(f, "sip:"+target+"@"+p.at.String())
	if err != nil {
		return f, t, fmt.Errorf("park by REFER, of which was told %q: %w", f.leg.outcome(), err)
	}
	return f, t, nil
}

// errNotTold says that a NOTIFY is missing.
var errNotTold = errors.New("not every watcher was told of the change")

func (p *pair) fetch(silent bool) (fetched, error) {
	var f fetched
	var spoke stamp
	o := callOptions{me: "phone", callee: "701", audio: p.ear.sock.addr}
	if !silent {
		o.onMedia = func(to netip.AddrPort) {
			f.says, spoke = newMouth(p.ear.sock, to), now()
			p.speaker.start(f.says)
		}
	}
	l, err := p.phone.invite(p.ctx, p.at, o)
	if err == nil {
		err = l.accepted()
	}
	if err != nil {
		return f, err
	}
	f.leg, f.answer = l, l.final.since(l.sent)
	here, err := p.ear.await(p.ctx, l.sent, from(p.says))
	if err != nil {
		return f, fmt.Errorf("at the fetcher: %w", err)
	}
	f.hears = here.at.since(l.sent)
	f.audio = f.hears
	if !silent {
		there, err := p.caller.await(p.ctx, spoke, from(f.says))
		if err != nil {
			return f, fmt.Errorf("at the caller: %w", err)
		}
		f.audio = max(f.audio, there.at.since(l.sent))
	}
	_, last, err := p.told(l.sent, false)
	f.idle = last.since(l.sent)
	return f, err
}

// told waits until all watchers know.
func (p *pair) told(after stamp, busy bool) (first, last stamp, err error) {
	err = poll(p.ctx, errNotTold, func() (all bool) {
		first, last, all = p.watch.reached(after, busy)
		return all
	})
	return first, last, err
}

func (p *pair) park(f fetched, target string) (sent, error) {
	var t sent
	at, accepted, err := f.leg.refer(p.ctx, target)
	if err != nil {
		return t, err
	}
	t.accept = accepted.since(at)
	m, err := p.music(p.caller, at)
	if err != nil {
		return t, fmt.Errorf("music at the caller: %w", err)
	}
	t.music = m.at.since(at)
	first, last, err := p.told(at, true)
	if err != nil {
		return t, err
	}
	t.first, t.last = first.since(at), last.since(at)
	if err := f.leg.ended(p.ctx); err != nil {
		return t, err
	}
	t.done = f.leg.overAt.since(at)
	if f.says != nil {
		p.speaker.stop(f.says)
	}
	return t, nil
}

// parks measures a call that is sent to the park code by somebody else's phone: the caller's own INVITE with
// Referred-By (RFC 3892), as it comes from a blind transfer that the appliance was no part of.
func parks(s *stage) error {
	if _, err := s.gateway(settings{}); err != nil {
		return err
	}
	u, err := s.ua(10)
	if err != nil {
		return err
	}
	ear, err := s.ear(30)
	if err != nil {
		return err
	}
	var answer, music sample
	const warmUp = 5
	for range s.choose(4, 1) {
		answer.run()
		music.run()
		for i := range s.choose(20, 10) + warmUp {
			if err := s.unevenly(frame); err != nil {
				return err
			}
			l, err := u.invite(s.ctx, s.sip(1), callOptions{me: "caller", callee: "*68", referredBy: u.contact("desk"), audio: ear.sock.addr})
			if err == nil {
				err = l.accepted()
			}
			if err != nil {
				return err
			}
			m, err := s.music(ear, l.sent)
			if err != nil {
				return err
			}
			if i >= warmUp {
				answer.add(l.final.since(l.sent))
				music.add(m.at.since(l.sent))
			}
			if err := l.bye(s.ctx); err != nil {
				return err
			}
		}
	}
	s.report.times("Transferee's INVITE (Referred-By, *68) to 200", &answer, "")
	s.report.times("Transferee's INVITE (Referred-By, *68) to first music packet", &music, "")
	return nil
}
