package call

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip/sdp"
	"parklamp/sip/siptest"
)

const (
	toB = "send receive 10.0.0.2:4000"
	toA = "send receive 10.0.0.1:4000"
)

func TestCallAnsweredAndEnded(t *testing.T) {
	for _, who := range []string{"caller", "callee"} {
		t.Run(who+" hangs up", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				ca := a.call(b, "701", func(o *Invite) {
					o.PAssertedIdentity = Party{Name: `Ann "A" Lee`, URI: "sip:4711@example.com"}
					o.AlertInfo = "<http://x>;info=alert-autoanswer"
					o.Diversion = Party{URI: "sip:300@example.com"}
					o.ReferredBy = "<sip:boss@example.com>"
					o.Headers = []gosip.Header{gosip.NewHeader("X-Test", "one")}
				})
				cb := b.incoming()
				info := cb.Info()
				if info.Direction != Incoming || info.RequestUser != "701" || info.Remote != (Party{`Ann "A" Lee`, "sip:4711@example.com", "4711"}) ||
					!info.AutoAnswer || info.Diversion.Number != "300" || info.ReferredBy.Number != "boss" || info.Header("x-test") != "one" ||
					info.Source.Addr() != a.addr || info.UserAgent != "siptest" {
					t.Errorf("info %+v", info)
				}
				cb.Ring()
				a.expect(ca, "ringing 180")
				cb.Ring()
				a.expect(ca) // no news
				cb.Answer(b.local())
				a.expect(ca, "answered "+toB)
				b.expect(cb, "answered "+toA, "acked")
				da, db := ca.Dialog(), cb.Dialog()
				if da.ID() != db.ID().Reverse() || a.find(da.ID()) != ca || b.find(db.ID()) != cb || a.find(db.ID()) != nil {
					t.Errorf("dialogs %+v %+v", da.ID(), db.ID())
				}
				if !da.Allows("UPDATE") || !containsFold(db.Supported, "replaces") {
					t.Errorf("abilities are not known: %+v", da)
				}
				time.Sleep(time.Minute)
				if who == "caller" {
					ca.Hangup("done")
					a.expect(ca, "ended local 0")
					b.expect(cb, "ended remote 0")
				} else {
					cb.Hangup("")
					b.expect(cb, "ended local 0")
					a.expect(ca, "ended remote 0")
				}
				if a.find(da.ID()) != nil {
					t.Error("an ended call is found")
				}
				a.idle()
				b.idle()
			})
		})
	}
}

func TestReject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca := a.call(b, "701")
		cb := b.incoming()
		cb.Reject(486, "")
		a.expect(ca, "ended rejected 486")
		b.expect(cb, "ended rejected 486")
		cb.Answer(b.local()) // too late, and no harm
		b.expect(cb)
		a.idle()
		b.idle()
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca := a.call(b, "701")
		cb := b.incoming()
		cb.Ring()
		synctest.Wait()
		ca.Hangup("")
		a.expect(ca, "ringing 180", "ended cancelled 0")
		b.expect(cb, "ended cancelled 487")
		a.idle()
		b.idle()
	})
}

// RFC 3261 §9.1: CANCEL has no effect on an INVITE that has been answered; the call is then ended by BYE.
func TestCancelCrossesAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		for _, d := range [][2]*side{{a, b}, {b, a}} {
			n.SetLink(d[0].addr, d[1].addr, siptest.Link{Delay: 50 * time.Millisecond})
		}
		ca := a.call(b, "701")
		time.Sleep(80 * time.Millisecond)
		cb := b.incoming()
		cb.Ring()
		time.Sleep(100 * time.Millisecond)
		cb.Answer(b.local())
		ca.Hangup("")
		time.Sleep(time.Second)
		a.expect(ca, "ringing 180", "ended cancelled 0")
		// ACK and BYE leave together and may arrive in any order.
		b.expectEnd(cb, "ended remote 0")
		a.idle()
		b.idle()
	})
}

