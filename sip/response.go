package sip

import (
	"net/netip"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// NewResponse builds a response to a request that came from the endpoint, as
// RFC 3261 §8.2.6 says: Via (with received and rport), From, To, Call-ID and
// CSeq are copied, Record-Route where a dialog may begin, Timestamp in a 100.
// To gets no tag here: Respond adds one if the caller does not.
func NewResponse(req *gosip.Request, code int, reason string) *gosip.Response {
	res := gosip.NewResponse(code, reason)
	gosip.CopyHeaders("Via", req, res)
	// RFC 3261 §12.1.1
	if code > 100 && code < 300 && req.Method != gosip.REGISTER {
		gosip.CopyHeaders("Record-Route", req, res)
	}
	for _, name := range single {
		gosip.CopyHeaders(name, req, res)
	}
	if code == 100 {
		gosip.CopyHeaders("Timestamp", req, res)
	}
	return res
}

// serverKey tells server transactions apart, RFC 3261 §17.2.3. ACK has the key
// of its INVITE; for CANCEL the caller passes INVITE.
func serverKey(req *gosip.Request, method gosip.RequestMethod) string {
	if method == gosip.ACK {
		method = gosip.INVITE
	}
	via := req.Via()
	branch, _ := via.Params.Get("branch")
	var b strings.Builder
	if rest, ok := strings.CutPrefix(branch, gosip.RFC3261BranchMagicCookie); ok && rest != "" {
		b.WriteString(branch)
	} else {
		// A client of RFC 2543: the request's identity stands for the branch.
		b.WriteString(req.Recipient.String())
		b.WriteByte('|')
		b.WriteString(identity(req))
		b.WriteByte('|')
		b.WriteString(branch)
	}
	b.WriteByte('|')
	b.WriteString(strings.ToLower(via.Host))
	b.WriteByte(':')
	b.WriteString(strconv.Itoa(via.Port))
	b.WriteByte('|')
	b.WriteString(string(method))
	return b.String()
}

// identity is what copies of one request have in common whatever way they came,
// RFC 3261 §8.2.2.2: From tag, Call-ID and CSeq number.
func identity(req *gosip.Request) string {
	var b strings.Builder
	if from := req.From(); from != nil {
		tag, _ := from.Params.Get("tag")
		b.WriteString(tag)
	}
	b.WriteByte('|')
	if id := req.CallID(); id != nil {
		b.WriteString(id.Value())
	}
	b.WriteByte('|')
	if cseq := req.CSeq(); cseq != nil {
		b.WriteString(strconv.FormatUint(uint64(cseq.SeqNo), 10))
	}
	return b.String()
}

func withPort(ap netip.AddrPort, port int) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr(), uint16(port))
}
