// Package provision reads what makes a board this appliance and no other: identity, configuration and certificates, as
// `make flash` writes them to the folder parklamp/ of the boot partition, or as a server sends them. It checks all of it
// before any of it is used, and keeps it on the data partition so that a power cut leaves the old set or the new one. It is root's
// there, and who uses it reads it as a group; Claim makes it so where it was that user's.
//
//	identity.toml   site, id, name, number
//	phoned.toml     the whole configuration
//	site.crt        the site's authority, PEM        \
//	appliance.crt   this appliance's certificate, PEM | all three or none
//	appliance.key   its private key, PEM             /
//	board.toml      a board definition of its own, optional
//	network.toml    addresses, VLAN, time servers, optional
//	update.pub      the key that signs the site's updates, PEM, optional
//	secret-NAME     passwords and the like that phoned.toml names, optional
//
// It never logs and never puts the content of a key into an error, runs no program (it works inside PID 1) and starts
// no goroutine. The certificate names the appliance as RFC 5922 §7.1 has it.
package provision

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Folder is the folder of the boot partition.
const Folder = "parklamp"

// DataFolder is where an appliance keeps its set, and everything else that outlives a restart.
const DataFolder = "/data/parklamp"

// The files of a set.
const (
	IdentityFile    = "identity.toml"
	PhonedFile      = "phoned.toml"
	AuthorityFile   = "site.crt"
	CertificateFile = "appliance.crt"
	KeyFile         = "appliance.key"
	BoardFile       = "board.toml"
	NetworkFile     = "network.toml"
	UpdateFile      = "update.pub"
)

// SecretPrefix begins the name of a file that phoned.toml names and nobody else may read.
const SecretPrefix = "secret-"

// names are the files of a set besides secrets, in the order in which they are checked.
var names = []string{IdentityFile, PhonedFile, AuthorityFile, CertificateFile, KeyFile, BoardFile, NetworkFile, UpdateFile}

var (
	secretName = regexp.MustCompile(`^` + SecretPrefix + `[a-z0-9._-]{1,48}$`)
	secretIn   = regexp.MustCompile(SecretPrefix + `[a-z0-9._-]{1,48}`) // a configuration
)

// Secret is the file of a set for a secret of a name, in small letters; the error says why no set can have it.
func Secret(name string, data []byte) (file string, err error) {
	file = SecretPrefix + strings.ToLower(name)
	switch {
	case !secretName.MatchString(file):
		err = errors.New("want a name of 1 to 48 letters a-z, digits, dots, _ and -")
	case len(data) > maxFile:
		err = fmt.Errorf("has %d bytes: at most %d are allowed", len(data), maxFile)
	}
	return file, err
}

// isSecret says whether a file is removed from the boot partition once it has been imported.
func isSecret(name string) bool { return name == KeyFile || secretName.MatchString(name) }

// sorted is the names of the files that there are.
func (f Files) sorted() []string { return slices.Sorted(maps.Keys(f)) }

// maxFile bounds one file; a configuration for a site of 100 appliances has 20 KB. The time to read TOML grows with the square of its
// keys: the worst 64 KiB take 0.6 s on a PC, 256 KiB nearly 5.
const maxFile = 64 << 10

// maxHeld bounds one file of the set in force: earlier systems took as much, and an update must not cost an appliance its identity.
const maxHeld = 256 << 10

// maxSet bounds all files of a set together, which are in the memory of the first process at once.
const maxSet = 1 << 20

// maxEntries bounds what is looked at in a folder or an archive.
const maxEntries = 256

// ErrNone: there is no set where one was looked for.
var ErrNone = errors.New("not provisioned")

// Files is a set as it came, unchecked: the content of each file by name.
type Files map[string][]byte

// Set is a set that has been checked.
type Set struct {
	Identity Identity
	Hash     string    // of every file but the secret ones
	Expires  time.Time // end of the certificate; zero without one
	files    Files
}

// File is the content of a file, nil if the set has none of that name.
func (s *Set) File(name string) []byte { return s.files[name] }

// Options are what a caller adds.
type Options struct {
	// Check has by file name what else must hold of the file; its error names file, line, key, value and what is allowed.
	// Of phoned.toml, board.toml and network.toml nothing else is looked at than that they agree with the identity: their
	// packages know more, and not every program links them.
	Check map[string]func(name string, data []byte) error
	// Group may read what Import writes, secrets too; 0: only the process's own user may read those.
	Group int
}

