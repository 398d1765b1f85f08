package main

import (
	"errors"
	"testing"
	"time"
)

// TestEvenly: a measurement on an uneven machine is taken again, a bounded number of times, and what counts says so.
func TestEvenly(t *testing.T) {
	quiet, loud := []time.Duration{unevenLimit}, []time.Duration{unevenLimit + 1}
	still := make([]time.Duration, 1000) // two of a thousand wake-ups came late
	still[998], still[999] = stillLimit+1, stillLimit+1
	broken := errors.New("broken")
	for _, c := range []struct {
		name          string
		floors        [][]time.Duration
		err           error
		taken         int
		again, uneven int
	}{
		{"even at once", [][]time.Duration{quiet}, nil, 1, 0, 0},
		{"even in the end", [][]time.Duration{loud, quiet}, nil, 2, 1, 0},
		{"stood still", [][]time.Duration{still, quiet}, nil, 2, 1, 0},
		{"never even", [][]time.Duration{loud, loud, loud}, nil, attempts, attempts - 1, 1},
		{"nothing known of the machine", [][]time.Duration{nil}, nil, 1, 0, 0},
		{"broken", [][]time.Duration{loud}, broken, 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			taken := 0
			f, err := evenly(func() (loadFigures, error) {
				taken++
				return loadFigures{floor: c.floors[taken-1]}, c.err
			})
			if !errors.Is(err, c.err) || taken != c.taken || f.again != c.again || f.uneven != c.uneven {
				t.Errorf("taken %d times: again %d, uneven %d, %v; want %d, %d, %d", taken, f.again, f.uneven, err, c.taken, c.again, c.uneven)
			}
			if (f.caveat() != "") != (c.again+c.uneven > 0) {
				t.Errorf("caveat %q", f.caveat())
			}
		})
	}
}
