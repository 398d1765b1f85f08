package leds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parklamp/board"
)

// retryWrite is the pause after an LED line could not be written.
const retryWrite = time.Second

// level is what the driver last wrote to a line.
type level uint8

const (
	unwritten level = iota // after power-on
	failed                 // is tried again now and then
	dark
	lit
)

// lamp is one lamp of the board.
type lamp struct {
	lines board.ModelLamp
	state State
	since time.Time
}

// Driver shows states on the lamps of a board.
type Driver struct {
	// immutable
	board   board.Board
	onFault func(error)
	log     *slog.Logger
	wake    chan struct{} // capacity 1: Run looks at every lamp, so one wake-up is as good as many

	// owned by Run
	written []level
	wanted  []level           // scratch of look
	changes []board.LEDChange // scratch of write
	retry   time.Time         // when failed lines are tried again
	err     error             // why a line failed
	faulty  bool

	// guarded by mu
	mu    sync.Mutex
	lamps map[board.Lamp]*lamp
	shown map[board.Lamp]board.Colour // not nil: in place of all states
}

// New makes a driver with every lamp Free. Nothing is written before Run.
func New(b board.Board, log *slog.Logger) *Driver {
	m := b.Model()
	d := &Driver{
		board: b, log: log,
		onFault: func(error) {},
		wake:    make(chan struct{}, 1),
		written: make([]level, len(m.LEDs)),
		wanted:  make([]level, len(m.LEDs)),
		lamps:   make(map[board.Lamp]*lamp, len(m.Lamps)),
	}
	for _, l := range m.Lamps {
		d.lamps[l.Lamp] = &lamp{lines: l}
	}
	return d
}

// OnFault is told once when a line cannot be written, and with nil when all can again. Call it before Run.
func (d *Driver) OnFault(f func(err error)) { d.onFault = f }

// Set gives a lamp its state; the same state again changes nothing. A lamp that the board does not have (an
// orbit without a key) is passed over. It never blocks and may be called from any goroutine.
func (d *Driver) Set(name board.Lamp, s State) {
	d.mu.Lock()
	l, ok := d.lamps[name]
	changed := ok && l.state != s
	if changed {
		l.state, l.since = s, time.Now()
	}
	d.mu.Unlock()
	if changed {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// States returns a copy of the states of all lamps.
func (d *Driver) States() map[board.Lamp]State {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[board.Lamp]State, len(d.lamps))
	for name, l := range d.lamps {
		out[name] = l.state
	}
	return out
}

// Override shows these colours, steady, and every lamp that is not named dark, whatever the states; nil ends it. The states
// go on changing underneath. The map must not be changed afterwards. It is for a person who tests the lamps.
func (d *Driver) Override(colours map[board.Lamp]board.Colour) {
	d.mu.Lock()
	d.shown = colours
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Overridden returns what Override shows, or false. The map must not be changed.
func (d *Driver) Overridden() (map[board.Lamp]board.Colour, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shown, d.shown != nil
}

// Run shows the states until ctx ends or the board is closed. Lines that cannot be written are tried again.
func (d *Driver) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		wanted, stays := d.look(now)
		retry, err := d.write(wanted, now)
		if errors.Is(err, board.ErrClosed) {
			return fmt.Errorf("leds: %w", err)
		}
		d.report(err)
		if err != nil && (stays == 0 || retry < stays) {
			stays = retry // what works blinks on meanwhile
		}
		var due <-chan time.Time
		if stays > 0 {
			timer.Reset(stays)
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-due:
		case <-d.wake:
		}
	}
}

// look works out every line at t, and how long that stays true; 0 is until a state changes.
func (d *Driver) look(t time.Time) (wanted []level, stays time.Duration) {
	wanted = d.wanted
	for i := range wanted {
		wanted[i] = dark
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lamps {
		c, left := show(l.state, l.since, t)
		on := l.state != Free
		if d.shown != nil {
			c, left = d.shown[l.lines.Lamp], 0
			on = c != board.Off
		}
		green, red := l.lines.Green, l.lines.Red
		if l.lines.Steady != board.NoLine && on {
			wanted[l.lines.Steady] = lit
		}
		if green == board.NoLine && red == board.NoLine {
			continue // a relay alone: nothing blinks
		}
		if left > 0 && (stays == 0 || left < stays) {
			stays = left
		}
		switch {
		case c == board.Off:
		case green == board.NoLine: // A lamp with one LED shows every colour with it: the cadence tells.
			wanted[red] = lit
		case red == board.NoLine:
			wanted[green] = lit
		default:
			if c.HasGreen() {
				wanted[green] = lit
			}
			if c.HasRed() {
				wanted[red] = lit
			}
		}
	}
	return wanted, stays
}

// write brings the lines that differ to their levels, those of a failed write not before d.retry. It returns when that is; 0
// is when all is well.
func (d *Driver) write(wanted []level, now time.Time) (retry time.Duration, first error) {
	due := !now.Before(d.retry)
	if due {
		d.retry = now.Add(retryWrite)
	}
	d.changes = d.changes[:0]
	for i, w := range wanted {
		if d.written[i] == w || d.written[i] == failed && !due {
			continue
		}
		d.changes = append(d.changes, board.LEDChange{Line: board.Line(i), On: w == lit})
	}
	if len(d.changes) > 0 {
		d.board.SetLEDs(d.changes)
	}
	for _, c := range d.changes {
		d.written[c.Line] = wanted[c.Line]
		if c.Err != nil {
			d.written[c.Line] = failed
			d.err = fmt.Errorf("LED line %d: %w", c.Line, c.Err)
		}
	}
	if !slices.Contains(d.written, failed) {
		d.err = nil
		return 0, nil
	}
	return d.retry.Sub(now), d.err
}

// report tells of a fault once when it begins and once when it ends.
func (d *Driver) report(err error) {
	if (err != nil) == d.faulty {
		return
	}
	d.faulty = err != nil
	if err != nil {
		d.log.Error("lamps cannot be written", "err", err)
	} else {
		d.log.Info("lamps can be written again")
	}
	d.onFault(err)
}
