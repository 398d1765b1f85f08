package event

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip/siptest"
)

func TestSubscribeGetsFullState(t *testing.T) {
	inWorld(t, func(w *world) {
		began := time.Now()
		sub := &watch{callID: "a"}
		w.peer.subscribe(sub, "Contact: <sip:lamp@10.0.0.2:5060;x=y?Subject=z>", "Event: dialog;sla;id=7", "Expires: 600")
		res := w.peer.response(200)
		tag, _ := res.To().Params.Get("tag")
		expect(t, "Expires", header(res, "Expires"), "600")
		expect(t, "Contact", header(res, "Contact"), "<sip:701@10.0.0.1:5060>")
		expect(t, "Allow-Events", header(res, "Allow-Events"), "dialog")
		n := w.peer.notify()
		fromTag, _ := n.From().Params.Get("tag")
		toTag, _ := n.To().Params.Get("tag")
		expect(t, "From tag", fromTag, tag)
		expect(t, "To tag", toTag, "lamp-1")
		expect(t, "Call-ID", n.CallID().Value(), "a")
		expect(t, "CSeq", n.CSeq().Value(), "1 NOTIFY")
		expect(t, "Request-URI", n.Recipient.String(), "sip:lamp@10.0.0.2:5060;x=y")
		expect(t, "Event", header(n, "Event"), "dialog;id=7")
		expect(t, "Subscription-State", header(n, "Subscription-State"), "active;expires=600")
		expect(t, "Content-Type", header(n, "Content-Type"), "application/dialog-info+xml")
		expect(t, "Contact", header(n, "Contact"), "<sip:701@10.0.0.1:5060>")
		expect(t, "body", string(n.Body()), "701 version=0 state=0")
		expect(t, "time", time.Since(began), time.Duration(0))
	})
}

func TestChangesGoOutAtOnceThenCoalesced(t *testing.T) {
	inWorld(t, func(w *world) {
		_, first := w.peer.subscribed("a")
		time.Sleep(time.Second)
		began := time.Now()
		w.change()
		n := w.peer.notify()
		expect(t, "time to the first NOTIFY", time.Since(began), time.Duration(0))
		expect(t, "body", string(n.Body()), "701 version=1 state=1")
		expect(t, "CSeq", n.CSeq().SeqNo, first.CSeq().SeqNo+1)

		time.Sleep(time.Second)
		for range 100 {
			w.change()
			time.Sleep(100 * time.Microsecond)
		}
		var bodies []string
		for m := w.peer.next(time.Second); m != nil; m = w.peer.next(time.Second) {
			w.peer.answer(m.(*gosip.Request), 200)
			bodies = append(bodies, string(m.Body()))
		}
		expect(t, "bodies", bodies, []string{"701 version=2 state=2", "701 version=3 state=101"})
		// Somebody else's orbit is nobody's business.
		w.agent.Changed("dialog", "702")
		w.agent.Changed("presence", "701")
		w.peer.silent(time.Second)
		w.agent.Changed("dialog", "")
		w.peer.notify()
	})
}

func TestOneNotifyInFlight(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribed("a")
		time.Sleep(time.Second)
		w.change()
		slow := w.peer.request("NOTIFY")
		for range 5 {
			w.change()
			w.peer.silent(time.Second)
		}
		began := time.Now()
		w.peer.answer(slow, 200)
		n := w.peer.notify()
		expect(t, "body", string(n.Body()), "701 version=2 state=6")
		expect(t, "time after the answer", time.Since(began), time.Duration(0))
		w.peer.silent(time.Minute)
	})
}

