package lldp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Times of sending. IEEE 802.1AB §9.2.5, ANSI/TIA-1057 §11.2.1: the first frames come fast, so that the phone has its VLAN
// within a second.
const (
	fastEvery = time.Second
	fastCount = 4
	every     = 30 * time.Second
	ttl       = 120 // seconds
	bufSize   = 1600
)

// Port is a socket for LLDP frames of one Ethernet port.
type Port struct {
	f     *os.File
	index int
	mac   [6]byte
}

// Open opens the socket of a port by its index. It needs CAP_NET_RAW.
func Open(index int) (*Port, error) {
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return nil, fmt.Errorf("lldp: %w", err)
	}
	if len(i.HardwareAddr) != 6 {
		return nil, fmt.Errorf("lldp: %s is no Ethernet port", i.Name)
	}
	const wire = etherType&0xff<<8 | etherType>>8 // in the order of the network, on a little-endian machine
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, wire)
	if err != nil {
		return nil, fmt.Errorf("lldp: open a packet socket: %w", err)
	}
	member := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_MULTICAST, Alen: 6}
	copy(member.Address[:], group[:])
	err = errors.Join(unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: wire, Ifindex: index}),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &member))
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("lldp: port %s: %w", i.Name, err)
	}
	p := &Port{f: os.NewFile(uintptr(fd), "lldp"), index: index}
	copy(p.mac[:], i.HardwareAddr)
	return p, nil
}

// Close frees the socket.
func (p *Port) Close() error { return p.f.Close() }

// announce sends who we are. A port without a cable takes nothing.
func (p *Port) announce(s Self, ttl int) {
	var port phy
	if i, err := net.InterfaceByIndex(p.index); err == nil {
		s.Port = i.Name
		if raw, err := p.f.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { port = readPHY(int(fd), i.Name) })
		}
	}
	_, _ = p.f.Write(frameOf(p.mac, s, port, ttl))
}

// Run says who we are, as self tells it, and tells the policy of the switch whenever it changes; nil when there is none any
// more. It returns when ctx ends or the socket fails. Both functions run on the caller's goroutine.
func (p *Port) Run(ctx context.Context, self func() Self, tell func(*Policy)) error {
	frames := make(chan []byte) // unbuffered: the socket's own buffer holds what comes meanwhile
	failed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { _ = p.f.SetReadDeadline(time.Now()) })
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for {
			buf := make([]byte, bufSize)
			n, err := p.f.Read(buf)
			if errors.Is(err, unix.ENETDOWN) { // the port was switched off; its frames come again
				continue
			}
			if err != nil {
				failed <- err
				return
			}
			select {
			case frames <- buf[:n]:
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	defer func() { // goodbye. IEEE 802.1AB §9.2.7: a time to live of 0
		p.announce(self(), 0)
		_ = p.f.SetReadDeadline(time.Now())
		cancel()
		<-failed
	}()
	var h hearing
	send := time.NewTimer(0)
	defer send.Stop()
	sent := 0
	forget := time.NewTimer(time.Hour)
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			failed <- err
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("lldp: %w", err)
		case <-send.C:
			p.announce(self(), ttl)
			if sent++; sent < fastCount {
				send.Reset(fastEvery)
			} else {
				send.Reset(every)
			}
		case f := <-frames:
			n, err := Parse(f)
			if err != nil {
				continue
			}
			if h.IsNew(n) {
				sent = 0
				send.Reset(0)
			}
			if h.Heard(time.Now(), n) {
				tell(h.Policy())
			}
			forget.Reset(time.Until(h.Until()))
		case <-forget.C:
			if h.Forget(time.Now()) {
				tell(nil)
			}
		}
	}
}

// hearing is what was heard from the switch. The first one with a policy counts until its time to live ends: a phone has one
// cable, and behind a switch that passes LLDP on others may speak too.
type hearing struct {
	chassis string
	policy  *Policy
	until   time.Time
}

// Policy is a copy of what is in force; nil: none.
func (h *hearing) Policy() *Policy {
	if h.policy == nil {
		return nil
	}
	p := *h.policy
	return &p
}

// Until is when what was heard is over.
func (h *hearing) Until() time.Time { return h.until }

// IsNew says whether a switch is heard for the first time: it must hear us soon. ANSI/TIA-1057 §11.2.1.
func (h *hearing) IsNew(n Neighbour) bool {
	return n.TTL > 0 && n.Chassis != h.chassis && h.policy == nil
}

// Heard takes what a neighbour said and says whether the policy has changed. Only a device of the network has one for us:
// another phone tells its own.
func (h *hearing) Heard(now time.Time, n Neighbour) (changed bool) {
	if n.TTL == 0 {
		return n.Chassis == h.chassis && h.Forget(h.until)
	}
	if h.policy != nil && n.Chassis != h.chassis {
		return false
	}
	if !n.Switch {
		n.Voice = nil
	}
	old := h.policy
	h.chassis, h.policy, h.until = n.Chassis, n.Voice, now.Add(time.Duration(n.TTL)*time.Second)
	return (old == nil) != (h.policy == nil) || old != nil && *old != *h.policy
}

// Forget ends what is over and says whether there was a policy.
func (h *hearing) Forget(now time.Time) (changed bool) {
	if now.Before(h.until) {
		return false
	}
	changed = h.policy != nil
	*h = hearing{}
	return changed
}
