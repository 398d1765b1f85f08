//go:build 386 || arm

package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

func setOffset(t *unix.Timex, d time.Duration) { t.Offset = int32(d.Nanoseconds()) }
