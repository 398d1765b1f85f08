package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"parklamp/cmd/internal/mbr"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/update"
)

// card is what is to be on the card: the image, with another boot partition if the appliance has an identity.
type card struct {
	image  *os.File
	size   int64
	boot   []byte // in place of the image's at bootAt; nil: none
	bootAt int64
	// imageKey is the key for updates that the image has, siteKey that of the appliance's set, which counts more.
	imageKey, siteKey string
	version           string // of the image with its date; empty: not known
}

// openCard opens an image and, if image.json beside it has its hash, compares.
func openCard(path string) (*card, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		folder := filepath.Dir(path)
		if filepath.Base(path) != cardFile || filepath.Base(filepath.Dir(folder)) != "image" {
			return nil, fmt.Errorf("there is no %s", path)
		}
		return nil, fmt.Errorf("there is no %s; 'make image BOARD=%s' makes it", path, filepath.Base(folder))
	}
	if err != nil {
		return nil, err
	}
	c := &card{image: f}
	if c.size, err = f.Seek(0, io.SeekEnd); err == nil {
		c.imageKey, c.version, err = checkImage(path, f)
	}
	if err == nil {
		_, _, err = bootPartition(f, c.size)
	}
	if err == nil {
		err = whole(f, c.size)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// checkImage compares an image with what its maker wrote down, and returns its key for updates and its version.
func checkImage(path string, f *os.File) (key, version string, err error) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "image.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	var facts struct {
		Version string
		Key     string `json:"update_key"`
		Files   []struct{ Name, SHA256 string }
	}
	if err := json.Unmarshal(text, &facts); err != nil {
		return "", "", fmt.Errorf("image.json: %w", err)
	}
	for _, file := range facts.Files {
		if file.Name != filepath.Base(path) {
			continue
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62)); err != nil {
			return "", "", err
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != file.SHA256 {
			return "", "", errors.New("is not what image.json says (SHA-256): make the image again")
		}
		version = facts.Version
	}
	return facts.Key, version, nil
}

// whole refuses an image that was cut off: a card of it would start, and have no second system and no place for data.
func whole(image io.ReaderAt, length int64) error {
	sector := make([]byte, mbr.SectorSize)
	if _, err := image.ReadAt(sector, 0); err != nil {
		return err
	}
	table, err := mbr.Parse(sector)
	if err != nil {
		return err
	}
	for i, p := range table.Partitions {
		if end := p.Start + p.Size; end > length {
			return fmt.Errorf("is cut off: partition %d ends at %s, the file at %s; copy or make the image again", i+1, bytesText(end), bytesText(length))
		}
	}
	return nil
}

// bootPartition is where the first partition of an image of so many bytes lies, by the MBR. Bytes.
func bootPartition(image io.ReaderAt, length int64) (at, size int64, err error) {
	sector := make([]byte, mbr.SectorSize)
	if _, err := image.ReadAt(sector, 0); err != nil {
		return 0, 0, fmt.Errorf("is no image of a card: %w", err)
	}
	table, err := mbr.Parse(sector)
	boot := table.Partitions[0]
	isFAT := slices.Contains([]byte{0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e}, boot.Type)
	if err != nil || !isFAT || boot.Start == 0 || boot.Size == 0 || boot.Start+boot.Size > length {
		return 0, 0, errors.New("is no image of a card: no boot partition at its begin")
	}
	return boot.Start, boot.Size, nil
}

// provision puts an appliance's set into the boot partition, with mtools: they are in every distribution, keep the FAT that
// genimage's made, and need neither mount nor root. It works on a copy: the card gets the result in one pass with the rest.
func (c *card) provision(ctx context.Context, from string) error {
	files, err := provision.ReadDir(from)
	if err != nil {
		return err
	}
	if keys := update.ParseKeys(files[provision.UpdateFile]); len(keys) > 0 {
		c.siteKey = update.ShowKey(keys[0])
	}
	at, size, err := bootPartition(c.image, c.size)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "parklamp-flash-") // mode 0700: there are keys in it
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	boot := make([]byte, size)
	if _, err := c.image.ReadAt(boot, at); err != nil {
		return err
	}
	path := filepath.Join(dir, "boot.img")
	if err := os.WriteFile(path, boot, 0o600); err != nil {
		return err
	}
	if _, err := mtool(ctx, "mdir", "-i", path, "::/"+provision.Folder); err != nil {
		if _, err := mtool(ctx, "mmd", "-i", path, "::/"+provision.Folder); err != nil {
			return err
		}
	}
	for name, data := range files {
		plain := filepath.Join(dir, name)
		if err := os.WriteFile(plain, data, 0o600); err != nil {
			return err
		}
		to := "::/" + provision.Folder + "/" + name
		if _, err := mtool(ctx, "mcopy", "-o", "-i", path, plain, to); err != nil {
			return err
		}
		if back, err := mtool(ctx, "mtype", "-i", path, to); err != nil || !bytes.Equal(back, data) {
			return fmt.Errorf("%s reads back otherwise from the boot partition: %w", name, err)
		}
	}
	if c.boot, err = os.ReadFile(path); err != nil {
		return err
	}
	if int64(len(c.boot)) != size {
		return fmt.Errorf("the boot partition became %d bytes long instead of %d", len(c.boot), size)
	}
	c.bootAt = at
	return nil
}

// updates says whose updates the appliance will take.
func (c *card) updates() string {
	switch {
	case c.siteKey == "" && c.imageKey == "":
		return "It takes no updates until it has the files of a site.\n"
	case c.siteKey == "":
		return "It takes the updates that the key of the image has signed, " + c.imageKey + ".\n"
	case c.imageKey != "" && c.imageKey != c.siteKey:
		return "The image has another key for updates than the site, " + c.imageKey + ": the appliance takes those of the site alone.\n"
	}
	return ""
}

// mtool runs one of the mtools.
func mtool(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s is not installed: sudo apt-get install mtools", args[0])
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// ReadAt reads what is to be on the card.
func (c *card) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.image.ReadAt(p, off)
	begin, end := max(off, c.bootAt), min(off+int64(n), c.bootAt+int64(len(c.boot)))
	if begin < end {
		copy(p[begin-off:end-off], c.boot[begin-c.bootAt:])
	}
	return n, err
}

func (c *card) Close() error { return c.image.Close() }
