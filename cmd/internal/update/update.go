// Package update replaces the system of an appliance by another one, signed by the site, so that no loss of power, no damaged
// bundle and no bad system leaves an appliance that does not start.
//
// A bundle (bundle.go) is a signed manifest and the image of a slot. The Updater takes one over HTTP, refuses what is not
// signed with the site's key, is for another board, older than what runs or cut off, writes the slot that does not run
// (install.go), reads it back, puts it on trial, waits until nobody is there whom that would disturb and restarts the appliance. The boot script starts a trial once. Confirm, in the new system, makes it the good one when the phone has been healthy for a while; else
// it restarts, and the boot script falls back. The signature is the authority to update: whoever brings a bundle need not
// be known, and there is one update at a time.
//
// The package never writes the running slot or the other partitions, and never restarts while there are calls that this would
// end unless told.
// It runs inside the first process: no child processes, no large buffers. Run waits for calls to end, Confirm for health, each in its
// caller's goroutine; a bundle is written in that of its request. No bundle is taken while another is written or the system
// is on trial, so that one at a time writes the card. Confirm starts a goroutine when it gives a trial up, which a card that does
// not answer may keep.
// Standards: ed25519 RFC 8032, keys RFC 8410, gzip RFC 1952.
package update

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"parklamp/cmd/internal/slots"
)

// Errors: why an update was refused or failed.
var (
	ErrNotBundle = errors.New("not an update bundle")
	ErrSignature = errors.New("the bundle's signature is wrong")
	ErrBoard     = errors.New("the bundle is for another board")
	ErrDowngrade = errors.New("the bundle is older than what runs")
	ErrTooOld    = errors.New("what runs is too old for the bundle")
	ErrSame      = errors.New("the appliance runs this already")
	ErrTooLarge  = errors.New("the bundle is too large for the card")
	ErrTruncated = errors.New("the bundle is cut off")
	ErrImage     = errors.New("the bundle is damaged")
	ErrCard      = errors.New("the card does not keep what is written: put in another one")
	ErrOnTrial   = errors.New("the running system is itself on trial: wait until it is confirmed, 3 minutes at most unless there are calls")
	ErrBusy      = errors.New("another update is being written")
	ErrNoSlots   = errors.New("this system was not started from a slot of a card: it cannot be updated")
)

// Stage is how far an update is.
type Stage string

// The stages, in their order; Failed can follow each.
const (
	Idle       Stage = "idle"
	Writing    Stage = "writing"
	Verifying  Stage = "verifying"
	Waiting    Stage = "waiting"    // for who talks or rings
	Restarting Stage = "restarting" // into the new system
	Failed     Stage = "failed"
	Trial      Stage = "trial" // the new system runs and is not confirmed yet
)

// Status is what the Updater does.
type Status struct {
	Stage   Stage     `json:"stage"`
	Board   string    `json:"board"`
	Version string    `json:"version"` // that runs
	Time    time.Time `json:"time,omitzero"`
	Slot    string    `json:"slot"`             // that runs
	Target  string    `json:"target,omitempty"` // version that is being installed
	Done    int64     `json:"done,omitempty"`   // bytes of the stage
	Total   int64     `json:"total,omitempty"`  // bytes of the stage
	Waiting string    `json:"waiting,omitempty"`
	Warning string    `json:"warning,omitempty"` // why the system that is being installed will hardly be kept
	Error   string    `json:"error,omitempty"`   // why the last update failed, or that its trial did
}

// Config is what an Updater needs.
type Config struct {
	Disk    *slots.Disk // nil: updates are refused with ErrNoSlots
	Running slots.Slot
	Trial   bool // as the boot script says
	System  System
	Keys    []ed25519.PublicKey
	// Busy says which calls a restart would end ("2 calls"), or "".
	Busy func(context.Context) (string, error)
	// Healthy says whether the appliance works, or what is missing.
	Healthy func(context.Context) (bool, string)
	// Restart restarts the machine in good order. It returns at once.
	Restart func(reason string)
	Log     *slog.Logger
	// ConfirmWithin and HealthyFor are for a trial; zero: the constants of the same names.
	ConfirmWithin, HealthyFor time.Duration
}

const (
	askEvery    = 2 * time.Second // whether there are calls
	firstPause  = 2 * time.Second // after a bundle that was refused, doubled each time
	longestWait = time.Minute
)

