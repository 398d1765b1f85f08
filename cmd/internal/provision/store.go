package provision

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"parklamp/cmd/internal/storage"
)

// Where Import keeps sets below the folder that it is given.
const (
	setsFolder  = "provision" // a folder for each set; during an import there are two
	currentLink = "current"   // symbolic link to the set in force: renaming it switches all files at once
	newLink     = "current.new"
	// The name of a link until it takes the place of the one before.
	freshPrefix, freshSuffix = ".", ".new"
)

// Result says what Import did.
type Result struct {
	Set      *Set // the set in force
	Imported bool // it is another one than before
	// Renamed is the id of the appliance that this one was until now, if it was another.
	Renamed string
	// KeyLeft: the source still holds the private key or other secrets, which RemoveKey removes.
	KeyLeft bool
}

// Import makes these files, which came from where errors say, the set in force in the folder to, unless they are already. Each file F
// of it is then reached as to/F, a link. An error leaves the set in force as it was; so does a power cut, or the new one is in force.
// A set whose secrets were removed after an earlier import takes those that were imported.
func (f Files) Import(where, to string, o Options) (Result, error) {
	s := store{dir: to, o: o}
	return s.take(f, where)
}

func (s *store) take(f Files, where string) (Result, error) {
	r := Result{KeyLeft: slices.ContainsFunc(f.sorted(), isSecret)}
	held := s.current()
	f = maps.Clone(f)
	for name, data := range held {
		// What the configuration no longer names is forgotten.
		wanted := name == KeyFile && f[CertificateFile] != nil || bytes.Contains(f[PhonedFile], []byte(name))
		if f[name] == nil && isSecret(name) && wanted {
			f[name] = data
		}
	}
	most, same := maxFile, held != nil && maps.EqualFunc(held, f, bytes.Equal)
	if same {
		most = maxHeld
	}
	set, err := f.check(where, s.o, most)
	if err != nil {
		return Result{}, err
	}
	r.Set = set
	if same {
		return r, s.finish(f)
	}
	if old, err := held.check(s.dir, Options{}, maxHeld); err == nil && old.Identity.ID != set.Identity.ID {
		r.Renamed = old.Identity.ID
	}
	r.Imported = true
	return r, s.put(set)
}

// Current is the set in force in a folder that Import wrote; ErrNone if there is none.
func Current(to string, o Options) (*Set, error) {
	dir := filepath.Join(to, setsFolder, currentLink)
	f, err := ReadDir(dir)
	if err != nil {
		return nil, err
	}
	return f.check(dir, o, maxHeld)
}

// store is the folder that sets are kept in.
type store struct {
	dir string
	o   Options
	cut func() error // before each change of the disk; a test lets the power fail there
}

// current is the set in force as far as it can be read; nil for none.
func (s *store) current() Files {
	f, err := ReadDir(filepath.Join(s.dir, setsFolder, currentLink))
	if err != nil {
		return nil // none, or the card has lost it: then it is imported anew
	}
	return f
}

// put writes a set and switches to it. What an import that failed has written is taken away again: a full disk must not
// become fuller at each start.
func (s *store) put(set *Set) error {
	sets := filepath.Join(s.dir, setsFolder)
	if err := s.do(func() error { return os.MkdirAll(sets, 0o750) }); err != nil {
		return err
	}
	if err := s.prepare(sets, set); err != nil {
		return errors.Join(err, s.sweep(sets))
	}
	if err := s.do(func() error { return os.Rename(filepath.Join(sets, newLink), filepath.Join(sets, currentLink)) }); err != nil {
		return errors.Join(fmt.Errorf("switch to the new set: %w", err), s.sweep(sets))
	}
	if err := s.do(func() error { return storage.SyncFolder(sets) }); err != nil { // which set a power cut would leave is not known: both stay
		return fmt.Errorf("switch to the new set: %w", err)
	}
	return s.tidy(set.files)
}

