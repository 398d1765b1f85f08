//go:build image

package guesthost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// tapName is the interface of this machine on the switch.
	tapName = "outside"
	// firstPort is where the switch's own ends of the cables to guests begin; QEMU's are above by cableSpan.
	firstPort = 20000
	cableSpan = 1000
	maxFrame  = 2048
)

// Switch passes Ethernet frames between guests and this machine: each frame goes to all others, as through a hub.
type Switch struct {
	mu      sync.Mutex
	ports   []*Cable // guarded by mu
	readers sync.WaitGroup
}

// Cable joins one guest, or this machine, to a Switch.
type Cable struct {
	conn   io.ReadWriteCloser
	local  int // port of our end; 0 for this machine's interface
	vlan   atomic.Uint32
	watch  atomic.Pointer[func([]byte)]
	Frames atomic.Uint64
}

// NewSwitch makes a switch that this machine is plugged into with its own address.
func NewSwitch(own netip.Prefix) (*Switch, error) {
	s := &Switch{}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	r, err := unix.NewIfreq(tapName)
	if err == nil {
		r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make the interface %s: %w", tapName, err)
	}
	s.join(&Cable{conn: os.NewFile(uintptr(fd), tapName)})
	err = ip("link", "set", tapName, "up")
	if err == nil {
		err = ip("addr", "add", own.String(), "dev", tapName)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Address gives this machine one more address on the switch.
func (s *Switch) Address(a netip.Addr) error {
	return ip("addr", "replace", netip.PrefixFrom(a, 32).String(), "dev", tapName)
}

// Access puts this machine's port into a VLAN; the ports of guests carry its frames with a tag, as those of phones do.
func (s *Switch) Access(id int) { s.ports[0].vlan.Store(uint32(id)) }

// Send gives the guest a frame of the switch's own, untagged.
func (c *Cable) Send(frame []byte) error {
	_, err := c.conn.Write(frame)
	return err
}

// Watch shows f what the guest sends, on the switch's goroutine; f must not keep it.
func (c *Cable) Watch(f func(frame []byte)) { c.watch.Store(&f) }

// Of a VLAN's tag. IEEE 802.1Q §9.
const tagAt, tagSize, tagType = 12, 4, 0x8100

// tagged is a copy of a frame that came without a tag.
func tagged(frame []byte, id uint32) []byte {
	b := append(make([]byte, 0, len(frame)+tagSize), frame[:tagAt]...)
	b = append(b, tagType>>8, tagType&0xff, byte(id>>8), byte(id))
	return append(b, frame[tagAt:]...)
}

// untagged is a copy of a frame of a VLAN without its tag; nil for one of another VLAN.
func untagged(frame []byte, id uint32) []byte {
	if len(frame) < tagAt+tagSize || binary.BigEndian.Uint16(frame[tagAt:]) != tagType || uint32(binary.BigEndian.Uint16(frame[tagAt+2:])&0xfff) != id {
		return nil
	}
	return append(append([]byte(nil), frame[:tagAt]...), frame[tagAt+tagSize:]...)
}

// Plug lays a cable for a guest.
func (s *Switch) Plug() (*Cable, error) {
	s.mu.Lock()
	n := firstPort + len(s.ports)
	s.mu.Unlock()
	local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(n)))
	remote := *local
	remote.Port += cableSpan
	conn, err := net.DialUDP("udp4", local, &remote)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(1 << 20) // less is granted where the kernel says so
	c := &Cable{conn: conn, local: n}
	s.join(c)
	return c, nil
}

// cableID is the name that QEMU has for a cable.
const cableID = "cable"

// netdev is the cable as QEMU is told of it.
func (c *Cable) netdev() string {
	return fmt.Sprintf("dgram,id=%s,local.type=inet,local.host=127.0.0.1,local.port=%d,remote.type=inet,remote.host=127.0.0.1,remote.port=%d",
		cableID, c.local+cableSpan, c.local)
}

func (s *Switch) join(c *Cable) {
	s.mu.Lock()
	s.ports = append(s.ports, c)
	s.mu.Unlock()
	s.readers.Go(func() { s.read(c) })
}

// read passes on what comes through one cable until it is closed.
func (s *Switch) read(c *Cable) {
	frame := make([]byte, maxFrame)
	for {
		n, err := c.conn.Read(frame)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // the guest is off: the kernel says that nobody is there
		}
		c.Frames.Add(1)
		out := frame[:n]
		if f := c.watch.Load(); f != nil {
			(*f)(out)
		}
		if id := c.vlan.Load(); id != 0 && n > tagAt {
			out = tagged(out, id)
		}
		s.mu.Lock()
		ports := s.ports
		s.mu.Unlock()
		for _, p := range ports {
			if p == c {
				continue
			}
			to := out
			if id := p.vlan.Load(); id != 0 {
				if to = untagged(out, id); to == nil {
					continue
				}
			}
			_, _ = p.conn.Write(to) // a frame that is lost is for those who sent it
		}
	}
}

// Close pulls all cables and waits for the switch to be still.
func (s *Switch) Close() {
	s.mu.Lock()
	ports := s.ports
	s.mu.Unlock()
	for _, p := range ports {
		_ = p.conn.Close()
	}
	s.readers.Wait()
}
