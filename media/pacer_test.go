package media

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// lateClock is stepped by sleeping, and wakes late by what it is told.
type lateClock struct {
	stepClock
	late func(at time.Duration) time.Duration
}

func (c *lateClock) SleepUntil(t time.Duration) {
	c.now = t
	if c.late != nil {
		c.now += c.late(t)
	}
}

// pacedRig is a rig whose pacer is stepped over a clock that sleeps in no time.
func pacedRig(t *testing.T) (*rig, *lateClock) {
	r := newRig(t)
	clock := &lateClock{}
	r.clock = &clock.stepClock
	r.engine.clock = clock
	r.engine.pacer = newPacer(clock, &r.engine.skipped)
	return r, clock
}

// until steps the pacer up to a time.
func (r *rig) until(clock *lateClock, end time.Duration) {
	p := r.engine.pacer
	for p.settle(); p.next() <= end; p.settle() {
		p.step(&r.room)
	}
	clock.now = max(clock.now, end)
}

func sent(s *Session) time.Duration { return time.Duration(s.Stats().Sent) }

func TestNoDrift(t *testing.T) {
	r, clock := pacedRig(t)
	s := r.session(t)
	s.Play(&encodedHum{})
	// Each wake-up is late by another amount, up to three frames.
	clock.late = func(at time.Duration) time.Duration { return at * 7919 % (3 * FrameDuration) }
	const long = 2 * time.Hour
	first := s.out.next
	r.until(clock, long)
	clock.late = nil
	r.until(clock, clock.now+FrameDuration)
	want := clock.now/FrameDuration + 1
	if got := sent(s); got < want-1 || got > want || r.engine.Skipped() > 0 {
		t.Errorf("%d packets in %s, want %d", got, clock.now, want)
	}
	if got := s.out.next - first; got != uint32(sent(s)*FrameSamples) {
		t.Errorf("%d packets took %d ticks of the RTP clock", sent(s), got)
	}
}

func TestEveryStreamBeginsAtOnceInASlotOfItsOwn(t *testing.T) {
	r, clock := pacedRig(t)
	waker := r.session(t) // keeps the pacer awake
	waker.Play(&encodedHum{})
	var all []*Session
	for i := range 100 {
		r.until(clock, time.Duration(i)*33*time.Millisecond)
		s := r.session(t)
		s.Play(&encodedHum{})
		asked := clock.now
		r.until(clock, asked+FrameDuration)
		if s.pace.from-asked > slotTime || s.pace.from < asked || sent(s) < 1 {
			t.Fatalf("asked at %s, begun at %s, %d packets", asked, s.pace.from, sent(s))
		}
		all = append(all, s)
	}
	used := map[int64]int{}
	for _, s := range all {
		used[s.pace.slot]++
	}
	if len(used) < int(slots)/2 {
		t.Errorf("100 streams in %d of %d slots", len(used), slots)
	}
	for _, s := range all {
		s.Close()
	}
	waker.Close()
	r.engine.pacer.settle()
	if r.engine.pacer.next() != forever {
		t.Error("the pacer has something to do with no session")
	}
}

func TestStallIsMadeUpForOrLeftOut(t *testing.T) {
	for _, tc := range []struct {
		stall         time.Duration
		sent, skipped time.Duration
	}{
		{3 * time.Millisecond, 1, 0},
		{65 * time.Millisecond, 4, 0},
		{100 * time.Millisecond, 6, 0},
		{10 * time.Second, 6, 495},
	} {
		t.Run(tc.stall.String(), func(t *testing.T) {
			r, clock := pacedRig(t)
			s := r.session(t)
			s.Play(&encodedHum{})
			r.until(clock, time.Second)
			before := sent(s)
			clock.late = func(time.Duration) time.Duration { return tc.stall }
			r.engine.pacer.step(&r.room)
			if got, skipped := sent(s)-before, time.Duration(r.engine.Skipped()); got != tc.sent || skipped != tc.skipped {
				t.Errorf("%d packets after the stall, %d left out; want %d, %d", got, skipped, tc.sent, tc.skipped)
			}
			// The stream's clock is right again.
			clock.late = nil
			r.until(clock, clock.now+time.Second)
			if off := s.out.ideal - s.out.end; off.Abs() > FrameDuration {
				t.Errorf("the stream is %s from its clock", off)
			}
		})
	}
}

// TestMusicFollowsTheRelayWithoutAGap: whenever the relay ends, the next packet is due 20 ms after the last one.
func TestMusicFollowsTheRelayWithoutAGap(t *testing.T) {
	for phase := range 20 {
		t.Run(fmt.Sprintf("%d ms", phase), func(t *testing.T) {
			r, clock := pacedRig(t)
			a, b := r.session(t), r.session(t)
			a.Play(&encodedHum{})
			r.until(clock, 500*time.Millisecond)
			rel, err := Join(a, b)
			if err != nil {
				t.Fatal(err)
			}
			last := clock.now + time.Duration(phase)*time.Millisecond
			for i := range time.Duration(10) {
				r.until(clock, last+i*FrameDuration)
				r.arrive(b, 0)
			}
			last = clock.now
			r.until(clock, last+7*time.Millisecond)
			rel.Close()
			relayed, before := a.Stats().Relayed, sent(a)
			for sent(a) == before {
				r.engine.pacer.step(&r.room)
			}
			gap := clock.now - last
			if relayed != 10 || gap < FrameDuration-slotTime || gap > FrameDuration+slotTime {
				t.Errorf("%s between the relay's last packet and the music's first", gap)
			}
			// What the stream has gained is given back without anything that could be heard.
			for range 50 {
				last, before = clock.now, sent(a)
				for sent(a) == before {
					r.engine.pacer.step(&r.room)
				}
				if gap := clock.now - last; gap < FrameDuration || gap > FrameDuration+slotTime {
					t.Fatalf("%s between two packets of music", gap)
				}
			}
			if ahead := a.out.ideal - a.out.end; ahead > slotTime || ahead < -slotTime {
				t.Errorf("the stream is %s ahead of its clock after a second", ahead)
			}
		})
	}
}

