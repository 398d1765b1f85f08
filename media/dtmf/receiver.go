package dtmf

import (
	"time"

	"parklamp/media/timeline"
)

const (
	// maxEvents of one packet are read; the rest of a longer one is ignored. They are digits that were pressed and
	// released within one packet time: two are rare.
	maxEvents = 8
	// forget is how long after its last packet an event is remembered. Nothing is repeated as late as that, and a sender
	// may have begun its clock anew by then without changing its SSRC.
	forget = 5 * time.Second
	// overtaken is how long after the last report of the next event one of the event before may come, and how long before the
	// next one it may have ended. An older timestamp is of a clock that went back.
	overtaken = 2 * time.Second
	// longest is the greatest duration that a packet can report (RFC 4733 §2.3.5).
	longest = 0xffff
)

// Receiver turns the packets of events into digits: one for each event, at the first of its packets that comes, however
// many of the others are lost, repeated or out of order. The zero value is ready; one goroutine uses it.
type Receiver struct {
	known    bool
	ssrc     uint32
	at       time.Duration // when its last packet came
	ts       uint32        // where the event, or its present segment, began
	code     uint8
	duration uint16 // the longest that was reported
	ended    bool

	digits [maxEvents]byte // of the last Put
}

// Put takes a packet that came at the given time of any clock, and returns the digits that begin with it, most often none
// or one. ts is of the clock of its ssrc. The slice is valid until the next Put. Events that are not digits are ignored,
// flash (16) among them: it asks for a service of a line that this phone is not.
func (r *Receiver) Put(ssrc, ts uint32, marker bool, payload []byte, at time.Duration) []byte {
	if ssrc != r.ssrc {
		r.known, r.ssrc = false, ssrc
	}
	n := 0
	for range maxEvents {
		e, ok := parse(payload)
		if !ok {
			break
		}
		payload = payload[EventSize:]
		if digit, begins := r.put(ts, marker, e, at); begins {
			r.digits[n] = digit
			n++
		}
		// RFC 4733 §2.5.1.5, §2.5.2.4: events in one packet follow each other without a pause; the timestamp is the first
		// one's, and so is the marker bit (§2.2.2).
		ts += uint32(e.Duration)
		marker = true
	}
	return r.digits[:n]
}

func (r *Receiver) put(ts uint32, marker bool, e Event, at time.Duration) (digit byte, begins bool) {
	digit, ok := digitOf(e.Code)
	// RFC 4733 §2.3.5: a duration of zero is for states, which digits are not. Departs from it for an end: a key that some
	// sender reports without any duration has been pressed all the same.
	if !ok || e.Duration == 0 && !e.End {
		return 0, false
	}
	if r.known && at-r.at < forget {
		switch r.compare(ts, marker, e, at-r.at < overtaken) {
		case past:
			return 0, false
		case same:
			r.at = at
			r.duration = max(r.duration, e.Duration)
			r.ended = r.ended || e.End
			return 0, false
		case continued:
			r.at, r.ts, r.duration, r.ended = at, ts, e.Duration, e.End
			return 0, false
		}
	}
	r.known, r.at, r.ts, r.code, r.duration, r.ended = true, at, ts, e.Code, e.Duration, e.End
	return digit, true
}

// What a report says of an event, seen from the one before.
type relation uint8

const (
	another   relation = iota // begins
	same                      // goes on, or is repeated
	continued                 // goes on with another timestamp
	past                      // was over before that one began
)

// soon: little time has passed since that one.
func (r *Receiver) compare(ts uint32, marker bool, e Event, soon bool) relation {
	ahead := timeline.Ticks(ts, r.ts)
	switch {
	case ahead < 0 && soon && ahead+int64(e.Duration) > -int64(overtaken/timeline.Tick):
		return past // RFC 4733 §2.5.2.2: further reports of an event that has lapsed are ignored
	case ahead < 0:
		return another
	case e.Code != r.code:
		return another // also with the same timestamp: two digits at a time is no event, some sender's clock stands
	case ahead == 0:
		return same // RFC 4733 §2.2.1: the same timestamp is the same event
	case r.ended || marker:
		return another
	case ahead <= int64(r.duration), ahead == longest:
		// RFC 4733 §2.5.2.3: a long event goes on in a segment that begins where the last one was full; its final packets
		// may be lost. Likewise a sender that moves the timestamp with each packet of an event, against §2.2.1: the same
		// digit cannot begin again before it has ended.
		return continued
	}
	return another
}
