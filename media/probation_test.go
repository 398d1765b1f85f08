package media

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var (
	natted  = netip.MustParseAddrPort("192.168.1.20:4000") // what the SDP says
	nat     = netip.MustParseAddr("203.0.113.7")
	outside = netip.AddrPortFrom(nat, 1025) // where the far end's packets come from
)

// talks lets a source send for a while and reports whether its last packet was taken.
func (l *latch) talks(from netip.AddrPort, ssrc uint32, at, d time.Duration) (ok bool) {
	for n := range d / FrameDuration {
		ok, _ = l.admit(from, ssrc, uint16(n), at+n*FrameDuration)
	}
	return ok
}

// Who is behind the same NAT, or forges its address, takes no place of a far end that has shown itself: neither when its session
// is refreshed, though he has the port that is signalled, nor when it is silent.
func TestNobodyTakesThePlaceOfTheFarEnd(t *testing.T) {
	const hour = time.Hour
	for _, tc := range []struct {
		name   string
		talked time.Duration
		silent time.Duration
		again  bool // the same is agreed anew, in the middle of what it says
		thief  netip.AddrPort
	}{
		{"it talks, with the signalled port", hour, 0, false, netip.AddrPortFrom(nat, natted.Port())},
		{"it talks and is agreed anew, with the signalled port", hour, 0, true, netip.AddrPortFrom(nat, natted.Port())},
		{"it talked for 4 s and is silent", 4 * time.Second, hour, false, netip.AddrPortFrom(nat, 1026)},
		{"it talked for little more than 1 s and is silent", 1100 * time.Millisecond, hour, false, netip.AddrPortFrom(nat, 1026)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var l latch
			at := time.Second
			l.signal(natted, nat, at)
			if !l.talks(outside, 1, at, tc.talked) {
				t.Fatal("the far end is not believed")
			}
			at += tc.talked + tc.silent
			if tc.again {
				l.signal(natted, nat, at)
				l.admit(outside, 1, uint16(tc.talked/FrameDuration), at)
			}
			if l.talks(tc.thief, 7, at, time.Second) || l.current != outside {
				t.Errorf("ours go to %s, want %s", l.current, outside)
			}
		})
	}
}

// A far end that goes on after a restart of ours is the one that it was, whoever behind the same NAT was faster.
func TestResumedSourceIsBelieved(t *testing.T) {
	const at = time.Hour
	l := resumed(natted, outside, at)
	l.signal(natted, nat, at)
	if l.talks(netip.AddrPortFrom(nat, natted.Port()), 7, at, relatchSilence) {
		t.Error("somebody else behind the same NAT is believed")
	}
	if ok, moved := l.admit(outside, 1, 9, at+relatchSilence); !ok || moved {
		t.Errorf("the far end's first packet: taken %v, moved %v", ok, moved)
	}
}

// A description that names a private address takes the far end away only for as long as packets may have been on their way.
func TestSourceGoesOnAfterAnotherDescription(t *testing.T) {
	var l latch
	l.signal(outside, nat, 0)
	if !l.talks(outside, 1, 0, time.Second) {
		t.Fatal("the far end is not believed")
	}
	l.signal(natted, nat, time.Second)
	if l.talks(outside, 1, time.Second, relatchSilence) {
		t.Error("packets that were on their way are taken for the far end's")
	}
	other := netip.MustParseAddrPort("198.51.100.66:4000")
	if at := time.Second + relatchSilence; l.talks(other, 1, at, time.Second) || !l.talks(outside, 1, at, time.Second) || l.current != outside {
		t.Errorf("ours go to %s, want %s", l.current, outside)
	}
}

// Sources that are not believed, however many take turns, keep out nobody who goes on; also those that begin to count again and
// again, or never come twice.
func TestFarEndAmongForgedSources(t *testing.T) {
	for _, tc := range []struct {
		name    string
		sources int // each sends a packet in each 20 ms
		seq     func(n int) uint16
		port    func(n, source int) uint16
	}{
		{"five", 5, func(n int) uint16 { return uint16(7 * n) }, func(_, p int) uint16 { return uint16(30000 + p) }},
		{"five that come thrice in sequence", 5, func(n int) uint16 { return uint16(n%3 + 7*(n/3)) }, func(_, p int) uint16 { return uint16(30000 + p) }},
		{"twenty", 20, func(n int) uint16 { return uint16(7 * n) }, func(_, p int) uint16 { return uint16(30000 + p) }},
		{"twenty that never come twice", 20, func(n int) uint16 { return uint16(n) }, func(n, p int) uint16 { return uint16(20000 + (20*n+p)%40000) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var l latch
			l.signal(natted, nat, time.Second)
			believed, r := -1, rand.New(rand.NewPCG(1, 2))
			for n := range 500 {
				at := time.Second + time.Duration(n)*FrameDuration
				far := r.IntN(tc.sources + 1)
				for p := range tc.sources + 1 {
					at += time.Duration(r.Int64N(int64(FrameDuration) / int64(tc.sources+1)))
					switch {
					case p != far:
						l.admit(netip.AddrPortFrom(nat, tc.port(n, p)), 9, tc.seq(n), at)
					case n >= 50: // it comes later
						if ok, _ := l.admit(outside, 1, uint16(n), at); ok && believed < 0 {
							believed = n
						}
					}
				}
			}
			if believed < 0 || l.current != outside {
				t.Errorf("believed at packet %d, ours go to %s", believed, l.current)
			}
		})
	}
}

// However sources take turns, our packets go elsewhere three times in a second at most: each time a parked call is stored anew.
func TestLatchDoesNotFlutter(t *testing.T) {
	sources := []netip.AddrPort{natted, netip.AddrPortFrom(nat, natted.Port()), outside, netip.AddrPortFrom(nat, 1026)}
	most := 0
	for seed := range uint64(2000) {
		r, l := rand.New(rand.NewPCG(seed, 0)), latch{}
		l.signal(natted, nat, 0)
		seq := make([]uint16, len(sources))
		var moves []time.Duration
		for at := time.Duration(0); at < 20*time.Second; {
			i := r.IntN(len(sources))
			other := uint32(r.IntN(2)) // 0: the same stream from everywhere
			for range 1 + r.IntN(6) {
				if _, moved := l.admit(sources[i], other*uint32(i), seq[i], at); moved {
					moves = append(moves, at)
				}
				seq[i]++
				at += time.Duration(r.IntN(20)) * time.Millisecond
			}
			if r.IntN(4) == 0 {
				at += time.Duration(r.IntN(1100)) * time.Millisecond
			}
		}
		for i := range moves {
			within := slices.IndexFunc(moves[i:], func(at time.Duration) bool { return at-moves[i] >= time.Second })
			if within < 0 {
				within = len(moves) - i
			}
			most = max(most, within)
		}
	}
	if most != 3 {
		t.Errorf("they went elsewhere %d times in a second", most)
	}
}
