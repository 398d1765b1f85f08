package federation

import (
	"slices"

	"parklamp/parkd"
)

// present is the arbiter that is being asked.
func (q *claim) present() string {
	if len(q.tried) == 0 {
		return ""
	}
	return q.tried[len(q.tried)-1]
}

// ask starts a claim.
func (c *Core) ask(q *claim) {
	if len(c.claims) >= maxClaims {
		c.emit(Decided{Token: q.token, Orbit: q.orbit, Reason: parkd.ReasonLimit})
		return
	}
	c.claims = append(c.claims, q)
	c.next(q)
}

// next asks the best arbiter that was not asked yet. This appliance decides itself when its turn has
// come; while it settles it is the last one.
func (c *Core) next(q *claim) {
	order := parkd.Rank(q.orbit, c.names)
	if c.settling() {
		order = append(slices.DeleteFunc(order, func(n string) bool { return n == c.cfg.Name }), c.cfg.Name)
	}
	for _, name := range order {
		if slices.Contains(q.tried, name) {
			continue
		}
		if name == c.cfg.Name {
			r := c.decide(name, q.token, q.orbit)
			c.decided(q, r.Granted, r.Reason)
			return
		}
		if !c.reachable(name) {
			continue
		}
		q.tried = append(q.tried, name)
		q.asked, q.until = c.now, c.now.Add(c.cfg.ClaimWait)
		c.emit(Ask{Peer: name, Token: q.token, Orbit: q.orbit})
		return
	}
}

// patient gives the present arbiter more time if it is only slow: anything came of it since the wait began, or this
// appliance itself comes late and may have the answer unread. Two arbiters at a time might give one orbit away twice. One
// that is not dead by DeadAfter, and has not answered by then, is passed over all the same.
func (c *Core) patient(q *claim) bool {
	i := slices.IndexFunc(c.peers, func(p *peer) bool { return p.name == q.present() })
	late := c.now.Sub(q.until) >= c.cfg.ClaimWait/2
	if i < 0 || c.now.Sub(q.asked) >= c.cfg.DeadAfter || !late && !c.peers[i].spoke.After(q.until.Add(-c.cfg.ClaimWait)) {
		return false
	}
	q.until = c.now.Add(c.cfg.ClaimWait)
	return true
}

func (c *Core) reachable(name string) bool {
	return slices.ContainsFunc(c.peers, func(p *peer) bool { return p.name == name && !p.heard.IsZero() && !p.closed })
}

// settling reports whether this appliance has just started, or stood still, and does not yet know what all the peers host.
func (c *Core) settling() bool {
	return c.now.Sub(c.started) < c.cfg.DeadAfter &&
		slices.ContainsFunc(c.peers, func(p *peer) bool { return p.awaited && (!p.synced || !slices.Contains(c.known.Heard, p.name)) })
}

func (c *Core) decided(q *claim, granted bool, why parkd.Reason) {
	c.claims = slices.DeleteFunc(c.claims, func(o *claim) bool { return o == q })
	c.emit(Decided{Token: q.token, Orbit: q.orbit, Granted: granted, Reason: why})
}

func (c *Core) find(token, orbit string) *claim {
	for _, q := range c.claims {
		if q.token == token && q.orbit == orbit {
			return q
		}
	}
	return nil
}

func (c *Core) answered(in Answered) {
	q := c.find(in.Token, in.Orbit)
	if q == nil || q.present() != in.Peer {
		// Passed over, or not wanted any more. A late grant must not stand in others' way, unless we
		// have the orbit by another arbiter's grant: then it guards it until our document is there.
		if in.Granted && !c.has(in.Orbit, in.Token) {
			c.emit(GiveBack{Peer: in.Peer, Token: in.Token, Orbit: in.Orbit})
		}
		return
	}
	if in.Silent {
		c.next(q)
		return
	}
	if in.Granted {
		c.won[in.Orbit] = won{peer: in.Peer, token: in.Token, until: c.now.Add(c.cfg.ClaimFor)}
	}
	c.decided(q, in.Granted, in.Reason)
}

// has reports whether this appliance holds the orbit by that claim, or a call in it.
func (c *Core) has(orbit, token string) bool {
	g := c.grants[orbit]
	return c.won[orbit].token == token || g.peer == c.cfg.Name && g.token == token || c.hosts(orbit)
}

func (c *Core) release(in Release) {
	if q := c.find(in.Token, in.Orbit); q != nil {
		c.claims = slices.DeleteFunc(c.claims, func(o *claim) bool { return o == q })
		c.emit(GiveBack{Peer: q.present(), Token: in.Token, Orbit: in.Orbit})
	}
	c.letGo(in.Orbit, in.Token)
}

// letGo frees what an arbiter still keeps for us.
func (c *Core) letGo(orbit, token string) {
	if g, ok := c.grants[orbit]; ok && g.peer == c.cfg.Name && g.token == token {
		delete(c.grants, orbit)
	}
	if h, ok := c.won[orbit]; ok && h.token == token {
		delete(c.won, orbit)
		if c.now.Before(h.until) {
			c.emit(GiveBack{Peer: h.peer, Token: token, Orbit: orbit})
		}
	}
}

// knows takes what is known of all calls. An orbit that a call of this appliance has left is given back at once: a call that was
// short may never have shown in a document.
func (c *Core) knows(now parkd.Known) {
	before := c.known
	c.known = now
	for _, k := range now.Calls {
		if g, ok := c.grants[k.Orbit]; ok && g.peer == k.Host {
			delete(c.grants, k.Orbit) // the claim has become a call
		}
	}
	for _, k := range before.Calls {
		if h, ok := c.won[k.Orbit]; ok && k.Host == c.cfg.Name && !c.hosts(k.Orbit) {
			c.letGo(k.Orbit, h.token)
		}
	}
}

// hosts says whether a call of this appliance is in an orbit.
func (c *Core) hosts(orbit string) bool {
	return slices.ContainsFunc(c.known.Calls, func(k parkd.KnownCall) bool { return k.Orbit == orbit && k.Host == c.cfg.Name })
}

// arbitrate answers a peer.
func (c *Core) arbitrate(peer, token, orbit string) Reply {
	if c.settling() {
		return Reply{Settling: true}
	}
	return c.decide(peer, token, orbit)
}

// decide grants or refuses as far as is known here: by the calls of all appliances, the unknown ones
// too, and by what was granted a moment ago. Asking twice is answered alike.
func (c *Core) decide(peer, token, orbit string) Reply {
	if why := c.known.Refuses(orbit); why != parkd.ReasonNone {
		return Reply{Reason: why}
	}
	if g, ok := c.grants[orbit]; ok && c.now.Before(g.until) && (g.peer != peer || g.token != token) {
		return Reply{Reason: parkd.ReasonLostRace}
	}
	if len(c.grants) >= maxGrants {
		for o, g := range c.grants {
			if !c.now.Before(g.until) {
				delete(c.grants, o)
			}
		}
		if len(c.grants) >= maxGrants {
			return Reply{Reason: parkd.ReasonLimit}
		}
	}
	c.grants[orbit] = grant{peer: peer, token: token, until: c.now.Add(c.cfg.ClaimFor)}
	return Reply{Granted: true}
}
