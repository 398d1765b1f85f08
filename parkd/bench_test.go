package parkd

import "testing"

// BenchmarkParkFetch is one call through an orbit of a lot with nine others taken.
func BenchmarkParkFetch(b *testing.B) {
	m := New(Default(), "dock-1", epoch0)
	for _, leg := range []LegID{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		m.Step(t0, Park{Token: string(leg), Leg: leg})
		m.Step(t0, ClaimResult{Token: string(leg), Orbit: "70" + string(leg), Granted: true})
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Step(t0, Park{Token: "p", Leg: "a"})
		m.Step(t0, ClaimResult{Token: "p", Orbit: "710", Granted: true})
		m.Step(t0, Fetch{Token: "f", Orbit: "710"})
		m.Step(t0, JoinResult{Token: "f", OK: true})
	}
	if len(m.hosted) != 9 {
		b.Fatalf("%d calls hosted, want 9", len(m.hosted))
	}
}
