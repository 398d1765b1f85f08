package keypad

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"parklamp/board"
)

// Times and counts after which a thing that hands do for a moment is a fault of the wiring.
const (
	lowAfter   = 100 * time.Millisecond // a column is low on every row
	ghostAfter = 5 * time.Second        // keys that cannot be told apart
	twinsMost  = 3                      // presses in a row that were two keys at once, and no press of one of them alone

	// A line that moves so often in such a time, and no press or movement of the handset comes of it, flickers. It does so until it moves less than calmEdges
	// times in one.
	flickerFor   = 5 * time.Second
	flickerEdges = 400 // hum of the mains makes 500
	calmEdges    = 50
)

// Cause is what is wrong with the wiring of the matrix.
type Cause uint8

// The causes of a Short.
const (
	LowColumn     Cause = iota // the column Column is low whatever row is selected: it, or a row, is shorted to ground
	JoinedRows                 // the rows Row and Other act as one
	JoinedColumns              // the columns Column and Other act as one
	NoKey                      // Row and Column are joined where no key is
	Alike                      // three keys or more are held that cannot be told from a fourth
	Flicker                    // the column Column, or the hook where that is their number, moves all the time
)

// Short is a lasting fault of the matrix or the hook. Which numbers count depends on Cause.
type Short struct {
	Cause              Cause
	Row, Column, Other int
}

// Name names the lines, for a code: "COL1", "ROW0-ROW3", "keys".
func (s Short) Name(m board.Model) string {
	switch s.Cause {
	case LowColumn:
		return m.Columns[s.Column]
	case JoinedRows:
		return m.Rows[s.Row] + "-" + m.Rows[s.Other]
	case JoinedColumns:
		return m.Columns[s.Column] + "-" + m.Columns[s.Other]
	case NoKey:
		return m.Rows[s.Row] + "-" + m.Columns[s.Column]
	case Flicker:
		if s.Column == len(m.Columns) {
			return m.Hook
		}
		return m.Columns[s.Column]
	}
	return "keys"
}

// Text says what is wrong and which keys suffer.
func (s Short) Text(m board.Model) string {
	switch s.Cause {
	case LowColumn:
		return fmt.Sprintf("column %s is low whatever row is selected: keys %s are dead", m.Columns[s.Column],
			labels(m, func(k board.ModelKey) bool { return k.Column == s.Column }))
	case JoinedRows:
		return fmt.Sprintf("rows %s and %s are joined: keys %s cannot be told apart", m.Rows[s.Row], m.Rows[s.Other],
			labels(m, func(k board.ModelKey) bool { return k.Row == s.Row || k.Row == s.Other }))
	case JoinedColumns:
		return fmt.Sprintf("columns %s and %s are joined: keys %s cannot be told apart", m.Columns[s.Column], m.Columns[s.Other],
			labels(m, func(k board.ModelKey) bool { return k.Column == s.Column || k.Column == s.Other }))
	case NoKey:
		return fmt.Sprintf("row %s and column %s are joined where no key is", m.Rows[s.Row], m.Columns[s.Column])
	case Flicker:
		if s.Column == len(m.Columns) {
			return fmt.Sprintf("the hook switch %s changed %d times or more within %v, and no movement of the handset came of it: whether it is lifted may be told wrongly",
				m.Hook, flickerEdges, flickerFor)
		}
		return fmt.Sprintf("column %s changed %d times or more within %v, and no press of a key came of it: keys %s may be dead", m.Columns[s.Column], flickerEdges, flickerFor,
			labels(m, func(k board.ModelKey) bool { return k.Column == s.Column }))
	}
	return "three keys or more are held down: some cannot be told from others"
}

// Hint says what to look at.
func (s Short) Hint() string {
	if s.Cause == Flicker { // what makes a line move is not known
		return "look for a loose contact, a missing pull-up, and a wire that is damaged or lies beside those of mains, a bell or a relay; parkctl board wiring shows where it goes"
	}
	return "look at the wires of these lines; parkctl board wiring shows where they go"
}

func labels(m board.Model, of func(board.ModelKey) bool) string {
	var all []string
	for _, k := range m.Keys {
		if of(k) {
			all = append(all, k.Label)
		}
	}
	return strings.Join(all, ", ")
}

// shorts watches for faults of the wiring.
type shorts struct {
	fitted     []uint32    // crossings with a key, a column mask for each row
	low        uint32      // columns that are low on every row now
	lowSince   []time.Time // by column; zero while it is not
	emptySince []time.Time // by row: a crossing without key is closed
	ghostSince time.Time
	rows       []uint8 // twins of each pair of rows, at first*len+second
	columns    []uint8
	flickers   []flicker // by column, then the hook
	wires      int       // of now, those of joined or shorted wires
	now, then  []Short   // as found last, and scratch
}

// flicker counts the edges of a line.
type flicker struct {
	since time.Time
	edges int
	is    bool
}

// judge begins to count anew when it has been counted for long enough. One that moves all the time is judged as soon as that is so:
// where it took much longer, it came to rest, and nobody looked.
func (f *flicker) judge(at time.Time) {
	counted := at.Sub(f.since)
	if counted < flickerFor {
		return
	}
	f.is = f.edges >= flickerEdges && counted < 2*flickerFor || f.is && f.edges >= calmEdges
	f.since, f.edges = at, 0
}

// hand forgets the edges up to a press or a movement of the handset: they were a hand's, however fast it hammers and however much
// its switch bounces.
func (f *flicker) hand() {
	if !f.is {
		f.edges = 0
	}
}

