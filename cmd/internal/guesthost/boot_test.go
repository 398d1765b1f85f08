//go:build image

package guesthost

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"parklamp/cmd/internal/hands"
)

// TestKeysAndLamps presses every kind of key of the board on simulated lines and looks at lamps, in a clock of which 2 ms of
// settling are half a million instructions. What the phone makes of the keys is in its log.
func TestKeysAndLamps(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1", Clock: Steady}, number: "201"})
	p.ready()
	const pause = 120 * time.Millisecond
	acts := []hands.Act{{Up: true, Then: pause}}
	want := []string{"hook up"}
	for _, k := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"} {
		acts = append(acts, hands.Act{Key: k, Hold: hold, Then: pause})
		want = append(want, "digit "+k)
	}
	acts = append(acts, hands.Act{Then: 2 * pause})
	want = append(want, "hook down")
	for range 2 {
		acts = append(acts, hands.Act{Key: "dnd", Hold: hold, Then: pause})
		want = append(want, "key dnd")
	}
	lamps, err := p.Play(t.Context(), acts...)
	p.must(err)
	if got := p.inputs(len(want)); !slices.Equal(got, want) {
		t.Errorf("the phone was told %q, want %q", got, want)
	}
	for i, lit := range []bool{false, true, false} {
		at := len(lamps) - 3 + i
		if got := lamps[at]["dnd"]; got != (hands.LampState{Red: lit}) {
			t.Errorf("lamp of do not disturb after act %d: %+v, want lit %t", at, got, lit)
		}
	}
}

var input = regexp.MustCompile(`msg=phone input="?((?:digit|key|hook) [^"\s]*)`)

// inputs waits for n things that keys and hook have told the phone, as its log has them.
func (p *phone) inputs(n int) (all []string) {
	p.s.Helper()
	for began := time.Now(); time.Since(began) < limit && len(all) < n; time.Sleep(100 * time.Millisecond) { // a log tells nobody that it grew
		all = nil
		for _, line := range p.log() {
			if m := input.FindStringSubmatch(line); m != nil {
				all = append(all, m[1])
			}
		}
	}
	return all
}
