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
}
