package call

import (
	"fmt"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// Transfer is a REFER of the far end that waits for its owner's word: Accept or Reject, and after Accept
// reports by Progress until Done. Without an answer it is refused after 20 s; without Done it ends with
// 408 after Config.TransferTimeout. It outlives the call that it came in.
type Transfer struct {
	// immutable
	c          *Call
	Target     gosip.Uri // whom to call
	Replaces   *DialogID // what to take the place of there, as the target sees it; nil for a blind transfer
	ReferredBy Party     // who asks; no URI if it does not say

	// owned by the call's goroutine
	seq        uint32 // CSeq of the REFER, the id of the subscription
	req        *gosip.Request
	tx         *sip.ServerTx // nil once answered
	active     bool          // NOTIFYs are expected
	unanswered int           // NOTIFYs sent or waiting
	over       bool          // the last has been answered
	timer      *timer
}

// onREFER takes a request to transfer. RFC 3515 §2.4.2.
func (c *Call) onREFER(req *gosip.Request, tx *sip.ServerTx) {
	if c.state == phaseEnded {
		respond(req, tx, 481, statusText(481))
		return
	}
	if !c.inOrder(req, tx) {
		return
	}
	to := append(req.GetHeaders("refer-to"), req.GetHeaders("r")...)
	if len(to) != 1 {
		// RFC 3515 §2.4.2: exactly one Refer-To.
		respond(req, tx, 400, "Exactly One Refer-To Wanted")
		return
	}
	target, replaced, err := parseReferTo(to[0].Value())
	if err != nil {
		respond(req, tx, 400, "Bad Refer-To")
		return
	}
	c.sweepTransfers()
	if len(c.transfers) >= c.ua.cfg.MaxTransfers {
		respond(req, tx, 486, "Too Many Transfers")
		return
	}
	if c.state != phaseActive && c.state != phaseAnswering {
		// RFC 3515 leaves it open; there is nobody to transfer before the answer.
		respond(req, tx, 403, statusText(403))
		return
	}
	t := &Transfer{
		c: c, Target: target, Replaces: replaced, ReferredBy: firstParty(req, "referred-by", "b"),
		seq: cseq(req), req: req, tx: tx,
	}
	c.transfers = append(c.transfers, t)
	c.busy++ // until it is refused or its last report is answered
	t.timer = c.after(referAnswer, func() { t.reject(480) })
	c.emit(Referred{Transfer: t})
}

// sweepTransfers forgets those that are through.
func (c *Call) sweepTransfers() {
	keep := c.transfers[:0]
	for _, t := range c.transfers {
		if t.tx != nil || t.active || t.unanswered > 0 {
			keep = append(keep, t)
		}
	}
	clear(c.transfers[len(keep):])
	c.transfers = keep
}

// Accept answers 202 and reports 100 Trying.
func (t *Transfer) Accept() { t.c.must(t.accept) }

func (t *Transfer) accept() {
	if t.tx == nil {
		return
	}
	respond(t.req, t.tx, 202, statusText(202))
	t.tx, t.req = nil, nil
	t.active = true
	t.timer.stop()
	t.timer = t.c.after(t.c.ua.cfg.TransferTimeout, func() { t.report(408, "", true) })
	// RFC 3515 §2.4.4: a NOTIFY follows at once.
	t.report(100, "", false)
}

// Reject refuses the transfer. It does nothing after Accept.
func (t *Transfer) Reject(code int) { t.c.must(func() { t.reject(code) }) }

func (t *Transfer) reject(code int) {
	if t.tx == nil {
		return
	}
	if code < 300 || code > 699 {
		code = 603
	}
	respond(t.req, t.tx, code, statusText(code))
	t.tx, t.req = nil, nil
	t.timer.stop()
	t.c.busy--
}

// Progress reports a provisional response of the call that the transfer has led to. Reason "" means the
// phrase of the code.
func (t *Transfer) Progress(code int, reason string) {
	t.c.must(func() { t.report(code, reason, false) })
}

// Done reports the final response and ends the subscription.
func (t *Transfer) Done(code int, reason string) {
	t.c.must(func() { t.report(code, reason, true) })
}

// report sends a NOTIFY. The outbox keeps them in order, and before a BYE that follows.
func (t *Transfer) report(code int, reason string, final bool) {
	if !t.active || !final && t.unanswered >= maxNotices {
		return
	}
	if reason == "" {
		reason = statusText(code)
	}
	t.unanswered++
	// RFC 3515 §2.4.7.
	state := "terminated;reason=noresource"
	if final {
		t.active = false
		t.timer.stop()
	} else {
		state = "active;expires=" + inSeconds(t.c.ua.cfg.TransferTimeout)
	}
	t.c.ask(gosip.NOTIFY, func(req *gosip.Request) {
		// RFC 3515 §2.4.6: the id tells several REFERs of one dialog apart.
		req.AppendHeader(header("Event", fmt.Sprintf("refer;id=%d", t.seq)))
		req.AppendHeader(header("Subscription-State", state))
		setBody(req, "message/sipfrag;version=2.0", []byte(fmt.Sprintf("SIP/2.0 %d %s\r\n", code, clean(reason))))
	}, func(code int, _ *gosip.Response) {
		t.unanswered--
		if code == 481 || code == 408 {
			// RFC 6665 §4.2.2: nobody listens any more.
			t.active = false
			t.timer.stop()
		}
		if !t.active && t.unanswered == 0 && !t.over {
			t.over = true
			t.c.busy--
		}
	})
}
