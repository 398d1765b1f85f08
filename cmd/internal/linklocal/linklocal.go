// Package linklocal makes an Ethernet link an IPv4 address of its own when nobody gives it one (RFC 3927): it picks one out
// of 169.254/16, asks by ARP whether somebody has it, and tells who asks later that it is taken.
//
// It sets no address; whoever runs it does. Run is one goroutine, with one more that reads the socket.
package linklocal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// RFC 3927 §9.
const (
	probeWait        = time.Second
	probeNum         = 3
	probeMin         = time.Second
	probeMax         = 2 * time.Second
	announceWait     = 2 * time.Second
	announceNum      = 2
	announceInterval = 2 * time.Second
	maxConflicts     = 10
	rateLimit        = 60 * time.Second
	defendInterval   = 10 * time.Second
)

// Bits is the length of the network.
const Bits = 16

const (
	etherARP  = 0x0806
	arpSize   = 28
	frameSize = 14 + arpSize
	request   = 1
)

// candidate is the n-th address that a link tries: always the same for the same link, so that it keeps its address over a
// restart, within 169.254.1.0 to 169.254.254.255. RFC 3927 §2.1.
func candidate(mac [6]byte, n int) netip.Addr {
	h := fnv.New32a()
	_, _ = h.Write(mac[:])
	_, _ = h.Write([]byte{byte(n), byte(n >> 8)})
	v := h.Sum32() % (254 * 256)
	return netip.AddrFrom4([4]byte{169, 254, byte(1 + v/256), byte(v)})
}

// packet is what matters of an ARP packet for IPv4 on Ethernet. RFC 826.
type packet struct {
	op     uint16
	sender [6]byte
	from   netip.Addr // 0.0.0.0 in a probe
	to     netip.Addr
}

func (p packet) frame() []byte {
	b := make([]byte, 0, frameSize)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // RFC 3927 §2.5: all of it goes to everybody
	b = append(b, p.sender[:]...)
	b = binary.BigEndian.AppendUint16(b, etherARP)
	b = append(b, 0, 1, 8, 0, 6, 4)
	b = binary.BigEndian.AppendUint16(b, p.op)
	b = append(b, p.sender[:]...)
	b = append(b, p.from.AsSlice()...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, p.to.AsSlice()...)
}

func parse(b []byte) (p packet, ok bool) {
	if len(b) < frameSize || binary.BigEndian.Uint16(b[12:]) != etherARP || !bytes.Equal(b[14:20], []byte{0, 1, 8, 0, 6, 4}) {
		return p, false
	}
	a := b[14:]
	p.op = binary.BigEndian.Uint16(a[6:])
	copy(p.sender[:], a[8:14])
	p.from, p.to = netip.AddrFrom4([4]byte(a[14:18])), netip.AddrFrom4([4]byte(a[24:28]))
	return p, true
}

// conflicts says whether a packet shows that another has our address, or wants it at the same time. RFC 3927 §2.2.1, §2.5.
func conflicts(p packet, mac [6]byte, addr netip.Addr, probing bool) bool {
	if p.sender == mac {
		return false
	}
	return p.from == addr || probing && p.from == netip.IPv4Unspecified() && p.to == addr
}

// Run tells an address that is ours, and the zero address when we have lost it, until ctx ends. tell runs on the caller's
// goroutine.
func Run(ctx context.Context, index int, tell func(netip.Addr)) error {
	link, err := net.InterfaceByIndex(index)
	if err != nil {
		return fmt.Errorf("linklocal: %w", err)
	}
	if len(link.HardwareAddr) != 6 {
		return fmt.Errorf("linklocal: %s is no Ethernet link", link.Name)
	}
	mac := [6]byte(link.HardwareAddr)
	const wire = etherARP&0xff<<8 | etherARP>>8 // in the order of the network, on a little-endian machine
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, wire)
	if err != nil {
		return fmt.Errorf("linklocal: %w", err)
	}
	f := os.NewFile(uintptr(fd), "arp")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: wire, Ifindex: index}); err != nil {
		return fmt.Errorf("linklocal: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Now()) })
	defer stop()
	heard := make(chan packet) // unbuffered: the socket's own buffer holds what comes meanwhile
	go func() {
		defer close(heard)
		buf := make([]byte, 128)
		for {
			n, err := f.Read(buf)
			if errors.Is(err, unix.ENETDOWN) {
				continue
			}
			if err != nil {
				return
			}
			if p, ok := parse(buf[:n]); ok {
				select {
				case heard <- p:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	send := func(p packet) { _, _ = f.Write(p.frame()) } // a link without a cable takes none
	for n := 0; ctx.Err() == nil; n++ {
		if n >= maxConflicts && !pause(ctx, heard, rateLimit) {
			break
		}
		addr := candidate(mac, n)
		if claim(ctx, heard, send, mac, addr) {
			tell(addr)
			defend(ctx, heard, send, mac, addr)
			if ctx.Err() == nil {
				tell(netip.Addr{})
			}
		}
	}
	for range heard { // until the reader has ended: the context has, or the socket has failed
	}
	return nil
}

// pause lets time pass; false: the end.
func pause(ctx context.Context, heard <-chan packet, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case _, ok := <-heard:
			if !ok {
				return false
			}
		case <-t.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// claim asks whether an address is free and says whether it is. RFC 3927 §2.2.1.
func claim(ctx context.Context, heard <-chan packet, send func(packet), mac [6]byte, addr netip.Addr) bool {
	wait := time.NewTimer(rand.N(probeWait))
	defer wait.Stop()
	for sent := 0; ; {
		select {
		case p, ok := <-heard:
			if !ok || conflicts(p, mac, addr, true) {
				return false
			}
		case <-wait.C:
			if sent == probeNum {
				return true
			}
			send(packet{request, mac, netip.IPv4Unspecified(), addr})
			if sent++; sent == probeNum {
				wait.Reset(announceWait)
			} else {
				wait.Reset(probeMin + rand.N(probeMax-probeMin))
			}
		case <-ctx.Done():
			return false
		}
	}
}

// defend announces an address and keeps it until somebody insists on it. RFC 3927 §2.4, §2.5 (b).
func defend(ctx context.Context, heard <-chan packet, send func(packet), mac [6]byte, addr netip.Addr) {
	announce := func() { send(packet{request, mac, addr, addr}) }
	var last time.Time
	again := time.NewTimer(0)
	defer again.Stop()
	for sent := 0; ; {
		select {
		case p, ok := <-heard:
			if !ok {
				return
			}
			if !conflicts(p, mac, addr, false) {
				continue
			}
			if now := time.Now(); last.IsZero() || now.Sub(last) >= defendInterval {
				last = now
				announce()
				continue
			}
			return
		case <-again.C:
			announce()
			if sent++; sent < announceNum {
				again.Reset(announceInterval)
			}
		case <-ctx.Done():
			return
		}
	}
}
