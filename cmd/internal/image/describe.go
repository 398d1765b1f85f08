package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"parklamp/cmd/internal/update"
)

// The limits of the footprint, in bytes: what one slot holds (all that runs, and what an update carries), and the firmware.
const (
	maxSlotBytes   = 40_000_000
	maxPhonedBytes = 16 << 20
)

// errTooLarge says that an image is larger than the footprint allows.
var errTooLarge = errors.New("larger than the footprint allows")

// File is one file of an image.
type File struct {
	Name   string `json:"name"` // relative to the folder of image.json
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Package is something that came from outside, in the version that is in the image.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Image is the content of image.json.
type Image struct {
	Board           string    `json:"board"` // the image's name: BOARD= of `make image`
	Engine          string    `json:"engine"`
	Version         string    `json:"version"`
	UpdateKey       string    `json:"update_key,omitempty"` // in the image, as update.pub has it; a site's own counts more
	SlotBytes       int64     `json:"slot_bytes"`           // slot.img, which an update writes
	SlotFilesBytes  int64     `json:"slot_files_bytes"`     // what is in it: kernel, device trees, root
	CompressedBytes int64     `json:"compressed_bytes"`     // the card as card.img.zst
	PhonedBytes     int64     `json:"phoned_bytes"`
	Files           []File    `json:"files"`
	Packages        []Package `json:"packages"`
}

// describe writes image.json for the image in dir and fails if it is larger than the footprint allows.
func describe(dir, board, engine string) error {
	image := Image{Board: board, Engine: engine}
	version, err := os.ReadFile(filepath.Join(dir, "build/target/etc/parklamp/version"))
	if err != nil {
		return err
	}
	image.Version = strings.TrimSpace(string(version))
	keys, err := update.ReadKeys(filepath.Join(dir, "build/target/etc/parklamp/update.pub"))
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		image.UpdateKey = update.ShowKey(keys[0])
	}
	if image.Packages, err = packages(filepath.Join(dir, "build/packages.list")); err != nil {
		return err
	}
	for _, top := range []string{"card.img", "card.img.zst", "slot.img", "u-boot.bin", "boot", "slot"} {
		if err := image.add(dir, top); err != nil {
			return err
		}
	}
	if image.PhonedBytes, err = size(filepath.Join(dir, "build/target/usr/bin/phoned")); err != nil {
		return err
	}
	text, err := json.MarshalIndent(image, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "image.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return image.check()
}

// check compares the image with the footprint's limits.
func (i *Image) check() error {
	if i.SlotBytes == 0 || i.SlotFilesBytes == 0 || i.PhonedBytes == 0 {
		return errors.New("the image has no slot.img, no files in it or no phoned")
	}
	for _, part := range []struct {
		name       string
		bytes, max int64
	}{
		{"slot.img", i.SlotBytes, maxSlotBytes},
		{"card.img.zst", i.CompressedBytes, maxSlotBytes},
		{"phoned", i.PhonedBytes, maxPhonedBytes},
	} {
		if part.bytes > part.max {
			return fmt.Errorf("%s has %d bytes, %d are allowed: %w", part.name, part.bytes, part.max, errTooLarge)
		}
	}
	return nil
}

// add notes a file, or the files of a folder, if it is there: not every board has every one.
func (i *Image) add(dir, top string) error {
	return filepath.WalkDir(filepath.Join(dir, top), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := hash(path)
		if err != nil {
			return err
		}
		if file.Name, err = filepath.Rel(dir, path); err != nil {
			return err
		}
		switch {
		case file.Name == "slot.img":
			i.SlotBytes = file.Bytes
		case file.Name == "card.img.zst":
			i.CompressedBytes = file.Bytes
		case top == "slot":
			i.SlotFilesBytes += file.Bytes
		}
		i.Files = append(i.Files, file)
		return nil
	})
}

// hash reads a file once for its size and sum.
func hash(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", path, err)
	}
	return File{Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

func size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// packages reads lines of "name version". Without the file there are none: Buildroot lists its packages itself (legal-info).
func packages(path string) ([]Package, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return []Package{}, nil
	}
	if err != nil {
		return nil, err
	}
	list := []Package{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, version, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			return nil, fmt.Errorf("%s: %q is not a name and a version", path, lines.Text())
		}
		list = append(list, Package{Name: name, Version: version})
	}
	return list, lines.Err()
}
