package sip_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

var addrB = netip.MustParseAddr("10.0.0.2")

// siteEndpoint is an endpoint with a certificate, that knows dock-2 at addrB and tells what callers proved.
func siteEndpoint(t *testing.T, n *siptest.Net, addr netip.Addr, use func(*sip.Config), proved *[]string) *sip.Endpoint {
	cfg := sip.Default()
	cfg.Listen = []string{"tls:" + addr.String() + ":5061"}
	use(&cfg)
	return siptest.Start(t, cfg, []sip.Option{sip.WithNetwork(n.Host(addr)), siptest.WithNames(nil),
		sip.WithAppliances(func(at netip.AddrPort) string {
			if at.Addr() == addrB {
				return "dock-2"
			}
			return ""
		})}, func(e *sip.Endpoint) {
		e.Handle("MESSAGE", func(req *gosip.Request, tx *sip.ServerTx) {
			*proved = slices.Clone(tx.Proved())
			_ = tx.Respond(sip.NewResponse(req, 200, "OK"))
		})
	})
}

// Who is called must prove the name that is expected at its address; who calls is told by what it proves.
func TestSiteCertificates(t *testing.T) {
	year := 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		from, until   time.Duration // of the one that differs, from now
		caller, named string        // names in the certificates
		foreignCaller bool          // has its certificate from another site
		foreignCalled bool
		unproved      bool   // the call ends so
		proved        string // by the caller
	}{
		"both of the site":              {until: year, caller: "dock-1", named: "dock-2", proved: "dock-1"},
		"begins tomorrow, by our clock": {from: 24 * time.Hour, until: year, caller: "dock-1", named: "dock-2", proved: "dock-1"},
		"called of another site":        {until: year, caller: "dock-1", named: "dock-2", foreignCalled: true, unproved: true},
		"called is another appliance":   {until: year, caller: "dock-1", named: "dock-3", unproved: true},
		"called has ended":              {from: -year, until: -time.Hour, caller: "dock-1", named: "dock-2", unproved: true},
		"caller of another site":        {until: year, caller: "dock-1", named: "dock-2", foreignCaller: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, site, foreign := siptest.New(1), siptest.NewSite(t), siptest.NewSite(t)
				now, long := time.Now(), time.Now().Add(year)
				of := func(other bool) *siptest.Site {
					if other {
						return foreign
					}
					return site
				}
				of(c.foreignCaller).Issue("caller", c.caller, now, long)
				of(c.foreignCalled).Issue("called", c.named, now.Add(c.from), now.Add(c.until))
				var proved, none []string
				siteEndpoint(t, n, addrB, func(cfg *sip.Config) { of(c.foreignCalled).Use(cfg, "called", site) }, &proved)
				a := siteEndpoint(t, n, addrA, func(cfg *sip.Config) { of(c.foreignCaller).Use(cfg, "caller", site) }, &none)
				tx := a.Request(request("MESSAGE", "sip:bob@10.0.0.2:5061;transport=tls", "one", 1), sip.Send{})
				codes, _ := collect(tx)
				if c.unproved {
					if len(codes) > 0 || !errors.Is(tx.Err(), sip.ErrUnproved) {
						t.Errorf("got %v, %v", codes, tx.Err())
					}
					return
				}
				if len(codes) != 1 || codes[0] != 200 || (c.proved == "") != (proved == nil) || proved != nil && proved[0] != c.proved {
					t.Errorf("got %v, %v; the caller proved %v, want %q", codes, tx.Err(), proved, c.proved)
				}
			})
		})
	}
}

// The end of a caller's certificate ends what it proves.
func TestEndedCallerProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, site := siptest.New(1), siptest.NewSite(t)
		now := time.Now()
		site.Issue("caller", "dock-1", now.Add(-2*time.Hour), now.Add(-time.Hour))
		site.Issue("called", "dock-2", now, now.Add(time.Hour))
		var proved, none []string
		siteEndpoint(t, n, addrB, func(cfg *sip.Config) { site.Use(cfg, "called", site) }, &proved)
		a := siteEndpoint(t, n, addrA, func(cfg *sip.Config) { site.Use(cfg, "caller", site) }, &none)
		tx := a.Request(request("MESSAGE", "sip:bob@10.0.0.2:5061;transport=tls", "one", 1), sip.Send{})
		if codes, _ := collect(tx); len(codes) != 1 || codes[0] != 200 || proved != nil {
			t.Errorf("got %v, proved %v", codes, proved)
		}
	})
}

// A certificate that is renewed while the appliance runs is used by the next connection; one that cannot be used is not.
func TestCertificateRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, site := siptest.New(1), siptest.NewSite(t)
		now := time.Now()
		site.Issue("caller", "dock-1", now, now.Add(time.Hour))
		site.Issue("called", "dock-9", now, now.Add(time.Hour))
		var proved, none []string
		siteEndpoint(t, n, addrB, func(cfg *sip.Config) { site.Use(cfg, "called", site) }, &proved)
		a := siteEndpoint(t, n, addrA, func(cfg *sip.Config) { site.Use(cfg, "caller", site) }, &none)
		call := func(id string) int {
			codes, _ := collect(a.Request(request("MESSAGE", "sip:bob@10.0.0.2:5061;transport=tls", id, 1), sip.Send{}))
			if len(codes) != 1 {
				return 0
			}
			return codes[0]
		}
		if code := call("before"); code != 0 {
			t.Fatalf("another's certificate: %d", code)
		}
		site.Issue("called", "dock-2", now, now.Add(time.Hour))
		time.Sleep(2 * time.Second)
		if code := call("after"); code != 200 {
			t.Errorf("renewed: %d", code)
		}
	})
}

// Whoever renews his certificate calls by another connection from then on; the old one is kept for answers for a while, and
// does not hold up the end of the endpoint either.
func TestOldConnectionRetires(t *testing.T) {
	for name, wait := range map[string]time.Duration{"ended before it is due": 0, "ended later": 40 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, site := siptest.New(1), siptest.NewSite(t)
				now := time.Now()
				site.Issue("called", "dock-2", now, now.Add(time.Hour))
				var proved, none []string
				siteEndpoint(t, n, addrB, func(cfg *sip.Config) { site.Use(cfg, "called", site) }, &proved)
				site.Issue("caller", "dock-1", now, now.Add(time.Hour))
				a := siteEndpoint(t, n, addrA, func(cfg *sip.Config) { site.Use(cfg, "caller", site) }, &none)
				for i, as := range []string{"dock-1", "dock-8", "dock-9"} {
					site.Issue("caller", as, now, now.Add(time.Hour))
					time.Sleep(2 * time.Second)
					tx := a.Request(request("MESSAGE", "sip:bob@10.0.0.2:5061;transport=tls", as, 1), sip.Send{})
					if codes, _ := collect(tx); len(codes) != 1 || codes[0] != 200 || !slices.Equal(proved, []string{as}) {
						t.Errorf("call %d: got %v, %v; proved %v, want %s", i, codes, tx.Err(), proved, as)
					}
				}
				time.Sleep(wait)
			})
		})
	}
}
