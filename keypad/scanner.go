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
	Unseen     uint64 // presses that were over before a look could tell which of the keys of their column it was
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
	read    []time.Time
	edges   []board.Edge
	faulty  bool
	// unexplained counts looks in a row at which a column was active and no key was.
	unexplained int
	// hasty counts looks in a row that an edge brought and that found everything at rest, and another edge came at once.
	hasty int
	// stoppedClock says that the clock is a test's: it does not move while we spin.
	stoppedClock bool

	scans, ghosts, readErrors, unseen atomic.Uint64
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
		read:    make([]time.Time, len(model.Rows)),
	}
}

// OnFault is told once when the lines cannot be read, and with nil when they can again. Call it before Run.
func (s *Scanner) OnFault(f func(err error)) { s.onFault = f }

// OnShort is told of all faults of the wiring that are known whenever they change, by Run's goroutine. Call it before Run.
func (s *Scanner) OnShort(f func(now []Short)) { s.onShort = f }

// Stats returns the counts so far; any goroutine may call it.
func (s *Scanner) Stats() Stats {
	return Stats{Scans: s.scans.Load(), Ghosts: s.ghosts.Load(), ReadErrors: s.readErrors.Load(), Unseen: s.unseen.Load()}
}

// Run scans until ctx ends or the board is closed. Lines that cannot be read are tried again.
func (s *Scanner) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.board.Interrupt)()
	retry := time.NewTimer(retryRead)
	defer retry.Stop()
	for ctx.Err() == nil {
		wait, err := s.look()
		if err == nil && wait == 0 {
			s.report(nil)
			looked := time.Now()
			if s.edges, err = s.board.Wait(s.machine.Rest(looked), s.edges); err == nil {
				s.spare(time.Since(looked))
				continue
			}
			wait = retryRead
		}
		if errors.Is(err, board.ErrClosed) {
			return fmt.Errorf("keypad: %w", err)
		}
		s.report(err)
		if err == nil {
			if !s.machine.flickering() {
				s.hasty = 0
			}
			s.board.Sleep(wait)
			continue
		}
		s.machine.Blind()
		s.edges = s.edges[:0]
		retry.Reset(wait)
		select {
		case <-ctx.Done():
		case <-retry.C:
		}
	}
	return nil
}

// spare keeps a line that flickers, whose pulses are over whenever somebody looks, from having a scan for each of its edges. The
// first edge of a rest is looked at without delay.
func (s *Scanner) spare(rested time.Duration) {
	period := s.machine.cfg.ScanPeriod
	if rested >= stuckPeriods*period {
		s.hasty = 0
		return
	}
	s.hasty = min(s.hasty+1, stuckPeriods)
	if pause := time.Duration(s.hasty)*period - rested; pause > 0 {
		s.board.Sleep(pause)
	}
}

// look takes the edges up to now, scans once and arms the interrupts. It returns when to look again, 0 for at the next edge.
func (s *Scanner) look() (time.Duration, error) {
	from := time.Now()
	var err error
	if s.edges, err = s.board.Wait(0, s.edges); err != nil {
		return retryRead, err
	}
	if err := s.scan(from); err != nil {
		return retryRead, err
	}
	columns, lifted, err := s.arm()
	if err != nil {
		return retryRead, err
	}
	if wait := s.machine.Next(); wait > 0 {
		return wait, nil
	}
	if columns != 0 || lifted != s.machine.lifted && s.model.Hook != "" {
		// Something closed just now, or a short where no key is fitted keeps a column low for good.
		s.unexplained = min(s.unexplained+1, stuckPeriods)
		return time.Duration(s.unexplained) * s.machine.cfg.ScanPeriod, nil
	}
	s.unexplained = 0
	return 0, nil
}

// arm drives all rows, so that the edges speak. Those of the columns that the scan made are thrown away first, then the levels
// are read: what moved in between is either seen here or in the queue.
func (s *Scanner) arm() (columns uint32, lifted bool, err error) {
	if err := s.board.SelectRows(s.model.AllRows()); err != nil {
		return 0, false, err
	}
	s.settle()
	if s.edges, err = s.board.Wait(0, s.edges[:0]); err != nil {
		return 0, false, err
	}
	s.edges = slices.DeleteFunc(s.edges, func(e board.Edge) bool { return e.Input == board.Column })
	at := time.Now()
	if columns, err = s.board.Columns(); err != nil {
		return 0, false, err
	}
	if lifted, err = s.board.HookUp(); err != nil {
		return 0, false, err
	}
	s.machine.Armed(at, columns)
	return columns, lifted, nil
}

// scan reads the matrix row by row, and the hook, and reports what that and the edges prove.
func (s *Scanner) scan(from time.Time) error {
	for i := range s.rows {
		if err := s.board.SelectRows(1 << i); err != nil {
			return err
		}
		s.settle()
		s.read[i] = time.Now()
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
	for _, e := range s.machine.Scan(Sample{From: from, At: time.Now(), Edges: s.edges, Rows: s.rows, Read: s.read, Hook: lifted}) {
		s.handle(e)
	}
	s.ghosts.Store(s.machine.Ghosts())
	if n := s.machine.Unseen(); n != s.unseen.Swap(n) && n == 1 {
		s.log.Warn("a key was pressed and let go while this machine stood still: nobody can say which; is it overloaded? It is counted and not told again")
	}
	if shorts, changed := s.machine.Shorts(); changed {
		s.onShort(slices.Clone(shorts))
	}
	return nil
}

// settle waits until the columns are true. It spins for a settle time that is shorter than a change of threads
// and back: a sleep would round it up to a millisecond, eight times a scan. A test's clock does not move by
// itself and is slept by.
func (s *Scanner) settle() {
	d := s.model.Settle
	if d <= 0 {
		return
	}
	if d > longestSpin || s.stoppedClock {
		s.board.Sleep(d)
		return
	}
	start := time.Now()
	for spins := 0; time.Since(start) < d; spins++ {
		if spins == mostSpins && time.Since(start) == 0 {
			s.stoppedClock = true
			s.board.Sleep(d)
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