// RFC 3261 §15: the callee's BYE waits for the ACK.
func TestHangupBeforeACK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		w := tap(n, b.addr)
		n.SetLink(a.addr, b.addr, siptest.Link{Delay: 100 * time.Millisecond})
		ca := a.call(b, "701")
		time.Sleep(150 * time.Millisecond)
		cb := b.incoming()
		cb.Answer(b.local())
		cb.Hangup("")
		b.expect(cb, "answered "+toA, "ended local 0")
		if w.count("BYE") != 0 {
			t.Error("BYE before the ACK")
		}
		time.Sleep(time.Second)
		a.expect(ca, "answered "+toB, "ended remote 0")
		a.idle()
		b.idle()
	})
}

func TestByeGlare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		ca, cb := established(t, a, b)
		for _, d := range [][2]*side{{a, b}, {b, a}} {
			n.SetLink(d[0].addr, d[1].addr, siptest.Link{Delay: 50 * time.Millisecond})
		}
		ca.Hangup("")
		cb.Hangup("")
		time.Sleep(time.Second)
		a.expect(ca, "ended local 0")
		b.expect(cb, "ended local 0")
		a.idle()
		b.idle()
	})
}

func TestNoAnswer(t *testing.T) {
	t.Run("nobody there", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t)
			n.Cut(a.addr, b.addr)
			ca := a.call(b, "701")
			time.Sleep(33 * time.Second)
			a.expect(ca, "ended timeout 408")
			a.idle()
		})
	})
	t.Run("nobody picks up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := pair(t, func(c *Config) { c.RingTimeout = 30 * time.Second })
			ca := a.call(b, "701")
			cb := b.incoming()
			cb.Ring()
			time.Sleep(31 * time.Second)
			synctest.Wait()
			if !ca.Ended() || !cb.Ended() {
				t.Error("still ringing")
			}
			a.idle()
			b.idle()
		})
	})
	t.Run("nobody acknowledges", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t)
			a.call(b, "701")
			cb := b.incoming()
			n.Cut(a.addr, b.addr)
			cb.Answer(b.local())
			time.Sleep(33 * time.Second)
			b.expect(cb, "answered "+toA, "ended no ack 408")
			b.idle()
		})
	})
}

// Lost datagrams: retransmissions on both sides bring the call up and down.
func TestLossyNetwork(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		synctest.Test(t, func(t *testing.T) {
			n := siptest.New(seed)
			a, b := newSide(t, n, "10.0.0.1"), newSide(t, n, "10.0.0.2")
			for _, d := range [][2]*side{{a, b}, {b, a}} {
				n.SetLink(d[0].addr, d[1].addr, siptest.Link{Loss: 0.3, Duplicate: 0.1, Reorder: 0.2, Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond})
			}
			b.take = func(c *Call) { c.Ring(); c.Answer(b.local()) }
			ca := a.call(b, "701")
			time.Sleep(20 * time.Second)
			cb := b.incoming()
			if !ca.Answered() || !cb.Answered() {
				t.Fatalf("seed %d: not up: %v %v", seed, a.seen[ca], b.seen[cb])
			}
			ca.Update(a.with(sdp.SendOnly))
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if c := b.seen[cb]; c[len(c)-1] != "media receive held 10.0.0.1:4000" {
				t.Errorf("seed %d: %v", seed, c)
			}
			cb.Hangup("")
			time.Sleep(40 * time.Second)
			synctest.Wait()
			if !ca.Ended() {
				t.Errorf("seed %d: still up", seed)
			}
			a.idle()
			b.idle()
		})
	}
}

func TestEarlyMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca := a.call(b, "701")
		cb := b.incoming()
		cb.Progress(b.local())
		a.expect(ca, "ringing 183", "early "+toB)
		b.expect(cb, "early "+toA)
		cb.Answer(b.local())
		a.expect(ca, "answered "+toB)
		b.expect(cb, "answered "+toA, "acked")
		if d := cb.Dialog(); d.Local.Version != 1 {
			t.Errorf("version %d: 183 and 200 differ", d.Local.Version)
		}
	})
}

func TestLateOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca := a.call(b, "701", func(o *Invite) { o.LateOffer = true })
		cb := b.incoming()
		cb.Answer(b.local())
		a.expect(ca, "answered "+toB)
		b.expect(cb, "answered "+toA, "acked")
		cb.Update(b.with(sdp.SendOnly))
		a.expect(ca, "media receive held 10.0.0.2:4000")
		b.expect(cb, "media send 10.0.0.1:4000")
	})
}

func TestNoCommonCodec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca := a.call(b, "701", func(o *Invite) { o.Media.Codecs = []sdp.Codec{sdp.PCMA} })
		cb := b.incoming()
		l := b.local()
		l.Codecs = []sdp.Codec{sdp.PCMU}
		cb.Answer(l)
		a.expect(ca, "ended rejected 488")
		b.expect(cb, "ended bad media 488")
		a.idle()
		b.idle()
	})
}

func TestTransportsAndFamilies(t *testing.T) {
	for name, addrs := range map[string][2]string{"IPv4": {"10.0.0.1", "10.0.0.2"}, "IPv6": {"fd00::1", "fd00::2"}} {
		for _, transport := range []string{"udp", "tcp"} {
			t.Run(name+" "+transport, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := siptest.New(1)
					a, b := newSide(t, n, addrs[0]), newSide(t, n, addrs[1])
					var kinds []string
					var mu sync.Mutex
					n.Tap(func(p siptest.Packet) { mu.Lock(); kinds = append(kinds, p.Network); mu.Unlock() })
					ca, cb := established(t, a, b, func(o *Invite) { o.Transport = transport })
					if len(a.ua.Calls()) != 1 || b.ua.Calls()[0] != cb {
						t.Errorf("calls %v %v", a.ua.Calls(), b.ua.Calls())
					}
					cb.Update(b.with(sdp.SendOnly))
					a.expect(ca, "media receive held "+netip.AddrPortFrom(b.addr, 4000).String())
					cb.Hangup("")
					a.expect(ca, "ended remote 0")
					mu.Lock()
					defer mu.Unlock()
					for _, k := range kinds {
						if k != transport {
							t.Fatalf("a message by %s", k)
						}
					}
				})
			})
		}
	}
}

func TestOwnerChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca, cb := established(t, a, b)
		var second []string
		cb.SetOwner(func(_ *Call, ev Event) { second = append(second, eventText(ev)) })
		ca.Update(a.with(sdp.SendOnly))
		synctest.Wait()
		ca.Hangup("")
		synctest.Wait()
		b.expect(cb)
		if got := strings.Join(second, "; "); got != "media receive held 10.0.0.1:4000; ended remote 0" {
			t.Errorf("second owner saw %q", got)
		}
	})
}

func TestLimitsAndDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t, func(c *Config) { c.MaxCalls = 1 })
		ca, cb := established(t, a, b)
		if _, err := a.ua.Invite(Invite{To: b.uri("1"), Media: a.local()}, nil); err != ErrTooManyCalls {
			t.Errorf("second call: %v", err)
		}
		urgent, err := a.ua.Invite(Invite{To: b.uri("112"), Media: a.local(), Emergency: true}, nil)
		if err != nil {
			t.Errorf("an emergency call beyond the limit: %v", err)
		}
		synctest.Wait()
		if n, m := b.ua.From(a.addr), a.ua.From(b.addr); n != 1 || m != 0 {
			t.Errorf("%d and %d calls from there, want 1 and 0", n, m)
		}
		urgent.Hangup("")
		c := newSide(t, a.net, "10.0.0.3")
		cc := c.call(b, "701")
		c.expect(cc, "ended rejected 503")
		b.ua.Refuse(false)
		if n, silent := b.ua.Drain(t.Context(), nil); n != 1 || silent != 0 {
			t.Errorf("%d calls hung up, %d of them did not answer; want 1 and 0", n, silent)
		}
		a.expect(ca, "ended remote 0")
		b.expect(cb, "ended local 0")
		cc = c.call(b, "701")
		c.expect(cc, "ended rejected 503")
	})
}

