package keypad

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"parklamp/board"
)

// retryRead is the pause after lines could not be read.
const retryRead = 250 * time.Millisecond

// longestSpin is the longest settle time that is spun through; mostSpins is how many looks at a clock that
// does not move prove that it never will.
const (
	longestSpin = 100 * time.Microsecond
	mostSpins   = 10_000
)

// Stats counts what the scanner did since its start.
type Stats struct {
	Scans      uint64 // looks at the whole matrix
	Ghosts     uint64 // presses that could not be told apart
	ReadErrors uint64 // lines that could not be read; such a scan is thrown away
}

// Scanner reads a board's keys and hook.
type Scanner struct {
	// immutable
	board   board.Board
	model   board.Model
	handle  func(Event)
	onFault func(error)
	onShort func([]Short)
	log     *slog.Logger

	// owned by Run
	machine *Machine
	rows    []uint32
	faulty  bool
	// unexplained counts looks in a row at which a column was active and no key was.
	unexplained int
	// stoppedClock says that the clock is a test's: it does not move while we spin.
	stoppedClock bool

	scans, ghosts, readErrors atomic.Uint64
}

// New makes a scanner. handle gets every event, in order, from Run's goroutine; it must not block.
func New(cfg Config, b board.Board, handle func(Event), log *slog.Logger) *Scanner {
	model := b.Model()
	return &Scanner{
		board: b, model: model, handle: handle, log: log,
		onFault: func(error) {},
		onShort: func([]Short) {},
		machine: NewMachine(cfg, model),
		rows:    make([]uint32, len(model.Rows)),
	}
}

// OnFault is told once when the lines cannot be read, and with nil when they can again. Call it before Run.
func (s *Scanner) OnFault(f func(err error)) { s.onFault = f }

// OnShort is told of all faults of the wiring that are known whenever they change, by Run's goroutine. Call it before Run.
func (s *Scanner) OnShort(f func(now []Short)) { s.onShort = f }

// Stats returns the counts so far; any goroutine may call it.
func (s *Scanner) Stats() Stats {
	return Stats{Scans: s.scans.Load(), Ghosts: s.ghosts.Load(), ReadErrors: s.readErrors.Load()}
}

// Run scans until ctx ends or the board is closed. Lines that cannot be read are tried again.
func (s *Scanner) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var edge time.Time
	for {
		wait, err := s.look(edge)
		if errors.Is(err, board.ErrClosed) {
			return fmt.Errorf("keypad: %w", err)
		}
		s.report(err)
		edge = time.Time{}
		var due <-chan time.Time
		if wait > 0 {
			timer.Reset(wait)
			due = timer.C
		}
		edges := s.board.Edges()
		if due != nil {
			// While a key is down the scan itself makes the columns move.
			edges = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-due:
		case e, ok := <-edges:
			if !ok {
				return fmt.Errorf("keypad: %w", board.ErrClosed)
			}
			edge = e.At
		}
	}
}

// look scans once and arms the interrupt. It returns when to look again, 0 for at the next edge.
func (s *Scanner) look(edge time.Time) (time.Duration, error) {
	if err := s.scan(edge); err != nil {
		return retryRead, err
	}
	if wait := s.machine.Next(); wait > 0 {
		return wait, nil
	}
	// Nothing is pressed: drive all rows and let the edges speak. Those that the scan made are thrown away
	// first, then the levels are read once more: what moved in between is either seen here or in the queue.
	if err := s.board.SelectRows(s.model.AllRows()); err != nil {
		return retryRead, err
	}
	s.settle()
	s.drain()
	columns, err := s.board.Columns()
	if err != nil {
		return retryRead, err
	}
	lifted, err := s.board.HookUp()
	if err != nil {
		return retryRead, err
	}
	if columns != 0 || lifted != s.machine.lifted && s.model.Hook != "" {
		// Something closed just now, or a short where no key is fitted keeps a column low for good.
		s.unexplained = min(s.unexplained+1, stuckPeriods)
		return time.Duration(s.unexplained) * s.machine.cfg.ScanPeriod, nil
	}
	s.unexplained = 0
	return 0, nil
}

// scan reads the matrix row by row, and the hook, and reports what that proves.
func (s *Scanner) scan(edge time.Time) error {
	for i := range s.rows {
		if err := s.board.SelectRows(1 << i); err != nil {
			return err
		}
		s.settle()
		columns, err := s.board.Columns()
		if err != nil {
			return err
		}
		s.rows[i] = columns
	}
	lifted, err := s.board.HookUp()
	if err != nil {
		return err
	}
	s.scans.Add(1)
	for _, e := range s.machine.Scan(Sample{At: time.Now(), Edge: edge, Rows: s.rows, Hook: lifted}) {
		s.handle(e)
	}
	s.ghosts.Store(s.machine.Ghosts())
	if shorts, changed := s.machine.Shorts(); changed {
		s.onShort(slices.Clone(shorts))
	}
	return nil
}

// settle waits until the columns are true. It spins for a settle time that is shorter than a change of threads
// and back: time.Sleep would round it up to a millisecond, eight times a scan. A test's clock does not move by
// itself and is slept by.
func (s *Scanner) settle() {
	d := s.model.Settle
	if d <= 0 {
		return
	}
	if d > longestSpin || s.stoppedClock {
		time.Sleep(d)
		return
	}
	start := time.Now()
	for spins := 0; time.Since(start) < d; spins++ {
		if spins == mostSpins && time.Since(start) == 0 {
			s.stoppedClock = true
			time.Sleep(d)
			return
		}
	}
}

func (s *Scanner) drain() {
	for {
		select {
		case _, ok := <-s.board.Edges():
			if !ok {
				return
			}
		default:
			return
		}
	}
}

// report tells of a fault once when it begins and once when it ends.
func (s *Scanner) report(err error) {
	if err != nil {
		s.readErrors.Add(1)
	}
	if (err != nil) == s.faulty {
		return
	}
	s.faulty = err != nil
	if err != nil {
		s.log.Error("keys cannot be read", "err", err)
	} else {
		s.log.Info("keys can be read again")
	}
	s.onFault(err)
}
