// Package dtmf carries digits beside the audio (RFC 4733 telephone-event) and, where the far end has not
// agreed to that, as tones within it (ITU-T Q.23).
//
// Receiver and Sender are the two ends of a stream of events, Tone makes the tones of a digit, and Detector finds them in
// speech (ITU-T Q.24). Which of them a call uses is for its session to say.
//
// It is pure: no clock, no goroutine, no allocation per packet or tick. It neither offers nor reads redundancy of
// RFC 2198: an end is sent three times instead (RFC 4733 §2.5.1.4).
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

// Samples returns how long all events of a payload last together, RTP ticks, and whether it holds nothing but digits.
func Samples(payload []byte) (ticks uint32, digits bool) {
	digits = len(payload) >= EventSize
	for n := 0; n < maxEvents && len(payload) >= EventSize; n++ {
		e, _ := parse(payload)
		_, is := digitOf(e.Code)
		ticks, digits = ticks+uint32(e.Duration), digits && is
		payload = payload[EventSize:]
	}
	return ticks, digits
}

// EventSize is the size of a payload in bytes.
const EventSize = 4

// parse reads the first event of a payload.
func parse(b []byte) (Event, bool) {
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

// digitOf returns the digit of an event code.
func digitOf(code uint8) (byte, bool) {
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
