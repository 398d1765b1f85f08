package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/parkd"
)

// What Load finds wrong with a file.
var (
	ErrDamaged = errors.New("journal: damaged")
	ErrVersion = errors.New("journal: another version")
	ErrOwner   = errors.New("journal: of another appliance")
)

// ErrHeld says that another process uses the same path: it has the calls that the file tells of.
var ErrHeld = errors.New("journal: in use by another process")

// ErrFull says that some entries are not on disk because they are too large or too many.
var ErrFull = errors.New("journal: full")

const (
	// minBytes is the least length of a file: some hundred changes of a few calls between two new files.
	minBytes = 256 << 10
	// maxBytes is the greatest length: 200 calls of 10 KB with room for as many changes.
	maxBytes = 4 << 20
	// maxLive is what all entries of a new file may come to, so that at least half of it is room.
	maxLive = maxBytes / 2
	// maxEntry is the limit for one: a dialog with the longest route set and session description is far below.
	maxEntry = 64 << 10
	// pulse is how often Store writes although nothing has changed, while there are entries: from it the next life
	// knows how long the appliance was away.
	pulse = time.Minute
)

// Entry is one call.
type Entry struct {
	Key    string           `json:"key"`            // names it in the journal
	Slot   *parkd.SlotState `json:"slot,omitempty"` // nil: a call that is not parked, and only to be told good-bye
	Dialog json.RawMessage  `json:"dialog"`
	Media  json.RawMessage  `json:"media,omitempty"`
}

// Content is what a file holds.
type Content struct {
	Owner   string    // whose it is; empty if that cannot be read
	Entries []Entry   // in the order in which they were first stored
	At      time.Time // of the last commit, by the clock of that time
}

// file is an open journal; *diskFile is the real one.
type file interface {
	WriteAt(b []byte, at int64) (int, error)
	Datasync() error // what was written is on the disk, when this returns
	Close() error
}

// Journal is one appliance's.
type Journal struct {
	path, owner string                      // immutable
	create      func(string) (file, error)  // immutable; replaces what is there
	commitFile  func(from, to string) error // immutable; rename that lasts
	now         func() time.Time            // immutable

	f       file              // nil: there is none that can be trusted
	live    map[string]digest // of each entry that is in f
	end     int64             // where the next frame goes
	size    int64             // of f
	wroteAt time.Time

	lock *os.File // held from Lock to Close
}

// digest is the hash of an entry's JSON: what tells whether it has changed, in a fraction of the memory.
type digest [sha256.Size]byte

// New returns the journal at path of the appliance with that name. It touches no file.
func New(path, owner string) *Journal {
	return &Journal{path: path, owner: owner, create: createFile, commitFile: renameDurably, now: time.Now}
}

// Load reads what an earlier life stored. No file is no error. With ErrDamaged, what could be read is returned too, and
// with ErrOwner what the other one has stored.
// The next Store writes a new file in any case.
func (j *Journal) Load() (Content, error) {
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Content{}, nil
	}
	if err != nil {
		return Content{}, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return Content{}, fmt.Errorf("journal: read %s: %w", j.path, err)
	}
	if len(b) > maxBytes {
		return Content{}, fmt.Errorf("%w: %s is longer than %d bytes", ErrDamaged, j.path, maxBytes)
	}
	return parse(b, j.owner)
}

// SetAside keeps a file that Load refused for whoever wants to look at it, as path.bad, in place of an earlier one.
func (j *Journal) SetAside() (aside string, err error) {
	aside = j.path + ".bad"
	if err := j.commitFile(j.path, aside); err != nil {
		return "", fmt.Errorf("journal: set aside %s: %w", j.path, err)
	}
	return aside, nil
}

// Store makes entries the whole content, and returns when that is on the disk. Entries that are as they were cost
// nothing. After ErrFull all but the named ones are on disk; after any other error nothing is sure.
func (j *Journal) Store(entries []Entry) error {
	next, put, full := j.encode(entries)
	var gone []string
	for k := range j.live {
		if _, ok := next[k]; !ok {
			gone = append(gone, k)
		}
	}
	// By the clock on the wall: the next life reckons from it how long the appliance was away. When the first time server
	// answers after a start without a battery it may move by days.
	now := j.now().Round(0)
	quiet := len(put) == 0 && len(gone) == 0
	switch {
	case j.f != nil && quiet && (len(next) == 0 || now.Sub(j.wroteAt) < pulse && !now.Before(j.wroteAt)):
		return full
	case j.f != nil:
		b, err := appendFrame(nil, commit{At: now, Put: put, Gone: gone})
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if j.end+int64(len(b)) <= j.size {
			return errors.Join(full, j.append(b, next, now))
		}
	}
	return errors.Join(full, j.rewrite(entries, next, now))
}

