package netconf

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// spoiled is what busybox's udhcpc gives its script for a TFTP server name (option 66) that is no host name, such as a URL.
// Then the server is asked for that option once more, by a DHCPINFORM of our own.
const spoiled = "bad"

const (
	serverPort, clientPort = 67, 68
	informTries            = 4
	informWait             = 4 * time.Second // RFC 2131 §4.1: the first retransmission; a lease is not waited for, so it need not grow
	optTFTP                = 66
	optOverload            = 52
	optMessage             = 53
	optRequest             = 55
	optVendor              = 60
	inform, ack            = 8, 5
	fixedSize              = 236 // bytes before the cookie. RFC 2131 §2
	leastMessage           = 300 // RFC 1542 §2.1: some relays drop what is shorter
)

var cookie = []byte{99, 130, 83, 99} // RFC 2131 §3

var errReply = errors.New("netconf: no answer to DHCPINFORM")

// tftpURL is what a server has in option 66, "" if that is no URL.
type tftpURL struct {
	server netip.Addr
	url    string
}

// informMessage asks for one option. RFC 2131 §4.4.3, table 5: no lease time, no address but ciaddr.
func informMessage(id uint32, mac net.HardwareAddr, own netip.Addr, option byte) []byte {
	b := make([]byte, fixedSize, leastMessage)
	b[0], b[1], b[2] = 1, 1, 6 // BOOTREQUEST, Ethernet
	binary.BigEndian.PutUint32(b[4:], id)
	copy(b[12:16], own.AsSlice())
	copy(b[28:34], mac)
	b = append(b, cookie...)
	b = append(b, optMessage, 1, inform, optRequest, 1, option, optVendor, byte(len(vendor)))
	b = append(append(b, vendor...), 255)
	return b[:leastMessage]
}

// parseInform reads the value of an option out of the answer to a message; empty if the server has none.
func parseInform(b []byte, id uint32, mac net.HardwareAddr, option byte) (string, error) {
	if len(b) < fixedSize+len(cookie) || b[0] != 2 || binary.BigEndian.Uint32(b[4:]) != id ||
		!bytes.Equal(b[28:34], mac) || !bytes.Equal(b[fixedSize:fixedSize+len(cookie)], cookie) {
		return "", errReply
	}
	found := options(nil, b[fixedSize+len(cookie):])
	if !bytes.Equal(found[optMessage], []byte{ack}) {
		return "", errReply
	}
	// RFC 2131 §4.1: options that have no room go on in the field file, then in sname.
	if over := found[optOverload]; len(over) == 1 {
		if over[0]&1 != 0 {
			found = options(found, b[108:fixedSize])
		}
		if over[0]&2 != 0 {
			found = options(found, b[44:108])
		}
	}
	return string(found[option]), nil
}

// options adds the options of a field to all. RFC 3396 §7: one that comes again goes on.
func options(all map[byte][]byte, field []byte) map[byte][]byte {
	if all == nil {
		all = map[byte][]byte{}
	}
	for len(field) > 0 && field[0] != 255 {
		if field[0] == 0 { // RFC 2132 §3.1: padding
			field = field[1:]
			continue
		}
		if len(field) < 2 || len(field) < 2+int(field[1]) {
			break // cut: what came before counts
		}
		size := 2 + int(field[1])
		all[field[0]] = append(all[field[0]], field[2:size]...)
		field = field[size:]
	}
	return all
}

// askTFTP asks the server of a lease for option 66.
func askTFTP(ctx context.Context, mac net.HardwareAddr, l lease) (string, error) {
	// The client has a socket of its own on this port while it renews.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var refused error
		err := c.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		return errors.Join(err, refused)
	}}
	conn, err := lc.ListenPacket(ctx, "udp4", netip.AddrPortFrom(l.Addr.Addr(), clientPort).String())
	if err != nil {
		return "", fmt.Errorf("ask for option 66: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var random [4]byte
	_, _ = rand.Read(random[:])
	id := binary.BigEndian.Uint32(random[:])
	buf := make([]byte, 1500)
	for range informTries {
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.Server, serverPort))
		if _, err := conn.WriteTo(informMessage(id, mac, l.Addr.Addr(), optTFTP), to); err != nil {
			return "", fmt.Errorf("ask for option 66: %w", err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(informWait))
		for {
			n, _, err := conn.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return "", fmt.Errorf("ask for option 66: %w", err)
			}
			if text, err := parseInform(buf[:n], id, mac, optTFTP); err == nil {
				return text, nil
			}
		}
	}
	return "", fmt.Errorf("%w of %s", errReply, l.Server)
}

// askMore asks the server of the lease for what the client could not read of it.
func (m *Manager) askMore(ctx context.Context) {
	if m.endTFTP != nil {
		m.endTFTP()
		m.endTFTP = nil
	}
	l := m.machine.Lease()
	port, err := net.InterfaceByIndex(int(m.port))
	if !l.AskTFTP || !l.Server.IsValid() || err != nil {
		m.tftp = tftpURL{}
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		text, err := askTFTP(ctx, port.HardwareAddr, l)
		if err != nil && ctx.Err() == nil {
			m.opt.Log.Warn("DHCP: option 66 stays unknown", "err", err)
		}
		select {
		case m.told <- tftpURL{l.Server, webURL(text)}:
		case <-ctx.Done():
		}
	}()
	m.endTFTP = func() { cancel(); <-done }
}
