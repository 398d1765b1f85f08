package wire

import (
	"net/netip"
	"testing"

	"parklamp/parkd/federation"
	"parklamp/sip/call"
)

// Only appliances of the site may open this one's microphone.
func TestOnlyPeersPage(t *testing.T) {
	a := &Appliance{}
	a.cfg.Federation.Peers = []federation.Peer{{Name: "dock-2", Address: netip.MustParseAddrPort("192.0.2.2:5060")}}
	for source, want := range map[string]bool{"192.0.2.2:5060": true, "192.0.2.2:39012": true, "[::ffff:192.0.2.2]:5060": true, "192.0.2.3:5060": false} {
		if got := a.fromPeer(call.Info{Source: netip.MustParseAddrPort(source)}); got != want {
			t.Errorf("a call from %s may page: %v, want %v", source, got, want)
		}
	}
	// With certificates of the site the address says nothing.
	a.cfg.Federation.Proof = true
	for _, c := range []struct {
		source string
		proved []string
		want   bool
	}{{"192.0.2.2:5060", nil, false}, {"192.0.2.9:40000", []string{"dock-2"}, true}, {"192.0.2.2:40000", []string{"dock-3"}, false}} {
		if got := a.fromPeer(call.Info{Source: netip.MustParseAddrPort(c.source), Proved: c.proved}); got != c.want {
			t.Errorf("a call from %s that proved %v may page: %v", c.source, c.proved, got)
		}
	}
}
