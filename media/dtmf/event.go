// Package dtmf carries digits beside the audio (RFC 4733 telephone-event) and, where the far end has not
// agreed to that, as tones within it (ITU-T Q.23).
//
// It is pure: no clock, no goroutine, no allocation per packet or tick. It does not detect tones.
package dtmf

import "encoding/binary"

// digits in the order of their event codes 0 to 15 (RFC 4733 §3.2, table 3).
const digits = "0123456789*#ABCD"

// Event is one telephone-event payload (RFC 4733 §2.3).
type Event struct {
	Code     uint8  // 0 to 15 are digits
	End      bool   // the E bit
	Volume   uint8  // -dBm0, 0 to 63
	Duration uint16 // RTP ticks since the event's timestamp
}

// EventSize is the size of a payload in bytes.
const EventSize = 4

// Parse reads the first event of a payload.
func Parse(b []byte) (Event, bool) {
	if len(b) < EventSize {
		return Event{}, false
	}
	return Event{
		Code: b[0], End: b[1]&0x80 != 0, Volume: b[1] & 0x3f, Duration: binary.BigEndian.Uint16(b[2:]),
	}, true
}

// Put writes the payload; b has room for EventSize bytes. RFC 4733 §2.3.3: R is sent as zero.
func (e Event) Put(b []byte) {
	b[0], b[1] = e.Code, e.Volume&0x3f
	if e.End {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], e.Duration)
}

// Digit returns the digit of an event code.
func Digit(code uint8) (byte, bool) {
	if int(code) < len(digits) {
		return digits[code], true
	}
	return 0, false
}

// Code returns the event code of a digit: 0 to 9, *, #, A to D in either case.
func Code(digit byte) (uint8, bool) {
	if 'a' <= digit && digit <= 'd' {
		digit -= 'a' - 'A'
	}
	for i := range len(digits) {
		if digits[i] == digit {
			return uint8(i), true
		}
	}
	return 0, false
}

// Receiver turns the packets of events into digits: one for each event, however many of its packets are
// lost, repeated or out of order.
type Receiver struct {
	known    bool
	ts       uint32
	code     uint8
	duration uint16
	ended    bool
}

// Put takes the timestamp and payload of a packet, and reports the digit that it begins.
func (r *Receiver) Put(ts uint32, payload []byte) (digit byte, ok bool) {
	e, ok := Parse(payload)
	if !ok {
		return 0, false
	}
	digit, ok = Digit(e.Code)
	if !ok {
		return 0, false
	}
	if r.known {
		ahead := int32(ts - r.ts)
		if ahead < 0 {
			return 0, false
		}
		if ahead == 0 {
			// RFC 4733 §2.5.2.2: the same timestamp is the same event.
			r.duration = max(r.duration, e.Duration)
			r.ended = r.ended || e.End
			return 0, false
		}
		// RFC 4733 §2.5.1.3: a long event goes on in a segment that starts where the last one was full.
		if e.Code == r.code && !r.ended && r.duration == 0xffff && ahead == 0xffff {
			r.ts, r.duration, r.ended = ts, e.Duration, e.End
			return 0, false
		}
	}
	*r = Receiver{known: true, ts: ts, code: e.Code, duration: e.Duration, ended: e.End}
	return digit, true
}

// Reset forgets the stream (a new SSRC has another clock).
func (r *Receiver) Reset() { *r = Receiver{} }
