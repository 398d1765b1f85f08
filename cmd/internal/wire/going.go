package wire

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/initapi"
	"parklamp/parkd"
	"parklamp/sip/call"
)

// Going is how an appliance goes. It or a Told is the cause of the end of Run's context; any other cause is Final.
//
// Whatever the way, what is half done is settled first (parkd.Close): a recall stops ringing and rings again in the next
// life, a fetch fails and the caller waits, a park under way holds. Who talks or rings is hung up. The parked callers:
//
//	Final    the peers take over whom they can, and get back whom they relay to here; the others are told good-bye: nobody comes back
//	Restart  they stay in the journal, and the next process goes on with them at once. Peers and registrars hear nothing
//	         of it; subscribers of lamps, who would wait for the end of their subscription, are told to come back
//	Reboot   the peers take over whom they can; the others stay in the journal for the next life, which comes in a minute:
//	         peers show them as unknown meanwhile, and the accounts are not registered
//
// Who is not in the journal, because it is off or its disk is full, is told good-bye: silence until he gives up is worse.
type Going uint8

// The ways to go.
const (
	Final Going = iota
	Restart
	Reboot
)

// Error names it.
func (g Going) Error() string {
	switch g {
	case Restart:
		return "restart"
	case Reboot:
		return "reboot"
	}
	return "stop"
}

// Told is a cause of the end of Run's context that may become another while the appliance goes. Make it with NewTold.
//
// Who goes because another process follows and then hears that none will goes as he is told then, as long as the journal is
// not closed. Who is asked to keep his callers for a machine that starts anew, and is then ended with the rest of it, still
// keeps them; and who goes for good is not called back.
type Told struct{ going atomic.Uint32 }

// NewTold is the first word.
func NewTold(g Going) *Told {
	t := &Told{}
	t.going.Store(uint32(g))
	return t
}

// Again is a later word.
func (t *Told) Again(g Going) { t.going.CompareAndSwap(uint32(Restart), uint32(g)) }

// Error names how the appliance is to go by now.
func (t *Told) Error() string { return Going(t.going.Load()).Error() }

// As lets errors.As find a Going.
func (t *Told) As(target any) bool {
	g, ok := target.(*Going)
	if ok {
		*g = Going(t.going.Load())
	}
	return ok
}

// goingOf is how a context's end wants the appliance to go; one that has not ended, because a part has failed, as for a restart.
func goingOf(ctx context.Context) Going {
	if ctx.Err() == nil {
		return Restart
	}
	g := Final
	errors.As(context.Cause(ctx), &g) // else it stays Final
	return g
}

// leave ends everything in the order that the end of ctx wants. Music plays until the very last.
func (a *Appliance) leave(ctx, base context.Context, calls, others, events, wires, sound *group) error {
	g := goingOf(ctx)
	a.depart(base, g)
	if later := goingOf(ctx); later != g {
		g = later
		a.depart(base, g)
	}
	if g == Restart { // nobody hears of it: what the parts would say now does not get out
		a.freeze()
		_ = wires.end() // told with the others
	}
	// The calls are settled: the last that peers and watchers hear is who is left. The federation's last word, that this appliance
	// goes, is a change that the events tell before they end: were they stopped together, it might come too late for that.
	err := errors.Join(others.end(), events.end())
	if g == Reboot {
		a.freeze()
	}
	err = errors.Join(err, wires.end(), calls.end())
	if g == Final {
		a.keeper.forget()
	}
	return errors.Join(err, sound.end())
}

// depart settles what is half done and ends the calls that do not outlive this process. What stays goes on until the
// sockets are closed: a caller who hangs up is heard.
func (a *Appliance) depart(base context.Context, g Going) {
	began := a.now()
	a.ua.Refuse(g == Restart)
	a.loop.ask(func() { a.lot.step(parkd.Close{}) })
	a.awaitRescues(base)
	if g != Restart {
		taking, end := context.WithTimeout(base, takeOver(a.cfg, underInit()))
		if left := a.handOver(taking); left > 0 && taking.Err() != nil {
			a.log.Warn("the peers have not taken over everybody in time", "left", left)
		}
		end()
	}
	grace, end := context.WithTimeout(base, stopGrace)
	defer end()
	told := make(chan struct{})
	if g == Restart {
		go func() {
			defer close(told)
			a.agent.Dismiss(grace, "dialog")
		}()
	} else {
		close(told)
	}
	stay := a.staying(grace, g)
	ended, unanswered := a.ua.Drain(grace, func(c *call.Call) bool { return stay[c] })
	if unanswered > 0 {
		a.log.Warn("calls are cut off: their far ends did not answer in time", "calls", unanswered)
	}
	<-told
	a.loop.ask(func() { // after the ends of all calls
		a.lot.step(parkd.Close{})
		a.keeper.release()
	})
	a.log.Info("the appliance goes", "how", g.Error(), "stay", len(stay), "ended", ended, "took", a.now().Sub(began).Round(time.Millisecond))
}

