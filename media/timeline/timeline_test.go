package timeline

import (
	"testing"
	"time"
)

func TestDistances(t *testing.T) {
	for _, tc := range []struct {
		a, b uint16
		want int64
	}{{1, 0, 1}, {0, 1, -1}, {5, 5, 0}, {0, 65535, 1}, {65535, 0, -1}, {2, 65530, 8}, {32767, 0, 32767}, {32768, 0, -32768}} {
		if got := Packets(tc.a, tc.b); got != tc.want {
			t.Errorf("packets from %d to %d: %d, want %d", tc.b, tc.a, got, tc.want)
		}
	}
	for _, tc := range []struct {
		a, b uint32
		want int64
	}{{160, 0, 160}, {0, 160, -160}, {100, 1<<32 - 60, 160}, {1<<32 - 60, 100, -160}, {1<<31 - 1, 0, 1<<31 - 1}, {1 << 31, 0, -1 << 31}} {
		if got := Ticks(tc.a, tc.b); got != tc.want {
			t.Errorf("ticks from %d to %d: %d, want %d", tc.b, tc.a, got, tc.want)
		}
	}
	if FrameTicks != 160 || FrameTicks*Tick != Frame || Tick != 125*time.Microsecond {
		t.Errorf("a frame of %v has %d ticks of %v", Frame, FrameTicks, Tick)
	}
}