// prepare does everything before the switch.
func (s *store) prepare(sets string, set *Set) error {
	dir, err := s.write(sets, set)
	if err != nil {
		return fmt.Errorf("write the set: %w", err)
	}
	// The links come first: until the switch, one to a file that the old set lacks leads nowhere, as if it were not there.
	if err := s.link(set.files); err != nil {
		return err
	}
	fresh := filepath.Join(sets, newLink)
	if err := s.do(func() error { return errors.Join(removeIfThere(fresh), os.Symlink(filepath.Base(dir), fresh)) }); err != nil {
		return fmt.Errorf("switch to the new set: %w", err)
	}
	return nil
}

// finish does what a power cut may have left undone after the switch.
func (s *store) finish(f Files) error {
	if err := s.link(f); err != nil {
		return err
	}
	return s.tidy(f)
}

// write writes a set into a new folder, so that all of it lasts, and returns the folder.
func (s *store) write(sets string, set *Set) (string, error) {
	if s.cut != nil {
		if err := s.cut(); err != nil {
			return "", err
		}
	}
	dir, err := os.MkdirTemp(sets, set.Hash[:16]+"-")
	if err != nil {
		return "", err
	}
	for _, name := range set.files.sorted() {
		data, mode := set.files[name], fs.FileMode(0o640)
		if isSecret(name) && s.o.Group == 0 {
			mode = 0o600
		}
		if err := s.do(func() error { return s.writeFile(filepath.Join(dir, name), data, mode) }); err != nil {
			return "", err
		}
	}
	return dir, s.do(func() error {
		return errors.Join(os.Chmod(dir, 0o750), s.share(dir), storage.SyncFolder(dir), s.share(sets), storage.SyncFolder(sets))
	})
}

func (s *store) writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(mode), s.share(path), f.Sync(), f.Close())
}

// share lets the group have what its mode says.
func (s *store) share(path string) error {
	if s.o.Group == 0 {
		return nil
	}
	return os.Lchown(path, -1, s.o.Group)
}

// link makes to/F lead to the set in force for every file of the set.
func (s *store) link(f Files) error {
	changed := false
	for _, name := range f.sorted() {
		path, to := filepath.Join(s.dir, name), linkTo(name)
		if at, err := os.Readlink(path); err == nil && at == to {
			continue
		}
		fresh := filepath.Join(s.dir, freshPrefix+name+freshSuffix)
		err := s.do(func() error { return errors.Join(removeIfThere(fresh), os.Symlink(to, fresh)) })
		if err == nil {
			err = s.do(func() error { return os.Rename(fresh, path) })
		}
		if err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return s.do(func() error { return storage.SyncFolder(s.dir) })
}

func linkTo(name string) string { return filepath.Join(setsFolder, currentLink, name) }

// tidy removes the sets that are not in force, and links to files that the set in force lacks.
func (s *store) tidy(f Files) error {
	links, err := storage.Names(s.dir, 2*maxEntries)
	if err != nil {
		return err
	}
	for _, name := range links {
		path := filepath.Join(s.dir, name)
		if at, err := os.Readlink(path); f[name] == nil && err == nil && at == linkTo(name) {
			if err := s.do(func() error { return os.Remove(path) }); err != nil {
				return err
			}
		}
	}
	return s.sweep(filepath.Join(s.dir, setsFolder))
}

// sweep removes what is not in force.
func (s *store) sweep(sets string) error {
	keep, err := os.Readlink(filepath.Join(sets, currentLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(sets)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == keep || e.Name() == currentLink {
			continue
		}
		old := filepath.Join(sets, e.Name())
		err := s.do(func() error {
			if !e.IsDir() { // a link from an import that was cut off
				return os.Remove(old)
			}
			return errors.Join(removeSecrets(old), os.RemoveAll(old))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// do carries out one change of the disk, unless the power has failed.
func (s *store) do(change func() error) error {
	if s.cut != nil {
		if err := s.cut(); err != nil {
			return err
		}
	}
	return change()
}

// RemoveKey removes the private key and other secrets from a folder that Import has read, such as the boot partition,
// which anybody can read who takes the card out. They are overwritten first; flash memory may keep old blocks all the same.
func RemoveKey(dir string) error {
	if err := removeSecrets(dir); err != nil {
		return err
	}
	return storage.SyncFolder(dir)
}

func removeSecrets(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if isSecret(strings.ToLower(e.Name())) {
			if err := wipe(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// wipe overwrites and removes a file.
func wipe(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, min(info.Size(), maxHeld)))
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Remove(path)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