func TestRefreshUnsubscribe(t *testing.T) {
	inWorld(t, func(w *world) {
		sub, first := w.peer.subscribed("a")
		time.Sleep(10 * time.Second)
		w.peer.subscribe(sub, usual...)
		w.peer.response(200)
		n := w.peer.notify()
		expect(t, "CSeq", n.CSeq().SeqNo, first.CSeq().SeqNo+1)
		expect(t, "body", string(n.Body()), "701 version=1 state=0")

		sub.seq = 0 // an older number
		w.peer.subscribe(sub, append([]string{"X-Other: branch"}, usual...)...)
		w.peer.silent(time.Second) // a retransmission as far as the transaction layer can tell
		old := *sub
		old.seq = -1
		w.peer.subscribe(&old, usual...)
		w.peer.response(500)

		sub.seq = 7
		w.peer.subscribe(sub, "Contact: <sip:elsewhere@10.0.0.2:5060>", "Event: dialog", "Expires: 0")
		expect(t, "Expires", header(w.peer.response(200), "Expires"), "0")
		n = w.peer.notify()
		expect(t, "Request-URI", n.Recipient.String(), "sip:elsewhere@10.0.0.2:5060")
		expect(t, "Subscription-State", header(n, "Subscription-State"), "terminated;reason=timeout")
		expect(t, "body", string(n.Body()), "701 version=2 state=0")
		expect(t, "watchers", w.agent.Stats().Watchers, 0)
		w.peer.subscribe(sub, usual...)
		w.peer.response(481)
		w.change()
		w.peer.silent(time.Minute)
	})
}

func TestFetch(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribe(&watch{callID: "a"}, "Contact: <sip:lamp@10.0.0.2>", "Event: dialog", "Expires: 0")
		w.peer.response(200)
		n := w.peer.notify()
		expect(t, "Subscription-State", header(n, "Subscription-State"), "terminated;reason=timeout")
		expect(t, "body", string(n.Body()), "701 version=0 state=0")
		expect(t, "watchers", w.agent.Stats().Watchers, 0)
	})
}

func TestSubscribeRefused(t *testing.T) {
	contact := "Contact: <sip:lamp@10.0.0.2>"
	for _, tc := range []struct {
		name   string
		lines  []string
		code   int
		header string
		want   string
	}{
		{"unknown event", []string{contact, "Event: conference"}, 489, "Allow-Events", "dialog"},
		{"no event", []string{contact}, 489, "Allow-Events", "dialog"},
		{"garbled event", []string{contact, "Event: <dialog>"}, 489, "", ""},
		{"too brief", []string{contact, "Event: dialog", "Expires: 59"}, 423, "Min-Expires", "60"},
		{"garbled expires", []string{contact, "Event: dialog", "Expires: soon"}, 400, "", ""},
		{"negative expires", []string{contact, "Event: dialog", "Expires: -1"}, 400, "", ""},
		{"no contact", []string{"Event: dialog"}, 400, "", ""},
		{"star contact", []string{"Contact: *", "Event: dialog"}, 400, "", ""},
		{"too many routes", []string{contact, "Event: dialog", strings.TrimSpace(strings.Repeat("Record-Route: <sip:p;lr>\n", 17))}, 400, "", ""},
		{"other document", []string{contact, "Event: dialog", "Accept: application/pidf+xml, text/plain"}, 406, "", ""},
		{"not this document", []string{contact, "Event: dialog", "Accept: application/dialog-info+xml;q=0.0"}, 406, "", ""},
		{"forbidden", []string{contact, "Event: dialog", "X-Forbid: yes"}, 403, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.peer.subscribe(&watch{callID: "a"}, tc.lines...)
				res := w.peer.response(tc.code)
				if tc.header != "" {
					expect(t, tc.header, header(res, tc.header), tc.want)
				}
				w.peer.silent(time.Minute)
				expect(t, "watchers", w.agent.Stats().Watchers, 0)
			}, func(_ *Config, p *Package) {
				p.Authorize = func(req *gosip.Request, _ Request) bool { return req.GetHeader("X-Forbid") == nil }
			})
		})
	}
}

func TestUnknownResource(t *testing.T) {
	inWorld(t, func(w *world) {
		w.gone.Store(true)
		w.peer.subscribe(&watch{callID: "a"}, usual...)
		w.peer.response(404)
	})
}

