package lab

import (
	"time"

	"parklamp/media/timeline"
)

// Fixed is the run of a buffer with one constant delay above the network's least, on ticks of 20 ms, without
// stretching; what is missing is silence. It is what adapting is compared with.
func Fixed(t *Trace, delay time.Duration, speech []byte, keepSound bool) *Run {
	run := &Run{Trace: t}
	order := t.arrivals()
	if len(order) == 0 {
		return run
	}
	first := map[uint16]time.Duration{} // arrivals, of the earliest copy
	least := t.Packets[order[0]].Arrival - t.Packets[order[0]].Sent
	for _, i := range order {
		p := t.Packets[i]
		least = min(least, p.Arrival-p.Sent)
		if _, twice := first[p.Seq]; !twice {
			first[p.Seq] = p.Arrival
		}
	}
	const tick = timeline.Frame
	speed := 1 + t.SkewPPM*1e-6
	next := 0
	frame := make([]int16, t.PTime*rate/time.Second)
	for k := 0; next < len(t.Packets); k++ {
		now := t.Phase + time.Duration(float64(k)*float64(tick)/speed)
		for next < len(t.Packets) && t.Packets[next].Sent+least+delay <= now {
			p := t.Packets[next]
			next++
			if p.Copy {
				continue
			}
			clear(frame)
			e := Event{Tick: k, At: now, Seq: p.Seq, Length: t.PTime}
			if at, came := first[p.Seq]; came && at <= now {
				e.New = true
				if !p.Comfort {
					say(frame, speech, t, p.TS)
				}
			}
			run.Events = append(run.Events, e)
			if keepSound {
				run.Sound = append(run.Sound, frame...)
			}
		}
	}
	return run
}

// BestFixed is the score of the best constant delay for a trace: it has to know the future.
func BestFixed(t *Trace) (best Score) {
	for delay := 5 * time.Millisecond; delay < 500*time.Millisecond; delay += 10 * time.Millisecond {
		if s := Fixed(t, delay, nil, false).Score(); s.R > best.R {
			best = s
		}
	}
	return best
}
