// Package holder finds out which process has a port, for the error that says that it is taken: package sip and the panel
// ask it. It reads /proc, as the appliance runs Linux, and starts no goroutine.
package holder

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Of names the process that has a socket, such as "nginx (pid 812)"; it is empty when the kernel does not tell (another
// user's process, no /proc). network is udp, or anything else for TCP.
func Of(network string, at netip.AddrPort) string {
	table := "tcp"
	if network == "udp" {
		table = "udp"
	}
	for _, file := range []string{table, table + "6"} {
		b, err := os.ReadFile("/proc/net/" + file)
		if err != nil {
			continue
		}
		if inode := socketInode(string(b), at, table == "tcp"); inode != "" {
			return inodeOwner(inode)
		}
	}
	return ""
}

// socketInode finds a bound socket in a table of /proc/net. A wildcard socket
// of the same port is in the way as well.
func socketInode(table string, want netip.AddrPort, listeningOnly bool) string {
	const (
		localField, stateField, inodeField = 1, 3, 9
		stateListen                        = "0A"
	)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) <= inodeField || (listeningOnly && f[stateField] != stateListen) {
			continue
		}
		addr, ok := procAddr(f[localField])
		if !ok || addr.Port() != want.Port() {
			continue
		}
		if addr.Addr() == want.Addr() || addr.Addr().IsUnspecified() {
			return f[inodeField]
		}
	}
	return ""
}

// procAddr reads "0100007F:13C4": words in the byte order of the machine, which
// is little-endian on everything that we build for.
func procAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	p, perr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || perr != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for w := range slices.Chunk(b, 4) {
		binary.LittleEndian.PutUint32(w, binary.BigEndian.Uint32(w))
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), ok
}

// inodeOwner finds the process that has a socket open.
func inodeOwner(inode string) string {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // only fails for a bad pattern
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, _ := os.ReadFile("/proc/" + pid + "/comm") // the pid is the better half anyway
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}
