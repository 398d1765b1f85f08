package provision

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"parklamp/cmd/internal/storage"
)

// Claim claims all that Import has written in a folder. Under the names of a set's files only Import's own links are right, and
// among the sets only folders of plain files and a link to one of them. Links that the set in force lacks are made anew.
func Claim(c *storage.Claim, to string) {
	for _, e := range entries(c, to) {
		path, name := filepath.Join(to, e), e
		if fresh, ok := strings.CutPrefix(e, freshPrefix); ok { // an import was cut off
			name = strings.TrimSuffix(fresh, freshSuffix)
		}
		if slices.Contains(names, name) || secretName.MatchString(name) {
			c.Link(path, linkTo(name))
		}
	}
	sets := filepath.Join(to, setsFolder)
	if !c.Folder(sets, 0o750) {
		return
	}
	for _, e := range entries(c, sets) {
		path := filepath.Join(sets, e)
		if e != currentLink && e != newLink {
			if c.Folder(path, 0o750) {
				for _, file := range entries(c, path) {
					c.File(filepath.Join(path, file), 0o640)
				}
			}
		} else if set, err := os.Readlink(path); err == nil && filepath.IsLocal(set) && !strings.Contains(set, "/") {
			c.Link(path, set)
		} else {
			c.Remove(path)
		}
	}
	s := store{dir: to}
	c.Err = errors.Join(c.Err, s.link(s.current()))
}

// entries are the names in a folder, none if it is not there.
func entries(c *storage.Claim, dir string) (all []string) {
	found, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.Err = errors.Join(c.Err, err)
	}
	for _, e := range found {
		all = append(all, e.Name())
	}
	return all
}
