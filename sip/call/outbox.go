package call

import (
	"bytes"
	"errors"
	"slices"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// The endpoint sends each request from a goroutine of its own, datagrams get lost, and networks
// reorder: a request that follows another too closely can arrive first.
const (
	// patience is how long a request waits for the answer to the one before it: longer than it takes to
	// send that one three times, shorter than a far end may think about a REFER.
	patience = 2 * time.Second
	// byePatience is the same for BYE, which people wait for.
	byePatience = 100 * time.Millisecond
)

// outgoing is a request inside the dialog that waits for its turn.
type outgoing struct {
	method gosip.RequestMethod
	dress  func(*gosip.Request)
	done   func(code int, res *gosip.Response)
}

// ask sends a request other than INVITE inside the dialog, when that before it is answered or patience
// ends, so that numbers arrive in order (RFC 3261 §12.2.2: 500 if not). done is called once: with the
// final response, or with code 408 or 503 and no response when none came or it could not be sent
// (§8.1.3.1).
func (c *Call) ask(method gosip.RequestMethod, dress func(*gosip.Request), done func(code int, res *gosip.Response)) {
	c.busy++
	c.outbox = append(c.outbox, outgoing{method, dress, done})
	c.flush()
}

// flush sends what may be sent now. Before the ACK nothing is: the far end may not have seen our 200 yet,
// and would not know the dialog.
func (c *Call) flush() {
	if c.state == phaseAnswering {
		return
	}
	for len(c.outbox) > 0 {
		at, wait := 0, c.hold(patience)
		if wait > 0 {
			bye := slices.IndexFunc(c.outbox, func(o outgoing) bool { return o.method == gosip.BYE })
			if bye >= 0 {
				at, wait = bye, c.hold(byePatience)
			}
		}
		if wait > 0 {
			c.flushIn(wait)
			return
		}
		o := c.outbox[at]
		c.outbox = slices.Delete(c.outbox, at, at+1)
		c.dispatch(o)
	}
	c.next()
}

// hold is how long the next request has to wait, which has as much patience.
func (c *Call) hold(patience time.Duration) time.Duration {
	if c.underWay == 0 {
		return 0
	}
	return max(0, patience-time.Since(c.sentAt))
}

func (c *Call) flushIn(d time.Duration) {
	c.hurry.stop()
	c.hurry = c.after(d, c.flush)
}

func (c *Call) dispatch(o outgoing) {
	req, err := c.d.request(o.method)
	if err != nil {
		c.log.Warn("request", "err", err)
		c.busy--
		o.done(500, nil)
		return
	}
	if o.dress != nil {
		o.dress(req)
	}
	c.underWay++
	c.sentAt = time.Now()
	c.transact(req, func(code int, res *gosip.Response) {
		c.underWay--
		c.busy--
		o.done(code, res)
		c.flush()
	})
}

// dropOutbox forgets what makes no sense any more when the call ends: all but reports and the BYE.
func (c *Call) dropOutbox() {
	c.outbox = slices.DeleteFunc(c.outbox, func(o outgoing) bool {
		if o.method == gosip.NOTIFY || o.method == gosip.BYE {
			return false
		}
		c.busy--
		return true
	})
}

// sendBYE ends the dialog. What the far end answers changes nothing.
func (c *Call) sendBYE(headers ...gosip.Header) {
	c.ask(gosip.BYE, func(req *gosip.Request) {
		for _, h := range headers {
			req.AppendHeader(h)
		}
	}, func(int, *gosip.Response) {})
}

// releaseFork ends a dialog that another answer to the same INVITE has made. RFC 3261 §13.2.2.4.
func (c *Call) releaseFork(d Dialog) {
	req, err := d.request(gosip.BYE)
	if err != nil {
		c.log.Warn("bye to fork", "err", err)
		return
	}
	c.transact(req, func(int, *gosip.Response) {})
}

// sendOptions says how a request of this dialog travels.
func (c *Call) sendOptions(req *gosip.Request) sip.Send {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := sip.Send{Auth: c.auth, Local: c.d.LocalAddr, Transport: c.d.Transport}
	// RFC 4568 §8.1: keys need a signalling that nobody else can read, whatever a Contact says of its transport.
	if bytes.Contains(req.Body(), []byte("a=crypto:")) {
		s.Transport = "tls"
	}
	return s
}

// transact sends a request at once and calls done as ask does.
func (c *Call) transact(req *gosip.Request, done func(code int, res *gosip.Response)) {
	var final *gosip.Response
	c.pump(c.ua.ep.Request(req, c.sendOptions(req)), func(res *gosip.Response) {
		c.noteCSeq(res)
		if !res.IsProvisional() && final == nil {
			final = res
			done(res.StatusCode, res)
		}
	}, func(err error) {
		if final == nil {
			done(failure(err), nil)
		}
	})
}

// pump brings the responses of a client transaction to the call's goroutine.
func (c *Call) pump(tx *sip.ClientTx, response func(*gosip.Response), end func(error)) {
	c.busy++
	answered := 0 // owned by the call's goroutine
	c.ua.start(func() {
		for {
			select {
			case res, ok := <-tx.Responses():
				if !ok {
					c.must(func() {
						c.busy--
						c.answered -= answered
						end(tx.Err())
					})
					return
				}
				c.must(func() {
					if !res.IsProvisional() && answered == 0 {
						answered = 1
						c.answered++
					}
					response(res)
				})
			case <-c.ua.stop:
				return
			}
		}
	})
}

// failure gives the code that stands for a transaction without a final response.
func failure(err error) int {
	if err == nil || errors.Is(err, sip.ErrTimeout) {
		return 408
	}
	return 503
}

// noteCSeq keeps up with the endpoint, which counts on when it answers a challenge.
func (c *Call) noteCSeq(res *gosip.Response) { c.d.LocalCSeq = max(c.d.LocalCSeq, cseq(res)) }
