package main

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/supervise"
)

// parklampID is the user and the group that phoned runs as.
const parklampID = 900

// nodes are the devices that phoned uses: lines, buses, sound. Group parklamp may read and write them.
var nodes = []string{"gpiochip*", "i2c-*", "snd/*"}

// modprobeLimit ends a modprobe that hangs in a driver.
const modprobeLimit = 20 * time.Second

// grantNodes makes the devices below dev accessible to the group.
func grantNodes(dev string, gid int) (granted int) {
	for _, pattern := range nodes {
		found, _ := filepath.Glob(filepath.Join(dev, pattern))
		for _, path := range found {
			info, err := os.Lstat(path)
			if err != nil || info.Mode()&fs.ModeDevice == 0 {
				continue
			}
			if os.Chown(path, -1, gid) == nil && os.Chmod(path, 0o660) == nil {
				granted++
			}
		}
	}
	return granted
}

// devices loads drivers and grants access, at start and when the kernel says that something was plugged in.
type devices struct {
	reaper  *supervise.Reaper
	busybox string
	log     *slog.Logger
	begin   func() // called before each modprobe of load
}

// load loads the modules that the image lists, then those that the hardware asks for.
func (d *devices) load(ctx context.Context, list string) {
	release := kernelRelease()
	if _, err := os.Stat(filepath.Join("/lib/modules", release)); err != nil {
		return // everything is built in
	}
	var names []string
	for line := range strings.Lines(readText(list)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			names = append(names, line)
		}
	}
	for _, n := range names {
		d.begin()
		d.modprobe(ctx, n)
	}
	d.begin()
	d.modprobe(ctx, aliases("/sys/devices")...)
}

func (d *devices) modprobe(ctx context.Context, names ...string) {
	if len(names) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, modprobeLimit)
	defer cancel()
	args := append([]string{"modprobe", "-q", "-a"}, names...)
	// Its status says nothing: most aliases have no module, which is how it should be.
	if _, err := d.reaper.Do(ctx, supervise.Spec{Path: d.busybox, Args: args, Env: []string{"PATH=/bin:/sbin"}}); err != nil {
		d.log.Warn("drivers", "err", err)
	}
}

// maxAliases bounds what one modprobe is asked for; a board has some hundred devices.
const maxAliases = 512

// aliases are the names under which the hardware asks for its drivers.
func aliases(sys string) []string {
	var out []string
	_ = filepath.WalkDir(sys, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "modalias" && !e.IsDir() {
			if a := firstLine(path); a != "" && len(out) < maxAliases && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
		return nil
	})
	return out
}

// watch follows what is plugged in until ctx ends.
func (d *devices) watch(ctx context.Context) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})
	}
	if err != nil {
		d.log.Warn("what is plugged in later is not noticed", "err", err)
		return
	}
	f := os.NewFile(uintptr(fd), "uevent")
	defer f.Close()
	grantNodes("/dev", parklampID) // what came before the socket
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Now()) })
	defer stop()
	buf := make([]byte, 8<<10)
	for {
		n, err := f.Read(buf)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			continue // more has happened than the socket could hold
		}
		action, alias := parseUevent(buf[:n])
		if action != "add" && action != "bind" && action != "change" {
			continue
		}
		if alias != "" {
			d.modprobe(ctx, alias)
		}
		grantNodes("/dev", parklampID)
	}
}

// parseUevent reads a message of the kernel: "add@/devices/...", then KEY=value, each ended by a zero byte.
func parseUevent(b []byte) (action, alias string) {
	for i, field := range bytes.Split(b, []byte{0}) {
		text := string(field)
		if i == 0 {
			action, _, _ = strings.Cut(text, "@")
		} else if v, ok := strings.CutPrefix(text, "MODALIAS="); ok {
			alias = v
		}
	}
	return action, alias
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func readText(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}
