package call

import (
	"errors"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// errReplaces says that a Replaces value could not be read.
var errReplaces = errors.New("call: unreadable Replaces")

// replaces is the value of a Replaces header as its receiver sees it. RFC 3891 §6.1.
type replaces struct {
	id        DialogID
	earlyOnly bool
}

// parseReplaces reads callid;to-tag=x;from-tag=y[;early-only].
func parseReplaces(v string) (replaces, error) {
	var r replaces
	if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return r, errReplaces
	}
	parts := split(v, ';')
	if len(parts) == 0 || parts[0] == "" || strings.ContainsAny(parts[0], " \t") {
		return r, errReplaces
	}
	r.id.CallID = parts[0]
	var to, from bool
	for _, p := range parts[1:] {
		k, val, _ := strings.Cut(p, "=")
		val = strings.TrimSpace(val)
		if strings.Contains(val, `"`) { // no token (RFC 3261 §25.1), and told on it would swallow what stands behind it
			return r, errReplaces
		}
		switch strings.ToLower(strings.TrimSpace(k)) {
		case "to-tag":
			// RFC 3891 §6.1: exactly one of each.
			if to || val == "" {
				return r, errReplaces
			}
			r.id.LocalTag, to = val, true
		case "from-tag":
			if from || val == "" {
				return r, errReplaces
			}
			r.id.RemoteTag, from = val, true
		case "early-only":
			r.earlyOnly = true
		}
	}
	if !to || !from {
		return r, errReplaces
	}
	return r, nil
}

func (r replaces) String() string {
	s := r.id.CallID + ";to-tag=" + r.id.LocalTag + ";from-tag=" + r.id.RemoteTag
	if r.earlyOnly {
		s += ";early-only"
	}
	return s
}

// matchReplaces applies RFC 3891 §3 to a new INVITE: the call that it wants to take the place of, nil if
// it wants none, or the code to refuse it with. Whether the sender may do so is the owner's decision.
func (u *UA) matchReplaces(req *gosip.Request) (*Call, int) {
	headers := req.GetHeaders("replaces")
	if len(headers) == 0 {
		return nil, 0
	}
	// RFC 3891 §3: more than one Replaces, or another header with contradictory semantics, is a 400.
	if len(headers) > 1 || req.GetHeader("join") != nil {
		return nil, 400
	}
	r, err := parseReplaces(headers[0].Value())
	if err != nil {
		return nil, 400
	}

	u.mu.Lock()
	c := u.calls[leg{r.id.CallID, r.id.LocalTag}]
	old, ended := u.ended[leg{r.id.CallID, r.id.LocalTag}]
	u.mu.Unlock()
	if ended && (old.remoteTag == r.id.RemoteTag || c != nil && c.knowsTag(r.id.RemoteTag)) && time.Since(old.at) <= endedFor {
		// RFC 3891 §3: a dialog that has been terminated is declined with 603.
		return nil, 603
	}
	// RFC 3891 §3: no match is a 481. A from-tag of 0 matches a far end without a tag (RFC 2543).
	if c == nil || c.Ended() || !c.knowsTag(r.id.RemoteTag) && !(r.id.RemoteTag == "0" && c.knowsTag("")) {
		return nil, 481
	}
	switch c.phaseNow() {
	case phaseActive, phaseAnswering:
		if r.earlyOnly {
			// RFC 3891 §3: the dialog is confirmed and early-only was asked for: 486.
			return nil, 486
		}
	case phaseIncoming:
		// RFC 3891 §3: an early dialog that this UA did not initiate does not match.
		return nil, 481
	case phaseEnded:
		return nil, 603
	case phaseCalling:
		// An early dialog that we initiated may be replaced: the call is then cancelled (§4).
	}
	return c, 0
}
