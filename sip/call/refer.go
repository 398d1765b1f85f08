package call

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// errReferTo says that a Refer-To value could not be read.
var errReferTo = errors.New("call: unreadable Refer-To")

const (
	// referAnswer is how long an owner may think about a REFER: less than its 64*T1.
	referAnswer = 20 * time.Second
	// maxOwnRefers bounds our own REFERs that are under way in one call.
	maxOwnRefers = 4
	// maxNotices bounds the unanswered NOTIFYs of a transfer; above it provisional reports are left out.
	maxNotices = 8
)

// reference is a REFER of ours, until its last NOTIFY.
type reference struct {
	seq   uint32
	timer *timer
	done  bool
}

// Refer asks the far end to call target instead of us (blind transfer), or, with replaces, to take the
// place of a dialog that target has, which is named as target sees it (DialogID.Reverse of ours).
// TransferProgress tells how it goes; the call itself goes on until somebody hangs up.
func (c *Call) Refer(target gosip.Uri, replaced *DialogID) {
	c.post(func() { c.refer(target, replaced) })
}

// ReferTo asks the far end to take our place in other: the attended transfer of RFC 5589 §7.
func (c *Call) ReferTo(other *Call) {
	d := other.Dialog()
	id := d.ID().Reverse()
	c.post(func() {
		var target gosip.Uri
		// RFC 5589 §7.3: the Contact of the target reaches the very phone that has the dialog.
		if err := gosip.ParseUri(d.RemoteTarget, &target); err != nil {
			c.emit(TransferProgress{Code: 400, Reason: "no target", Final: true})
			return
		}
		c.refer(target, &id)
	})
}

func (c *Call) refer(target gosip.Uri, replaced *DialogID) {
	if c.state != phaseActive && c.state != phaseAnswering || c.owed >= maxOwnRefers {
		if c.state != phaseEnded {
			c.emit(TransferProgress{Code: 491, Reason: "call is not ready for a transfer", Final: true})
		}
		return
	}
	r := &reference{}
	r.timer = c.after(c.ua.cfg.TransferTimeout, func() { c.referDone(r, 408, "no report") })
	c.owed++
	c.ask(gosip.REFER, func(req *gosip.Request) {
		req.AppendHeader(header("Refer-To", referTo(target, replaced)))
		// RFC 3892 §2.1.
		req.AppendHeader(header("Referred-By", "<"+c.d.LocalURI+">"))
		req.AppendHeader(header("Supported", c.ua.ep.Supported()))
		// Known before it is sent: the first NOTIFY may come before the 202.
		r.seq = cseq(req)
		c.notified[r.seq] = r
	}, func(code int, res *gosip.Response) {
		switch {
		case code < 300:
			// The endpoint counts on when it answers a challenge; the subscription's id is the last
			// number (RFC 3515 §2.4.6).
			if n := cseq(res); n != r.seq && !r.done {
				delete(c.notified, r.seq)
				r.seq = n
				c.notified[n] = r
			}
		case c.state != phaseEnded && code != 408 && c.fatal(code, res):
		default:
			reason := statusText(code)
			if res != nil {
				reason = clean(res.Reason)
			}
			c.referDone(r, code, reason)
		}
	})
}

// referTo builds the value of Refer-To. RFC 3515 §2.1, RFC 3891 §6.1 escaping.
func referTo(target gosip.Uri, replaced *DialogID) string {
	target.Headers = nil
	s := target.String()
	if replaced != nil {
		// url.QueryEscape leaves nothing that a URI header value may not have, but writes a space as +.
		s += "?Replaces=" + strings.ReplaceAll(url.QueryEscape(replaces{id: *replaced}.String()), "+", "%20")
	}
	return "<" + s + ">"
}

func (c *Call) referDone(r *reference, code int, reason string) {
	if r.done {
		return
	}
	r.done = true
	c.owed--
	r.timer.stop()
	delete(c.notified, r.seq)
	if c.state != phaseEnded {
		c.emit(TransferProgress{Code: code, Reason: reason, Final: true})
	}
}

