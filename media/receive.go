package media

import (
	"net/netip"
	"sync"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/codec"
	"parklamp/media/dtmf"
	"parklamp/media/jitter"
	"parklamp/media/rtcp"
	"parklamp/media/rtpio"
	"parklamp/media/timeline"
)

// incoming is what is known of the stream that a session receives. Its lock is taken once per packet, and waited for only when
// packets come to two sockets of the session in the same moment (RTP and RTCP, or after Move) and two readers have them.
type incoming struct {
	mu       sync.Mutex
	latch    latch
	revision uint64
	header   rtp.Header
	events   dtmf.Receiver
	tones    *tones // nil until audio came of a far end that sends no events
	flow     flow
	search   flow
	// reception is read by others too
	reception rtcp.Reception
}

// rtpPort and rtcpPort are a session as the receiver of its two sockets.
type (
	rtpPort  Session
	rtcpPort Session
)

var (
	_ rtpio.Receiver = (*rtpPort)(nil)
	_ rtpio.Receiver = (*rtcpPort)(nil)
)

// attach lets the readers hand over what comes to a pair.
func (s *Session) attach(pair *rtpio.Pair) error {
	if err := s.engine.poller.Add(pair.RTP, (*rtpPort)(s)); err != nil {
		return err
	}
	return s.engine.poller.Add(pair.RTCP, (*rtcpPort)(s))
}

// Receive takes every datagram that arrives at the RTP port.
func (p *rtpPort) Receive(b []byte, from netip.AddrPort, age time.Duration) {
	s := (*Session)(p)
	now := s.engine.clock.Now() - age
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if rtcp.Is(b) {
		s.receiveControl(b, from, now, true)
		return
	}
	s.receive(b, from, now)
}

// Receive takes every datagram that arrives at the RTCP port.
func (p *rtcpPort) Receive(b []byte, from netip.AddrPort, age time.Duration) {
	s := (*Session)(p)
	now := s.engine.clock.Now() - age
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.receiveControl(b, from, now, false)
}

// receiveControl handles one datagram with RTCP. muxed: it came to the RTP port. The caller holds s.in.mu.
func (s *Session) receiveControl(b []byte, from netip.AddrPort, now time.Duration, muxed bool) {
	w := s.wiring.Load()
	if !w.configured {
		s.count.unwanted.Add(1)
		return
	}
	if w.guard != nil {
		var err error
		if b, err = w.guard.unprotectControl(b); err != nil {
			return
		}
	}
	s.queueControl(b, from, now, muxed)
}

// receive handles one datagram with RTP. b has the capacity that rtpio.Receiver promises and is changed. The caller holds
// s.in.mu.
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
		in.latch.signal(w.params.Remote, w.params.SignalledFrom, now)
		if at := in.latch.current; at.IsValid() && at != *s.remote.Load() {
			s.sendTo(at, w.revision) // it was found while a Configure was under way
		}
	}
	if w.guard != nil {
		var err error
		search := &in.search
		if !in.latch.fits(from.Addr()) {
			search = nil
		}
		if b, err = w.guard.unprotect(b, search, now); err != nil {
			return
		}
	}
	payload, ok := parse(&in.header, b)
	if !ok {
		s.count.malformed.Add(1)
		s.count.bad.Add(1)
		return
	}
	h := &in.header
	// A packet with our own SSRC is our own, sent back (RFC 3550 §8.2).
	if h.SSRC == s.out.ssrc {
		s.count.looped.Add(1)
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
		s.sendTo(from, w.revision)
	}
	if !in.flow.admit(now, flowRate, flowBurst) {
		s.count.overruns.Add(1)
		return
	}
	s.count.received.Add(1)
	s.count.lastReceived.Store(int64(now))
	of := rtcp.Aside
	if kind != event || in.reception.Of(h.SSRC) { // events with an SSRC of their own are no other stream
		of = in.reception.Take(&rtcp.Packet{SSRC: h.SSRC, Seq: h.SequenceNumber, TS: h.Timestamp, At: now, Timed: kind == audio,
			Lasts: lasts(kind, payload), Discarded: s.count.discarded.Load() + s.count.refused.Load()})
	}
	if of == rtcp.Restarted && in.tones != nil {
		in.tones.known = false
		in.tones.detector.Reset()
	}
	if w.params.Receive {
		s.deliver(w, kind, id, payload, of, now)
	}
}

// sendTo sends our packets to a latched source from now on, unless a Configure has come in between.
func (s *Session) sendTo(to netip.AddrPort, revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wiring.Load()
	if w.revision != revision {
		return
	}
	s.remote.Store(&to)
	s.count.latched.Add(1)
	if w.onLatch != nil {
		s.engine.post(w.onLatch)
	}
}

// deliver gives a packet of the far end to whatever the session is wired to; of says what reception made of it.
func (s *Session) deliver(w *wiring, kind packetKind, id codec.ID, payload []byte, of rtcp.Verdict, now time.Duration) {
	h, stray := &s.in.header, of == rtcp.Aside
	if kind == event {
		for _, digit := range s.in.events.Put(h.SSRC, h.Timestamp, h.Marker, payload, now) {
			s.digit(w, digit)
		}
	}
	long := len(payload) > jitter.MaxPayload
	if long {
		s.count.oversized.Add(1)
	}
	if w.ear != nil && !(kind == event && stray) && !w.ear.offer(h, kind, id, payload, now) {
		s.count.refused.Add(1)
		if !long {
			s.count.overruns.Add(1)
		}
	}
	if w.relay != nil && (!stray || kind == event) && of != rtcp.Stale {
		w.relay.pass(w.other, h, s.in.reception.Stream(), kind, id, payload, now)
	}
	if kind == audio && !stray && w.inBand() { // last: nobody waits for it
		s.listenForTones(w, id, h, payload)
	}
}

// lasts is how long a packet plays: of every codec here a byte is a tick of the clock.
func lasts(kind packetKind, payload []byte) time.Duration {
	if kind != audio {
		return 0
	}
	return time.Duration(len(payload)) * timeline.Tick
}

// digit takes a digit that came as a telephone-event.
func (s *Session) digit(w *wiring, digit byte) {
	s.tellDigit(w, digit, false)
	if w.relay != nil {
		w.relay.digit(w.other, digit)
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

// number is the payload type of what is sent; 0 of events and noise is none.
func (w *wiring) number(kind packetKind) uint8 {
	switch kind {
	case event:
		return w.params.DTMFPayloadType
	case noise:
		return w.params.NoisePayloadType
	}
	return w.params.PayloadType
}

// classify looks a payload type up. The static types of our codecs are taken whatever was agreed: an answerer may
// send any codec of ours (RFC 3264 §6.1).
func classify(w *wiring, pt uint8) (packetKind, codec.ID) {
	switch {
	case pt != 0 && (pt == w.params.DTMFPayloadType || pt == w.params.DTMFReceive):
		return event, codec.None
	case pt == w.params.PayloadType && w.params.Codec != codec.None:
		return audio, w.params.Codec
	case pt == codec.ComfortNoise || pt != 0 && pt == w.params.NoisePayloadType:
		return noise, codec.None
	}
	if id := codec.ByPayloadType(pt); id != codec.None {
		return audio, id
	}
	return unwanted, codec.None
}

// parse checks a datagram and returns its payload without padding.
func parse(h *rtp.Header, b []byte) ([]byte, bool) {
	// RFC 3550 §5.1: version 2. Before pion/rtp, whose errors allocate.
	if len(b) < headerSize || b[0]>>6 != 2 || rtcp.Is(b) {
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
