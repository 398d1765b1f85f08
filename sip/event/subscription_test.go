package event

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

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
