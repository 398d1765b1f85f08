package lab

import (
	"fmt"
	"math"
	"time"
)

// Score is what a listener of a run suffered.
type Score struct {
	R         float64       // transmission rating of ITU-T G.107, 0 to 100
	Delay     time.Duration // mean, above the network's least
	Bad       float64       // share of the frames that were lost, concealed or left out
	Own       float64       // the part of Bad that the network did not lose
	Longest   time.Duration // the longest run of bad frames
	Stretched float64       // share of the packets that were
}

// String is the score in one line.
func (s Score) String() string {
	return fmt.Sprintf("R %.2f, delay %.1f ms above the least, %.2f %% bad, of that %.2f %% our own, longest run %d ms, %.1f %% stretched",
		s.R, float64(s.Delay)/1e6, 100*s.Bad, 100*s.Own, s.Longest.Milliseconds(), 100*s.Stretched)
}

const (
	ie, bpl     = 0.0, 25.1             // G.113 appendix I: G.711 with concealment
	packetDelay = 20 * time.Millisecond // Ta is from the mouth: the packet had to be filled
	free        = 1.75                  // frames that a packet may last without an account of its time
	ro, is      = 94.7688, 1.4136       // G.107 with default parameters: noise, simultaneous impairment
	no, rlr     = -61.1792, 2.0
	telr, wepl  = 65.0, 110.0
)

// Score rates a run. Between two voice packets that were played one after the other lie m that were not, and c frames
// of concealment: max(m, c) frames are bad. In a pause of the sender only m counts.
func (r *Run) Score() Score {
	t := r.Trace
	var s Score
	index := make(map[uint16]int, len(t.Packets))
	voice, lost, least := 0, 0, time.Duration(math.MaxInt64)
	before := make([]int, len(t.Packets)+1) // voice packets before
	for i, p := range t.Packets {
		before[i+1] = before[i]
		if p.Copy {
			continue
		}
		index[p.Seq] = i
		if p.Comfort {
			if !p.Lost {
				least = min(least, p.Arrival-p.Sent)
			}
			continue
		}
		voice++
		before[i+1]++
		if p.Lost {
			lost++
		}
	}
	for _, p := range t.Packets {
		if !p.Lost {
			least = min(least, p.Arrival-p.Sent)
		}
	}
	last, lastAt := -1, time.Duration(0)
	c, bad, inserted, bursts, played := 0.0, 0.0, 0.0, 0, 0
	delay := time.Duration(0)
	burst := func(x float64) {
		if x > 1e-9 {
			bad += x
			bursts++
			s.Longest = max(s.Longest, time.Duration(x*float64(t.PTime)))
		}
	}
	for _, e := range r.Events {
		if !e.New {
			c += float64(e.Length) / float64(t.PTime)
			continue
		}
		i, ok := index[e.Seq]
		if !ok || t.Packets[i].Comfort {
			continue
		}
		p := &t.Packets[i]
		if i <= last {
			c++
			continue
		}
		if last < 0 {
			burst(float64(before[i]))
		} else {
			m := float64(before[i] - before[last+1])
			slots := float64(p.TS-t.Packets[last].TS)/float64(t.PTime*rate/time.Second) - 1
			c = max(c, float64(e.At-lastAt)/float64(t.PTime)-free)
			if slots > m+0.5 {
				burst(m)
			} else {
				burst(max(m, c))
				inserted += max(0, c-m)
			}
		}
		delay += e.At - p.Sent
		played++
		last, lastAt, c = i, e.At, 0
	}
	burst(float64(before[len(t.Packets)] - before[last+1]))
	if played == 0 {
		return s
	}
	total := float64(voice) + inserted
	mean := delay / time.Duration(played)
	s.Delay = mean - least
	s.Bad, s.Own = bad/total, (bad-float64(lost))/total
	burstR := 1.0
	if bursts > 0 {
		burstR = max(1, bad/float64(bursts)*(1-s.Bad))
	}
	s.R = max(0, Rating(mean+packetDelay, s.Bad, burstR))
	if n := r.Buffer.Played; n > 0 {
		s.Stretched = float64(r.Player.Shorter+r.Player.Longer) / float64(n)
	}
	return s
}

// Rating is R of ITU-T G.107 for a delay from mouth to ear, a share of bad frames, and how much longer their runs are
// than those of independent losses.
func Rating(delay time.Duration, bad, burstR float64) float64 {
	ta, ppl := float64(delay)/float64(time.Millisecond), 100*bad
	impairment := ie
	if ppl > 0 {
		impairment = ie + (95-ie)*ppl/(ppl/burstR+bpl)
	}
	return ro - is - delayImpairment(ta) - impairment
}

// delayImpairment is Id = Idte + Idle + Idd of G.107 §7.4 for a one-way delay in ms.
func delayImpairment(ta float64) float64 {
	idte := 0.0
	if ta >= 1 {
		terv := telr - 40*math.Log10((1+ta/10)/(1+ta/150)) + 6*math.Exp(-0.3*ta*ta)
		re := 80 + 2.5*(terv-14)
		roe := -1.5 * (no - rlr)
		idte = ((roe-re)/2 + math.Sqrt((roe-re)*(roe-re)/4+100) - 1) * (1 - math.Exp(-ta))
	}
	rle := 10.5 * (wepl + 7) * math.Pow(2*ta+1, -0.25)
	idle := (ro-rle)/2 + math.Sqrt((ro-rle)*(ro-rle)/4+169)
	idd := 0.0
	if ta > 100 {
		x := math.Log2(ta / 100)
		idd = 25 * (math.Pow(1+math.Pow(x, 6), 1.0/6) - 3*math.Pow(1+math.Pow(x/3, 6), 1.0/6) + 2)
	}
	return idte + idle + idd
}
