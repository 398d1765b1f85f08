package wire

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/media"
	"parklamp/parkd"
	"parklamp/sip/call"
	"parklamp/sip/sdp"
)

// keepAgainAfter is how often everything is looked at although nothing was told: a far end may have changed its
// address in a re-INVITE that changed nothing else. What is as it was is not written.
const keepAgainAfter = 30 * time.Second

// storedDialog is a call in the journal.
type storedDialog struct {
	Dialog call.Dialog `json:"dialog"`
	Source netip.Addr  `json:"source,omitzero"` // where its INVITE or the answer to ours came from
}

// storedMedia is the stream of a parked call in the journal.
type storedMedia struct {
	State  media.State `json:"state"`
	Agreed sdp.Media   `json:"agreed"`
}

// snapshot is every answered call as it is now, for the keeper.
func (a *Appliance) snapshot() commit {
	hosted := a.lot.machine.Hosted().Slots
	c := commit{calls: make([]storedCall, 0, len(a.legs)), slots: make(map[string]parkd.SlotState, len(hosted))}
	slots := make(map[parkd.LegID]*parkd.SlotState, len(hosted))
	for i := range hosted {
		s := &hosted[i]
		slots[s.Leg] = s
		s.Leg = "" // names nothing in another life
		c.slots[s.CallID] = *s
	}
	for _, l := range a.legs {
		d := l.call.Dialog()
		if l.ended || !d.Confirmed || a.calledAtPeer(d) {
			continue
		}
		e := storedCall{key: keyOf(d), dialog: storedDialog{d, l.source()}}
		if s, ok := slots[l.id]; ok && l.media != nil {
			e.slot, e.media = s, storedMedia{l.media.State(), l.agreed}
		}
		c.calls = append(c.calls, e)
	}
	slices.SortFunc(c.calls, func(x, y storedCall) int { return cmp.Compare(x.key, y.key) })
	return c
}

// keyOf names a call in the journal.
func keyOf(d call.Dialog) string { return d.CallID + ";" + d.LocalTag }

// calledAtPeer says whether this appliance made the call, to a peer: as a rule to fetch a caller from there. The peer
// parks him again when it sees that this appliance has started anew, where a BYE would end his call.
func (a *Appliance) calledAtPeer(d call.Dialog) bool {
	var target gosip.Uri
	return d.Caller && gosip.ParseUri(d.RemoteTarget, &target) == nil && a.isOurs(target)
}

// noteSource has the journal take the address that the far end of a parked call is heard from, as soon as that is known. It changes three
// times in a second at most (media: latch).
func (a *Appliance) noteSource(l *leg) {
	l.media.OnLatch(func() {
		a.loop.post(func() { a.keeper.dirty = a.keeper.dirty || l.parked })
	})
}

// lookAgain has everything looked at now and then.
func (a *Appliance) lookAgain() {
	a.keeper.dirty = true
	for _, l := range a.legs {
		a.lot.noteDialog(l)
	}
	a.loop.after("keep", keepAgainAfter, a.lookAgain)
}
