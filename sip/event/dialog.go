package event

import (
	"net/netip"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// dialog is the SIP dialog of one subscription (RFC 6665 §4.4.1), in either role.
type dialog struct {
	callID        string
	local, remote gosip.Uri
	localTag      string
	remoteTag     string    // "" until the far end has answered
	target        gosip.Uri // where in-dialog requests go
	routes        []gosip.Uri
	localSeq      uint32 // of the last request sent
	remoteSeq     uint32 // of the last request taken
	hasRemoteSeq  bool
	contact       gosip.Uri // ours
	send          sip.Send
}

// acceptDialog is the dialog that a SUBSCRIBE makes at the notifier (RFC 3261 §12.1.1).
// Contact is the subscriber's.
func acceptDialog(req *gosip.Request, contact gosip.Uri, routes []gosip.Uri, tx *sip.ServerTx) dialog {
	from, to := req.From(), req.To()
	remoteTag, _ := from.Params.Get("tag")
	d := dialog{
		callID:       req.CallID().Value(),
		local:        to.Address,
		remote:       from.Address,
		localTag:     tx.Tag(), // the endpoint puts it into our answers
		remoteTag:    remoteTag,
		target:       contact,
		routes:       routes,
		remoteSeq:    req.CSeq().SeqNo,
		hasRemoteSeq: true,
		contact:      contactOn(tx, req.Recipient.User),
	}
	// The NOTIFY leaves from the socket that the SUBSCRIBE came to: it is the one
	// that the subscriber's firewall and the Contact in our 200 know. A Contact with
	// another transport is reached from the same address.
	d.send = sip.Send{Local: tx.Local()}
	if t, ok := contact.UriParams.Get("transport"); ok && !strings.EqualFold(t, tx.Transport()) {
		d.send.Local = netip.AddrPortFrom(tx.Local().Addr(), 0)
	}
	return d
}

// contactOn returns our Contact at the socket that a request came to.
func contactOn(tx *sip.ServerTx, user string) gosip.Uri {
	local := tx.Local()
	u := gosip.Uri{Scheme: "sip", User: user, Host: local.Addr().String(), Port: int(local.Port())}
	if t := strings.ToLower(tx.Transport()); t != "udp" && t != "" {
		u.UriParams = gosip.NewParams()
		u.UriParams.Add("transport", t)
	}
	return u
}

// request builds the next request in the dialog, or the one that makes it while the
// remote tag is unknown. The number of the request grows by one.
func (d *dialog) request(method gosip.RequestMethod) *gosip.Request {
	d.localSeq++
	return sip.Head{Target: d.target, Routes: d.routes, CallID: d.callID, CSeq: d.localSeq,
		From: d.local, FromTag: d.localTag, To: d.remote, ToTag: d.remoteTag, Contact: d.contact}.Request(method)
}

// takeSeq reports whether a request is newer than all before it, and remembers it.
func (d *dialog) takeSeq(req *gosip.Request) bool {
	seq := req.CSeq().SeqNo
	// RFC 3261 §12.2.2: a lower number is out of order. An equal one with another
	// branch is a copy that took another way.
	if d.hasRemoteSeq && seq <= d.remoteSeq {
		return false
	}
	d.remoteSeq, d.hasRemoteSeq = seq, true
	return true
}

// refresh takes the remote target of a request or response in the dialog (RFC 6665
// §4.1.2.2, RFC 3261 §12.2).
func (d *dialog) refresh(msg message) {
	if c, ok := contactOf(msg); ok {
		d.target = c
	}
}

// contactOf returns the Contact of a message, false if it has none to send to.
func contactOf(msg message) (gosip.Uri, bool) {
	c, ok := msg.GetHeader("Contact").(*gosip.ContactHeader)
	if !ok || c.Address.Wildcard || c.Address.Host == "" {
		return gosip.Uri{}, false
	}
	return *c.Address.Clone(), true
}
