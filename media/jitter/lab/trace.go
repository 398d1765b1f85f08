// Package lab measures the jitter buffer: packet traces read from files or made by seeded models of networks, a
// replay of them through the real player, and the E-model's verdict on what was played. It belongs to tools and
// benchmarks, starts no goroutine, and no program of the appliance imports it.
//
// Standards: ITU-T G.107 with default parameters and G.113's figures for G.711 with concealment.
package lab

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"parklamp/media/timeline"
)

// errTrace wraps what is wrong with a trace that was read.
var errTrace = errors.New("lab: bad trace")

const (
	maxPackets = 65535  // of a trace, without copies
	maxSkew    = 10_000 // ppm: no clock is off by one in a hundred
	maxTime    = 86.4e9 // µs before and after 0: a day
)

// Packet is one packet of a trace. Times are on the sender's clock, which is true.
type Packet struct {
	Seq     uint16
	TS      uint32
	Sent    time.Duration // when it is complete
	Arrival time.Duration
	Lost    bool
	Marker  bool
	Comfort bool
	Copy    bool // a second copy of the one before it
}

// Trace is a stream in the order of sending.
type Trace struct {
	Name    string
	PTime   time.Duration
	SkewPPM float64       // the receiver's clock runs at 1 + SkewPPM·1e-6 times true time
	Phase   time.Duration // true time of the receiver's tick 0
	Packets []Packet
}

// Read reads a CSV trace, gzip or plain.
func Read(r io.Reader) (*Trace, error) {
	in := bufio.NewReader(r)
	var text io.Reader = in
	if magic, err := in.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		if text, err = gzip.NewReader(in); err != nil {
			return nil, fmt.Errorf("%w: %w", errTrace, err)
		}
	}
	t := &Trace{PTime: 20 * time.Millisecond}
	lines := bufio.NewScanner(text)
	n, packets, voice := 1, 0, 0
	for ; lines.Scan(); n++ {
		var err error
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "seq"):
		case line[0] == '#':
			err = t.header(line[1:])
		default:
			var p Packet
			if p, err = parsePacket(line); !p.Copy {
				packets++
			}
			if !p.Comfort {
				voice++
			}
			if t.Packets = append(t.Packets, p); err == nil && packets > maxPackets {
				err = fmt.Errorf("packet %d; %d are allowed, since seq names a packet", packets, maxPackets)
			}
		}
		if err != nil {
			for lines.Scan() { // a packed file that is damaged or cut off says so at its end, and its lines were never written
			}
			if file := lines.Err(); file != nil && !errors.Is(file, bufio.ErrTooLong) {
				err = fmt.Errorf("the file is damaged: %w", file)
			}
			return nil, fmt.Errorf("%w: line %d: %w", errTrace, n, err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%w: line %d has %d bytes or more", errTrace, n, bufio.MaxScanTokenSize)
	} else if err != nil {
		return nil, fmt.Errorf("%w: line %d: %w", errTrace, n, err)
	}
	if voice == 0 {
		return nil, fmt.Errorf("%w: %d lines without a voice packet; seq,rtp_ts,send_time_us,arrival_time_us[,flags] is one", errTrace, n-1)
	}
	return t, nil
}

func (t *Trace) header(words string) error {
	for word := range strings.FieldsSeq(words) {
		key, value, _ := strings.Cut(word, "=")
		var number float64
		var err error
		switch key {
		case "name":
			t.Name = value
		case "clock_rate":
			if value != strconv.Itoa(rate) {
				err = fmt.Errorf("%s=%s; %d is allowed, what is replayed is G.711", key, short(value), rate)
			}
		case "rx_skew_ppm":
			t.SkewPPM, err = ParseSkew(value)
		case "tick_phase_us":
			number, err = within(key, value, 0, float64(timeline.Frame.Microseconds()-1))
			t.Phase = us(number)
		case "ptime_us":
			number, err = within(key, value, 5000, 60000)
			t.PTime = us(number)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ParseSkew reads by how many ppm the receiver's clock is fast.
func ParseSkew(text string) (ppm float64, err error) {
	return within("rx_skew_ppm", text, -maxSkew, maxSkew)
}

// within reads a number of a range.
func within(name, text string, low, high float64) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= low && v <= high) { // so that it holds for what is not a number
		return 0, fmt.Errorf("%s=%s; %.0f to %.0f is allowed", name, short(text), low, high)
	}
	return v, nil
}

// short quotes what was read, of what is long the beginning.
func short(text string) string {
	const most = 24
	if len(text) > most {
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}

func parsePacket(line string) (p Packet, err error) {
	fields := strings.Split(line, ",")
	if len(fields) < 4 || len(fields) > 5 {
		return p, fmt.Errorf("%s has %d columns; seq,rtp_ts,send_time_us,arrival_time_us[,flags] are wanted", short(line), len(fields))
	}
	whole := func(name, text string, bits int) uint64 {
		v, e := strconv.ParseUint(text, 10, bits)
		if e != nil {
			err = cmp.Or(err, fmt.Errorf("%s=%s; 0 to %d is allowed", name, short(text), uint64(1)<<bits-1))
		}
		return v
	}
	at := func(name, text string) time.Duration {
		v, e := within(name, text, -maxTime, maxTime)
		err = cmp.Or(err, e)
		return us(v)
	}
	p.Seq, p.TS, p.Sent = uint16(whole("seq", fields[0], 16)), uint32(whole("rtp_ts", fields[1], 32)), at("send_time_us", fields[2])
	if p.Lost = fields[3] == "lost"; !p.Lost {
		p.Arrival = at("arrival_time_us", fields[3])
	}
	if len(fields) == 5 {
		for _, flag := range fields[4] {
			switch flag {
			case 'M':
				p.Marker = true
			case 'C':
				p.Comfort = true
			case 'D':
				p.Copy = true
			default:
				return p, cmp.Or(err, fmt.Errorf("flags=%s; M, C and D are allowed", short(fields[4])))
			}
		}
	}
	return p, err
}

// arrivals returns the indexes of the packets that came, in order of arrival.
func (t *Trace) arrivals() []int {
	order := make([]int, 0, len(t.Packets))
	for i, p := range t.Packets {
		if !p.Lost {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(t.Packets[a].Arrival, t.Packets[b].Arrival) })
	return order
}

func us(v float64) time.Duration { return time.Duration(v * 1000) }
