package rtcp

import (
	"math/rand/v2"
	"testing"
	"time"

	"parklamp/media/timeline"
)

const frame = 20 * time.Millisecond

// packet n of a steady stream that begins shortly before its numbers wrap.
func packet(n int) *Packet {
	return &Packet{SSRC: 7, Seq: uint16(65530 + n), TS: uint32(160 * (n - 5)), At: time.Duration(n) * frame, Timed: true}
}

func take(r *Reception, from, to int) {
	for n := from; n < to; n++ {
		r.Take(packet(n))
	}
}

func received(t *testing.T, r *Reception) Received {
	t.Helper()
	got, ok := r.Received()
	if !ok {
		t.Fatal("nothing received")
	}
	return got
}

func TestReception(t *testing.T) {
	for _, c := range []struct {
		name string
		feed func(r *Reception)
		want Received // Jitter and Bursts apart
	}{
		{"wrap", func(r *Reception) { take(r, 0, 100) },
			Received{SSRC: 7, Highest: 65530 + 99, Expected: 100, Arrived: 100, Packets: 100}},
		{"loss", func(r *Reception) { take(r, 0, 50); take(r, 53, 100) },
			Received{SSRC: 7, Highest: 65530 + 99, Expected: 100, Arrived: 97, Packets: 100, Lost: 3}},
		{"late arrivals are not lost", func(r *Reception) { take(r, 0, 50); take(r, 53, 60); take(r, 50, 53); take(r, 60, 100) },
			Received{SSRC: 7, Highest: 65530 + 99, Expected: 100, Arrived: 100, Packets: 100, Reordered: 3}},
		{"duplicates count as arrived", func(r *Reception) { take(r, 0, 50); take(r, 48, 50); take(r, 52, 100) },
			Received{SSRC: 7, Highest: 65530 + 99, Expected: 100, Arrived: 100, Packets: 100, Lost: 2, Duplicate: 2}},
		{"another SSRC", func(r *Reception) {
			take(r, 0, 50)
			take(r, 52, 60)
			for n := range 10 {
				p := packet(n)
				p.SSRC, p.Seq = 8, uint16(100+n)
				r.Take(p)
			}
		}, Received{SSRC: 8, Highest: 109, Expected: 10, Arrived: 10, Packets: 70, Lost: 2, Restarts: 1}},
		{"a stray of another SSRC now and then", func(r *Reception) {
			for n := range 100 {
				take(r, n, n+1)
				p := packet(n)
				p.SSRC, p.Seq = 8, uint16(n)
				r.Take(p)
			}
		}, Received{SSRC: 7, Highest: 65530 + 99, Expected: 100, Arrived: 100, Packets: 100}},
		{"another SSRC for a while, beside it", func(r *Reception) {
			take(r, 0, 20)
			for n := 20; n < 100; n += 2 {
				take(r, n, n+2)
				for i := range 2 {
					p := packet(n + i)
					p.SSRC, p.Seq = 8, uint16(n+i)
					r.Take(p)
				}
			}
			take(r, 100, 120)
		}, Received{SSRC: 7, Highest: 113, Expected: 16, Arrived: 16, Packets: 22 + 80 + 16, Restarts: 2}},
		{"a stray of another sequence", func(r *Reception) {
			take(r, 0, 50)
			take(r, 20000, 20001)
			take(r, 50, 100)
		}, Received{SSRC: 7, Highest: 65530 + 99, Expected: 100, Arrived: 100, Packets: 100}},
		{"numbers that begin anew", func(r *Reception) {
			take(r, 0, 200)
			for n := range 50 {
				p := packet(200 + n)
				p.Seq, p.TS = packet(n).Seq, packet(n).TS
				r.Take(p)
			}
		}, Received{SSRC: 7, Highest: 65530 + 49, Expected: 50, Arrived: 50, Packets: 250, Restarts: 1}},
		{"numbers that begin anew, from not far back, twice", func(r *Reception) {
			for n := range 150 {
				p := packet(n)
				p.Seq = packet(n % 50).Seq
				r.Take(p)
			}
		}, Received{SSRC: 7, Highest: 65530 + 49, Expected: 46, Arrived: 46, Packets: 50 + 46 + 46, Reordered: 4, Duplicate: 4, Restarts: 2}},
		{"every packet twice, the copies 60 ms late, and a gap", func(r *Reception) {
			for n := range 110 {
				if n < 50 || n >= 60 {
					r.Take(packet(n))
				}
				if n -= 3; n >= 0 && (n < 50 || n >= 60) {
					p := packet(n)
					p.At += 3 * frame
					r.Take(p)
				}
			}
		}, Received{SSRC: 7, Highest: 65530 + 109, Expected: 110, Arrived: 197, Packets: 110, Lost: 10, Duplicate: 97}},
		{"too late for the ear", func(r *Reception) {
			for n := range 100 {
				p := packet(n)
				if n > 50 {
					p.Discarded = 2
				}
				r.Take(p)
			}
		}, Received{SSRC: 7, Highest: 65530 + 99, Expected: 100, Arrived: 100, Packets: 100, Discarded: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r Reception
			c.feed(&r)
			got := received(t, &r)
			bursts := got.Bursts
			got.Jitter, got.Bursts = 0, c.want.Bursts
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if bad := c.want.Lost + c.want.Discarded; bursts.Bad != bad {
				t.Errorf("%d bad packets in bursts and gaps, want %d", bursts.Bad, bad)
			}
			if want := c.want.Packets - patience - 1; bursts.Total < want || bursts.Total > c.want.Packets {
				t.Errorf("%d packets judged of %d", bursts.Total, c.want.Packets)
			}
		})
	}
}

