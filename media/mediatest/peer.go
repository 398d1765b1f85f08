package mediatest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/codec"
	"parklamp/media/rtcp"
	"parklamp/media/rtpio"
	"parklamp/media/timeline"
)

// limit of what a Peer or Recorder keeps: ten minutes.
const (
	maxPackets = 30000
	maxSamples = 10 * 60 * timeline.ClockRate
)

// Packet is one received RTP packet.
type Packet struct {
	At      time.Time
	From    netip.AddrPort
	Header  rtp.Header
	Payload []byte
}

// Peer is a far end: it records what arrives at a socket and sends what it is told. Its methods may be called
// from any goroutine.
type Peer struct {
	conn rtpio.Conn

	mu      sync.Mutex
	packets []Packet
	ssrc    uint32
	seq     uint16
	ts      uint32
}

// NewPeer returns a far end on an open socket. Record has to run for it to hear.
func NewPeer(c rtpio.Conn) *Peer {
	return &Peer{conn: c, ssrc: rand.Uint32(), seq: uint16(rand.Uint32()), ts: rand.Uint32()}
}

// Addr returns the socket's address.
func (p *Peer) Addr() netip.AddrPort { return p.conn.LocalAddr() }

// Close closes the socket, which ends Record.
func (p *Peer) Close() error { return p.conn.Close() }

// Record keeps the RTP that arrives until the socket is closed.
func (p *Peer) Record() {
	buf := make([]byte, 2048)
	for {
		n, from, err := read(p.conn, buf)
		if err != nil {
			return
		}
		if rtcp.Is(buf[:n]) {
			continue // shares the port (RFC 5761)
		}
		var pkt rtp.Packet
		if pkt.Unmarshal(append([]byte(nil), buf[:n]...)) != nil {
			continue
		}
		p.mu.Lock()
		if len(p.packets) < maxPackets {
			p.packets = append(p.packets, Packet{time.Now(), from, pkt.Header, pkt.Payload})
		}
		p.mu.Unlock()
	}
}

// Packets returns what has arrived so far.
func (p *Peer) Packets() []Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Packet(nil), p.packets...)
}

// Forget drops what has arrived so far.
func (p *Peer) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.packets = nil
}

// SSRC returns that of its stream.
func (p *Peer) SSRC() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ssrc
}

// Jump moves the stream to another SSRC with other numbers.
func (p *Peer) Jump() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ssrc, p.seq, p.ts = rand.Uint32(), uint16(rand.Uint32()), rand.Uint32()
}

// Skip moves the next packet's timestamp by samples.
func (p *Peer) Skip(samples int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ts += uint32(samples)
}

// Send sends one packet; the next one's timestamp is samples later.
func (p *Peer) Send(to netip.AddrPort, pt uint8, marker bool, payload []byte, samples int) error {
	p.mu.Lock()
	pkt := rtp.Packet{
		Header:  rtp.Header{Version: 2, Marker: marker, PayloadType: pt, SequenceNumber: p.seq, Timestamp: p.ts, SSRC: p.ssrc},
		Payload: payload,
	}
	p.seq++
	p.ts += uint32(samples)
	p.mu.Unlock()
	b, err := pkt.Marshal()
	if err != nil {
		return err
	}
	_, err = p.conn.WriteToAddrPort(b, to)
	return err
}

// Talk sends samples at 8 kHz as packets of 20 ms, in real time, once.
func (p *Peer) Talk(ctx context.Context, to netip.AddrPort, id codec.ID, samples []int16) error {
	return p.talk(ctx, to, id, samples, rate)
}

// TalkWide is Talk with samples at 16 kHz.
func (p *Peer) TalkWide(ctx context.Context, to netip.AddrPort, id codec.ID, samples []int16) error {
	return p.talk(ctx, to, id, samples, wideRate)
}

