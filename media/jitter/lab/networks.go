package lab

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Network is a seeded model of a kind of network.
type Network struct {
	Name string
	What string
	make func(g *generator)
}

// Networks lists the models. Their constants are drawn anew for each seed, so that nothing can be tuned to one of
// them.
func Networks() []Network { return slices.Clone(networks) }

// Trace makes the trace of a seed.
func (n Network) Trace(seed uint64, length time.Duration) *Trace {
	h := uint64(14695981039346656037) // FNV-1a, so that kinds differ under the same seed
	for _, c := range []byte(n.Name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	g := &generator{
		Rand: rand.New(rand.NewPCG(seed, h)), length: length,
		t: &Trace{Name: n.Name, PTime: 20 * time.Millisecond},
	}
	g.base = g.between(3, 60)
	n.make(g)
	return g.trace()
}

// generator makes packets; times are ms.
type generator struct {
	*rand.Rand
	t      *Trace
	length time.Duration
	base   float64                  // ms, constant part of the delay
	delay  func(at float64) float64 // ms above base for a packet sent at a time; below 0: lost
	copies float64                  // probability of a second copy
	mixes  bool                     // packets may overtake each other
	spurts bool                     // the sender pauses
	noise  time.Duration            // between comfort noise packets in pauses
}

func (g *generator) between(a, b float64) float64 { return a + (b-a)*g.Float64() }

func (g *generator) exp(mean float64) float64 { return g.ExpFloat64() * mean }

func (g *generator) chance(p float64) bool { return g.Float64() < p }

// every returns whether an event of a Poisson process of mean ms happens now; times never go back.
func (g *generator) every(mean float64) func(at float64) bool {
	next := g.exp(mean)
	return func(at float64) bool {
		if at < next {
			return false
		}
		next = at + g.exp(mean)
		return true
	}
}

func (g *generator) trace() *Trace {
	t := g.t
	if t.Phase == 0 {
		t.Phase = time.Duration(g.IntN(20000)) * time.Microsecond
	}
	seq, ts := uint16(g.Uint32()), g.Uint32()
	step := uint32(t.PTime * rate / time.Second)
	ptime := float64(t.PTime) / 1e6
	turn := math.Inf(1) // when the sender begins or ends to talk
	if g.spurts {
		turn = g.exp(1200) + 200
	}
	talks, marker, hushed, last := true, true, 0.0, 0.0
	for at := 0.0; at < float64(g.length)/1e6; at, ts = at+ptime, ts+step {
		if at >= turn {
			if talks = !talks; talks {
				turn, marker = at+g.exp(1200)+200, true
			} else {
				turn, hushed = at+g.exp(900)+100, at
			}
		}
		p := Packet{Seq: seq, TS: ts, Sent: ms(at), Marker: marker && talks, Comfort: !talks}
		if !talks {
			if g.noise == 0 || math.Mod(at-hushed, float64(g.noise)/1e6) >= ptime {
				continue
			}
		} else {
			marker = false
		}
		seq++
		d := g.delay(at)
		if p.Lost = d < 0; !p.Lost {
			arrive := at + g.base + d
			if !g.mixes {
				arrive = max(arrive, last+0.02)
				last = arrive
			}
			p.Arrival = ms(arrive)
		}
		t.Packets = append(t.Packets, p)
		if !p.Lost && g.chance(g.copies) {
			p.Copy = true
			p.Arrival += ms(g.between(0, 10))
			t.Packets = append(t.Packets, p)
		}
	}
	return t
}

func ms(v float64) time.Duration { return time.Duration(v * 1e6) }

func (g *generator) pareto(least, alpha float64) float64 {
	return least * (math.Pow(1-g.Float64(), -1/alpha) - 1)
}

func (g *generator) logNormal(median, sigma float64) float64 {
	return median * math.Exp(sigma*g.NormFloat64())
}

// burstLoss is a Gilbert-Elliott channel.
func (g *generator) burstLoss(rate, length float64) func() bool {
	bad := false
	return func() bool {
		if bad {
			bad = !g.chance(1 / length)
		} else {
			bad = g.chance(rate / length / (1 - rate))
		}
		return bad
	}
}