// Updater is the one that updates this appliance. Make it with New.
type Updater struct {
	cfg   Config
	begun sync.Once // settle
	ready chan bool // capacity 1: a slot is on trial, true: restart at once. A full one is drained first: the newer counts

	summing sync.Mutex // held while the slot that runs is read
	size    int64      // of what runs, in bytes, as far as sum goes; 0: not read yet; guarded by summing
	sum     string     // SHA-256 of it, hexadecimal; guarded by summing

	mu      sync.Mutex
	status  Status    // guarded by mu
	writing bool      // guarded by mu
	trial   bool      // the running system is not confirmed; guarded by mu
	refused int       // bundles in a row; guarded by mu
	again   time.Time // no wrong bundle is judged before; guarded by mu
}

// New returns an Updater; what the last update left is settled by Run.
func New(cfg Config) *Updater {
	if cfg.ConfirmWithin == 0 {
		cfg.ConfirmWithin = ConfirmWithin
	}
	if cfg.HealthyFor == 0 {
		cfg.HealthyFor = HealthyFor
	}
	u := &Updater{cfg: cfg, ready: make(chan bool, 1), trial: cfg.Trial}
	u.status = Status{Stage: Idle, Board: cfg.System.Board, Version: cfg.System.Version, Time: cfg.System.Time, Slot: cfg.Running.String()}
	if cfg.Trial {
		u.status.Stage = Trial
	}
	return u
}

// Status returns what it does now.
func (u *Updater) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

func (u *Updater) change(f func(*Status)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(&u.status)
}

// Settle brings the state in order after a start: a trial that the boot script gave up is ended and told in the status,
// and if the good slot could not be started, so that the other one runs, that is told too. Run calls it.
func (u *Updater) Settle() error {
	if u.cfg.Disk == nil || u.cfg.Running == slots.None {
		return nil
	}
	st, err := u.cfg.Disk.State()
	if errors.Is(err, slots.ErrState) {
		if u.cfg.Trial {
			return nil // Confirm will write it
		}
		u.cfg.Log.Warn("the card's state was lost and is written anew", "err", err)
		return u.cfg.Disk.Store(slots.State{Good: u.cfg.Running})
	}
	if err != nil || u.cfg.Trial {
		return err
	}
	switch {
	case st.Try == u.cfg.Running.Other() && st.Why != "":
		u.fail("the last update was not healthy: " + st.Why + "; the system before it runs again")
	case st.Try == u.cfg.Running.Other():
		u.fail("the last update did not start or was not healthy; the system before it runs again")
	case st.Good != u.cfg.Running:
		u.fail(fmt.Sprintf("the system in slot %s does not start; the one in slot %s runs", st.Good, u.cfg.Running))
	case st.Try == slots.None:
		return nil
	}
	return u.cfg.Disk.Store(slots.State{Good: u.cfg.Running})
}

func (u *Updater) settle() {
	if err := u.Settle(); err != nil {
		u.fail(err.Error())
	}
}

func (u *Updater) fail(text string) {
	u.cfg.Log.Error("update", "err", text)
	u.change(func(s *Status) {
		s.Stage, s.Error, s.Waiting, s.Warning, s.Done, s.Total = Failed, text, "", "", 0, 0
	})
}

// Install takes a bundle. It returns when the idle slot holds the bundle's system and is on trial; Run then waits for calls to end
// (not if now) and restarts. The error says why not; the running system is untouched then.
func (u *Updater) Install(ctx context.Context, r io.Reader, now bool) error {
	return u.take(ctx, r, now, func() {})
}

// take calls genuine when the bundle's signature has been found right. Until then, and while the bundle does not fit, nothing
// changes, not even the status: whoever reaches the panel can send anything. The sender hears why.
func (u *Updater) take(ctx context.Context, r io.Reader, now bool, genuine func()) error {
	b, err := u.judge(r)
	if err != nil {
		return err
	}
	genuine()
	u.begun.Do(u.settle) // else it would take this update for the last one, which did not start
	if err := u.begin(); err != nil {
		return err
	}
	err = u.install(ctx, b)
	u.mu.Lock()
	u.writing = false
	u.mu.Unlock()
	if err != nil {
		u.fail(err.Error())
		return err
	}
	u.change(func(s *Status) { s.Stage, s.Waiting = Waiting, "calls are counted" })
	select {
	case <-u.ready: // an earlier one that still waits
	default:
	}
	u.ready <- now
	return nil
}

// judge says whether a bundle would be taken; it reads no more than its head.
func (u *Updater) judge(r io.Reader) (*Bundle, error) {
	u.mu.Lock()
	err := u.taken()
	u.mu.Unlock()
	if err != nil {
		return nil, err
	}
	b, err := OpenBundle(r, u.cfg.Keys)
	if err = u.refusal(err); err == nil {
		now := u.cfg.System
		now.Holds = u.holds
		err = b.Manifest.Fits(now, time.Now())
	}
	if err != nil {
		u.cfg.Log.Warn("a bundle is refused", "err", err)
	}
	return b, err
}

