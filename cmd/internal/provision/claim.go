package provision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/storage"
)

// maxSets bounds what is in the folder of the sets: two links, the set in force, and what imports that were cut off have left.
const maxSets = 16

// known says whether a file may be in a set.
func known(name string) bool { return slices.Contains(names, name) || secretName.MatchString(name) }

// Claim claims all that Import has written in a folder. Under the names of a set's files only Import's own links are right, and
// among the sets only folders of a set's plain files and a link to one of them. Links that the set in force lacks are made anew.
// What Import may have written has not many files: in a folder that has more, nobody looks further.
func Claim(c *storage.Claim, to string) {
	s := store{dir: to, o: Options{Group: c.GID}}
	s.claim(c)
}

func (s *store) claim(c *storage.Claim) {
	to := s.dir
	c.Remove(s.freshSets()) // a rescue was cut off
	links := listed(c, to, 2*maxEntries)
	for _, name := range names {
		links = append(links, freshPrefix+name+freshSuffix)
	}
	for _, e := range unique(links, names...) {
		name := e
		if fresh, ok := strings.CutPrefix(e, freshPrefix); ok { // an import was cut off
			name = strings.TrimSuffix(fresh, freshSuffix)
		}
		if known(name) {
			c.Link(filepath.Join(to, e), linkTo(name))
		}
	}
	if sets := filepath.Join(to, setsFolder); c.Folder(sets, 0o750) {
		s.claimSets(c, sets)
		left(c, s.link(s.current()))
	}
}

func (s *store) claimSets(c *storage.Claim, sets string) {
	all := listed(c, sets, maxSets)
	crowded, inForce := len(all) > maxSets, ""
	for _, name := range []string{currentLink, newLink} {
		path := filepath.Join(sets, name)
		if set, err := os.Readlink(path); err == nil && (!filepath.IsLocal(set) || set == "." || strings.Contains(set, "/")) {
			c.Remove(path)
		} else if c.Link(path, set) && name == currentLink {
			inForce = set
			all = append(all, set)
		}
	}
	for _, set := range unique(all) {
		path := filepath.Join(sets, set)
		if set == currentLink || set == newLink || !c.Folder(path, 0o750) {
			continue
		}
		files := listed(c, path, maxEntries)
		for _, file := range unique(files, names...) {
			if file := filepath.Join(path, file); known(filepath.Base(file)) {
				c.File(file, 0o640)
			} else {
				c.Remove(file)
			}
		}
		if len(files) > maxEntries && set != inForce {
			c.Remove(path)
		}
		crowded = crowded || len(files) > maxEntries && set == inForce
	}
	if crowded {
		s.rescue(c, sets, inForce)
	}
}

// freshSets is a folder of sets until it takes the place of the one before.
func (s *store) freshSets() string { return filepath.Join(s.dir, freshPrefix+setsFolder+freshSuffix) }

// rescue writes the set in force anew, out of a folder that somebody has filled: all of it that has a name which is known. The
// folder of the sets is exchanged for one that has nothing else: the power may fail at any time. What cannot be written leaves the
// old one, which nobody has looked through: that is an error.
func (s *store) rescue(c *storage.Claim, sets, inForce string) {
	f, dir := Files{}, filepath.Join(sets, inForce)
	read := func(name string) {
		path := filepath.Join(dir, name)
		if f[name] != nil || inForce == "" || !c.File(path, 0o640) {
			return
		}
		data, err := f.readFile(path)
		if err == nil {
			f[name] = data
		}
		left(c, err)
	}
	for _, name := range names {
		read(name)
	}
	for _, name := range secretIn.FindAllString(string(f[PhonedFile]), maxEntries) {
		read(name)
	}
	switch {
	case len(f) == 0:
		c.Remove(sets)
	case c.Err == nil:
		if err := s.replace(sets, &Set{Hash: f.hash(), files: f}); err != nil {
			c.Err = fmt.Errorf("write the set in force anew: %w", err)
			return
		}
		c.Remove(s.freshSets()) // the old one, by now
	}
}

// replace exchanges the folder of the sets for one that has this set in force and nothing else.
func (s *store) replace(sets string, set *Set) error {
	fresh := s.freshSets()
	if err := s.do(func() error { return os.Mkdir(fresh, 0o750) }); err != nil {
		return err
	}
	dir, err := s.write(fresh, set)
	if err == nil {
		err = s.do(func() error {
			return errors.Join(os.Symlink(filepath.Base(dir), filepath.Join(fresh, currentLink)), storage.SyncFolder(fresh))
		})
	}
	if err == nil {
		err = s.do(func() error { return unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, sets, unix.RENAME_EXCHANGE) })
	}
	if err != nil { // a full disk must not become fuller at each start
		return errors.Join(err, s.do(func() error { return os.RemoveAll(fresh) }))
	}
	return s.do(func() error { return storage.SyncFolder(s.dir) })
}

// left notes what could not be done, and need not be.
func left(c *storage.Claim, err error) {
	if err != nil {
		c.Left = append(c.Left, err)
	}
}

// listed are the names in a folder, one more than most if there are more than that.
func listed(c *storage.Claim, dir string, most int) []string {
	all, err := storage.Names(dir, most+1)
	left(c, err)
	return all
}

// unique are all names, each once.
func unique(all []string, more ...string) []string {
	all = slices.Concat(all, more)
	slices.Sort(all)
	return slices.Compact(all)
}
