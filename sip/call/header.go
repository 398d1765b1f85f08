package call

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	gosip "github.com/emiago/sipgo/sip"
)

// message is what requests and responses have in common.
type message interface {
	gosip.Message
	Contact() *gosip.ContactHeader
	ContentType() *gosip.ContentTypeHeader
	GetHeader(name string) gosip.Header
	GetHeaders(name string) []gosip.Header
}

// maxName bounds a display name in bytes. A name is shown and spoken, never interpreted.
const maxName = 128

// Bounds of who somebody is, in bytes: what is longer is nobody's address (see party). It stands several times in each status
// of a phone and in the journal, and a request may have 64 KiB of it. RFC 3261 has no limit.
const (
	maxNumber = 128
	maxURI    = 512
)

var quotedPairs = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// clean removes what would end or fold a header line. sipgo writes values as they are.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// quote makes a display name fit for sipgo, which writes it between quotes as it is.
func quote(name string) string {
	name = clean(name)
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "")
	}
	// RFC 3261 §25.1 quoted-pair.
	return quotedPairs.Replace(name)
}

// unquote is the inverse for a name that sipgo took from between quotes.
func unquote(raw string) string {
	var b strings.Builder
	escaped := false
	for _, r := range raw {
		if r == '\\' && !escaped {
			escaped = true
			continue
		}
		escaped = false
		b.WriteRune(r)
	}
	name := strings.TrimSpace(clean(b.String()))
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "")
	}
	return name
}

// header makes a header whose value is one line.
func header(name, value string) gosip.Header { return gosip.NewHeader(name, clean(value)) }

// value gives the first header with one of these names (long and compact form), "" without any.
func value(m message, names ...string) string {
	for _, n := range names {
		if h := m.GetHeader(n); h != nil {
			return strings.TrimSpace(h.Value())
		}
	}
	return ""
}

// values gives every element of all comma-separated headers with one of these names.
func values(m message, names ...string) []string {
	var out []string
	for _, n := range names {
		for _, h := range m.GetHeaders(n) {
			out = append(out, split(h.Value(), ',')...)
		}
	}
	return out
}

// has says whether a comma-separated header contains the token. RFC 3261 §7.3.1: without regard to case.
func has(m message, token string, names ...string) bool {
	for _, v := range values(m, names...) {
		if strings.EqualFold(v, token) {
			return true
		}
	}
	return false
}

// split cuts at separators that are outside of quotes and angle brackets, and trims the parts.
func split(s string, separator byte) []string {
	var out []string
	quoted, angle, start := false, false, 0
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case quoted && ch == '\\':
			i++
		case ch == '"' && !angle:
			quoted = !quoted
		case quoted:
		case ch == '<':
			angle = true
		case ch == '>':
			angle = false
		case ch == separator && !angle:
			out = append(out, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	if last := strings.TrimSpace(s[start:]); last != "" || len(out) > 0 {
		out = append(out, last)
	}
	return out
}

// param finds ;name=value among the parameters after the first part of a header value.
func param(v, name string) (string, bool) {
	parts := split(v, ';')
	for _, p := range parts[min(1, len(parts)):] {
		k, val, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.Trim(strings.TrimSpace(val), `"`), true
		}
	}
	return "", false
}

func inSeconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// reasonOf gives the text for people in a Reason header (RFC 3326), or the header itself.
func reasonOf(m message) string {
	v := value(m, "reason")
	if text, ok := param(v, "text"); ok && text != "" {
		return clean(text)
	}
	return clean(v)
}

// reasonHeader makes a Reason header of a text. A text that is already a reason value stays as it is.
func reasonHeader(text string) gosip.Header {
	if strings.Contains(text, ";cause=") {
		return header("Reason", text)
	}
	// Q.850 cause 16 is normal call clearing.
	return header("Reason", fmt.Sprintf(`Q.850;cause=16;text="%s"`, quote(text)))
}

func tagOf(p gosip.HeaderParams) string {
	for _, kv := range p {
		if strings.EqualFold(kv.K, "tag") {
			return kv.V
		}
	}
	return ""
}

func toTag(m message) string {
	if h := m.To(); h != nil {
		return tagOf(h.Params)
	}
	return ""
}

func fromTag(m message) string {
	if h := m.From(); h != nil {
		return tagOf(h.Params)
	}
	return ""
}

func callID(m message) string {
	if h := m.CallID(); h != nil {
		return h.Value()
	}
	return ""
}

func cseq(m message) uint32 {
	if h := m.CSeq(); h != nil {
		return h.SeqNo
	}
	return 0
}

// isSDP says whether the body is a session description.
func isSDP(m message) bool {
	if len(m.Body()) == 0 {
		return false
	}
	kind, _, _ := strings.Cut(contentType(m), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/sdp")
}

func contentType(m message) string {
	if h := m.ContentType(); h != nil {
		return h.Value()
	}
	return ""
}

func setBody(m message, kind string, body []byte) {
	ct := gosip.ContentTypeHeader(kind)
	m.AppendHeader(&ct)
	m.SetBody(body)
}
