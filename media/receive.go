package media

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/codec"
	"parklamp/media/dtmf"
)

// readSize is more than any packet that is accepted; longer ones are cut and then refused by their size.
const readSize = 1500

// incoming is what the reader knows of the stream that it receives.
type incoming struct {
	latch    latch
	revision uint64
	header   rtp.Header
	events   dtmf.Receiver
	numbers  numbers
	buf      [readSize]byte
}

// read takes packets until the session is closed.
func (s *Session) read() {
	for {
		conn := s.pair.Load().RTP
		n, from, err := conn.ReadFromAddrPort(s.in.buf[:])
		now := s.engine.clock.Now()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				if s.pair.Load().RTP != conn {
					continue // Move has put another in its place
				}
				return
			}
			// An ICMP error on the socket; never at a higher rate than packets would come.
			s.count.receiveErrors.Add(1)
			s.engine.clock.SleepUntil(now + FrameDuration)
			continue
		}
		s.receive(s.in.buf[:n], from, now)
	}
}

// receive handles one datagram.
func (s *Session) receive(b []byte, from netip.AddrPort, now time.Duration) {
	w := s.wiring.Load()
	if !w.configured {
		// RFC 3264 §5.1 allows media before the answer; without its sender's address it cannot be told from a stranger's.
		s.count.early.Add(1)
		return
	}
	in := &s.in
	if in.revision != w.revision {
		in.revision = w.revision
		in.latch.signal(w.params.Remote, w.params.SignalledFrom)
	}
	payload, ok := parse(&in.header, b)
	if !ok {
		s.count.bad.Add(1)
		return
	}
	h := &in.header
	// A packet with our own SSRC is our own, sent back (RFC 3550 §8.2).
	if h.SSRC == s.out.ssrc {
		s.count.bad.Add(1)
		return
	}
	kind, id := classify(w, h.PayloadType)
	if kind == unwanted {
		s.count.unwanted.Add(1)
		return
	}
	ok, moved := in.latch.admit(from, h.SSRC, h.SequenceNumber, now)
	if !ok {
		s.count.strangers.Add(1)
		return
	}
	if moved {
		s.move(from, w.revision)
	}
	s.count.received.Add(1)
	s.count.lastReceived.Store(int64(now))
	if in.numbers.take(h, now, kind == audio) {
		in.events.Reset()
	}
	in.numbers.publish(&s.count)
	if w.params.Receive {
		s.deliver(w, kind, id, payload, now)
	}
}

// move sends our packets to a latched source from now on, unless a Configure has come in between.
func (s *Session) move(to netip.AddrPort, revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wiring.Load().revision == revision {
		s.remote.Store(&to)
		s.count.latched.Add(1)
	}
}

// deliver gives a packet of the far end to whatever the session is wired to.
func (s *Session) deliver(w *wiring, kind packetKind, id codec.ID, payload []byte, now time.Duration) {
	h := &s.in.header
	if kind == event {
		if digit, ok := s.in.events.Put(h.Timestamp, payload); ok {
			s.digit(w, digit)
		}
	}
	if w.ear != nil && kind != event && !w.ear.offer(h, kind, id, payload, now) {
		s.count.overruns.Add(1)
	}
	if w.bridge != nil {
		w.bridge.pass(w.peer, h, kind, id, payload, now)
	}
}

func (s *Session) digit(w *wiring, digit byte) {
	if f := w.onDTMF; f != nil && !s.engine.post(func() { f(digit) }) {
		s.count.digitsDropped.Add(1)
	}
	if w.bridge != nil {
		w.bridge.digit(w.peer, digit)
	}
}

// packetKind is what a payload type means in a session.
type packetKind uint8

const (
	unwanted packetKind = iota
	audio
	noise
	event
)

// classify looks a payload type up. Both static G.711 types are taken whatever was agreed: an answerer may
// send any codec of ours (RFC 3264 §6.1).
func classify(w *wiring, pt uint8) (packetKind, codec.ID) {
	switch {
	case pt == w.params.DTMFPayloadType && pt != 0:
		return event, codec.None
	case pt == w.params.PayloadType && w.params.Codec != codec.None:
		return audio, w.params.Codec
	case pt == codec.ComfortNoise:
		return noise, codec.None
	}
	if id := codec.ByPayloadType(pt); id != codec.None {
		return audio, id
	}
	return unwanted, codec.None
}

// parse checks a datagram and returns its payload without padding.
func parse(h *rtp.Header, b []byte) ([]byte, bool) {
	// RFC 3550 §5.1: version 2. RFC 5761 §4: types 64 to 95 collide with RTCP. Both before pion/rtp, whose errors
	// allocate.
	if len(b) < headerSize || b[0]>>6 != 2 || b[1]&0x60 == 0x40 {
		return nil, false
	}
	n, err := h.Unmarshal(b)
	if err != nil {
		return nil, false
	}
	b = b[n:]
	if h.Padding {
		if len(b) == 0 || b[len(b)-1] == 0 || int(b[len(b)-1]) > len(b) {
			return nil, false
		}
		b = b[:len(b)-int(b[len(b)-1])]
	}
	return b, len(b) > 0
}
