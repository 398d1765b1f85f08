package lab

import (
	"math"
	"time"
)

var networks = []Network{
	{"lan", "jitter below 1 ms, a hiccup of 1 to 8 ms in 1000", lan},
	{"wifi-roam", "scans that keep packets back, roams that lose them, log-normal contention", wifiRoam},
	{"wifi-tail", "Pareto contention, busy periods, in order", wifiTail},
	{"wifi-save", "power save: packets wait for the beacon in some episodes", wifiSave},
	{"dsl-bloat", "a shared uplink whose queue ramps to 80-250 ms in seconds and drains", dslBloat},
	{"slow-bloat", "saw teeth of 5-30 s up to 60-200 ms", slowBloat},
	{"wild-bloat", "ramps within a second up to 400 ms, random drains", wildBloat},
	{"lte", "HARQ steps of 8 ms, a gap of 40-60 ms every 2.56 s, handovers", lteSched},
	{"drive", "a cellular link whose rate wanders, with outages", drive},
	{"ge-loss", "Gilbert-Elliott loss of 1-5 % in runs, little jitter", geLoss},
	{"reorder", "some packets over a slower path, copies, some loss", reorder},
	{"route", "path changes every 20-60 s", route},
	{"skew-fast", "receiver's clock fast by 50-300 ppm", func(g *generator) { skew(g, 1) }},
	{"skew-slow", "receiver's clock slow by 50-300 ppm", func(g *generator) { skew(g, -1) }},
	{"dtx", "talkspurts, comfort noise every 400 ms, wandering delay, 1 % loss", dtx},
	{"dtx-bare", "talkspurts without comfort noise over Wi-Fi", dtxBare},
	{"satellite", "low orbit: steps every 15 s, short outages at hand-over", satellite},
	{"vpn", "a tunnel over TCP: each loss stops the flow for a round trip, then a burst", vpn},
	{"vpn-far", "the same with more loss and round trips of 200-350 ms", vpnFar},
	{"roams", "a walk between access points: every 5-15 s nothing for 0.1-1 s, a part of it lost, the rest in a burst", roams},
	{"waves", "a delay that swells and ebbs smoothly, every 0.4-1.2 s", waves},
	{"policer", "a token bucket that drops runs whenever others fill it", policer},
	{"gaps", "outages of 0.2-3 s, everything lost, else a good line", gaps},
	{"mixed", "another kind every 20-60 s", mixed},
	{"ptime10", "packets of 10 ms over Wi-Fi", func(g *generator) { g.t.PTime = 10 * time.Millisecond; wifiTail(g) }},
	{"ptime30", "packets of 30 ms over LTE", func(g *generator) { g.t.PTime = 30 * time.Millisecond; lteSched(g) }},
	{"ptime40", "packets of 40 ms over DSL", func(g *generator) { g.t.PTime = 40 * time.Millisecond; dslBloat(g) }},
	{"ptime60", "packets of 60 ms with loss", func(g *generator) { g.t.PTime = 60 * time.Millisecond; geLoss(g) }},
	{"ptime60-stalls", "packets of 60 ms, stalls of 50-150 ms at regular times", func(g *generator) { g.t.PTime = 60 * time.Millisecond; stalls(g) }},
}

func lan(g *generator) {
	g.delay = func(float64) float64 {
		d := g.between(0, 0.9)
		if g.chance(0.001) {
			d += g.between(1, 8)
		}
		return d
	}
}

func wifiRoam(g *generator) {
	scan, roam := g.every(g.between(5000, 20000)), g.every(g.between(25000, 60000))
	median, sigma := g.between(1, 2.5), g.between(0.6, 0.9)
	until, lossy, share := 0.0, false, 0.0
	g.delay = func(at float64) float64 {
		if scan(at) && at > until {
			until, lossy = at+g.between(80, 160), false
		}
		if roam(at) {
			until, lossy, share = at+g.between(100, 400), true, g.between(0.2, 1)
		}
		d := g.logNormal(median, sigma)
		if at < until {
			if lossy && g.chance(share) {
				return -1
			}
			return until - at + d
		}
		if g.chance(0.002) {
			return -1
		}
		return d
	}
}

func wifiTail(g *generator) {
	busy := g.every(g.between(4000, 12000))
	alpha := g.between(1.1, 1.7)
	until, heavy := 0.0, 1.0
	g.delay = func(at float64) float64 {
		if busy(at) {
			until, heavy = at+g.between(200, 2000), g.between(3, 15)
		}
		d := g.pareto(g.between(0.3, 0.8), alpha)
		if at < until {
			d += g.exp(heavy)
			if g.chance(0.03) {
				d += g.pareto(15, 1.3)
			}
		}
		if g.chance(0.003) {
			return -1
		}
		return min(d, 350)
	}
}

