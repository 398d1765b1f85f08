// Package lldp hears from the switch in which VLAN and with which priority a phone shall speak, by LLDP-MED. It also says
// who we are: a switch tells its policy only to whom it has heard to be a phone.
//
// It changes nothing; whoever runs it gets the policy. Run is one goroutine, with one more that reads the socket.
//
// Standards: IEEE 802.1AB-2016 (frames), ANSI/TIA-1057 (LLDP-MED), IEEE 802.3 (its TLV for speed and duplex).
package lldp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// etherType of LLDP, and the address that no bridge forwards. IEEE 802.1AB §7.1.
const etherType = 0x88cc

var group = [6]byte{0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e}

// TLV types. IEEE 802.1AB §8.4.1.
const (
	tlvEnd          = 0
	tlvChassis      = 1
	tlvPort         = 2
	tlvTTL          = 3
	tlvPortText     = 4
	tlvSystemName   = 5
	tlvSystemText   = 6
	tlvCapabilities = 7
	tlvManagement   = 8
	tlvSpecific     = 127
)

// Of LLDP-MED. ANSI/TIA-1057 §10.2.
const (
	medOUI          = 0x0012bb
	medCapabilities = 1
	medPolicy       = 2
	medVoice        = 1 // application types
	medSignalling   = 2
	medFirmware     = 6
	medSerial       = 8
	medManufacturer = 9
	medModel        = 10
	medClassSwitch  = 4      // a device of the network
	medClassPhone   = 3      // class III: a communication device
	medCan          = 0x0023 // capabilities, network policy and inventory
	medText         = 32     // bytes of a text of the inventory. ANSI/TIA-1057 §10.2.6
	reservedVLAN    = 0xfff  // IEEE 802.1Q-2018 table 9-2
	telephone       = 0x0020 // system capability. IEEE 802.1AB §8.5.8
)

const (
	headerSize = 14  // Ethernet
	maxTLVs    = 100 // of one frame; 1500 bytes hold 750 empty ones
)

// errFrame is a frame that is no LLDP or is cut.
var errFrame = errors.New("lldp: malformed frame")

// Policy is what a switch says about voice. ANSI/TIA-1057 §10.2.3.
type Policy struct {
	Tagged   bool
	VLAN     int // 0: priority tagged only, or untagged
	Priority int // IEEE 802.1Q, 0 to 7
	DSCP     int // of audio. RFC 2474, 0 to 63
	// Signalling is the DSCP of signalling. ANSI/TIA-1057 table 12: a switch that has no policy of its own for it means the
	// same as for voice. Departs from it: one in another VLAN counts for its DSCP alone, as the phone is in one.
	Signalling int
}

// Neighbour is what a frame says.
type Neighbour struct {
	Chassis string // its bytes: who that is
	TTL     int    // seconds; 0: it goes
	Name    string
	Switch  bool    // a device of the network that speaks LLDP-MED
	Voice   *Policy // nil: it says nothing, or that it does not know

	signalling *Policy
}

// Parse reads an Ethernet frame.
func Parse(frame []byte) (Neighbour, error) {
	var n Neighbour
	if len(frame) < headerSize || binary.BigEndian.Uint16(frame[12:]) != etherType {
		return n, fmt.Errorf("%w: no LLDP", errFrame)
	}
	rest := frame[headerSize:]
	for i := range maxTLVs {
		if len(rest) < 2 {
			return n, fmt.Errorf("%w: ends within TLV %d", errFrame, i)
		}
		head := binary.BigEndian.Uint16(rest)
		kind, size := int(head>>9), int(head&0x1ff)
		if len(rest) < 2+size {
			return n, fmt.Errorf("%w: TLV %d is cut", errFrame, i)
		}
		value := rest[2 : 2+size]
		rest = rest[2+size:]
		// IEEE 802.1AB §8.2: chassis, port and time to live come first, in this order.
		if i < 3 && kind != i+1 {
			return n, fmt.Errorf("%w: TLV %d is of type %d", errFrame, i, kind)
		}
		switch kind {
		case tlvEnd:
			if n.Voice != nil && n.signalling != nil {
				n.Voice.Signalling = n.signalling.DSCP
			}
			return n, nil
		case tlvChassis:
			n.Chassis = string(value)
		case tlvTTL:
			if size < 2 {
				return n, fmt.Errorf("%w: time to live of %d bytes", errFrame, size)
			}
			n.TTL = int(binary.BigEndian.Uint16(value))
		case tlvSystemName:
			n.Name = string(value)
		case tlvSpecific:
			n.specific(value)
		}
	}
	return n, fmt.Errorf("%w: more than %d TLVs", errFrame, maxTLVs)
}

func (n *Neighbour) specific(v []byte) {
	if len(v) < 4 || int(v[0])<<16|int(v[1])<<8|int(v[2]) != medOUI {
		return
	}
	switch v = v[3:]; {
	case v[0] == medCapabilities && len(v) >= 4:
		n.Switch = v[3] == medClassSwitch
	case v[0] == medPolicy && len(v) >= 5:
		// U, T, X (one bit each), VLAN (12), priority (3), DSCP (6). ANSI/TIA-1057 §10.2.3.
		b := uint32(v[2])<<16 | uint32(v[3])<<8 | uint32(v[4])
		if b&(1<<23) != 0 {
			return // the policy is not known
		}
		if b>>9&0xfff == reservedVLAN {
			return
		}
		p := &Policy{Tagged: b&(1<<22) != 0, VLAN: int(b >> 9 & 0xfff), Priority: int(b >> 6 & 7), DSCP: int(b & 0x3f), Signalling: int(b & 0x3f)}
		switch v[1] {
		case medVoice:
			n.Voice = p
		case medSignalling:
			n.signalling = p
		}
	}
}