// moved counts an edge.
func (s *shorts) moved(e board.Edge) {
	i := len(s.flickers) - 1
	if e.Input == board.Column {
		i = e.Index
	}
	if i >= 0 && i < len(s.flickers) {
		s.flickers[i].edges++
	}
}

func newShorts(m board.Model) shorts {
	s := shorts{fitted: make([]uint32, len(m.Rows)), lowSince: make([]time.Time, len(m.Columns)), emptySince: make([]time.Time, len(m.Rows)),
		flickers: make([]flicker, len(m.Columns)+1),
		rows:     make([]uint8, len(m.Rows)*len(m.Rows)), columns: make([]uint8, len(m.Columns)*len(m.Columns))}
	for _, k := range m.Keys {
		s.fitted[k.Row] |= 1 << k.Column
	}
	return s
}

// markShorts finds the crossings of which a short lets nothing be known, and the faults that have lasted.
func (m *Machine) markShorts(at time.Time, rows []uint32) {
	s := &m.shorts
	s.low = 0
	if len(rows) > 2 { // fewer could all be pressed by a hand
		s.low = ^uint32(0)
		for _, r := range rows {
			s.low &= r
		}
	}
	s.then = append(s.then[:0], s.now...)
	s.now = s.now[:0]
	for c := range s.lowSince {
		if lasting(&s.lowSince[c], s.low>>c&1 == 1, at, lowAfter) {
			s.now = append(s.now, Short{Cause: LowColumn, Column: c})
		}
	}
	for r := range rows {
		m.ghostRows[r] |= s.low
	}
	m.unclear = s.low != 0
	pairs(len(rows), s.rows, func(a, b int) {
		s.now = append(s.now, Short{Cause: JoinedRows, Row: a, Other: b})
		both := rows[a] & rows[b]
		m.ghostRows[a] |= both
		m.ghostRows[b] |= both
		m.unclear = m.unclear || both != 0
	})
	pairs(len(s.lowSince), s.columns, func(a, b int) {
		s.now = append(s.now, Short{Cause: JoinedColumns, Column: a, Other: b})
		for r := range rows {
			if both := uint32(1<<a | 1<<b); rows[r]&both == both {
				m.ghostRows[r] |= both
				m.unclear = true
			}
		}
	})
	for r := range rows {
		empty := rows[r] &^ s.fitted[r] &^ m.ghostRows[r]
		if lasting(&s.emptySince[r], empty != 0, at, m.cfg.StuckAfter) {
			s.now = append(s.now, Short{Cause: NoKey, Row: r, Column: bits.TrailingZeros32(empty)})
		}
	}
	if lasting(&s.ghostSince, m.ghosting, at, ghostAfter) {
		s.now = append(s.now, Short{Cause: Alike})
	}
	s.wires = len(s.now)
	for i := range s.flickers {
		if s.flickers[i].is {
			s.now = append(s.now, Short{Cause: Flicker, Column: i})
		}
	}
	m.shortsChanged = !slices.Equal(s.now, s.then)
}

// lasting reports whether a thing is so and has been for a time.
func lasting(since *time.Time, is bool, at time.Time, after time.Duration) bool {
	switch {
	case !is:
		*since = time.Time{}
	case since.IsZero():
		*since = at
	}
	return is && at.Sub(*since) >= after
}

// pairs calls each for the pairs whose twins are too many.
func pairs(n int, twins []uint8, each func(a, b int)) {
	for a := range n {
		for b := a + 1; b < n; b++ {
			if twins[a*n+b] >= twinsMost {
				each(a, b)
			}
		}
	}
}

// pair returns the count of twins of two rows or columns.
func pair(twins []uint8, n, a, b int) *uint8 { return &twins[min(a, b)*n+max(a, b)] }

// pressed looks whether the key number i, just confirmed, came together with another one of its row or column: what
// joined lines do every time, and fingers rarely.
func (m *Machine) pressed(i int) {
	k, at := &m.keys[i], m.model.Keys[i]
	for j := range m.keys {
		o, there := &m.keys[j], m.model.Keys[j]
		apart := k.held.Sub(o.held).Abs()
		if j == i || o.phase != down || o.mute || apart > 2*m.cfg.ScanPeriod {
			continue
		}
		var twins *uint8
		switch {
		case there.Column == at.Column:
			twins = pair(m.shorts.rows, len(m.model.Rows), at.Row, there.Row)
		case there.Row == at.Row:
			twins = pair(m.shorts.columns, len(m.model.Columns), at.Column, there.Column)
		default:
			continue
		}
		*twins = min(*twins+1, twinsMost)
		k.twin, o.twin = true, true
	}
}

// acquit clears the lines of a key that is down alone: a joined line would have shown another.
func (m *Machine) acquit(i int) {
	at := m.model.Keys[i]
	if m.keys[i].twin || m.keys[i].mute {
		return
	}
	for r := range m.model.Rows {
		if r != at.Row && m.shorts.fitted[r]>>at.Column&1 == 1 {
			*pair(m.shorts.rows, len(m.model.Rows), at.Row, r) = 0
		}
	}
	for c := range m.model.Columns {
		if c != at.Column && m.shorts.fitted[at.Row]>>c&1 == 1 {
			*pair(m.shorts.columns, len(m.model.Columns), at.Column, c) = 0
		}
	}
}

// Shorts returns the faults of the wiring that are known now, and whether the last sample changed them. The slice is valid
// until the next sample.
func (m *Machine) Shorts() (now []Short, changed bool) { return m.shorts.now, m.shortsChanged }
