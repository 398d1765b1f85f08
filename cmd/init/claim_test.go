package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/storage"
)

// oldFolder is the data folder of a system that left all of it to phoned's user.
func oldFolder(t *testing.T, phoned storage.Claim) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "parklamp")
	set := provision.Files{provision.PhonedFile: []byte(dock7 + "# secret-pbx\n"), provision.NetworkFile: []byte("vlan = \"7\"\n"), "secret-pbx": []byte("hush\n")}
	errs := []error{os.MkdirAll(filepath.Join(folder, "journal"), 0o750), os.Mkdir(filepath.Join(folder, "reports"), 0o750), os.Mkdir(filepath.Join(folder, "log"), 0o750)}
	_, err := set.Import("card", folder, provision.Options{})
	errs = append(errs, err, os.WriteFile(filepath.Join(folder, clockName), []byte("2026-11-22T12:00:00Z\n"), 0o644),
		os.WriteFile(filepath.Join(folder, "journal/calls"), []byte("calls"), 0o640), os.WriteFile(filepath.Join(folder, "reports/selftest-1.json"), []byte("{}"), 0o644))
	errs = append(errs, filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, phoned.UID, phoned.GID))
	}))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return folder
}

// users are root and phoned's user, or twice our own: who is not root can give a file to nobody else.
func users(t *testing.T) (root, phoned storage.Claim) {
	root, phoned = rootsOwn, phonedsOwn
	if os.Getuid() != 0 {
		us := storage.Claim{UID: os.Getuid(), GID: os.Getgid(), From: os.Getuid()}
		root, phoned = us, us
	}
	root.Aside = filepath.Join(t.TempDir(), ".planted-")
	phoned.Aside = root.Aside
	return root, phoned
}

// An appliance that comes from an older system has what it had: identity, secrets, clock, journal and reports. From then on
// phoned reads what is root's, writes where it must, and cannot change, remove or add anything else.
func TestClaimOldFolder(t *testing.T) {
	root, phoned := users(t)
	folder := oldFolder(t, phoned)
	for range 2 { // the second start, as each later one
		if removed, left, err := claim(folder, root, phoned); removed != nil || left != nil || err != nil {
			t.Fatalf("%q, %v, %v", removed, left, err)
		}
	}
	has := func(name, want string) {
		t.Helper()
		if text, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	check := func() {
		t.Helper()
		has("journal/calls", "calls")
		has("reports/selftest-1.json", "{}")
		has(clockName, "2026-11-22T12:00:00Z\n")
		has("secret-pbx", "hush\n")
		if set, err := provision.Current(folder, provision.Options{}); err != nil || set.Identity.ID != "dock-7" {
			t.Errorf("%+v, %v", set, err)
		}
		if cfg, err := networkConfig(folder); err != nil || cfg.VLANText != "7" {
			t.Errorf("%+v, %v", cfg, err)
		}
	}
	check()
	for name, mode := range map[string]uint32{".": 0o750, "provision": 0o750, clockName: 0o644, "provision/current/phoned.toml": 0o640, "provision/current/secret-pbx": 0o640} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(folder, name), &st); err != nil || int(st.Uid) != root.UID || int(st.Gid) != root.GID || st.Mode&0o7777 != mode {
			t.Errorf("%s: %o of %d:%d, %v", name, st.Mode, st.Uid, st.Gid, err)
		}
	}
	if root.UID != 0 {
		return // phoned's user is ours then
	}
	as := func(script string) error {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Dir, cmd.SysProcAttr = folder, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: parklampID, Gid: parklampID}}
		return cmd.Run()
	}
	for p := filepath.Dir(folder); p != "/" && p != os.TempDir(); p = filepath.Dir(p) { // as /data is
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, may := range []string{"cat phoned.toml secret-pbx network.toml clock", "echo x > journal/new && mv journal/new journal/newer && rm journal/newer", "echo x > reports/new && rm reports/new"} {
		if err := as(may); err != nil {
			t.Errorf("phoned must be able to: %s: %v", may, err)
		}
	}
	for _, attack := range []string{"echo x > update.pub", "ln -s journal/x update.pub", "rm network.toml", "mv network.toml journal/", "ln -sf /etc/shadow clock", "echo x > clock",
		"mv clock journal/", "echo x > network.toml", "echo x > provision/current/network.toml", "rm provision/current", "ln -sfn /tmp provision/current", "mv provision journal/",
		"mkdir .new-clock", "mkdir .phoned.toml.new", "rmdir log", "mv journal journal2", "mv journal/calls .", "mv reports journal/", "chmod 777 .", "chmod 666 clock"} {
		if err := as(attack); err == nil {
			t.Errorf("phoned is able to: %s", attack)
		}
	}
	check()
}

