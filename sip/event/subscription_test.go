package event

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
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

func TestSubscription(t *testing.T) {
	inWorld(t, func(w *world) {
		s, r, n := w.watching()
		expect(t, "Request-URI", n.sub.Recipient.String(), "sip:701@10.0.0.2:5060")
		expect(t, "To", n.sub.To().Value(), "<sip:701@10.0.0.2>")
		expect(t, "Event", header(n.sub, "Event"), "dialog")
		expect(t, "Expires", header(n.sub, "Expires"), "600")
		expect(t, "Accept", header(n.sub, "Accept"), "application/dialog-info+xml")
		expect(t, "Contact", header(n.sub, "Contact"), "<sip:dock@10.0.0.1:5060>")
		n.tell("active", "two")
		n.tell("pending;expires=600", "")
		n.tell("Active;expires=600", "three")
		expect(t, "updates", r.flush(), "active two, pending, active three")

		began := time.Now()
		n.refreshed()
		n.tell("active", "four")
		expect(t, "time of the refresh", time.Since(began), 540*time.Second)
		expect(t, "updates", r.flush(), "active four")
		expect(t, "subscriptions", w.agent.Stats().Subscriptions, 1)

		s.Stop()
		n.refreshed("Expires: 0")
		expect(t, "Expires", header(n.sub, "Expires"), "0")
		n.tell("terminated;reason=timeout", "five")
		expect(t, "updates", r.flush(), "")
		n.say("active", "six")
		n.response(481)
		n.silent(time.Hour)
		expect(t, "subscriptions", w.agent.Stats().Subscriptions, 0)
	})
}

// The NOTIFY overtakes the 200, which then is lost and comes again.
func TestNotifyBeforeAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		var r record
		w.agent.Subscribe(what(), r.add)
		n := &notifier{peer: w.peer, sub: w.peer.request("SUBSCRIBE"), tag: "n1"}
		n.tell("active;expires=600", "early", "Record-Route: <sip:10.0.0.2;lr;x=1>, <sip:10.0.0.2;lr;x=2>")
		expect(t, "updates", r.flush(), "active early")
		time.Sleep(3 * time.Second)
		n.grant("Expires: 100")
		began := time.Now()
		n.refreshed()
		// By the answer, which is newer than the NOTIFY.
		expect(t, "time of the refresh", time.Since(began), 90*time.Second)
		var routes []string
		for _, h := range n.sub.GetHeaders("Route") {
			routes = append(routes, h.Value())
		}
		expect(t, "Route", strings.Join(routes, " "), "<sip:10.0.0.2;lr;x=1> <sip:10.0.0.2;lr;x=2>")
	})
}

// The notifier ends what it never granted; the late 200 belongs to nothing.
func TestEndBeforeAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		var r record
		w.agent.Subscribe(what(), r.add)
		n := &notifier{peer: w.peer, sub: w.peer.request("SUBSCRIBE"), tag: "n1"}
		n.tell("terminated;reason=noresource", "")
		n.grant()
		expect(t, "updates", r.flush(), "terminated noresource")
		n.silent(time.Hour)
	})
}

func TestNotifyOutOfOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		_, r, n := w.watching()
		n.seq = 9
		n.tell("active", "ten")
		n.seq = 5
		n.say("active", "six")
		n.response(500)
		n.seq = 9
		n.say("active", "ten again") // a retransmission: answered by the transaction
		n.silent(time.Second)
		n.seq = 10
		n.tell("active", "eleven")
		expect(t, "updates", r.flush(), "active ten, active eleven")
	})
}

func TestSubscriptionGrantedByTooManyRoutes(t *testing.T) {
	inWorld(t, func(w *world) {
		var r record
		w.agent.Subscribe(what(), r.add)
		w.peer.accept("n1", "Expires: 600", strings.TrimSpace(strings.Repeat("Record-Route: <sip:p;lr>\n", 17)))
		expect(t, "updates", r.flush(), "lost "+sip.ErrRoutes.Error()+": 17, at most 16 allowed")
		w.peer.accept("n2").tell("active;expires=600", "again")
		expect(t, "updates", r.flush(), "active again")
	})
}

func TestNotifyRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		code   int
		change func(n *notifier)
		state  string
		lines  []string
	}{
		{"other Call-ID", 481, func(n *notifier) { id := gosip.CallIDHeader("x"); n.sub.ReplaceHeader(&id) }, "active", nil},
		{"other tag of ours", 481, func(n *notifier) { n.sub.From().Params.Add("tag", "x") }, "active", nil},
		{"a fork", 481, func(n *notifier) { n.tag = "fork" }, "active", nil},
		{"other event", 481, func(n *notifier) { n.sub.ReplaceHeader(gosip.NewHeader("Event", "dialog;id=3")) }, "active", nil},
		{"garbled event", 489, func(n *notifier) { n.sub.ReplaceHeader(gosip.NewHeader("Event", "@")) }, "active", nil},
		{"no state", 400, func(*notifier) {}, "", nil},
		{"garbled state", 400, func(*notifier) {}, "active;expires=x", nil},
		{"too many routes", 400, func(*notifier) {}, "active", []string{strings.TrimSpace(strings.Repeat("Record-Route: <sip:p;lr>\n", 17))}},
		{"other document", 415, func(*notifier) {}, "active", []string{"Content-Type: text/plain"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				_, r, n := w.watching()
				tc.change(n)
				n.say(tc.state, "bad", tc.lines...)
				n.response(tc.code)
				expect(t, "updates", r.flush(), "")
			})
		})
	}
}

// Every reason of RFC 6665 §4.1.3: what the owner hears, and when we come back.
func TestSubscriptionStateReasons(t *testing.T) {
	const never = -1
	for _, tc := range []struct {
		state       string
		update      string
		least, most time.Duration
	}{
		{"terminated;reason=deactivated", "lost deactivated", 0, 0},
		{"terminated;reason=timeout", "lost timeout", 0, 0},
		{"terminated;reason=Probation;retry-after=10", "lost probation", 10 * time.Second, 10 * time.Second},
		{"terminated;reason=probation", "lost probation", 300 * time.Millisecond, 700 * time.Millisecond},
		{"terminated;reason=giveup;retry-after=20", "lost giveup", 20 * time.Second, 20 * time.Second},
		{"terminated;reason=giveup", "lost giveup", 300 * time.Millisecond, 700 * time.Millisecond},
		{"terminated;reason=\"blue-moon\"", "lost blue-moon", 300 * time.Millisecond, 700 * time.Millisecond},
		{"terminated;retry-after=5", "lost", 5 * time.Second, 5 * time.Second},
		{"terminated", "lost", 300 * time.Millisecond, 700 * time.Millisecond},
		{"terminated;reason=rejected;retry-after=5", "terminated rejected", never, never},
		{"terminated;reason=noresource", "terminated noresource", never, never},
		{"terminated;reason=invariant", "terminated invariant", never, never},
	} {
		t.Run(tc.state, func(t *testing.T) {
			inWorld(t, func(w *world) {
				_, r, n := w.watching()
				time.Sleep(time.Minute)
				began := time.Now()
				n.tell(tc.state, "")
				expect(t, "updates", r.flush(), tc.update)
				if tc.least == never {
					n.silent(24 * time.Hour)
					return
				}
				next := n.accept("n2")
				if d := time.Since(began); d < tc.least || d > tc.most {
					t.Errorf("came back after %v, want %v to %v", d, tc.least, tc.most)
				}
				if next.sub.CallID().Value() == n.sub.CallID().Value() || next.sub.To().Params.Has("tag") {
					t.Error("came back in the dialog that is gone")
				}
				next.tell("active", "again")
				expect(t, "updates", r.flush(), "active again")
			})
		})
	}
}

// A notifier that ends every dialog at once does not make us spin.
func TestNotifierThatAlwaysEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.agent.Subscribe(what(), nil)
		began := time.Now()
		for i := range 10 {
			w.peer.accept(fmt.Sprint("n", i)).tell("terminated;reason=deactivated", "")
		}
		if d := time.Since(began); d < 9*500*time.Millisecond {
			t.Errorf("ten dialogs in %v", d)
		}
	})
}