// Read reads and checks a folder. The error lists everything that is wrong, a line each; it is ErrNone if the folder
// does not exist or has none of the files.
func Read(dir string, o Options) (*Set, error) {
	f, err := ReadDir(dir)
	if err != nil {
		return nil, err
	}
	return f.Check(dir, o)
}

// ReadDir reads a folder without checking the content, nor whether a file is too long for a set that is not in force yet. Names may be in capitals, as old tools write them to FAT. Other
// files are left alone, but one that looks like a misspelt part of the set is an error.
func ReadDir(dir string) (Files, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no folder %s", ErrNone, dir)
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	f, errs := Files{}, []error(nil)
	for _, e := range entries {
		name, err := f.accept(e.Name(), e.Type().IsRegular())
		if err == nil && name != "" {
			f[name], err = f.readFile(filepath.Join(dir, e.Name()))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", dir, err))
		}
	}
	if len(f) == 0 && len(errs) == 0 {
		return nil, fmt.Errorf("%w: %s has none of %s", ErrNone, dir, strings.Join(names, ", "))
	}
	return f, errors.Join(errs...)
}

func (f Files) readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return f.readLimited(file, filepath.Base(path), maxHeld)
}

// readLimited reads a file of so many bytes at most that is to be added.
func (f Files) readLimited(r io.Reader, name string, most int) ([]byte, error) {
	room := maxSet
	for _, data := range f {
		room -= len(data)
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(min(most, room))+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(data) > most:
		return nil, fmt.Errorf("%s: is longer than %d bytes", name, maxFile)
	case len(data) > room:
		return nil, fmt.Errorf("%s: with it the files have more than %d bytes together", name, maxSet)
	}
	// Windows editors put a byte order mark before the text, which is no TOML.
	return bytes.TrimPrefix(data, []byte("\ufeff")), nil
}

// ReadTar reads an archive whose files lie at its top or in one folder.
func ReadTar(r io.Reader) (Files, error) {
	f := Files{}
	t := tar.NewReader(r)
	for range maxEntries {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			if len(f) == 0 {
				return nil, fmt.Errorf("%w: the archive has none of %s", ErrNone, strings.Join(names, ", "))
			}
			return f, nil
		}
		if err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		name, err := f.accept(path.Base(h.Name), h.Typeflag == tar.TypeReg)
		if err == nil && name != "" {
			f[name], err = f.readLimited(t, name, maxFile)
		}
		if err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
	}
	return nil, fmt.Errorf("archive: has more than %d entries", maxEntries)
}

// Bare says that a folder holds nothing that makes an appliance of a board: at most how to find a set over the network, such
// as network.toml and site.crt, which proves the server, or what goes with a set, such as update.pub.
func (f Files) Bare() bool {
	for _, name := range []string{IdentityFile, PhonedFile, CertificateFile, KeyFile} {
		if _, ok := f[name]; ok {
			return false
		}
	}
	return true
}

// accept is the name of the set's file that an entry is, "" for what does not belong to the set.
func (f Files) accept(entry string, regular bool) (string, error) {
	name := strings.ToLower(entry)
	switch {
	case strings.HasPrefix(name, "."): // editors, file managers
		return "", nil
	case known(name):
		if !regular {
			return "", fmt.Errorf("%s: is not a plain file", entry)
		}
		if _, twice := f[name]; twice {
			return "", fmt.Errorf("%s: is there twice, in capitals and in small letters", entry)
		}
		return name, nil
	case slices.Contains([]string{".toml", ".crt", ".key", ".pub"}, path.Ext(name)) || strings.HasPrefix(name, SecretPrefix):
		return "", fmt.Errorf("%s: unknown file; the names are %s and %sNAME (a-z 0-9 . _ -)", entry, strings.Join(names, ", "), SecretPrefix)
	}
	return "", nil
}

// hash is over the names and contents of all files but the secret ones, which are removed from the boot partition after
// import.
func (f Files) hash() string {
	h := sha256.New()
	for _, name := range f.sorted() {
		if !isSecret(name) {
			fmt.Fprintf(h, "%s %d\n", name, len(f[name]))
			h.Write(f[name])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
