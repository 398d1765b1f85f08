package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/slots"
)

// What every program expects of a system; devtmpfs is often there already.
var mounts = []struct {
	source, target, kind, data string
	flags                      uintptr
	optional                   bool
}{
	{"proc", "/proc", "proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, false},
	{"sysfs", "/sys", "sysfs", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, false},
	{"devtmpfs", "/dev", "devtmpfs", "mode=755", unix.MS_NOSUID, false},
	{"devpts", "/dev/pts", "devpts", "mode=620,ptmxmode=666", unix.MS_NOSUID | unix.MS_NOEXEC, true},
	{"tmpfs", "/run", "tmpfs", "mode=755,size=16m", unix.MS_NOSUID | unix.MS_NODEV, false},
	{"tmpfs", "/tmp", "tmpfs", "mode=1777,size=16m", unix.MS_NOSUID | unix.MS_NODEV, false},
	{"configfs", "/sys/kernel/config", "configfs", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, true},
}

// mountEarly mounts them. What fails is told and left out: a phone without /tmp is a phone.
func mountEarly(log *slog.Logger) {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil && !m.optional {
			log.Error("mount", "target", m.target, "err", err)
		}
		err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data)
		if err != nil && !errors.Is(err, unix.EBUSY) && !m.optional {
			log.Error("mount", "target", m.target, "err", err)
		}
	}
	for link, target := range map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"} {
		_ = os.Symlink(target, link)
	}
}

// settings are those of the kernel that are not what an appliance needs by default, below /proc/sys.
var settings = []struct{ name, value string }{
	// phoned's user makes no second name of a file of root's, and root follows no link of his where all may write.
	{"fs/protected_hardlinks", "1"},
	{"fs/protected_symlinks", "1"},
}

// set gives the kernel its settings, below sys, which is /proc/sys. One that the kernel does not know it does not need.
func set(sys string, log *slog.Logger) {
	for _, s := range settings {
		path := filepath.Join(sys, s.name)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			_, err = f.WriteString(s.value)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			log.Error("setting of the kernel", "path", path, "value", s.value, "err", err)
		}
	}
}

// bootArgs are what the boot loader passed on.
type bootArgs struct {
	slots.Boot
	verbose bool // phoned's log goes to the console
}

// parseCmdline reads the words of the kernel's command line that are for us; others are the kernel's. An error is slots'.
func parseCmdline(text string) (bootArgs, error) {
	boot, err := slots.ParseCommandLine(text)
	verbose := slices.ContainsFunc(strings.Fields(text), func(word string) bool {
		key, _, _ := strings.Cut(word, "=")
		return key == "parklamp.verbose"
	})
	return bootArgs{boot, verbose}, err
}

// firstLine is the first line of a small file, "" if there is none.
func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// ownHostname is the name of an appliance that has no identity yet.
func ownHostname(mac string) string {
	hex := strings.ReplaceAll(mac, ":", "")
	if len(hex) != 12 {
		return "parklamp"
	}
	return "parklamp-" + hex[6:]
}

// firstMAC is the address of the first Ethernet port.
func firstMAC() string {
	all, _ := filepath.Glob("/sys/class/net/*/address")
	for _, f := range all {
		name := filepath.Base(filepath.Dir(f))
		if mac := firstLine(f); name != "lo" && len(mac) == 17 && mac != "00:00:00:00:00:00" {
			if _, err := os.Stat(filepath.Join(filepath.Dir(f), "device")); err == nil {
				return mac
			}
		}
	}
	return ""
}

func setHostname(name string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("hostname %s: %w", name, err)
	}
	return nil
}
