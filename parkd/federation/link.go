package federation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/event"
	"parklamp/sip/event/pidf"
)

// goOn runs a request in a goroutine of Run's, unless too many wait for their answers.
func (f *Federation) goOn(do func()) bool {
	select {
	case f.slots <- struct{}{}:
	default:
		return false
	}
	f.requests.Go(func() {
		defer func() { <-f.slots }()
		do()
	})
	return true
}

// probe asks a peer for a sign of life. Any final answer is one.
func (f *Federation) probe(ctx context.Context, l *link) {
	select {
	case l.probes <- struct{}{}:
	default:
		return // the earlier ones will be answered when the link is back
	}
	sent := f.goOn(func() {
		defer func() { <-l.probes }()
		options := sip.Head{Target: f.uriAt(l.peer.Name, l.peer.Address), From: f.from()}.Request(gosip.OPTIONS)
		_, err := f.ep.Request(options, sip.Send{Transport: f.cfg.Transport()}).Final(ctx)
		switch {
		case err == nil:
			f.step(Heard{Peer: l.peer.Name})
		case errors.Is(err, sip.ErrUnproved):
			f.log.Debug("peer is not who it should be", "peer", l.peer.Name, "err", err)
			f.fault(l.peer.Name, ErrUnproved) // without err, whose text has the time
		}
	})
	if !sent {
		<-l.probes
	}
}

// watch subscribes to a peer, with a new dialog.
func (f *Federation) watch(l *link) {
	f.unwatch(l)
	l.sub = f.agent.Subscribe(event.Subscribe{
		Target: f.uriAt(l.peer.Name, l.peer.Address), Event: presence, Accept: []string{pidf.ContentType},
		Expires: f.cfg.Refresh, From: f.from(), Transport: f.cfg.Transport(),
	}, func(u event.Update) { f.updated(l.peer.Name, u) })
}

func (f *Federation) unwatch(l *link) {
	if l.sub != nil {
		l.sub.Stop()
		l.sub = nil
	}
}

// updated takes news of a subscription, in the agent's goroutine.
func (f *Federation) updated(name string, u event.Update) {
	switch last := u.State == event.Lost; {
	case (u.State == event.Active || last) && len(u.Body) > 0:
		told, err := parse(name, u.Body)
		if err == nil {
			f.step(told)
			if last { // the last word of one that goes, which came with the end of the subscription
				break
			}
			return
		}
		if errors.Is(err, errForeign) {
			err = fmt.Errorf("%w (%w)", ErrStranger, err)
		}
		f.fault(name, err)
	case u.State == event.Terminated:
		f.fault(name, fmt.Errorf("%w (%s)", ErrRefused, u.Reason))
	case u.State == event.Lost && strings.HasPrefix(u.Reason, "404 "):
		f.fault(name, fmt.Errorf("%w (%s)", ErrStranger, u.Reason))
	}
	// Also an empty or cut document: unknown, never free.
	f.step(Lost{Peer: name})
}

// askFor sends a claim to an arbiter.
func (f *Federation) askFor(ctx context.Context, e Ask) {
	l := f.links[e.Peer]
	answer := func(res event.PublishResult, err error) {
		a := Answered{Peer: e.Peer, Token: e.Token, Orbit: e.Orbit, Silent: err != nil}
		if err == nil {
			a.Granted, a.Silent, a.Reason = answerOf(res.Code)
		}
		f.step(a)
	}
	body := marshalClaim(f.cfg.Name, wordClaim, e.Token, e.Orbit)
	if !f.publish(ctx, l, f.cfg.ClaimFor, body, answer) {
		answer(event.PublishResult{}, sip.ErrOverload)
	}
}

// publish sends a PUBLISH of the claims' event; done may be nil.
func (f *Federation) publish(ctx context.Context, l *link, expires time.Duration, body []byte, done func(event.PublishResult, error)) bool {
	return f.goOn(func() {
		res, err := f.agent.Publish(ctx, event.PublishRequest{
			Target: f.uriAt(l.peer.Name, l.peer.Address), Event: claimEvent, From: f.from(), Transport: f.cfg.Transport(),
			ContentType: pidf.ContentType, Body: body, Expires: expires, Timeout: lateAnswer,
		})
		if done != nil {
			done(res, err)
		}
	})
}
