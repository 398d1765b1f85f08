package federation

import (
	"slices"
	"time"

	"parklamp/parkd"
)

func (c *Core) start() {
	c.started = c.now
	for i, p := range c.peers {
		// Not all in the same instant.
		p.probeAt = c.now.Add(c.cfg.ProbeEvery * time.Duration(i+1) / time.Duration(len(c.peers)))
		p.silent = c.now.Add(c.cfg.DeadAfter)
		c.emit(Probe{Peer: p.name})
	}
}

// moved asks all peers at once, and those that lived for everything anew: dialogs and connections of the old address are
// dead, and news may have been lost with them.
func (c *Core) moved() {
	for _, p := range c.peers {
		p.probeAt = c.now.Add(c.cfg.ProbeEvery)
		c.emit(Probe{Peer: p.name})
		if !p.heard.IsZero() {
			c.watch(p)
		}
	}
}

// tick does what is due.
func (c *Core) tick() {
	for _, p := range c.peers {
		if !p.probeAt.IsZero() && !c.now.Before(p.probeAt) {
			p.probeAt = c.now.Add(c.cfg.ProbeEvery)
			c.emit(Probe{Peer: p.name})
			// It answers, and yet its document does not come: the dialog hangs.
			if !p.heard.IsZero() && !p.synced && c.now.Sub(p.watched) >= 2*c.cfg.ProbeEvery {
				c.watch(p)
			}
		}
		if !p.silent.IsZero() && !c.now.Before(p.silent) {
			p.silent = time.Time{}
			c.emit(Silent{Peer: p.name})
		}
		switch {
		case !p.heard.IsZero() && c.now.Sub(p.heard) >= c.cfg.DeadAfter:
			c.dead(p)
		case !p.lostAt.IsZero() && c.now.Sub(p.lostAt) >= c.cfg.DeadAfter:
			p.lostAt, p.synced = time.Time{}, false
			c.tell(p, parkd.Announce{})
		}
	}
	for _, q := range slices.Clone(c.claims) {
		if !c.now.Before(q.until) && !c.patient(q) {
			c.next(q)
		}
	}
}

// heard takes a sign of life. One that was dead is asked for everything anew.
func (c *Core) heard(p *peer) {
	c.spoke(p)
	dead := p.heard.IsZero()
	p.heard, p.silent = c.now, time.Time{}
	if dead {
		c.watch(p)
	}
}

// spoke takes anything that came of a peer. The first that comes after a silence tells nothing of that time yet.
func (c *Core) spoke(p *peer) {
	if c.silent(c.now, p) {
		p.silentAt = c.now
	}
	p.spoke = c.now
}

// silent says whether a peer that counts as alive was not heard for longer than it is asked.
func (c *Core) silent(now time.Time, p *peer) bool {
	return !p.heard.IsZero() && now.Sub(p.spoke) > 2*c.cfg.ProbeEvery
}

// Quiet says whether a peer that counts as alive is silent, or was a moment ago: this process, or a link, has stood still, what
// the peer thought of us meanwhile is not known, and its word may be on its way.
func (c *Core) Quiet(now time.Time) bool {
	return slices.ContainsFunc(c.peers, func(p *peer) bool {
		return c.silent(now, p) || !p.silentAt.IsZero() && now.Sub(p.silentAt) < parkd.LateWord
	})
}

// stoodStill begins anew to find out what the peers host: their words wait unread, or were not heard. Of a peer that was dead before,
// a standstill that was too short for the others to notice changes nothing: were it waited for, two busy appliances would
// both let the other say who gets an orbit, and both get it, as long as a third one is off.
func (c *Core) stoodStill(long bool) {
	c.started = c.now
	c.emit(StandStill{})
	for _, p := range c.peers {
		p.awaited = long || !p.heard.IsZero() || !p.silent.IsZero()
		if !p.heard.IsZero() {
			p.silentAt = c.now
		}
	}
}

func (c *Core) watch(p *peer) {
	p.watched = c.now
	c.emit(Watch{Peer: p.name})
}

// dead gives a peer up until it is heard again. Nothing that happens from now on is told to it before that, as parkd goes by:
// what waits in its sockets it might read when this appliance cannot be reached in turn, and take callers away from here.
func (c *Core) dead(p *peer) {
	p.heard, p.watched, p.lostAt, p.synced = time.Time{}, time.Time{}, time.Time{}, false
	p.silentAt = c.now
	c.emit(Silent{Peer: p.name})
	c.emit(Unwatch{Peer: p.name})
	c.emit(Dismiss{Peer: p.name})
	c.tell(p, parkd.Announce{})
	for _, q := range slices.Clone(c.claims) {
		if q.present() == p.name {
			c.next(q)
		}
	}
}

// lost keeps what the peer said for as long as it would take to find it dead: most subscriptions are
// back at once.
func (c *Core) lost(p *peer) {
	if p.synced && p.lostAt.IsZero() {
		p.lostAt = c.now
	}
}

// subscribed takes a peer that subscribes anew for a new process, which knows nothing of our
// subscription: we make a new one, too. If ours is new, the two were made for the same reason, and it is
// only refreshed: else each would answer the other for ever.
func (c *Core) subscribed(p *peer) {
	fresh := p.heard.IsZero()
	c.heard(p)
	switch {
	case fresh:
	case c.now.Sub(p.watched) >= c.cfg.ProbeEvery:
		c.watch(p)
	default:
		c.emit(Refresh{Peer: p.name})
	}
}

// told takes a document. Order is by (epoch, generation).
func (c *Core) told(p *peer, in Told) {
	c.heard(p)
	now := in.State
	if now.Epoch < p.epoch || now.Epoch == p.epoch && now.Generation < p.generation {
		// The agent keeps the order within a subscription, so this is another life of the peer, whose
		// clock went back. Until it has raised its epoch, its word looks old and its calls are unknown.
		// Should the message be lost, the next subscription brings this back.
		p.synced = false
		if p.told {
			c.tell(p, parkd.Announce{})
		}
		c.emit(RaisePeer{Peer: p.name, Epoch: p.epoch})
		return
	}
	newer := now.Epoch > p.epoch || now.Generation > p.generation
	p.epoch, p.generation, p.synced, p.closed, p.lostAt = now.Epoch, now.Generation, true, in.Closed, time.Time{}
	if newer || p.alive() != p.told {
		c.tell(p, now)
	}
}

// alive reports whether what the peer said last is what holds.
func (p *peer) alive() bool { return !p.heard.IsZero() && p.synced && !p.closed }

// tell gives parkd a document, or the zero one: then only whether the peer lives is news.
func (c *Core) tell(p *peer, a parkd.Announce) {
	p.told = p.alive()
	c.emit(Tell{Peer: parkd.Peer{Name: p.name, Alive: p.told, Epoch: a.Epoch, Generation: a.Generation,
		State: a.Slots, Leaving: p.closed && a.Leaving, Settled: a.Settled}})
}
