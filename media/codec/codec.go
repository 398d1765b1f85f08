// Package codec turns 16-bit linear speech into RTP payload bytes and back.
//
// It knows G.711 µ-law and A-law (ITU-T G.711, RFC 3551 §4.5.14) through tables that are filled at start from
// github.com/zaf/g711, and G.722 at 64 kbit/s (§4.5.2) through package g722. G.711 keeps nothing between frames, and Encode,
// Decode and Transcode are all that it needs; G.722 does, so that each direction of each stream has an Encoder,
// Decoder or Transcoder of its own. None of them allocates or starts a goroutine, and the package knows nothing of RTP
// headers or SDP text beyond names and payload types.
package codec

import (
	"strings"

	"github.com/zaf/g711"

	"parklamp/media/timeline"
)

// ID names a codec. The zero value, None, means that no codec was agreed.
type ID uint8

// The codecs that this package encodes and decodes.
const (
	None ID = iota
	PCMU    // G.711 µ-law, 64 kbit/s
	PCMA    // G.711 A-law, 64 kbit/s
	G722    // G.722, 64 kbit/s
)

// ComfortNoise is the static RTP payload type of comfort noise at 8 kHz (RFC 3389 §4).
const ComfortNoise uint8 = 13

var (
	linearOfMu [256]int16
	linearOfA  [256]int16
	muOfLinear [1 << 14]byte // indexed by the upper 14 bits: µ-law resolves no more
	aOfLinear  [1 << 13]byte // indexed by the upper 13 bits: A-law resolves no more
	muOfA      [256]byte
	aOfMu      [256]byte
)

func init() {
	for i := range 256 {
		b := byte(i)
		linearOfMu[i] = g711.DecodeUlawFrame(b)
		linearOfA[i] = g711.DecodeAlawFrame(b)
		muOfA[i] = g711.Alaw2UlawFrame(b)
		aOfMu[i] = g711.Ulaw2AlawFrame(b)
	}
	for i := range muOfLinear {
		muOfLinear[i] = g711.EncodeUlawFrame(int16(uint16(i) << 2))
	}
	for i := range aOfLinear {
		aOfLinear[i] = g711.EncodeAlawFrame(int16(uint16(i) << 3))
	}
}

// ByPayloadType returns the codec with the given static payload type (RFC 3551 §6), or None.
func ByPayloadType(pt uint8) ID {
	switch pt {
	case 0:
		return PCMU
	case 8:
		return PCMA
	case 9:
		return G722
	}
	return None
}

// ByName returns the codec with the given SDP encoding name, in either case, or None.
func ByName(name string) ID {
	for id := PCMU; id <= G722; id++ {
		if strings.EqualFold(name, id.String()) {
			return id
		}
	}
	return None
}

// String returns the SDP encoding name.
func (id ID) String() string {
	switch id {
	case PCMU:
		return "PCMU"
	case PCMA:
		return "PCMA"
	case G722:
		return "G722"
	}
	return "none"
}

// Rate returns the samples per second of what the codec carries: 16,000 for G.722, else 8,000.
func (id ID) Rate() int {
	if id == G722 {
		return timeline.WideRate
	}
	return timeline.ClockRate
}

// PayloadType returns the static payload type (RFC 3551 §6); 0 for None.
func (id ID) PayloadType() uint8 {
	switch id {
	case PCMA:
		return 8
	case G722:
		return 9
	}
	return 0
}

// Encode fills dst with src at 8 kHz and returns the bytes written: the shorter of the two lengths, 0 for a codec that is
// not of G.711.
func Encode(id ID, dst []byte, src []int16) int {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	switch id {
	case PCMU:
		for i, s := range src {
			dst[i] = muOfLinear[uint16(s)>>2]
		}
	case PCMA:
		for i, s := range src {
			dst[i] = aOfLinear[uint16(s)>>3]
		}
	default:
		return 0
	}
	return n
}

// Decode fills dst at 8 kHz with src and returns the samples written: the shorter of the two lengths, 0 for a codec that is
// not of G.711.
func Decode(id ID, dst []int16, src []byte) int {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	switch id {
	case PCMU:
		for i, b := range src {
			dst[i] = linearOfMu[b]
		}
	case PCMA:
		for i, b := range src {
			dst[i] = linearOfA[b]
		}
	default:
		return 0
	}
	return n
}

// Transcode rewrites the payload b in place from one codec to the other without passing through linear
// samples, with the tables of ITU-T G.711 §3. Equal codecs leave b alone. It reports whether it could: a
// Transcoder can more.
func Transcode(to, from ID, b []byte) bool {
	switch {
	case to == None || from == None:
		return false
	case to == from:
	case to == G722 || from == G722:
		return false
	case to == PCMU:
		for i, c := range b {
			b[i] = muOfA[c]
		}
	default:
		for i, c := range b {
			b[i] = aOfMu[c]
		}
	}
	return true
}
