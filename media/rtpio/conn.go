// Package rtpio owns the sockets of RTP: it opens port pairs from a configured range on one local
// address, marks them with a DSCP, reads all of them at one place (Poller), and closes them at once.
//
// A packet out is one plain sendto. Neither sendmmsg (one socket a call) nor io_uring would pay: entering the kernel is 0.23
// of the 3 us that a packet to loopback costs.
//
// It never looks into a packet. Its only goroutines are the two readers of Poller.Run; on a single core there is one. Ports:
// RTP on an even port and RTCP on the next odd one (RFC 3550 §11).
package rtpio

import (
	"context"
	"net/netip"
	"time"
)

// Conn is one unconnected datagram socket. Its methods may be called from any goroutine.
type Conn interface {
	// WriteToAddrPort sends one datagram and never blocks: what the system has no room for is an error. It does not
	// keep the slice. After Close it fails with net.ErrClosed.
	WriteToAddrPort(b []byte, to netip.AddrPort) (n int, err error)
	// LocalAddr returns the bound address, never a wildcard port.
	LocalAddr() netip.AddrPort
	// Mark sends further packets with another DSCP (0 to 63).
	Mark(dscp int) error
	// Close frees the port before it returns. Further calls do nothing.
	Close() error
}

// Receiver takes the datagrams of one Conn.
type Receiver interface {
	// Receive gets one datagram, at most MaxDatagram octets of it, with its source (unmapped), and how long ago it
	// came (0 if the network does not know). b may be changed and holds until Receive returns; its capacity is at
	// least MaxDatagram + Spare. It runs on a goroutine of the Poller, never twice at the same time for one
	// Conn, but together with that of other Conns, and must not block.
	Receive(b []byte, from netip.AddrPort, age time.Duration)
}

// The size of a Poller's buffer: longer datagrams are cut, shorter ones can grow in place.
const (
	MaxDatagram = 1500
	Spare       = 64
)

// Poller reads any number of Conns of one Network.
type Poller interface {
	// Add lets r have what arrives at c until c is closed. A datagram that is being delivered while c is closed may
	// still be delivered.
	Add(c Conn, r Receiver) error
	// Run delivers until ctx ends.
	Run(ctx context.Context) error
}

// Socket says how a socket is made.
type Socket struct {
	DSCP         int // 0 to 63, on every packet sent
	ReceiveBytes int // kernel buffer; 0 is the system's default
}

// Network opens sockets. The kernel is one (Kernel), an in-memory network for tests another. A port that
// is taken is an error that wraps syscall.EADDRINUSE.
type Network interface {
	// Listen binds exactly addr.
	Listen(addr netip.AddrPort, s Socket) (Conn, error)
	// NewPoller returns a Poller for Conns of this network.
	NewPoller() Poller
}