func wifiSave(g *generator) {
	const beacon = 102.4
	asleep := g.every(g.between(4000, 15000))
	until := 0.0
	g.delay = func(at float64) float64 {
		if asleep(at) {
			until = at + g.between(200, 3000)
		}
		d := g.logNormal(1.5, 0.6)
		if at < until {
			d += math.Ceil(at/beacon)*beacon - at
		}
		if g.chance(0.002) {
			return -1
		}
		return d
	}
}

// queue is a queue that fills and drains at rates of its own: ms a ms.
func (g *generator) queue(most func() float64, rise, fall func() float64, idle func() float64) func(at float64) float64 {
	level, top, up, down, rest, last := 0.0, 0.0, 0.0, 0.0, idle(), 0.0
	return func(at float64) float64 {
		dt := at - last
		last = at
		switch {
		case rest > 0:
			if rest -= dt; rest <= 0 {
				top = most()
				up, down = top/rise(), 0
			}
			level = max(0, level-down*dt)
		case up > 0:
			if level += up * dt; level >= top {
				up = 0
				down = top / fall()
			}
		default:
			if level -= down * dt; level <= 0 {
				level, rest = 0, idle()
			} else if g.chance(0.002) { // others begin again before it is empty
				top = max(level, most())
				up = top / rise()
			}
		}
		return level
	}
}

func dslBloat(g *generator) {
	q := g.queue(func() float64 { return g.between(80, 250) },
		func() float64 { return g.between(1500, 6000) },
		func() float64 { return g.between(300, 2500) },
		func() float64 { return g.exp(g.between(1500, 5000)) })
	g.delay = func(at float64) float64 {
		d := q(at)
		if d > 200 && g.chance(0.03) || g.chance(0.001) {
			return -1
		}
		return d + g.exp(1.5)
	}
}

func slowBloat(g *generator) {
	q := g.queue(func() float64 { return g.between(60, 200) },
		func() float64 { return g.between(5000, 30000) },
		func() float64 { return g.between(200, 4000) },
		func() float64 { return g.exp(3000) })
	g.delay = func(at float64) float64 { return q(at) + g.exp(2) }
}

func wildBloat(g *generator) {
	q := g.queue(func() float64 { return g.between(30, 400) },
		func() float64 { return g.between(150, 1500) },
		func() float64 { return g.between(100, 1500) },
		func() float64 { return g.exp(g.between(3000, 9000)) })
	g.delay = func(at float64) float64 {
		if g.chance(0.002) {
			return -1
		}
		return q(at) + g.exp(3)
	}
}

func lteSched(g *generator) {
	handover := g.every(g.between(40000, 120000))
	retry, period := g.between(0.05, 0.15), g.between(1200, 2600)
	offset, gap := g.between(0, 2000), g.between(30, 60)
	until := 0.0
	g.delay = func(at float64) float64 {
		d := g.between(0, 4)
		for range 4 {
			if !g.chance(retry) {
				break
			}
			d += 8
		}
		if in := math.Mod(at+offset, period); in < gap {
			d = max(d, gap-in)
		}
		if handover(at) {
			until = at + g.between(60, 180)
		}
		if at < until {
			if g.chance(0.1) {
				return -1
			}
			d += until - at
		}
		if g.chance(0.001) {
			return -1
		}
		return d
	}
}

// drive is a queue before a link whose rate wanders like that of a phone in a car.
func drive(g *generator) {
	outage := g.every(g.between(15000, 60000))
	speed, mean := 0.0, g.between(2.2, 3.5) // log of packets served in 20 ms
	free := 0.0
	g.delay = func(at float64) float64 {
		speed += -speed*0.01 + 0.12*g.NormFloat64()
		if outage(at) {
			free = max(free, at+g.exp(g.between(80, 300)))
		}
		service := 20 / math.Exp(mean+1.5*speed)
		free = max(free, at) + g.exp(min(service, 60))
		if g.chance(0.001) || free-at > 1200 {
			return -1
		}
		return free - at
	}
}

func geLoss(g *generator) {
	lost := g.burstLoss(g.between(0.01, 0.05), g.between(1.5, 4))
	jitter := g.between(1, 3)
	g.delay = func(float64) float64 {
		if lost() {
			return -1
		}
		return g.exp(jitter)
	}
}

