package jitter

import "time"

const (
	// A delay that is a frame too long for this time is shortened, even inside loud speech.
	excessPatience = 3 * time.Second
	// A delay that is a frame too short for this time is lengthened, even inside loud speech.
	shortPatience = 500 * time.Millisecond
	// A quiet frame is left out or added after this time.
	quietPatience = 200 * time.Millisecond
)

func (b *Buffer) target() time.Duration {
	return min(max(b.delay.best, b.cfg.Min), b.cfg.Max)
}

// lag is the delay of the timestamp ts if it is played at now, above the fastest packet.
func (b *Buffer) lag(now time.Duration, ts int64) time.Duration {
	return now - time.Duration(ts)*tick - b.delay.base
}

// Get says what to play at now. Between two calls now should grow by the Samples of the first; it never
// goes back.
func (b *Buffer) Get(now time.Duration) Out {
	if !b.started || now-b.lastPut > idleAfter && b.held == 0 {
		b.playing = false
		return b.silence()
	}
	s := b.first()
	if !b.playing {
		// The first packet waits until the target delay has passed.
		if s == nil || b.lag(now, s.ts) < b.target() {
			return b.silence()
		}
		b.playing = true
		b.playTS, b.playSeq = s.ts, s.seq
		return b.play(s, now, false)
	}
	if s == nil {
		if b.pause {
			return b.silence()
		}
		// Late or lost is not known yet: hold the place, and decide when something comes.
		return b.conceal()
	}
	if lost := s.seq - b.playSeq; lost == 0 && s.ts > b.playTS || b.pause {
		// The sender paused: the pause may be stretched or shortened for nothing.
		if b.lag(now, s.ts) < b.target() {
			return b.silence()
		}
		b.playTS, b.concealed = s.ts, 0
		return b.play(s, now, false)
	}
	if b.concealed > 0 {
		return b.resume(s, now)
	}
	if s.ts > b.playTS {
		return b.gap(s, now)
	}
	return b.steady(s, now)
}

// resume ends a run of concealment. What was concealed may be left out for nothing: it is what the
// listener missed already. How much, depends on whether the network is fast again.
func (b *Buffer) resume(s *slot, now time.Duration) Out {
	want := max(b.target(), b.highD-b.delay.base)
	for b.concealed > 0 && (s.ts > b.playTS || b.lag(now, b.playTS)-frame >= want) {
		if s.ts == b.playTS {
			next := b.after(s)
			if next == nil || next.ts != s.ts+int64(s.samples) {
				break
			}
			b.drop(s)
			s = next
			b.playTS, b.playSeq = s.ts, s.seq
		} else {
			b.playTS = min(s.ts, b.playTS+b.size)
		}
		b.concealed--
	}
	if s.ts > b.playTS {
		b.concealed = 0
		return b.gap(s, now)
	}
	return b.play(s, now, true)
}

// gap handles a packet that is missing while later ones are here.
func (b *Buffer) gap(s *slot, now time.Duration) Out {
	lag := b.lag(now, b.playTS)
	if lag-frame >= b.target() {
		b.playTS = s.ts // shorten the delay by what is missing
		return b.play(s, now, true)
	}
	n := min(b.size, s.ts-b.playTS)
	b.playTS += n
	b.stats.Concealed++
	return Out{Kind: Conceal, Samples: int(n), Seq: uint16(b.playSeq)}
}

// steady plays the packet that is due, unless the delay should change by a frame.
func (b *Buffer) steady(s *slot, now time.Duration) Out {
	lag, target := b.lag(now, s.ts), b.target()
	b.stats.Delay = lag
	switch {
	case lag-frame >= target:
		b.short = false
		if !b.excess {
			b.excess, b.excessAt = true, now
		}
		since := now - b.excessAt
		patience := excessPatience * time.Duration(target+frame) / time.Duration(lag)
		if s.quiet && since >= quietPatience || since >= patience {
			if next := b.after(s); next != nil && next.ts == s.ts+int64(s.samples) {
				b.drop(s)
				b.excess = false
				b.playTS, b.playSeq = next.ts, next.seq
				return b.play(next, now, true)
			}
		}
	case lag+frame <= target:
		b.excess = false
		if !b.short {
			b.short, b.shortAt = true, now
		}
		since := now - b.shortAt
		if s.quiet && since >= quietPatience || since >= shortPatience {
			b.short = false
			b.stats.Inserted++
			b.stats.Concealed++
			return Out{Kind: Conceal, Samples: int(s.samples), Seq: uint16(b.playSeq)}
		}
	default:
		b.excess, b.short = false, false
	}
	return b.play(s, now, false)
}

func (b *Buffer) play(s *slot, now time.Duration, spliced bool) Out {
	i := s.seq & (slots - 1)
	s.held = false
	b.held--
	b.playSeq = s.seq + 1
	b.concealed = 0
	out := Out{
		Kind: Play, Samples: int(s.samples), Seq: uint16(s.seq), TS: s.wireTS, Type: s.typ,
		Payload: b.data[i][:s.size], Spliced: spliced,
	}
	b.playTS = max(b.playTS, s.ts) + int64(s.samples)
	b.pause = s.comfort
	if s.comfort {
		out.Kind, out.Samples = Comfort, int(b.size)
	} else {
		b.stats.Played++
	}
	return out
}

func (b *Buffer) conceal() Out {
	b.concealed++
	b.stats.Concealed++
	return Out{Kind: Conceal, Samples: int(b.size), Seq: uint16(b.playSeq)}
}

func (b *Buffer) silence() Out { return Out{Kind: Silence, Samples: int(b.size)} }

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
			if b.playing && s.ts < b.playTS {
				b.drop(s)
				continue
			}
			return s
		}
	}
	return nil
}

func (b *Buffer) drop(s *slot) {
	s.held = false
	b.held--
	b.stats.Skipped++
}
