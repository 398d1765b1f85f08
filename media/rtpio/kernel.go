package rtpio

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kernel is the network of the machine. Its sockets bypass the runtime's poller: a packet out is one system call,
// and one in wakes nobody but the Poller.
var Kernel Network = kernel{}

type kernel struct{}

func (kernel) Listen(addr netip.AddrPort, s Socket) (Conn, error) {
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, err)
	}
	c := &kernelConn{fd: fd, v6: addr.Addr().Is6()}
	if err := c.bind(addr, s); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen %s: %w", addr, err)
	}
	return c, nil
}

func (kernel) NewPoller() Poller { return newKernelPoller() }

// kernelConn owns a file descriptor, which is closed when nobody uses it any more: a number that the system has given
// to another call's socket meanwhile must never be written to.
type kernelConn struct {
	// immutable
	fd    int
	v6    bool
	local netip.AddrPort

	users    atomic.Int64 // of fd, and the bits closing and closed
	reading  atomic.Bool  // by a reader of the Poller
	receiver Receiver     // written by Poller.Add, before anything can arrive
	poller   atomic.Pointer[kernelPoller]
	place    int // in poller's table
}

const (
	closing = 1 << 32
	closed  = 1 << 33
)

var _ Conn = (*kernelConn)(nil)

func (c *kernelConn) bind(addr netip.AddrPort, s Socket) error {
	if c.v6 {
		// An address of IPv4 has a socket of its own.
		if err := unix.SetsockoptInt(c.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fmt.Errorf("set IPv6 only: %w", err)
		}
	}
	if err := s.apply(c.fd, c.v6); err != nil {
		return err
	}
	// The kernel's time of arrival, as SO_TIMESTAMPING with SOF_TIMESTAMPING_RX_SOFTWARE would give it, in one number instead of three;
	// stamps of network cards are not asked for. Kernels before 5.1 do not know it: then a packet's time is that of its reading.
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1)
	var sa sockaddr
	size, err := sa.put(addr, c.v6)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(c.fd), uintptr(unsafe.Pointer(&sa)), size); errno != 0 {
		return errno
	}
	length := uint32(unsafe.Sizeof(sa))
	if _, _, errno := unix.Syscall(unix.SYS_GETSOCKNAME, uintptr(c.fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&length))); errno != 0 {
		return errno
	}
	c.local = sa.addr()
	return nil
}

func (s Socket) apply(fd int, v6 bool) error {
	if s.ReceiveBytes > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, s.ReceiveBytes); err != nil {
			return fmt.Errorf("set receive buffer: %w", err)
		}
	}
	return mark(fd, v6, s.DSCP)
}

func mark(fd int, v6 bool, dscp int) error {
	// RFC 2474 §3: the DSCP is the upper six bits of the former TOS and traffic class octets.
	level, opt := unix.IPPROTO_IP, unix.IP_TOS
	if v6 {
		level, opt = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	if err := unix.SetsockoptInt(fd, level, opt, dscp<<2); err != nil {
		return fmt.Errorf("set DSCP %d: %w", dscp, err)
	}
	return nil
}

func (c *kernelConn) Mark(dscp int) error {
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.release()
	return mark(c.fd, c.v6, dscp)
}

// acquire keeps fd from being closed until release.
func (c *kernelConn) acquire() bool {
	if c.users.Add(1)&closing == 0 {
		return true
	}
	c.release()
	return false
}

func (c *kernelConn) release() {
	if c.users.Add(-1) == closing {
		c.end()
	}
}

// end closes fd once nobody uses it; one caller gets to do it.
func (c *kernelConn) end() {
	if c.users.CompareAndSwap(closing, closing|closed) {
		// A datagram socket has nothing to flush that could fail.
		_ = unix.Close(c.fd)
	}
}

func (c *kernelConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if !c.acquire() {
		return 0, net.ErrClosed
	}
	defer c.release()
	var sa sockaddr
	size, err := sa.put(to, c.v6)
	if err != nil {
		return 0, err
	}
	if len(b) == 0 {
		return 0, unix.EINVAL
	}
	// Without the runtime's knowledge: it does not block, and giving up and regaining a processor would cost more.
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&sa)), size)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (c *kernelConn) LocalAddr() netip.AddrPort { return c.local }

func (c *kernelConn) Close() error {
	for {
		u := c.users.Load()
		if u&closing != 0 {
			return nil
		}
		if c.users.CompareAndSwap(u, u|closing) {
			break
		}
	}
	if p := c.poller.Load(); p != nil {
		p.forget(c)
	}
	// What uses fd does not block, so that this ends in microseconds.
	for c.end(); c.users.Load()&closed == 0; c.end() {
		runtime.Gosched()
	}
	return nil
}

// sockaddr has room for the addresses of both families, as the kernel lays them out.
type sockaddr struct {
	family uint16
	port   [2]byte
	v4     [4]byte // of IPv6 the flow label
	v6     [16]byte
	scope  uint32
}

const (
	sizeInet4 = 16
	sizeInet6 = 28
)

// put writes an address and returns its size.
func (sa *sockaddr) put(a netip.AddrPort, v6 bool) (size uintptr, err error) {
	binary.BigEndian.PutUint16(sa.port[:], a.Port())
	addr := a.Addr()
	if !v6 {
		if !addr.Is4() && !addr.Is4In6() {
			return 0, unix.EAFNOSUPPORT
		}
		sa.family, sa.v4 = unix.AF_INET, addr.As4()
		return sizeInet4, nil
	}
	if !addr.Is6() {
		return 0, unix.EAFNOSUPPORT
	}
	sa.family, sa.v4, sa.v6, sa.scope = unix.AF_INET6, [4]byte{}, addr.As16(), 0
	if zone := addr.Zone(); zone != "" {
		if sa.scope, err = zones.scope(zone); err != nil {
			return 0, err
		}
	}
	return sizeInet6, nil
}

// addr reads an address. One of IPv4 inside IPv6 becomes one of IPv4.
func (sa *sockaddr) addr() netip.AddrPort {
	port := binary.BigEndian.Uint16(sa.port[:])
	if sa.family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4(sa.v4), port)
	}
	addr := netip.AddrFrom16(sa.v6).Unmap()
	if sa.scope != 0 && addr.Is6() {
		addr = addr.WithZone(zones.name(sa.scope))
	}
	return netip.AddrPortFrom(addr, port)
}

// zones remembers the interfaces of link-local addresses (RFC 4007 §11), of which a machine has few.
var zones = zoneTable{scopes: map[string]uint32{}, names: map[uint32]string{}}

type zoneTable struct {
	mu     sync.Mutex
	scopes map[string]uint32 // guarded by mu
	names  map[uint32]string // guarded by mu
}

func (z *zoneTable) scope(name string) (uint32, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if n, ok := z.scopes[name]; ok {
		return n, nil
	}
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", name, err)
	}
	z.scopes[name] = uint32(i.Index)
	return uint32(i.Index), nil
}

func (z *zoneTable) name(scope uint32) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	if name, ok := z.names[scope]; ok {
		return name
	}
	name := strconv.Itoa(int(scope))
	if i, err := net.InterfaceByIndex(int(scope)); err == nil {
		name = i.Name
	}
	z.names[scope] = name
	return name
}
