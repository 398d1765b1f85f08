package wire

import (
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"parklamp/board"
	"parklamp/cmd/internal/health"
	"parklamp/leds"
	"parklamp/parkd"
	"parklamp/parkd/federation"
	"parklamp/parkd/panel"
	"parklamp/sip/event"
	"parklamp/sip/event/dialoginfo"
)

// documents holds what Event: dialog subscribers are told of each orbit. The loop writes it, the agent's goroutine
// reads it.
type documents struct {
	orbits atomic.Pointer[map[string]dialoginfo.Orbit]
}

func newDocuments() *documents {
	d := &documents{}
	d.orbits.Store(&map[string]dialoginfo.Orbit{})
	return d
}

// document writes the state of one orbit for one subscriber (RFC 4235).
func (d *documents) document(r event.Request) ([]byte, bool) {
	o, ok := (*d.orbits.Load())[r.Resource]
	if !ok {
		return nil, false
	}
	o.Entity = r.URI.String()
	return dialoginfo.Marshal(o.Document(r.Version, time.Now())), true
}

// orbitsChanged shows the new state of orbits on lamps and to subscribers.
func (p *lot) orbitsChanged(orbits []string) {
	var told []string // whose document says something new
	all := map[string]dialoginfo.Orbit{}
	for k, v := range *p.a.documents.orbits.Load() {
		all[k] = v
	}
	for _, n := range orbits {
		v := p.machine.View(n)
		if p.a.lamps != nil {
			p.a.lamps.Set(board.Lamp(board.OrbitPrefix+n), p.a.lampOf(v))
		}
		o := p.dialogs(v)
		if !reflect.DeepEqual(all[n], o) { // a fetch that begins changes nothing that a lamp shows
			told = append(told, n)
		}
		all[n] = o
	}
	p.a.documents.orbits.Store(&all)
	if p.a.lamps != nil {
		p.a.lamps.Set("lot", p.a.lotLamp(p.machine.Orbits()))
	}
	for _, n := range told {
		p.a.agent.Changed("dialog", n)
	}
}

// dialogs is an orbit in the words of RFC 4235.
func (p *lot) dialogs(v parkd.OrbitView) dialoginfo.Orbit {
	o := dialoginfo.Orbit{Number: v.Orbit}
	for _, s := range v.Calls {
		c := dialoginfo.Call{ID: s.CallID, Host: s.Host, Caller: identityOf(s.Caller), Parker: identityOf(s.Parker), Since: s.Since,
			Incoming: true, Recalling: s.State == parkd.Recalling}
		if host, ok := p.a.federation.PeerURI(s.Host, s.Orbit); ok {
			c.Target = host.String()
		}
		o.Calls = append(o.Calls, c)
	}
	return o
}

func identityOf(p parkd.Party) dialoginfo.Identity {
	uri := p.URI
	if uri == "" && p.Number != "" {
		uri = "sip:" + p.Number + "@parklamp.invalid"
	}
	return dialoginfo.Identity{Name: p.Name, URI: uri}
}

// lampOf gives an orbit's lamp the meaning of its view. A call that is being fetched keeps the lamp that it had: lit
// until it is gone.
func (a *Appliance) lampOf(v parkd.OrbitView) leds.State {
	switch v.State {
	case parkd.ViewFree:
		return leds.Free
	case parkd.ViewHere:
		return leds.ParkedHere
	case parkd.ViewFetching:
		if v.Host == a.cfg.Appliance.Name {
			return leds.ParkedHere
		}
		return leds.ParkedElsewhere
	case parkd.ViewElsewhere:
		return leds.ParkedElsewhere
	case parkd.ViewEnding:
		return leds.Ending
	case parkd.ViewRecalling:
		return leds.Recalling
	case parkd.ViewQueued:
		return leds.Queued
	}
	return leds.Unknown
}

// urgency orders lamp states for the lamp of the whole lot.
var urgency = []leds.State{leds.Free, leds.Unknown, leds.ParkedElsewhere, leds.ParkedHere, leds.Queued, leds.Ending, leds.Recalling}

// lotLamp shows the most urgent state of all orbits.
func (a *Appliance) lotLamp(orbits []parkd.OrbitView) leds.State {
	most := 0
	for _, v := range orbits {
		s := a.lampOf(v)
		for i, u := range urgency {
			if u == s {
				most = max(most, i)
			}
		}
	}
	return urgency[most]
}

// onPeer takes what federation knows of a peer.
func (a *Appliance) onPeer(in parkd.Peer) {
	a.loop.post(func() { a.peerTold(in) })
}

func (a *Appliance) peerTold(in parkd.Peer) {
	again, state := a.lot.newLife(in), panel.PeerDead
	switch {
	case in.Alive:
		state = panel.PeerAlive
	case a.lot.lives[in.Name] == 0:
		state = panel.PeerUnknown
	}
	old, seen := a.peers[in.Name]
	if !seen || old.State != state {
		address, _ := a.federation.PeerURI(in.Name, in.Name)
		a.peers[in.Name] = panel.Peer{Name: in.Name, Address: hostPort(address), State: state, Since: a.now()}
		if in.Alive {
			a.log.Info("peer is there", "peer", in.Name)
		} else {
			a.log.Warn("peer is not there: what is parked at it is unknown", "peer", in.Name)
		}
	}
	if again || !in.Alive {
		a.lot.peerVanished(in.Name)
	}
	if in.Alive && (again || old.State == panel.PeerDead) {
		a.lot.peerBack(in.Name)
	}
	a.lot.step(in)
}

// onPeerHealth says why a peer is not there.
func (a *Appliance) onPeerHealth(peer string, err error) {
	code := "peer." + peer
	if err == nil {
		a.health.Clear(code)
		return
	}
	text, hint := textAndHint(err)
	a.health.Raise(a.now(), code, health.Warning, "appliance "+peer+": "+text, hint)
}

// onSize says when more is parked here than the peers can be told.
func (a *Appliance) onSize(err error) {
	const code = "federation.size"
	if err == nil {
		a.health.Clear(code)
		return
	}
	text, hint := textAndHint(err)
	a.health.Raise(a.now(), code, health.Error, text, hint)
}

// textAndHint are the words of a fault of the federation, with what else is known of it.
func textAndHint(err error) (text, hint string) {
	var f *federation.Fault
	if !errors.As(err, &f) {
		return err.Error(), "see that both appliances run the same version"
	}
	return f.Text, f.Hint + strings.TrimPrefix(err.Error(), f.Error())
}
