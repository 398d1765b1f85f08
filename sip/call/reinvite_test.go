package call

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/sip/sdp"
	"parklamp/sip/siptest"
)

func TestHoldAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca, cb := established(t, a, b)
		for _, who := range []struct {
			from, to *side
			f, g     *Call
		}{{a, b, ca, cb}, {b, a, cb, ca}} {
			far, near := who.to.addr.String()+":4000", who.from.addr.String()+":4000"
			for range 2 {
				version := who.f.Dialog().Local.Version
				who.f.Update(who.from.with(sdp.SendOnly))
				who.from.expect(who.f, "media send "+far)
				who.to.expect(who.g, "media receive held "+near)
				who.f.Update(who.from.with(sdp.Inactive))
				who.from.expect(who.f, "media "+far)
				who.to.expect(who.g, "media held "+near)
				who.f.Update(who.from.local())
				who.from.expect(who.f, "media send receive "+far)
				who.to.expect(who.g, "media send receive "+near)
				if v := who.f.Dialog().Local.Version; v != version+3 {
					t.Errorf("version went from %d to %d, three changes", version, v)
				}
			}
		}
		// The same again: no new version, and nothing to tell the other side.
		ca.Update(a.local()) // an offer lists both codecs, the answer before had one
		a.expect(ca, "media "+toB)
		version := ca.Dialog().Local.Version
		ca.Update(a.local())
		a.expect(ca, "media "+toB)
		b.expect(cb)
		if v := ca.Dialog().Local.Version; v != version {
			t.Errorf("version grew from %d to %d without a change", version, v)
		}
	})
}

// Both hold each other, then let go one after the other.
func TestHoldFromBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca, cb := established(t, a, b)
		ca.Update(a.with(sdp.SendOnly))
		synctest.Wait()
		cb.Update(b.with(sdp.SendOnly))
		synctest.Wait()
		a.expect(ca, "media send 10.0.0.2:4000", "media held 10.0.0.2:4000")
		b.expect(cb, "media receive held 10.0.0.1:4000", "media held 10.0.0.1:4000")
		ca.Update(a.local())
		a.expect(ca, "media receive held 10.0.0.2:4000")
		b.expect(cb, "media send 10.0.0.1:4000")
		cb.Update(b.local())
		a.expect(ca, "media "+toB)
		b.expect(cb, "media "+toA)
	})
}

// RFC 3261 §14: both offer at once; both get 491, wait, and both offers succeed.
func TestGlare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		ca, cb := established(t, a, b)
		wa, wb := tap(n, a.addr), tap(n, b.addr)
		for _, d := range [][2]*side{{a, b}, {b, a}} {
			n.SetLink(d[0].addr, d[1].addr, siptest.Link{Delay: 20 * time.Millisecond})
		}
		ca.Update(a.with(sdp.SendOnly))
		cb.Update(b.with(sdp.RecvOnly))
		time.Sleep(time.Second)
		if wa.count("SIP/2.0 491") != 1 || wb.count("SIP/2.0 491") != 1 {
			t.Errorf("491 by a: %d, by b: %d", wa.count("SIP/2.0 491"), wb.count("SIP/2.0 491"))
		}
		time.Sleep(10 * time.Second)
		a.expectEnd(ca, "media send 10.0.0.2:4000")
		b.expectEnd(cb, "media receive held 10.0.0.1:4000")
		if d := ca.Dialog().Local.Direction; d != sdp.SendOnly {
			t.Errorf("a is %v", d)
		}
		if d := cb.Dialog().Local.Direction; d != sdp.RecvOnly {
			t.Errorf("b is %v", d)
		}
	})
}

