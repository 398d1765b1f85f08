package jitter

import (
	"time"

	"parklamp/media/stretch"
)

const (
	// A change of delay waits this long for a pause or a good place; then it is made with less care.
	patience = 2 * time.Second
	// A shorter change is not worth a seam, in RTP ticks: 2.5 ms, one of the shortest pitch periods.
	leastChange = 20
	// A delay that is less than this too long is shortened when it has been so for a while.
	tooLong = 30 * time.Millisecond
	calm    = 400 * time.Millisecond
	// A delay that is this much too long is shortened with less care.
	muchTooLong = 100 * time.Millisecond
	// After a change, restAfter times as much is played as it is.
	restAfter = 3
	// After so much concealment what comes in a burst is waited for: the first of it alone would be taken for the rest.
	longGone = 300 * time.Millisecond
	// A burst is waited for until so often.
	mostFills = 40
	// mostInserted ticks are added to a packet: 15 ms.
	mostInserted = 120
)

// Ask says for which moment a piece is wanted.
type Ask struct {
	At    time.Duration // when its first sample is played
	Ahead time.Duration // how long before that it is asked for: what came later could not be had
	Need  int           // RTP ticks until the caller asks again at the earliest; 160 when 0
	Grid  time.Duration // the caller asks at multiples of this after each other; 20 ms when 0
}

// Get says what to play. Between two calls At should grow by what was played of the first; it never goes back.
func (b *Buffer) Get(q Ask) Out {
	if q.Need <= 0 {
		q.Need = defaultSize
	}
	if q.Grid <= 0 {
		q.Grid = frame
	}
	if !b.started || q.At-b.lastPut > idleAfter && b.held == 0 {
		b.playing = false
		return silence(q)
	}
	s := b.first()
	if !b.playing {
		// The first packet waits until the target delay has passed. Events before it are no beginning.
		for s != nil && s.event {
			b.forget(s)
			s = b.after(s)
		}
		if s == nil {
			return silence(q)
		}
		if b.heldUp {
			if b.filling(q) {
				return silence(q)
			}
			s, b.heldUp = b.skipOld(s, q), false
		}
		if _, _, covered := b.covered(q, s.ts); covered < b.target() {
			return silence(q)
		}
		b.playing = true
		b.playTS, b.playSeq = s.ts, s.seq
		return b.play(s, q, false)
	}
	s = b.passEvents(s)
	if s == nil {
		if b.pause {
			return silence(q)
		}
		return b.hold(q) // late or lost is not known yet
	}
	if lost := s.seq - b.playSeq; lost == 0 && s.ts > b.playTS || b.pause {
		// The sender paused: the pause may be stretched or shortened for nothing.
		if _, _, covered := b.covered(q, s.ts); covered < b.target() {
			return silence(q)
		}
		b.playTS = s.ts
		b.stats.Pauses++
		return b.play(s, q, false)
	}
	if b.concealed > 0 {
		return b.resume(s, q)
	}
	if s.ts > b.playTS {
		return b.gap(s, q)
	}
	return b.steady(s, q)
}

// passEvents passes over events before the next audio, which is returned. Where none goes on beside them, they begin a pause.
func (b *Buffer) passEvents(s *slot) *slot {
	for b.playing && s != nil && s.event {
		b.stats.Lost += uint64(s.seq - b.playSeq)
		b.playSeq = s.seq + 1
		b.forget(s)
		if s = b.after(s); s == nil || s.ts > b.playTS {
			b.pause, b.concealed = true, 0
		}
	}
	return s
}

// target is the delay to aim at. It leaves room: of packets of 5 ms no more than 320 ms can be held, and some come early.
func (b *Buffer) target() time.Duration {
	most := slots / ((b.size + blockSize - 1) / blockSize) * 7 / 8 * b.size
	return min(max(b.delay.trials.want(), b.cfg.Min), b.cfg.Max, time.Duration(most)*tick)
}

// lag is the delay of a packet with the timestamp ts if it begins to play at now, above the fastest packet. Delays count from
// a packet's end, when it can have been sent: the packets of a sender that makes them longer are not late.
func (b *Buffer) lag(now time.Duration, ts int64) time.Duration {
	return now - time.Duration(ts+b.size)*tick - b.delay.base
}

// excess is by how much the delay of ts is longer than it needs to be. A packet must have come when the caller
// asks, so that of two delays that are asked for at the same moment the shorter is as good.
func (b *Buffer) excess(q Ask, ts int64, target time.Duration) time.Duration {
	step, ahead, covered := b.covered(q, ts)
	steps := (target - covered) / step
	if steps*step < target-covered {
		steps++
	}
	return ahead - steps*step
}