// TestRelayedSessionsShareSlots: those that a relay feeds wake the pacer a few times in 20 ms, however many they are; digits
// still go out, and when the relay ends each has a slot of its own again.
func TestRelayedSessionsShareSlots(t *testing.T) {
	r, clock := pacedRig(t)
	var all []*Session
	for i := range 2 * slots {
		s := r.session(t)
		s.Play(&encodedHum{})
		all = append(all, s)
		r.until(clock, time.Second+time.Duration(i)*slotTime)
	}
	used := func() (n int64) {
		for _, s := range r.engine.pacer.wheel {
			n += min(int64(len(s)), 1)
		}
		return n
	}
	if got := used(); got != slots {
		t.Fatalf("%d of %d slots used by music", got, slots)
	}
	var relays []*Relay
	for i := 0; i < len(all); i += 2 {
		rel, err := Join(all[i], all[i+1])
		if err != nil {
			t.Fatal(err)
		}
		relays = append(relays, rel)
		r.arrive(all[i], 0)
		r.arrive(all[i+1], 0)
	}
	r.until(clock, clock.now+time.Second)
	if got := used(); got > slots/sharedSlot {
		t.Errorf("%d slots used by sessions that are relayed, want %d at most", got, slots/sharedSlot)
	}
	before := sent(all[3])
	if err := all[3].SendDTMF("1", 40*time.Millisecond, 40*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r.until(clock, clock.now+200*time.Millisecond)
	if sent(all[3]) == before {
		t.Error("a digit for a relayed session was not sent")
	}
	for i, rel := range relays {
		r.until(clock, clock.now+time.Duration(i)*slotTime)
		r.arrive(all[2*i], 0)
		r.arrive(all[2*i+1], 0)
		rel.Close()
	}
	r.until(clock, clock.now+time.Second)
	if got := used(); got <= slots/sharedSlot {
		t.Errorf("%d slots used after the relays", got)
	}
}

func TestRestoredStreamKeepsItsPlace(t *testing.T) {
	at := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	st := State{SSRC: 1, Seq: 65535, TS: 1000, At: at}
	for _, tc := range []struct {
		name string
		gone time.Duration
		seq  uint16
		from time.Duration // after now
	}{
		{"at once", 0, 0, 20 * time.Millisecond},
		{"between two packets", 213 * time.Millisecond, 10, 7 * time.Millisecond},
		{"a second", time.Second, 50, 20 * time.Millisecond},
		{"the system's clock was set back", -time.Hour, 0, 20 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const now = 5 * time.Second
			o := st.resume(at.Add(tc.gone), now)
			if o.seq != tc.seq || o.next != 1000+FrameSamples*(uint32(tc.seq)+1) || o.from != now+tc.from {
				t.Errorf("goes on with %d, %d, due in %s; want %d in %s", o.seq, o.next, o.from-now, tc.seq, tc.from)
			}
		})
	}
}

// TestPacerSleepsWithoutSessions: no wake-ups while there is nothing to send.
func TestPacerSleepsWithoutSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		clock := &countingClock{Clock: NewTimerClock()}
		r.engine.clock = clock
		r.engine.pacer = newPacer(clock, &r.engine.skipped)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.engine.Run(ctx) }()
		defer func() { cancel(); <-ended }()
		time.Sleep(time.Hour)
		if n := clock.sleeps.Load(); n > 1 {
			t.Errorf("%d wake-ups in an hour without a session", n-1)
		}
		s := r.session(t)
		s.Play(&encodedHum{})
		time.Sleep(time.Second)
		if got := sent(s); got < 50 || got > 51 {
			t.Errorf("%d packets in the second after", got)
		}
		s.Close()
		time.Sleep(time.Second)
		clock.sleeps.Store(0)
		time.Sleep(time.Hour)
		if n := clock.sleeps.Load(); n > 0 {
			t.Errorf("%d wake-ups in an hour after the session", n)
		}
	})
}

type countingClock struct {
	Clock
	sleeps atomic.Int64
}

func (c *countingClock) SleepUntil(t time.Duration) {
	c.sleeps.Add(1)
	c.Clock.SleepUntil(t)
}

// TestKernelClock: it sleeps to absolute times and can be woken.
func TestKernelClock(t *testing.T) {
	c := newKernelClock()
	for range 3 {
		c.Wake() // before the sleep: it returns at once, once
	}
	c.SleepUntil(forever)
	at := c.Now() + 3*time.Millisecond
	for c.Now() < at {
		c.SleepUntil(at)
	}
	woken := make(chan struct{})
	go func() {
		c.SleepUntil(forever)
		close(woken)
	}()
	for {
		c.Wake()
		select {
		case <-woken:
			return
		default:
		}
	}
}
