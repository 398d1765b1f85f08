package federation

import (
	"time"

	"golang.org/x/sys/unix"

	"parklamp/parkd"
)

// suspended is for how long the machine was suspended since it was booted. CLOCK_MONOTONIC, by which all times here go, stands
// still then, and CLOCK_BOOTTIME does not (clock_gettime(2)); a virtual machine that is paused has both stand still.
func suspended() time.Duration {
	var boot, ran unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &ran) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - ran.Nano())
}

// wakeUp tells the core that the machine was suspended, before anything else that it is told or asked after that. The caller holds mu.
func (f *Federation) wakeUp() {
	slept := f.suspended() - f.slept
	if slept < parkd.Standstill {
		return
	}
	f.slept += slept
	f.log.Info("the machine was suspended", "for", slept.Round(time.Second).String())
	f.pending = append(f.pending, f.core.Step(time.Now(), Slept{})...)
}