// What phoned has planted before the first start of this system is believed in nothing, and is told; what it led to is as it was.
func TestClaimPlanted(t *testing.T) {
	root, phoned := users(t)
	folder := oldFolder(t, phoned)
	at := func(name string) string { return filepath.Join(folder, name) }
	elsewhere := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(elsewhere, "file"), []byte("theirs"), 0o600),
		os.RemoveAll(at("journal")), os.Symlink(elsewhere, at("journal")),
		os.RemoveAll(at("reports")), unix.Mkfifo(at("reports"), 0o600),
		os.Remove(at(clockName)), os.Symlink(filepath.Join(elsewhere, "file"), at(clockName)),
		os.MkdirAll(at(".new-clock/x"), 0o755),
		os.Remove(at(provision.NetworkFile)), os.WriteFile(at(provision.NetworkFile), []byte("vlan = \"666\"\n"), 0o644),
		os.WriteFile(at(provision.UpdateFile), []byte("mine"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	removed, left, err := claim(folder, root, phoned)
	want := []string{at(".new-clock"), at(clockName), at("journal"), at(provision.NetworkFile), at("reports"), at(provision.UpdateFile)}
	if slices.Sort(removed); !slices.Equal(removed, want) || left != nil || err != nil {
		t.Errorf("%q, %v, %v\nwant %q", removed, left, err, want)
	}
	if st, err := os.Lstat(elsewhere); err != nil || int(st.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
		t.Errorf("the folder that a link led to has another owner: %v", err)
	}
	for _, name := range phonedFolders {
		if st, err := os.Lstat(at(name)); err != nil || !st.IsDir() || int(st.Sys().(*syscall.Stat_t).Uid) != phoned.UID {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if cfg, err := networkConfig(folder); err != nil || cfg.VLANText != "7" {
		t.Errorf("the set in force is not as before: %+v, %v", cfg, err)
	}
}

// What a start says of a card that it takes over, and which one it does not use.
func TestTakeOver(t *testing.T) {
	root, phoned := users(t)
	told := func(folder string, root storage.Claim) (map[string]string, error) {
		s, all := newSystem(), map[string]string{}
		err := s.store.takeOver(folder, root, phoned)
		for _, c := range s.health.All() {
			all[c.Code] = c.Text
		}
		return all, err
	}
	folder := oldFolder(t, phoned)
	if all, err := told(folder, root); err != nil || len(all) != 0 {
		t.Errorf("%v, %q", err, all)
	}
	planted := []error{os.Mkdir(filepath.Join(folder, ".site.crt.new"), 0o750), os.Symlink("x", filepath.Join(folder, provision.UpdateFile))}
	if all, err := told(folder, root); errors.Join(planted...) != nil || err != nil || len(all) != 1 ||
		!strings.HasPrefix(all["data.removed"], "2 files of the data partition removed") || !strings.Contains(all["data.removed"], `/update.pub"`) {
		t.Errorf("%v, %v, %q", planted, err, all)
	}
	// A damaged file, whichever it is, costs neither identity nor callers.
	for _, bad := range []string{clockName, provision.JournalFolder, provision.ReportsFolder, "secret-pbx", "provision/current.new"} {
		damaged := func(path string) (fs.FileInfo, error) {
			if path == filepath.Join(folder, bad) {
				return nil, &fs.PathError{Op: "lstat", Path: path, Err: unix.EUCLEAN}
			}
			return os.Lstat(path)
		}
		root, his := root, phoned
		root.Look, his.Look = damaged, damaged
		s := newSystem()
		err := s.store.takeOver(folder, root, his)
		if all := s.health.All(); err != nil || len(all) != 1 || all[0].Code != "data.unread" || !strings.Contains(all[0].Text, "1 file of the data partition cannot be read, made or taken over: lstat "+folder+"/"+bad) {
			t.Errorf("%s: %v, %+v", bad, err, all)
		}
		if set, err := provision.Current(folder, provision.Options{}); err != nil || set.Identity.ID != "dock-7" {
			t.Errorf("%s: %+v, %v", bad, set, err)
		}
	}
	// What would be believed and stays somebody else's does.
	if err := os.MkdirAll(filepath.Join(folder, ".site.crt.new/x"), 0o750); err != nil {
		t.Fatal(err)
	}
	root.Aside = filepath.Join(folder, "nowhere/x")
	if _, err := told(folder, root); err == nil || !strings.HasPrefix(err.Error(), "the files of the appliance cannot be taken over from the older system: ") {
		t.Errorf("%v", err)
	}
}

// A set that has phoned write where it may not is refused when it comes; one that is in force stays.
func TestPathsOfASet(t *testing.T) {
	f, to := provision.Files{provision.PhonedFile: []byte(dock7 + "[journal]\npath = \"/data/parklamp/calls\"\n")}, t.TempDir()
	if _, err := f.Import("card", to, provision.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Import("card", to, checks()); err == nil || !strings.Contains(err.Error(), `journal.path: "/data/parklamp/calls": must lie below /data/parklamp/journal or`) {
		t.Error(err)
	}
	s, from := newSystem(), t.TempDir()
	if err := os.WriteFile(filepath.Join(from, provision.PhonedFile), f[provision.PhonedFile], 0o600); err != nil {
		t.Fatal(err)
	}
	if s.identity.takeIn(from, to, checks()); s.identity.is.ID != "dock-7" || len(s.health.All()) != 1 {
		t.Errorf("%+v, %+v", s.identity.is, s.health.All())
	}
}
