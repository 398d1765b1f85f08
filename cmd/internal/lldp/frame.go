// Package lldp hears from the switch in which VLAN and with which priority a phone shall speak, by LLDP-MED. It also says
// who we are: a switch tells its policy only to whom it has heard to be a phone.
//
// It changes nothing; whoever runs it gets the policy. Run is one goroutine, with one more that reads the socket.
//
// Standards: IEEE 802.1AB-2016 (frames), ANSI/TIA-1057 (LLDP-MED). Departs from ANSI/TIA-1057 §10.2.1: no MAC/PHY TLV of
// IEEE 802.3 is sent, which switches do not need for a policy.
package lldp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// EtherType of LLDP, and the address that no bridge forwards. IEEE 802.1AB §7.1.
const EtherType = 0x88cc

var group = [6]byte{0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e}

// TLV types. IEEE 802.1AB §8.4.1.
const (
	tlvEnd          = 0
	tlvChassis      = 1
	tlvPort         = 2
	tlvTTL          = 3
	tlvSystemName   = 5
	tlvCapabilities = 7
	tlvSpecific     = 127
)

// Of LLDP-MED. ANSI/TIA-1057 §10.2.
const (
	medOUI          = 0x0012bb
	medCapabilities = 1
	medPolicy       = 2
	medVoice        = 1      // application type
	medClassSwitch  = 4      // a device of the network
	medClassPhone   = 3      // class III: a communication device
	medCan          = 0x0003 // capabilities and network policy
	reservedVLAN    = 0xfff  // IEEE 802.1Q-2018 table 9-2
	telephone       = 0x0020 // system capability. IEEE 802.1AB §8.5.8
)

const (
	headerSize = 14  // Ethernet
	maxTLVs    = 100 // of one frame; 1500 bytes hold 750 empty ones
)

// ErrFrame is a frame that is no LLDP or is cut.
var ErrFrame = errors.New("lldp: malformed frame")

// Policy is what a switch says about voice. ANSI/TIA-1057 §10.2.3.
type Policy struct {
	Tagged   bool
	VLAN     int // 0: priority tagged only, or untagged
	Priority int // IEEE 802.1Q, 0 to 7
	DSCP     int // RFC 2474, 0 to 63
}

// Neighbour is what a frame says.
type Neighbour struct {
	Chassis string // its bytes: who that is
	TTL     int    // seconds; 0: it goes
	Name    string
	Switch  bool    // a device of the network that speaks LLDP-MED
	Voice   *Policy // nil: it says nothing, or that it does not know
}

// Parse reads an Ethernet frame.
func Parse(frame []byte) (Neighbour, error) {
	var n Neighbour
	if len(frame) < headerSize || binary.BigEndian.Uint16(frame[12:]) != EtherType {
		return n, fmt.Errorf("%w: no LLDP", ErrFrame)
	}
	rest := frame[headerSize:]
	for i := range maxTLVs {
		if len(rest) < 2 {
			return n, fmt.Errorf("%w: ends within TLV %d", ErrFrame, i)
		}
		head := binary.BigEndian.Uint16(rest)
		kind, size := int(head>>9), int(head&0x1ff)
		if len(rest) < 2+size {
			return n, fmt.Errorf("%w: TLV %d is cut", ErrFrame, i)
		}
		value := rest[2 : 2+size]
		rest = rest[2+size:]
		// IEEE 802.1AB §8.2: chassis, port and time to live come first, in this order.
		if i < 3 && kind != i+1 {
			return n, fmt.Errorf("%w: TLV %d is of type %d", ErrFrame, i, kind)
		}
		switch kind {
		case tlvEnd:
			return n, nil
		case tlvChassis:
			n.Chassis = string(value)
		case tlvTTL:
			if size < 2 {
				return n, fmt.Errorf("%w: time to live of %d bytes", ErrFrame, size)
			}
			n.TTL = int(binary.BigEndian.Uint16(value))
		case tlvSystemName:
			n.Name = string(value)
		case tlvSpecific:
			n.specific(value)
		}
	}
	return n, fmt.Errorf("%w: more than %d TLVs", ErrFrame, maxTLVs)
}

func (n *Neighbour) specific(v []byte) {
	if len(v) < 4 || int(v[0])<<16|int(v[1])<<8|int(v[2]) != medOUI {
		return
	}
	switch v = v[3:]; {
	case v[0] == medCapabilities && len(v) >= 4:
		n.Switch = v[3] == medClassSwitch
	case v[0] == medPolicy && len(v) >= 5 && v[1] == medVoice:
		// U, T, X (one bit each), VLAN (12), priority (3), DSCP (6). ANSI/TIA-1057 §10.2.3.
		b := uint32(v[2])<<16 | uint32(v[3])<<8 | uint32(v[4])
		if b&(1<<23) != 0 {
			return // the policy is not known
		}
		if b>>9&0xfff == reservedVLAN {
			return
		}
		n.Voice = &Policy{Tagged: b&(1<<22) != 0, VLAN: int(b >> 9 & 0xfff), Priority: int(b >> 6 & 7), DSCP: int(b & 0x3f)}
	}
}

// Announce is the frame that says who we are, for so many seconds.
func Announce(mac [6]byte, name string, ttl int) []byte {
	b := append(make([]byte, 0, 128), group[:]...)
	b = append(b, mac[:]...)
	b = binary.BigEndian.AppendUint16(b, EtherType)
	tlv := func(kind int, value ...byte) {
		b = binary.BigEndian.AppendUint16(b, uint16(kind<<9|len(value)))
		b = append(b, value...)
	}
	tlv(tlvChassis, append([]byte{4}, mac[:]...)...) // subtype MAC address. IEEE 802.1AB §8.5.2.2
	tlv(tlvPort, append([]byte{3}, mac[:]...)...)    // the same. §8.5.3.2
	tlv(tlvTTL, byte(ttl>>8), byte(ttl))
	tlv(tlvSystemName, []byte(name[:min(len(name), 255)])...)
	tlv(tlvCapabilities, 0, telephone, 0, telephone)
	tlv(tlvSpecific, 0x00, 0x12, 0xbb, medCapabilities, medCan>>8, medCan&0xff, medClassPhone)
	tlv(tlvSpecific, 0x00, 0x12, 0xbb, medPolicy, medVoice, 0x80, 0, 0) // we ask: policy unknown
	tlv(tlvEnd)
	return b
}
