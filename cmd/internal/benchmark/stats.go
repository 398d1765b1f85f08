package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// sample is a set of measured times of one kind, in the order in which they were measured, by run.
type sample struct{ runs [][]time.Duration }

// run begins a new run.
func (s *sample) run() { s.runs = append(s.runs, nil) }

// add notes a time in the present run.
func (s *sample) add(d time.Duration) {
	if len(s.runs) == 0 {
		s.run()
	}
	last := len(s.runs) - 1
	s.runs[last] = append(s.runs[last], d)
}

// count is the number of times of all runs.
func (s *sample) count() int {
	n := 0
	for _, r := range s.runs {
		n += len(r)
	}
	return n
}

// all returns the times of all runs, sorted.
func (s *sample) all() []time.Duration {
	all := slices.Concat(s.runs...)
	slices.Sort(all)
	return all
}

// medians returns the median of each run that has times, sorted.
func (s *sample) medians() []time.Duration {
	var m []time.Duration
	for _, r := range s.runs {
		if len(r) > 0 {
			m = append(m, percentile(slices.Sorted(slices.Values(r)), 50))
		}
	}
	slices.Sort(m)
	return m
}

// String gives p50, p99 and the largest, and, after more than one run, the least, the middle and the greatest of the
// runs' medians, which is what the incumbent's figures are.
func (s *sample) String() string {
	all := s.all()
	if len(all) == 0 {
		return "nothing measured"
	}
	text := fmt.Sprintf("p50 %s, p99 %s, max %s", ms(percentile(all, 50)), ms(percentile(all, 99)), ms(all[len(all)-1]))
	if m := s.medians(); len(m) > 1 {
		text += fmt.Sprintf("; medians of %d runs %s/%s/%s", len(m), ms(m[0]), ms(percentile(m, 50)), ms(m[len(m)-1]))
	}
	return text
}

// percentile returns the smallest element of sorted such that p percent of all are not above it (nearest rank). sorted
// must not be empty; p is above 0 and at most 100.
func percentile[T any](sorted []T, p float64) T {
	// The product is rounded first: 99.9 percent of 1000 must be rank 999, not 1000 by a rounding error.
	rank := int(math.Ceil(math.Round(p*float64(len(sorted))*1e6) / 1e8))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// ms writes a time in milliseconds with three digits that count.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch a := math.Abs(v); {
	case a < 1:
		return fmt.Sprintf("%.3f", v)
	case a < 10:
		return fmt.Sprintf("%.2f", v)
	case a < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// micros writes a time in whole microseconds.
func micros(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/float64(time.Microsecond)) }

// spread writes the least, the middle and the greatest of some numbers, "15.5/15.6/17.4".
func spread(v []float64) string {
	if len(v) == 0 {
		return "-"
	}
	v = slices.Sorted(slices.Values(v))
	if len(v) == 1 {
		return fmt.Sprintf("%.1f", v[0])
	}
	return fmt.Sprintf("%.1f/%.1f/%.1f", v[0], percentile(v, 50), v[len(v)-1])
}