// Who goes waits for the answers to his good-byes and for nothing else: not for those who stay, nor for a call that was over
// before and whose far end is dead. He counts whom he did not reach.
func TestDrainWaitsForGoodbyesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		kept, cb := established(t, a, b)
		dead := newSide(t, n, "10.0.0.9")
		gone, _ := established(t, a, dead)
		n.Cut(a.addr, dead.addr)
		gone.Hangup("")
		synctest.Wait()
		began := time.Now()
		grace, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		a.ua.Refuse(false)
		keep := func(c *Call) bool { return c == kept }
		if hung, silent := a.ua.Drain(grace, keep); hung != 0 || silent != 0 || time.Since(began) != 0 {
			t.Errorf("hung up %d, %d silent, after %v; want nothing, at once", hung, silent, time.Since(began))
		}
		b.expect(cb)
		n.Cut(a.addr, b.addr)
		if hung, silent := a.ua.Drain(grace, nil); hung != 1 || silent != 1 || time.Since(began) != 3*time.Second {
			t.Errorf("hung up %d, %d silent, after %v; want 1, 1 after 3s", hung, silent, time.Since(began))
		}
	})
}

// Nor does he wait for what else may come of an INVITE that was answered, whoever hung up.
func TestDrainAfterOwnCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		mine, _ := established(t, a, b)
		_, theirs := established(t, a, b)
		began := time.Now()
		a.ua.Refuse(false)
		theirs.Hangup("")
		synctest.Wait()
		if hung, silent := a.ua.Drain(t.Context(), nil); hung != 2 || silent != 0 || time.Since(began) != 0 {
			t.Errorf("%d ended, %d silent, after %v; want 2, none, at once", hung, silent, time.Since(began))
		}
		synctest.Wait() // the far end has answered, and may still be clearing away
		if !mine.Ended() || b.ua.From(a.addr) != 0 {
			t.Error("a call is not over")
		}
	})
}

// A call is at rest when no INVITE is half done, and who waits for that does not wait for ever.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca, cb := established(t, a, b)
		began := time.Now()
		a.ua.Rest(t.Context(), []*Call{ca})
		if took := time.Since(began); took != 0 {
			t.Errorf("a call that nothing happens to took %v", took)
		}
		a.net.Cut(a.addr, b.addr)
		ca.Update(a.with(sdp.SendOnly))
		synctest.Wait()
		half, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		a.ua.Rest(half, []*Call{ca})
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("waited %v for a far end that does not answer, want 3s", took)
		}
		a.net.Heal(a.addr, b.addr)
		a.ua.Rest(t.Context(), []*Call{ca, cb})
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("at rest after %v, want as soon as it is answered", took)
		}
		a.expect(ca, "media send 10.0.0.2:4000")
		ca.Hangup("")
		a.ua.Rest(t.Context(), []*Call{ca}) // is over
	})
}

// A new call finds nobody who answers: not even with a refusal, for another process comes.
func TestRefuseSilently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		b.ua.Refuse(true)
		c := a.call(b, "701")
		time.Sleep(5 * time.Second)
		a.expect(c)
	})
}

func TestStoppedUA(t *testing.T) {
	var seen []string
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		_, cb := established(t, a, b)
		cb.SetOwner(func(_ *Call, ev Event) { seen = append(seen, eventText(ev)) })
	})
	if len(seen) != 1 || seen[0] != "ended stopped 0" {
		t.Errorf("saw %q", seen)
	}
}

// Whatever waits for a call's goroutine, and be it as much as is allowed, the owner can end the call.
func TestHangupFindsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca, cb := established(t, a, b)
		hold := make(chan struct{})
		ca.post(func() { <-hold })
		synctest.Wait()
		for i := range maxQueued {
			if !ca.admit(func() {}) || !ca.post(func() {}) {
				t.Fatalf("no room for number %d", i)
			}
		}
		if ca.admit(func() {}) || ca.post(func() {}) {
			t.Error("more than maxQueued wait")
		}
		ca.Hangup("")
		ca.Hangup("again")
		close(hold)
		a.expect(ca, "ended local 0")
		b.expect(cb, "ended remote 0")
	})
}
