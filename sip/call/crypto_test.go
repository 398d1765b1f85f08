package call

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/sip"
	"parklamp/sip/sdp"
	"parklamp/sip/siptest"
)

// secure makes two sides that reach each other by TLS, and by UDP.
func secure(t testing.TB) (*siptest.Net, *side, *side) {
	n := siptest.New(1)
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	cert, pool, _, _ := siptest.Certificate(t, addrs...)
	var sides []*side
	for _, a := range addrs {
		cfg := sip.Default()
		cfg.Listen = []string{"udp:" + a.String() + ":5060", "tls:" + a.String() + ":5061"}
		sides = append(sides, newSideOn(t, n, a.String(), func(setup func(*sip.Endpoint)) {
			siptest.Start(t, cfg, []sip.Option{sip.WithNetwork(n.Host(a)), siptest.WithNames(nil),
				sip.WithTLS(&tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{RootCAs: pool})}, setup)
		}))
	}
	return n, sides[0], sides[1]
}

// keyed is a side's media with a wish for encryption.
func (s *side) keyed(security sdp.Security, keys *sdp.Keys) sdp.Local {
	l := s.local()
	l.Security, l.Keys = security, keys
	return l
}

// byTLS makes an Invite go by TLS with this media.
func byTLS(l sdp.Local) func(*Invite) {
	return func(o *Invite) {
		o.To.Port, o.Transport, o.Media = 5061, "tls", l
	}
}

// media is what a call has agreed on last.
func (s *side) media(c *Call) sdp.Media {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch ev := s.last[c].(type) {
	case Answered:
		return ev.Media
	case MediaChanged:
		return ev.Media
	case Acked:
		return c.media // its goroutine waits
	}
	s.t.Fatalf("%s: the last event is %T", s.addr, s.last[c])
	return sdp.Media{}
}

// noKey fails if a text holds the key of a line.
func noKey(t testing.TB, text string, lines ...sdp.Crypto) {
	t.Helper()
	for _, c := range lines {
		if k := base64.StdEncoding.EncodeToString(c.Key()); k == "" || strings.Contains(text, k) {
			t.Fatalf("a key is in %s", text)
		}
	}
}

func TestCallWithKeys(t *testing.T) {
	for _, security := range []sdp.Security{sdp.Preferred, sdp.Required} {
		t.Run(security.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := secure(t)
				ka, kb := sdp.NewKeys(), sdp.NewKeys()
				ca := a.call(b, "701", byTLS(a.keyed(security, ka)))
				cb := b.incoming()
				if !cb.Info().TLS || cb.Acceptable(b.keyed(sdp.Required, kb)) != nil || (cb.Acceptable(b.local()) == nil) == (security == sdp.Required) {
					t.Errorf("by TLS %v, plain acceptable: %v", cb.Info().TLS, cb.Acceptable(b.local()))
				}
				cb.Answer(b.keyed(sdp.Required, kb))
				ma, mb := a.media(ca), b.media(cb)
				if !ma.Secure() || !ma.Ours.Equal(mb.Theirs) || !ma.Theirs.Equal(mb.Ours) {
					t.Fatalf("a %q, b %q", ma.Suite, mb.Suite)
				}
				// Hold and resume keep the keys; a repeated description is the same to the letter.
				for _, d := range []sdp.Direction{sdp.SendOnly, sdp.SendRecv} {
					l := b.keyed(sdp.Required, kb)
					l.Direction = d
					cb.Update(l)
					if m := a.media(ca); !m.Theirs.Equal(ma.Theirs) || !m.Ours.Equal(ma.Ours) || m.RemoteHold != (d == sdp.SendOnly) {
						t.Errorf("%v: keys changed", d)
					}
				}
				d := ca.Dialog()
				ca.Update(a.keyed(security, ka))
				synctest.Wait()
				if v := ca.Dialog().Local.Version; v != d.Local.Version+1 { // the offer had all suites, a later one has that in use
					t.Errorf("version %d after %d", v, d.Local.Version)
				}
				ca.Update(a.keyed(security, ka))
				synctest.Wait()
				if v := ca.Dialog().Local.Version; v != d.Local.Version+1 {
					t.Errorf("an unchanged description has version %d after %d", v, d.Local.Version+1)
				}
				// Another key of the far end is told as a change.
				a.forget(ca)
				cb.Update(b.keyed(sdp.Required, sdp.NewKeys()))
				if m := a.media(ca); m.Theirs.Equal(ma.Theirs) || !m.Ours.Equal(ma.Ours) {
					t.Error("the new key is not told")
				}
				for _, c := range []*Call{ca, cb} {
					text, err := json.Marshal(c.Dialog())
					if err != nil {
						t.Fatal(err)
					}
					noKey(t, string(text), ma.Ours, ma.Theirs)
					noKey(t, fmt.Sprintf("%+v", c.Dialog()), ma.Ours, ma.Theirs)
				}
				ca.Hangup("")
				b.expectEnd(cb, "ended remote 0")
			})
		})
	}
}

