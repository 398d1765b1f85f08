package keypad

import (
	"math/bits"
	"time"

	"parklamp/board"
)

// Sample is one look at all inputs.
type Sample struct {
	At   time.Time // when the scan ended
	Edge time.Time // the edge that led to it; zero when a timer did
	Rows []uint32  // closed crossings, a column mask for each row
	Hook bool      // handset lifted
}

// phase is where a key is between finger and report.
type phase uint8

const (
	open    phase = iota // up, and reported so
	closing              // contact seen, not yet for Confirm
	down                 // reported
	opening              // contact lost, not yet for Release
)

// key is the state of one key.
type key struct {
	phase phase
	since time.Time // closing, opening: first sample of the movement
	edge  time.Time // closing: when the contact first closed
	held  time.Time // down: when it was confirmed
	mute  bool      // held at the start: Held in place of Down, no Long
	long  bool      // Long was sent
	stuck bool      // Stuck was sent
	twin  bool      // came together with another of its row or column
}

// Machine is the pure core of the scanner: samples in, events out. It has no clock; one goroutine uses it.
type Machine struct {
	cfg     Config
	model   board.Model
	keys    []key
	started bool

	lifted    bool // as reported
	moving    bool // hook differs from lifted
	hookSince time.Time
	hookEdge  time.Time

	ghostRows []uint32 // scratch of ambiguous
	ghosting  bool
	unclear   bool // a short keeps crossings from being known
	ghosts    uint64

	shorts        shorts
	shortsChanged bool

	events []Event // reused between calls
}

// NewMachine makes a machine that has seen nothing yet.
func NewMachine(cfg Config, model board.Model) *Machine {
	return &Machine{
		cfg:       cfg,
		model:     model,
		keys:      make([]key, len(model.Keys)),
		ghostRows: make([]uint32, len(model.Rows)),
		shorts:    newShorts(model),
	}
}

// Scan takes a sample, not older than the one before, and returns what it proves. The slice is valid until
// the next call.
func (m *Machine) Scan(s Sample) []Event {
	m.events = m.events[:0]
	if s.Edge.IsZero() {
		s.Edge = s.At
	}
	m.markGhosts(s.Rows)
	m.markShorts(s.At, s.Rows)
	for i := range m.keys {
		k, at := &m.keys[i], &m.model.Keys[i]
		closed := s.Rows[at.Row]&(1<<at.Column) != 0
		if m.ghostRows[at.Row]&(1<<at.Column) != 0 {
			// Three closed keys fake the fourth: nothing is known of this crossing, so it stays as reported.
			closed = k.phase == down || k.phase == opening
		}
		m.step(i, at.Key, closed, s)
	}
	m.stepHook(s)
	m.started = true
	return m.events
}

// step moves one key on.
func (m *Machine) step(i int, name board.Key, closed bool, s Sample) {
	k := &m.keys[i]
	switch k.phase {
	case open:
		if !closed {
			return
		}
		k.phase, k.since, k.edge = closing, s.At, s.Edge
		k.mute = !m.started
		if m.cfg.Confirm == 0 {
			m.enterDown(i, name, s)
		}
	case closing:
		switch {
		case !closed:
			k.phase = open
		case s.At.Sub(k.since) >= m.cfg.Confirm:
			m.enterDown(i, name, s)
		}
	case down:
		if !closed {
			k.phase, k.since = opening, s.At
			return
		}
		m.hold(k, name, s)
	case opening:
		switch {
		case closed:
			k.phase = down
		case s.At.Sub(k.since) >= m.cfg.Release:
			m.emit(name, Up, k.since, s.At)
			m.released(i)
			*k = key{}
		}
	}
}

func (m *Machine) enterDown(i int, name board.Key, s Sample) {
	k := &m.keys[i]
	k.phase, k.held = down, s.At
	kind := Down
	if k.mute {
		kind = Held
	} else {
		m.pressed(i)
	}
	m.emit(name, kind, k.edge, s.At)
}

// hold reports what a key that stays down has become.
func (m *Machine) hold(k *key, name board.Key, s Sample) {
	held := s.At.Sub(k.held)
	if !k.long && !k.mute && held >= m.cfg.LongPress {
		k.long = true
		m.emit(name, Long, k.edge, s.At)
	}
	if !k.stuck && held >= m.cfg.StuckAfter {
		k.stuck = true
		m.emit(name, Stuck, k.edge, s.At)
	}
}

func (m *Machine) stepHook(s Sample) {
	if m.model.Hook == "" || s.Hook == m.lifted {
		m.moving = false
		return
	}
	if !m.moving {
		m.moving, m.hookSince = true, s.At
		m.hookEdge = s.Edge
	}
	still := m.cfg.HookDown
	kind := Replaced
	if s.Hook {
		still, kind = m.cfg.HookUp, Lifted
	}
	if s.At.Sub(m.hookSince) < still {
		return
	}
	m.lifted, m.moving = s.Hook, false
	m.emit(Hook, kind, m.hookEdge, s.At)
}

func (m *Machine) emit(k board.Key, kind Kind, at, seen time.Time) {
	m.events = append(m.events, Event{Key: k, Kind: kind, At: at, Seen: seen})
}

// markGhosts finds the crossings that other closed keys could have faked: wherever two rows share two columns
// or more, one corner of the rectangle is enough to be false. With diodes there are none.
func (m *Machine) markGhosts(rows []uint32) {
	clear(m.ghostRows)
	if m.model.Diodes {
		return
	}
	found := false
	for a := range rows {
		for b := a + 1; b < len(rows); b++ {
			if shared := rows[a] & rows[b]; bits.OnesCount32(shared) >= 2 {
				m.ghostRows[a] |= shared
				m.ghostRows[b] |= shared
				found = true
			}
		}
	}
	if found && !m.ghosting {
		m.ghosts++
	}
	m.ghosting = found
}

// Ghosts counts how often keys were pressed that cannot be told apart.
func (m *Machine) Ghosts() uint64 { return m.ghosts }

// Next says when to look again: 0 is not before the next edge. Stuck keys alone are looked at rarely, since
// their column can raise no edge for the others on it.
func (m *Machine) Next() time.Duration {
	next := time.Duration(0)
	sooner := func(d time.Duration) {
		if next == 0 || d < next {
			next = d
		}
	}
	for i := range m.keys {
		switch k := &m.keys[i]; {
		case k.phase == closing:
			sooner(m.cfg.ScanPeriod)
		case k.phase == down && k.stuck:
			sooner(stuckPeriods * m.cfg.ScanPeriod)
		case k.phase != open:
			sooner(heldPeriods * m.cfg.ScanPeriod)
		}
	}
	if m.moving {
		sooner(m.cfg.ScanPeriod)
	}
	if m.unclear && len(m.shorts.now) > 0 {
		sooner(shortPeriods * m.cfg.ScanPeriod)
	} else if m.ghosting || m.unclear {
		sooner(heldPeriods * m.cfg.ScanPeriod)
	}
	return next
}

// Scan periods between two looks at keys that are down, at keys that are stuck, and at a short.
const (
	heldPeriods  = 2
	stuckPeriods = 4
	shortPeriods = 10 // of a wire: nobody waits for it
)
