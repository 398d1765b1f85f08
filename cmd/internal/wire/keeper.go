package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/parkd"
	"parklamp/parkd/journal"
	"parklamp/parkd/panel"
)

// errNoJournal: nothing is stored.
var errNoJournal = errors.New("wire: there is no journal")

const (
	// heldFor is how long an announcement waits for the disk at most. An SD card that cleans up may take seconds for a
	// commit that else takes one millisecond; lamps do not wait for that.
	heldFor = 100 * time.Millisecond
	// storeAgainAfter is how soon a call that the disk did not take is tried again: a crash would lose it meanwhile.
	storeAgainAfter = 3 * time.Second
	// journalCode is the health condition of the journal.
	journalCode = panel.CodeJournal
)

// storedCall is an answered call as it is at one moment. The loop makes it; what it points to is never changed.
type storedCall struct {
	key    string
	slot   *parkd.SlotState // nil: a call that is only to be told good-bye after a crash
	dialog storedDialog
	media  storedMedia
}

// commit is one state of all calls on its way to the disk.
type commit struct {
	calls []storedCall
	slots map[string]parkd.SlotState // what is on the disk with it, by call id, without legs
	done  chan<- synced              // capacity 1; nil: nobody waits for it
}

// storedEntry is an entry that the journal was given.
type storedEntry struct {
	journal.Entry
	heard netip.AddrPort // where its stream goes
}

// synced is what the disk has at the end of a life.
type synced struct {
	found map[string]bool // keys of the parked calls that the next life will find
	err   error
}

// keeper stores the calls of the appliance, so that its next life can go on with those that are parked and say good-bye
// to the others. The loop tells it what changes; run, a goroutine of its own, writes, so that neither the music nor
// anything else waits for the disk. Only news of a call that the disk does not have yet, as it is now, wait: who asked for the park,
// peers, lamps and subscribers of orbits hear of it then. That a call is gone is told at once, unless such news of another one wait
// already: a document tells of all. The panel, which shows the orbit machine as it is, waits for nothing.
type keeper struct {
	// immutable
	loop    *loop
	log     *slog.Logger
	health  *health.Set
	now     func() time.Time
	tell    func(parkd.Announce) // what peers are told
	present func() commit        // every answered call as it is now; asked on the loop

	journal *journal.Journal // nil: off. Its methods are run's, but for the time before and after run.
	commits chan commit      // capacity 1; a newer state takes the place of one that waits

	// owned by the loop
	dirty  bool
	stored map[string]parkd.SlotState // parked calls as they are on the disk, by id
	lost   map[string]bool            // those of stored that the last write could not bring there, by id
	held   *parkd.Announce            // waits for that
	after  []promise                  // wait for it as well, oldest first

	// owned by run
	last    map[string]storedEntry
	text    bytes.Buffer // what is encoded, most of which is on the disk as it is
	failing bool
}

func newKeeper(a *Appliance) *keeper {
	k := &keeper{loop: a.loop, log: a.log, health: a.health, now: a.now, tell: a.federation.SetLocal, present: a.snapshot,
		commits: make(chan commit, 1), stored: map[string]parkd.SlotState{}, last: map[string]storedEntry{}}
	if a.cfg.Journal.Path != "" {
		k.journal = journal.New(a.cfg.Journal.Path, a.cfg.Appliance.Name)
	}
	return k
}

// announce tells the peers what this appliance hosts, after the disk has each call of it, or at once if it has taken one over.
func (k *keeper) announce(e parkd.Announce) {
	k.dirty = true
	if k.journal == nil || k.rescued(e) {
		k.held = nil
		k.tell(e)
		return
	}
	k.wait()
	if k.held = &e; k.has(e) { // who waited is on the disk, or gone
		k.release()
	}
}

// promise is something to be said once the disk has a call, or the peers know what is held back.
type promise struct {
	call string // "": nothing but what is held back
	say  func()
}

// once says something when the disk has a call, after heldFor at the latest, or if the call is gone meanwhile.
func (k *keeper) once(call string, say func()) {
	if _, ok := k.stored[call]; ok || k.journal == nil {
		say()
		return
	}
	k.dirty = true
	k.wait()
	k.after = append(k.after, promise{call, say})
}

// told says something when the peers know what this appliance hosts: at once, if nothing is held back.
func (k *keeper) told(say func()) {
	if k.held == nil {
		say()
		return
	}
	k.after = append(k.after, promise{say: say})
}

// wait begins the time after which nobody waits for the disk any longer.
func (k *keeper) wait() {
	if k.held == nil && len(k.after) == 0 {
		k.loop.after("announce", heldFor, k.release)
	}
}

// has says whether every call of an announcement is on the disk as it is.
func (k *keeper) has(e parkd.Announce) bool {
	return !slices.ContainsFunc(e.Slots, func(s parkd.SlotState) bool {
		s.Leg = ""
		old, ok := k.stored[s.CallID]
		return !ok || old != s
	})
}