func TestUnknownDialogAfterRestart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribe(&watch{callID: "a", toTag: "of-another-life", seq: 5}, usual...)
		w.peer.response(481)
		sub, _ := w.peer.subscribed("b")
		for _, line := range []string{"Event: dialog;id=1", "Event: dialog"} {
			other := *sub
			if line == "Event: dialog" {
				other.callID = "c"
			}
			w.peer.subscribe(&other, "Contact: <sip:lamp@10.0.0.2>", line)
			w.peer.response(481)
		}
	})
}

func TestAcceptedLists(t *testing.T) {
	inWorld(t, func(w *world) {
		for i, accept := range []string{"*/*", "text/plain, Application/*;q=0.5", "application/pidf+xml,application/dialog-info+xml;q=1"} {
			w.peer.subscribe(&watch{callID: fmt.Sprint(i)}, "Contact: <sip:lamp@10.0.0.2>", "Event: dialog", "Accept: "+accept)
			res := w.peer.response(200)
			expect(t, "Expires when none is asked for", header(res, "Expires"), "3600")
			w.peer.notify()
		}
	})
}

// A phone that has rebooted without a word answers 481; one that is gone answers
// nothing. Both are removed, and nothing is sent any more.
func TestVanishedWatcherIsRemoved(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribed("a")
		time.Sleep(time.Second)
		w.change()
		w.peer.answer(w.peer.request("NOTIFY"), 481)
		synctest.Wait()
		expect(t, "watchers after 481", w.agent.Stats().Watchers, 0)

		w.peer.subscribed("b")
		time.Sleep(time.Second)
		w.change()
		w.peer.request("NOTIFY") // not answered
		time.Sleep(31 * time.Second)
		expect(t, "watchers in time", w.agent.Stats().Watchers, 1)
		time.Sleep(2 * time.Second)
		expect(t, "watchers after 64*T1", w.agent.Stats().Watchers, 0)
		w.change()
		w.peer.silent(time.Minute)
		expect(t, "failed", w.agent.Stats().Failed, 2)
	})
}

func TestNotifyRetryAfter(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribed("a")
		time.Sleep(time.Second)
		w.change()
		w.peer.answer(w.peer.request("NOTIFY"), 503, "Retry-After: 7 (busy)")
		w.change()
		w.peer.silent(6 * time.Second)
		expect(t, "body", string(w.peer.notify().Body()), "701 version=2 state=2")
		time.Sleep(time.Second)
		w.change()
		w.peer.answer(w.peer.request("NOTIFY"), 503) // without a time: it is over
		synctest.Wait()
		expect(t, "watchers", w.agent.Stats().Watchers, 0)
	})
}

func TestExpiry(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribed("a")
		time.Sleep(599 * time.Second)
		w.change()
		expect(t, "Subscription-State", header(w.peer.notify(), "Subscription-State"), "active;expires=1")
		began := time.Now()
		n := w.peer.notify()
		expect(t, "Subscription-State", header(n, "Subscription-State"), "terminated;reason=timeout")
		expect(t, "time", time.Since(began), time.Second)
		expect(t, "watchers", w.agent.Stats().Watchers, 0)
	})
}

// A change goes to many watchers in waves: the next one starts as answers come, and
// at the latest after 100 ms, so that dead watchers hold nobody up for long.
func TestBurstIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		for i := range 10 {
			w.peer.subscribed(fmt.Sprint("c", i))
		}
		time.Sleep(time.Second)
		w.change()
		began := time.Now()
		var wave [4]*gosip.Request
		for i := range wave {
			wave[i] = w.peer.request("NOTIFY")
		}
		w.peer.silent(50 * time.Millisecond)
		w.peer.answer(wave[0], 200)
		w.peer.request("NOTIFY") // not answered, as the others are not
		expect(t, "time of the fifth", time.Since(began), 50*time.Millisecond)
		for range 3 {
			w.peer.request("NOTIFY")
		}
		expect(t, "time of the eighth", time.Since(began), 100*time.Millisecond)
		w.state.Add(1) // those that wait get the newest
		n := w.peer.request("NOTIFY")
		expect(t, "body", string(n.Body()), "701 version=1 state=2")
		expect(t, "time of the ninth", time.Since(began), 150*time.Millisecond)
		time.Sleep(time.Minute)
		expect(t, "watchers", w.agent.Stats().Watchers, 1)
	}, func(c *Config, _ *Package) { c.MaxBurst = 4 })
}

