package call

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/sdp"
)

// errDialog says that a stored dialog or a message cannot make a dialog.
var errDialog = errors.New("call: not a dialog")

// restoreCSeqGap is added to our CSeq when a dialog comes back from storage, which can be older
// than the last request sent. Departs from RFC 3261 §12.2.1.1 (one more each time): a number used
// twice is refused, and §12.2.2 has receivers accept gaps.
const restoreCSeqGap = 1000

// DialogID names a dialog as one side sees it.
type DialogID struct {
	CallID    string `json:"call_id"`
	LocalTag  string `json:"local_tag"`
	RemoteTag string `json:"remote_tag"`
}

// Reverse is the same dialog as the other side sees it: what goes into a Replaces header for that side.
func (d DialogID) Reverse() DialogID {
	return DialogID{CallID: d.CallID, LocalTag: d.RemoteTag, RemoteTag: d.LocalTag}
}

// Session is the session timer of a dialog (RFC 4028).
type Session struct {
	Interval time.Duration `json:"interval"` // 0: no timer
	Refresh  bool          `json:"refresh"`  // we send the refreshes
	MinSE    time.Duration `json:"min_se"`   // what a 422 has taught us, 0 if nothing
}

// Dialog is all that it takes to go on with a call: plain data for a journal. It holds no secrets.
type Dialog struct {
	CallID       string         `json:"call_id"`
	LocalTag     string         `json:"local_tag"`
	RemoteTag    string         `json:"remote_tag"`
	LocalName    string         `json:"local_name,omitempty"` // display names as on the wire, quoted pairs included
	LocalURI     string         `json:"local_uri"`
	RemoteName   string         `json:"remote_name,omitempty"`
	RemoteURI    string         `json:"remote_uri"`
	LocalCSeq    uint32         `json:"local_cseq"`  // of the last request that we sent
	RemoteCSeq   uint32         `json:"remote_cseq"` // of the last request that we accepted, 0: none yet
	RouteSet     []string       `json:"route_set,omitempty"`
	RemoteTarget string         `json:"remote_target"`
	Contact      string         `json:"contact"` // our own target
	Caller       bool           `json:"caller"`  // we sent the INVITE that made the dialog
	Confirmed    bool           `json:"confirmed"`
	Transport    string         `json:"transport,omitempty"`
	LocalAddr    netip.AddrPort `json:"local_addr"` // socket of ours that the dialog lives on; port 0: any port, invalid: any
	Allow        []string       `json:"allow,omitempty"`
	Supported    []string       `json:"supported,omitempty"`
	Session      Session        `json:"session"`
	Local        sdp.Local      `json:"local"`         // our side of the media, with id and version
	SDP          string         `json:"sdp,omitempty"` // description that we sent last
	Remote       Party          `json:"remote"`        // who the far end is, for people
}

// ID gives the dialog's name from our side.
func (d Dialog) ID() DialogID {
	return DialogID{CallID: d.CallID, LocalTag: d.LocalTag, RemoteTag: d.RemoteTag}
}

// Allows says whether the far end has said that it takes the method.
func (d Dialog) Allows(method string) bool { return containsFold(d.Allow, method) }

// Supports says whether the far end has named the option tag in Supported.
func (d Dialog) Supports(tag string) bool { return containsFold(d.Supported, tag) }

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(v string) bool { return strings.EqualFold(v, s) })
}

// calleeDialog is the dialog that an INVITE makes at its receiver. RFC 3261 §12.1.1.
func calleeDialog(req *gosip.Request, contact gosip.Uri) (Dialog, error) {
	from, to, target := req.From(), req.To(), req.Contact()
	if from == nil || to == nil || target == nil || target.Address.Wildcard || target.Address.Host == "" {
		return Dialog{}, errDialog
	}
	d := Dialog{
		CallID:       callID(req),
		LocalTag:     sip.NewTag(),
		RemoteTag:    fromTag(req),
		LocalName:    to.DisplayName,
		LocalURI:     to.Address.String(),
		RemoteName:   from.DisplayName,
		RemoteURI:    from.Address.String(),
		RemoteCSeq:   cseq(req),
		RemoteTarget: target.Address.String(),
		Contact:      contact.String(),
	}
	routes, err := sip.RecordRoutes(req)
	if err != nil {
		return Dialog{}, err
	}
	d.RouteSet = texts(routes)
	d.learn(req)
	return d, nil
}

