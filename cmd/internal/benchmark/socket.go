package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many datagrams one system call reads.
	batchSize = 64
	// datagramSize is more than any datagram that an appliance sends; SIP over UDP stays below 1300 bytes (RFC 3261
	// §18.1.1), documents of an orbit with many calls do not reach 4 kB.
	datagramSize = 8192
	// bufferBytes is asked of the kernel for what waits to be read. A burst of 500 NOTIFYs is 1 MB with its overhead.
	bufferBytes = 4 << 20
)

// stamp is a moment in nanoseconds of the system's clock, the one in which the kernel stamps packets.
type stamp int64

func now() stamp { return stamp(time.Now().UnixNano()) }

func stampOf(t time.Time) stamp { return stamp(t.UnixNano()) }

// since is the time from an earlier stamp to s.
func (s stamp) since(earlier stamp) time.Duration { return time.Duration(s - earlier) }

// unstamped counts datagrams that came without a stamp of the kernel; they got the time of reading.
var unstamped atomic.Uint64

// socket is a UDP port whose datagrams carry the kernel's time of arrival. On loopback that is the moment in which the
// sender's system call delivers them, whatever the reader is doing.
type socket struct {
	conn *net.UDPConn
	addr netip.AddrPort
}

// openSocket opens a port of an address; 0 is any.
func openSocket(at netip.AddrPort) (*socket, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(conn.SetReadBuffer(bufferBytes), stampArrivals(conn)); err != nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", at, err), conn.Close())
	}
	return &socket{conn: conn, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}, nil
}

func stampArrivals(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1)
	})
	return errors.Join(err, refused)
}

// send sends a datagram. On loopback it is at its receiver when this returns; an error means that nobody is there,
// which the missing answer says as well.
func (s *socket) send(to netip.AddrPort, data []byte) { _, _ = s.conn.WriteToUDPAddrPort(data, to) }

func (s *socket) close() { _ = s.conn.Close() }

// read hands every datagram to take until the socket is closed. data is valid during the call only.
func (s *socket) read(take func(data []byte, from netip.AddrPort, at stamp)) {
	messages := make([]ipv4.Message, batchSize)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, datagramSize)}
		messages[i].OOB = make([]byte, 64)
	}
	batch := ipv4.NewPacketConn(s.conn)
	for {
		n, err := batch.ReadBatch(messages, 0)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier datagram: the appliance was killed
		}
		read := now()
		for i := range messages[:n] {
			m := &messages[i]
			from := m.Addr.(*net.UDPAddr).AddrPort()
			at, ok := arrival(m.OOB[:m.NN])
			if !ok {
				unstamped.Add(1)
				at = read
			}
			take(m.Buffers[0][:m.N], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), at)
		}
	}
}

// arrival finds the kernel's stamp in the control messages of a datagram: cmsg(3), socket(7). It does not allocate.
func arrival(oob []byte) (stamp, bool) {
	header := int(unsafe.Sizeof(unix.Cmsghdr{}))
	for len(oob) >= header {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0])) // the kernel aligns it
		size := int(h.Len)
		if size < header || size > len(oob) {
			return 0, false
		}
		// SO_TIMESTAMPNS_NEW: two 64-bit numbers on every architecture.
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS_NEW && size >= header+16 {
			seconds := int64(binary.NativeEndian.Uint64(oob[header:]))
			nanos := int64(binary.NativeEndian.Uint64(oob[header+8:]))
			return stamp(seconds*int64(time.Second) + nanos), true
		}
		oob = oob[min(unix.CmsgSpace(size-header), len(oob)):]
	}
	return 0, false
}
