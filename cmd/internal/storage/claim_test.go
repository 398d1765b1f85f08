package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	c := Claim{UID: uid, GID: gid, From: 900, Aside: at(".aside-")}
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
	// A second name of a file that was not From's is none of his files, also if the user has it: the group could not read it before.
	for _, other := range []Claim{{UID: uid + 1, GID: gid, From: 900}, {UID: uid, GID: gid, From: 900}} {
		must(os.Link(at("target"), at("second name")))
		if other.File(at("second name"), 0o640) || len(other.Removed) != 1 || other.Err != nil {
			t.Errorf("%q, %v", other.Removed, other.Err)
		}
	}
	must(os.WriteFile(at("his"), []byte("x"), 0o600), os.Link(at("his"), at("second name of his")))
	former := Claim{UID: uid, GID: gid, From: uid}
	if !former.File(at("second name of his"), 0o640) || former.Removed != nil || former.Err != nil {
		t.Errorf("%q, %v", former.Removed, former.Err)
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

// What the card does not let anybody look at is left, and neither claimed nor believed.
func TestClaimUnreadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := Claim{UID: os.Getuid(), GID: os.Getgid(), Look: func(path string) (fs.FileInfo, error) {
		return nil, &fs.PathError{Op: "lstat", Path: path, Err: unix.EUCLEAN}
	}}
	if c.Remove(path); c.File(path, 0o640) || c.Folder(path, 0o750) || c.Err != nil || c.Removed != nil || len(c.Left) != 3 || !errors.Is(c.Left[0], unix.EUCLEAN) {
		t.Errorf("%q, %v, %v", c.Removed, c.Left, c.Err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

// A card on which the kernel has found a fault takes no writes from then on. What is there is still read.
func TestClaimReadOnly(t *testing.T) {
	dir := t.TempDir()
	if unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m") != nil {
		return // only root of a whole machine can
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(path, nil, 0o666), os.Lchown(path, 900, 900), os.Symlink("x", filepath.Join(dir, "link")),
		unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")); err != nil {
		t.Fatal(err)
	}
	c := Claim{From: 900}
	if !c.File(path, 0o640) || c.Err != nil || len(c.Left) != 1 || !errors.Is(c.Left[0], unix.EROFS) {
		t.Errorf("%v, %v", c.Left, c.Err)
	}
	if c.File(filepath.Join(dir, "link"), 0o640) || !errors.Is(c.Err, unix.EROFS) {
		t.Errorf("what is not of its kind stays, and nobody hears of it: %v", c.Err)
	}
}

// A folder that is as deep and wide as somebody liked is out of the way at once, and gone some time later, in steps. Nothing else
// beside it goes.
func TestClaimAside(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	deep, wide := 1500, 700
	path := filepath.Join(dir, "planted")
	errs := []error{os.WriteFile("kept", nil, 0o600), os.Mkdir("planted", 0o777)}
	for i := range wide {
		errs = append(errs, os.WriteFile(filepath.Join("planted", strconv.Itoa(i)), nil, 0o600))
	}
	errs = append(errs, os.Symlink(filepath.Join(dir, "kept"), "planted/link"), os.Chdir("planted"))
	for range deep {
		errs = append(errs, os.Mkdir("d", 0o777), os.Chdir("d"))
	}
	if err := errors.Join(append(errs, os.Chdir(dir))...); err != nil {
		t.Fatal(err)
	}
	c := Claim{UID: os.Getuid(), GID: os.Getgid(), Aside: filepath.Join(dir, ".aside-")}
	if c.File(path, 0o640) || c.Err != nil || !slices.Equal(c.Removed, []string{path}) {
		t.Fatalf("%q, %v", c.Removed, c.Err)
	}
	if moved, err := filepath.Glob(c.Aside + "*"); err != nil || len(moved) != 1 {
		t.Fatalf("%q, %v", moved, err)
	} else if info, err := os.Lstat(moved[0]); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("%v, %v", info, err)
	}
	steps := 0
	for ; steps < (2*deep+wide)/100+10; steps++ {
		if err := Empty(c.Aside, 100); err != nil {
			t.Fatal(err)
		}
		if left, err := Names(dir, 1000); err != nil || slices.Equal(left, []string{"kept"}) {
			break
		} else if len(left) > 3 {
			t.Fatalf("%q", left)
		}
	}
	if left, err := Names(dir, 1000); err != nil || !slices.Equal(left, []string{"kept"}) || steps < wide/100 {
		t.Errorf("%q after %d steps, %v", left, steps, err)
	}
}
