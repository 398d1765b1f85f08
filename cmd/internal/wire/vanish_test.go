package wire

import (
	"testing"
	"time"
)

func TestDeserted(t *testing.T) {
	vanished := time.Date(2026, 11, 22, 5, 51, 13, 0, time.UTC)
	for name, c := range map[string]struct {
		joined time.Time
		silent time.Duration
		want   bool
	}{
		"fetched before, silent":         {vanished.Add(-time.Minute), time.Second, true},
		"fetched before, never heard":    {vanished.Add(-time.Minute), -1, true},
		"fetched before, its RTP is on":  {vanished.Add(-time.Minute), 20 * time.Millisecond, false},
		"fetched after it was back":      {vanished.Add(900 * time.Millisecond), -1, false},
		"no fetch, or not yet confirmed": {time.Time{}, -1, false},
	} {
		if got := deserted(c.joined, vanished, c.silent); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
