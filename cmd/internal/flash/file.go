package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// plain is a file that is there or can be made.
func (m machine) plain(path, abs string) (disk, error) {
	d := disk{path: path, name: filepath.Base(path), real: m.at(abs), file: true}
	info, err := os.Stat(m.at(abs))
	if err == nil {
		d.size = info.Size()
		d.real, err = filepath.EvalSymlinks(m.at(abs))
		return d, err
	}
	if _, err := os.Lstat(m.at(abs)); err == nil {
		return disk{}, fmt.Errorf("%s is a link to a file that is not there: name the file", path)
	}
	return d, nil
}

// refuseFile says why a file must not be overwritten. Nobody is asked about one, so that it must be a card's image: one that
// is, or a new or empty one that is called so.
func (m machine) refuseFile(d disk, image *os.File) error {
	f, err := os.Open(d.real)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(m.refuseName(d), writable(filepath.Dir(d.real)))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writable(d.real); err != nil {
		return err
	}
	there, err := f.Stat()
	if err != nil {
		return err
	}
	from, err := image.Stat()
	if err != nil {
		return err
	}
	if os.SameFile(there, from) {
		return fmt.Errorf("%s is the image that the card is made from: name another file", d.path)
	}
	if _, _, err := bootPartition(f, there.Size()); err == nil {
		return nil
	}
	// One that was not written to its end has no partition table.
	head := make([]byte, min(headSize, there.Size()))
	if _, err := io.ReadFull(f, head); err != nil {
		return err
	}
	for _, b := range head {
		if b != 0 {
			return fmt.Errorf("%s holds something else than the image of a card: name another file, or remove it first", d.path)
		}
	}
	return m.refuseName(d)
}

// writable says why a file cannot be written, or be made in a folder.
func writable(path string) error {
	if err := unix.Access(path, unix.W_OK); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// refuseName wants a new file to look like one: DEV=sdb is a disk whose folder was forgotten.
func (m machine) refuseName(d disk) error {
	if filepath.Ext(d.name) == ".img" {
		return nil
	}
	if _, err := os.Stat(m.at("/sys/class/block/" + d.name)); err == nil {
		return fmt.Errorf("%s is no path of a disk: name it with its folder, /dev/%s", d.path, d.name)
	}
	return fmt.Errorf("%s: the name of a new file must end in .img, such as %s.img; a disk is named like /dev/sdb (lsblk lists them)", d.path, d.name)
}
