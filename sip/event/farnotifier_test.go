package event

import (
	"fmt"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// notifier is the peer as notifier of one dialog.
type notifier struct {
	*peer
	sub *gosip.Request // the newest SUBSCRIBE
	tag string         // its own
	seq int
}

// accept takes the next SUBSCRIBE and answers it with 200.
func (p *peer) accept(tag string, lines ...string) *notifier {
	p.t.Helper()
	n := &notifier{peer: p, sub: p.request("SUBSCRIBE"), tag: tag}
	n.grant(lines...)
	return n
}

// grant answers the newest SUBSCRIBE with 200.
func (n *notifier) grant(lines ...string) {
	n.t.Helper()
	if len(lines) == 0 {
		lines = []string{"Expires: 600"}
	}
	res := gosip.NewResponseFromRequest(n.sub, 200, "OK", nil)
	res.To().Params.Remove("tag")
	res.To().Params.Add("tag", n.tag)
	res.RemoveHeader("Content-Length")
	n.send(strings.ReplaceAll(strings.TrimRight(res.String(), "\r\n"), "\r\n", "\n") +
		"\nContact: <sip:701@PEER:5060>\n" + strings.Join(lines, "\n"))
}

// refreshed takes the next SUBSCRIBE, in the dialog, and answers it.
func (n *notifier) refreshed(lines ...string) {
	n.t.Helper()
	before := n.sub
	n.sub = n.request("SUBSCRIBE")
	tag, _ := n.sub.To().Params.Get("tag")
	expect(n.t, "To tag", tag, n.tag)
	expect(n.t, "CSeq", n.sub.CSeq().SeqNo, before.CSeq().SeqNo+1)
	expect(n.t, "Call-ID", n.sub.CallID().Value(), before.CallID().Value())
	n.grant(lines...)
}

// say sends a NOTIFY without waiting for the answer.
func (n *notifier) say(state, body string, lines ...string) {
	n.t.Helper()
	n.seq++
	tag, _ := n.sub.From().Params.Get("tag")
	contact := n.sub.Contact().Address
	if body != "" {
		lines = append(lines, "Content-Type: Application/Dialog-Info+xml")
	}
	if state != "" {
		lines = append(lines, "Subscription-State: "+state)
	}
	n.send(fmt.Sprintf(`
NOTIFY %s SIP/2.0
Via: SIP/2.0/UDP PEER:5060;branch=z9hG4bK-%s-%d
Max-Forwards: 70
From: <sip:701@PEER>;tag=%s
To: <sip:dock@10.0.0.1>;tag=%s
Call-ID: %s
CSeq: %d NOTIFY
Event: %s
Contact: <sip:701@PEER:5060>
%s

%s`, contact.String(), n.tag, n.seq, n.tag, tag, n.sub.CallID().Value(), n.seq, header(n.sub, "Event"), strings.Join(lines, "\n"), body))
}

// tell sends a NOTIFY, which has to be taken.
func (n *notifier) tell(state, body string, lines ...string) {
	n.t.Helper()
	n.say(state, body, lines...)
	n.response(200)
}

// record collects updates.
type record struct {
	mu   sync.Mutex // guards list
	list []Update
}

func (r *record) add(u Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, u)
}

// flush waits until all is quiet and returns what has come since the last time, in
// words.
func (r *record) flush() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var words []string
	for _, u := range r.list {
		words = append(words, strings.TrimSuffix(fmt.Sprintf("%v %s%s", u.State, u.Body, u.Reason), " "))
	}
	r.list = nil
	return strings.Join(words, ", ")
}

func what() Subscribe {
	return Subscribe{
		Target: gosip.Uri{Scheme: "sip", User: "701", Host: peerAddr, Port: 5060},
		Event:  "dialog", Accept: []string{"application/dialog-info+xml"}, Expires: 10 * time.Minute,
		From: gosip.Uri{Scheme: "sip", User: "dock", Host: agentAddr},
	}
}

// watching starts a subscription and brings it to active.
func (w *world) watching() (*Subscription, *record, *notifier) {
	w.t.Helper()
	var r record
	s := w.agent.Subscribe(what(), r.add)
	n := w.peer.accept("n1")
	n.tell("active;expires=600", "one")
	expect(w.t, "updates", r.flush(), "active one")
	return s, &r, n
}
