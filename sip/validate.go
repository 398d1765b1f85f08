package sip

import (
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// single are the headers that a request must have exactly once (RFC 3261
// §8.1.1), as plain text in case that they could not be read.
var single = [...]string{"From", "To", "Call-ID", "CSeq"}

// validate looks for what no handler should have to look for, and returns the
// zero fault for a request in order. The topmost Via is known to be there.
func validate(req *gosip.Request) fault {
	if !strings.EqualFold(req.SipVersion, "SIP/2.0") {
		return fault{505, "Version Not Supported"} // RFC 3261 §21.5.6
	}
	for _, name := range single {
		switch len(req.GetHeaders(name)) {
		case 0:
			return fault{400, "Missing " + name + " Header"}
		case 1:
		default:
			return fault{400, "Multiple " + name + " Headers"}
		}
	}
	switch {
	case req.From() == nil:
		return fault{400, "Malformed From Header"}
	case req.To() == nil:
		return fault{400, "Malformed To Header"}
	case req.CSeq() == nil:
		return fault{400, "Malformed CSeq Header"}
	case !strings.EqualFold(string(req.CSeq().MethodName), string(req.Method)):
		return fault{400, "CSeq Method Does Not Match"} // RFC 3261 §8.1.1.5
	case !IsToken(string(req.Method)):
		return fault{400, "Malformed Method"}
	}
	for _, h := range req.GetHeaders("Via") {
		if _, ok := h.(*gosip.ViaHeader); !ok {
			return fault{400, "Malformed Via Header"}
		}
	}
	for _, h := range req.GetHeaders("Contact") {
		if _, ok := h.(*gosip.ContactHeader); !ok {
			return fault{400, "Malformed Contact Header"}
		}
	}
	for _, h := range req.GetHeaders("Content-Length") {
		if _, ok := h.(*gosip.ContentLengthHeader); !ok {
			return fault{400, "Malformed Content-Length Header"}
		}
	}
	if len(req.GetHeaders("Content-Length")) > 1 || len(req.GetHeaders("Max-Forwards")) > 1 {
		return fault{400, "Header Given Twice"}
	}
	if h := req.GetHeader("Max-Forwards"); h != nil && req.MaxForwards() == nil {
		return fault{400, "Malformed Max-Forwards Header"}
	}
	if !isSIP(req.Recipient.Scheme) {
		return unsupportedScheme
	}
	if len(req.Recipient.Headers) > 0 {
		return fault{400, "Headers In Request-URI"} // RFC 3261 §19.1.1
	}
	return fault{}
}

// screen answers for the endpoint what depends on its handlers: unknown
// methods, hop counts, required extensions, encodings. It returns the zero fault for a
// request that may go to its handler.
func (e *Endpoint) screen(req *gosip.Request) (why fault, more []gosip.Header) {
	if !e.knows(string(req.Method)) {
		// RFC 3261 §8.2.1
		return fault{405, "Method Not Allowed"}, []gosip.Header{gosip.NewHeader("Allow", e.Allow())}
	}
	inDialog := req.To().Params.Has("tag")
	// RFC 7332 §4: a B2BUA, which the appliance is when a call is fetched, does
	// not let a request go round for ever. OPTIONS is how one asks a hop, §11.
	if mf := req.MaxForwards(); mf != nil && mf.Val() == 0 && !inDialog && req.Method != gosip.OPTIONS {
		return fault{483, "Too Many Hops"}, nil
	}
	var unknown []string
	for _, h := range req.GetHeaders("Require") {
		for tag := range strings.SplitSeq(h.Value(), ",") {
			if tag = strings.TrimSpace(tag); tag != "" && !e.supports(tag) {
				unknown = append(unknown, tag)
			}
		}
	}
	if len(unknown) > 0 {
		// RFC 3261 §8.2.2.3
		return fault{420, "Bad Extension"}, []gosip.Header{gosip.NewHeader("Unsupported", strings.Join(unknown, ", "))}
	}
	if h := req.GetHeader("Content-Encoding"); h != nil && len(req.Body()) > 0 && !strings.EqualFold(h.Value(), "identity") &&
		!(req.Method == gosip.NOTIFY && strings.EqualFold(h.Value(), "gzip")) { // which package event unpacks
		// RFC 3261 §8.2.3
		return fault{415, "Unsupported Content-Encoding"}, []gosip.Header{gosip.NewHeader("Accept-Encoding", "identity")}
	}
	return fault{}, nil
}
