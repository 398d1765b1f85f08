package rtpio

import (
	"testing"
	"time"
)

// The age of a datagram is what the kernel's stamp says, however long the reader stood still, unless the system's clock was set
// meanwhile.
func TestAgeOutlastsAStandstill(t *testing.T) {
	const ms = time.Millisecond
	const boot = 1_700_000_000 * time.Second // what the system's clock shows at 0 of the monotonic one
	for _, c := range []struct {
		name            string
		came, read      time.Duration // by the monotonic clock; the reader began at 0, and looked last at 1 s
		set, step, want time.Duration // the system's clock is moved at set by step
	}{
		{name: "at once", came: 2000 * ms, read: 2001 * ms, want: ms},
		{name: "after a standstill of the reader", came: 2000 * ms, read: 2450 * ms, want: 450 * ms},
		{name: "after a long one", came: 1001 * ms, read: 9000 * ms, want: 7999 * ms},
		{name: "the clock is put on while it waits", came: 2000 * ms, read: 2450 * ms, set: 2200 * ms, step: time.Hour},
		{name: "the clock is put on by little while it waits", came: 2000 * ms, read: 2010 * ms, set: 2005 * ms, step: 30 * ms},
		{name: "the clock is put back while it waits", came: 2000 * ms, read: 2450 * ms, set: 2200 * ms, step: -time.Hour},
		{name: "the clock is put back by little while it waits", came: 2000 * ms, read: 2450 * ms, set: 2200 * ms, step: -200 * ms},
		{name: "the clock was set before it came", came: 2000 * ms, read: 2450 * ms, set: 1500 * ms, step: time.Hour},
		{name: "the clock was set and looked at before it came", came: 2000 * ms, read: 2450 * ms, set: 900 * ms, step: time.Hour, want: 450 * ms},
		{name: "the clock is put on by next to nothing", came: 2000 * ms, read: 2450 * ms, set: 2200 * ms, step: 200 * time.Microsecond, want: 450*ms + 200*time.Microsecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			wall := func(mono time.Duration) time.Duration {
				if mono >= c.set {
					mono += c.step
				}
				return boot + mono
			}
			var clocks clocks
			for _, at := range []time.Duration{0, 1000 * ms} {
				clocks.age(look{wall(at), at}, int64(wall(at)))
			}
			if got := clocks.age(look{wall(c.read), c.read}, int64(wall(c.came))); got != c.want {
				t.Errorf("age %s, want %s", got, c.want)
			}
		})
	}
}