// A phone that does not offer encryption as we do is asked in another way; one that has none gets a plain call if that
// is allowed, and a reason if not.
func TestOtherwise(t *testing.T) {
	for _, c := range []struct {
		name     string
		security sdp.Security
		refuse   int // INVITEs that the far end refuses with 488
		profiles string
		end      string
	}{
		{"takes keys with AVP", sdp.Preferred, 0, "RTP/AVP+", ""},
		{"demands SAVP", sdp.Preferred, 1, "RTP/AVP+ RTP/SAVP+", ""},
		{"has no encryption", sdp.Preferred, 2, "RTP/AVP+ RTP/SAVP+ RTP/AVP", ""},
		{"takes nothing", sdp.Preferred, 3, "RTP/AVP+ RTP/SAVP+ RTP/AVP", "ended rejected 488"},
		{"required", sdp.Required, 1, "RTP/SAVP+", "ended rejected 488"},
		{"off", sdp.Clear, 1, "RTP/AVP", "ended rejected 488"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b := secure(t)
				var profiles []string
				b.take = func(call *Call) {
					_, rest, _ := strings.Cut(string(call.offered), "m=audio 4000 ")
					p, _, _ := strings.Cut(rest, " ")
					if strings.Contains(rest, "a=crypto:") {
						p += "+"
					}
					if profiles = append(profiles, p); len(profiles) <= c.refuse {
						call.Reject(488, "")
					} else {
						call.Answer(b.keyed(sdp.Preferred, sdp.NewKeys()))
					}
				}
				ca := a.call(b, "701", byTLS(a.keyed(c.security, sdp.NewKeys())))
				synctest.Wait()
				if got := strings.Join(profiles, " "); got != c.profiles {
					t.Errorf("offered %s, want %s", got, c.profiles)
				}
				if c.end != "" {
					a.expectEnd(ca, c.end)
					return
				}
				if m := a.media(ca); m.Secure() != strings.HasSuffix(c.profiles, "+") {
					t.Errorf("encrypted: %v", m.Secure())
				}
				ca.Hangup("")
				synctest.Wait()
			})
		})
	}
}

// secureCall is a call by TLS with keys on both sides, from a to b, which has answered.
func secureCall(t testing.TB) (a, b *side, ca, cb *Call) {
	_, a, b = secure(t)
	ca = a.call(b, "701", byTLS(a.keyed(sdp.Required, sdp.NewKeys())))
	cb = b.incoming()
	cb.Answer(b.keyed(sdp.Required, sdp.NewKeys()))
	return a, b, ca, cb
}

// The process dies, and the keys with it: the next life offers new ones.
func TestRestoreWithNewKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, ca, cb := secureCall(t)
		before := b.media(cb)
		text, err := json.Marshal(cb.Dialog())
		if err != nil {
			t.Fatal(err)
		}
		noKey(t, string(text), before.Ours, before.Theirs)
		var d Dialog
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		b.ua.remove(cb)
		cb.must(func() { cb.refresh.stop(); cb.expiry.stop() })
		l := b.keyed(sdp.Required, sdp.NewKeys())
		restored, err := b.ua.Restore(d, l, b.handle)
		if err != nil {
			t.Fatal(err)
		}
		restored.Update(l)
		mb, ma := b.media(restored), a.media(ca)
		if mb.Suite != before.Suite || mb.Ours.Equal(before.Ours) || !mb.Theirs.Equal(before.Theirs) || !ma.Theirs.Equal(mb.Ours) {
			t.Errorf("suite %q, our key is new: %v, theirs is the same: %v", mb.Suite, !mb.Ours.Equal(before.Ours), mb.Theirs.Equal(before.Theirs))
		}
		if v := restored.Dialog().Local.Version; v != d.Local.Version+1 {
			t.Errorf("version %d after %d", v, d.Local.Version)
		}
		ca.Hangup("")
		b.expectEnd(restored, "ended remote 0")
	})
}

