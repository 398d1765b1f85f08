package main

import (
	"slices"
	"testing"
	"time"
)

// upTo returns 1 to n ms.
func upTo(n int) []time.Duration {
	var d []time.Duration
	for i := range n {
		d = append(d, time.Duration(i+1)*time.Millisecond)
	}
	return d
}

func TestPercentile(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		p    float64
		want int // ms, which is also the rank
	}{
		{"one", 1, 50, 1},
		{"one, at the end", 1, 99.9, 1},
		{"the lower middle of two", 2, 50, 1},
		{"odd", 5, 50, 3},
		{"even", 100, 50, 50},
		{"p99 of 100", 100, 99, 99},
		{"p99 of 20 is the largest", 20, 99, 20},
		{"p99.9 of 1000 is exactly rank 999", 1000, 99.9, 999},
		{"p99.9 of 999", 999, 99.9, 999},
		{"p100", 7, 100, 7},
		{"tiny", 1000, 0.01, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := percentile(upTo(c.n), c.p); got != time.Duration(c.want)*time.Millisecond {
				t.Errorf("got %v, want %d ms", got, c.want)
			}
		})
	}
}

func TestSampleKeepsRunsApart(t *testing.T) {
	var s sample
	if got := s.String(); got != "nothing measured" {
		t.Errorf("empty: %q", got)
	}
	for _, d := range []time.Duration{9, 1, 5} { // not in order
		s.add(d * time.Millisecond)
	}
	if got, want := s.String(), "p50 5.00, p99 9.00, max 9.00"; got != want {
		t.Errorf("one run: %q, want %q", got, want)
	}
	s.run()
	s.add(200 * time.Millisecond)
	s.run() // nothing came of it: it has no median
	if got, want := s.String(), "p50 5.00, p99 200, max 200; medians of 2 runs 5.00/5.00/200"; got != want {
		t.Errorf("two runs: %q, want %q", got, want)
	}
	if s.count() != 4 || !slices.IsSorted(s.all()) || s.runs[0][0] != 9*time.Millisecond {
		t.Errorf("count %d, all %v, first %v", s.count(), s.all(), s.runs[0])
	}
}

func TestWritesThreeDigits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1500 * time.Nanosecond:   "0.002",
		428 * time.Microsecond:   "0.428",
		1046 * time.Microsecond:  "1.05",
		21449 * time.Microsecond: "21.4",
		2450 * time.Millisecond:  "2450",
		-3 * time.Millisecond:    "-3.00",
	} {
		if got := ms(d); got != want {
			t.Errorf("ms(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want string
	}{{nil, "-"}, {[]float64{3}, "3.0"}, {[]float64{17.4, 15.5, 15.6}, "15.5/15.6/17.4"}} {
		if got := spread(c.in); got != c.want {
			t.Errorf("%v: %q, want %q", c.in, got, c.want)
		}
	}
}
