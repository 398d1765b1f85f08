package sip_test

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

// A listener on an interface waits for its first address, follows it to another and waits again when it is gone.
func TestListenerFollowsItsInterface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		host := n.Roamer()
		far := siptest.NewEndpoint(t, n, "10.0.0.9")
		told := map[string]error{}
		var tellMu sync.Mutex // two listeners tell at a time
		cfg := sip.Default()
		cfg.Listen = []string{"udp:eth0:5060", "tcp:eth0:5060"}
		e := siptest.Start(t, cfg, host.Options(), func(e *sip.Endpoint) {
			e.OnHealth(func(listen string, err error) {
				tellMu.Lock()
				defer tellMu.Unlock()
				told[listen] = err
			})
		})
		ask := func(e *sip.Endpoint, uri string) int {
			t.Helper()
			codes, _ := collect(e.Request(request("OPTIONS", uri, "o"+time.Now().String(), 1), sip.Send{}))
			if len(codes) == 0 {
				return 0
			}
			return codes[len(codes)-1]
		}
		expect := func(at string) {
			t.Helper()
			synctest.Wait()
			want := "[udp:" + at + ":5060 tcp:" + at + ":5060]"
			if at == "" {
				want = "[]"
			}
			if got := fmt.Sprint(e.Listening()); got != want {
				t.Fatalf("listens on %v, want %v", got, want)
			}
			if got := e.ContactFor("10.0.0.9", "udp"); got.Host != at {
				t.Errorf("contact %s, want %s", got.String(), at)
			}
			for listen, err := range told {
				if (err == nil) != (at != "") {
					t.Errorf("%s: health %v", listen, err)
				}
			}
			if at == "" {
				return
			}
			for _, by := range []string{"udp", "tcp"} {
				if code := ask(far, "sip:"+at+";transport="+by); code != 200 {
					t.Errorf("OPTIONS to %s by %s: %d", at, by, code)
				}
				if code := ask(e, "sip:10.0.0.9;transport="+by); code != 200 {
					t.Errorf("OPTIONS from %s by %s: %d", at, by, code)
				}
			}
		}
		synctest.Wait()
		if len(told) != 2 || told["udp:eth0:5060"] == nil || !strings.Contains(told["udp:eth0:5060"].Error(), "no address") {
			t.Errorf("told %v", told)
		}
		expect("")
		for _, at := range []string{"10.0.0.1", "10.0.0.2", "", "10.0.0.2", "10.0.0.1"} {
			addr, _ := netip.ParseAddr(at)
			host.Move(addr)
			e.AddressesChanged(nil)
			expect(at)
			if at != "" && n.Bound(netip.MustParseAddrPort("10.0.0.1:5060")) != (at == "10.0.0.1") {
				t.Errorf("at %s: the socket of the other address", at)
			}
		}
		if r := e.Stats().Restarts; r != 0 {
			t.Errorf("%d listeners died", r)
		}
	})
}

// Without being told, a listener finds the address by itself, a little later.
func TestListenerFindsItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		host := n.Roamer()
		cfg := sip.Default()
		cfg.Listen = []string{"udp:eth0:5060"}
		e := siptest.Start(t, cfg, host.Options())
		host.Move(addrA)
		time.Sleep(10 * time.Second)
		if got := fmt.Sprint(e.Listening()); got != "[udp:10.0.0.1:5060]" {
			t.Errorf("listens on %v", got)
		}
	})
}

// An address that a DHCP server has not given yet is listened on as soon as it is there.
func TestListenerWaitsForItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		host := n.Roamer()
		cfg := sip.Default()
		cfg.Listen = []string{"udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"}
		e := siptest.Start(t, cfg, host.Options())
		if got := e.Listening(); len(got) != 0 {
			t.Errorf("listens on %v without an address", got)
		}
		host.Move(addrA)
		e.AddressesChanged(nil)
		if got := fmt.Sprint(e.Listening()); got != "[udp:10.0.0.1:5060 tcp:10.0.0.1:5060]" {
			t.Errorf("listens on %v", got)
		}
	})
}

// A request that waits for its answer on a connection of the old address is told at once.
func TestConnectionsOfAnAddressThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		siptest.NewEndpoint(t, n, "10.0.0.9", func(e *sip.Endpoint) {
			e.Handle("INVITE", func(req *gosip.Request, tx *sip.ServerTx) {
				_ = tx.Respond(gosip.NewResponseFromRequest(req, 180, "Ringing", nil))
			})
		})
		e := siptest.NewEndpoint(t, n, "10.0.0.1")
		began := time.Now()
		tx := e.Request(request("INVITE", "sip:x@10.0.0.9;transport=tcp", "gone", 1), sip.Send{})
		synctest.Wait()
		e.AddressesChanged([]netip.Addr{netip.MustParseAddr("10.0.0.5")})
		synctest.Wait()
		if s := e.Stats(); s.Connections != 1 {
			t.Errorf("%d connections", s.Connections)
		}
		e.AddressesChanged([]netip.Addr{addrA})
		if _, err := collect(tx); time.Since(began) > time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestInterfaceInListen(t *testing.T) {
	for text, ok := range map[string]bool{
		"udp:eth0:5060": true, "tcp:[br-lan.5]:5061": true, "udp:wlan0:0": false, "udp:eth0": false, "udp::5060": false,
		"udp:0th:5060": false, "udp:averylonginterface:5060": false, "udp:[eth0:5060": false, "udp:eth0:70000": false,
		"udp:224.0.0.1:5060": false, "udp:255.255.255.255:5060": false, "udp:0.0.0.0:5060": false, "udp:[ff02::1]:5060": false,
	} {
		cfg := sip.Default()
		cfg.Listen = []string{text}
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestHostOfAURI(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.1": "192.0.2.1", "2001:db8::1": "[2001:db8::1]", "::ffff:192.0.2.1": "192.0.2.1"} {
		if got := sip.Host(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}