// Whatever an owner asks for, no key leaves by UDP.
func TestKeysNeverInClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := secure(t)
		n.Tap(func(p siptest.Packet) {
			if strings.Contains(string(p.Data), "inline:") {
				t.Errorf("a key by %s:\n%s", p.Network, p.Data)
			}
		})
		// The way to the target is UDP; the keys force TLS, which port 5060 does not speak.
		ca := a.call(b, "701", func(o *Invite) { o.Media = a.keyed(sdp.Required, sdp.NewKeys()) })
		a.expectEnd(ca, "ended unreachable 503")
		// A call by UDP that is answered with keys: nothing is sent.
		cb := a.call(b, "702", func(o *Invite) { o.LateOffer = true })
		b.incoming().Answer(b.keyed(sdp.Required, sdp.NewKeys()))
		synctest.Wait()
		if cb.Answered() {
			t.Error("answered with keys by UDP")
		}
	})
}

// RFC 3264 §6.1: who is offered a new key is told it before the far end can have the answer and use it.
func TestNewKeyIsToldBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, ca, cb := secureCall(t)
		synctest.Wait()
		a.forget(ca)
		b.forget(cb)
		var told []sdp.Media
		b.mu.Lock()
		b.on = func(_ *Call, ev Event) {
			if ev, ok := ev.(KeyAgreed); ok {
				time.Sleep(100 * time.Millisecond) // what was sent before this would arrive meanwhile
				told = append(told, ev.Media)
				a.expect(ca)
			}
		}
		b.mu.Unlock()
		for range 2 { // the second time the key is the same
			if len(told) == 0 {
				ca.Update(a.keyed(sdp.Required, sdp.NewKeys()))
			} else {
				l := ca.Dialog().Local
				l.Direction = sdp.SendOnly
				ca.Update(l)
			}
			time.Sleep(time.Second)
			if m := b.media(cb); len(told) != 1 || !m.Theirs.Equal(told[0].Theirs) || !a.media(ca).Ours.Equal(m.Theirs) {
				t.Fatalf("told %d times", len(told))
			}
		}
	})
}

// The far end gives a new key in the answer to our offer, in its 200 or in an ACK: packets under it may be here already.
func TestNewKeyInAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, ca, cb := secureCall(t)
		synctest.Wait()
		var told []sdp.Media
		a.mu.Lock()
		a.on = func(_ *Call, ev Event) {
			if ev, ok := ev.(KeyAgreed); ok {
				told = append(told, ev.Media)
			}
		}
		a.mu.Unlock()
		cb.must(func() { cb.d.Local.Keys = sdp.NewKeys() })
		l := ca.Dialog().Local
		l.Direction = sdp.SendOnly
		ca.Update(l)
		if m := a.media(ca); len(told) != 1 || !m.Theirs.Equal(told[0].Theirs) || !b.media(cb).Ours.Equal(m.Theirs) {
			t.Errorf("told %d times", len(told))
		}
	})
}

// RFC 3711 §9.1: who comes back to a suite, from another one or from a time in the clear, is given another key of ours, as
// the counters of what is sent under it begin anew. Who stays gets the same.
func TestASuiteThatComesBackHasAnotherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := secure(t)
		ka := sdp.NewKeys()
		ca := a.call(b, "701", byTLS(a.keyed(sdp.Preferred, ka)))
		cb := b.incoming()
		cb.Answer(b.keyed(sdp.Preferred, sdp.NewKeys()))
		first := b.media(cb).Suite
		var ours []string
		for _, suite := range []string{first, first, "AES_CM_128_HMAC_SHA1_80", first, "", first, first} {
			security := sdp.Preferred
			if suite == "" {
				security = sdp.Clear
			}
			ca.must(func() { ca.d.Local.Suite = suite }) // a far end that changes its mind
			ca.Update(a.keyed(security, ka))
			ma, mb := a.media(ca), b.media(cb)
			if ma.Suite != suite || !ma.Ours.Equal(mb.Theirs) || !ma.Theirs.Equal(mb.Ours) {
				t.Fatalf("a %q, b %q, want %q", ma.Suite, mb.Suite, suite)
			}
			ours = append(ours, string(mb.Ours.Key()))
		}
		same := make([]int, len(ours))
		for i, k := range ours {
			same[i] = slices.Index(ours, k)
		}
		if want := []int{0, 0, 2, 3, 4, 5, 5}; !slices.Equal(same, want) {
			t.Errorf("first place of each key: %v, want %v", same, want)
		}
	})
}
