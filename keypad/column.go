package keypad

import (
	"math/bits"
	"time"

	"parklamp/board"
)

// none is the key of a column of which no look has seen one alone.
const none = -1

// column is what the edges of one column say. Between two scans all rows are driven, so that a column is active exactly while a
// key of it is closed, and its edges are a record of that with the times at which it happened: what was done while nobody
// looked can be told afterwards. Which of its keys that was is not in them; for that one look is enough, since whatever else
// it was, it was that one then.
type column struct {
	keys   uint32 // rows at which a key is fitted
	active bool
	since  time.Time // of active: when the contact was made
	rose   time.Time // of !active: when it was lost
	looked bool      // since then a scan has seen the column active
	read   time.Time // when the scan before has seen it so
	press  press
}

// press is contact in a column with gaps that are shorter than Config.Release.
type press struct {
	open    bool // has begun, and a contact may still be part of it
	began   time.Time
	longest time.Duration // of its contacts that are over, at least
	perhaps time.Duration // the same, at most: how long a contact lasted that ended during a scan is not known
	seen    bool          // a scan has seen the column active
	told    bool          // a key of the column was reported as pressed
	key     int           // index of the key that the last such scan has seen alone in the column, or none
}

// watch takes what happened since the scan before, up to the beginning of this one.
func (m *Machine) watch(s Sample) {
	if m.watched {
		for i := range m.columns {
			if active := m.armed>>i&1 == 1; active != m.columns[i].active {
				notBefore := m.from
				if !active { // the scan had seen it active
					notBefore = m.columns[i].read
				}
				m.level(i, active, notBefore, m.armedAt)
			}
		}
	}
	for i := range m.shorts.flickers {
		m.shorts.flickers[i].judge(s.At)
	}
	for _, e := range s.Edges {
		m.shorts.moved(e)
		switch {
		case e.Input == board.Hook:
			m.moveHook(e.Active, e.At, s)
		case m.watched && e.Index >= 0 && e.Index < len(m.columns):
			m.level(e.Index, e.Active, e.At, e.At)
		}
	}
}

// seen takes what the scan has seen of each column.
func (m *Machine) seen(s Sample) {
	for i := range m.columns {
		c := &m.columns[i]
		closed, ghost := uint32(0), uint32(0)
		for r, columns := range s.Rows {
			closed |= columns >> i & 1 << r
			ghost |= m.ghostRows[r] >> i & 1 << r
		}
		if closed != 0 || c.active { // an inactive column that is inactive is no movement
			m.level(i, closed != 0, s.From, s.At)
		}
		if closed == 0 {
			if p := &c.press; p.open && !p.seen {
				p.perhaps = max(p.perhaps, s.At.Sub(s.From)) // it may have come back for so long
			}
			continue
		}
		c.read = s.read(bits.TrailingZeros32(closed))
		key := none
		if bits.OnesCount32(closed) == 1 && closed&c.keys&^ghost != 0 {
			key = m.at[bits.TrailingZeros32(closed)*len(m.columns)+i]
		}
		if p := &c.press; key != none && p.seen && p.key != key { // what the column did before was not this key's press
			if c.looked {
				c.since = s.At
			}
			*p = press{open: true, began: c.since, told: m.keys[key].phase >= down, key: none}
		}
		if key != none && m.keys[key].phase == open {
			k := &m.keys[key]
			k.since, k.edge = s.At, s.At
			if !c.looked { // nobody else can have made this contact
				k.since, k.edge = c.since, c.since
				if !c.press.seen || c.press.key == key {
					k.edge = c.press.began
				}
			}
		}
		c.looked, c.press.seen, c.press.key = true, true, key
	}
}

// level moves a column, at a time that is known to lie between two; for an edge they are the same.
func (m *Machine) level(i int, active bool, notBefore, notAfter time.Time) {
	c := &m.columns[i]
	switch {
	case active && c.active:
		if notBefore.Equal(notAfter) {
			c.since, c.looked = notAfter, false // an edge before this one was lost
		}
	case active:
		// Without the edges nobody knows whether the contact was lost for all that time.
		if c.press.open && notBefore.Sub(c.rose) >= m.cfg.Release && (m.watched || c.press.key == none || m.keys[c.press.key].phase != opening) {
			m.over(i)
		}
		if !c.press.open {
			c.press = press{open: true, began: notAfter, key: none}
		}
		c.active, c.since, c.looked = true, notAfter, false
	case c.active:
		c.active, c.rose = false, notAfter
		if m.watched {
			c.press.longest, c.press.perhaps = max(c.press.longest, notBefore.Sub(c.since)), max(c.press.perhaps, notAfter.Sub(c.since))
		}
		m.parted(c, notBefore)
	default:
		c.rose = notAfter
	}
}

// parted says that a column has lost its contact, which lasted until notBefore at least. If a look has seen in this press whose
// contact it was, that key was pressed, also if the look came while the contact was still bouncing.
func (m *Machine) parted(c *column, notBefore time.Time) {
	i := c.press.key
	if i == none {
		return
	}
	k := &m.keys[i]
	switch k.phase {
	case open, closing:
		since := c.since
		if k.phase == closing && k.since.After(since) {
			since = k.since
		}
		if !m.watched || notBefore.Sub(since) < m.cfg.Confirm {
			return // the scan says what to think of it
		}
		if k.phase == open {
			k.edge, k.mute = c.press.began, false
		}
		m.enterDown(i, m.model.Keys[i].Key, m.now)
	}
	k.phase, k.since = opening, c.rose
}

// over ends the press in a column, whose contact has been lost for Config.Release or longer.
func (m *Machine) over(i int) {
	c := &m.columns[i]
	p := c.press
	c.press = press{key: none}
	if p.key != none {
		switch m.keys[p.key].phase {
		case closing:
			m.keys[p.key].phase = open
		case opening:
			m.enterOpen(p.key, m.now)
		}
	}
	if p.told || p.seen && p.key == none || !m.started {
		return
	}
	if !p.seen && p.longest >= m.cfg.Confirm && bits.OnesCount32(c.keys) == 1 {
		// The only key that there is can be told without a look.
		key := m.model.Keys[m.at[bits.TrailingZeros32(c.keys)*len(m.columns)+i]].Key
		m.emit(key, Down, p.began, m.now.At)
		m.emit(key, Up, c.rose, m.now.At)
	} else if p.perhaps >= m.cfg.Confirm {
		m.unseen++
	}
}

// settled ends the presses in columns that have been without contact for long enough.
func (m *Machine) settled(s Sample) {
	for i := range m.columns {
		if c := &m.columns[i]; c.press.open && !c.active && s.From.Sub(c.rose) >= m.cfg.Release {
			m.over(i)
		}
	}
}

// Unseen counts the presses that were over before a look could tell which of the keys of their column it was.
func (m *Machine) Unseen() uint64 { return m.unseen }
