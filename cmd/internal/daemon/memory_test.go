package daemon

import (
	"context"
	"runtime"
	"testing"
)

func TestSurplus(t *testing.T) {
	const mb = 1 << 20
	for _, tc := range []struct {
		name string
		now  heap
		busy bool
		want bool
	}{
		{"idle", heap{allocated: 100 * mb, live: 3 * mb, held: 6 * mb}, false, false},
		{"a few have come", heap{allocated: 101 * mb, live: 3 * mb, held: 6 * mb}, true, true},
		{"they are still coming", heap{allocated: 110 * mb, live: 3 * mb, held: 6 * mb}, true, false},
		{"a crowd has gathered", heap{allocated: 101 * mb, live: 12 * mb, held: 24 * mb}, false, true},
		{"it is still coming", heap{allocated: 110 * mb, live: 12 * mb, held: 24 * mb}, false, false},
		{"given back", heap{allocated: 100 * mb, live: 12 * mb, held: 13 * mb}, false, false},
		{"large and busy between two collections", heap{allocated: 101 * mb, live: 60 * mb, held: 80 * mb}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.now.surplus(heap{allocated: 100 * mb}, tc.busy); got != tc.want {
				t.Errorf("surplus %t, want %t", got, tc.want)
			}
		})
	}
}

func TestHeapNowKnowsTheNamesOfTheRuntime(t *testing.T) {
	runtime.GC()
	if h := heapNow(); h.allocated == 0 || h.live == 0 || h.held < h.live {
		t.Errorf("%+v", h)
	}
}

func TestThriftEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	thrift(ctx)
}
