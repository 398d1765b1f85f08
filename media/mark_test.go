package media

import (
	"net/netip"
	"testing"
)

// Another DSCP holds for calls that are there, for one that moves to another address and for the next.
func TestSetDSCP(t *testing.T) {
	r := newRig(t)
	marked := func(s *Session) [2]int {
		pair := s.pair.Load()
		return [2]int{pair.RTP.(*deadConn).dscp, pair.RTCP.(*deadConn).dscp}
	}
	early, moved := r.session(t), r.session(t)
	if got := marked(early); got != [2]int{46, 46} {
		t.Errorf("at first %v", got)
	}
	r.engine.SetDSCP(34)
	if err := moved.Move(netip.MustParseAddr("10.0.0.2")); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Session{"early": early, "moved": moved, "late": r.session(t)} {
		if got := marked(s); got != [2]int{34, 34} {
			t.Errorf("%s: %v, want 34", name, got)
		}
	}
}
