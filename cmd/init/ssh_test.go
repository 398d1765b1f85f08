package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"parklamp/cmd/internal/health"
)

// Who has a key can log in; nothing else of the root changes.
func TestOpenLogin(t *testing.T) {
	root, keys := t.TempDir(), filepath.Join(t.TempDir(), "ssh")
	if err := os.MkdirAll(filepath.Join(root, "etc/dropbear"), 0o755); err != nil { // as a package brings it
		t.Fatal(err)
	}
	passwd := filepath.Join(root, "etc/passwd")
	if err := os.WriteFile(passwd, []byte("root:x:0:0:root:/root:/bin/false\nparklamp:x:900:900::/data/parklamp:/bin/false\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again, as after a restart of a root that is not in memory
		if err := openLogin(root, keys, []string{"ssh-ed25519 AAAA one", "ssh-ed25519 AAAB two"}); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		passwd: "root:x:0:0:root:/root:/bin/sh\nparklamp:x:900:900::/data/parklamp:/bin/false\n",
		filepath.Join(root, "root/.ssh/authorized_keys"): "ssh-ed25519 AAAA one\nssh-ed25519 AAAB two\n",
	} {
		if text, err := os.ReadFile(path); string(text) != want {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	for path, want := range map[string]os.FileMode{filepath.Join(root, "root/.ssh"): 0o700, filepath.Join(root, "root/.ssh/authorized_keys"): 0o600, keys: 0o700} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
	if to, err := os.Readlink(filepath.Join(root, "etc/dropbear")); to != keys {
		t.Error(to, err)
	}
	if err := os.WriteFile(passwd, []byte("nobody:x:1:1::/:/bin/false\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := openLogin(root, keys, nil); err == nil {
		t.Error("a root without root")
	}
}

// Without a key there is no server; with one and without the program that is told; nobody has a password.
func TestStartSSH(t *testing.T) {
	defer func(all []string) { servers = all }(servers)
	servers = []string{filepath.Join(t.TempDir(), "dropbear")}
	s := newSystem()
	g := newGroup()
	defer g.end()
	s.startSSH(g, nil)
	if all := s.health.All(); len(all) != 0 || s.ssh != nil {
		t.Errorf("%+v, %v without a key", all, s.ssh)
	}
	s.startSSH(g, []string{"ssh-ed25519 AAAA one"})
	if all := s.health.All(); len(all) != 1 || all[0].Code != "ssh" || all[0].Severity != health.Warning || s.ssh != nil {
		t.Errorf("%+v", all)
	}
	for _, option := range []string{"-F", "-s", "-g"} {
		if !slices.Contains(sshSpec(servers[0], s).Args, option) {
			t.Errorf("dropbear is started without %s", option)
		}
	}
}