// TestStreamThatGoesOnAlone: of two streams side by side one ends, and the other is followed within a second, though every fifth of
// its packets is lost.
func TestStreamThatGoesOnAlone(t *testing.T) {
	var r Reception
	aside := 0
	for n := range 1000 {
		p := packet(n)
		if n < 100 || n%5 != 4 {
			if r.Take(p) == Aside && n >= 150 {
				aside++
			}
		}
		if n >= 100 && n < 150 {
			p.SSRC, p.Seq = 8, uint16(n)
			r.Take(p)
			if n == 100 { // else the first takes turns with it
				p.Seq++
				r.Take(p)
			}
		}
	}
	if got := received(t, &r); got.SSRC != 7 || aside > 50 {
		t.Errorf("SSRC %d at the end, %d packets were left out when it was alone", got.SSRC, aside)
	}
}

// TestLostInLongRows: what is missing in long rows is counted whole, and lies in bursts.
func TestLostInLongRows(t *testing.T) {
	var r Reception
	take(&r, 0, 100)
	take(&r, 400, 500)
	take(&r, 2400, 2500)
	got := received(t, &r)
	if got.Lost != 2200 || got.Bursts.Bad != 2200 || got.Bursts.Bursts != 2 || got.Bursts.Inside != 2200 || got.Bursts.Runs != 2 {
		t.Errorf("%+v", got)
	}
}

// TestJitter compares with RFC 3550 appendix A.8 done by hand.
func TestJitter(t *testing.T) {
	var r Reception
	random := rand.New(rand.NewPCG(1, 2))
	var jitter, transit float64
	for n := range 2000 {
		p := packet(n)
		late := time.Duration(random.IntN(40)) * time.Millisecond
		p.At += late
		r.Take(p)
		now := late.Seconds() * timeline.ClockRate
		if n > 0 {
			d := now - transit
			jitter += (max(d, -d) - jitter) / 16
		}
		transit = now
	}
	if got := received(t, &r).Jitter.Seconds() * timeline.ClockRate; got < jitter-1 || got > jitter+1 {
		t.Errorf("jitter %.1f ticks, want %.1f", got, jitter)
	}
}

// TestReceptionAgreesWithALongWayRound: any order of packets is counted as a map of them would.
func TestReceptionAgreesWithALongWayRound(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 3))
		var r Reception
		there := map[int]bool{}
		most, dup := 0, uint64(0)
		r.Take(packet(0))
		there[0] = true
		for n := 1; n < 3000; n++ {
			if random.IntN(10) == 0 {
				continue
			}
			k := max(0, n-random.IntN(3)*random.IntN(16))
			if there[k] {
				dup++
			}
			there[k] = true
			most = max(most, k)
			r.Take(packet(k))
		}
		got := received(t, &r)
		if want := uint64(most + 1 - len(there)); got.Lost != want || got.Packets != uint64(most+1) || got.Duplicate != dup {
			t.Fatalf("seed %d: %d lost, %d expected, %d twice; want %d, %d, %d", seed, got.Lost, got.Packets, got.Duplicate, want, most+1, dup)
		}
		if got.Bursts.Bad > got.Lost {
			t.Fatalf("seed %d: %d bad packets of %d lost", seed, got.Bursts.Bad, got.Lost)
		}
	}
}

func TestReceptionDoesNotAllocate(t *testing.T) {
	var r Reception
	n := 0
	p := packet(0)
	if a := testing.AllocsPerRun(1000, func() {
		n++
		if n%7 == 0 {
			n++
		}
		p.Seq, p.TS, p.At = uint16(n), uint32(160*n), time.Duration(n)*frame
		r.Take(p)
	}); a != 0 {
		t.Errorf("%.1f allocations for a packet", a)
	}
	if a := testing.AllocsPerRun(100, func() { r.Received() }); a != 0 {
		t.Errorf("%.1f allocations for a look", a)
	}
}

func BenchmarkReception(b *testing.B) {
	var r Reception
	p := packet(0)
	b.ReportAllocs()
	for n := range b.N {
		p.Seq, p.TS, p.At = uint16(n), uint32(160*n), time.Duration(n)*frame
		r.Take(p)
	}
}
