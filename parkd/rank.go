package parkd

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// Rank orders the appliances for an orbit, or for a call, by rendezvous hashing (highest random weight): all agree on
// it without talking, and when one is gone only its own orbits go to another.
func Rank(key string, names []string) []string {
	type scored struct {
		name  string
		score uint64
	}
	ss := make([]scored, 0, len(names))
	for _, n := range names {
		h := fnv.New64a()
		_, _ = h.Write([]byte(key + "\x00" + n)) // never fails
		ss = append(ss, scored{n, mix(h.Sum64())})
	}
	slices.SortFunc(ss, func(a, b scored) int {
		if a.score != b.score {
			return cmp.Compare(b.score, a.score)
		}
		return cmp.Compare(a.name, b.name)
	})
	out := make([]string, 0, len(ss))
	for _, s := range ss {
		out = append(out, s.name)
	}
	return out
}

// mix spreads FNV's sum over all bits: names that differ in the last letter otherwise rank alike. It
// is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
