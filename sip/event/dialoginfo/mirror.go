package dialoginfo

import (
	"errors"
	"slices"
)

// ErrGap means that a partial document cannot be applied because the one before it
// is missing: the subscription has to be refreshed (RFC 4235 §4.3).
var ErrGap = errors.New("dialoginfo: a version is missing")

// Mirror is the state of one entity at a watcher. The zero value knows nothing.
type Mirror struct {
	version uint32
	known   bool
	dialogs []Dialog
}

// Apply takes a document of one subscription into the mirror. A document with a
// version that is not newer is dropped without an error; ErrGap asks for full state.
func (m *Mirror) Apply(d Document) error {
	// RFC 4235 §4.3: lower or equal versions are discarded.
	if m.known && d.Version <= m.version {
		return nil
	}
	if d.State == Full {
		m.dialogs = m.dialogs[:0]
	} else if !m.known || d.Version != m.version+1 {
		return ErrGap
	}
	m.known, m.version = true, d.Version
	for _, g := range d.Dialogs {
		i := slices.IndexFunc(m.dialogs, func(have Dialog) bool { return have.ID == g.ID })
		switch {
		// RFC 4235 §4.3: a terminated dialog is removed.
		case g.State == Terminated && i >= 0:
			m.dialogs = slices.Delete(m.dialogs, i, i+1)
		case g.State == Terminated:
		case i >= 0:
			m.dialogs[i] = g
		case len(m.dialogs) < MaxDialogs:
			m.dialogs = append(m.dialogs, g)
		}
	}
	return nil
}

// Reset forgets everything, for a new subscription.
func (m *Mirror) Reset() { *m = Mirror{} }

// Known reports whether full state has come since the last Reset.
func (m *Mirror) Known() bool { return m.known }

// Dialogs returns a copy of the dialogs that are not terminated.
func (m *Mirror) Dialogs() []Dialog { return slices.Clone(m.dialogs) }
