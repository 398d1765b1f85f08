package call

import (
	"net/netip"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip/sdp"
)

// Move goes on with the call from another address of ours, because the one that it lived on is gone: the far end hears
// the new Contact and l, with the new address, in a re-INVITE (RFC 3261 §12.2, §14.1). contact is what
// sip.Endpoint.ContactFor says of the far end; its user stays. MediaChanged or UpdateFailed tells how it went. A call that
// is not answered yet tells it with or after its answer.
func (c *Call) Move(contact gosip.Uri, local netip.Addr, l sdp.Local) {
	c.post(func() {
		if c.state == phaseEnded {
			return
		}
		var was gosip.Uri
		if gosip.ParseUri(c.d.Contact, &was) == nil {
			contact.User = was.User
		}
		c.d.Contact = contact.String()
		c.d.LocalAddr = netip.AddrPortFrom(local, 0)
		c.update, c.updates = &l, 0
		c.next()
	})
}
