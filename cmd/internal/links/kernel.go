package links

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// readSize is more than rtnetlink sends at a time. What a message says is not looked at.
const readSize = 64 << 10

// Kernel is the network of this machine, or of the network namespace that the process is in.
type Kernel struct {
	socket *os.File
	buf    []byte
}

var _ Source = (*Kernel)(nil)

// Open subscribes to the kernel's messages about links, addresses and routes. Close ends it.
func Open() (*Kernel, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("links: open rtnetlink: %w", err)
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("links: subscribe to rtnetlink: %w", err)
	}
	return &Kernel{socket: os.NewFile(uintptr(fd), "rtnetlink"), buf: make([]byte, readSize)}, nil
}

// Close frees the socket.
func (k *Kernel) Close() error { return k.socket.Close() }

// Wait implements Source.
func (k *Kernel) Wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = k.socket.SetReadDeadline(time.Now()) })
	defer stop()
	_, err := k.socket.Read(k.buf)
	if errors.Is(err, unix.ENOBUFS) {
		return nil // more has happened than the socket could hold: all the more reason to look
	}
	return err
}

// State implements Source.
func (k *Kernel) State() (State, error) { return now() }

// now reads the links, addresses and default routes of this machine.
func now() (State, error) {
	all, err := net.Interfaces()
	if err != nil {
		return State{}, fmt.Errorf("links: %w", err)
	}
	var s State
	for _, i := range all {
		l := Link{Name: i.Name, Up: i.Flags&net.FlagUp != 0 && i.Flags&net.FlagRunning != 0}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				l.Addrs = append(l.Addrs, p.Addr().Unmap())
			}
		}
		s.Links = append(s.Links, l)
	}
	s.Routes = DefaultRoutes("")
	return s.sorted(), nil
}

// DefaultRoutes reads where the kernel's default routes lead, first those of IPv4. root is "" but in tests: where /proc is.
func DefaultRoutes(root string) []Route {
	// A kernel without the family has no such file.
	v4, _ := os.ReadFile(filepath.Join(root, "/proc/net/route"))
	v6, _ := os.ReadFile(filepath.Join(root, "/proc/net/ipv6_route"))
	return append(routes4(string(v4)), routes6(string(v6))...)
}

// routes4 reads the default routes out of /proc/net/route: interface, destination, gateway, flags, …, mask as the
// eighth; addresses as the machine's words, which are little-endian on everything that we build for.
func routes4(table string) []Route {
	var out []Route
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		if b, err := hex.DecodeString(f[2]); err == nil && len(b) == 4 {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], binary.LittleEndian.Uint32(b))
			out = append(out, Route{netip.AddrFrom4(a), f[0]})
		}
	}
	return out
}

// routes6 reads the default routes out of /proc/net/ipv6_route: destination and its length, source and its length, next
// hop, …, interface as the tenth. The kernel's own reject route leads to lo.
func routes6(table string) []Route {
	const zero = "00000000000000000000000000000000"
	var out []Route
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 || f[0] != zero || f[1] != "00" || f[9] == "lo" {
			continue
		}
		if b, err := hex.DecodeString(f[4]); err == nil && len(b) == 16 {
			if r := (Route{netip.AddrFrom16([16]byte(b)), f[9]}); !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}
