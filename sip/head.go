package sip

import (
	"crypto/rand"
	"errors"
	"fmt"

	gosip "github.com/emiago/sipgo/sip"
)

// maxRoutes bounds the route set that a peer can make us store and send.
const maxRoutes = 16

// ErrRoutes means that a message wants a longer route set than is stored.
var ErrRoutes = errors.New("sip: too many record-routes")

// NewTag makes a tag or a Call-ID of at least 128 random bits. RFC 3261 §19.3 asks for 32.
func NewTag() string { return rand.Text() }

// Head is what places a request: whom it goes to, by which way, and in which dialog.
type Head struct {
	Target  gosip.Uri   // the remote target, or who is asked
	Routes  []gosip.Uri // the route set
	CallID  string      // "": a new one
	CSeq    uint32      // 0: the first
	From    gosip.Uri
	FromTag string    // "": a new one
	To      gosip.Uri // no scheme: AddressOnly of Target
	ToTag   string    // "": none yet
	Contact gosip.Uri // no host: none

	FromName, ToName string // display names as on the wire, quoted pairs included
}

// Request makes a request for Endpoint.Request. The head is not changed and may be used again.
func (h Head) Request(method gosip.RequestMethod) *gosip.Request {
	target, routes := h.Target, h.Routes
	// RFC 3261 §12.2.1.1: a first route without lr is a strict router. It becomes the Request-URI and the target the last
	// route.
	if len(routes) > 0 && !routes[0].UriParams.Has("lr") {
		target, routes = routes[0], append(routes[1:len(routes):len(routes)], target)
	}
	// RFC 3261 §19.1.1, table 1: neither headers nor a method belong into a Request-URI.
	target = *target.Clone()
	target.Headers = nil
	target.UriParams.Remove("method")

	req := gosip.NewRequest(method, target)
	for _, r := range routes {
		req.AppendHeader(&gosip.RouteHeader{Address: *r.Clone()})
	}
	if h.To.Scheme == "" {
		h.To = AddressOnly(h.Target)
	}
	from := &gosip.FromHeader{DisplayName: h.FromName, Address: h.From}
	from.Params.Add("tag", orNew(h.FromTag))
	to := &gosip.ToHeader{DisplayName: h.ToName, Address: h.To}
	if h.ToTag != "" {
		to.Params.Add("tag", h.ToTag)
	}
	id := gosip.CallIDHeader(orNew(h.CallID))
	req.AppendHeader(from)
	req.AppendHeader(to)
	req.AppendHeader(&id)
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: max(h.CSeq, 1), MethodName: method})
	if h.Contact.Host != "" {
		req.AppendHeader(&gosip.ContactHeader{Address: h.Contact})
	}
	return req
}

func orNew(tag string) string {
	if tag == "" {
		return NewTag()
	}
	return tag
}

// AddressOnly leaves out what belongs into a Request-URI and not into To. RFC 3261 §19.1.1, table 1.
func AddressOnly(u gosip.Uri) gosip.Uri {
	u.Port = 0
	u.Headers = nil
	u.UriParams = u.UriParams.Clone()
	for _, p := range []string{"transport", "maddr", "ttl", "lr", "method"} {
		u.UriParams.Remove(p)
	}
	return u
}

// RecordRoutes returns the Record-Route headers of a message in their order, which is the route set of who received a
// request (RFC 3261 §12.1.1); for who sent it, §12.1.2 reverses them. The error is ErrRoutes.
func RecordRoutes(m interface {
	GetHeaders(name string) []gosip.Header
}) ([]gosip.Uri, error) {
	var routes []gosip.Uri
	for _, h := range m.GetHeaders("record-route") {
		if rr, ok := h.(*gosip.RecordRouteHeader); ok {
			routes = append(routes, *rr.Address.Clone())
		}
	}
	if len(routes) > maxRoutes {
		return nil, fmt.Errorf("%w: %d, at most %d allowed", ErrRoutes, len(routes), maxRoutes)
	}
	return routes, nil
}
