package wire

import (
	"testing"
	"time"

	"parklamp/media"
)

func TestStreamGoesOnUnlessTheClockWasSetBack(t *testing.T) {
	st := media.State{SSRC: 7, Seq: 1}
	stored := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name string
		now  time.Time
		same bool
	}{
		{"a second later", stored.Add(time.Second), true},
		{"at once", stored, true},
		{"set forward", stored.AddDate(1, 0, 0), true},
		{"set back", stored.Add(-time.Second), false},
		{"no clock", time.Unix(0, 0), false},
	} {
		if got := goingOn(st, stored, tc.now); (got.SSRC == st.SSRC) != tc.same || got.Seq != st.Seq {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}
