package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/supervise"
)

// Who has a key in network.toml may log in as root over SSH, if the image has dropbear. Nobody else can: there are no
// passwords, and without a key no server is started and root has no shell.

const (
	loginShell = "/bin/sh"
	// hostKeys is where the server's own key stays. The folder above is root's: phoned cannot put another there.
	hostKeys = dataMount + "/ssh"
	// dropbearKeys is where dropbear looks for it.
	dropbearKeys = "etc/dropbear"
)

// servers are where an image may have dropbear.
var servers = []string{"/usr/sbin/dropbear", "/sbin/dropbear"}

// startSSH starts the server if network.toml has keys and the image has the program.
func (s *system) startSSH(g *group, keys []string) {
	if len(keys) == 0 {
		return
	}
	at := slices.IndexFunc(servers, func(path string) bool { _, err := os.Stat(path); return err == nil })
	if at < 0 {
		s.raise(health.Condition{Code: "ssh", Text: "network.toml has ssh_keys, but this image has no SSH server",
			Hint: "use an image with dropbear, or remove ssh_keys"})
		return
	}
	if err := openLogin("/", hostKeys, keys); err != nil {
		s.raise(health.Condition{Code: "ssh", Text: "nobody can log in by SSH: " + err.Error(), Hint: "replace the card"})
		return
	}
	s.ssh = supervise.NewService("dropbear", sshSpec(servers[at], s), supervise.DefaultPolicy(), nil, s.reaper, s.log)
	g.start(s.ssh.Run)
	s.ssh.Start()
}

// sshSpec is how dropbear is started, see dropbear(8): in the foreground (-F), with its log to us (-E), no message of the day (-m), no
// passwords for anybody (-s) or root (-g), no forwarding of ports (-j, -k), three tries (-T), a key of its own made when the first one
// asks (-R), and connections that are dead (-K) or idle for an hour (-I) ended.
func sshSpec(path string, s *system) supervise.Spec {
	return supervise.Spec{Path: path, Args: []string{"-F", "-E", "-m", "-s", "-g", "-j", "-k", "-T", "3", "-R", "-K", "60", "-I", "3600", "-P", sshPID},
		Env: []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin"}, Output: s.logbook.Writer("dropbear", time.Now)}
}

// openLogin lets those who have one of the keys log in as root, in a root file system that is in memory.
func openLogin(root, hostKeys string, keys []string) error {
	if err := os.MkdirAll(hostKeys, 0o700); err != nil {
		return fmt.Errorf("keys of the server: %w", err)
	}
	link := filepath.Join(root, dropbearKeys)
	if to, err := os.Readlink(link); err != nil || to != hostKeys {
		if err := errors.Join(os.RemoveAll(link), os.Symlink(hostKeys, link)); err != nil {
			return fmt.Errorf("keys of the server: %w", err)
		}
	}
	passwd := filepath.Join(root, "etc/passwd")
	text, err := os.ReadFile(passwd)
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	changed, home := withShell(string(text))
	if home == "" {
		return errors.New("log in: etc/passwd has no root")
	}
	folder := filepath.Join(root, home, ".ssh")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "authorized_keys"), []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if err := os.WriteFile(passwd, changed, 0o644); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

// withShell gives root a shell, in the text of passwd(5), and says where its home is; "" if there is no root.
func withShell(text string) (changed []byte, home string) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if f := strings.Split(line, ":"); len(f) == 7 && f[0] == "root" {
			home, f[6] = f[5], loginShell
			lines[i] = strings.Join(f, ":")
		}
	}
	return []byte(strings.Join(lines, "\n")), home
}
