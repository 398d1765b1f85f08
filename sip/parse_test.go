package sip_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"parklamp/sip"
)

func TestSeconds(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0s true", " 60 ": "1m0s true", "5 (in a meeting)": "5s true", "7;duration=3600": "7s true",
		"4294967295": "1193046h28m15s true", "99999999999999999999999": "1193046h28m15s true",
		"": "0s false", "x": "0s false", "5x": "0s false", "-1": "0s false", "1.5": "0s false",
	} {
		d, ok := sip.Seconds(in)
		if got := fmt.Sprint(d, ok); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func FuzzSeconds(f *testing.F) {
	f.Add("120 (I'm in a meeting);duration=3600")
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := sip.Seconds(s); ok && (d < 0 || d > math.MaxUint32*time.Second) {
			t.Errorf("%q is %v", s, d)
		}
	})
}
