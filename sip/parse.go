package sip

import (
	"bytes"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// parser is sipgo's with header parsers that keep what they cannot read as a
// plain header instead of giving the message up: validate then sees a header
// that is there but has no value, and answers 400.
var parser = gosip.NewParser(gosip.WithHeadersParsers(lenientHeaders()))

// compactNames are the short forms (RFC 3261 §7.3.3 and the later ones) that
// sipgo's parser does not know.
var compactNames = map[string]string{
	"a": "Accept-Contact", "b": "Referred-By", "d": "Request-Disposition", "e": "Content-Encoding",
	"j": "Reject-Contact", "k": "Supported", "o": "Event", "r": "Refer-To", "s": "Subject",
	"u": "Allow-Events", "x": "Session-Expires", "y": "Identity",
}

func lenientHeaders() map[string]gosip.HeaderParser {
	out := make(map[string]gosip.HeaderParser)
	for name, parse := range gosip.DefaultHeadersParser() {
		out[name] = lenient(canonical(name), parse)
	}
	for short, name := range compactNames {
		if parse, ok := out[strings.ToLower(name)]; ok {
			out[short] = parse
			continue
		}
		out[short] = func(_ []byte, text string) (gosip.Header, error) {
			return gosip.NewHeader(name, text), nil
		}
	}
	return out
}

func canonical(name string) string {
	switch name {
	case "c", "content-type":
		return "Content-Type"
	case "f", "from":
		return "From"
	case "t", "to":
		return "To"
	case "m", "contact":
		return "Contact"
	case "i", "call-id":
		return "Call-ID"
	case "cseq":
		return "CSeq"
	case "v", "via":
		return "Via"
	case "l", "content-length":
		return "Content-Length"
	case "max-forwards":
		return "Max-Forwards"
	case "route":
		return "Route"
	case "record-route":
		return "Record-Route"
	case "refer-to":
		return "Refer-To"
	case "referred-by":
		return "Referred-By"
	}
	return name
}

// lenient tidies the text, which sipgo's parsers want without white space
// around separators, and keeps an unreadable value as plain text.
func lenient(name string, parse gosip.HeaderParser) gosip.HeaderParser {
	return func(lower []byte, text string) (gosip.Header, error) {
		// Only a text without white space to remove can be cut at a comma by
		// sipgo, which counts in the text that it passed.
		h, err := parse(lower, text)
		if err == nil || err.Error() == "comma detected" {
			return h, err
		}
		return gosip.NewHeader(name, text), nil
	}
}

// parse reads one whole message. ok is false when it is not SIP at all. A
// request whose Request-URI cannot be read comes back with bad set: enough of
// it is there to answer.
func parse(data []byte) (m gosip.Message, bad string, ok bool) {
	m, err := parser.ParseSIP(data)
	if err == nil {
		return m, "", true
	}
	if m != nil {
		return m, "Malformed Message", true
	}
	line, rest, found := bytes.Cut(data, []byte("\r\n"))
	if !found {
		return nil, "", false
	}
	method, tail, found := strings.Cut(string(line), " ")
	if !found || !isToken(method) {
		return nil, "", false
	}
	version := tail[strings.LastIndexByte(tail, ' ')+1:]
	if len(version) < 4 || !strings.EqualFold(version[:4], "SIP/") {
		return nil, "", false
	}
	patched := append([]byte(method+" sip:unreadable.invalid "+version+"\r\n"), rest...)
	if m, err = parser.ParseSIP(patched); m == nil {
		return nil, "", false
	}
	_ = err // the start line is what matters
	return m, "Malformed Request-URI", true
}

func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("-.!%*_+`'~", c) >= 0: // RFC 3261 §25.1 token
		default:
			return false
		}
	}
	return true
}
