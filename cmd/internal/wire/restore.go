package wire

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/health"
	"parklamp/media"
	"parklamp/parkd"
	"parklamp/parkd/journal"
	"parklamp/sip/call"
	"parklamp/sip/sdp"
)

// restored is what an earlier life left, between the time before the endpoint listens and the first turn of the loop.
type restored struct {
	slots []parkd.SlotState // with their new legs
	legs  []*leg
	bye   []*call.Call // cannot be gone on with
	err   error        // what is wrong with the journal
	from  string       // whose it was, if it was another's and is ours now
	lost  []string     // who was parked and cannot be gone on with
}

// revive reads the journal and makes legs of the calls that were parked, before the endpoint listens: a far end that
// sends something the moment we are back must not hear 481. Their streams go on with the engine's first tick, from the
// same ports, with the same SSRC, sequence and clock.
//
// What was at the desk phone or relayed to somebody is not resumed: its other end was this process, or has heard nothing
// for a while. Those far ends must not sit in silence: they get BYE, as does a parked caller whose stream has no port any
// more, or for whom the appliance was away too long.
//
// The error is that of a journal which another process uses: it has the calls that we would take.
func (a *Appliance) revive() error {
	k := a.keeper
	if k.journal == nil {
		return nil
	}
	if err := k.journal.Lock(); errors.Is(err, journal.ErrHeld) {
		return fmt.Errorf("%w: each appliance of a machine needs a journal.path of its own", err)
	} else if err != nil {
		a.log.Warn("the journal cannot be locked", "err", err) // what is wrong with its disk shows when it is written
	}
	c, err := k.journal.Load()
	if errors.Is(err, journal.ErrOwner) {
		if underInit() { // nobody else is on this machine: the appliance has another identity than before, and the same callers
			a.restored.from, err = c.Owner, nil
		} else { // it is in use, or was meant to be used by somebody else
			c = journal.Content{}
		}
	}
	a.restored.err = err
	away := max(0, a.now().Sub(c.At))
	for _, e := range c.Entries {
		var d storedDialog
		if err := json.Unmarshal(e.Dialog, &d); err != nil {
			a.log.Warn("a stored call cannot be read", "call", e.Key, "err", err)
			continue
		}
		if e.Slot != nil {
			err := errors.New("the appliance was away for too long")
			if away <= a.cfg.Journal.MaxAge {
				err = a.reviveParked(e, d, c.At)
			}
			if err == nil {
				continue
			}
			a.log.Warn("a parked call is lost: ring back", "orbit", e.Slot.Orbit, "call", e.Slot.CallID, "caller", e.Slot.Caller.Number,
				"err", err)
			a.restored.lost = append(a.restored.lost, fmt.Sprintf("%s on %s", cmp.Or(e.Slot.Caller.Number, e.Slot.Caller.Name, "unknown"), e.Slot.Orbit))
		}
		lost, err := a.ua.Restore(d.Dialog, d.Dialog.Local, nil)
		if err != nil {
			a.log.Warn("a call of before cannot be ended", "call", e.Key, "err", err)
			continue
		}
		a.restored.bye = append(a.restored.bye, lost)
	}
	slices.SortFunc(a.restored.slots, func(x, y parkd.SlotState) int { return x.Since.Compare(y.Since) })
	return nil
}

