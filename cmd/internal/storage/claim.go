package storage

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Claim gives files and folders to the user whose they must be. Somebody else may have had them until now, and have put a link,
// a pipe or another file's second name in their place: nothing is followed and nothing is opened, and what is not of its kind is
// removed. Nobody else who may write there runs meanwhile.
type Claim struct {
	UID, GID int
	Removed  []string // paths of what was not of its kind
	Err      error    // what could not be done
}

// claimedMode is every bit that chmod(2) sets.
const claimedMode = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// Folder claims a folder, not what is in it, and says whether there is one.
func (c *Claim) Folder(path string, mode fs.FileMode) bool {
	return c.take(path, mode, func(info fs.FileInfo, _ *syscall.Stat_t) bool { return info.IsDir() })
}

// File claims a plain file and says whether there is one. A second name makes it another file's, unless the user has it already:
// then it is only a name, which anybody may have given it.
func (c *Claim) File(path string, mode fs.FileMode) bool {
	return c.take(path, mode, func(info fs.FileInfo, st *syscall.Stat_t) bool {
		return info.Mode().IsRegular() && (st.Nlink == 1 || int(st.Uid) == c.UID)
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
	c.Removed = append(c.Removed, path)
	c.Err = errors.Join(c.Err, os.RemoveAll(path))
}

func (c *Claim) take(path string, mode fs.FileMode, right func(fs.FileInfo, *syscall.Stat_t) bool) bool {
	info, err := os.Lstat(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.Err = errors.Join(c.Err, err)
		}
		return false
	}
	st := info.Sys().(*syscall.Stat_t) // of every file on Linux
	if !right(info, st) {
		c.Remove(path)
		return false
	}
	// What is right already is not written: a worn card may take nothing any more.
	if int(st.Uid) != c.UID || int(st.Gid) != c.GID {
		err = os.Lchown(path, c.UID, c.GID)
	}
	if info.Mode()&fs.ModeSymlink == 0 && info.Mode()&claimedMode != mode {
		err = errors.Join(err, os.Chmod(path, mode)) // after the owner, whose change takes bits away
	}
	c.Err = errors.Join(c.Err, err)
	return err == nil
}
