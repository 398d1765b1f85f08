package wire

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/links"
	"parklamp/sip"
)

// networkCode is the health condition of the watcher itself.
const networkCode = "network"

// watchLinks follows the addresses of the machine until ctx ends. Without the watcher the appliance works as long as no
// address changes, so that a kernel that refuses it is a health condition and no more.
func (a *Appliance) watchLinks(ctx context.Context) error {
	k, err := links.Open()
	if err == nil {
		err = links.Watch(ctx, k, a.onNetwork)
		_ = k.Close()
	}
	if err != nil {
		a.health.Raise(a.now(), networkCode, health.Warning, "changes of the network are not noticed: "+err.Error(),
			"restart the appliance after a change of its address")
	}
	<-ctx.Done()
	return nil
}

// onNetwork takes what has changed, on the watcher's goroutine: first the sockets, then everybody who has told others
// where they are, then the calls.
func (a *Appliance) onNetwork(changes []links.Change, now links.State) {
	a.showAddresses(now)
	if len(changes) == 0 {
		return
	}
	var gone []netip.Addr
	back := false
	for _, c := range changes {
		a.log.Info("network: "+c.Kind.String(), "key", c.Link, "address", c.Addr)
		switch c.Kind {
		case links.AddressRemoved:
			gone = append(gone, c.Addr)
		case links.AddressAdded, links.LinkUp, links.RouteChanged:
			back = true
		case links.LinkDown:
		}
	}
	before := a.endpoint.Listening()
	a.endpoint.AddressesChanged(gone)
	if !back && slices.Equal(before, a.endpoint.Listening()) {
		return // nothing is to be had by asking anybody now
	}
	a.registrar.AddressChanged()
	a.agent.AddressesChanged()
	a.federation.AddressChanged()
	a.loop.post(func() {
		for _, l := range a.legs {
			a.move(l)
		}
		a.keeper.dirty = true
	})
	a.news.tell()
}

// showAddresses raises a condition for each address to listen on that the machine does not have, or whose link is down.
func (a *Appliance) showAddresses(now links.State) {
	for _, text := range a.cfg.SIP.Listen {
		_, at, _ := strings.Cut(text, ":")
		ap, err := netip.ParseAddrPort(at)
		if err != nil {
			continue // an interface: its listener says what is wrong
		}
		code := "address." + ap.Addr().String()
		l, has := now.LinkOf(ap.Addr())
		switch {
		case !has:
			a.health.Raise(a.now(), code, health.Error, fmt.Sprintf("%s is not an address of this machine", ap.Addr()),
				"check the cable and the DHCP server, or let key sip.listen name the interface, as in udp:eth0:5060")
		case !l.Up:
			a.health.Raise(a.now(), code, health.Error, fmt.Sprintf("the link %s of %s is down", l.Name, ap.Addr()), "check the cable and the switch")
		default:
			a.health.Clear(code)
		}
	}
}

// move takes a call to another address of ours if its own is not listened on any more: its far end gets a re-INVITE, its
// stream goes on from there. It says whether it did.
func (a *Appliance) move(l *leg) bool {
	if l.ended {
		return false
	}
	d := l.call.Dialog()
	var contact, hop gosip.Uri
	if gosip.ParseUri(d.Contact, &contact) != nil || a.listens(addrOf(contact)) {
		return false
	}
	next := d.RemoteTarget
	if len(d.RouteSet) > 0 {
		next = d.RouteSet[0]
	}
	if gosip.ParseUri(next, &hop) != nil {
		return false
	}
	transport := d.Transport
	if transport == "" {
		transport, _ = hop.UriParams.Get("transport")
	}
	to := a.endpoint.ContactFor(hop.Host, transport)
	addr := addrOf(to)
	if !addr.IsValid() || l.media == nil {
		return false // the next change has an address
	}
	if l.media.LocalAddr().Addr() != addr {
		if err := l.media.Move(addr); err != nil {
			a.log.Warn("a call cannot follow the change of address", "call", l.id, "err", err)
			return false
		}
	}
	a.log.Info("a call goes on from another address", "call", l.id, "address", addr)
	l.call.Move(to, addr, l.local())
	return true
}

// listens says whether an address of ours is listened on.
func (a *Appliance) listens(at netip.Addr) bool {
	return slices.ContainsFunc(a.endpoint.Listening(), func(s sip.Socket) bool { return s.At.Addr() == at })
}

// addrOf is the address in a URI; not valid if its host is a name.
func addrOf(u gosip.Uri) netip.Addr {
	addr, _ := netip.ParseAddr(strings.Trim(u.Host, "[]"))
	return addr.Unmap()
}
