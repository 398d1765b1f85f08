//go:build !race

// The race detector makes sync.Pool, which pion uses, forget at random.

package srtp

import (
	"encoding/binary"
	"testing"
)

func TestNoAllocation(t *testing.T) {
	for _, suite := range suites {
		k := GenerateKey(suite)
		s, o := sealer(t, k, 0), opener(t, k, false)
		b := packet(1, 0)
		seq := uint16(0)
		n := testing.AllocsPerRun(1000, func() {
			seq++
			binary.BigEndian.PutUint16(b[2:], seq)
			out, err := s.RTP(b)
			if err == nil {
				_, err = o.RTP(out)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %.2f allocations for a packet sealed and opened", suite, n)
		}
	}
}