// answered is the dialog that a response to our INVITE makes of the one that we began with. It leaves d
// as it is, since several responses can come (forks). RFC 3261 §12.1.2.
func (d Dialog) answered(res *gosip.Response) (Dialog, error) {
	d.RemoteTag = toTag(res)
	if c := res.Contact(); c != nil && !c.Address.Wildcard && c.Address.Host != "" {
		d.RemoteTarget = c.Address.String()
	}
	routes, err := sip.RecordRoutes(res)
	if err != nil {
		return d, err
	}
	slices.Reverse(routes) // RFC 3261 §12.1.2
	d.RouteSet = texts(routes)
	d.Confirmed = res.IsSuccess()
	d.learn(res)
	return d, nil
}

func texts(uris []gosip.Uri) []string {
	var out []string
	for _, u := range uris {
		out = append(out, u.String())
	}
	return out
}

// refreshTarget takes the Contact of a target refresh request, or of the 2xx to one. RFC 3261 §12.2.
func (d *Dialog) refreshTarget(m message) {
	if c := m.Contact(); c != nil && !c.Address.Wildcard && c.Address.Host != "" {
		d.RemoteTarget = c.Address.String()
	}
	d.learn(m)
}

// learn notes what the far end can do. A message that says nothing about it changes nothing.
func (d *Dialog) learn(m message) {
	if v := values(m, "allow"); len(v) > 0 {
		d.Allow = v
	}
	if v := values(m, "supported", "k"); len(v) > 0 {
		d.Supported = v
	}
}

// accept applies the rule of RFC 3261 §12.2.2 to a request's number: a lower one is out of order. An
// equal one is let through, because the transaction layer has taken out retransmissions already and
// some devices count INVITE and BYE apart.
func (d *Dialog) accept(n uint32) bool {
	if d.RemoteCSeq != 0 && n < d.RemoteCSeq {
		return false
	}
	d.RemoteCSeq = n
	return true
}

// request makes the next request inside the dialog. RFC 3261 §12.2.1.1.
func (d *Dialog) request(method gosip.RequestMethod) (*gosip.Request, error) {
	d.LocalCSeq++
	return d.build(method, d.LocalCSeq)
}

// ack makes the ACK for a 2xx to the INVITE with this number. RFC 3261 §13.2.2.4.
func (d *Dialog) ack(n uint32) (*gosip.Request, error) { return d.build(gosip.ACK, n) }

func (d *Dialog) build(method gosip.RequestMethod, n uint32) (*gosip.Request, error) {
	var target, local, remote, contact gosip.Uri
	for _, u := range []struct {
		text string
		uri  *gosip.Uri
	}{{d.RemoteTarget, &target}, {d.LocalURI, &local}, {d.RemoteURI, &remote}, {d.Contact, &contact}} {
		if err := gosip.ParseUri(u.text, u.uri); err != nil {
			return nil, fmt.Errorf("%w: URI %q: %w", errDialog, u.text, err)
		}
	}
	routes := make([]gosip.Uri, len(d.RouteSet))
	for i, r := range d.RouteSet {
		if err := gosip.ParseUri(r, &routes[i]); err != nil {
			return nil, fmt.Errorf("%w: route %q: %w", errDialog, r, err)
		}
	}
	h := sip.Head{
		Target: target, Routes: routes, CallID: d.CallID, CSeq: n,
		From: local, FromTag: d.LocalTag, FromName: d.LocalName, To: remote, ToTag: d.RemoteTag, ToName: d.RemoteName,
	}
	// RFC 3261 §12.2.1.1 asks for Contact in target refreshes; in a BYE it means nothing.
	if method != gosip.BYE {
		h.Contact = contact
	}
	return h.Request(method), nil
}

// check says whether a stored dialog can be gone on with.
func (d *Dialog) check() error {
	switch {
	case d.CallID == "" || d.LocalTag == "":
		return fmt.Errorf("%w: no Call-ID or no local tag", errDialog)
	case !d.Confirmed:
		return fmt.Errorf("%w: %s was never answered", errDialog, d.CallID)
	}
	_, err := d.build(gosip.BYE, 1)
	return err
}
