package main

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// message is a SIP message, as far as a measuring phone must understand one: it trusts the appliance to write what its
// own tests hold it to. Its slices are parts of the datagram.
type message struct {
	code   int    // of a response; 0 in a request
	method []byte // of a request, or from the CSeq of a response
	seq    int    // of the CSeq
	callID []byte
	head   []byte // the header lines, each with its line end
	body   []byte
}

// parse reads a datagram; false if it is not a SIP message. It does not allocate.
func parse(data []byte) (m message, ok bool) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	line, _, found := bytes.Cut(data, []byte("\r\n"))
	if end < 0 || !found || len(line)+2 > end {
		return message{}, false
	}
	m.head, m.body = data[len(line)+2:end+2], data[end+4:]
	// RFC 3261 §18.3: in a datagram, what is beyond Content-Length is not part of the message.
	if n, err := strconv.Atoi(string(m.header("Content-Length"))); err == nil && n >= 0 && n < len(m.body) {
		m.body = m.body[:n]
	}
	number, method, _ := bytes.Cut(m.header("CSeq"), []byte(" "))
	var err error
	if m.seq, err = strconv.Atoi(string(number)); err != nil {
		return message{}, false
	}
	m.method, m.callID = bytes.TrimSpace(method), m.header("Call-ID")
	if len(m.callID) == 0 || len(m.method) == 0 {
		return message{}, false
	}
	if status, ok := bytes.CutPrefix(line, []byte("SIP/2.0 ")); ok {
		code, _, _ := bytes.Cut(status, []byte(" "))
		m.code, err = strconv.Atoi(string(code))
		return m, err == nil && m.code >= 100 && m.code <= 699
	}
	return m, bytes.HasPrefix(line, m.method)
}

// clone returns a copy that outlives the datagram.
func (m message) clone() message {
	m.method, m.callID = bytes.Clone(m.method), bytes.Clone(m.callID)
	m.head, m.body = bytes.Clone(m.head), bytes.Clone(m.body)
	return m
}

// header returns the first value of a header, nil if there is none. The name is the long form, which is what an
// appliance writes.
func (m message) header(name string) []byte {
	for rest := m.head; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return bytes.TrimSpace(line[len(name)+1:])
		}
	}
	return nil
}

// uri returns the URI inside <> of a header, "" if there is none.
func (m message) uri(name string) string {
	_, rest, _ := bytes.Cut(m.header(name), []byte("<"))
	uri, _, found := bytes.Cut(rest, []byte(">"))
	if !found {
		return ""
	}
	return string(uri)
}

// tag returns the tag parameter of From or To, "" if there is none.
func (m message) tag(name string) string {
	_, params, _ := strings.Cut(string(m.header(name)), ">")
	for p := range strings.SplitSeq(params, ";") {
		if t, ok := strings.CutPrefix(strings.TrimSpace(p), "tag="); ok {
			return t
		}
	}
	return ""
}

// media returns where an SDP body wants its audio; not valid if it has none.
func (m message) media() netip.AddrPort {
	var addr netip.Addr
	var port uint64
	for line := range strings.Lines(string(m.body)) {
		line = strings.TrimSpace(line)
		if a, ok := strings.CutPrefix(line, "c=IN IP4 "); ok {
			addr, _ = netip.ParseAddr(a)
		}
		if a, ok := strings.CutPrefix(line, "m=audio "); ok {
			number, _, _ := strings.Cut(a, " ")
			port, _ = strconv.ParseUint(number, 10, 16)
		}
	}
	if !addr.IsValid() || port == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, uint16(port))
}

// reply writes a response to a request. RFC 3261 §8.2.6.2: Via, From, Call-ID and CSeq as they are, To with our tag.
func (m message) reply(code int, reason, tag, contact string, sdp []byte) []byte {
	b := make([]byte, 0, 1024)
	b = append(b, "SIP/2.0 "...)
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(append(append(b, ' '), reason...), "\r\n"...)
	for rest := m.head; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, _, _ := bytes.Cut(line, []byte(":"))
		switch {
		case is(name, "Via"), is(name, "From"), is(name, "Call-ID"), is(name, "CSeq"):
			b = append(append(b, line...), "\r\n"...)
		case is(name, "To"):
			b = append(b, line...)
			if tag != "" && m.tag("To") == "" {
				b = append(append(b, ";tag="...), tag...)
			}
			b = append(b, "\r\n"...)
		}
	}
	if contact != "" {
		b = append(append(append(b, "Contact: <"...), contact...), ">\r\n"...)
	}
	return appendBody(b, sdp)
}

func is(name []byte, want string) bool { return strings.EqualFold(string(name), want) }

// appendBody ends a head and adds the body, if there is one.
func appendBody(b, sdp []byte) []byte {
	if len(sdp) > 0 {
		b = append(b, "Content-Type: application/sdp\r\n"...)
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(sdp)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, sdp...)
}

// offer writes an SDP body with mu-law audio and telephone-events, as phones have them, at an address, as an offer or as an
// answer to one.
func offer(at netip.AddrPort) []byte {
	a := at.Addr().String()
	return []byte("v=0\r\no=bench 1 1 IN IP4 " + a + "\r\ns=-\r\nc=IN IP4 " + a + "\r\nt=0 0\r\nm=audio " +
		strconv.Itoa(int(at.Port())) + " RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n")
}
