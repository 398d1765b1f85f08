package daemon

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// memoryLook is how often memory is looked at.
	memoryLook = 5 * time.Second
	// quietRate is how much is allocated in a second, in bytes, while nothing much goes on: reports of calls, no signalling.
	quietRate = 512 << 10
	// leastSurplus is what makes giving back worth a garbage collection, in bytes.
	leastSurplus = 4 << 20
)

// heap is what the runtime says about its memory, in bytes.
type heap struct {
	allocated uint64 // ever
	live      uint64 // found alive by the last collection
	held      uint64 // of the system's memory, for objects dead or alive and for none
}

func heapNow() heap {
	s := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	v := make([]uint64, len(s))
	for i := range s {
		if s[i].Value.Kind() == metrics.KindUint64 {
			v[i] = s[i].Value.Uint64()
		}
	}
	return heap{allocated: v[0], live: v[1], held: v[2] + v[3] + v[4]}
}

// surplus says whether memory is to be given back, by what it was memoryLook ago: what a crowd has left behind, when no more of
// it comes, or what has gathered since.
func (h heap) surplus(before heap, busy bool) bool {
	return !h.busy(before) && (busy || h.held > h.live+max(leastSurplus, h.live/2))
}

// busy says whether much was allocated since memoryLook ago.
func (h heap) busy(before heap) bool {
	return float64(h.allocated-before.allocated)/memoryLook.Seconds() >= quietRate
}

// thrift gives memory back to the system when a crowd has come or gone: what setting up and ending hundreds of calls
// left behind is several times what they keep, and the runtime alone would return it over minutes and keep as much
// again as is alive. It returns when ctx ends.
func thrift(ctx context.Context) {
	look := time.NewTicker(memoryLook)
	defer look.Stop()
	busy := true // with starting
	for before := heapNow(); ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			now := heapNow()
			give := now.surplus(before, busy)
			if busy = now.busy(before); give {
				debug.FreeOSMemory()
				now = heapNow()
			}
			before = now
		}
	}
}
