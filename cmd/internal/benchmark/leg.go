package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// leg is one call of ours.
type leg struct {
	line
	audio   netip.AddrPort       // where we want to hear
	answers chan answer          // capacity 16, more are dropped: the newest of a flood says nothing new
	onMedia func(netip.AddrPort) // called by the reader as soon as the call is answered; may be nil

	// set by invite
	sent  stamp // the INVITE was handed to the kernel
	final stamp // its final answer came
	code  int

	over   chan stamp // BYE came; capacity 1
	overAt stamp      // the same; set by ended

	mu     sync.Mutex
	seq    int            // of our last request; guarded by mu
	branch string         // of the INVITE; guarded by mu
	target string         // its Contact; guarded by mu
	toTag  string         // guarded by mu
	ack    []byte         // of the 2xx, to be repeated; guarded by mu
	heard  map[string]int // highest CSeq taken of a method; guarded by mu
	told   string         // what the newest NOTIFY said of a REFER of ours; guarded by mu
}

// callOptions say how a call is made.
type callOptions struct {
	me         string
	callee     string
	referredBy string // URI; "" for a plain call
	audio      netip.AddrPort
	onMedia    func(netip.AddrPort)
}

// invite calls somebody at an appliance and returns after the final answer, which may be a refusal.
func (u *ua) invite(ctx context.Context, to netip.AddrPort, o callOptions) (*leg, error) {
	l := u.newLeg(to, o)
	return l, l.dial(ctx, o.referredBy)
}

func (u *ua) newLeg(to netip.AddrPort, o callOptions) *leg {
	l := &leg{line: u.line(to, o.me, o.callee), audio: o.audio, onMedia: o.onMedia, answers: make(chan answer, 16),
		over: make(chan stamp, 1), heard: map[string]int{}}
	u.add(l.callID, l)
	return l
}

func (l *leg) dial(ctx context.Context, referredBy string) error {
	headers := "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REFER\r\nSupported: replaces\r\n"
	if referredBy != "" {
		headers += "Referred-By: <" + referredBy + ">\r\n"
	}
	l.mu.Lock()
	l.seq, l.branch, l.target = 1, "z9hG4bK"+unique(), l.remote
	text := l.request("INVITE", l.target, "", l.branch, 1, headers, offer(l.audio))
	l.mu.Unlock()
	a, sent, err := l.ua.transact(ctx, l.to, text, true, l.answers)
	l.sent = sent
	if err != nil {
		l.ua.remove(l.callID)
		return fmt.Errorf("INVITE %s: %w", l.remote, err)
	}
	l.final, l.code = a.at, a.code
	if a.code >= 300 {
		l.ua.remove(l.callID)
	}
	return nil
}

// take implements dialog.
func (l *leg) take(m message, from netip.AddrPort, at stamp) {
	if m.code == 0 {
		l.takeRequest(m, from, at)
		return
	}
	l.mu.Lock()
	var connected netip.AddrPort
	if string(m.method) == "INVITE" && m.code >= 200 {
		connected = l.confirm(m)
	}
	l.mu.Unlock()
	if connected.IsValid() && l.onMedia != nil {
		l.onMedia(connected)
	}
	select {
	case l.answers <- answer{m.clone(), at}:
	default:
	}
}

// confirm sends the ACK of a final answer, again for each repetition, and returns the far end's media of the first 2xx.
// It is called with mu held.
func (l *leg) confirm(m message) (connected netip.AddrPort) {
	if m.code >= 300 {
		// RFC 3261 §17.1.1.3: the ACK of a refusal has the INVITE's branch.
		l.ua.sock.send(l.to, l.request("ACK", l.remote, m.tag("To"), l.branch, m.seq, "", nil))
		return netip.AddrPort{}
	}
	if l.ack == nil {
		l.toTag = m.tag("To")
		if uri := m.uri("Contact"); uri != "" {
			l.target = uri
		}
		l.ack = l.request("ACK", l.target, l.toTag, "", m.seq, "", nil)
		connected = m.media()
	}
	l.ua.sock.send(l.to, l.ack)
	return connected
}

// takeRequest answers what an appliance asks of a phone, and notes what is measured.
func (l *leg) takeRequest(m message, from netip.AddrPort, at stamp) {
	method := string(m.method)
	l.mu.Lock()
	again := m.seq <= l.heard[method]
	if !again {
		l.heard[method] = m.seq
		if method == "NOTIFY" {
			l.told = strings.TrimSpace(string(m.body))
		}
	}
	l.mu.Unlock()
	var sdp []byte
	switch method {
	case "ACK":
		return
	case "INVITE", "UPDATE":
		if len(m.body) > 0 || method == "INVITE" {
			sdp = offer(l.audio)
		}
	case "BYE":
		if !again {
			l.over <- at
		}
	}
	l.ua.sock.send(from, m.reply(200, "OK", l.tag, l.ua.contact(l.user), sdp))
}

// ask sends a request inside the dialog.
func (l *leg) ask(ctx context.Context, method, headers string) (answer, stamp, error) {
	for len(l.answers) > 0 { // a 2xx that was repeated
		<-l.answers
	}
	l.mu.Lock()
	l.seq++
	seq := l.seq
	text := l.request(method, l.target, l.toTag, "", seq, headers, nil)
	l.mu.Unlock()
	a, sent, err := l.ua.transact(ctx, l.to, text, false, l.answers)
	if err != nil {
		return a, sent, fmt.Errorf("%s %s: %w", method, l.remote, err)
	}
	return a, sent, nil
}

// refer asks the appliance to transfer the far end of this call, and returns when it asked and when it got a 2xx.
func (l *leg) refer(ctx context.Context, target string) (sent, accepted stamp, err error) {
	a, sent, err := l.ask(ctx, "REFER", "Refer-To: <"+target+">\r\nReferred-By: <"+l.ua.contact(l.user)+">\r\n")
	if err != nil {
		return 0, 0, err
	}
	if a.code >= 300 {
		return 0, 0, fmt.Errorf("REFER to %s: answered %d", target, a.code)
	}
	return sent, a.at, nil
}

// outcome is what was told of a REFER, for an error.
func (l *leg) outcome() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

// bye hangs up and forgets the call.
func (l *leg) bye(ctx context.Context) error {
	_, _, err := l.ask(ctx, "BYE", "")
	l.ua.remove(l.callID)
	return err
}

// errNotOver says that the far end should have hung up.
var errNotOver = errors.New("the call was not hung up")

// ended waits until the appliance has hung up, and forgets the call.
func (l *leg) ended(ctx context.Context) error {
	defer l.drop()
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	select {
	case l.overAt = <-l.over:
		return nil
	case <-limit.C:
		return fmt.Errorf("%s: %w", l.remote, errNotOver)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drop forgets the call without a word.
func (l *leg) drop() { l.ua.remove(l.callID) }

// accepted turns another answer than 200 into an error.
func (l *leg) accepted() error {
	if l.code != 200 {
		return fmt.Errorf("INVITE %s: answered %d, not 200", l.remote, l.code)
	}
	return nil
}
