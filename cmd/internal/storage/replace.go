package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Unfinished is before the name of a file that Replace has not finished.
const Unfinished = ".new-"

// Replace writes a file whole or not at all: who reads it, after a power cut too, finds the old one or the new one, and the
// new one once Replace has returned nil. Until it is complete it lies beside the old one, Unfinished before its name; what a
// power cut leaves there is overwritten the next time. A path has one writer at a time.
func Replace(path string, data []byte, mode fs.FileMode) error {
	err := replace(path, data, mode, func() error { return nil })
	if err != nil { // a full disk must not become fuller
		_ = os.Remove(unfinished(path))
	}
	return err
}

func unfinished(path string) string {
	return filepath.Join(filepath.Dir(path), Unfinished+filepath.Base(path))
}

// replace calls cut before each change of the disk; a test lets the power fail there.
func replace(path string, data []byte, mode fs.FileMode, cut func() error) error {
	next := unfinished(path)
	var f *os.File
	var err error
	step := func(change func() error) {
		if err == nil {
			err = cut()
		}
		if err == nil {
			err = change()
		}
	}
	step(func() error {
		if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	step(func() (err error) {
		f, err = os.OpenFile(next, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		return err
	})
	step(func() error { _, err := f.Write(data); return err })
	step(func() error { return errors.Join(f.Chmod(mode), f.Sync()) }) // the mode, whatever the umask
	if f != nil {
		err = errors.Join(err, f.Close())
	}
	step(func() error { return os.Rename(next, path) })
	step(func() error { return SyncFolder(filepath.Dir(path)) })
	return err
}

// SyncFolder makes the names in a folder outlive a power cut.
func SyncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) { // a file system of another kind of computer, shared with this one
		err = nil
	}
	return errors.Join(err, d.Close())
}