func reorder(g *generator) {
	g.mixes, g.copies = true, 0.01
	share, slow := g.between(0.01, 0.06), g.between(20, 50)
	g.delay = func(float64) float64 {
		if g.chance(0.005) {
			return -1
		}
		d := g.exp(2)
		if g.chance(share) {
			d += slow * g.between(0.8, 1.2)
		}
		return d
	}
}

func route(g *generator) {
	change := g.every(g.between(20000, 60000))
	on, height := false, g.between(30, 90)
	g.mixes = g.chance(0.5)
	g.delay = func(at float64) float64 {
		if change(at) {
			on = !on
		}
		if g.chance(0.001) {
			return -1
		}
		d := g.exp(2)
		if on {
			d += height
		}
		return d
	}
}

func skew(g *generator, sign float64) {
	g.t.SkewPPM = sign * math.Round(g.between(50, 300))
	jitter := g.between(1, 3)
	g.delay = func(float64) float64 { return min(g.exp(jitter), 12) }
}

func dtx(g *generator) {
	g.spurts, g.noise = true, 400*time.Millisecond
	wander := 20.0
	g.delay = func(float64) float64 {
		if wander += g.NormFloat64(); wander < 0 || wander > 60 {
			wander = min(max(wander, 0), 60)
		}
		if g.chance(0.01) {
			return -1
		}
		return wander + g.exp(3)
	}
}

func dtxBare(g *generator) {
	wifiTail(g)
	g.spurts = true
}

func satellite(g *generator) {
	g.base = g.between(20, 40)
	level, next, out := 0.0, 0.0, 0.0
	g.delay = func(at float64) float64 {
		if at >= next {
			next += 15000
			level = g.between(0, 35)
			if g.chance(0.3) {
				out = at + g.between(20, 300)
			}
		}
		if at < out && g.chance(0.7) || g.chance(0.004) {
			return -1
		}
		return level + g.exp(4) + max(0, 4*math.Sin(at/700))
	}
}

func vpn(g *generator) { tunnel(g, g.between(40, 200), g.between(0.001, 0.008)) }

func vpnFar(g *generator) { tunnel(g, g.between(200, 350), g.between(0.003, 0.01)) }

func tunnel(g *generator, rtt, loss float64) {
	until := 0.0
	g.delay = func(at float64) float64 {
		if at > until && g.chance(loss) {
			until = at + rtt*g.between(1, 1.4)
			if g.chance(0.15) { // the repetition is lost too
				until += rtt + 200
			}
		}
		return max(0, until-at) + g.exp(2)
	}
}

func roams(g *generator) {
	roam, share := g.every(g.between(5000, 15000)), g.between(0.1, 0.8)
	until := 0.0
	g.delay = func(at float64) float64 {
		if roam(at) && at > until {
			until = at + g.between(100, 1000)
		}
		if at < until && g.chance(share) {
			return -1
		}
		return max(0, until-at) + g.exp(2)
	}
}

func waves(g *generator) {
	period, height := g.between(400, 1200), g.between(30, 80)
	g.delay = func(at float64) float64 {
		return height/2*(1+math.Sin(at*2*math.Pi/period)) + g.exp(1)
	}
}

func stalls(g *generator) {
	period, stall := g.between(500, 2000), g.between(50, 150)
	g.delay = func(at float64) float64 { return max(0, stall-math.Mod(at, period)) + g.exp(1) }
}

func policer(g *generator) {
	others := g.every(g.between(3000, 10000))
	until := 0.0
	g.delay = func(at float64) float64 {
		if others(at) {
			until = at + g.between(100, 1500)
		}
		if at < until && g.chance(0.3) {
			return -1
		}
		return g.exp(3)
	}
}

func gaps(g *generator) {
	cut := g.every(g.between(15000, 40000))
	until := 0.0
	g.delay = func(at float64) float64 {
		if cut(at) {
			until = at + g.between(200, 3000)
		}
		if at < until {
			return -1
		}
		return g.exp(3)
	}
}

func mixed(g *generator) {
	kinds := []func(*generator){lan, wifiRoam, wifiTail, dslBloat, lteSched, geLoss, route, vpn, drive, wifiSave}
	var now func(float64) float64
	next := 0.0
	g.delay = func(at float64) float64 {
		if at >= next {
			next = at + g.between(20000, 60000)
			sub := &generator{Rand: g.Rand, t: &Trace{}}
			kinds[g.IntN(len(kinds))](sub)
			now = sub.delay
		}
		return now(at)
	}
}
