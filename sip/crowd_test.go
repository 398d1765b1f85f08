package sip_test

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

// dialFrom connects from an address to the endpoint at 10.0.0.1.
func dialFrom(t *testing.T, n *siptest.Net, from string, port uint16) net.Conn {
	t.Helper()
	a := netip.MustParseAddr(from)
	c, err := n.Host(a).Dial(t.Context(), a, netip.AddrPortFrom(addrA, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// pings shows that a connection is open and speaks SIP.
func pings(t *testing.T, c net.Conn) bool {
	t.Helper()
	_, _ = c.Write([]byte("\r\n\r\n")) // an error shows in what is read
	return readSome(t, c) == "\r\n"
}

// Two addresses take all connections: silent ones, and then some that speak. Who comes from a third gets in all the same,
// and stays in.
func TestCrowdKeepsNobodyOut(t *testing.T) {
	for name, speak := range map[string]bool{"silent": false, "speaking": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.New(1)
				cfg := sip.Default()
				cfg.Listen, cfg.MaxConnections = []string{"tcp:10.0.0.1:5060"}, 20
				siptest.Start(t, cfg, []sip.Option{sip.WithNetwork(n.Host(addrA))})
				early := dialFrom(t, n, "10.0.0.7", 5060)
				if !pings(t, early) {
					t.Fatal("the first is not let in")
				}
				crowd := func() {
					for range 50 {
						for _, from := range []string{"10.0.0.8", "10.0.0.9"} {
							c := dialFrom(t, n, from, 5060)
							if speak {
								pings(t, c)
							}
						}
					}
				}
				crowd()
				late := dialFrom(t, n, "10.0.0.6", 5060)
				if !pings(t, late) {
					t.Error("whoever comes later is kept out")
				}
				crowd()
				if !pings(t, early) || !pings(t, late) {
					t.Error("the crowd has driven somebody else out")
				}
			})
		})
	}
}

// A handshake that does not go on ends after 10 s, and one address begins only so many in a second.
func TestHandshakeLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, site := siptest.New(1), siptest.NewSite(t)
		site.Issue("called", "dock-1", time.Now(), time.Now().Add(time.Hour))
		var proved []string
		e := siteEndpoint(t, n, addrA, func(cfg *sip.Config) { site.Use(cfg, "called", site) }, &proved)
		half := dialFrom(t, n, "10.0.0.8", 5061)
		if _, err := half.Write([]byte{22, 3, 1, 2, 0, 1}); err != nil { // the begin of a ClientHello of 512 octets
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		if got := readSome(t, half); got != "" {
			t.Errorf("after 9 s: %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := readSome(t, half); got != "EOF" {
			t.Errorf("after 11 s: %q", got)
		}
		closed := 0
		for range 100 {
			if readSome(t, dialFrom(t, n, "10.0.0.8", 5061)) == "EOF" {
				closed++
			}
		}
		if closed < 70 || e.Stats().Dropped["connections"] < 70 {
			t.Errorf("%d of 100 handshakes at once were refused", closed)
		}
	})
}