// rescued says whether somebody has just been taken over: nobody else knows his dialog. Should this process die before the disk has
// it, peers that know it take him over, where one that would tell them later is gone.
func (k *keeper) rescued(e parkd.Announce) bool {
	return slices.ContainsFunc(e.Slots, func(s parkd.SlotState) bool {
		_, stored := k.stored[s.CallID]
		return s.Moves > 0 && !stored
	})
}

// release tells what was held back: the peers first.
func (k *keeper) release() {
	k.loop.stop("announce")
	if k.held != nil {
		k.tell(*k.held)
		k.held = nil
	}
	after := k.after
	k.after = nil
	for _, p := range after {
		p.say()
	}
}

// hurry tells the peers what is held back, if anything is, without the disk; everybody else waits on.
func (k *keeper) hurry() {
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
	k.hand(k.present())
}

// hand gives a state to run.
func (k *keeper) hand(c commit) {
	k.dirty = false
	select {
	case old := <-k.commits: // not begun yet, and out of date
		if c.done == nil {
			c.done = old.done
		}
	default:
	}
	k.commits <- c // there is room: only the loop sends
}

// sync stores the present state, after last has had its turn, and says what the next life will find. It is called by who
// ends the loop, and not by the loop itself.
func (k *keeper) sync(last func()) synced {
	answer := make(chan synced, 1)
	asked := k.loop.ask(func() {
		last()
		if k.journal == nil {
			answer <- synced{err: errNoJournal}
			return
		}
		c := k.present()
		c.done = answer
		k.hand(c)
	})
	if !asked {
		return synced{err: errStops}
	}
	select {
	case s := <-answer:
		return s
	case <-k.loop.done:
		return synced{err: errStops}
	}
}

// safe says that a parked call is on the disk.
func (k *keeper) safe(s parkd.SlotState) bool {
	_, there := k.stored[s.CallID]
	return there && !k.lost[s.CallID] && k.journal != nil
}

// run writes until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-k.commits:
			lost := k.write(c)
			k.loop.post(func() { k.written(c.slots, lost) })
		}
	}
}

// written goes on when a state is on the disk, but for the calls that could not be written: parking goes on then.
func (k *keeper) written(slots map[string]parkd.SlotState, lost map[string]bool) {
	k.stored, k.lost = slots, lost
	if len(lost) > 0 {
		k.loop.after("store again", storeAgainAfter, func() { k.dirty = true })
	}
	if k.held != nil && !k.has(*k.held) {
		return // who waits for one of its calls waits for all of it: the peers hear first
	}
	if k.held != nil || !k.owes() {
		k.release()
	}
}

// owes says whether somebody waits for a call that the disk does not have.
func (k *keeper) owes() bool {
	return slices.ContainsFunc(k.after, func(p promise) bool { _, ok := k.stored[p.call]; return p.call != "" && !ok })
}

// write stores a state and says which parked calls of it are not on the disk, by id. A call that the journal does not take
// says nothing of the others.
func (k *keeper) write(c commit) (lost map[string]bool) {
	entries := make([]journal.Entry, 0, len(c.calls))
	next := make(map[string]storedEntry, len(c.calls))
	var errs []error
	for _, e := range c.calls {
		entry, err := k.encode(e, c.done != nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		entries = append(entries, entry)
		next[e.key] = storedEntry{entry, e.media.State.Remote}
	}
	k.last = next
	if c.done != nil {
		found, err := k.journal.Keep(entries)
		errs = append(errs, err)
		c.done <- synced{found, errors.Join(errs...)}
	} else {
		errs = append(errs, k.journal.Store(entries))
	}
	k.report(errors.Join(errs...))
	lost = map[string]bool{}
	for _, e := range c.calls {
		if e.slot != nil && !k.journal.Has(e.key) {
			lost[e.slot.CallID] = true
		}
	}
	return lost
}

// encode writes a call as an entry. A stream that runs is as good as it was when it was stored last, unless it goes elsewhere now:
// where it would be is computed from the time. At the end of a life that is not left to a clock that may have been set meanwhile.
func (k *keeper) encode(e storedCall, last bool) (journal.Entry, error) {
	k.text.Reset()
	if err := json.NewEncoder(&k.text).Encode(e.dialog); err != nil {
		return journal.Entry{}, err
	}
	dialog := bytes.TrimSpace(k.text.Bytes())
	before, known := k.last[e.key]
	if known && !last && same(before.Slot, e.slot) && before.heard == e.media.State.Remote && bytes.Equal(before.Dialog, dialog) {
		return before.Entry, nil
	}
	entry := journal.Entry{Key: e.key, Dialog: bytes.Clone(dialog)}
	if e.slot == nil {
		return entry, nil
	}
	slot := *e.slot // alone: it is kept, and those beside it are not
	entry.Slot = &slot
	var err error
	entry.Media, err = json.Marshal(e.media)
	return entry, err
}

func same(a, b *parkd.SlotState) bool { return a == b || a != nil && b != nil && *a == *b }

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
