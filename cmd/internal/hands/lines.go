package hands

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/board"
	"parklamp/board/gpiosim"
)

// ErrNoPart means that the board has no such key or lamp.
var ErrNoPart = errors.New("hands: the board has no such part")

// look is how often a lamp is looked at.
const look = time.Millisecond

// Lines are a board's lines on the kernel's gpio-sim.
type Lines struct {
	model board.Model
	sim   *gpiosim.Sim

	mu   sync.Mutex
	down map[board.Key]bool
	wake chan struct{} // capacity 1; a full channel means that the matrix goroutine is told already
}

// NewLines makes the chips of gpio-sim that a board file describes.
func NewLines(m board.Model) (*Lines, error) {
	sim, err := gpiosim.New(m)
	if err != nil {
		return nil, err
	}
	return &Lines{model: m, sim: sim, down: map[board.Key]bool{}, wake: make(chan struct{}, 1)}, nil
}

// Run is the electricity, which gpio-sim does not have: while a key is down, its column follows its row. It returns only when
// the lines fail.
func (l *Lines) Run() error {
	runtime.LockOSThread() // never unlocked: it must not wait for another goroutine to yield
	// Well below what the model lets its columns settle, and not so often that an emulated processor has no time left.
	follow := max(l.model.Settle/5, 200*time.Microsecond)
	for range l.wake {
		for l.pressed() {
			wait := unix.NsecToTimespec(int64(follow))
			_ = unix.Nanosleep(&wait, nil) // not time.Sleep: it wakes up a goroutine elsewhere first
			if err := l.sim.Follow(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Lines) pressed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.down) > 0
}

// Set moves a key.
func (l *Lines) Set(k board.Key, down bool) error {
	if _, ok := l.model.Key(k); !ok {
		return fmt.Errorf("%w: key %q", ErrNoPart, k)
	}
	l.mu.Lock()
	delete(l.down, k)
	if down {
		l.down[k] = true
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	if down {
		return l.sim.Press(k)
	}
	return l.sim.Release(k)
}

// Tap presses a key for some time.
func (l *Lines) Tap(k board.Key, hold time.Duration) error {
	if err := l.Set(k, true); err != nil {
		return err
	}
	time.Sleep(hold)
	return l.Set(k, false)
}

// Hook lifts or replaces the handset.
func (l *Lines) Hook(up bool) error { return l.sim.SetHook(up) }

// Lamp looks at a lamp.
func (l *Lines) Lamp(name string) (s LampState, err error) {
	at, ok := l.model.Lamp(board.Lamp(name))
	if !ok {
		return s, fmt.Errorf("%w: lamp %q", ErrNoPart, name)
	}
	s.Green = at.Green != board.NoLine && l.sim.LED(at.Green)
	s.Red = at.Red != board.NoLine && l.sim.LED(at.Red)
	return s, nil
}

// Lamps looks at every lamp that has lines.
func (l *Lines) Lamps() (map[string]LampState, error) {
	all := map[string]LampState{}
	for _, m := range l.model.Lamps {
		s, err := l.Lamp(string(m.Lamp))
		if err != nil {
			return nil, err
		}
		all[string(m.Lamp)] = s
	}
	return all, nil
}

// Watch looks at a lamp for some time; the first change is its state at the beginning.
func (l *Lines) Watch(name string, d time.Duration) ([]LampChange, error) {
	var all []LampChange
	for began := time.Now(); ; time.Sleep(look) {
		s, err := l.Lamp(name)
		if err != nil {
			return nil, err
		}
		at := time.Since(began)
		if len(all) == 0 || all[len(all)-1].LampState != s {
			all = append(all, LampChange{at, s})
		}
		if at >= d {
			return all, nil
		}
	}
}

// Reaction presses a key and returns how long it took until a lamp looked otherwise than before. The finger stays on the key until both
// that has been seen and Hold is over, and it is given up after as many looks as go into Limit: an idle guest's clock goes on while its host
// lets it wait, and may have gone beyond any hold and limit before the phone has looked at its keys.
func (l *Lines) Reaction(a ReactionArgs) (took time.Duration, err error) {
	before, err := l.Lamp(a.Lamp)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := l.Set(board.Key(a.Key), true); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Set(board.Key(a.Key), false)) }()
	for looks := time.Duration(1); ; looks++ {
		time.Sleep(look)
		at := time.Since(began)
		now, err := l.Lamp(a.Lamp)
		switch {
		case err != nil:
			return 0, err
		case took == 0 && now != before:
			took = at
		case took == 0 && looks*look > a.Limit:
			return 0, fmt.Errorf("hands: key %s changes nothing of lamp %s within %v and %d looks", a.Key, a.Lamp, at, looks)
		}
		if took > 0 && at >= a.Hold {
			return took, nil
		}
	}
}
