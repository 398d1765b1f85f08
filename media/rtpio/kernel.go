package rtpio

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Kernel is the network of the machine.
var Kernel Network = kernel{}

type kernel struct{}

func (kernel) Listen(addr netip.AddrPort, s Socket) (Conn, error) {
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	var optErr error
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if err := c.Control(func(fd uintptr) { optErr = s.apply(int(fd), addr.Addr().Is6()) }); err != nil {
			return err
		}
		return optErr
	}}
	pc, err := lc.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return nil, err
	}
	udp := pc.(*net.UDPConn)
	return &kernelConn{udp, udp.LocalAddr().(*net.UDPAddr).AddrPort()}, nil
}

func (s Socket) apply(fd int, v6 bool) error {
	if s.ReceiveBytes > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, s.ReceiveBytes); err != nil {
			return fmt.Errorf("set receive buffer: %w", err)
		}
	}
	// RFC 2474 §3: the DSCP is the upper six bits of the former TOS and traffic class octets.
	level, opt := unix.IPPROTO_IP, unix.IP_TOS
	if v6 {
		level, opt = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	if err := unix.SetsockoptInt(fd, level, opt, s.DSCP<<2); err != nil {
		return fmt.Errorf("set DSCP %d: %w", s.DSCP, err)
	}
	return nil
}

type kernelConn struct {
	udp   *net.UDPConn
	local netip.AddrPort
}

var _ Conn = (*kernelConn)(nil)

func (c *kernelConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := c.udp.ReadFromUDPAddrPort(b)
	return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
}

func (c *kernelConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return c.udp.WriteToUDPAddrPort(b, to)
}

func (c *kernelConn) LocalAddr() netip.AddrPort { return c.local }
func (c *kernelConn) Close() error              { return c.udp.Close() }
