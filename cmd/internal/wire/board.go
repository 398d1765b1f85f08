package wire

import (
	"fmt"

	"parklamp/board/gpio"
	"parklamp/board/sim"
	"parklamp/cmd/internal/health"
)

// openBoard takes the hardware that the configuration names. What of it does not work is returned; the rest does.
func (a *Appliance) openBoard() ([]gpio.Fault, error) {
	model, err := a.cfg.Board.Load(a.cfg.Lot.Orbits)
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

// missing shows the parts of the board that were left out.
func (a *Appliance) missing(parts []gpio.Fault) {
	for _, f := range parts {
		a.health.Raise(a.now(), "board."+f.Part, health.Error, f.Part+": "+f.Text, f.Hint)
	}
}