func (p *Peer) talk(ctx context.Context, to netip.AddrPort, id codec.ID, samples []int16, rate int) error {
	start := time.Now()
	var payload [timeline.FrameTicks]byte
	var encoder codec.Encoder
	size := rate / 50
	for k := 0; (k+1)*size <= len(samples); k++ {
		if d := time.Until(start.Add(time.Duration(k) * timeline.Frame)); d > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
			}
		}
		n := encoder.Encode(id, payload[:], samples[k*size:(k+1)*size], rate)
		if err := p.Send(to, id.PayloadType(), k == 0, payload[:n], n); err != nil {
			return err
		}
	}
	return nil
}

// Audio decodes packets to 8 kHz; what is missing between their timestamps is silence.
func Audio(packets []Packet) []int16 { return audio(packets, rate) }

// AudioWide is Audio at 16 kHz.
func AudioWide(packets []Packet) []int16 { return audio(packets, wideRate) }

func audio(packets []Packet, to int) []int16 {
	decoder := codec.Decoder{Rate: to}
	width := to / rate
	var out []int16
	var base uint32
	var ssrc uint32
	start := 0
	for _, p := range packets {
		id := codec.ByPayloadType(p.Header.PayloadType)
		if id == codec.None {
			continue
		}
		if len(out) == 0 || p.Header.SSRC != ssrc {
			base, ssrc, start = p.Header.Timestamp, p.Header.SSRC, len(out)
		}
		at := start + width*int(timeline.Ticks(p.Header.Timestamp, base))
		if at < 0 || at > width*maxSamples {
			continue
		}
		if need := at + width*len(p.Payload); need > len(out) {
			out = append(out, make([]int16, need-len(out))...)
		}
		decoder.Decode(id, out[at:], p.Payload)
	}
	return out
}

// Seams describes how even a stream of packets is, in order of arrival.
type Seams struct {
	Packets     int
	SSRCs       int           // different ones
	Lost        int           // sequence numbers left out
	Backwards   int           // sequence numbers repeated or going back
	MaxGap      time.Duration // longest time between two arrivals
	MaxDrift    time.Duration // greatest difference between a timestamp and its arrival, relative to the first packet
	ClockBroken int           // timestamps that go back or stand still between audio packets
	Markers     int
}

// Inspect looks at packets that were sent as one stream.
func Inspect(packets []Packet) Seams {
	s := Seams{Packets: len(packets)}
	seen := map[uint32]bool{}
	lastAudio := -1
	for i, p := range packets {
		seen[p.Header.SSRC] = true
		if p.Header.Marker {
			s.Markers++
		}
		if i > 0 {
			q := packets[i-1]
			s.MaxGap = max(s.MaxGap, p.At.Sub(q.At))
			switch step := int(timeline.Packets(p.Header.SequenceNumber, q.Header.SequenceNumber)); {
			case step <= 0:
				s.Backwards++
			default:
				s.Lost += step - 1
			}
		}
		if codec.ByPayloadType(p.Header.PayloadType) == codec.None {
			continue
		}
		if lastAudio >= 0 && timeline.Ticks(p.Header.Timestamp, packets[lastAudio].Header.Timestamp) <= 0 {
			s.ClockBroken++
		}
		lastAudio = i
		media := time.Duration(timeline.Ticks(p.Header.Timestamp, packets[0].Header.Timestamp)) * timeline.Tick
		drift := p.At.Sub(packets[0].At) - media
		s.MaxDrift = max(s.MaxDrift, drift, -drift)
	}
	s.SSRCs = len(seen)
	return s
}

// String is for test failures.
func (s Seams) String() string {
	return fmt.Sprintf("%d packets, %d SSRC, %d lost, %d backwards, gap up to %s, drift up to %s, %d broken timestamps, %d markers",
		s.Packets, s.SSRCs, s.Lost, s.Backwards, s.MaxGap, s.MaxDrift, s.ClockBroken, s.Markers)
}