// Keep is Store for the end of a life: the time is written even if nothing has changed, and found has the keys of the
// parked calls that the next life will find. After an error they are those that an earlier Store has left on the disk.
func (j *Journal) Keep(entries []Entry) (found map[string]bool, err error) {
	j.wroteAt = time.Time{}
	err = j.Store(entries)
	there := entries
	if j.f == nil {
		c, late := j.Load()
		there, err = c.Entries, errors.Join(err, late)
	}
	found = make(map[string]bool, len(there))
	for _, e := range there {
		if _, ok := j.live[e.Key]; e.Slot != nil && (ok || j.f == nil) {
			found[e.Key] = true
		}
	}
	return found, err
}

// encode returns the digests of the entries by key, and the entries that are new or changed. One past a limit is left out.
func (j *Journal) encode(entries []Entry) (next map[string]digest, put []Entry, full error) {
	next = make(map[string]digest, len(entries))
	total := 0
	var text bytes.Buffer // of one entry after the other
	for _, e := range entries {
		text.Reset()
		err := json.NewEncoder(&text).Encode(e)
		b := text.Bytes()
		if err == nil && (len(b) > maxEntry || total+len(b) > maxLive) {
			err = ErrFull
		}
		if err != nil {
			full = errors.Join(full, fmt.Errorf("entry %s of %d bytes: %w", e.Key, len(b), err))
			continue
		}
		total += len(b) + frameBytes
		sum := sha256.Sum256(b)
		next[e.Key] = sum
		if old, ok := j.live[e.Key]; !ok || old != sum {
			put = append(put, e)
		}
	}
	return next, put, full
}

// append adds a frame to the file.
func (j *Journal) append(b []byte, next map[string]digest, now time.Time) error {
	_, err := j.f.WriteAt(b, j.end)
	if err == nil {
		err = j.f.Datasync()
	}
	if err != nil {
		// The kernel may have dropped the pages after the error: this file is not to be trusted any more.
		j.abandon()
		return fmt.Errorf("journal: write %s: %w", j.path, err)
	}
	j.end += int64(len(b))
	j.live, j.wroteAt = next, now
	return nil
}

// rewrite puts a new file in the place of the old one.
func (j *Journal) rewrite(entries []Entry, next map[string]digest, now time.Time) error {
	b, err := appendFrame(header(), commit{Owner: j.owner, At: now})
	for _, e := range entries {
		if _, fits := next[e.Key]; fits && err == nil {
			b, err = appendFrame(b, commit{At: now, Put: []Entry{e}})
		}
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	size := max(minBytes, min(maxBytes, 4*int64(len(b))))
	j.abandon()
	temporary := j.path + ".new"
	f, err := j.write(temporary, b, size)
	if err == nil {
		if err = j.commitFile(temporary, j.path); err != nil {
			_ = f.Close() // the error that matters is there already
		}
	}
	if err != nil {
		_ = os.Remove(temporary) // it is written anew next time; on a full disk its space is somebody else's
		return fmt.Errorf("journal: new file %s: %w", j.path, err)
	}
	j.f, j.end, j.size, j.live, j.wroteAt = f, int64(len(b)), size, next, now
	return nil
}

// write makes a file of that size, zeros after b.
func (j *Journal) write(path string, b []byte, size int64) (file, error) {
	f, err := j.create(path)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(append(b, make([]byte, size-int64(len(b)))...), 0)
	if err == nil {
		err = f.Datasync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// abandon lets go of the file.
func (j *Journal) abandon() {
	if j.f != nil {
		_ = j.f.Close() // all that counts was synced before
	}
	j.f, j.live = nil, nil
}

// Has says that the entry with that key is on the disk as the last Store got it.
func (j *Journal) Has(key string) bool {
	_, ok := j.live[key]
	return ok
}

// Lock makes the path this process's until Close or its end, however it ends: the kernel lets go with the process. The
// error is ErrHeld when another process has it; any other error says that no lock can be had there at all.
func (j *Journal) Lock() error {
	path := j.path + ".lock"
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%w: %s", ErrHeld, j.path)
		}
		return fmt.Errorf("journal: lock %s: %w", path, err)
	}
	j.lock = f
	return nil
}

// Close lets go of the file and of the lock; what was stored stays.
func (j *Journal) Close() {
	j.abandon()
	if j.lock != nil {
		j.lock.Close()
		j.lock = nil
	}
}

// diskFile is a file of the kernel.
type diskFile struct{ *os.File }

var _ file = (*diskFile)(nil)

// Datasync implements file. The length of the file does not change after its first sync, so fdatasync is enough.
func (f *diskFile) Datasync() error { return unix.Fdatasync(int(f.Fd())) }

func createFile(path string) (file, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	// Who called whom is nobody else's business.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &diskFile{f}, nil
}

// renameDurably renames and syncs the folder, so that the new name outlives a power cut.
func renameDurably(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