// Update before the answer waits for it; several are merged.
func TestUpdateWaitsForAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		w := tap(n, a.addr)
		ca := a.call(b, "701")
		ca.Update(a.with(sdp.Inactive))
		ca.Update(a.with(sdp.SendOnly))
		cb := b.incoming()
		cb.Answer(b.local())
		a.expect(ca, "answered "+toB, "media send 10.0.0.2:4000")
		b.expect(cb, "answered "+toA, "acked", "media receive held 10.0.0.1:4000")
		if k := w.count("INVITE"); k != 2 {
			t.Errorf("%d INVITEs, want 2", k)
		}
	})
}

// A vanished far end: a re-INVITE without an answer ends the call, and so does the session timer.
func TestFarEndVanishes(t *testing.T) {
	t.Run("re-INVITE", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t)
			ca, _ := established(t, a, b)
			n.Cut(a.addr, b.addr)
			ca.Update(a.with(sdp.SendOnly))
			time.Sleep(40 * time.Second)
			a.expect(ca, "ended timeout 408")
			a.idle()
		})
	})
	t.Run("session timer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t, func(c *Config) { c.SessionExpires = 90 * time.Second })
			ca, cb := established(t, a, b)
			time.Sleep(10 * time.Minute)
			if ca.Ended() || cb.Ended() {
				t.Fatal("refreshes do not keep the call up")
			}
			n.Cut(a.addr, b.addr)
			time.Sleep(92 * time.Second)
			a.expect(ca, "ended timeout 408")
			b.expect(cb, "ended timeout 408")
			a.idle()
			b.idle()
		})
	})
	t.Run("far end has lost its memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := pair(t)
			ca, cb := established(t, a, b)
			b.ua.remove(cb)
			ca.Update(a.with(sdp.SendOnly))
			a.expect(ca, "ended gone 481")
		})
	})
}

func TestSessionTimerRefreshers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t, func(c *Config) { c.SessionExpires = 100 * time.Second })
		wa, wb := tap(n, a.addr), tap(n, b.addr)
		ca, cb := established(t, a, b)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if wb.count("UPDATE") != 3 || wa.count("UPDATE") != 0 {
			t.Errorf("refreshes: callee %d, caller %d; want 3, 0", wb.count("UPDATE"), wa.count("UPDATE"))
		}
		if !strings.Contains(wb.find("UPDATE"), "Session-Expires: 100;refresher=uac\r\n") {
			t.Errorf("refresh:\n%s", wb.find("UPDATE"))
		}
		if ca.Dialog().Session.Refresh || !cb.Dialog().Session.Refresh {
			t.Errorf("refresher: %+v %+v", ca.Dialog().Session, cb.Dialog().Session)
		}
		a.expect(ca)
		b.expect(cb)
	})
}

// RFC 4028 §7.3: a 422 teaches the minimum, the second INVITE keeps to it.
func TestSessionTimerTooSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		a := newSide(t, n, "10.0.0.1", func(c *Config) { c.SessionExpires = 90 * time.Second })
		b := newSide(t, n, "10.0.0.2", func(c *Config) { c.MinSE = 5 * time.Minute })
		w := tap(n, b.addr)
		ca := a.call(b, "701")
		cb := b.incoming()
		cb.Answer(b.local())
		a.expect(ca, "answered "+toB)
		if w.count("SIP/2.0 422") != 1 || ca.Dialog().Session.Interval != 5*time.Minute {
			t.Errorf("%d 422s, session %+v", w.count("SIP/2.0 422"), ca.Dialog().Session)
		}
	})
}

func TestIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca := a.call(b, "701")
		cb := b.incoming()
		cb.SetIdentity(Party{Name: "Desk 1", URI: "sip:100@example.com"})
		cb.Ring()
		a.expect(ca, "identity 100 Desk 1", "ringing 180")
		cb.Answer(b.local())
		synctest.Wait()
		a.forget(ca)
		b.forget(cb)
		cb.SetIdentity(Party{Name: "Cara", URI: "sip:4711@example.com"})
		a.expect(ca, "identity 4711 Cara")
		if p := ca.Info().Remote; p.Number != "4711" || p.Name != "Cara" {
			t.Errorf("remote %+v", p)
		}
		b.expect(cb)
	})
}

