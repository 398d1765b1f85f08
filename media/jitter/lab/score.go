package lab

import (
	"fmt"
	"math"
	"time"

	"parklamp/media/quality"
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
	packetDelay = 20 * time.Millisecond // R counts from the mouth: the packet had to be filled
	free        = 1.75                  // frames that a packet may last without an account of its time
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
	if voice == 0 {
		return s
	}
	total := float64(voice) + inserted
	s.Bad, s.Own = bad/total, (bad-float64(lost))/total
	if played == 0 {
		return s // silence has no quality: R 0
	}
	mean := delay / time.Duration(played)
	s.Delay = mean - least
	burstR := 1.0
	if bursts > 0 {
		burstR = max(1, bad/float64(bursts)*(1-s.Bad))
	}
	s.R = quality.Rating(quality.G711, mean+packetDelay, s.Bad, burstR)
	if n := r.Buffer.Played; n > 0 {
		s.Stretched = float64(r.Player.Shorter+r.Player.Longer) / float64(n)
	}
	return s
}
