package media

import (
	"testing"
	"time"
)

// A flood is held to its rate after the burst, however long it lasts, and what comes at the pace of reports passes again.
func TestFlow(t *testing.T) {
	for _, c := range []struct {
		name        string
		rate, burst int
	}{{"RTP", flowRate, flowBurst}, {"RTCP", controlRate, controlBurst}} {
		var f flow
		taken := 0
		at := time.Hour // the clock is not at its beginning when a session opens
		for end := at + 10*time.Second; at < end; at += 25 * time.Microsecond {
			if f.admit(at, c.rate, c.burst) {
				taken++
			}
		}
		if want := 10*c.rate + c.burst; taken < want-1 || taken > want+1 {
			t.Errorf("%s: %d of a flood of 10 s are taken, want %d", c.name, taken, want)
		}
		for range 10 {
			at += 2 * time.Second / time.Duration(c.rate)
			if !f.admit(at, c.rate, c.burst) {
				t.Errorf("%s: half the rate is refused after the flood", c.name)
			}
		}
	}
}
