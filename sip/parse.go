package sip

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

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

// lenient keeps an unreadable value as plain text.
func lenient(name string, parse gosip.HeaderParser) gosip.HeaderParser {
	return func(lower []byte, text string) (gosip.Header, error) {
		h, err := parse(lower, text)
		// sipgo's sign, of a type that it does not export, that more values follow.
		if err == nil || err.Error() == "comma detected" {
			return h, err
		}
		return gosip.NewHeader(name, text), nil
	}
}

// fault is why a request cannot be served, as the endpoint answers it; the zero
// fault is none.
type fault struct {
	code   int
	reason string
}

// parse reads one whole message. ok is false when it is not SIP at all. Of a
// request with a fault enough is there to answer it.
func parse(data []byte) (m gosip.Message, f fault, ok bool) {
	data = tidy(data)
	m, err := parser.ParseSIP(data)
	if err == nil {
		return m, fault{}, true
	}
	if m != nil {
		return m, fault{400, "Malformed Message"}, true
	}
	line, rest, found := bytes.Cut(data, []byte("\r\n"))
	if !found {
		return nil, fault{}, false
	}
	// A Request-Line that sipgo cannot read: put a readable one in its place.
	method, tail, found := strings.Cut(strings.TrimRight(string(line), " "), " ")
	if !found || !IsToken(method) {
		return nil, fault{}, false
	}
	uri, version := "", tail
	if i := strings.LastIndexByte(tail, ' '); i >= 0 {
		uri, version = tail[:i], tail[i+1:]
	}
	if len(version) < 4 || !strings.EqualFold(version[:4], "SIP/") {
		return nil, fault{}, false
	}
	patched := append([]byte(method+" sip:unreadable.invalid "+version+"\r\n"), rest...)
	if m, _ = parser.ParseSIP(patched); m == nil { // another error changes nothing
		return nil, fault{}, false
	}
	if s, _, found := strings.Cut(uri, ":"); found && isScheme(s) && !isSIP(s) {
		return m, unsupportedScheme, true
	}
	return m, fault{400, "Malformed Request-Line"}, true
}

var unsupportedScheme = fault{416, "Unsupported URI Scheme"} // RFC 3261 §8.2.2.1

func isSIP(scheme string) bool {
	return strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips")
}

// isScheme is the grammar of RFC 3986 §3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9') && strings.IndexByte("+-.", c) < 0) {
			return false
		}
	}
	return s != ""
}

// IsToken says whether s is a token of RFC 3261 §25.1.
func IsToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("-.!%*_+`'~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// Seconds reads delta-seconds (RFC 3261 §25.1), with a comment or parameters behind, as Retry-After has. More than 2^32-1
// seconds become that (§20.19).
func Seconds(v string) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	end := strings.IndexFunc(v, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(v)
	}
	if rest := strings.TrimSpace(v[end:]); end == 0 || rest != "" && rest[0] != ';' && rest[0] != '(' {
		return 0, false
	}
	n, err := strconv.ParseUint(v[:end], 10, 32)
	if err != nil {
		n = math.MaxUint32
	}
	return time.Duration(n) * time.Second, true
}
