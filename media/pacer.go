package media

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parklamp/media/rtpio"
)

const (
	// slotTime is how fine a stream's place within the 20 ms is: a stream that begins waits this long at most.
	slotTime = time.Millisecond
	slots    = int64(FrameDuration / slotTime)
	// maxCatchUp ticks are made up for after a stall; what is older is left out, as a longer burst helps nobody.
	maxCatchUp = 5
	// yieldRoom is how much time must be left before the next slot for the goroutine to yield.
	yieldRoom = slotTime / 4
	// Sessions that a relay feeds have nothing to send in their ticks. They share every so manieth slot: a thread that wakes
	// up each millisecond gets in the way of the one that relays.
	sharedSlot = 5
)

// pacer gives every session a tick each 20 ms, in a slot of its own. What is due is computed from the clock; wake-ups
// are never counted. It sleeps through slots without a session, and for good while there is none.
//
// A session gets its slot when its stream begins, or when it comes back from a relay: the one in which its next packet
// is due. Where nothing is being sent that is the very next one, and a crowd that came one by one is spread over the
// 20 ms. It moves by a slot with the clock of a source that has one (Timed), and for a stream that is ahead of its own.
// While a relay feeds it, it is in one of a few slots that it shares with all others of that kind.
type pacer struct {
	// immutable
	clock   Clock
	start   time.Duration
	skipped *atomic.Uint64

	// owned by the goroutine of run
	wheel [slots][]*Session
	done  int64      // the last slot that was worked off, counted from start
	moved []*Session // of the slot that is being worked off: to go into the slot before it or after it

	yielded time.Duration // when the goroutine gave up its processor of its own accord

	mu    sync.Mutex
	stirs []*Session // guarded by mu: sessions whose place is to be looked at
	spare []*Session // guarded by mu: empty, for reuse
}

func newPacer(c Clock, skipped *atomic.Uint64) *pacer {
	return &pacer{clock: c, start: c.Now(), skipped: skipped}
}

// stir has the place of a session looked at: it begins, changes hands or ends.
func (p *pacer) stir(s *Session) {
	if s.stirred.Swap(true) {
		return // it waits to be looked at already
	}
	p.mu.Lock()
	p.stirs = append(p.stirs, s)
	p.mu.Unlock()
	p.clock.Wake()
}

// run paces until ctx ends.
func (p *pacer) run(ctx context.Context, room *scratch) {
	defer context.AfterFunc(ctx, p.clock.Wake)()
	p.done = p.slot(p.clock.Now()) - 1
	for ctx.Err() == nil {
		p.step(room)
	}
}

// step sleeps until something is due and does it.
func (p *pacer) step(room *scratch) {
	p.settle()
	next := p.next()
	if next == forever {
		p.clock.SleepUntil(forever)
		p.done = max(p.done, p.slot(p.clock.Now())-1)
		return
	}
	now := p.clock.Now()
	if now-p.yielded > rtpio.YieldAfter && next-now > yieldRoom {
		p.yielded = now
		runtime.Gosched()
		now = p.clock.Now()
	}
	if now < next {
		p.clock.SleepUntil(next)
	}
	p.work(p.clock.Now(), room)
}

// slot returns the number of the slot that a time is in.
func (p *pacer) slot(t time.Duration) int64 { return int64((t - p.start) / slotTime) }

// at returns when a slot begins.
func (p *pacer) at(slot int64) time.Duration { return p.start + time.Duration(slot)*slotTime }

// next returns when the next slot with a session is due.
func (p *pacer) next() time.Duration {
	for n := p.done + 1; n <= p.done+slots; n++ {
		if len(p.wheel[n%slots]) > 0 {
			return p.at(n)
		}
	}
	return forever
}

// work does the ticks of all slots that are due.
func (p *pacer) work(now time.Duration, room *scratch) {
	due := p.slot(now)
	if late := (due - p.done - 1) / slots; late > maxCatchUp {
		p.skipped.Add(uint64(late - maxCatchUp))
		p.done += (late - maxCatchUp) * slots
	}
	for p.done < due {
		p.done++
		p.tick(p.at(p.done), p.wheel[p.done%slots], room)
	}
}

// tick is everything that happens in a slot. All hear before any speaks, so that what one hears another can say in the
// same tick, in a conference.
func (p *pacer) tick(at time.Duration, all []*Session, room *scratch) {
	for _, s := range all {
		if at >= s.pace.from {
			s.hear(at, room)
		}
	}
	for _, s := range all {
		if at >= s.pace.from {
			s.tick(at, room)
			if s.pace.move != 0 {
				p.moved = append(p.moved, s)
			}
		}
	}
	for _, s := range p.moved {
		if t := &s.pace; t.placed {
			p.leave(s)
			p.enter(s, p.slot(at)+slots+t.move)
		}
	}
	p.moved = p.moved[:0]
}

// settle finds the place of each session that was stirred.
func (p *pacer) settle() {
	p.mu.Lock()
	stirs := p.stirs
	p.stirs, p.spare = p.spare, nil
	p.mu.Unlock()
	if len(stirs) == 0 {
		return
	}
	for _, s := range stirs {
		p.place(s)
	}
	clear(stirs)
	p.mu.Lock()
	p.spare = stirs[:0]
	p.mu.Unlock()
}

// place puts a session into the slot in which its next packet is due, or takes it out.
func (p *pacer) place(s *Session) {
	s.stirred.Store(false)
	t := &s.pace
	due, fed, change := s.due(max(p.clock.Now(), p.at(p.done+1)))
	if !change {
		return
	}
	n := p.slot(min(due, forever-slotTime) + slotTime - 1)
	if fed {
		n += (sharedSlot - n%sharedSlot) % sharedSlot
	}
	if t.placed && due != forever && t.slot == n%slots {
		return
	}
	p.leave(s)
	if due != forever {
		p.enter(s, n)
	}
}

// leave takes a session out of its slot.
func (p *pacer) leave(s *Session) {
	if t := &s.pace; t.placed {
		old := &p.wheel[t.slot]
		*old = slices.DeleteFunc(*old, func(o *Session) bool { return o == s })
		t.placed = false
	}
}

// enter gives a session the slot with a number, and nothing before that.
func (p *pacer) enter(s *Session, n int64) {
	t := &s.pace
	t.placed, t.slot, t.from = true, n%slots, p.at(n)
	p.wheel[t.slot] = append(p.wheel[t.slot], s)
}
