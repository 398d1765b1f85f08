package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// standIn does the least of what a first process does for phoned, for ever: file systems, the card as /data, the address that
// the file /hand/address names, phoned again and again.
func standIn() {
	for _, m := range []struct{ source, at, kind string }{
		{"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}, {"devtmpfs", "/dev", "devtmpfs"},
		{"tmpfs", "/tmp", "tmpfs"}, {"tmpfs", "/run", "tmpfs"}, {"/dev/vda", "/data", "ext4"},
	} {
		_ = os.MkdirAll(m.at, 0o755) // it may be there; the mount tells
		if err := unix.Mount(m.source, m.at, m.kind, 0, ""); err != nil {
			fmt.Printf("HAND stand-in: mount %s: %v\n", m.at, err)
		}
	}
	for _, dir := range []string{"/run/parklamp", "/data/parklamp"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			fmt.Println("HAND stand-in:", err)
		}
	}
	if text, err := os.ReadFile(home + "/address"); err == nil {
		if err := address("eth0", strings.TrimSpace(string(text))); err != nil {
			fmt.Println("HAND stand-in: eth0:", err)
		}
	}
	if err := address("lo", "127.0.0.1/8"); err != nil {
		fmt.Println("HAND stand-in: lo:", err)
	}
	for {
		phone := exec.Command(home+"/phoned", "-config", home+"/phoned.toml")
		phone.Stdout, phone.Stderr = os.Stdout, os.Stderr
		fmt.Println("HAND stand-in: phoned ended:", phone.Run())
		time.Sleep(50 * time.Millisecond)
	}
}

// address gives an interface its IPv4 address and switches it on.
func address(name, prefix string) error {
	p, err := netip.ParsePrefix(prefix)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ip := p.Addr().As4()
	mask := [4]byte{}
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	for _, set := range []struct {
		request uint
		addr    [4]byte
	}{{unix.SIOCSIFADDR, ip}, {unix.SIOCSIFNETMASK, mask}} {
		if err := r.SetInet4Addr(set.addr[:]); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, set.request, r); err != nil {
			return err
		}
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}