// reviveParked makes a leg of a parked call, with music.
func (a *Appliance) reviveParked(e journal.Entry, d storedDialog, at time.Time) error {
	var m storedMedia
	if err := json.Unmarshal(e.Media, &m); err != nil {
		return fmt.Errorf("media of call %s: %w", e.Key, err)
	}
	m.State = goingOn(m.State, at, a.now())
	s, err := a.engine.Restore(m.State)
	if err != nil {
		// The port is taken, or the address is gone: the re-INVITE tells the new one.
		a.log.Warn("a parked call gets a new port", "orbit", e.Slot.Orbit, "err", err)
		at := m.State.Local.Addr()
		var target gosip.Uri
		if !a.listens(at) && gosip.ParseUri(d.Dialog.RemoteTarget, &target) == nil {
			at = a.addrTowards(target, d.Dialog.Transport)
		}
		if s, err = a.engine.Open(at); err != nil {
			return err
		}
	}
	l := &leg{media: s, codecs: a.codecs, caller: e.Slot.Caller, incoming: !d.Dialog.Caller, answered: true, confirmed: true, parked: true,
		onHold: d.Dialog.Local.Direction == sdp.SendOnly, agreed: m.Agreed, signalled: d.Source, security: d.Dialog.Local.Security}
	if l.security != sdp.Clear {
		l.keys = sdp.NewKeys() // the old ones died with the process; until the far end has these, nothing is sent
	}
	l.playMusic(a.moh)
	if err = s.Resume(m.State); err == nil {
		l.call, err = a.ua.Restore(d.Dialog, l.local(), a.handler(s))
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	l.id = legName(l.call)
	a.legs[l.id] = l
	a.watchSilence(l)
	a.hearDigits(l)
	a.noteSource(l)
	slot := *e.Slot
	slot.Leg = l.id
	a.restored.slots = append(a.restored.slots, slot)
	a.restored.legs = append(a.restored.legs, l)
	slot.Leg = "" // as the keeper has it: a leg names nothing in another life
	a.keeper.stored[slot.CallID] = slot
	return nil
}

// goingOn is the state from which a stream goes on that was stored at a time. When the clock was set back since, as after
// a power cut without a battery, nobody knows where the stream would be: it is a new one then (RFC 3550 §8.2), which is
// played at once, where one that goes back is taken for packets that are late.
func goingOn(st media.State, stored, now time.Time) media.State {
	if now.Before(stored) {
		st.SSRC, st.Packets, st.Octets = rand.Uint32(), 0, 0
	}
	return st
}

// resume is the first turn of the loop. The orbit machine takes the calls back, and each far end is asked with
// a re-INVITE whether it is still there: 481 and 408 end the call (RFC 3261 §12.2.1.2), which frees its orbit and reports
// the caller as lost. The music goes on meanwhile.
func (a *Appliance) resume() {
	r := a.restored
	a.restored = restored{}
	a.takeJournal(r.err)
	if r.from != "" && len(r.slots) > 0 {
		a.health.Raise(a.now(), journalCode+".owner", health.Warning,
			fmt.Sprintf("this appliance was %s until now: who was parked there is parked here (%d)", r.from, len(r.slots)), "nothing needs to be done")
	}
	if len(r.lost) > 0 {
		a.health.Raise(a.now(), journalCode+".lost", health.Warning, "parked callers are lost: "+strings.Join(r.lost, ", "), "ring them back")
	}
	if len(r.slots) > 0 {
		a.lot.step(parkd.Restore{Slots: r.slots})
	}
	for _, l := range r.legs {
		l.call.SetAuth(a.identity(l.remoteURI()).send.Auth)
		if !a.move(l) {
			l.call.Update(l.local())
		}
		a.log.Info("a parked call goes on", "call", l.id, "caller", l.caller.Number)
	}
	for _, c := range r.bye {
		a.log.Info("a call of before is ended", "call", string(c.ID()))
		c.Hangup("the appliance was restarted")
	}
	a.lookAgain()
}

// takeJournal decides what a journal that could not be read means for the next one.
func (a *Appliance) takeJournal(err error) {
	if err == nil {
		return
	}
	a.log.Warn("the journal cannot be used as it is", "key", "journal.path", "err", err)
	switch {
	case errors.Is(err, journal.ErrOwner):
		a.keeper.journal = nil
		a.health.Raise(a.now(), journalCode, health.Error, "parked calls would not outlive a crash: "+err.Error(),
			"give each appliance a journal.path of its own, or remove the file")
	case errors.Is(err, journal.ErrDamaged), errors.Is(err, journal.ErrVersion):
		hint := "calls that were parked may be lost; the file can be removed"
		aside, err2 := a.keeper.journal.SetAside()
		if err2 == nil {
			hint += ": " + aside
		}
		a.health.Raise(a.now(), journalCode+".read", health.Warning, errors.Join(err, err2).Error(), hint)
	default:
		a.health.Raise(a.now(), journalCode+".read", health.Warning, err.Error(), "check key journal.path and who may read it")
	}
}
