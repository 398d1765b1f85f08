package sip

import (
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// DateFormat is how a Date header is written (RFC 3261 §20.17), for package time. The time must be UTC.
const DateFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// Allow is the value of the Allow header: the methods that really have a handler.
func (e *Endpoint) Allow() string {
	methods := []string{"OPTIONS"}
	for m := range e.handlers {
		methods = append(methods, m)
		if m == "INVITE" {
			methods = append(methods, "ACK", "CANCEL")
		}
	}
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

// Supported is the value of the Supported header, empty when there is nothing.
func (e *Endpoint) Supported() string { return strings.Join(e.supported, ", ") }

func (e *Endpoint) knows(method string) bool { return method == "OPTIONS" || e.handlers[method] != nil }

func (e *Endpoint) supports(tag string) bool {
	return slices.ContainsFunc(e.supported, func(s string) bool { return strings.EqualFold(s, tag) })
}

// answerAlone answers what needs no handler and no transaction: refusals, and
// OPTIONS unless it has a handler. Without a transaction a flood of OPTIONS
// leaves nothing behind.
func (e *Endpoint) answerAlone(f flow, req *gosip.Request) bool {
	if why, more := e.screen(req); why.code != 0 {
		e.refuse(f, req, why, more...)
		return true
	}
	if req.Method != gosip.OPTIONS || e.handlers["OPTIONS"] != nil {
		return false
	}
	date := gosip.NewHeader("Date", time.Now().UTC().Format(DateFormat))
	e.respondAlone(f, req, 200, "OK", append(e.Capabilities(), date)...)
	return true
}

// Capabilities are the headers of a truthful answer to OPTIONS (RFC 3261
// §11.2): Allow, Supported, Accept, Accept-Encoding and Allow-Events.
func (e *Endpoint) Capabilities() []gosip.Header {
	hs := []gosip.Header{gosip.NewHeader("Allow", e.Allow())}
	if s := e.Supported(); s != "" {
		hs = append(hs, gosip.NewHeader("Supported", s))
	}
	accepts := e.accepts
	if e.handlers["INVITE"] != nil && !slices.Contains(accepts, "application/sdp") {
		accepts = append([]string{"application/sdp"}, accepts...)
	}
	if len(accepts) > 0 {
		hs = append(hs, gosip.NewHeader("Accept", strings.Join(accepts, ", ")))
	}
	hs = append(hs, gosip.NewHeader("Accept-Encoding", "identity"))
	if len(e.events) > 0 {
		hs = append(hs, gosip.NewHeader("Allow-Events", strings.Join(e.events, ", ")))
	}
	return hs
}
