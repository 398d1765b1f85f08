package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	t1 = 500 * time.Millisecond // RFC 3261 §17.1.1.1
	t2 = 4 * time.Second        // RFC 3261 §17.1.2.2
	// answerLimit bounds one transaction. It says that something hangs, not how fast it should be.
	answerLimit = 15 * time.Second
)

// errNoAnswer says that a request was sent for answerLimit and nothing final came.
var errNoAnswer = errors.New("no final answer")

// resent counts requests that had to be sent again; each is a time that holds a timer and no work.
var resent atomic.Uint64

// dialog takes what comes with its Call-ID, in the goroutine that reads the socket: it must not block.
type dialog interface {
	take(m message, from netip.AddrPort, at stamp)
}

// ua is the SIP side of any number of phones: one UDP port. It shares no code with package sip, so that a fault there
// cannot hide in both ends. One goroutine reads the socket until close.
type ua struct {
	sock *socket
	done sync.WaitGroup

	mu      sync.Mutex
	dialogs map[string]dialog // by Call-ID; guarded by mu; as many as the benchmark opens
}

// serial makes Call-IDs, tags and branches that differ within a run of the benchmark.
var serial atomic.Uint64

func unique() string { return strconv.FormatUint(serial.Add(1), 36) }

// newUA opens port 5060 of an address.
func newUA(addr netip.Addr) (*ua, error) {
	sock, err := openSocket(netip.AddrPortFrom(addr, 5060))
	if err != nil {
		return nil, err
	}
	u := &ua{sock: sock, dialogs: map[string]dialog{}}
	u.done.Go(func() { sock.read(u.take) })
	return u, nil
}

func (u *ua) close() {
	u.sock.close()
	u.done.Wait()
}

func (u *ua) add(callID string, d dialog) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dialogs[callID] = d
}

func (u *ua) remove(callID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.dialogs, callID)
}

func (u *ua) take(data []byte, from netip.AddrPort, at stamp) {
	m, ok := parse(data)
	if !ok {
		return
	}
	u.mu.Lock()
	d := u.dialogs[string(m.callID)]
	u.mu.Unlock()
	switch {
	case d != nil:
		d.take(m, from, at)
	case m.code != 0 || string(m.method) == "ACK":
	case string(m.method) == "OPTIONS":
		u.sock.send(from, m.reply(200, "OK", "", "", nil))
	default:
		u.sock.send(from, m.reply(481, "Call/Transaction Does Not Exist", "", "", nil))
	}
}

// contact is the URI of a user at this port.
func (u *ua) contact(user string) string { return "sip:" + user + "@" + u.sock.addr.String() }

// answer is a response with its time.
type answer struct {
	message
	at stamp
}

// transact sends a request until its final answer comes, which the dialog puts into answers. It returns when the
// request was first handed to the kernel.
func (u *ua) transact(ctx context.Context, to netip.AddrPort, text []byte, invite bool, answers <-chan answer) (answer, stamp, error) {
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	wait := t1
	again := time.NewTimer(wait)
	defer again.Stop()
	sent := now()
	u.sock.send(to, text)
	for {
		select {
		case a := <-answers:
			if a.code >= 200 {
				return a, sent, nil
			}
			if invite { // RFC 3261 §17.1.1.2: not sent again after a provisional answer
				again.Stop()
			}
		case <-again.C:
			resent.Add(1)
			u.sock.send(to, text)
			if wait *= 2; !invite {
				wait = min(wait, t2)
			}
			again.Reset(wait)
		case <-limit.C:
			return answer{}, sent, errNoAnswer
		case <-ctx.Done():
			return answer{}, sent, ctx.Err()
		}
	}
}

// line is what the requests of one dialog have in common.
type line struct {
	ua     *ua
	to     netip.AddrPort // the appliance
	callID string
	user   string // who we are
	tag    string
	remote string // request URI and To: whom we called
}

func (u *ua) line(to netip.AddrPort, me, callee string) line {
	return line{ua: u, to: to, callID: "b" + unique() + "@" + u.sock.addr.Addr().String(), user: me, tag: unique(),
		remote: "sip:" + callee + "@" + to.String()}
}

// request writes a request of the dialog. branch "" makes a new one, as every transaction but an ACK needs.
func (l *line) request(method, target, toTag, branch string, seq int, headers string, sdp []byte) []byte {
	if branch == "" {
		branch = "z9hG4bK" + unique()
	}
	if toTag != "" {
		toTag = ";tag=" + toTag
	}
	here := l.ua.sock.addr.String()
	b := make([]byte, 0, 1024)
	b = fmt.Appendf(b, "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=%s;rport\r\nMax-Forwards: 70\r\n", method, target, here, branch)
	b = fmt.Appendf(b, "From: <%s>;tag=%s\r\nTo: <%s>%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n",
		l.ua.contact(l.user), l.tag, l.remote, toTag, l.callID, seq, method)
	b = fmt.Appendf(b, "Contact: <%s>\r\n%s", l.ua.contact(l.user), headers)
	return appendBody(b, sdp)
}
