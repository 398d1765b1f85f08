package keypad

import (
	"math/bits"
	"time"

	"parklamp/board"
)

// Sample is one look at all inputs, and what the lines have said since the one before.
type Sample struct {
	From  time.Time    // when the scan began; zero: At
	At    time.Time    // when it ended
	Edges []board.Edge // in order, the last perhaps just after From: of the columns since Armed, of the hook since the sample before
	Rows  []uint32     // closed crossings, a column mask for each row
	Read  []time.Time  // when each row was read at the earliest; nil: From
	Hook  bool         // handset lifted
}

// read says when a row was read at the earliest.
func (s *Sample) read(row int) time.Time {
	if row < len(s.Read) {
		return s.Read[row]
	}
	return s.From
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
	since time.Time // closing, opening: when the contact was made or lost at the latest
	edge  time.Time // closing: when the contact first closed
	held  time.Time // down: when it was confirmed
	mute  bool      // held at the start: Held in place of Down, no Long
	long  bool      // Long was sent
	stuck bool      // Stuck was sent
	twin  bool      // came together with another of its row or column
	alone time.Time // down: since when nothing casts doubt on its crossing
}

// Machine is the pure core of the scanner: samples in, events out. It has no clock; one goroutine uses it.
type Machine struct {
	cfg     Config
	model   board.Model
	keys    []key
	at      []int // key at a crossing, row by row, or none
	started bool
	now     Sample // that is being taken

	columns []column
	watched bool // the edges of the columns are known from armedAt on
	blind   bool // the lines could not be read since the scan before
	armed   uint32
	armedAt time.Time
	from    time.Time // of the sample before
	unseen  uint64
	dark    time.Time // until when, the last time, nobody looked for so long that a key could be let go and pressed again

	lifted    bool      // as reported
	hook      bool      // as it is
	hookSince time.Time // when it became so
	hookEdge  time.Time // when it last left the position that was reported

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
	m := &Machine{
		cfg:       cfg,
		model:     model,
		keys:      make([]key, len(model.Keys)),
		at:        make([]int, len(model.Rows)*len(model.Columns)),
		columns:   make([]column, len(model.Columns)),
		ghostRows: make([]uint32, len(model.Rows)),
		shorts:    newShorts(model),
	}
	for i := range m.columns {
		m.columns[i].press.key = none
	}
	for i, k := range model.Keys {
		m.at[k.Row*len(model.Columns)+k.Column] = i
		m.columns[k.Column].keys |= 1 << k.Row
	}
	return m
}

// Armed says that all rows are driven since the last scan, the columns were these at that time, and the next sample has
// whatever edge comes until it begins.
func (m *Machine) Armed(at time.Time, columns uint32) {
	m.watched, m.armedAt, m.armed = true, at, columns
}

// Blind says that the next sample does not have every edge.
func (m *Machine) Blind() { m.watched, m.blind = false, true }

// Scan takes a sample, not older than the one before, and returns what it proves. The slice is valid until
// the next call.
func (m *Machine) Scan(s Sample) []Event {
	m.events = m.events[:0]
	if s.From.IsZero() {
		s.From = s.At
	}
	if m.watched && m.armedAt.Sub(m.from) >= m.cfg.Release+2*m.model.Settle*time.Duration(len(m.model.Rows)+1) {
		m.dark = m.armedAt
	}
	if m.blind {
		m.dark, m.blind = s.From, false
	}
	m.now = s
	m.watch(s)
	m.markGhosts(s.Rows)
	m.markShorts(s.At, s.Rows)
	m.seen(s)
	for i := range m.keys {
		k, at := &m.keys[i], &m.model.Keys[i]
		closed := s.Rows[at.Row]&(1<<at.Column) != 0
		if m.ghostRows[at.Row]&(1<<at.Column) != 0 {
			// Three closed keys fake the fourth: nothing is known of this crossing, so it stays as reported.
			closed = k.phase == down || k.phase == opening
			k.alone = s.At
		}
		m.step(i, at.Key, closed, s)
	}
	m.settled(s)
	m.stepHook(s)
	m.started, m.watched, m.from = true, false, s.From
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
		before := m.columns[m.model.Keys[i].Column].press
		if before.key != i { // another one of the column is closed too
			k.since, k.edge, before = s.At, s.At, press{}
		}
		k.phase, k.mute = closing, !m.started
		if max(s.read(m.model.Keys[i].Row).Sub(k.since), before.longest) >= m.cfg.Confirm {
			m.enterDown(i, name, s) // the column has had contact for so long, and this look says whose that is
		}
	case closing:
		switch {
		case !closed:
			k.phase = open
		case s.read(m.model.Keys[i].Row).Sub(k.since) >= m.cfg.Confirm:
			m.enterDown(i, name, s)
		}
	case down:
		if !closed {
			k.phase, k.since = opening, s.At
			return
		}
		m.hold(i, name, s)
	case opening:
		switch {
		case closed:
			k.phase = down
		case s.From.Sub(k.since) >= m.cfg.Release:
			m.enterOpen(i, s)
		}
	}
}

