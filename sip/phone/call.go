package phone

import "time"

// call is one entry of the table of calls.
type call struct {
	id    CallID
	state CallState
	from  string // number of the far end: as announced, or as dialled
	name  string
	orbit string // where it was, or is to be, parked
	note  string // shown with the name
	since time.Time

	incoming   bool
	emergency  bool
	recall     bool // a parked call that came back
	opened     bool // an intercom call or a page: it opened the loudspeaker itself
	remoteHold bool
	held       bool   // the far end was told that it is on hold
	returned   bool   // parking it did not work out while the handset was down: rings like a recall
	asked      bool   // a park was asked for and never answered
	leads      bool   // of two calls in an attended transfer, the one whose far end was asked
	heldNth    uint64 // order of holds

	partner  CallID // the other call of an attended transfer
	with     CallID // the other call of a conference, also while both are held
	referrer CallID // the call whose far end asked for this one
}

// pending reports whether the call is outgoing and not yet answered.
func (c *call) pending() bool {
	return c.state == CallDialing || c.state == CallAlerting || c.state == CallEarly
}

// show names the far end of a call.
func (m *Machine) show(c *call) {
	if c.remoteHold {
		m.showAs(c, "on hold by far end")
		return
	}
	m.showAs(c, c.note)
}

func (m *Machine) showAs(c *call, note string) { m.do(Show{c.id, c.from, c.name, note}) }

// firstRinging returns the call that has rung longest, or nil.
func (m *Machine) firstRinging() *call {
	for _, c := range m.calls {
		if c.state == CallRinging {
			return c
		}
	}
	return nil
}

// heldTarget returns the held call that is taken first: one that came back from a park that failed, then the one that
// has been held longest. It returns nil if none is held.
func (m *Machine) heldTarget() *call {
	var first *call
	for _, c := range m.calls {
		if c.state != CallHeld {
			continue
		}
		if first == nil || c.returned && !first.returned || c.returned == first.returned && c.heldNth < first.heldNth {
			first = c
		}
	}
	return first
}

// lastHeld returns the call that a park or transfer is about: the one for which Transfer was pressed, else the one held
// last. It returns nil if none is held.
//
// A call of a held conference comes after all others, since it can be neither parked nor joined.
func (m *Machine) lastHeld() *call {
	if c := m.find(m.transfer); c != nil {
		return c
	}
	var last *call
	for _, c := range m.calls {
		switch {
		case c.state != CallHeld:
		case last == nil, c.with == "" && last.with != "", (c.with == "") == (last.with == "") && c.heldNth > last.heldNth:
			last = c
		}
	}
	return last
}

// hold puts a call on hold, with music.
func (m *Machine) hold(c *call) {
	if !c.held {
		c.held = true
		m.do(Hold{c.id})
	}
	m.heldNth++
	c.state, c.heldNth = CallHeld, m.heldNth
	if m.active == c.id {
		m.active = ""
	}
}

// take brings an answered call into the ear, and the other one of its conference with it. The path must be open.
func (m *Machine) take(c *call) {
	m.resume(c)
	if other := m.find(c.with); other != nil {
		m.resume(other)
		m.enterConferring(c, other)
		return
	}
	m.enterTalking(c)
}

// resume takes a call off hold.
func (m *Machine) resume(c *call) {
	if c.held {
		c.held = false
		m.do(Resume{c.id})
	}
	if m.transfer == c.id {
		m.transfer = ""
	}
}

// answer accepts a ringing call. The path must be open.
func (m *Machine) answer(c *call) {
	m.do(Answer{c.id})
	m.enterTalking(c)
}

// reject refuses a ringing call.
func (m *Machine) reject(c *call, code int) {
	m.do(Reject{c.id, code})
	m.end(c)
}

// hangUp ends a call.
func (m *Machine) hangUp(c *call) {
	m.do(HangUp{c.id})
	m.end(c)
}

// unasked reports whether a call opened the loudspeaker itself and nobody has lifted the handset for it.
func (m *Machine) unasked(c *call) bool { return c.opened && m.path == PathSpeaker && !m.hookUp }

// end keeps a call that this phone has ended until that is reported, so that an answer which crosses is recognised.
func (m *Machine) end(c *call) {
	ended := *c
	m.remove(c)
	ended.state, ended.held = CallEnding, false
	n := 0
	for _, o := range m.calls {
		if o.state == CallEnding {
			n++
		}
	}
	if n >= maxEnding {
		for _, o := range m.calls {
			if o.state == CallEnding {
				m.remove(o)
				break
			}
		}
	}
	m.calls = append(m.calls, &ended)
}

// park asks parkd to take a call over; in the ear it stays there until that is done.
func (m *Machine) park(c *call, orbit string) {
	if c.with != "" {
		m.refusePark()
		return
	}
	if m.transfer == c.id {
		m.transfer = ""
	}
	m.askPark(c, orbit)
	if m.path != PathNone {
		m.enterParking(c)
	}
}

// askPark asks parkd, unless it still owes the answer to an earlier park of this call: that one is waited for.
func (m *Machine) askPark(c *call, orbit string) {
	c.state = CallParking
	if !c.asked {
		c.asked, c.orbit = true, orbit
		m.do(Park{c.id, orbit})
	}
	m.setTimer(TimerID{TimerCall, c.id}, m.cfg.ParkTimeout)
}

// fetch asks parkd for the call in an orbit, or for the one that has waited longest. The path must be open.
func (m *Machine) fetch(orbit string) {
	if m.full() {
		m.enterFailure(sound{tone: ToneReorder})
		return
	}
	c := m.newCall(CallFetching, "")
	c.orbit = orbit
	m.do(Fetch{c.id, orbit})
	m.enterFetching(c)
}

// undo asks for the call back that was parked last. The path must be open.
func (m *Machine) undo() {
	if m.full() {
		m.enterFailure(sound{tone: ToneReorder})
		return
	}
	c := m.newCall(CallFetching, "")
	c.orbit, m.parkedOrbit = m.parkedOrbit, ""
	m.do(UndoPark{c.id, c.orbit})
	m.enterFetching(c)
}

// undoable reports whether Park takes the last call back.
func (m *Machine) undoable() bool { return m.parkedOrbit != "" && m.now.Before(m.parkedUntil) }

// dial calls a number. The path must be open.
func (m *Machine) dial(number string) {
	if m.full() {
		m.enterFailure(sound{tone: ToneReorder})
		return
	}
	m.lastNumber = number
	c := m.newCall(CallDialing, number)
	m.do(Dial{Call: c.id, Number: number})
	m.enterCalling(c)
}

// dialEmergency calls an emergency number, letting go of whatever is in hand. The table of calls has room for it
// always, since only one emergency call can be in hand.
func (m *Machine) dialEmergency(number string) {
	m.release()
	m.open()
	c := m.newCall(CallDialing, number)
	c.emergency = true
	m.hangUpTried = time.Time{}
	m.do(Dial{Call: c.id, Number: number, Emergency: true})
	m.enterCalling(c)
}