// The end waits for the NOTIFY in flight, so that it is the last one to come.
func TestEndKeepsOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		sub, _ := w.peer.subscribed("a")
		time.Sleep(time.Second)
		w.change()
		slow := w.peer.request("NOTIFY")
		w.peer.subscribe(sub, "Contact: <sip:lamp@10.0.0.2>", "Event: dialog", "Expires: 0")
		w.peer.response(200)
		w.peer.silent(time.Second)
		w.peer.answer(slow, 200)
		last := w.peer.notify()
		expect(t, "CSeq", last.CSeq().SeqNo, slow.CSeq().SeqNo+1)
		expect(t, "Subscription-State", header(last, "Subscription-State"), "terminated;reason=timeout")
	})
}

// Who is chosen hears of nothing more in that dialog, not even of what changed while a NOTIFY was in flight.
func TestDeactivate(t *testing.T) {
	inWorld(t, func(w *world) {
		sub, _ := w.peer.subscribed("a")
		time.Sleep(time.Second)
		by := func(pkg, subscriber string) {
			w.agent.Deactivate(pkg, func(r Request) bool { return r.Subscriber == subscriber })
		}
		by("dialog", "sip:lamp@10.0.0.3")
		by("presence", "sip:lamp@10.0.0.2")
		w.change()
		slow := w.peer.request("NOTIFY")
		by("dialog", "sip:lamp@10.0.0.2")
		by("dialog", "sip:lamp@10.0.0.2")
		w.change()
		w.peer.silent(time.Second)
		w.peer.answer(slow, 200)
		last := w.peer.notify()
		expect(t, "Subscription-State", header(last, "Subscription-State"), "terminated;reason=deactivated")
		expect(t, "body", string(last.Body()), "")
		w.change()
		w.peer.silent(time.Minute)
		w.peer.subscribe(sub, usual...)
		w.peer.response(481)
		_, first := w.peer.subscribed("b")
		expect(t, "body", string(first.Body()), "701 version=0 state=3")
	})
}

// Who has unsubscribed already is not asked to come back.
func TestDeactivateWhoLeaves(t *testing.T) {
	inWorld(t, func(w *world) {
		sub, _ := w.peer.subscribed("a")
		time.Sleep(time.Second)
		w.change()
		slow := w.peer.request("NOTIFY")
		w.peer.subscribe(sub, "Event: dialog", "Expires: 0")
		w.peer.response(200)
		w.agent.Deactivate("dialog", func(Request) bool { return true })
		w.peer.silent(time.Second)
		w.peer.answer(slow, 200)
		expect(t, "Subscription-State", header(w.peer.notify(), "Subscription-State"), "terminated;reason=timeout")
	})
}

func TestResourceEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribed("a")
		time.Sleep(time.Second)
		w.gone.Store(true)
		w.change()
		n := w.peer.notify()
		expect(t, "Subscription-State", header(n, "Subscription-State"), "terminated;reason=noresource")
		expect(t, "body", len(n.Body()), 0)
		expect(t, "Content-Type", n.ContentType() == nil, true)
		expect(t, "watchers", w.agent.Stats().Watchers, 0)
	})
}

func TestShutdownTellsWatchersToComeBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribed("a")
		go w.stop()
		n := w.peer.notify()
		expect(t, "Subscription-State", header(n, "Subscription-State"), "terminated;reason=probation;retry-after=2")
		began := time.Now()
		w.stop()
		expect(t, "time", time.Since(began), time.Duration(0))
		w.peer.subscribe(&watch{callID: "b"}, usual...)
		w.peer.response(503)
	})
}

