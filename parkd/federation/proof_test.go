package federation

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/parkd"
	"parklamp/sip/event"
	"parklamp/sip/event/pidf"
	"parklamp/sip/siptest"
)

// Who is not in the list of peers learns nothing and claims nothing; the reason is told to people.
func TestStrangersAreRefused(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2", "rogue"}, func(l *lan) {
		d1, rogue := l.all[0], l.all[2]
		d1.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p")
		if o := rogue.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "703"}, "p"); !o.ok {
			t.Errorf("alone, a stranger parks by itself: %+v", o)
		}
		time.Sleep(10 * time.Second)
		if v := rogue.view("701"); v.State != parkd.ViewUnknown {
			t.Errorf("the stranger sees 701 as %v", v.State)
		}
		if v := d1.view("703"); len(v.Calls) != 1 || v.State != parkd.ViewHere {
			t.Errorf("dock-1 believes the stranger: %+v", v)
		}
		if err := rogue.fault("dock-1"); !errors.Is(err, ErrRefused) {
			t.Errorf("the stranger's health says %v", err)
		}
	}, func(c *Config) {
		if c.Name != "rogue" {
			c.Peers = c.Peers[:1]
		}
	})
}

// The source of a datagram can be forged, so that it proves no peer: the documents name the dialogs of parked callers.
func TestADatagramProvesNoPeer(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2"}, func(l *lan) {
		f, source := l.all[0].fed, netip.AddrPortFrom(l.all[1].addr, 5060)
		req := gosip.NewRequest(gosip.SUBSCRIBE, gosip.Uri{Scheme: "sip", User: "dock-1", Host: "10.0.0.1"})
		req.AppendHeader(&gosip.FromHeader{Address: gosip.Uri{Scheme: "sip", User: "dock-2", Host: "parklamp.invalid"}})
		for transport, code := range map[string]int{"udp": 403, "tcp": 200, "tls": 200} {
			if ok := f.authorize(req, event.Request{Source: source, Transport: transport}); ok != (code == 200) {
				t.Errorf("%s: subscription let in: %v", transport, ok)
			}
			got, _ := f.published(event.Publication{Kind: event.Initial, From: "sip:dock-2@parklamp.invalid", Source: source,
				Transport: transport, ContentType: pidf.ContentType, Body: marshalClaim("dock-2", wordClaim, "t", "701")})
			if got != code {
				t.Errorf("%s: claim answered %d, want %d", transport, got, code)
			}
		}
	})
}

func TestWrongNameIsAHealthCondition(t *testing.T) {
	onLAN(t, []string{"dock-1", "dock-2"}, func(l *lan) {
		time.Sleep(10 * time.Second)
		if err := l.all[0].fault("dock-3"); !errors.Is(err, ErrStranger) {
			t.Errorf("health says %v", err)
		}
		if o := l.all[0].ask(parkd.Park{Token: "p", Leg: "a"}, "p"); !o.ok {
			t.Errorf("park all the same: %+v", o)
		}
	}, func(c *Config) {
		if c.Name == "dock-1" {
			c.Peers[0].Name = "dock-3"
		}
	})
}

// issue gives the appliances of a LAN certificates of one site.
func issue(names ...string) func(l *lan) {
	return func(l *lan) {
		l.site = siptest.NewSite(l.t)
		for _, name := range names {
			l.site.Issue(name, name, time.Now(), time.Now().AddDate(1, 0, 0))
		}
	}
}

// With certificates of the site everything is as without, and a dead peer is seen as fast.
func TestPeersByTLS(t *testing.T) {
	names := []string{"dock-1", "dock-2", "office"}
	onSite(t, names, issue(names...), func(l *lan) {
		d1, d2, office := l.all[0], l.all[1], l.all[2]
		for i, a := range l.all[:2] {
			if o := a.ask(parkd.Park{Token: "p", Leg: "a", Orbit: fmt.Sprintf("70%d", i+1)}, "p"); !o.ok {
				t.Fatalf("%s parks: %+v", a.name, o)
			}
		}
		l.within(100*time.Millisecond, "lamps", func() bool {
			return office.view("701").State == parkd.ViewElsewhere && d1.view("702").State == parkd.ViewElsewhere
		})
		d2.kill()
		d := l.within(3*time.Second, "unknown", func() bool {
			return l.allSee("702", d2, func(_ *appliance, v parkd.OrbitView) bool { return v.State == parkd.ViewUnknown })
		})
		t.Logf("dead seen after %v", d)
		time.Sleep(40 * time.Second)
		d2.start(2000)
		d = l.within(5*time.Second, "back", func() bool { return d2.view("701").State == parkd.ViewElsewhere })
		t.Logf("back after %v", d)
	})
}

