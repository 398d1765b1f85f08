package event

import (
	"slices"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// message is what a request and a response have in common here. The endpoint has
// written compact header names out.
type message interface {
	GetHeader(name string) gosip.Header
	GetHeaders(name string) []gosip.Header
}

// value returns the value of the first header with this name, "" for none.
func value(msg message, name string) string {
	if h := msg.GetHeader(name); h != nil {
		return strings.TrimSpace(h.Value())
	}
	return ""
}

// eventHeader is the Event header (RFC 6665 §8.2.1).
type eventHeader struct {
	name string // package with templates, in lower case
	id   string // "" for none
}

// String returns the header's value.
func (e eventHeader) String() string {
	if e.id == "" {
		return e.name
	}
	return e.name + ";id=" + e.id
}

// parseEvent reads an Event header. Unknown parameters are ignored, as phones add
// some (sla, shared, call-info).
func parseEvent(v string) (eventHeader, bool) {
	name, rest, _ := strings.Cut(v, ";")
	e := eventHeader{name: strings.ToLower(strings.TrimSpace(name))}
	if !sip.IsToken(e.name) {
		return eventHeader{}, false
	}
	for key, val := range params(rest) {
		if key == "id" {
			if !sip.IsToken(val) {
				return eventHeader{}, false
			}
			e.id = val
		}
	}
	return e, true
}

// stateHeader is the Subscription-State header (RFC 6665 §8.2.3).
type stateHeader struct {
	state      string        // in lower case: active, pending, terminated or an extension
	reason     string        // in lower case, "" for none
	expires    time.Duration // 0 for none
	retryAfter time.Duration
	hasExpires bool
	hasRetry   bool
}

func parseState(v string) (stateHeader, bool) {
	state, rest, _ := strings.Cut(v, ";")
	h := stateHeader{state: strings.ToLower(strings.TrimSpace(state))}
	if !sip.IsToken(h.state) {
		return stateHeader{}, false
	}
	for key, val := range params(rest) {
		var ok bool
		switch key {
		case "reason":
			h.reason = strings.ToLower(val)
		case "expires":
			if h.expires, ok = sip.Seconds(val); !ok {
				return stateHeader{}, false
			}
			h.hasExpires = true
		case "retry-after":
			if h.retryAfter, ok = sip.Seconds(val); !ok {
				return stateHeader{}, false
			}
			h.hasRetry = true
		}
	}
	return h, true
}

// params yields the parameters of a header in order, names in lower case, values
// without quotes.
func params(s string) func(yield func(key, val string) bool) {
	return func(yield func(key, val string) bool) {
		for s != "" {
			end, quoted := len(s), false
			for i := range len(s) {
				if s[i] == '"' {
					quoted = !quoted
				} else if s[i] == ';' && !quoted {
					end = i
					break
				}
			}
			part := s[:end]
			s = strings.TrimPrefix(s[end:], ";")
			key, val, _ := strings.Cut(part, "=")
			key = strings.ToLower(strings.TrimSpace(key))
			if key == "" {
				continue
			}
			if !yield(key, strings.Trim(strings.TrimSpace(val), `"`)) {
				return
			}
		}
	}
}

// seconds returns d as delta-seconds, rounded up so that a peer never sees 0 while
// there is time left.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((max(0, d)+time.Second-1)/time.Second), 10)
}

// headerSeconds reads a header of delta-seconds. There is false if it is absent, ok
// is false if it is there and not readable.
func headerSeconds(msg message, name string) (d time.Duration, there, ok bool) {
	h := msg.GetHeader(name)
	if h == nil {
		return 0, false, true
	}
	d, ok = sip.Seconds(h.Value())
	return d, true, ok
}

// accepts reports whether the Accept headers of req allow a media type. No Accept
// header allows the package's default (RFC 6665 §3.1.3).
func accepts(req *gosip.Request, mediaType string) bool {
	list := req.GetHeaders("Accept")
	if len(list) == 0 {
		return true
	}
	kind, _, _ := strings.Cut(mediaType, "/")
	return listed(list, mediaType, kind+"/*", "*/*")
}

// listed reports whether headers such as Accept name one of some things, and not with quality 0.
func listed(list []gosip.Header, names ...string) bool {
	for _, h := range list {
		for part := range strings.SplitSeq(h.Value(), ",") {
			part, q, _ := strings.Cut(part, ";")
			part = strings.ToLower(strings.TrimSpace(part))
			if !slices.Contains(names, part) {
				continue
			}
			refused := false
			for key, val := range params(q) {
				// RFC 3261 §20.1, RFC 2616 §3.9: quality 0 is "not acceptable".
				refused = refused || key == "q" && strings.Trim(val, "0.") == "" && val != ""
			}
			if !refused {
				return true
			}
		}
	}
	return false
}

// mediaType returns the Content-Type without parameters, in lower case.
func mediaType(msg message) string {
	v, _, _ := strings.Cut(value(msg, "Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(v))
}