// What changed just before the end still reaches the watcher, in order.
func TestShutdownSendsTheLastChange(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribed("a")
		time.Sleep(time.Second)
		w.change()
		go w.stop()
		expect(t, "body", string(w.peer.notify().Body()), "701 version=1 state=1")
		n := w.peer.notify()
		expect(t, "Subscription-State", header(n, "Subscription-State"), "terminated;reason=probation;retry-after=2")
		w.stop()
	})
	inWorld(t, func(w *world) {
		w.peer.subscribed("a")
		time.Sleep(time.Millisecond) // within Coalesce of the first NOTIFY
		w.change()
		go w.stop()
		n := w.peer.notify()
		expect(t, "Subscription-State", header(n, "Subscription-State"), "terminated;reason=probation;retry-after=2")
		expect(t, "body", string(n.Body()), "701 version=1 state=1")
		w.stop()
	})
}

// Nobody answers: the shutdown takes ShutdownFor.
func TestShutdownIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribed("a")
		began := time.Now()
		w.stop()
		expect(t, "time", time.Since(began), time.Second)
	})
}

func TestSubscriptionLimits(t *testing.T) {
	inWorld(t, func(w *world) {
		other := newPeer(w.t, w.net, "10.0.0.3")
		w.peer.subscribed("a")
		w.peer.subscribed("b")
		w.peer.subscribe(&watch{callID: "c"}, usual...)
		expect(t, "Retry-After", header(w.peer.response(503), "Retry-After"), "60")
		other.subscribed("d")
		other.subscribe(&watch{callID: "e"}, usual...)
		other.response(503)
		expect(t, "watchers", w.agent.Stats().Watchers, 3)
	}, func(c *Config, _ *Package) { c.MaxSubscriptions, c.MaxSubscriptionsPerSource = 3, 2 })
}

// A phone that missed our answer subscribes again with the same Call-ID: it has one
// subscription then, not two.
func TestSameSubscriberAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribed("a")
		again := &watch{callID: "a", seq: 1}
		w.peer.subscribe(again, usual...)
		w.peer.response(200)
		w.peer.notify()
		expect(t, "watchers", w.agent.Stats().Watchers, 1)
		time.Sleep(time.Second)
		w.change()
		w.peer.notify()
		w.peer.silent(time.Minute)
	})
}

func TestNotifyFollowsRoutes(t *testing.T) {
	for _, tc := range []struct{ name, record, uri, routes string }{
		{"loose", "<sip:10.0.0.2;lr>, <sip:p2.example;lr>", "sip:lamp@192.0.2.9", "<sip:10.0.0.2;lr> <sip:p2.example;lr>"},
		{"strict", "<sip:10.0.0.2>, <sip:p2.example>", "sip:10.0.0.2", "<sip:p2.example> <sip:lamp@192.0.2.9>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.peer.subscribe(&watch{callID: "a"}, "Record-Route: "+tc.record, "Contact: <sip:lamp@192.0.2.9>", "Event: dialog")
				expect(t, "Record-Route in the answer", len(w.peer.response(200).GetHeaders("Record-Route")), 2)
				n := w.peer.notify()
				var routes []string
				for _, h := range n.GetHeaders("Route") {
					routes = append(routes, h.Value())
				}
				expect(t, "Request-URI", n.Recipient.String(), tc.uri)
				expect(t, "Route", strings.Join(routes, " "), tc.routes)
			})
		})
	}
}

// A retransmitted SUBSCRIBE makes one subscription, lost answers are repeated.
func TestLostAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		lost := 0
		w.net.SetLink(netip.MustParseAddr(agentAddr), netip.MustParseAddr(peerAddr), siptest.Link{Drop: func(p siptest.Packet) bool {
			drop := lost == 0 && strings.HasPrefix(string(p.Data), "SIP/2.0 200")
			if drop {
				lost++
			}
			return drop
		}})
		sub := &watch{callID: "a"}
		w.peer.subscribe(sub, usual...)
		w.peer.notify() // here before the answer
		sub.seq--
		w.peer.subscribe(sub, usual...)
		w.peer.response(200)
		w.peer.silent(time.Second)
		expect(t, "watchers", w.agent.Stats().Watchers, 1)
	})
}