// covered is the longest delay with which a packet is here in time if playout goes on as it plays ts now. Packets whose
// length is not the grid's are asked for at moments that are more or less ahead of their time: the worst of them
// counts, and a change of delay by step makes the same pattern again.
func (b *Buffer) covered(q Ask, ts int64) (step, ahead, covered time.Duration) {
	if b.size != b.stepOf || q.Grid != b.stepGrid {
		b.stepOf, b.stepGrid = b.size, q.Grid
		x, y := time.Duration(b.size)*tick, q.Grid
		for y > 0 {
			x, y = y, x%y
		}
		b.step = x
	}
	ahead = q.Ahead % b.step
	return b.step, ahead, b.lag(q.At, ts) - ahead - (q.Grid - b.step)
}

// hold holds the place until something comes, and with it the decision.
func (b *Buffer) hold(q Ask) Out {
	b.concealed += int64(q.Need)
	b.stats.Concealed++
	return Out{Kind: Conceal, Samples: q.Need, Seq: uint16(b.playSeq)}
}

// filling reports whether what was held up on the way is still coming in: from one moment of asking to the next more comes
// than is played.
func (b *Buffer) filling(q Ask) bool {
	came, took := time.Duration(b.highTS-b.filledTS)*tick, q.At-b.filledAt
	b.filledTS, b.filledAt = b.highTS, q.At
	b.fills++
	return b.fills == 1 || b.fills < mostFills && came > 2*took+time.Duration(b.size)*tick
}

// skipOld leaves out what is older than it needs to be when nothing was heard for long, and returns the first of the rest.
func (b *Buffer) skipOld(s *slot, q Ask) *slot {
	for b.excess(q, s.ts, b.target()) >= time.Duration(b.size)*tick {
		next := b.audioAfter(s)
		if next == nil {
			break
		}
		b.dropUntil(s, next)
		s = next
	}
	return s
}

// audioAfter is the next packet that can be played; nil if there is none.
func (b *Buffer) audioAfter(s *slot) *slot {
	for s = b.after(s); s != nil && s.event; {
		s = b.after(s)
	}
	return s
}

// dropUntil leaves out a packet, and with it the events before the next one that is played.
func (b *Buffer) dropUntil(s, next *slot) {
	b.drop(s)
	for s = b.after(s); s != next; s = b.after(s) {
		b.forget(s)
	}
}

// resume ends a run of concealment. What was concealed stands for what is missing, and beyond that packets may be left
// out for it: it is what the listener missed already. How many, depends on whether the network is fast again.
func (b *Buffer) resume(s *slot, q Ask) Out {
	old := b.target() + muchTooLong // the newest packet is: more is on the way
	if b.concealed >= int64(longGone/tick) && time.Duration(b.delay.trials.last*1e6) > old && b.filling(q) {
		return b.hold(q)
	}
	target := max(b.target(), time.Duration(b.delay.trials.last*1e6))
	if missed := min(b.concealed, s.ts-b.playTS); missed > 0 && int64(b.excess(q, b.playTS, target)/tick) >= missed/2 {
		b.playTS += missed
		b.concealed -= missed
	}
	for s.ts == b.playTS && b.concealed >= b.size*3/4 && b.excess(q, b.playTS, target) >= time.Duration(b.size)*tick {
		next := b.audioAfter(s)
		if next == nil || next.ts-s.ts > b.concealed && next.ts != s.ts+int64(s.samples) {
			break
		}
		b.concealed -= next.ts - s.ts // and what is lost between them
		b.dropUntil(s, next)
		s = next
		b.playTS, b.playSeq = s.ts, s.seq
	}
	b.concealed, b.fills = 0, 0
	if s.ts > b.playTS {
		return b.gap(s, q)
	}
	return b.play(s, q, true)
}

// gap handles a packet that is missing while later ones are here.
func (b *Buffer) gap(s *slot, q Ask) Out {
	// What is missing has had its time if what comes after it has: the listener stood still, or much was lost.
	if b.excess(q, s.ts, b.target()) >= 0 {
		b.playTS = s.ts
		return b.play(s, q, true)
	}
	n := min(b.size, s.ts-b.playTS)
	if n == s.ts-b.playTS && b.after(s) != nil {
		// Shorten the delay by what is missing.
		left := n - max(0, int64(b.excess(q, b.playTS, b.target())/tick))
		if left < leastChange {
			b.playTS = s.ts
			return b.play(s, q, true)
		}
		b.playTS += n
		b.stats.Concealed++
		return Out{Kind: Conceal, Samples: int(left), Seq: uint16(b.playSeq)}
	}
	b.playTS += n
	b.stats.Concealed++
	return Out{Kind: Conceal, Samples: int(n), Seq: uint16(b.playSeq)}
}

// steady plays the packet that is due, and says how it should be stretched.
func (b *Buffer) steady(s *slot, q Ask) Out {
	target := b.target()
	lag := b.lag(q.At, s.ts)
	if b.stood == 0 { // else it is a delay or a pause, which is known soon
		b.stats.Delay = lag
		b.delay.trials.hear(inMS(lag))
	}
	next := b.after(s)
	follows := next != nil && next.ts == s.ts+int64(s.samples)
	shorter, longer := b.wish(s, q, target)
	out := b.play(s, q, false)
	switch {
	case (next == nil || !next.event) && b.overdue(q, lag-q.Ahead):
		// Make what is here last longer before it runs out.
		out.Stretch, out.Care = mostInserted, stretch.Urgent
		if !follows {
			out.Care = stretch.Desperate
		}
	case shorter > 0:
		out.Stretch, out.Care = -shorter, b.care(q, lag-target > muchTooLong)
	case longer > 0:
		out.Stretch, out.Care = longer, b.care(q, true)
	}
	return out
}

