package parkd

import (
	"maps"
	"slices"
)

// closeDown settles everything that is half done, so that the next life finds each caller in his orbit. A recall or a claim
// cannot be carried over: whoever would have answered it is gone. A rescue that was begun may still succeed.
func (m *Machine) closeDown() {
	if m.closing {
		m.closeMoving()
		return
	}
	m.closing = true
	for _, c := range slices.Clone(m.pending) {
		c.orphan = true // the parker is somebody who goes with us, or is told at once
		if c.State == Claiming {
			m.commit(c)
		} else {
			m.parkRefused(c, ReasonFull)
		}
	}
	for _, c := range slices.Clone(m.hosted) {
		switch c.State {
		case Recalling:
			m.stopTimer(c)
			m.stopRecall(c)
		case Fetching:
			m.emit(CancelFetch{Token: c.fetch.token})
			c.recall = "" // the same step rings again
			m.fetchFailed(c, ReasonGone)
		}
	}
	for _, token := range slices.Sorted(maps.Keys(m.open)) {
		if r := m.open[token]; r.call == nil {
			m.inRemote(r, Abort{Token: token})
		}
	}
}

// closeMoving reports the calls of which nobody has told where their callers have gone. They stay in the last document:
// whether a peer has them is not known, and the peers go by its word, or by LateWord.
func (m *Machine) closeMoving() {
	for _, c := range m.hosted {
		if c.State == Moving && !c.over {
			m.stopTimer(c)
			c.over = true
			m.emit(Report{Row: Row{Slot: c.SlotState, Ended: m.now, End: c.left}})
		}
	}
}
