package wire

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/clock"
	"parklamp/cmd/internal/health"
)

const (
	// storageCode is the health condition of the disk that the journal is on.
	storageCode = "storage"
	// clockCode is the health condition of a clock that nobody has set.
	clockCode = "clock.unset"
	// lookEvery is how often both are looked at.
	lookEvery = 30 * time.Second
	// full and almostFull are what is free at least, in bytes: the journal is rewritten into a second file now and then.
	full       = 1 << 20
	almostFull = 8 << 20
)

// surroundings judges what an appliance stands on.
type surroundings struct {
	journal string // its file; "" without one
	health  *health.Set
	now     func() time.Time
}

// watch looks at the clock and at the disk of the journal until ctx ends, so that it is known before a call is
// parked that it could not be stored. Parking goes on whatever it finds. Under the image's first process, which judges both by
// what it knows of the card and of the time servers, it does not run.
func (s surroundings) watch(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s.showClock()
		if s.journal != "" {
			s.showStorage(filepath.Dir(s.journal))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// showClock tells of a clock that has not been set since the power came: times on the panel and in reports are wrong, and
// certificates are taken for not yet in force.
func (s surroundings) showClock() {
	if !clock.Unset(s.now()) {
		s.health.Clear(clockCode)
		return
	}
	s.health.Raise(s.now(), clockCode, health.Error, "the clock is not set: it says "+s.now().UTC().Format(time.DateOnly),
		"check the time server and the network; without a clock encrypted calls and peers may be refused")
}

func (s surroundings) showStorage(folder string) {
	var st unix.Statfs_t
	if unix.Statfs(folder, &st) != nil {
		return // it is not there yet, or gone: the journal says so when it is written
	}
	severity, text, hint := judgeStorage(st.Flags&unix.ST_RDONLY != 0, st.Bavail*uint64(st.Bsize))
	if text == "" {
		s.health.Clear(storageCode)
		return
	}
	s.health.Raise(s.now(), storageCode, severity, folder+" "+text, hint)
}

// judgeStorage says what is wrong with a disk; an empty text is nothing.
func judgeStorage(readOnly bool, free uint64) (severity health.Severity, text, hint string) {
	switch {
	case readOnly:
		return health.Error, "cannot be written: parked calls would not outlive a crash",
			"the card is worn out or its file system broken; change the card (parkctl selftest --steps disk tells more)"
	case free < full:
		return health.Error, "is full: parked calls would not outlive a crash", "remove what fills it"
	case free < almostFull:
		return health.Warning, fmt.Sprintf("is almost full: %d KiB are free", free>>10), "remove what fills it"
	}
	return health.Warning, "", ""
}
