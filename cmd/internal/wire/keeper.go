package wire

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/health"
	"parklamp/media"
	"parklamp/parkd"
	"parklamp/parkd/journal"
	"parklamp/sip/call"
	"parklamp/sip/sdp"
)

const (
	// heldFor is how long an announcement waits for the disk at most. An SD card that cleans up may take seconds for a
	// commit that else takes one millisecond; lamps do not wait for that.
	heldFor = 100 * time.Millisecond
	// keepAgainAfter is how often everything is looked at although nothing was told: a far end may have changed its
	// address in a re-INVITE that changed nothing else. What is as it was is not written.
	keepAgainAfter = 30 * time.Second
	// journalCode is the health condition of the journal.
	journalCode = "journal"
)

// keptDialog is a call in the journal.
type keptDialog struct {
	Dialog call.Dialog `json:"dialog"`
	Source netip.Addr  `json:"source,omitzero"` // where its INVITE came from
}

// keptMedia is the stream of a parked call in the journal.
type keptMedia struct {
	State  media.State `json:"state"`
	Agreed sdp.Media   `json:"agreed"`
}

// kept is an answered call as it is at one moment. The loop makes it; what it points to is never changed.
type kept struct {
	key    string
	slot   *parkd.SlotState // nil: a call that is only to be told good-bye after a crash
	dialog keptDialog
	media  keptMedia
}

// commit is one state of all calls on its way to the disk.
type commit struct {
	calls []kept
	ids   map[string]bool // parked calls that are on the disk with it
}

// keeper stores the calls of the appliance, so that its next life can go on with those that are parked and say good-bye
// to the others. The loop tells it what changes; run, a goroutine of its own, writes, so that neither the music nor
// anything else waits for the disk. Only news of a call that is not on the disk yet waits before peers hear of it.
type keeper struct {
	*Appliance
	tell    func(parkd.Announce) // immutable; what peers and the arbiter are told
	journal *journal.Journal     // nil: off. Its methods are run's, but for the time before and after run.
	commits chan commit          // capacity 1; a newer state takes the place of one that waits

	// owned by the loop
	dirty  bool
	stored map[string]bool // ids of parked calls that are on the disk
	held   *parkd.Announce // waits for that

	// owned by run
	last    map[string]journal.Entry
	failing bool
}

func newKeeper(a *Appliance) *keeper {
	k := &keeper{Appliance: a, tell: a.federation.SetLocal, commits: make(chan commit, 1), stored: map[string]bool{}, last: map[string]journal.Entry{}}
	if a.cfg.Journal.Path != "" {
		k.journal = journal.New(a.cfg.Journal.Path, a.cfg.Appliance.Name)
	}
	return k
}

// announce tells the peers what this appliance hosts, after the disk has each call of it.
func (k *keeper) announce(e parkd.Announce) {
	k.dirty = true
	if k.journal == nil || k.held == nil && k.has(e) {
		k.tell(e)
		return
	}
	if k.held == nil {
		k.loop.after("announce", heldFor, k.release)
	}
	k.held = &e
}

// has says whether every call of an announcement is on the disk.
func (k *keeper) has(e parkd.Announce) bool {
	return !slices.ContainsFunc(e.Slots, func(s parkd.SlotState) bool { return !k.stored[s.CallID] })
}

// release tells what was held back.
func (k *keeper) release() {
	k.loop.stop("announce")
	if k.held != nil {
		k.tell(*k.held)
		k.held = nil
	}
}

// settle hands the present state to run if something has changed; the loop calls it when it has nothing else to do.
func (k *keeper) settle() {
	if !k.dirty || k.journal == nil {
		return
	}
	k.dirty = false
	c := k.snapshot()
	select {
	case <-k.commits: // not begun yet, and out of date
	default:
	}
	k.commits <- c // there is room: only the loop sends
}

// snapshot is every answered call as it is now.
func (k *keeper) snapshot() commit {
	c := commit{ids: map[string]bool{}}
	slots := map[parkd.LegID]parkd.SlotState{}
	for _, s := range k.lot.machine.Hosted().Slots {
		slots[s.Leg] = s
		c.ids[s.CallID] = true
	}
	for _, l := range k.legs {
		d := l.call.Dialog()
		if l.ended || !d.Confirmed || k.calledAtPeer(d) {
			continue
		}
		e := kept{key: d.CallID + ";" + d.LocalTag, dialog: keptDialog{d, l.source()}}
		if s, ok := slots[l.id]; ok && l.media != nil {
			s.Leg = "" // names nothing in another life
			e.slot, e.media = &s, keptMedia{l.media.State(), l.agreed}
		}
		c.calls = append(c.calls, e)
	}
	slices.SortFunc(c.calls, func(x, y kept) int { return cmp.Compare(x.key, y.key) })
	return c
}

// calledAtPeer says whether this appliance made the call, to a peer: as a rule to fetch a caller from there. The peer
// parks him again when it sees that this appliance has started anew, where a BYE would end his call.
func (k *keeper) calledAtPeer(d call.Dialog) bool {
	var target gosip.Uri
	return d.Caller && gosip.ParseUri(d.RemoteTarget, &target) == nil && k.isOurs(target)
}

// again looks at everything now and then.
func (k *keeper) again() {
	k.dirty = true
	k.loop.after("keep", keepAgainAfter, k.again)
}

// run writes until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-k.commits:
			k.write(c)
			k.loop.post(func() { k.written(c.ids) })
		}
	}
}

// written goes on when a state is on the disk, or could not be written: parking goes on then.
func (k *keeper) written(ids map[string]bool) {
	k.stored = ids
	if k.held != nil && k.has(*k.held) {
		k.release()
	}
}

func (k *keeper) write(c commit) {
	entries := make([]journal.Entry, 0, len(c.calls))
	next := make(map[string]journal.Entry, len(c.calls))
	var errs []error
	for _, e := range c.calls {
		entry, err := k.encode(e)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		entries = append(entries, entry)
		next[e.key] = entry
	}
	k.last = next
	k.report(errors.Join(append(errs, k.journal.Store(entries))...))
}

// encode writes a call as an entry. A stream that runs is as good as it was when it was stored last: where it would be
// is computed from the time.
func (k *keeper) encode(e kept) (journal.Entry, error) {
	dialog, err := json.Marshal(e.dialog)
	if err != nil {
		return journal.Entry{}, err
	}
	entry := journal.Entry{Key: e.key, Slot: e.slot, Dialog: dialog}
	if e.slot == nil {
		return entry, nil
	}
	before, known := k.last[e.key]
	if known && before.Slot != nil && *before.Slot == *e.slot && bytes.Equal(before.Dialog, dialog) {
		return before, nil
	}
	entry.Media, err = json.Marshal(e.media)
	return entry, err
}

// report shows whether the disk works.
func (k *keeper) report(err error) {
	if err == nil {
		if k.failing {
			k.log.Info("calls are stored again", "key", "journal.path")
		}
		k.failing = false
		k.health.Clear(journalCode)
		return
	}
	if !k.failing {
		k.log.Warn("calls cannot be stored: a crash would lose them", "key", "journal.path", "err", err)
	}
	k.failing = true
	k.health.Raise(k.now(), journalCode, health.Warning, "parked calls would not outlive a crash: "+err.Error(),
		"check that the disk of key journal.path is there, writable and not full")
}

// forget empties the journal after every call was told good-bye, when run has ended.
func (k *keeper) forget() {
	if k.journal == nil {
		return
	}
	if err := k.journal.Store(nil); err != nil {
		k.log.Warn("the journal is not emptied: the calls will be asked for at the next start", "err", err)
	}
}
