package srtp

import (
	"encoding/binary"
	"fmt"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"

	"parklamp/media/timeline"
)

// Sealer protects the packets of the stream that a session sends.
type Sealer struct {
	suite Suite
	mki   int // bytes

	// for RTP
	rtp    *pion.Context
	header rtp.Header
	known  bool // a packet of ssrc was sealed
	ssrc   uint32
	high   int64  // greatest index sealed: rollover counter and sequence number
	sealed uint64 // bit n: index high-n was sealed
	first  uint32 // rollover counter of the first packet

	// for RTCP
	rtcp       *pion.Context
	rtcpHeader rtcp.Header
}

// NewSealer makes a Sealer with the key of our direction. roc is the rollover counter of the first packet: 0 for a
// stream that begins (RFC 3711 §3.3.1), and what it was for one that goes on under a new key.
func NewSealer(k Key, roc uint32) (*Sealer, error) {
	a, err := k.context()
	if err != nil {
		return nil, err
	}
	b, err := k.context()
	if err != nil {
		return nil, err
	}
	return &Sealer{suite: k.suite, mki: len(k.mki), rtp: a, rtcp: b, first: roc}, nil
}

// RTP protects a packet in place and returns it with its tag. The buffer needs room for Overhead more bytes. A packet
// whose index was sealed before, or that is older than all of which that is known, is ErrReused.
func (s *Sealer) RTP(packet []byte) ([]byte, error) {
	if len(packet) < rtpHeader || packet[0]>>6 != 2 {
		return nil, ErrMalformed
	}
	if cap(packet)-len(packet) < shapes[s.suite].tag+s.mki {
		return nil, ErrRoom
	}
	ssrc, seq := binary.BigEndian.Uint32(packet[8:]), binary.BigEndian.Uint16(packet[2:])
	if !s.known || ssrc != s.ssrc {
		roc := s.first
		if s.known {
			roc = 0 // RFC 3711 §3.3.1: another SSRC begins at 0
		}
		s.rtp.SetROC(ssrc, roc)
		s.known, s.ssrc, s.high, s.sealed = true, ssrc, int64(roc)<<16|int64(seq)-1, 0
	}
	step := timeline.Packets(seq, uint16(s.high))
	switch {
	case step > 0:
		if (s.high+step)>>16 > 1<<32-1 {
			return nil, ErrExhausted
		}
		s.high += step
		s.sealed = s.sealed<<min(step, window) | 1
	case step <= -window || s.sealed&(1<<-step) != 0 || s.high+step < 0:
		return nil, ErrReused
	default:
		s.sealed |= 1 << -step
	}
	out, err := s.rtp.EncryptRTP(packet, packet, &s.header)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return out, nil
}

// RTCP protects a compound packet in place and returns it with its index and tag. The buffer needs room for
// OverheadRTCP more bytes.
func (s *Sealer) RTCP(packet []byte) ([]byte, error) {
	if len(packet) < rtcpHeader || packet[0]>>6 != 2 {
		return nil, ErrMalformed
	}
	if cap(packet)-len(packet) < shapes[s.suite].tagRTCP+srtcpIndex+s.mki {
		return nil, ErrRoom
	}
	out, err := s.rtcp.EncryptRTCP(packet, packet, &s.rtcpHeader)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrExhausted, err)
	}
	return out, nil
}

// ROC returns the rollover counter of the packet sealed last, 0 before the first.
func (s *Sealer) ROC() uint32 {
	if !s.known {
		return s.first
	}
	return uint32(s.high >> 16)
}

const (
	rtpHeader  = 12 // bytes; RFC 3550 §5.1
	rtcpHeader = 8  // bytes; RFC 3550 §6.4.1
	srtcpIndex = 4  // bytes; RFC 3711 §3.4
)
