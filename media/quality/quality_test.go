package quality

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestRatings compares with figures of ITU-T G.107 and G.113 that are published or follow by hand.
func TestRatings(t *testing.T) {
	for _, c := range []struct {
		name          string
		s             Stream
		r, mos, slack float64
	}{
		{"nothing wrong", Stream{}, 93.2, 4.41, 0.02},
		{"1 % random loss", Stream{Packets: 100, Lost: 1}, 93.2 - 95.0/26.1, 4.32, 0.03},
		{"1 % discarded is as bad", Stream{Packets: 100, Discarded: 1}, 93.2 - 95.0/26.1, 4.32, 0.03},
		{"10 % random loss", Stream{Packets: 1000, Lost: 100}, 93.2 - 950/35.1, 3.42, 0.03},
		{"150 ms", Stream{Delay: 150 * time.Millisecond}, 89.5, 4.33, 0.5},
		{"400 ms", Stream{Delay: 400 * time.Millisecond}, 62.2, 3.21, 0.5},
		{"all lost", Stream{Packets: 10, Lost: 10}, 93.2 - 9500/125.1, 1.2, 0.3},
	} {
		c.s.Rate(G711)
		if math.Abs(c.s.R-c.r) > c.slack || math.Abs(c.s.MOS-c.mos) > max(c.slack/10, 0.02) {
			t.Errorf("%s: R %.2f MOS %.2f, want %.2f and %.2f", c.name, c.s.R, c.s.MOS, c.r, c.mos)
		}
		if c.s.Delay > 0 && c.s.Listening < c.s.MOS {
			t.Errorf("%s: listening %.2f is below the conversation's %.2f", c.name, c.s.Listening, c.s.MOS)
		}
	}
}

// TestRatingIsBounded: worse input never gives a better rating, and no input leaves the scale.
func TestRatingIsBounded(t *testing.T) {
	for loss := range uint64(101) {
		last := math.Inf(1)
		for ms := time.Duration(0); ms < 2000; ms += 50 {
			s := Stream{Packets: 100, Lost: loss, Delay: ms * time.Millisecond}
			s.Rate(G711)
			if s.R < 0 || s.R > 93.3 || s.MOS < 1 || s.MOS > 4.5 || s.R > last+0.01 {
				t.Fatalf("loss %d %%, %d ms: R %.2f (before %.2f), MOS %.2f", loss, ms, s.R, last, s.MOS)
			}
			last = s.R
		}
	}
}

func TestBursts(t *testing.T) {
	for _, c := range []struct {
		name                  string
		events                string // g good, l bad; a digit repeats the one before it ten times that often
		bursts, inside, worse uint64
		burst, gap            time.Duration
	}{
		{"nothing", "", 0, 0, 0, 0, 0},
		{"no loss", "g9", 0, 0, 0, 0, 91 * 20 * time.Millisecond},
		{"single losses are gaps", "g5lg5lg5", 0, 0, 0, 0, (3*51 + 2) * 20 * time.Millisecond},
		{"two neighbours", "g5llg5", 1, 2, 2, 40 * time.Millisecond, 51 * 20 * time.Millisecond},
		{"15 good do not end a burst", "g5lgggggggggggggggl g5", 1, 17, 2, 340 * time.Millisecond, 51 * 20 * time.Millisecond},
		{"16 good do", "g5lggggggggggggggggl g5", 0, 0, 0, 0, (2*51 + 18) * 20 * time.Millisecond},
		{"ends in a burst", "g5lgl", 1, 3, 2, 60 * time.Millisecond, 51 * 10 * time.Millisecond},
	} {
		var b Bursts
		feed(&b, c.events)
		got := b.Closed()
		if got.Bursts != c.bursts || got.Inside != c.inside || got.Worse != c.worse {
			t.Errorf("%s: %d bursts, %d packets, %d bad; want %d, %d, %d", c.name, got.Bursts, got.Inside, got.Worse, c.bursts, c.inside, c.worse)
		}
		if burst, gap := got.Durations(20 * time.Millisecond); burst != c.burst || gap != c.gap {
			t.Errorf("%s: burst %s, gap %s; want %s, %s", c.name, burst, gap, c.burst, c.gap)
		}
		if b.Bursts > got.Bursts {
			t.Errorf("%s: Closed took something back", c.name)
		}
	}
}

func feed(b *Bursts, events string) {
	var last rune
	one := func(r rune) {
		switch r {
		case 'g':
			b.Good(1)
		case 'l':
			b.Lost(1)
		}
	}
	for _, r := range events {
		if r >= '0' && r <= '9' {
			for range 10 * (r - '0') {
				one(last)
			}
			continue
		}
		one(r)
		last = r
	}
}

// TestBurstRatio: random losses have 1, a row of five at a time has about five.
func TestBurstRatio(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var random, rows Bursts
	for range 100000 {
		if r.Float64() < 0.01 {
			random.Lost(1)
		} else {
			random.Good(1)
		}
		if r.Float64() < 0.002 {
			rows.Lost(5)
		} else {
			rows.Good(1)
		}
	}
	if got := random.Ratio(); got > 1.1 {
		t.Errorf("random losses: %.2f", got)
	}
	if got := rows.Ratio(); math.Abs(got-5) > 0.3 {
		t.Errorf("rows of five: %.2f", got)
	}
	burst, gap := rows.Closed().Density()
	if burst < 0.5 || gap > 0.01 {
		t.Errorf("rows of five: density %.2f in bursts, %.4f in gaps", burst, gap)
	}
}

func BenchmarkBursts(b *testing.B) {
	var x Bursts
	for i := range b.N {
		if i%50 == 0 {
			x.Lost(1)
		} else {
			x.Good(1)
		}
	}
}
