package dtmf

import (
	"errors"
	"fmt"
	"math"
	"time"

	"parklamp/media/timeline"
)

// errDigit: not one of 0-9 * # A-D.
var errDigit = errors.New("dtmf: not a digit")

const (
	volume  = 10 // -dBm0
	ends    = 3  // RFC 4733 §2.5.1.4: the final packet of an event and of a segment is sent three times in all
	maxEach = time.Minute
)

// Key is one digit to be sent.
type Key struct {
	Code uint8
	On   uint16 // length in ticks of 20 ms, at least 2
	Gap  uint16 // pause after it in ticks of 20 ms, at least 2
}

// Keys turns digits into keys of the given length and pause, which are rounded up to 20 ms and raised to
// 40 ms (ITU-T Q.24, table A-1: receivers need no less).
func Keys(digits string, each, gap time.Duration) ([]Key, error) {
	ticks := func(d time.Duration) uint16 {
		return uint16(min(max((d+timeline.Frame-1)/timeline.Frame, 2), maxEach/timeline.Frame))
	}
	keys := make([]Key, 0, len(digits))
	for i := range len(digits) {
		code, ok := Code(digits[i])
		if !ok {
			return nil, fmt.Errorf("send %q: %w", digits[i], errDigit)
		}
		keys = append(keys, Key{code, ticks(each), ticks(gap)})
	}
	return keys, nil
}

// Step is what a tick of 20 ms sends.
type Step struct {
	Event  Event
	Offset uint32 // of the event's timestamp from where the key was pressed, RTP ticks: not 0 in later segments of a long one
	First  bool   // a new event: marker bit and a new timestamp (RFC 4733 §2.2.1, §2.2.2)
	Send   bool   // Event is to be sent; else audio flows in this tick
	Tone   bool   // for a far end without events: the tone sounds in this tick
}

// Sender plays one key after the other, tick by tick. The zero value is idle.
type Sender struct {
	key  Key
	tick uint16
	busy bool

	offset  uint32 // of the present segment
	repeats uint8  // reports of a full segment
	ended   uint8  // reports of the end
}

// Start begins a key; the sender must be idle.
func (s *Sender) Start(k Key) { *s = Sender{key: k, busy: true} }

// Busy reports whether a key or the pause after it is going on.
func (s *Sender) Busy() bool { return s.busy }

// Next returns the next tick's step.
func (s *Sender) Next() Step {
	s.tick++
	// RFC 4733 §2.5.1.3: an event of more than 0xffff ticks is reported in segments. The last report of a segment that is
	// full has no E bit; it takes as many ticks as it is repeated, then the next segment has grown by these.
	lasts := uint32(min(s.tick, s.key.On)) * timeline.FrameTicks
	since := lasts - s.offset
	full := since > longest
	if full {
		if s.repeats++; s.repeats <= ends {
			since = longest
		} else {
			s.offset, s.repeats = s.offset+longest, 0
			since, full = lasts-s.offset, false
		}
	}
	e := Event{Code: s.key.Code, Volume: volume, End: s.tick >= s.key.On && !full, Duration: uint16(since)}
	send := s.ended < ends
	if e.End && send {
		s.ended++
	}
	s.busy = s.ended < ends || s.tick < s.key.On+s.key.Gap
	return Step{
		Event: e, Offset: s.offset, First: s.tick == 1,
		Send: send,
		Tone: s.tick <= s.key.On,
	}
}

// ITU-T Q.23: a digit is one tone of each group, hertz.
var (
	low  = [4]float64{697, 770, 852, 941}
	high = [4]float64{1209, 1336, 1477, 1633}
	// row and column of the codes 0 to 15
	place = [16][2]uint8{
		{3, 1}, {0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {2, 2},
		{3, 0}, {3, 2}, {0, 3}, {1, 3}, {2, 3}, {3, 3},
	}
)

// Tone makes the sound of digits. The zero value is ready.
type Tone struct{ a, b float64 }

// Fill writes the tone of an event code 0 to 15, going on where the last Fill ended.
func (t *Tone) Fill(dst []int16, code uint8) {
	const amplitude = 32767 * 0.2 // each: -14 dBFS
	p := place[code&15]
	da, db := low[p[0]]*2*math.Pi/timeline.ClockRate, high[p[1]]*2*math.Pi/timeline.ClockRate
	for i := range dst {
		dst[i] = int16(amplitude * (math.Sin(t.a) + math.Sin(t.b)))
		t.a += da
		t.b += db
	}
	t.a, t.b = math.Mod(t.a, 2*math.Pi), math.Mod(t.b, 2*math.Pi)
}
