// Package lab measures the jitter buffer: packet traces read from files or made by seeded models of networks, a
// replay of them through the real player, and the E-model's verdict on what was played. It belongs to tools and
// benchmarks, starts no goroutine, and no program of the appliance imports it.
//
// Standards: ITU-T G.107 with default parameters and G.113's figures for G.711 with concealment.
package lab

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errTrace wraps what is wrong with a trace that was read.
var errTrace = errors.New("lab: bad trace")

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
	for n := 1; lines.Scan(); n++ {
		var err error
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "seq"):
		case line[0] == '#':
			err = t.header(line[1:])
		default:
			err = t.line(line)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", errTrace, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errTrace, err)
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
			continue
		case "rx_skew_ppm", "tick_phase_us", "ptime_us":
			if number, err = strconv.ParseFloat(value, 64); err != nil {
				return fmt.Errorf("%s=%q is not a number", key, value)
			}
		}
		switch key {
		case "rx_skew_ppm":
			t.SkewPPM = number
		case "tick_phase_us":
			t.Phase = us(number)
		case "ptime_us":
			if number < 5000 || number > 60000 {
				return fmt.Errorf("ptime_us=%s; 5000 to 60000 is allowed", value)
			}
			t.PTime = us(number)
		}
	}
	return nil
}

func (t *Trace) line(line string) error {
	fields := strings.Split(line, ",")
	if len(fields) < 4 {
		return fmt.Errorf("%q has %d fields, not 4 or 5", line, len(fields))
	}
	seq, err1 := strconv.ParseUint(fields[0], 10, 16)
	ts, err2 := strconv.ParseUint(fields[1], 10, 32)
	sent, err3 := strconv.ParseFloat(fields[2], 64)
	p := Packet{Seq: uint16(seq), TS: uint32(ts), Sent: us(sent)}
	var err4 error
	if p.Lost = fields[3] == "lost"; !p.Lost {
		var at float64
		at, err4 = strconv.ParseFloat(fields[3], 64)
		p.Arrival = us(at)
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fmt.Errorf("%q is not a packet: %w", line, err)
	}
	if len(fields) > 4 {
		p.Marker = strings.Contains(fields[4], "M")
		p.Comfort = strings.Contains(fields[4], "C")
		p.Copy = strings.Contains(fields[4], "D")
	}
	t.Packets = append(t.Packets, p)
	return nil
}

// arrivals returns the indexes of the packets that came, in order of arrival.
func (t *Trace) arrivals() []int {
	order := make([]int, 0, len(t.Packets))
	for i, p := range t.Packets {
		if !p.Lost {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(t.Packets[a].Arrival - t.Packets[b].Arrival) })
	return order
}

func us(v float64) time.Duration { return time.Duration(v * 1000) }
