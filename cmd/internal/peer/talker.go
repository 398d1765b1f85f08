package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"
)

// frame is the RTP packet time, 20 ms, and its samples at 8 kHz.
const (
	frame   = 20 * time.Millisecond
	samples = 160
)

// Talker is a plain RTP end with mu-law: it says a recording, again and again, and keeps what it hears. It shares no
// code with package media, so that a fault in media cannot hide in both ends.
type Talker struct {
	conn   *net.UDPConn
	speech []byte // mu-law; immutable
	ssrc   uint32

	mu    sync.Mutex
	to    netip.AddrPort // where it sends; guarded by mu
	heard []Heard        // guarded by mu; at most maxHeard
}

// Heard is one RTP packet that came.
type Heard struct {
	At        time.Time // when it was read
	From      netip.AddrPort
	SSRC      uint32
	Sequence  uint16
	Timestamp uint32
	Payload   []byte // mu-law
	Type      uint8  // RTP payload type
}

// maxHeard bounds the memory of a talker: 10 minutes.
const maxHeard = 30000

// NewTalker opens an even UDP port of the address.
func NewTalker(address netip.Addr, speech []int16) (*Talker, error) {
	for range 50 {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, 0)))
		if err != nil {
			return nil, err
		}
		t := &Talker{conn: conn, speech: make([]byte, len(speech)), ssrc: uint32(time.Now().UnixNano())}
		if t.Addr().Port()%2 == 1 { // RFC 3550 §11: RTP has the even port
			_ = conn.Close()
			continue
		}
		for i, s := range speech {
			t.speech[i] = g711.EncodeUlawFrame(s)
		}
		return t, nil
	}
	return nil, errors.New("talker: no even port came up in 50 tries")
}

// Addr is where the talker receives.
func (t *Talker) Addr() netip.AddrPort { return t.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Run talks and listens until ctx ends, then closes the port. It sends to the source of the first packet that came, as
// phones behind a NAT are answered, or to where Aim pointed.
func (t *Talker) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(t.listen)
	start := time.Now()
	tick := time.NewTicker(frame)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			_ = t.conn.Close()
			wg.Wait()
			return nil
		case now := <-tick.C:
			for ; time.Duration(n)*frame <= now.Sub(start); n++ {
				t.say(n)
			}
		}
	}
}

// Aim says where to send.
func (t *Talker) Aim(to netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.to = to
}

func (t *Talker) say(n int) {
	t.mu.Lock()
	to := t.to
	t.mu.Unlock()
	if !to.IsValid() || len(t.speech) < samples {
		return
	}
	at := n % (len(t.speech) / samples) * samples
	p := rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: uint32(n * samples), SSRC: t.ssrc},
		Payload: t.speech[at : at+samples],
	}
	if data, err := p.Marshal(); err == nil {
		_, _ = t.conn.WriteToUDPAddrPort(data, to) // a lost packet is for the far end to conceal
	}
}

func (t *Talker) listen() {
	buf := make([]byte, 2048)
	for {
		n, from, err := t.conn.ReadFromUDPAddrPort(buf)
		now := time.Now()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error of an earlier packet
		}
		var p rtp.Packet
		if p.Unmarshal(buf[:n]) != nil {
			continue
		}
		h := Heard{At: now, From: from, SSRC: p.SSRC, Sequence: p.SequenceNumber, Timestamp: p.Timestamp,
			Payload: append([]byte(nil), p.Payload...), Type: p.PayloadType}
		t.mu.Lock()
		if !t.to.IsValid() {
			t.to = from
		}
		if len(t.heard) < maxHeard {
			t.heard = append(t.heard, h)
		}
		t.mu.Unlock()
	}
}

// Heard returns the packets that came from a moment on, in order of arrival.
func (t *Talker) Heard(since time.Time) []Heard {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := len(t.heard)
	for i > 0 && !t.heard[i-1].At.Before(since) {
		i--
	}
	return append([]Heard(nil), t.heard[i:]...)
}

// Audio decodes what came from a moment on, by RTP timestamp, so that a packet that is missing is silence.
func (t *Talker) Audio(since time.Time) []int16 {
	var pcm []int16
	var first uint32
	for _, h := range t.Heard(since) {
		if h.Type != 0 || len(h.Payload) == 0 {
			continue
		}
		if pcm == nil {
			first = h.Timestamp
		}
		at := int(int32(h.Timestamp - first))
		if at < 0 || at > maxHeard*samples {
			continue // from another stream
		}
		if grow := at + len(h.Payload) - len(pcm); grow > 0 {
			pcm = append(pcm, make([]int16, grow)...)
		}
		for i, b := range h.Payload {
			pcm[at+i] = g711.DecodeUlawFrame(b)
		}
	}
	return pcm
}

// LongestGap is the longest time between two packets that came from a moment on. Fewer than two packets are an error.
func (t *Talker) LongestGap(since time.Time) (time.Duration, error) {
	heard := t.Heard(since)
	if len(heard) < 2 {
		return 0, fmt.Errorf("talker: %d packets came", len(heard))
	}
	gap := time.Duration(0)
	for i := range heard[1:] {
		gap = max(gap, heard[i+1].At.Sub(heard[i].At))
	}
	return gap, nil
}
