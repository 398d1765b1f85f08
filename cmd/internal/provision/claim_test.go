package provision

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/storage"
)

// claimed claims a folder for who runs the test.
func claimed(t *testing.T, to string) []string {
	t.Helper()
	c := storage.Claim{UID: os.Getuid(), GID: os.Getgid(), From: os.Getuid(), Aside: filepath.Join(to, ".planted-")}
	Claim(&c, to)
	if c.Err != nil || c.Left != nil {
		t.Fatal(c.Err, c.Left)
	}
	for i, path := range c.Removed {
		c.Removed[i], _ = filepath.Rel(to, path)
	}
	slices.Sort(c.Removed)
	return c.Removed
}

// Whatever somebody has put beside a set or in the place of its links is removed; the set stays in force, with its secrets.
func TestClaim(t *testing.T) {
	a, root := newAuthority(t)
	to, f := t.TempDir(), newSet(t, a, root, "dock-7")
	if _, err := f.Import("card", to, Options{}); err != nil {
		t.Fatal(err)
	}
	set, err := os.Readlink(filepath.Join(to, setsFolder, currentLink))
	if err != nil {
		t.Fatal(err)
	}
	if removed := claimed(t, to); removed != nil {
		t.Errorf("of a good folder %q is removed", removed)
	}
	at := func(name string) string { return filepath.Join(to, name) }
	other := t.TempDir()
	for _, err := range []error{
		os.WriteFile(at(UpdateFile), []byte("mine"), 0o644),                                  // a file where only a link may be
		os.Symlink("../journal/x", at(NetworkFile)),                                          // a link to where somebody else writes
		os.Remove(at(PhonedFile)), os.Symlink("provision/other/phoned.toml", at(PhonedFile)), // around the set in force
		os.Mkdir(at(".board.toml.new"), 0o755), os.WriteFile(at(".board.toml.new/x"), nil, 0o644), // in the way of the next import
		os.Symlink(linkTo(AuthorityFile), at(".site.crt.new")),                                             // as an import that was cut off leaves it
		os.Symlink(other, at("provision/other")),                                                           // a set elsewhere
		os.Symlink("../..", at("provision/current.new")),                                                   //
		unix.Mkfifo(at("provision/pipe"), 0o644),                                                           // it would never be read to its end
		os.Symlink("/etc/shadow", at("provision/"+set+"/secret-x")),                                        // a secret that is wiped some day
		unix.Mkfifo(at("provision/"+set+"/network.toml"), 0o644),                                           //
		os.WriteFile(at("provision/"+set+"/x.toml"), nil, 0o644),                                           // with it the set would be refused
		os.WriteFile(at("provision/"+set+"/PHONED.TOML"), nil, 0o644),                                      //
		os.Link(at("provision/current/site.crt"), at("another name")),                                      // the file is the set's all the same
		os.Mkdir(at("calls"), 0o700), os.WriteFile(at("notes"), nil, 0o600), os.Symlink("notes", at("n2")), // nothing of ours: nobody looks there
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{".board.toml.new", NetworkFile, PhonedFile, "provision/" + set + "/PHONED.TOML", "provision/" + set + "/network.toml", "provision/" + set + "/x.toml", "provision/" + set + "/secret-x",
		"provision/current.new", "provision/other", "provision/pipe", UpdateFile}
	slices.Sort(want)
	if removed := claimed(t, to); !slices.Equal(removed, want) {
		t.Errorf("removed %q\nwant    %q", removed, want)
	}
	for _, name := range []string{"calls", "notes", "n2", ".site.crt.new"} {
		if _, err := os.Lstat(at(name)); err != nil {
			t.Error(err)
		}
	}
	if s, err := Current(to, Options{}); err != nil || !maps.EqualFunc(s.files, f, slices.Equal) {
		t.Errorf("in force: %v", err)
	}
	checkWhole(t, "by their names", to, f)
	if r, err := f.Import("card", to, Options{}); err != nil || r.Imported {
		t.Errorf("imported %t, %v", r.Imported, err)
	}
}

// A folder in place of the link, or a link that leads out, is no set in force.
func TestClaimCurrent(t *testing.T) {
	for _, to := range []string{"", "..", ".", "../../x", "/etc", "sub/x"} {
		dir := t.TempDir()
		current := filepath.Join(dir, setsFolder, currentLink)
		err := os.MkdirAll(filepath.Dir(current), 0o755)
		if to == "" {
			err = errors.Join(err, os.MkdirAll(filepath.Join(current, "x"), 0o755))
		} else {
			err = errors.Join(err, os.Symlink(to, current))
		}
		if err != nil {
			t.Fatal(err)
		}
		if removed := claimed(t, dir); !slices.Equal(removed, []string{setsFolder + "/" + currentLink}) {
			t.Errorf("%q: removed %q", to, removed)
		}
		if _, err := os.Lstat(current); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", to, err)
		}
	}
	if removed := claimed(t, t.TempDir()); removed != nil {
		t.Errorf("of nothing %q is removed", removed)
	}
}