// A dialog that was written down goes on in another process.
func TestRestore(t *testing.T) {
	for _, who := range []string{"caller", "callee"} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := pair(t)
				ca, cb := established(t, a, b)
				old, far, c, s, f := ca, cb, ca.Dialog(), a, b
				if who == "callee" {
					old, far, c, s, f = cb, ca, cb.Dialog(), b, a
				}
				text, err := json.Marshal(c)
				if err != nil {
					t.Fatal(err)
				}
				var d Dialog
				if err := json.Unmarshal(text, &d); err != nil {
					t.Fatal(err)
				}
				// The process dies: nothing is sent, nothing is known.
				s.ua.remove(old)
				old.must(func() { old.refresh.stop(); old.expiry.stop() })
				restored, err := s.ua.Restore(d, s.with(sdp.SendOnly), s.handle)
				if err != nil {
					t.Fatal(err)
				}
				restored.Update(s.with(sdp.SendOnly))
				s.expect(restored, "media send "+f.addr.String()+":4000")
				f.expect(far, "media receive held "+s.addr.String()+":4000")
				if restored.Dialog().Local.Version != d.Local.Version+1 {
					t.Errorf("version %d after %d", restored.Dialog().Local.Version, d.Local.Version)
				}
				if i := restored.Info(); i.Remote != old.Info().Remote || i.Direction != old.Info().Direction || i.Header("x") != "" {
					t.Errorf("info %+v", i)
				}
				far.Hangup("")
				s.expect(restored, "ended remote 0")
			})
		})
	}
}

func TestRestoreRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca, _ := established(t, a, b)
		good := ca.Dialog()
		for name, spoil := range map[string]func(*Dialog){
			"up already":    func(*Dialog) {},
			"no tag":        func(d *Dialog) { d.LocalTag = "" },
			"not confirmed": func(d *Dialog) { d.Confirmed = false },
			"target":        func(d *Dialog) { d.RemoteTarget = "" },
			"route":         func(d *Dialog) { d.RouteSet = []string{"x"} },
		} {
			d := good
			spoil(&d)
			if _, err := a.ua.Restore(d, a.local(), nil); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}

// Requests that an owner sends in one breath arrive in order and all take effect.
func TestRequestsInOneBreath(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		synctest.Test(t, func(t *testing.T) {
			n := siptest.New(seed)
			a, b := newSide(t, n, "10.0.0.1"), newSide(t, n, "10.0.0.2")
			ca := a.call(b, "701")
			cb := b.incoming()
			w := tap(n, a.addr)
			cb.Answer(b.local())
			cb.SetIdentity(Party{Name: "Cara", URI: "sip:4711@example.com"})
			cb.Update(b.with(sdp.SendOnly))
			cb.Refer(a.uri("9"), nil)
			time.Sleep(3 * time.Second) // the re-INVITE gives the REFER, which nobody decides, two seconds
			synctest.Wait()
			if len(a.refs) != 1 {
				t.Fatalf("seed %d: a saw %q, b saw %q\n%s", seed, a.seen[ca], b.seen[cb], strings.Join(w.lines, "\n"))
			}
			a.refs[0].Accept()
			a.refs[0].Done(200, "")
			ca.Hangup("")
			time.Sleep(time.Second)
			synctest.Wait()
			if seen := strings.Join(a.seen[ca], "; "); !strings.Contains(seen, "identity 4711 Cara") || !strings.Contains(seen, "media receive held 10.0.0.2:4000") {
				t.Errorf("seed %d: a saw %s", seed, seen)
			}
			b.expect(cb, "answered "+toA, "acked", "media send 10.0.0.1:4000",
				"transfer 100 final=false", "transfer 200 final=true", "ended remote 0")
			if k := w.count("SIP/2.0 5"); k != 0 {
				t.Errorf("%d refusals", k)
			}
		})
	}
}