// holds says whether the slot that runs begins with so many bytes of this sum, or cannot be read, so that nothing is known against
// it. What runs does not change: whoever sends one bundle after another makes the card read once.
func (u *Updater) holds(size int64, sum string) bool {
	u.summing.Lock()
	defer u.summing.Unlock()
	if u.size != size {
		place, h := u.cfg.Disk.Slot(u.cfg.Running), sha256.New()
		if size > place.Size {
			return false
		}
		if _, err := io.Copy(h, io.NewSectionReader(u.cfg.Disk, place.Start, size)); err != nil {
			u.cfg.Log.Warn("what runs cannot be read from the card", "err", err)
			return true
		}
		u.size, u.sum = size, hex.EncodeToString(h.Sum(nil))
	}
	return u.sum == sum
}

// unlikely says why what is installed now will hardly be kept, "" for nothing. What the system that runs cannot do today, the new one
// will hardly do within ConfirmWithin: a peer or registrar is away.
func (u *Updater) unlikely(ctx context.Context) string {
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if well, why := u.cfg.Healthy(asking); !well {
		return "it may not be kept, since the system that runs is not healthy itself: " + why
	}
	return ""
}

// taken says why no update can be taken now. With the lock held.
func (u *Updater) taken() error {
	switch {
	case u.cfg.Disk == nil || u.cfg.Running == slots.None:
		return ErrNoSlots
	case u.trial:
		return ErrOnTrial
	case u.writing || u.status.Stage == Restarting:
		return ErrBusy
	}
	return nil
}

// begin takes the place of the one update.
func (u *Updater) begin() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.taken(); err != nil {
		return err
	}
	u.writing = true
	return nil
}

func (u *Updater) install(ctx context.Context, b *Bundle) error {
	u.cfg.Log.Info("update begins", "version", b.Manifest.Version, "from", u.cfg.System.Version, "slot", u.cfg.Running.Other().String())
	tell := func(stage Stage, done, total int64) {
		u.change(func(s *Status) { s.Stage, s.Done, s.Total = stage, done, total })
	}
	warning := u.unlikely(ctx)
	if warning != "" {
		u.cfg.Log.Warn("update", "warning", warning)
	}
	u.change(func(s *Status) { s.Target, s.Error, s.Waiting, s.Warning = b.Manifest.Version, "", "", warning })
	tell(Writing, 0, b.Manifest.Size)
	i := installer{disk: u.cfg.Disk, running: u.cfg.Running, tell: tell}
	if err := i.install(ctx, b); err != nil {
		return fmt.Errorf("update to %s: %w", b.Manifest.Version, err)
	}
	u.cfg.Log.Info("update written and read back", "version", b.Manifest.Version)
	return nil
}

// refusal makes who sends one wrong bundle after another wait longer each time; a genuine one never waits.
func (u *Updater) refusal(err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		u.refused, u.again = 0, time.Time{}
		return nil
	}
	if wait := time.Until(u.again); wait > 0 {
		return &PauseError{wait}
	}
	u.again = time.Now().Add(min(firstPause<<min(u.refused, 10), longestWait))
	u.refused++
	return err
}

// PauseError: too many bundles were refused; another may be tried after Wait.
type PauseError struct{ Wait time.Duration }

func (e *PauseError) Error() string {
	return fmt.Sprintf("bundles were refused one after another: try again in %v", e.Wait.Round(time.Second))
}

// Run settles what the last update left, then waits, after each Install, until there are no calls, and restarts.
func (u *Updater) Run(ctx context.Context) {
	u.begun.Do(u.settle)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-u.ready:
			if u.quiet(ctx, now) {
				target := u.Status().Target
				u.cfg.Log.Info("restart into the update", "version", target)
				u.cfg.Restart("update to " + target)
				return
			}
		}
	}
}

// quiet waits until there are no calls and begins the restart; false if another update came or ctx ended.
func (u *Updater) quiet(ctx context.Context, now bool) bool {
	caution := NewCaution(u.cfg.Busy)
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for !now {
		busy := caution.Ask(ctx)
		if busy == "" {
			break
		}
		u.change(func(s *Status) {
			if s.Stage == Waiting {
				s.Waiting = busy
			}
		})
		select {
		case <-ctx.Done():
			return false
		case now = <-u.ready: // the same or another bundle was installed meanwhile
		case <-tick.C:
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	// A newer bundle that is being written or has failed must not be started half way.
	if ctx.Err() != nil || u.writing || u.status.Stage != Waiting {
		return false
	}
	u.status.Stage, u.status.Waiting = Restarting, ""
	return true
}
