package e2e

import (
	"context"
	"slices"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/mover"
	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/parkd/panel"
	"parklamp/sip/call"
)

// neverDark watches the lamp of orbit 701 at some appliances until the function that it returns is called, which fails if one of
// them was dark at any time.
func (p *place) neverDark(all ...*site.Appliance) (check func()) {
	p.Helper()
	var checks []func()
	for _, a := range all {
		checks = append(checks, p.neverDarkAt(a))
	}
	return func() {
		p.Helper()
		for _, check := range checks {
			check()
		}
	}
}

func (p *place) neverDarkAt(a *site.Appliance) (check func()) {
	ctx, cancel := context.WithCancel(p.Context())
	var wg sync.WaitGroup
	var seen []string // owned by the goroutine until it has ended
	watches := make(chan struct{})
	wg.Go(func() {
		tell := sync.OnceFunc(func() { close(watches) })
		defer tell()
		_ = read(ctx, a, func() error { // it ends with ctx
			return a.Watch(ctx, func(st panel.Status) bool {
				tell()
				if now := lamp(st, "orbit-701").Pattern; len(seen) == 0 || seen[len(seen)-1] != now {
					seen = append(seen, now)
				}
				return true
			})
		})
	})
	p.Cleanup(wg.Wait)
	p.Cleanup(cancel)
	<-watches
	return func() {
		p.Helper()
		cancel()
		wg.Wait()
		p.Logf("%s: lamp 701 went %v", a.Name, seen)
		if slices.Contains(seen, panel.StateFree) {
			p.Errorf("%s: the lamp of 701 was dark for a moment: %v", a.Name, seen)
		}
	}
}

// at checks that 701 holds one call, the same at some appliances.
func (p *place) at(caller string, host *site.Appliance, since time.Time, all ...*site.Appliance) {
	p.Helper()
	for _, a := range all {
		st := p.await(a, caller+" on 701 at "+host.Name, func(st panel.Status) bool {
			o := orbitOf(st, "701")
			return o.Host == host.Name && len(o.Calls) == 1 && o.State != panel.StateUnknown && o.State != panel.StateQueued
		})
		if o := orbitOf(st, "701"); o.Caller.Number != caller || !o.Since.Equal(since) {
			p.Errorf("%s: on 701 is %+v since %v, want %s since %v", a.Name, o.Caller, o.Since, caller, since)
		}
	}
}

// takenOver waits until another appliance has the call on 701 that one had which is gone, and returns it; who sees that is asked.
func (p *place) takenOver(gone, sees *site.Appliance) *site.Appliance {
	p.Helper()
	st := p.await(sees, "the call on 701 at another host", func(st panel.Status) bool {
		o := orbitOf(st, "701")
		return len(o.Calls) == 1 && o.State != panel.StateUnknown && o.Host != gone.Name
	})
	for _, a := range p.Appliances {
		if a.Name == orbitOf(st, "701").Host {
			return a
		}
	}
	p.Fatalf("nobody is %q", orbitOf(st, "701").Host)
	return nil
}

// fetchedAt has the caller on 701 fetched at an appliance, where both are heard by these ears, and hung up on.
func (p *place) fetchedAt(a *site.Appliance, ears ...ear) {
	p.Helper()
	p.fetch(a, "701")
	p.listen(ears...)
	p.hook(a, false)
	p.idle(p.Appliances...)
}

// movingCaller is a caller's phone that moves, with its sound.
type movingCaller struct {
	*peer.Talker
	*mover.Phone
	first *call.Call
}

// hearing is his ear.
func (m *movingCaller) hearing(ref []int16) ear { return recordingOf("the caller", m.Audio, ref) }

// moverNumber is who he is, and moverLast the last number of his address.
const (
	moverNumber = "5550011"
	moverLast   = 11
)

// mover is somebody who has parked himself on 701 of dock-1, and hears music; since is when that was. If refuses is the code of an
// answer, his phone only says that it moves.
func (p *place) mover(refuses int) (m *movingCaller, since time.Time) {
	p.Helper()
	m = &movingCaller{Talker: p.talker(moverLast, speech.Caller())}
	var err error
	m.Phone, err = mover.New(mover.Options{Number: moverNumber, Local: p.sip(moverLast), Media: m.Addr(), Refuse: refuses})
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.Context()))
	done := make(chan error, 1)
	go func() { done <- m.Phone.Run(ctx) }()
	p.Cleanup(func() { cancel(); <-done })
	m.first, err = m.Call(gosip.Uri{Scheme: "sip", User: "*68701", Host: p.dock1().Addr.String(), Port: 5060})
	if err != nil {
		p.Fatal(err)
	}
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.listen(m.hearing(music()))
	return m, p.since(p.dock2())
}

// moves waits until a peer has called the mover and has it, and returns that call.
func (p *place) moves(m *movingCaller) *call.Call {
	p.Helper()
	select {
	case c := <-m.Moved:
		return c
	case <-time.After(limit):
		p.Fatal("nobody calls the caller")
		return nil
	}
}

// parkedLinphone is a phone that is not ours, and moves too.
func (p *place) parkedLinphone() (l *linphone, since time.Time) {
	p.Helper()
	l = p.linphone("yard")
	l.calls(uri("*68701", p.dock1()))
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.listen(l.hearing(music()))
	return l, p.since(p.dock2())
}
