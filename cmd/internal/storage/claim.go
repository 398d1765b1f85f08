package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Claim gives files and folders to the user whose they must be. Somebody else may have had them until now, and have put a link,
// a pipe or another file's second name in their place: nothing is followed and nothing is opened, and what is not of its kind is
// removed. Nobody else who may write there runs meanwhile. It takes a few system calls for each path, whatever is there.
//
// What cannot be looked at is left, and is not there for who asks. So is what is of its kind and another's on a card that takes no
// writes: he can change it no more than anybody.
type Claim struct {
	UID, GID int
	From     int                               // the user who may have had them
	Aside    string                            // how the names begin that folders get, if something is in them, instead of being removed; Empty does that
	Look     func(string) (fs.FileInfo, error) // os.Lstat if nil; a test lets the card fail
	Removed  []string                          // paths of what was not of its kind
	Left     []error                           // why something was left as it is
	Err      error                             // what could not be done, and must be
}

// claimedMode is every bit that chmod(2) sets.
const claimedMode = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// Folder claims a folder, not what is in it, and says whether there is one.
func (c *Claim) Folder(path string, mode fs.FileMode) bool {
	return c.take(path, mode, func(info fs.FileInfo, _ *syscall.Stat_t) bool { return info.IsDir() })
}

// File claims a plain file and says whether there is one. With other names it may be another file, which claiming would open to
// the group: only one of From's, or one that has its mode already, is not.
func (c *Claim) File(path string, mode fs.FileMode) bool {
	return c.take(path, mode, func(info fs.FileInfo, st *syscall.Stat_t) bool {
		open := int(st.Uid) == c.UID && info.Mode() == mode && (int(st.Gid) == c.GID || mode&0o004 != 0)
		return info.Mode().IsRegular() && (st.Nlink == 1 || int(st.Uid) == c.From || open)
	})
}

// Link claims a symbolic link that leads where it must, and says whether there is one.
func (c *Claim) Link(path, to string) bool {
	return c.take(path, 0o777, func(fs.FileInfo, *syscall.Stat_t) bool {
		at, err := os.Readlink(path)
		return err == nil && at == to
	})
}

// Remove removes whatever is there.
func (c *Claim) Remove(path string) {
	c.take(path, 0, func(fs.FileInfo, *syscall.Stat_t) bool { return false })
}

// remove removes what is at a path. A folder that is not empty, which may be as wide and deep as a disk allows, becomes the
// process's own and gets another name instead.
func remove(path, aside string) error {
	err := os.Remove(path)
	if !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	if err := errors.Join(os.Lchown(path, os.Geteuid(), os.Getegid()), os.Chmod(path, 0o700)); err != nil {
		return err
	}
	return os.Rename(path, fmt.Sprintf("%s%016x", aside, rand.Uint64()))
}

// Empty removes what Remove has put aside, about so many files at one time, and does not descend: a folder in one comes to lie
// beside it.
func Empty(aside string, most int) error {
	parent, prefix := filepath.Split(aside)
	for most > 0 {
		names, err := Names(parent, most)
		at := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, prefix) })
		if at < 0 || err != nil {
			return err
		}
		path := filepath.Join(parent, names[at])
		inside, err := Names(path, most+1)
		for _, file := range inside[:min(len(inside), most)] {
			err = errors.Join(err, remove(filepath.Join(path, file), aside))
		}
		if len(inside) <= most { // else there is more in it
			err = errors.Join(err, os.Remove(path))
		}
		most -= 1 + len(inside)
		if err != nil {
			return err
		}
	}
	return nil
}

// Names are the names in a folder, most of them at most. With an error they are those before it.
func Names(folder string, most int) ([]string, error) {
	f, err := os.OpenFile(folder, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(most)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}

func (c *Claim) take(path string, mode fs.FileMode, right func(fs.FileInfo, *syscall.Stat_t) bool) bool {
	look := os.Lstat
	if c.Look != nil {
		look = c.Look
	}
	info, err := look(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.Left = append(c.Left, err)
		}
		return false
	}
	st := info.Sys().(*syscall.Stat_t) // of every file on Linux
	if !right(info, st) {
		c.Removed = append(c.Removed, path)
		c.Err = errors.Join(c.Err, remove(path, c.Aside))
		return false
	}
	// What is right already is not written: a worn card may take nothing any more.
	if int(st.Uid) != c.UID || int(st.Gid) != c.GID {
		err = os.Lchown(path, c.UID, c.GID)
	}
	if info.Mode()&fs.ModeSymlink == 0 && info.Mode()&claimedMode != mode {
		err = errors.Join(err, os.Chmod(path, mode)) // after the owner, whose change takes bits away
	}
	if errors.Is(err, unix.EROFS) {
		c.Left, err = append(c.Left, err), nil
	}
	c.Err = errors.Join(c.Err, err)
	return err == nil
}