// goodbyes is how long going takes at most besides takeOver and the last notifications: rescues under way, calls that are hung
// up, accounts that are signed off (2 s, with the panel's readers), sockets, and a disk that takes its time.
const goodbyes = 3*stopGrace + 2*time.Second + 3*time.Second

// takeOver is how long the peers have: as the configuration says, and where the first process of an image ends this one, no
// longer than it lets.
func takeOver(cfg config.Config, underInit bool) time.Duration {
	if !underInit {
		return cfg.Federation.TakeOver
	}
	return min(cfg.Federation.TakeOver, initapi.EndFor-goodbyes-cfg.Events.ShutdownFor)
}

// handOver tells the peers that this appliance goes, and waits until they have said of each parked caller that they have
// taken him over or that he does not come, or until ctx ends or nobody is left who could. It returns how many callers are
// still parked here. It hangs up nobody.
func (a *Appliance) handOver(ctx context.Context) (left int) {
	mine := func() (here int, waits bool) {
		a.loop.ask(func() { here, waits = a.lot.machine.Remaining() })
		return here, waits
	}
	left, waits := mine()
	if !waits {
		return left
	}
	a.log.Info("leaving: the peers take over", "calls", left)
	a.loop.ask(func() { a.lot.step(parkd.Leave{}) })
	changed, stop := a.changes()
	defer stop()
	for {
		if left, waits = mine(); !waits {
			return left
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return left
		}
	}
}

// changes tells of every change of the status, until stop is called.
func (a *Appliance) changes() (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1) // full: told already
	return c, a.news.subscribe(func() {
		select {
		case c <- struct{}{}:
		default:
		}
	})
}

// awaitRescues waits for the far ends of a dead peer's calls that are being called just now: one that has moved to us for it
// would be dropped.
func (a *Appliance) awaitRescues(base context.Context) {
	ctx, end := context.WithTimeout(base, stopGrace)
	defer end()
	under := func() (n int) {
		a.loop.ask(func() {
			for _, r := range a.lot.requests {
				if r.rescue != nil {
					n++
				}
			}
		})
		return n
	}
	changed, stop := a.changes()
	defer stop()
	for under() > 0 {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// staying are the calls that the next life goes on with: the parked ones that are on the disk, and those that were made to
// a peer, who parks their callers again when he sees that this life is over.
func (a *Appliance) staying(grace context.Context, g Going) map[*call.Call]bool {
	stay := map[*call.Call]bool{}
	var parked []*call.Call
	a.loop.ask(func() {
		for _, l := range a.legs {
			switch {
			case !l.parked || l.ended:
			case g == Final && a.calledAtPeer(l.call.Dialog()):
				slot, _ := a.lot.callOf(l.id)
				l.call.Hangup(givenBack + slot.Orbit)
			default:
				parked = append(parked, l.call)
			}
		}
	})
	if g == Final {
		if len(parked) > 0 {
			a.log.Warn("parked callers are told good-bye: the appliance stops for good", "callers", len(parked))
		}
		return stay
	}
	a.ua.Rest(grace, parked)
	s := a.keeper.sync(func() {})
	a.loop.ask(func() {
		for _, l := range a.legs {
			d := l.call.Dialog()
			switch {
			case l.ended || !l.answered:
			case a.calledAtPeer(d), l.parked && s.found[keyOf(d)]:
				stay[l.call] = true
			case l.parked:
				slot, _ := a.lot.callOf(l.id)
				a.log.Warn("a parked caller is told good-bye: the journal does not have him", "orbit", slot.Orbit, "call", slot.CallID,
					"caller", l.caller.Number, "err", s.err)
			}
		}
	})
	return stay
}

// freeze is the last that the loop does: from here on nothing that happens to a call counts, and the disk has all of them
// as they are.
func (a *Appliance) freeze() {
	a.engine.Keep()
	s := a.keeper.sync(func() { a.frozen = true })
	if s.err != nil {
		a.log.Warn("the journal is not as it should be", "key", "journal.path", "err", s.err)
	}
	a.log.Info("the journal is synced", "callers", len(s.found))
}

// kept says that a restart would end neither the call nor what somebody is about to do with it. A recall that rings is
// worth waiting for, once: a caller whom nobody wants must not hold up a restart for ever, and he is recalled again.
func (p *lot) kept(l *leg) bool {
	if r := p.requests[l.token]; r != nil && r.out == l && r.leg == l {
		return r.again && !l.answered
	}
	s, ok := p.callOf(l.id)
	if !ok || !p.a.keeper.safe(s) {
		return false
	}
	return s.State == parkd.Parked || s.State == parkd.Ending || s.State == parkd.Recalling && recalledBefore(s)
}

func recalledBefore(s parkd.SlotState) bool { return s.Step > 0 || s.Priority > 0 }
