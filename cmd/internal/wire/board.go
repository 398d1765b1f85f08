package wire

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"parklamp/board"
	"parklamp/board/gpio"
	"parklamp/board/sim"
	"parklamp/cmd/internal/health"
	"parklamp/keypad"
)

// openBoard takes the hardware that the configuration names. What of it does not work is returned; the rest does.
func (a *Appliance) openBoard() ([]gpio.Fault, error) {
	model, err := a.cfg.Board.Load(a.cfg.Lot.Orbits)
	if errors.Is(err, board.ErrUnknownBoard) {
		// Without keys and lamps it still parks, fetches and shows its panel.
		none := []gpio.Fault{{Part: "model", Text: err.Error(), Hint: "name the board in board.model, or describe it in a file for board.file"}}
		if model, err = board.Load(board.Default().Model, a.cfg.Lot.Orbits); err == nil {
			a.board = sim.New(model, sim.Options{})
			return none, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	if model.Wiring == nil {
		a.board = sim.New(model, sim.Options{})
		return nil, nil
	}
	b, err := gpio.Open(model)
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	a.board = b
	return b.Faults(), nil
}

// boardCode begins the code of a part of the board that is missing.
const boardCode = "board."

// missing shows the parts of the board that were left out.
func (a *Appliance) missing(parts []gpio.Fault) {
	for _, f := range parts {
		a.health.Raise(a.now(), boardCode+f.Part, health.Error, f.Part+": "+f.Text, f.Hint)
	}
}

// lampFault shows that LEDs cannot be written, and takes back what was said of expanders at the start once all of them can.
func (a *Appliance) lampFault(missing []gpio.Fault) func(error) {
	show := a.hardwareFault("lamps", "an LED line cannot be written")
	return func(err error) {
		show(err)
		w := a.board.Model().Wiring
		if err != nil || w == nil {
			return
		}
		for _, f := range missing {
			if c, is := w.Chips[f.Part]; is && c.Kind != board.GPIOChip {
				a.health.Clear(boardCode + f.Part)
			}
		}
	}
}

// mostNice is before everything else in the normal class.
const mostNice = -20

// scanKeys runs the scanner on a thread of its own. Where the program may have a nice value it comes before its other threads: they
// share one value, and a collector that is at work may run for tens of milliseconds on the only core of a small board before
// the kernel turns to the next one (Linux 6.1). This one runs for a millisecond while a key moves.
func (a *Appliance) scanKeys(ctx context.Context) error {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	if a.cfg.Media.Nice < 0 {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, mostNice) // the thread's; that the kernel refuses was told for all of them
	}
	return a.scanner.Run(ctx)
}

// shorts shows the faults of the key matrix in place of those before.
func (a *Appliance) shorts(now []keypad.Short) {
	model := a.board.Model()
	names := map[string]bool{}
	for _, s := range now {
		code := "keypad." + s.Name(model)
		names[code] = true
		a.health.Raise(a.now(), code, health.Error, s.Text(model), s.Hint())
	}
	for _, c := range a.health.All() {
		if strings.HasPrefix(c.Code, "keypad.") && !names[c.Code] {
			a.health.Clear(c.Code)
		}
	}
}
