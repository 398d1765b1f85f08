package main

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A mouth speaks in one of so many slots of a frame's time, as phones do that know nothing of each other: at any moment.
const (
	slotTime = 200 * time.Microsecond
	slots    = int64(frame / slotTime)
)

// mouth sends 20 ms of mu-law every 20 ms. Each packet names its mouth and the moment in which it was sent, so that
// whoever hears it knows how long it took.
type mouth struct {
	id   uint32
	sock *socket
	to   netip.AddrPort
	seq  uint16
	buf  [rtpHeader + samples]byte
	slot int64
}

// mouths numbers the mouths of a run.
var mouths atomic.Uint32

func newMouth(sock *socket, to netip.AddrPort) *mouth {
	m := &mouth{id: mouths.Add(1), sock: sock, to: to}
	m.buf[0] = 0x80
	binary.BigEndian.PutUint32(m.buf[8:], 0x5eed0000+m.id)
	copy(m.buf[rtpHeader:], tone())
	binary.BigEndian.PutUint32(m.buf[rtpHeader:], probeMagic)
	binary.BigEndian.PutUint32(m.buf[rtpHeader+4:], m.id)
	return m
}

func (m *mouth) say() {
	m.seq++
	binary.BigEndian.PutUint16(m.buf[2:], m.seq)
	binary.BigEndian.PutUint32(m.buf[4:], uint32(m.seq)*samples)
	binary.BigEndian.PutUint64(m.buf[rtpHeader+8:], uint64(now()))
	m.sock.send(m.to, m.buf[:])
}

// speaker lets mouths speak on time. One goroutine (run) sends.
type speaker struct {
	said atomic.Uint64 // packets

	mu     sync.Mutex
	mouths [slots][]*mouth // guarded by mu
}

// start lets a mouth say its first frame now, and the next ones every 20 ms.
func (s *speaker) start(m *mouth) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.say()
	s.said.Add(1)
	m.slot = (slotAt(now()) - 1) % slots // it has spoken; this one may be about to
	s.mouths[m.slot] = append(s.mouths[m.slot], m)
}

// join lets a mouth speak in a slot of its own, from the next turn of it on.
func (s *speaker) join(m *mouth, slot int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.slot = int64(slot) % slots
	s.mouths[m.slot] = append(s.mouths[m.slot], m)
}

// stop silences a mouth.
func (s *speaker) stop(m *mouth) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mouths[m.slot] = slices.DeleteFunc(s.mouths[m.slot], func(o *mouth) bool { return o == m })
}

// run speaks until ctx ends. It computes what is due from the clock, and sleeps through slots without a mouth; after a
// stall of more than a frame it leaves out what is old.
func (s *speaker) run(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // the thread must not end: see watchCore
	// The kernel may wake a thread 50 us late to save wake-ups (PR_SET_TIMERSLACK of prctl(2)); this one wants none of it.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	for k := slotAt(now()); ctx.Err() == nil; {
		k = max(s.next(k+1), slotAt(now())-slots)
		sleepUntil(stamp(k * int64(slotTime)))
		s.mu.Lock()
		all := s.mouths[k%slots]
		for _, m := range all {
			m.say()
		}
		s.said.Add(uint64(len(all)))
		s.mu.Unlock()
	}
}

// slotAt returns the number of the slot that a time is in.
func slotAt(t stamp) int64 { return int64(t) / int64(slotTime) }

// next returns the first slot from k on that has a mouth, or one that is a little later: somebody may join.
func (s *speaker) next(k int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := k + int64(time.Millisecond/slotTime)
	for ; k < last && len(s.mouths[k%slots]) == 0; k++ {
	}
	return k
}

// sleepUntil blocks the thread until the system's clock shows at.
func sleepUntil(at stamp) {
	ts := unix.NsecToTimespec(int64(at))
	for unix.ClockNanosleep(unix.CLOCK_REALTIME, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