func TestSubscribeAnswers(t *testing.T) {
	for _, tc := range []struct {
		code   int
		update string
		again  bool
	}{
		{403, "terminated 403 Reason", false},
		{489, "terminated 489 Reason", false},
		{603, "terminated 603 Reason", false},
		{404, "lost 404 Reason", true},
		{481, "lost 481 Reason", true},
		{503, "lost 503 Reason", true},
		{423, "lost 423 Reason", true}, // without Min-Expires
	} {
		t.Run(fmt.Sprint(tc.code), func(t *testing.T) {
			inWorld(t, func(w *world) {
				var r record
				w.agent.Subscribe(what(), r.add)
				w.peer.answer(w.peer.request("SUBSCRIBE"), tc.code, "Retry-After: 9")
				expect(t, "updates", r.flush(), tc.update)
				if !tc.again {
					w.peer.silent(24 * time.Hour)
					return
				}
				w.peer.silent(8 * time.Second)
				w.peer.accept("n1").tell("active", "one")
				expect(t, "updates", r.flush(), "active one")
			})
		})
	}
}

func TestIntervalTooBrief(t *testing.T) {
	inWorld(t, func(w *world) {
		var r record
		w.agent.Subscribe(what(), r.add)
		first := w.peer.request("SUBSCRIBE")
		w.peer.answer(first, 423, "Min-Expires: 1800")
		second := w.peer.request("SUBSCRIBE")
		expect(t, "Expires", header(second, "Expires"), "1800")
		expect(t, "CSeq", second.CSeq().SeqNo, first.CSeq().SeqNo+1)
		w.peer.answer(second, 423, "Min-Expires: 1800") // it does not mean it
		expect(t, "updates", r.flush(), "lost 423 Reason")
	})
}

func TestBackoffGrowsAndEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.agent.Subscribe(what(), nil)
		w.peer.answer(w.peer.request("SUBSCRIBE"), 500)
		for i := range 10 {
			began := time.Now()
			req := w.peer.request("SUBSCRIBE")
			d, want := time.Since(began), min(500*time.Millisecond<<i, 30*time.Second)
			if d < want*3/4 || d > want*5/4 {
				t.Errorf("try %d after %v, want about %v", i+2, d, want)
			}
			w.peer.answer(req, 500)
		}
	})
}

// RFC 6665 §4.1.2.2: a refresh that fails leaves the subscription until it expires.
func TestRefreshFails(t *testing.T) {
	inWorld(t, func(w *world) {
		_, r, n := w.watching()
		n.peer.answer(n.request("SUBSCRIBE"), 500)
		n.sub = n.request("SUBSCRIBE")
		expect(t, "updates", r.flush(), "")
		n.grant("Expires: 100")
		n.tell("active", "two")
		for {
			req := n.request("SUBSCRIBE")
			if !req.To().Params.Has("tag") {
				break
			}
			n.peer.answer(req, 500)
		}
		expect(t, "updates", r.flush(), "active two, lost subscription expired")
	})
}

func TestRefreshUnanswered(t *testing.T) {
	inWorld(t, func(w *world) {
		_, r, n := w.watching()
		n.request("SUBSCRIBE")
		time.Sleep(33 * time.Second)
		if got := r.flush(); !strings.HasPrefix(got, "lost sip: no answer") {
			t.Errorf("updates = %s", got)
		}
		next := n.accept("n2")
		next.tell("active", "back")
		expect(t, "updates", r.flush(), "active back")
	})
}

// Timer N: a 200 without a NOTIFY is nothing.
func TestNoStateComes(t *testing.T) {
	inWorld(t, func(w *world) {
		var r record
		w.agent.Subscribe(what(), r.add)
		w.peer.accept("n1")
		time.Sleep(33 * time.Second)
		expect(t, "updates", r.flush(), "lost no state came")
		w.peer.accept("n2").tell("active", "one")
		expect(t, "updates", r.flush(), "active one")
	})
}

func TestRefreshNow(t *testing.T) {
	inWorld(t, func(w *world) {
		s, r, n := w.watching()
		s.Refresh()
		n.refreshed()
		n.tell("active", "two")
		s.Refresh()
		n.sub = n.request("SUBSCRIBE")
		n.answer(n.sub, 481) // the notifier has restarted
		next := n.accept("n2")
		next.tell("active", "three")
		expect(t, "updates", r.flush(), "active two, lost subscription does not exist at the notifier, active three")
		next.tell("terminated;reason=giveup;retry-after=3600", "")
		s.Refresh() // does not wait
		n.accept("n3").tell("active", "four")
		expect(t, "updates", r.flush(), "lost giveup, active four")
	})
}