// The group reads the whole set, and nobody else any of it.
func TestImportForGroup(t *testing.T) {
	group := 900
	if os.Getuid() != 0 {
		group = os.Getgid()
	}
	a, root := newAuthority(t)
	to := t.TempDir()
	if _, err := newSet(t, a, root, "dock-7").Import("card", to, Options{Group: group}); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(filepath.Join(to, setsFolder), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type() == fs.ModeSymlink {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		want := uint32(0o640)
		if e.IsDir() {
			want = 0o750
		}
		if int(st.Uid) != os.Getuid() || int(st.Gid) != group || st.Mode&0o7777 != want {
			t.Errorf("%s: %o of %d:%d", path, st.Mode, st.Uid, st.Gid)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	claimable := storage.Claim{UID: os.Getuid(), GID: group}
	if Claim(&claimable, to); claimable.Removed != nil || claimable.Err != nil {
		t.Errorf("%q, %v", claimable.Removed, claimable.Err)
	}
}

// A folder that is full of names is not looked through. What the set in force may have is kept, with the secrets that it names.
func TestClaimCrowded(t *testing.T) {
	for _, where := range []string{".", setsFolder, setsFolder + "/" + currentLink, setsFolder + "/other"} {
		to := t.TempDir()
		a, root := newAuthority(t)
		f := newSet(t, a, root, "dock-7")
		f["secret-pbx"] = []byte("hush")
		f[PhonedFile] = append(f[PhonedFile], "# /data/parklamp/secret-pbx\n"...)
		_, err := f.Import("card", to, Options{})
		err = errors.Join(err, os.MkdirAll(filepath.Join(to, where), 0o750))
		for i := range 3000 {
			err = errors.Join(err, os.WriteFile(filepath.Join(to, where, fmt.Sprintf("a%d", i)), nil, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		removed := claimed(t, to)
		if len(removed) > 2*maxEntries || where != "." && len(removed) == 0 {
			t.Errorf("%s: %d removed", where, len(removed))
		}
		if s, err := Current(to, Options{}); err != nil || !maps.EqualFunc(s.files, f, slices.Equal) {
			t.Errorf("%s: in force: %v", where, err)
		}
		checkWhole(t, "by their names", to, f)
		if removed := claimed(t, to); removed != nil {
			t.Errorf("%s: the second time %d", where, len(removed))
		}
		if r, err := f.Import("card", to, Options{}); err != nil || r.Imported {
			t.Errorf("%s: imported %t, %v", where, r.Imported, err)
		}
	}
}

// The power fails before every single step of a start that finds crowded folders, in which it looks or changes something: the set
// stays in force, and the next start finishes the work. The same where the card says that it is full.
func TestClaimPowerCut(t *testing.T) {
	a, root := newAuthority(t)
	f := newSet(t, a, root, "dock-7")
	f["secret-pbx"] = []byte("hush")
	f[PhonedFile] = append(f[PhonedFile], "# /data/parklamp/secret-pbx\n"...)
	for where, crowd := range map[string]int{setsFolder: maxSets, setsFolder + "/" + currentLink: maxEntries} {
		for _, fault := range []error{errPower, syscall.ENOSPC} {
			cutAt := 0
			if fault == errPower && crowd == maxEntries {
				cutAt = crowd // until then it only looks, at one file like at the other
			}
			first := cutAt
			for cut := true; cut; cutAt++ {
				to := t.TempDir()
				_, err := f.Import("card", to, Options{})
				for i := range crowd {
					err = errors.Join(err, os.WriteFile(filepath.Join(to, where, fmt.Sprintf("secret-%d", i)), nil, 0o600))
				}
				if err != nil {
					t.Fatal(err)
				}
				left := cutAt
				fail := func() error {
					if left--; left == -1 || left < 0 && fault == errPower { // a disk has room again
						return fault
					}
					return nil
				}
				c := storage.Claim{UID: os.Getuid(), GID: os.Getgid(), From: os.Getuid(), Aside: filepath.Join(to, ".planted-")}
				s := store{dir: to, o: Options{Group: os.Getgid()}, cut: fail}
				c.Look = func(path string) (fs.FileInfo, error) {
					if fault == errPower {
						if err := fail(); err != nil {
							return nil, err
						}
					}
					return os.Lstat(path)
				}
				s.claim(&c)
				cut = left < 0
				when := fmt.Sprintf("%s, %v at step %d", where, fault, cutAt)
				if _, err := os.Lstat(s.freshSets()); fault != errPower && err == nil {
					// Only the old folder may be left, if it is not known that the new one lasts.
					if inForce, err := os.ReadDir(filepath.Join(to, where)); err != nil || len(inForce) > len(f) {
						t.Errorf("%s: what could not be written is left", when)
					}
				}
				for range 2 {
					for name, data := range f {
						if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(got, data) {
							t.Fatalf("%s: %s: %v", when, name, err)
						}
					}
					claimed(t, to)
				}
				if removed := claimed(t, to); removed != nil {
					t.Fatalf("%s: later %q is removed", when, removed)
				}
				sets, err := os.ReadDir(filepath.Join(to, setsFolder))
				if err != nil || len(sets) != 2 {
					t.Fatalf("%s: %d entries, want the set and the link", when, len(sets))
				}
			}
			if cutAt-first < 10 {
				t.Errorf("%s, %v: only %d steps: the cut is not where the changes are", where, fault, cutAt-first)
			}
		}
	}
}

// One damaged file costs no more than itself.
func TestClaimDamaged(t *testing.T) {
	a, root := newAuthority(t)
	to, f := t.TempDir(), newSet(t, a, root, "dock-7")
	_, err := f.Import("card", to, Options{})
	if err := errors.Join(err, os.Mkdir(filepath.Join(to, setsFolder, "other"), 0o750), os.WriteFile(filepath.Join(to, setsFolder, "other", UpdateFile), nil, 0o640)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"provision/other/" + UpdateFile, "provision/other", "provision/current.new", "." + UpdateFile + ".new", PhonedFile} {
		c := storage.Claim{UID: os.Getuid(), GID: os.Getgid(), Look: func(path string) (fs.FileInfo, error) {
			if path == filepath.Join(to, bad) {
				return nil, &fs.PathError{Op: "lstat", Path: path, Err: unix.EUCLEAN}
			}
			return os.Lstat(path)
		}}
		if Claim(&c, to); c.Err != nil || c.Removed != nil || len(c.Left) != 1 || !errors.Is(c.Left[0], unix.EUCLEAN) {
			t.Errorf("%s: %q, %v, %v", bad, c.Removed, c.Left, c.Err)
		}
		if _, err := Current(to, Options{}); err != nil {
			t.Errorf("%s: %v", bad, err)
		}
	}
	// No room for a link, as on a card without an inode free, or where what lies in its place cannot be removed.
	if err := errors.Join(os.Remove(filepath.Join(to, PhonedFile)), os.MkdirAll(filepath.Join(to, ".phoned.toml.new/x"), 0o750)); err != nil {
		t.Fatal(err)
	}
	c := storage.Claim{UID: os.Getuid(), GID: os.Getgid(), Look: func(path string) (fs.FileInfo, error) {
		if filepath.Base(path) == ".phoned.toml.new" {
			return nil, unix.EIO
		}
		return os.Lstat(path)
	}}
	if Claim(&c, to); c.Err != nil || len(c.Left) != 2 || !strings.HasPrefix(c.Left[1].Error(), "link phoned.toml: ") {
		t.Errorf("%v, %v", c.Left, c.Err)
	}
}