// dropReferences forgets our REFERs when the call ends: nobody is left to be told.
func (c *Call) dropReferences() {
	for _, r := range c.notified {
		r.done = true
		r.timer.stop()
	}
	clear(c.notified)
}

// onNOTIFY takes a report on a REFER of ours. RFC 3515 §2.4.4, §2.4.5.
func (c *Call) onNOTIFY(req *gosip.Request, tx *sip.ServerTx) {
	if !c.inOrder(req, tx) {
		return
	}
	if c.state == phaseEnded {
		// The far end has not heard yet that nobody listens.
		respond(req, tx, 481, statusText(481))
		return
	}
	state, _, _ := strings.Cut(value(req, "subscription-state"), ";")
	if state == "" {
		// RFC 6665 §4.1.3.
		respond(req, tx, 400, "Missing Subscription-State")
		return
	}
	r := c.reference(req)
	if r == nil {
		respond(req, tx, 481, statusText(481))
		return
	}
	over := strings.EqualFold(strings.TrimSpace(state), "terminated")
	code, reason, ok := parseFragment(contentType(req), req.Body())
	if !ok && len(req.Body()) > 0 {
		respond(req, tx, 400, "Bad Message Fragment")
		return
	}
	respond(req, tx, 200, statusText(200))
	switch {
	case ok && code >= 200:
		c.referDone(r, code, reason)
	case over:
		c.referDone(r, 408, "no final report")
	case ok:
		c.emit(TransferProgress{Code: code, Reason: reason})
	}
}

// reference finds the REFER that a NOTIFY reports on. RFC 3515 §2.4.6: by id, the CSeq of the REFER;
// without one it is the oldest.
func (c *Call) reference(req *gosip.Request) *reference {
	if id, ok := param(value(req, "event", "o"), "id"); ok {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil
		}
		return c.notified[uint32(n)]
	}
	var oldest *reference
	for _, r := range c.notified {
		if oldest == nil || r.seq < oldest.seq {
			oldest = r
		}
	}
	return oldest
}

// parseFragment reads the status line of a message/sipfrag body. RFC 3420.
func parseFragment(kind string, body []byte) (code int, reason string, ok bool) {
	kind, _, _ = strings.Cut(kind, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "message/sipfrag") {
		return 0, "", false
	}
	line, _, _ := strings.Cut(strings.TrimLeft(string(body), "\r\n"), "\n")
	version, rest, found := strings.Cut(strings.TrimSpace(line), " ")
	if !found || !strings.EqualFold(version, "SIP/2.0") {
		return 0, "", false
	}
	number, reason, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.Atoi(number)
	if err != nil || n < 100 || n > 699 {
		return 0, "", false
	}
	return n, clean(reason), true
}

// parseReferTo reads a Refer-To value: where to call, and what to replace there.
func parseReferTo(v string) (gosip.Uri, *DialogID, error) {
	_, uri, err := nameAddr(v)
	if err != nil || uri.Raw() != "" || uri.Host == "" {
		return uri, nil, errReferTo
	}
	if m, ok := uri.UriParams.Get("method"); ok && !strings.EqualFold(m, "INVITE") {
		return uri, nil, fmt.Errorf("%w: method %q", errReferTo, m)
	}
	var replaced *DialogID
	for _, h := range uri.Headers {
		if !strings.EqualFold(h.K, "Replaces") {
			continue // Other headers are the referrer's wish, which RFC 3261 §19.1.5 lets us ignore.
		}
		text, err := url.PathUnescape(h.V)
		if err != nil {
			return uri, nil, errReferTo
		}
		r, err := parseReplaces(text)
		if err != nil || replaced != nil {
			return uri, nil, errReferTo
		}
		replaced = &r.id
	}
	uri.Headers = nil
	uri.UriParams.Remove("method")
	return uri, replaced, nil
}