func TestStopAtAnyTime(t *testing.T) {
	t.Run("before the answer", func(t *testing.T) {
		inWorld(t, func(w *world) {
			var r record
			s := w.agent.Subscribe(what(), r.add)
			n := &notifier{peer: w.peer, sub: w.peer.request("SUBSCRIBE"), tag: "n1"}
			s.Stop()
			n.grant()
			n.refreshed("Expires: 0")
			expect(t, "Expires", header(n.sub, "Expires"), "0")
			n.tell("terminated;reason=timeout", "x")
			expect(t, "updates", r.flush(), "")
		})
	})
	t.Run("while refused", func(t *testing.T) {
		inWorld(t, func(w *world) {
			s := w.agent.Subscribe(what(), nil)
			sub := w.peer.request("SUBSCRIBE")
			s.Stop()
			w.peer.answer(sub, 503)
			w.peer.silent(time.Hour)
		})
	})
	t.Run("while waiting", func(t *testing.T) {
		inWorld(t, func(w *world) {
			s := w.agent.Subscribe(what(), nil)
			w.peer.answer(w.peer.request("SUBSCRIBE"), 503)
			s.Stop()
			w.peer.silent(time.Hour)
		})
	})
	t.Run("notifier is gone", func(t *testing.T) {
		inWorld(t, func(w *world) {
			s, r, n := w.watching()
			s.Stop()
			n.request("SUBSCRIBE")
			n.silent(time.Hour)
			expect(t, "updates", r.flush(), "")
		})
	})
	t.Run("twice, and in the callback", func(t *testing.T) {
		inWorld(t, func(w *world) {
			var s *Subscription
			calls := 0
			s = w.agent.Subscribe(what(), func(Update) { calls++; s.Stop(); s.Stop() })
			n := w.peer.accept("n1")
			n.tell("active", "one")
			n.refreshed("Expires: 0")
			n.tell("active", "two") // crossed our leave
			n.tell("terminated", "")
			synctest.Wait()
			expect(t, "calls", calls, 1)
		})
	})
}

func TestShutdownUnsubscribes(t *testing.T) {
	inWorld(t, func(w *world) {
		_, r, n := w.watching()
		began := time.Now()
		go w.stop()
		n.refreshed("Expires: 0")
		expect(t, "Expires", header(n.sub, "Expires"), "0")
		w.stop()
		expect(t, "time", time.Since(began), time.Duration(0))
		expect(t, "updates", r.flush(), "")
	})
}

// Two agents over a network that loses, repeats and overtakes: the watcher's state
// never goes back and ends at the truth, over UDP and over TCP.
func TestBadNetwork(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			inWorld(t, func(w *world) {
				far, _ := newAgent(w.t, w.net, "10.0.0.9", Default())
				near, bad := netip.MustParseAddr(agentAddr), siptest.Link{
					Loss: 0.3, Duplicate: 0.2, Reorder: 0.3, Delay: 5 * time.Millisecond, Jitter: 10 * time.Millisecond,
				}
				w.net.SetLink(near, netip.MustParseAddr("10.0.0.9"), bad)
				w.net.SetLink(netip.MustParseAddr("10.0.0.9"), near, bad)
				s := what()
				s.Target.Host, s.Transport = agentAddr, transport
				last, lastVersion := -1, -1
				far.Subscribe(s, func(u Update) {
					if u.State != Active {
						return
					}
					var orbit string
					var version, state int
					if _, err := fmt.Sscanf(string(u.Body), "%s version=%d state=%d", &orbit, &version, &state); err != nil {
						t.Error(err)
					}
					if state < last || version <= lastVersion {
						t.Errorf("state %d version %d after state %d version %d", state, version, last, lastVersion)
					}
					last, lastVersion = state, version
				})
				for range 300 {
					w.change()
					time.Sleep(30 * time.Millisecond)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				expect(t, "last state", last, 300)
				expect(t, "watchers", w.agent.Stats().Watchers, 1)
			})
		})
	}
}

// A document too large for UDP goes by TCP, as the endpoint decides; a lamp that
// speaks UDP only still gets it.
func TestLargeDocument(t *testing.T) {
	inWorld(t, func(w *world) {
		far, _ := newAgent(w.t, w.net, "10.0.0.9", Default())
		s := what()
		s.Target.Host = agentAddr
		var r record
		far.Subscribe(s, r.add)
		synctest.Wait()
		expect(t, "length", len(r.flush()), 20000+len("active "))
	}, func(_ *Config, p *Package) {
		p.Document = func(Request) ([]byte, bool) { return []byte(strings.Repeat("x", 20000)), true }
	})
}
