package lldp

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Self is what we say about ourselves. Texts that are empty are left out.
type Self struct {
	Name         string // of this appliance
	Port         string // of the port
	Manufacturer string
	Model        string
	Firmware     string // version
	Serial       string
	Address      netip.Addr // where it is managed; IPv4 or not valid
}

// frameOf is the frame that says who we are, for so many seconds.
func frameOf(mac [6]byte, s Self, p phy, ttl int) []byte {
	b := append(make([]byte, 0, 512), group[:]...)
	b = append(b, mac[:]...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	tlv := func(kind int, value ...byte) {
		b = binary.BigEndian.AppendUint16(b, uint16(kind<<9|len(value)))
		b = append(b, value...)
	}
	text := func(kind int, s string) {
		if s != "" {
			tlv(kind, []byte(s[:min(len(s), 255)])...)
		}
	}
	med := func(kind byte, value ...byte) { tlv(tlvSpecific, append([]byte{0x00, 0x12, 0xbb, kind}, value...)...) }
	inventory := func(kind byte, s string) {
		if s != "" {
			med(kind, []byte(s[:min(len(s), medText)])...)
		}
	}
	tlv(tlvChassis, append([]byte{4}, mac[:]...)...) // subtype MAC address. IEEE 802.1AB §8.5.2.2
	tlv(tlvPort, append([]byte{3}, mac[:]...)...)    // the same. §8.5.3.2
	tlv(tlvTTL, byte(ttl>>8), byte(ttl))
	text(tlvPortText, s.Port)
	text(tlvSystemName, s.Name)
	text(tlvSystemText, strings.Join(strings.Fields(s.Manufacturer+" "+s.Firmware+" "+s.Model), " "))
	tlv(tlvCapabilities, 0, telephone, 0, telephone)
	if s.Address.Is4() {
		a := s.Address.As4()
		tlv(tlvManagement, 5, 1, a[0], a[1], a[2], a[3], 1, 0, 0, 0, 0, 0) // IPv4; interface unknown; no OID. §8.5.9
	}
	neg, duplex := p.autonegotiation(), p.mau()
	tlv(tlvSpecific, 0x00, 0x12, 0x0f, 1, neg[0], neg[1], neg[2], byte(duplex>>8), byte(duplex)) // IEEE 802.3 §79.3.1
	med(medCapabilities, medCan>>8, medCan&0xff, medClassPhone)
	med(medPolicy, medVoice, 0x80, 0, 0) // we ask: policy unknown
	inventory(medFirmware, s.Firmware)
	inventory(medSerial, s.Serial)
	inventory(medManufacturer, s.Manufacturer)
	inventory(medModel, s.Model)
	tlv(tlvEnd)
	return b
}

// phy is how a port speaks with its partner; zero: not known. Bits are those of linux/ethtool.h.
type phy struct {
	Supported, Advertised uint32
	Speed                 int // Mbit/s
	Full                  bool
	Negotiates            bool
}

// Of linux/ethtool.h.
const (
	ethtoolGet    = 1 // ETHTOOL_GSET
	bitAuto       = 1 << 6
	unknownSpeed  = 0xffff
	fullDuplex    = 1
	autonegEnable = 1
)

// linkModes are bits of linux/ethtool.h and those of RFC 4836 ifMauAutoNegCapAdvertisedBits, the first of which is the highest.
var linkModes = []struct{ kernel, mau uint }{{0, 1}, {1, 2}, {2, 4}, {3, 5}, {4, 14}, {5, 15}}

// autonegotiation is whether that can be and is done, and what is advertised. IEEE 802.3 §79.3.1.1, §79.3.1.2.
func (p phy) autonegotiation() (b [3]byte) {
	if p.Supported&bitAuto != 0 {
		b[0] |= 1
	}
	if p.Negotiates {
		b[0] |= 2
	}
	bits := uint16(0)
	for _, m := range linkModes {
		if p.Advertised&(1<<m.kernel) != 0 {
			bits |= 0x8000 >> m.mau
		}
	}
	if bits == 0 {
		bits = 0x8000 // other
	}
	b[1], b[2] = byte(bits>>8), byte(bits)
	return b
}

// mau is the type in use, of twisted pair; 0 is none of them. RFC 4836 dot3MauType.
func (p phy) mau() int {
	types := map[int][2]int{10: {10, 11}, 100: {15, 16}, 1000: {29, 30}, 10000: {54, 54}} // half and full duplex
	if p.Full {
		return types[p.Speed][1]
	}
	return types[p.Speed][0]
}

// command is struct ethtool_cmd of linux/ethtool.h.
type command struct {
	cmd, supported, advertising                      uint32
	speed                                            uint16
	duplex, port, address, transceiver, autoneg, mdi uint8
	_, _                                             uint32
	speedHigh                                        uint16
	_, _                                             uint8
	_, _, _                                          uint32
}

// readPHY asks the driver of a port, through any socket.
func readPHY(fd int, port string) (p phy) {
	c := command{cmd: ethtoolGet}
	var r struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [24]byte // what struct ifreq has besides
	}
	if len(port) >= len(r.name) {
		return p
	}
	copy(r.name[:], port)
	r.data = unsafe.Pointer(&c)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return p
	}
	p = phy{Supported: c.supported, Advertised: c.advertising, Full: c.duplex == fullDuplex, Negotiates: c.autoneg == autonegEnable}
	if c.speed != unknownSpeed {
		p.Speed = int(c.speed) | int(c.speedHigh)<<16
	}
	return p
}
