package event

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// AddressesChanged is to be called when the endpoint listens on other addresses than before: every dialog whose own
// address is gone tells the far end the new one, by a SUBSCRIBE or by a NOTIFY with full state (RFC 6665 §4.1.2.2, §4.2.2:
// both are target refreshes).
func (a *Agent) AddressesChanged() {
	a.inbox.put(func(now time.Time) {
		listening := a.ep.Listening()
		for s := range a.all {
			if s.state != asking && s.state != live || reached(listening, s.contact) {
				continue
			}
			next := a.ep.ContactFor(destination(s.target, s.routes), s.what.Transport)
			if next.Host == "" {
				continue // the next change will have one
			}
			next.User = s.contact.User
			s.contact = next
			s.ask(now)
		}
		var told []*watcher
		for _, w := range a.watchers {
			if reached(listening, w.contact) {
				continue
			}
			next := a.ep.ContactFor(destination(w.target, w.routes), w.asked.Transport)
			local, err := netip.ParseAddr(strings.Trim(next.Host, "[]"))
			if err != nil {
				continue
			}
			next.User = w.contact.User
			w.contact = next
			w.send.Local = netip.AddrPortFrom(local, 0)
			w.dirty = true
			told = append(told, w)
		}
		a.changed(told, now)
	})
}

// reached says whether a Contact of ours is one of the sockets that are listened on.
func reached(listening []sip.Socket, contact gosip.Uri) bool {
	transport, ok := contact.UriParams.Get("transport")
	if !ok {
		transport = "udp"
	}
	host, _ := netip.ParseAddr(strings.Trim(contact.Host, "[]"))
	at := netip.AddrPortFrom(host, uint16(contact.Port))
	return slices.Contains(listening, sip.Socket{Transport: strings.ToLower(transport), At: at})
}