func (m *Machine) enterOpen(i int, s Sample) {
	m.emit(m.model.Keys[i].Key, Up, m.keys[i].since, s.At)
	m.keys[i] = key{}
}

func (m *Machine) enterDown(i int, name board.Key, s Sample) {
	k := &m.keys[i]
	k.phase, k.held, k.alone = down, s.At, s.At
	m.columns[m.model.Keys[i].Column].press.told = true
	m.shorts.flickers[m.model.Keys[i].Column].hand()
	kind := Down
	if k.mute {
		kind = Held
	} else {
		m.pressed(i)
	}
	m.emit(name, kind, k.edge, s.At)
}

// hold reports what a key that stays down has become.
func (m *Machine) hold(i int, name board.Key, s Sample) {
	k := &m.keys[i]
	if s.From.Sub(k.alone) >= m.cfg.Release { // longer than any chatter
		m.acquit(i)
	}
	held := min(s.From.Sub(k.held), s.From.Sub(m.dark)) // since then it can have been let go
	if !k.long && !k.mute && held >= m.cfg.LongPress {
		k.long = true
		m.emit(name, Long, k.edge, s.At)
	}
	if !k.stuck && held >= m.cfg.StuckAfter {
		k.stuck = true
		m.emit(name, Stuck, k.edge, s.At)
	}
}

// stepHook takes the level at the end of a scan.
func (m *Machine) stepHook(s Sample) {
	if m.model.Hook == "" {
		return
	}
	if s.Hook != m.hook { // its edge was lost: nothing is known of the time before
		m.turnHook(s.Hook, s.At)
	}
	m.rest(s.At, s)
}

// moveHook takes an edge. Where the handset was before, it was until then.
func (m *Machine) moveHook(up bool, at time.Time, s Sample) {
	if up == m.hook {
		m.hookSince = at // an edge was lost
		return
	}
	m.rest(at, s)
	m.turnHook(up, at)
}

func (m *Machine) turnHook(up bool, at time.Time) {
	if m.hook == m.lifted {
		m.hookEdge = at
	}
	m.hook, m.hookSince = up, at
}

// rest reports where the handset is, if it is not where it was and has been there for long enough at a time.
func (m *Machine) rest(at time.Time, s Sample) {
	still, kind := m.cfg.HookDown, Replaced
	if m.hook {
		still, kind = m.cfg.HookUp, Lifted
	}
	if m.hook == m.lifted || at.Sub(m.hookSince) < still {
		return
	}
	m.lifted = m.hook
	m.shorts.flickers[len(m.columns)].hand()
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
			sooner(m.pace(m.model.Keys[i].Column))
		case k.phase == down && k.stuck:
			sooner(stuckPeriods * m.cfg.ScanPeriod)
		case k.phase != open:
			sooner(heldPeriods * m.cfg.ScanPeriod)
		}
	}
	for i := range m.columns {
		if c := &m.columns[i]; c.press.open && !c.press.told && !c.active {
			sooner(m.pace(i))
		}
	}
	if m.hook != m.lifted {
		sooner(m.pace(len(m.columns)))
	}
	if m.unclear && m.shorts.wires > 0 {
		sooner(shortPeriods * m.cfg.ScanPeriod)
	} else if m.ghosting || m.unclear {
		sooner(heldPeriods * m.cfg.ScanPeriod)
	}
	return next
}

// pace is the time between two looks at a column, or at the hook whose number follows theirs, that may have moved.
func (m *Machine) pace(line int) time.Duration {
	if m.shorts.flickers[line].is {
		return stuckPeriods * m.cfg.ScanPeriod
	}
	return m.cfg.ScanPeriod
}

// flickering reports whether a line is known to flicker.
func (m *Machine) flickering() bool { return len(m.shorts.now) > m.shorts.wires }

// Rest says how long from now on no look is needed without an edge: for ever, or until a line that flickers can be found to have
// ended.
func (m *Machine) Rest(now time.Time) time.Duration {
	rest := board.Forever
	for i := range m.shorts.flickers {
		if f := &m.shorts.flickers[i]; f.is {
			if due := max(f.since.Add(flickerFor).Sub(now), m.cfg.ScanPeriod); rest == board.Forever || due < rest {
				rest = due
			}
		}
	}
	return rest
}

// Scan periods between two looks at keys that are down, at keys that are stuck, and at a short.
const (
	heldPeriods  = 2
	stuckPeriods = 4
	shortPeriods = 10 // of a wire: nobody waits for it
)
