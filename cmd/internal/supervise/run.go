package supervise

import (
	"context"
	"log/slog"
	"sync"
	"syscall"
	"time"
)

// probeEvery is the pause between two questions to a program, and how long an answer may take.
const probeEvery = 3 * time.Second

// Report is what is known of a program.
type Report struct {
	State     State
	PID       int           // 0: none
	Since     time.Time     // of the state, for people
	Starts    int           // tried
	LastExit  string        // how the last process ended; "" if none did
	ExitAt    time.Time     // when
	LastGap   time.Duration // between the last end and the start after it
	Answering bool          // see Machine.Answering
	Stuck     bool          // see Machine.Stuck
}

// Service is one program that Run keeps alive.
type Service struct {
	name   string                      // immutable
	probe  func(context.Context) error // nil: nobody asks
	reaper *Reaper
	log    *slog.Logger
	asked  chan Input    // capacity 4; full: the caller waits
	ended  chan struct{} // closed when Run has returned

	// owned by Run
	machine *Machine
	child   *Child
	diedAt  time.Time // monotonic, for the gap

	mu     sync.Mutex
	spec   Spec           // guarded by mu
	stopBy syscall.Signal // guarded by mu
	report Report         // guarded by mu
}

// NewService makes a program that is not started before Start. probe asks whether it works; nil if nobody can ask.
func NewService(name string, spec Spec, p Policy, probe func(context.Context) error, r *Reaper, log *slog.Logger) *Service {
	if probe == nil {
		p.Grace = 0
	}
	return &Service{name: name, spec: spec, probe: probe, reaper: r, log: log.With("service", name), machine: NewMachine(p),
		asked: make(chan Input, 4), ended: make(chan struct{}), stopBy: syscall.SIGTERM}
}

// Name is the name of the program.
func (s *Service) Name() string { return s.name }

// SetSpec says what the next start starts.
func (s *Service) SetSpec(spec Spec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spec = spec
}

// StopBy says which signal ends the program when Run ends; else it is SIGTERM.
func (s *Service) StopBy(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopBy = sig
}

// Start and Restart say what is wanted; they do not wait for it. The program is ended with Run.
func (s *Service) Start() { s.ask(Start) }

// Restart ends the program, by the signal that its Spec has for it, and starts it anew.
func (s *Service) Restart() { s.ask(Restart) }

func (s *Service) ask(in Input) {
	select {
	case s.asked <- in:
	case <-s.ended:
	}
}

// Report returns a copy of what is known.
func (s *Service) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// Run owns the program until ctx ends; then it ends the program in good order and returns.
func (s *Service) Run(ctx context.Context) {
	defer close(s.ended)
	var wg sync.WaitGroup
	defer wg.Wait()
	answers := make(chan bool, 1) // one probe is under way at a time
	probing := false
	asking, stopProbe := context.WithCancel(context.Background())
	defer stopProbe()
	ask := time.NewTicker(probeEvery)
	defer ask.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	done := ctx.Done()
	for {
		var exit <-chan Status
		if s.child != nil {
			exit = s.child.done
		}
		if at := s.machine.Due(); at.IsZero() {
			due.Stop()
		} else {
			due.Reset(time.Until(at))
		}
		select {
		case in := <-s.asked:
			s.step(in)
		case st := <-exit:
			s.exited(st)
		case <-due.C:
			s.step(Tick)
		case ok := <-answers:
			probing = false
			if ok {
				s.step(Answered)
			}
		case <-ask.C:
			if s.probe != nil && !probing && s.machine.State() == Running {
				probing = true
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(asking, probeEvery)
					defer cancel()
					answers <- s.probe(ctx) == nil
				})
			}
		case <-done:
			done = nil
			s.step(Stop)
		}
		if ctx.Err() != nil && (s.machine.State() == Stopped || s.machine.Stuck()) {
			return
		}
	}
}

func (s *Service) exited(st Status) {
	s.child = nil
	s.diedAt = time.Now()
	why := st.String()
	if s.machine.Hung() && s.machine.State() == Killing {
		why = "did not answer, " + why
	}
	level := slog.LevelWarn
	if s.machine.State() == Ending {
		level = slog.LevelInfo
	}
	s.log.Log(context.Background(), level, "ended", "status", why)
	s.mu.Lock()
	s.report.LastExit, s.report.ExitAt = why, time.Now()
	s.mu.Unlock()
	s.step(Exited)
}

// step takes one input and carries out what follows.
func (s *Service) step(in Input) {
	before := s.machine.State()
	for _, e := range s.machine.Step(time.Now(), in) {
		switch e {
		case Spawn:
			s.spawn()
		case Terminate:
			s.child.Signal(s.farewell(in))
			s.child.Signal(syscall.SIGCONT) // one that was stopped ends as well
		case Kill:
			s.log.Warn("killed", "state", before.String())
			s.child.Signal(syscall.SIGKILL)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report.State != s.machine.State() || s.report.Since.IsZero() {
		s.report.Since = time.Now()
	}
	s.report.State, s.report.Answering, s.report.Stuck = s.machine.State(), s.machine.Answering(), s.machine.Stuck()
	s.report.PID = 0
	if s.child != nil {
		s.report.PID = s.child.PID
	}
}

// farewell is the signal that ends the program.
func (s *Service) farewell(in Input) syscall.Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case in != Restart:
		return s.stopBy
	case s.spec.Restart != 0:
		return s.spec.Restart
	}
	return syscall.SIGTERM
}

func (s *Service) spawn() {
	// Under the lock, so that a report never tells of a process before or after this one.
	s.mu.Lock()
	child, err := s.reaper.Start(s.spec)
	gap := time.Duration(0)
	if !s.diedAt.IsZero() {
		gap = time.Since(s.diedAt)
	}
	s.child = child
	s.report.Starts++
	s.report.LastGap = gap
	if err != nil {
		s.report.LastExit, s.report.ExitAt = err.Error(), time.Now()
	} else {
		s.report.PID = child.PID
	}
	s.mu.Unlock()
	if err != nil {
		s.log.Error("not started", "err", err)
		s.diedAt = time.Now()
		s.step(Exited)
		return
	}
	s.log.Info("started", "pid", child.PID, "gap", gap.Round(100*time.Microsecond))
}