// wish is by how many RTP ticks the packet that is played next should be shorter or longer.
func (b *Buffer) wish(s *slot, q Ask, target time.Duration) (shorter, longer int) {
	// The caller's clock and that of the samples may differ by a little.
	if done := b.planned - q.At; done >= leastChange*tick/2 {
		b.restUntil = q.At + done*restAfter
	}
	b.planned = q.At + time.Duration(s.samples)*tick
	excess := b.excess(q, s.ts, target)
	if excess < leastChange*tick {
		b.tooLong = false
		return 0, int(max(0, (-excess+tick-1)/tick))
	}
	if !b.tooLong {
		b.tooLong, b.since = true, q.At
	}
	if excess < muchTooLong && (q.At < b.restUntil || excess < tooLong && q.At-b.since < calm) {
		return 0, 0
	}
	shorter = min(int(excess/tick), int(s.samples))
	enough := max(q.Need+shorter, int(s.samples)+1)
	if here := b.here(s, enough); here < enough {
		// Or there is nothing to fill the frame up with, and nothing comes in time if it takes as long as the newest did.
		last := b.excess(q, s.ts, max(target, time.Duration(b.delay.trials.last*1e6)))
		shorter = min(shorter, here-q.Need, int(last/tick))
	}
	return max(0, shorter), 0
}

// here is how many RTP ticks are held from a packet on without a gap, not counted beyond enough.
func (b *Buffer) here(s *slot, enough int) int {
	n, end := 0, s.ts
	for s != nil && s.ts == end && n < enough {
		n, end = n+int(s.samples), end+int64(s.samples)
		s = b.after(s)
	}
	return n
}

// care is how much a change may be heard: the longer it is wanted in vain, the more.
func (b *Buffer) care(q Ask, urgent bool) stretch.Care {
	switch waited := q.At - b.since; {
	case b.tooLong && waited > 2*patience:
		return stretch.Desperate
	case b.tooLong && waited > patience || urgent:
		return stretch.Urgent
	}
	return stretch.Gentle
}

// leastOverdue is for how many ms a packet that is due must fail to come before anything is made of it. A stream that has
// never been late knows nothing of what such a delay means, and takes it for the end.
const leastOverdue = 2

// overdue reports whether nothing has come for so long that it is likely that nothing will come in time.
func (b *Buffer) overdue(q Ask, covered time.Duration) bool {
	waited := inMS(b.lag(q.At-q.Ahead, b.highTS+b.size)) - b.delay.trials.last
	if waited < leastOverdue {
		return false
	}
	return b.delay.trials.outlasts(waited, inMS(covered)-b.delay.trials.last) >= likely
}

func (b *Buffer) play(s *slot, q Ask, spliced bool) Out {
	out := Out{
		Kind: Play, Samples: int(s.samples), Seq: uint16(s.seq), TS: s.wireTS, Type: s.typ,
		Payload: b.payload(s), Spliced: spliced,
	}
	b.forget(s)
	b.stats.Lost += uint64(s.seq - b.playSeq)
	b.playSeq = s.seq + 1
	b.concealed, b.fills = 0, 0
	b.playTS = max(b.playTS, s.ts) + int64(s.samples)
	b.pause = s.comfort
	if s.comfort {
		out.Kind, out.Samples = Comfort, q.Need
		b.stats.Comforts++
	} else {
		b.stats.Played++
	}
	// Playout can only have delays that the moments of asking allow.
	if b.chosen--; b.chosen <= 0 {
		b.chosen = 25
		step, _, covered := b.covered(q, s.ts)
		b.delay.trials.choose(inMS((covered%step+step)%step), inMS(step), inMS(q.Grid))
	}
	return out
}

func silence(q Ask) Out { return Out{Kind: Silence, Samples: q.Need} }

// first returns the oldest packet held, nil if there is none. Packets that a splice or an overflow left
// behind the playout point are dropped on the way.
func (b *Buffer) first() *slot {
	if b.held == 0 {
		return nil
	}
	from := b.highSeq - slots + 1
	if b.playing {
		from = max(from, b.playSeq)
	}
	return b.from(from)
}

func (b *Buffer) after(s *slot) *slot { return b.from(s.seq + 1) }

func (b *Buffer) from(seq int64) *slot {
	for ; seq <= b.highSeq; seq++ {
		s := &b.slot[seq&(slots-1)]
		if s.held && s.seq == seq {
			if b.playing && s.ts < b.playTS && !s.event { // which has no time of its own
				b.drop(s)
				continue
			}
			return s
		}
	}
	return nil
}

func (b *Buffer) drop(s *slot) {
	b.forget(s)
	b.stats.Skipped++
}
