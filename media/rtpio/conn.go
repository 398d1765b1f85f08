// Package rtpio owns the sockets of RTP: it opens port pairs from a configured range on one local
// address, marks them with a DSCP, and closes them at once.
//
// It never looks into a packet and starts no goroutine. Ports: RTP on an even port and RTCP on the next
// odd one (RFC 3550 §11).
package rtpio

import "net/netip"

// Conn is one unconnected datagram socket. Read and Write may be called at the same time from different
// goroutines; Close makes a blocked Read return an error. A method never keeps the slice it was given.
type Conn interface {
	// ReadFromAddrPort blocks for one datagram. Longer datagrams than b are cut. The address is unmapped.
	ReadFromAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	// WriteToAddrPort sends one datagram.
	WriteToAddrPort(b []byte, to netip.AddrPort) (n int, err error)
	// LocalAddr returns the bound address, never a wildcard port.
	LocalAddr() netip.AddrPort
	Close() error
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
}
