package rtcp

import (
	"encoding/binary"
	"errors"
	"fmt"

	pion "github.com/pion/rtcp"
)

// What Take can refuse.
var (
	// ErrCompound: the datagram is not a compound packet as RFC 3550 appendix A.2 wants it.
	ErrCompound = errors.New("rtcp: ill-formed compound packet")
	// ErrOwn: it is one of ours, sent back (RFC 3550 §8.2).
	ErrOwn = errors.New("rtcp: our own packet")
	// ErrFlood: more come than a far end has reason to send.
	ErrFlood = errors.New("rtcp: too many packets")
	// ErrStranger: the Route does not admit its source.
	ErrStranger = errors.New("rtcp: not from the far end")
)

const (
	// MaxSize is the longest datagram that is taken or made.
	MaxSize = 1500
	// maxPackets in a compound that is taken.
	maxPackets = 16
	// maxName of a CNAME that is kept, octets.
	maxName = 64
)

// Packet types of RFC 3550 §12.1 and RFC 3611 §2.
const (
	typeSR   = 200
	typeRR   = 201
	typeSDES = 202
	typeBYE  = 203
	typeXR   = 207
)

// Is reports whether a datagram on a port that RTP and RTCP share is RTCP: types 64 to 95 of what would be a payload type,
// of which RTP makes no use, are 192 to 223 here (RFC 5761 §4).
func Is(b []byte) bool { return len(b) >= 2 && b[1]&0x60 == 0x40 }

// parts is a compound taken apart. Each part is nil or empty if it was not there.
type parts struct {
	sender uint32
	sr     *pion.SenderReport
	blocks []pion.ReceptionReport
	name   string
	bye    bool
	xr     []pion.ReportBlock
}

// parse checks a datagram as RFC 3550 appendix A.2 says, and takes it apart. Types that it does not know are skipped.
func parse(b []byte) (parts, error) {
	var p parts
	if len(b) < 8 || len(b) > MaxSize {
		return p, fmt.Errorf("%w: %d octets", ErrCompound, len(b))
	}
	for n := 0; len(b) > 0; n++ {
		if len(b) < 4 || b[0]>>6 != 2 || n >= maxPackets {
			return p, fmt.Errorf("%w: packet %d", ErrCompound, n+1)
		}
		size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if size > len(b) || size < 8 && b[0]&0x1f > 0 {
			return p, fmt.Errorf("%w: packet %d has %d octets of %d", ErrCompound, n+1, len(b), size)
		}
		one := b[:size]
		b = b[size:]
		if one[0]&0x20 != 0 {
			// Padding only in the last packet, which is not the first (appendix A.2).
			pad := int(one[size-1])
			if n == 0 || len(b) > 0 || pad == 0 || pad%4 != 0 || pad > size-4 {
				return p, fmt.Errorf("%w: padding in packet %d", ErrCompound, n+1)
			}
			one = unpadded(one, pad)
		}
		if n == 0 && one[1] != typeSR && one[1] != typeRR {
			return p, fmt.Errorf("%w: begins with type %d", ErrCompound, one[1])
		}
		if err := p.add(one, n == 0); err != nil {
			return p, fmt.Errorf("%w: packet %d: %w", ErrCompound, n+1, err)
		}
	}
	return p, nil
}

// unpadded returns a copy of a packet without its padding.
func unpadded(b []byte, pad int) []byte {
	b = append([]byte(nil), b[:len(b)-pad]...)
	b[0] &^= 0x20
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	return b
}

// add takes one packet of a compound.
func (p *parts) add(b []byte, first bool) error {
	switch b[1] {
	case typeSR:
		var sr pion.SenderReport
		if err := sr.Unmarshal(b); err != nil {
			return err
		}
		if first {
			p.sender = sr.SSRC
		}
		if p.sr == nil {
			p.sr = &sr
		}
		p.blocks = append(p.blocks, sr.Reports...)
	case typeRR:
		var rr pion.ReceiverReport
		if err := rr.Unmarshal(b); err != nil {
			return err
		}
		if first {
			p.sender = rr.SSRC
		}
		p.blocks = append(p.blocks, rr.Reports...)
	case typeSDES:
		var sdes pion.SourceDescription
		if err := sdes.Unmarshal(b); err != nil {
			return err
		}
		for _, c := range sdes.Chunks {
			for _, item := range c.Items {
				if item.Type == pion.SDESCNAME && c.Source == p.sender && len(item.Text) <= maxName {
					p.name = item.Text
				}
			}
		}
	case typeBYE:
		var bye pion.Goodbye
		if err := bye.Unmarshal(b); err != nil {
			return err
		}
		for _, s := range bye.Sources {
			p.bye = p.bye || s == p.sender
		}
	case typeXR:
		if err := checkBlocks(b); err != nil {
			return err
		}
		var xr pion.ExtendedReport
		if err := xr.Unmarshal(b); err != nil {
			return err
		}
		p.xr = append(p.xr, xr.Reports...)
	}
	return nil
}

// checkBlocks checks that the blocks of an extended report end where it ends (RFC 3611 §3), which pion does not.
func checkBlocks(b []byte) error {
	if len(b) < 8 {
		return errors.New("no sender")
	}
	for b = b[8:]; len(b) > 0; {
		if len(b) < 4 {
			return errors.New("a cut block")
		}
		n := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if n > len(b) {
			return errors.New("a cut block")
		}
		b = b[n:]
	}
	return nil
}
