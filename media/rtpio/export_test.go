package rtpio

import "golang.org/x/sys/unix"

// MarkedDSCP reads back how a socket of the kernel marks its packets.
func MarkedDSCP(c Conn) (int, error) {
	k := c.(*kernelConn)
	if k.v6 {
		tos, err := unix.GetsockoptInt(k.fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS)
		return tos >> 2, err
	}
	tos, err := unix.GetsockoptInt(k.fd, unix.IPPROTO_IP, unix.IP_TOS)
	return tos >> 2, err
}
