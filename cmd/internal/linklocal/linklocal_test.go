package linklocal

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

var mac, other = [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}

func TestCandidate(t *testing.T) {
	seen := map[netip.Addr]bool{}
	for n := range 1000 {
		a := candidate(mac, n)
		if b := a.As4(); !a.IsLinkLocalUnicast() || b[2] == 0 || b[2] == 255 {
			t.Fatal(a)
		}
		seen[a] = true
	}
	if len(seen) < 900 {
		t.Errorf("%d addresses", len(seen))
	}
	// RFC 3927 §2.1: the same host begins with the same address each time, another host with another one.
	first := candidate(mac, 0)
	if again := candidate(mac, 0); again != first || candidate(other, 0) == first {
		t.Errorf("first %v, again %v, another host %v", first, again, candidate(other, 0))
	}
}

func TestFrame(t *testing.T) {
	p := packet{request, mac, netip.MustParseAddr("169.254.1.2"), netip.MustParseAddr("169.254.1.3")}
	if got, ok := parse(p.frame()); !ok || got != p {
		t.Errorf("%+v %t", got, ok)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(packet{request, mac, netip.MustParseAddr("169.254.1.2"), netip.IPv4Unspecified()}.frame())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := parse(b); ok {
			if again, ok := parse(p.frame()); !ok || again != p {
				t.Fatalf("%+v, %+v", p, again)
			}
		}
	})
}

// A free address is ours after three probes; one that somebody has or asks for is not.
func TestClaim(t *testing.T) {
	addr := candidate(mac, 0)
	for name, c := range map[string]struct {
		from, to netip.Addr
		want     bool
	}{
		"free":                  {netip.MustParseAddr("192.0.2.1"), addr, true},
		"taken":                 {addr, netip.MustParseAddr("192.0.2.1"), false},
		"wanted by another too": {netip.IPv4Unspecified(), addr, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			heard, sent := make(chan packet, 1), 0
			heard <- packet{request, other, c.from, c.to}
			begin := time.Now()
			got := claim(t.Context(), heard, func(packet) { sent++ }, mac, addr)
			if got != c.want || got && (sent != probeNum || time.Since(begin) > 8*time.Second) {
				t.Errorf("%s: %t after %d probes and %v", name, got, sent, time.Since(begin))
			}
		})
	}
}

// Who is asked once defends the address, who is asked twice within 10 s gives it up.
func TestDefend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addr := candidate(mac, 0)
		heard, sent := make(chan packet), 0
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() { defer close(done); defend(ctx, heard, func(packet) { sent++ }, mac, addr) }()
		time.Sleep(time.Minute)
		heard <- packet{request, other, addr, addr}
		synctest.Wait()
		if sent != announceNum+1 {
			t.Errorf("%d announcements", sent)
		}
		time.Sleep(defendInterval + time.Second)
		heard <- packet{request, other, addr, addr}
		time.Sleep(time.Second)
		heard <- packet{request, other, addr, addr}
		<-done
		if sent != announceNum+2 {
			t.Errorf("%d announcements", sent)
		}
	})
}
