package media

import (
	"net/netip"
	"testing"
)

// A Configure that comes between the packet that a source is believed by and the change of our target does not lose that source.
func TestLatchOutlivesConfigure(t *testing.T) {
	r := newRig(t)
	s := r.session(t)
	p := s.wiring.Load().params
	public := netip.MustParseAddrPort("203.0.113.7:5000")
	p.Remote, p.SignalledFrom = netip.MustParseAddrPort("192.168.1.20:4000"), public.Addr()
	configure := func() {
		t.Helper()
		if err := s.Configure(p); err != nil {
			t.Fatal(err)
		}
	}
	configure()
	for range probationStranger {
		r.next()
		s.receive(r.packet, public, r.clock.now)
	}
	s.remote.Store(&p.Remote) // as if it had come with the wiring before
	configure()
	r.next()
	s.receive(r.packet, public, r.clock.now)
	if to, _ := s.target(); to != public {
		t.Errorf("our packets go to %v", to)
	}
}
