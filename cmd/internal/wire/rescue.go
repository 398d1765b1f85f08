package wire

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/health"
	"parklamp/parkd"
	"parklamp/sip"
	"parklamp/sip/call"
	"parklamp/sip/reg"
	"parklamp/sip/sdp"
)

const (
	// rescueRings is how long the phone of a caller who is being rescued may ring. RFC 3891 §3: one that knows the dialog
	// answers at once; this one rings for a new call, and nobody is to pick that up.
	rescueRings = 5 * time.Second
	// ringBackFor is how long the panel names a caller who was lost, and maxRingBack how many at most.
	ringBackFor = time.Hour
	maxRingBack = 20
)

// way is one way to call the far end of a peer's call.
type way struct {
	to   gosip.Uri
	from from
}

// attempt is a rescue under way. The INVITE is never cancelled while nobody rings: a 200 may be on its way, and the caller
// who has moved for it would be dropped.
type attempt struct {
	slot parkd.SlotState
	ways []way // not tried yet
	gone bool  // one of those tried has answered that there is no such dialog
	last int   // answer of the one tried last; 0: none
	ring *leg  // the one that rings, from its first 180 on
}

// ref names the dialog of a leg for peers that take the call with Replaces, and says how they reach its far end if that knows
// Replaces. A leg to a peer is none of these: the caller is the peer's. Between peers without certificates of the site
// everything can be read: what was said by TLS is not told on there, so that such a call waits for its host.
func (a *Appliance) ref(l *leg) parkd.DialogRef {
	d := l.call.Dialog()
	r := parkd.DialogRef{CallID: d.CallID, LocalTag: d.LocalTag, RemoteTag: d.RemoteTag}
	remote, ok := plain(d.RemoteURI)
	target, ok2 := plain(d.RemoteTarget)
	if !ok || !ok2 || !d.Supports("replaces") || a.isOurs(target) || !a.cfg.Federation.Proof && byTLS(l, d, target) {
		return r
	}
	var routes []string
	for _, u := range d.RouteSet {
		route, ok := plain(u)
		if !ok {
			return r
		}
		routes = append(routes, route.String())
	}
	var local gosip.Uri
	_ = gosip.ParseUri(d.LocalURI, &local) // one that cannot be read has no account
	r.Reach = parkd.Reach{Remote: remote.String(), Target: target.String(), Routes: strings.Join(routes, " "), Transport: d.Transport,
		Codec: l.agreed.Codec.Name, Security: l.security.String()}
	if account := a.accountOf(cmp.Or(local.User, l.call.Info().RequestUser)); account != nil {
		r.Reach.Account = account.AOR
	}
	return r
}

// plain reads a URI and leaves out a password, which nobody else is told.
func plain(text string) (gosip.Uri, bool) {
	var u gosip.Uri
	err := gosip.ParseUri(text, &u)
	u.Password = ""
	return u, err == nil && u.Host != "" && !strings.ContainsAny(text, " <>\"")
}

func byTLS(l *leg, d call.Dialog, target gosip.Uri) bool {
	transport, _ := target.UriParams.Get("transport")
	return l.call.Info().TLS || d.Transport == "tls" || strings.EqualFold(transport, "tls") || strings.EqualFold(target.Scheme, "sips") ||
		l.security != sdp.Clear
}

// noteDialog tells the machine when the far end of a parked call is reached otherwise than before.
func (p *lot) noteDialog(l *leg) {
	if !l.parked || l.ended {
		return
	}
	if s, ok := p.callOf(l.id); ok {
		if d := p.a.ref(l); d != s.Dialog {
			p.step(parkd.DialogChanged{Leg: l.id, Dialog: d})
		}
	}
}

// rescue calls the far end of a call whose host is dead.
func (p *lot) rescue(e parkd.Rescue) {
	p.a.log.Info("rescue", "orbit", e.Slot.Orbit, "call", e.Slot.CallID, "peer", e.Slot.Host, "caller", e.Slot.Caller.Number)
	p.tryRescue(&attempt{slot: e.Slot, ways: p.waysTo(e.Slot.Dialog.Reach)})
}

// waysTo are the ways to a far end: as this appliance would call it through its account at the same place, if it has one, and
// then as the host did.
func (p *lot) waysTo(r parkd.Reach) []way {
	var ways []way
	remote, ok := plain(r.Remote)
	target, ok2 := plain(r.Target)
	if !ok || !ok2 {
		return nil
	}
	var routes []gosip.Uri
	for _, text := range strings.Fields(r.Routes) {
		if route, ok := plain(text); ok {
			routes = append(routes, route)
		}
	}
	if account := p.a.accountAt(hostOf(r.Account), remote.Host); account != nil {
		if send, ok := p.a.registrar.Send(account.AOR); ok {
			to := remote
			aor, _ := plain(account.AOR)
			if !strings.EqualFold(remote.Host, aor.Host) { // somebody elsewhere, who called through the account's proxy
				if to = target; len(send.Route) == 0 {
					send.Route = routes
				}
			}
			ways = append(ways, way{to, from{addr: p.a.addrTowards(hopOf(to, send.Route)), uri: aor, send: send, account: account}})
		}
	}
	direct := way{target, p.a.identity(target)}
	direct.from.send = sip.Send{Transport: r.Transport, Auth: direct.from.send.Auth, Route: routes}
	direct.from.addr = p.a.addrTowards(hopOf(target, routes))
	return append(ways, direct)
}

