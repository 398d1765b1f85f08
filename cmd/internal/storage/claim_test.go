package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What is of its kind becomes the user's, whoever had it; what is not is gone, and what it led to is as it was.
func TestClaim(t *testing.T) {
	uid, gid := os.Getuid(), os.Getgid()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(at("target"), []byte("x"), 0o600), os.WriteFile(at("file"), []byte("x"), 0o666), os.Chmod(at("file"), 0o4666),
		os.Mkdir(at("folder"), 0o700), os.WriteFile(at("folder/inside"), nil, 0o600), os.Symlink("folder", at("link")),
		os.Symlink("target", at("link to a file")), os.Symlink("folder", at("link to a folder")), os.Symlink("/etc", at("link elsewhere")),
		os.Link(at("target"), at("second name of ours")), unix.Mkfifo(at("pipe"), 0o600), os.Mkdir(at("full"), 0o700), os.WriteFile(at("full/x"), nil, 0o600))
	if uid == 0 { // who is not root can give a file to nobody else
		for _, name := range []string{"file", "folder", "link"} {
			must(os.Lchown(at(name), 900, 900))
		}
	}
	c := Claim{UID: uid, GID: gid}
	for name, there := range map[string]bool{
		"file":                c.File(at("file"), 0o640),
		"folder":              c.Folder(at("folder"), 0o750),
		"link":                c.Link(at("link"), "folder"),
		"-none":               c.File(at("none"), 0o640) || c.Folder(at("none"), 0o750) || c.Link(at("none"), "folder"),
		"-link to a file":     c.File(at("link to a file"), 0o640),
		"-link to a folder":   c.Folder(at("link to a folder"), 0o750),
		"-link elsewhere":     c.Link(at("link elsewhere"), "folder"),
		"second name of ours": c.File(at("second name of ours"), 0o600),
		"-pipe":               c.File(at("pipe"), 0o640),
		"-full":               c.File(at("full"), 0o640),
	} {
		gone, wanted := strings.CutPrefix(name, "-")
		if there == wanted {
			t.Errorf("%s: there %t", name, there)
		}
		if _, err := os.Lstat(at(gone)); errors.Is(err, fs.ErrNotExist) != wanted {
			t.Errorf("%s: %v", name, err)
		}
		if wanted && gone != "none" && !slices.Contains(c.Removed, at(gone)) {
			t.Errorf("%s: not told in %q", gone, c.Removed)
		}
	}
	if len(c.Removed) != 5 || c.Err != nil {
		t.Errorf("%q, %v", c.Removed, c.Err)
	}
	// A second name of a file that is not the user's is none of his files.
	other := Claim{UID: uid + 1, GID: gid}
	if other.File(at("second name of ours"), 0o640) || len(other.Removed) != 1 || other.Err != nil {
		t.Errorf("%q, %v", other.Removed, other.Err)
	}
	for name, mode := range map[string]fs.FileMode{"file": 0o640, "folder": fs.ModeDir | 0o750, "link": fs.ModeSymlink | 0o777} {
		info, err := os.Lstat(at(name))
		must(err)
		if st := info.Sys().(*syscall.Stat_t); info.Mode() != mode || int(st.Uid) != uid || int(st.Gid) != gid {
			t.Errorf("%s: %v of %d:%d", name, info.Mode(), st.Uid, st.Gid)
		}
	}
	for name, mode := range map[string]fs.FileMode{"target": 0o600, "folder/inside": 0o600} {
		if info, err := os.Lstat(at(name)); err != nil || info.Mode() != mode || int(info.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
			t.Errorf("%s was touched: %v, %v", name, info, err)
		}
	}
}

// What is right is not written again: a card that takes nothing any more is read all the same.
func TestClaimWritesOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	changed := func() (at syscall.Timespec) {
		t.Helper()
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Ctim
	}
	c := Claim{UID: os.Getuid(), GID: os.Getgid()}
	c.File(path, 0o640)
	before := changed()
	for began := before; began == before; { // until the file system's clock has gone on
		if err := os.WriteFile(filepath.Join(dir, "other"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(filepath.Join(dir, "other"))
		if err != nil {
			t.Fatal(err)
		}
		began = info.Sys().(*syscall.Stat_t).Ctim
	}
	if !c.File(path, 0o640) || changed() != before {
		t.Error("written again")
	}
}
