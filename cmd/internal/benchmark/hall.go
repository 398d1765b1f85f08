package main

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// hall is one RTP port that hears many calls, told apart by where they come from. It reads in bursts, which costs the
// machine a fraction of what a socket for each call would.
type hall struct {
	sock *socket
	done sync.WaitGroup

	mu     sync.Mutex
	on     bool // packets are counted; guarded by mu
	last   map[netip.AddrPort]stamp
	gaps   []time.Duration // between two packets of one call; guarded by mu
	delays []time.Duration // of probes, from their sending to their arrival; guarded by mu
}

func newHall(addr netip.Addr) (*hall, error) {
	sock, err := openSocket(netip.AddrPortFrom(addr, 0))
	if err != nil {
		return nil, err
	}
	h := &hall{sock: sock, last: map[netip.AddrPort]stamp{}}
	h.done.Go(func() { sock.read(h.take) })
	return h, nil
}

func (h *hall) close() {
	h.sock.close()
	h.done.Wait()
}

func (h *hall) take(data []byte, from netip.AddrPort, at stamp) {
	if len(data) < rtpHeader+16 || data[0]>>6 != 2 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.on {
		return
	}
	if last := h.last[from]; last != 0 {
		h.gaps = append(h.gaps, at.since(last))
	}
	h.last[from] = at
	if binary.BigEndian.Uint32(data[rtpHeader:]) == probeMagic {
		h.delays = append(h.delays, at.since(stamp(binary.BigEndian.Uint64(data[rtpHeader+8:]))))
	}
}

// begin counts packets from now on; expected is how many will come, so that counting does not allocate.
func (h *hall) begin(expected int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on = true
	clear(h.last)
	h.gaps, h.delays = make([]time.Duration, 0, expected), make([]time.Duration, 0, expected)
}

// heardBy is what a hall has heard while it counted.
type heardBy struct {
	calls  int
	gaps   []time.Duration // sorted
	delays []time.Duration // sorted
	off    []time.Duration // by how much the gaps differ from 20 ms, sorted
}

// offBy is how far an interval may be from 20 ms before it counts as off; the incumbent was counted so.
const offBy = 5 * time.Millisecond

// above counts those that are greater than a limit.
func above(sorted []time.Duration, limit time.Duration) int {
	n, _ := slices.BinarySearch(sorted, limit+1)
	return len(sorted) - n
}

// end stops counting.
func (h *hall) end() heardBy {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on = false
	r := heardBy{calls: len(h.last), gaps: h.gaps, delays: h.delays}
	h.gaps, h.delays = nil, nil
	slices.Sort(r.gaps)
	slices.Sort(r.delays)
	for _, g := range r.gaps {
		r.off = append(r.off, (g - frame).Abs())
	}
	slices.Sort(r.off)
	return r
}
