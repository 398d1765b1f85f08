// Package supervise keeps a program running: it starts it, starts it again when it dies or hangs, waits longer each time
// that it dies young, and ends it in good order. Machine decides, without a clock or a process; Run carries out. Reaper is
// how the first process of a system starts children and takes the exit status of every process that dies below it.
//
//	            Start                  Exited                due
//	Stopped ───────────▶ Running ───────────────▶ Waiting ─────────▶ Running
//	                       │  │ no answer for Hang
//	              Stop or  │  └──────────────────▶ Killing ─ Exited ─▶ Waiting or Stopped
//	              Restart  ▼                          ▲
//	                     Ending ──────────────────────┘
//	                       │      no exit within StopFor
//	                       └─ Exited ─▶ Waiting or Stopped
//
// It never decides to restart the machine: what cannot even be killed is told (Machine.Stuck), and whoever feeds the
// hardware watchdog draws the conclusion. Run starts one goroutine for each probe and none that outlives it.
package supervise

import (
	"fmt"
	"time"
)

// Policy is how patient the supervisor is.
type Policy struct {
	First   time.Duration // wait after the second early death in a row; after the first there is none
	Most    time.Duration // the wait doubles up to this
	Well    time.Duration // who ran for so long is not in a series of early deaths
	Grace   time.Duration // time to the first answer after a start; 0: nobody asks
	Hang    time.Duration // who answered once and then not for so long hangs
	StopFor time.Duration // between the signal to end and SIGKILL
	KillFor time.Duration // who has not ended so long after SIGKILL is stuck in the kernel
}

// DefaultPolicy suits a program that is ready within a few seconds.
func DefaultPolicy() Policy {
	return Policy{First: 200 * time.Millisecond, Most: 10 * time.Second, Well: 20 * time.Second, Grace: 30 * time.Second,
		Hang: 15 * time.Second, StopFor: 15 * time.Second, KillFor: 10 * time.Second}
}

// State is where a program is.
type State uint8

// The states of a program.
const (
	Stopped State = iota // nobody wants it
	Running
	Waiting // it died and will be started again
	Ending  // it was told to end
	Killing // SIGKILL was sent
)

// String names the state.
func (s State) String() string {
	switch s {
	case Stopped:
		return "stopped"
	case Running:
		return "running"
	case Waiting:
		return "waiting"
	case Ending:
		return "ending"
	case Killing:
		return "killing"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Input is what happens to a program.
type Input uint8

// The inputs of Step.
const (
	Start    Input = iota // it shall run
	Stop                  // it shall end and stay so
	Restart               // it shall end and run anew
	Exited                // it has ended, whatever the reason
	Answered              // it has answered a probe
	Tick                  // time has passed
)

// Effect is what is to be done.
type Effect uint8

// The effects of Step.
const (
	Spawn     Effect = iota // start the process; Exited if that fails
	Terminate               // tell it to end
	Kill                    // SIGKILL
)

// String names the effect.
func (e Effect) String() string {
	switch e {
	case Spawn:
		return "spawn"
	case Terminate:
		return "terminate"
	case Kill:
		return "kill"
	}
	return fmt.Sprintf("Effect(%d)", uint8(e))
}

// Machine is the state of one program. Times are of one clock that never goes back.
type Machine struct {
	policy Policy

	state    State
	wanted   bool
	due      time.Time // when Tick has something to do; zero: never
	started  time.Time
	answered bool // since the start
	early    int  // deaths in a row of which none ran well
	hung     bool // the last kill was for a hang
	stuck    bool
}

// NewMachine makes a stopped program.
func NewMachine(p Policy) *Machine { return &Machine{policy: p} }

// State is where the program is.
func (m *Machine) State() State { return m.state }

// Due is when Tick is wanted; zero if never.
func (m *Machine) Due() time.Time { return m.due }

// Stuck says that the process did not even end by SIGKILL.
func (m *Machine) Stuck() bool { return m.stuck }

// Hung says that the last process was killed because it did not answer.
func (m *Machine) Hung() bool { return m.hung }

// Answering says that the program runs and has answered since its start, or nobody asks.
func (m *Machine) Answering() bool { return m.state == Running && (m.answered || m.policy.Grace == 0) }

// Step takes one input. An input that means nothing in the present state changes nothing.
func (m *Machine) Step(now time.Time, in Input) []Effect {
	switch in {
	case Start:
		m.wanted = true
		if m.state == Stopped {
			m.early = 0
			return m.enterRunning(now)
		}
	case Stop:
		anew := m.wanted
		m.wanted = false
		switch {
		case m.state == Running || m.state == Ending && anew: // one that ends because it is to run anew is told that it is not
			return m.enterEnding(now)
		case m.state == Waiting:
			m.enterStopped()
		}
	case Restart:
		switch m.state {
		case Running:
			m.early = 0
			return m.enterEnding(now)
		case Waiting:
			m.early = 0
			return m.enterRunning(now)
		}
	case Exited:
		return m.exited(now)
	case Answered:
		if m.state == Running && m.policy.Grace > 0 {
			m.answered = true
			m.due = now.Add(m.policy.Hang)
		}
	case Tick:
		return m.tick(now)
	}
	return nil
}

func (m *Machine) tick(now time.Time) []Effect {
	if m.due.IsZero() || now.Before(m.due) {
		return nil
	}
	switch m.state {
	case Running:
		m.hung = true
		return m.enterKilling(now)
	case Waiting:
		return m.enterRunning(now)
	case Ending:
		return m.enterKilling(now)
	case Killing:
		m.stuck = true
		m.due = time.Time{}
	}
	return nil
}

func (m *Machine) exited(now time.Time) []Effect {
	asked := m.state == Ending
	m.stuck = false
	if !m.wanted {
		m.enterStopped()
		return nil
	}
	if asked {
		return m.enterRunning(now)
	}
	if now.Sub(m.started) >= m.policy.Well {
		m.early = 0
	}
	m.early++
	wait := m.wait()
	if wait == 0 {
		return m.enterRunning(now)
	}
	m.state, m.due = Waiting, now.Add(wait)
	return nil
}

// wait is the pause before the next start: none after the first early death, then doubling.
func (m *Machine) wait() time.Duration {
	if m.early <= 1 {
		return 0
	}
	w := m.policy.First
	for i := 2; i < m.early && w < m.policy.Most; i++ {
		w *= 2
	}
	return min(w, m.policy.Most)
}

func (m *Machine) enterRunning(now time.Time) []Effect {
	m.state, m.started, m.answered = Running, now, false
	m.due = time.Time{}
	if m.policy.Grace > 0 {
		m.due = now.Add(m.policy.Grace)
	}
	return []Effect{Spawn}
}

func (m *Machine) enterEnding(now time.Time) []Effect {
	m.state, m.due, m.hung = Ending, now.Add(m.policy.StopFor), false
	return []Effect{Terminate}
}

func (m *Machine) enterKilling(now time.Time) []Effect {
	m.state, m.due = Killing, now.Add(m.policy.KillFor)
	return []Effect{Kill}
}

func (m *Machine) enterStopped() { m.state, m.due, m.stuck = Stopped, time.Time{}, false }