// hopOf is where a request goes first, and the transport that its URI asks for.
func hopOf(to gosip.Uri, routes []gosip.Uri) (gosip.Uri, string) {
	if len(routes) > 0 {
		to = routes[0]
	}
	transport, _ := to.UriParams.Get("transport")
	return to, transport
}

// accountAt is the first account at one of some domains, nil if there is none.
func (a *Appliance) accountAt(domains ...string) *reg.Account {
	for _, domain := range domains {
		for i, account := range a.cfg.Registration.Accounts {
			if domain != "" && strings.EqualFold(hostOf(account.AOR), domain) {
				return &a.cfg.Registration.Accounts[i]
			}
		}
	}
	return nil
}

func hostOf(aor string) string {
	u, _ := plain(aor)
	return u.Host
}

// tryRescue goes the next way that there is.
func (p *lot) tryRescue(t *attempt) {
	d := t.slot.Dialog
	wanted := wish(d.Reach.Security)
	for len(t.ways) > 0 {
		w := t.ways[0]
		t.ways = t.ways[1:]
		l, err := p.a.inviteAs(w.from, w.to, preferring(p.a.codecs, d.Reach.Codec), wanted, func(o *call.Invite) {
			// RFC 3891 §3: the dialog as the far end sees it. The call package adds Require: replaces, without which a far
			// end that does not know it would ring.
			id := call.DialogID{CallID: d.CallID, LocalTag: d.LocalTag, RemoteTag: d.RemoteTag}.Reverse()
			o.Replaces = &id
		})
		if err != nil {
			p.a.log.Warn("a caller cannot be rescued this way", "call", t.slot.CallID, "err", err)
			continue
		}
		l.playMusic(p.a.moh) // ready for the first packet
		l.token = p.open("rescue", &request{out: l, orbit: t.slot.Orbit, rescue: t})
		return
	}
	var how parkd.Outcome
	switch {
	case t.gone:
		how = parkd.Gone
	case unable(t.last):
		how = parkd.Unable
	}
	p.a.log.Info("a rescue was in vain", "orbit", t.slot.Orbit, "call", t.slot.CallID, "code", t.last)
	p.step(parkd.RescueResult{CallID: t.slot.CallID, How: how})
}

// unable says whether an answer is one that nobody else will better: Replaces or what it takes is not supported.
func unable(code int) bool {
	return code == 405 || code == 415 || code == 420 || code == 488 || code == 501 || code == 606
}

// rescueRinging gives up on a phone that takes a rescue for a new call.
func (p *lot) rescueRinging(l *leg, t *attempt) {
	if t.ring == l { // RFC 3261 §13.3.1.1: a phone repeats its 180
		return
	}
	t.ring = l
	p.a.loop.after("rescue "+string(l.id), rescueRings, func() {
		if !l.answered && !l.ended {
			l.call.Hangup("")
		}
	})
}

// rescueAnswered makes the caller who has come a parked one of ours.
func (p *lot) rescueAnswered(l *leg, t *attempt) {
	delete(p.requests, l.token)
	l.token, l.caller = "", t.slot.Caller
	p.step(parkd.RescueResult{CallID: t.slot.CallID, Leg: l.id, Dialog: p.a.ref(l)})
}

func (p *lot) rescueFailed(token string, t *attempt, ev call.Ended) {
	delete(p.requests, token)
	t.last = ev.Code
	// RFC 3891 §3: 481 where there is no such dialog, 603 where there was one.
	// A phone whose answer could not be used has moved, and we have hung up.
	t.gone = t.gone || ev.Cause == call.Rejected && (ev.Code == 481 || ev.Code == 603) || ev.Cause == call.BadMedia
	p.tryRescue(t)
}

// ringBack names a caller who was lost, or who hears nothing, on the panel.
func (p *lot) ringBack(s parkd.SlotState, what string) {
	if len(p.lost) >= maxRingBack && !p.lost[s.CallID] {
		return
	}
	if p.lost == nil {
		p.lost = map[string]bool{}
	}
	p.lost[s.CallID] = true
	who := cmp.Or(s.Caller.Number, s.Caller.URI, "a caller without a number")
	if s.Caller.Name != "" {
		who = s.Caller.Name + " (" + who + ")"
	}
	p.a.log.Warn("ring back", "orbit", s.Orbit, "call", s.CallID, "caller", s.Caller.Number, "err", what)
	p.a.health.Raise(p.a.now(), lostCode(s.CallID), health.Warning, fmt.Sprintf("%s, parked on %s: %s", who, s.Orbit, what), "ring back "+who)
	p.a.loop.after(lostCode(s.CallID), ringBackFor, func() { p.foundAgain(s.CallID) })
}

func lostCode(callID string) string { return "caller." + callID }

// foundAgain takes a caller off that list.
func (p *lot) foundAgain(callID string) {
	delete(p.lost, callID)
	p.a.loop.stop(lostCode(callID))
	p.a.health.Clear(lostCode(callID))
}

// findLost looks whether somebody has a caller who was given up.
func (p *lot) findLost() {
	if len(p.lost) == 0 {
		return
	}
	for _, s := range p.machine.List() {
		if p.lost[s.CallID] && !s.Unknown {
			p.foundAgain(s.CallID)
		}
	}
}