// Who does not prove by the site's certificate that it is the peer of that name is none, and people are told.
func TestUnprovedPeers(t *testing.T) {
	names := []string{"dock-1", "dock-2"}
	for name, spoil := range map[string]func(l *lan, s *siptest.Site){
		"another site": func(l *lan, s *siptest.Site) {
			s.Issue("dock-2", "dock-2", time.Now(), time.Now().AddDate(1, 0, 0))
			l.foreign = map[string]*siptest.Site{"dock-2": s}
		},
		"another appliance's": func(l *lan, _ *siptest.Site) {
			l.site.Issue("dock-2", "dock-3", time.Now(), time.Now().AddDate(1, 0, 0))
		},
		"a certificate that ended": func(l *lan, _ *siptest.Site) {
			l.site.Issue("dock-2", "dock-2", time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onSite(t, names, func(l *lan) {
				issue(names...)(l)
				spoil(l, siptest.NewSite(t))
			}, func(l *lan) {
				d1, d2 := l.all[0], l.all[1]
				d1.ask(parkd.Park{Token: "p", Leg: "a", Orbit: "701"}, "p")
				time.Sleep(10 * time.Second)
				if v := d2.view("701"); v.State == parkd.ViewElsewhere {
					t.Errorf("dock-2 sees 701 as %v", v.State)
				}
				if err := d1.fault("dock-2"); !errors.Is(err, ErrUnproved) && !errors.Is(err, ErrSilent) {
					t.Errorf("health of dock-2 says %v", err)
				}
				if l.foreign != nil {
					return
				}
				// Renewed while both run.
				l.site.Issue("dock-2", "dock-2", time.Now(), time.Now().AddDate(1, 0, 0))
				time.Sleep(10 * time.Second)
				l.within(40*time.Second, "peers", func() bool { return d2.view("701").State == parkd.ViewElsewhere })
				if err := d1.fault("dock-2"); err != nil {
					t.Errorf("renewed, health says %v", err)
				}
			})
		})
	}
}

// With certificates an address, a name and TCP prove nothing.
func TestAddressProvesNoPeerWithCertificates(t *testing.T) {
	names := []string{"dock-1", "dock-2"}
	onSite(t, names, issue(names...), func(l *lan) {
		f, source := l.all[0].fed, netip.AddrPortFrom(l.all[1].addr, 5061)
		req := gosip.NewRequest(gosip.SUBSCRIBE, gosip.Uri{Scheme: "sip", User: "dock-1", Host: "10.0.0.1"})
		req.AppendHeader(&gosip.FromHeader{Address: gosip.Uri{Scheme: "sip", User: "dock-2", Host: "parklamp.invalid"}})
		for _, c := range []struct {
			transport string
			proved    []string
			in        bool
		}{{"tcp", nil, false}, {"tls", nil, false}, {"tls", []string{"dock-3"}, false}, {"tls", []string{"dock-2"}, true}} {
			if ok := f.authorize(req, event.Request{Source: source, Transport: c.transport, Proved: c.proved}); ok != c.in {
				t.Errorf("%+v: let in: %v", c, ok)
			}
			code, _ := f.published(event.Publication{Kind: event.Initial, From: "sip:dock-2@parklamp.invalid", Source: source, Proved: c.proved,
				Transport: c.transport, ContentType: pidf.ContentType, Body: marshalClaim("dock-2", wordClaim, "t", "701")})
			if (code == 200) != c.in {
				t.Errorf("%+v: claim answered %d", c, code)
			}
		}
	})
}
