package media

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/dtmf"
	"parklamp/media/jitter"
	"parklamp/media/timeline"
)

const (
	headerSize = 12
	// halfFrame decides whether a moment belongs to the tick before or after it.
	halfFrame = FrameDuration / 2
	// Limits of what a relay may have moved the stream against the clock before that is taken for skew. One
	// tick is left out at most, so that no gap exceeds 40 ms.
	mostAhead  = 2*FrameDuration + halfFrame
	mostBehind = time.Second
	// relayJump is how far a relayed stream's clock may be from ours before it is taken for a new clock.
	relayJump = timeline.ClockRate // 1 s
	relayGap  = 500                // sequence numbers
)

// outgoing is the stream that a session sends. Its lock is taken once per packet, and waited for only in
// the moment in which the stream changes hands between the pacer and a relay.
type outgoing struct {
	mu sync.Mutex
	origin
	end time.Duration // when the audio of its last packet ends
	// ideal is when the audio at timestamp next is due, counted from the stream's first packet: what keeps the
	// stream's clock true however often it changes hands.
	ideal       time.Duration
	sent        bool
	inTalkspurt bool // the last tick sent something: no marker

	// relay: what is added to a forwarded packet's numbers
	feed     *Relay // the relay that has begun to send
	relayed  bool   // the last packet came from the relay: else the shifts no longer fit
	feedSSRC uint32
	stream   uint64 // of the feed, as rtcp.Reception names it
	anchor   uint16 // first sequence number that the relay sent, or a later one; older ones are not forwarded
	seqShift uint16
	tsShift  uint32
	event    struct{ ssrc, ts, as uint32 } // with an SSRC of its own, beside the audio: its timestamp as it came and as it goes on
}

// origin is where a stream begins or has come to.
type origin struct {
	ssrc uint32        // never changes
	seq  uint16        // of the next packet
	next uint32        // timestamp after the last packet
	from time.Duration // when a stream that goes on from another process is due

	// for RTCP
	name            string // CNAME; "" makes one
	first           uint16 // sequence number of the first packet
	packets, octets uint64 // sent in an earlier life
}

// newOrigin returns random numbers (RFC 3550 §5.1). The sequence number is below 2^15, so that who misses the first
// packets of SRTP is not mistaken in the rollover counter (RFC 3711 §3.3.1).
func newOrigin() origin {
	seq := uint16(rand.Uint32()) >> 1
	return origin{ssrc: rand.Uint32(), seq: seq, next: rand.Uint32(), first: seq}
}

// stamp returns the timestamp of audio from a relay that begins at the given time.
func (o *outgoing) stamp(at time.Duration) uint32 {
	if !o.sent || at <= o.end {
		return o.next
	}
	return o.next + frames(at-o.end)
}

// tickStamp returns the timestamp of a tick, and whether it is to be left out because the stream is more than a frame ahead: a
// relay's first packet comes before the last one's audio has ended, and what that gained is given back here. Less stays:
// the receiver has got used to the relay's time, and any gap would be late for it.
func (o *outgoing) tickStamp(at time.Duration) (ts uint32, skip bool) {
	if !o.sent {
		return o.next, false
	}
	ahead := o.ideal - at
	// What is further off than changing hands can explain is the far end's clock, which becomes ours, or a pause that it made.
	switch {
	case o.relayed && ahead > mostAhead:
		o.ideal, ahead = at, 0
	case o.relayed && ahead < -mostBehind:
		o.ideal, ahead = o.end, o.end-at
		o.inTalkspurt = o.inTalkspurt && ahead >= -mostBehind
	}
	switch {
	case ahead > 0:
		return o.next, o.relayed && ahead > FrameDuration
	case !o.inTalkspurt:
		// After a pause the stream may have another place in the 20 ms; its clock is the time that went by.
		return o.next + uint32((-ahead*SampleRate+time.Second/2)/time.Second), false
	}
	return o.next + frames(-ahead), false
}

// due returns when the next packet of a session is to go out, not before earliest, whether a relay sends it, and whether
// that may change its place among the slots of the pacer. A session that is wired to nothing has none.
func (s *Session) due(earliest time.Duration) (at time.Duration, fed, change bool) {
	w := s.wiring.Load()
	if !w.configured && w.ear == nil {
		return forever, false, s.pace.placed
	}
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.sent && w.ear != nil && s.pace.placed:
		return 0, false, false // somebody hears in its slot
	case o.sent && w.ear == nil && w.relay != nil && o.feed == w.relay:
		return earliest, true, true
	case s.pace.placed && (!w.sending() || w.source == nil):
		return 0, false, false
	case !o.sent:
		return max(earliest, o.from), false, true
	}
	return max(earliest, min(o.ideal, o.end)), false, true
}

// frames returns the ticks of the RTP clock in d, rounded to whole frames.
func frames(d time.Duration) uint32 {
	return FrameSamples * uint32((d+halfFrame)/FrameDuration)
}

// advance notes a packet that was sent: the timestamp after it, and when its audio ends.
func (o *outgoing) advance(next uint32, end time.Duration) {
	if !o.sent {
		o.ideal, o.next, o.end = end, next, end
	}
	if by := int32(next - o.next); by > 0 {
		o.ideal += time.Duration(by) * time.Second / SampleRate
		o.next, o.end = next, end
	}
	o.sent = true
}

// write sends a payload that stands in room.packet behind the place of the header. The caller holds o.mu.
func (s *Session) write(w *wiring, room *scratch, pt uint8, marker bool, seq uint16, ts uint32, payload []byte) {
	n := headerSize + copy(room.packet[headerSize:headerSize+jitter.MaxPayload], payload)
	s.emit(w, room.packet[:n], pt, marker, seq, ts)
}

// emit writes the header (RFC 3550 §5.1) into the first octets of packet, protects it and sends it: every RTP packet of
// a session leaves here. packet has a capacity of guardRoom more than its length. The caller holds o.mu.
func (s *Session) emit(w *wiring, packet []byte, pt uint8, marker bool, seq uint16, ts uint32) {
	to, ok := s.target()
	if !ok {
		return
	}
	size := len(packet) - headerSize
	packet[0], packet[1] = 2<<6, pt&0x7f
	if marker {
		packet[1] |= 0x80
	}
	binary.BigEndian.PutUint16(packet[2:], seq)
	binary.BigEndian.PutUint32(packet[4:], ts)
	binary.BigEndian.PutUint32(packet[8:], s.out.ssrc)
	var err error
	if w.guard != nil {
		packet, err = w.guard.protect(packet)
	}
	if err == nil {
		_, err = s.pair.Load().RTP.WriteToAddrPort(packet, to)
	}
	if err != nil {
		s.count.sendErrors.Add(1)
		return
	}
	s.count.sent.Add(1)
	s.count.sentBytes.Add(uint64(size))
}

// emitControl protects and sends an RTCP packet: every one of a session leaves here. muxed: from the RTP port (RFC 5761).
// packet has a capacity of guardRoom more than its length and is changed.
func (s *Session) emitControl(packet []byte, to netip.AddrPort, muxed bool) error {
	var err error
	if g := s.wiring.Load().guard; g != nil {
		if packet, err = g.protectControl(packet); err != nil {
			return err
		}
	}
	conn := s.pair.Load().RTCP
	if muxed {
		conn = s.pair.Load().RTP
	}
	_, err = conn.WriteToAddrPort(packet, to)
	return err
}

// speak sends what is due in a tick.
func (s *Session) speak(w *wiring, at time.Duration, room *scratch) {
	if !w.sending() {
		s.pause()
		return
	}
	if s.key(w, at, room) {
		return
	}
	if s.fed(w, at) {
		return
	}
	n := 0
	switch {
	case w.source == nil:
	case w.encoded != nil:
		if n = w.encoded.NextEncoded(w.params.Codec, room.payload[:]); n >= 0 {
			break
		}
		fallthrough
	default:
		n = 0
		if !w.fetch(room) {
			break
		}
		if s.engine.cfg.SilenceSuppression && w.params.NoisePayloadType != 0 && s.hushed(w, at, room) {
			return
		}
		n = s.pace.encode(w, room)
	}
	if n == 0 {
		s.pause()
		return
	}
	s.say(w, at, room, room.payload[:n])
}

// say sends a payload as the audio of this tick.
func (s *Session) say(w *wiring, at time.Duration, room *scratch, payload []byte) {
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ideal-at > slotTime && w.ear == nil {
		// What a relay's first packet gained is given back a millisecond at a time. Where somebody hears in the slot it stays.
		s.pace.move = 1
	}
	ts, _ := o.tickStamp(at)
	// RFC 3551 §4.1: the marker bit begins a talkspurt.
	s.write(w, room, w.params.PayloadType, !o.inTalkspurt, o.seq, ts, payload)
	o.seq++
	o.inTalkspurt, o.relayed = true, false
	o.advance(ts+uint32(len(payload)), at+FrameDuration)
}

func (s *Session) pause() {
	s.out.mu.Lock()
	s.out.inTalkspurt = false
	s.out.mu.Unlock()
}

// fed reports whether this tick belongs to a relay: it has begun to send, or has just ended.
func (s *Session) fed(w *wiring, at time.Duration) bool {
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if w.relay != nil && o.feed == w.relay {
		return true
	}
	_, skip := o.tickStamp(at)
	return skip
}

// key sends digits and reports whether the tick is taken by one.
func (s *Session) key(w *wiring, at time.Duration, room *scratch) bool {
	t := &s.pace
	if !t.digits.Busy() {
		queue := s.digits.Load()
		if queue == nil {
			return false
		}
		select {
		case k := <-*queue:
			t.digits.Start(k)
			s.sendsDigit.Store(true)
		default:
			return false
		}
	}
	step := t.digits.Next()
	if !t.digits.Busy() {
		s.sendsDigit.Store(false)
	}
	if w.params.DTMFPayloadType == 0 {
		if !step.Tone {
			return false
		}
		t.tone.Fill(room.frame[:], step.Event.Code)
		n := t.encoder.Encode(w.params.Codec, room.payload[:], room.frame[:], SampleRate)
		s.say(w, at, room, room.payload[:n])
		return true
	}
	if !step.Send {
		return false
	}
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if step.First {
		t.digitTS, _ = o.tickStamp(at)
	}
	var payload [dtmf.EventSize]byte
	step.Event.Put(payload[:])
	ts := t.digitTS + step.Offset
	s.write(w, room, w.params.DTMFPayloadType, step.First, o.seq, ts, payload[:])
	o.seq++
	o.inTalkspurt, o.relayed = true, false
	o.advance(ts+uint32(step.Event.Duration), at+FrameDuration)
	return true
}

// forward sends a packet that another session received, under that one's in.mu. packet is a header's place and the payload.
func (s *Session) forward(w *wiring, b *Relay, h *rtp.Header, packet []byte, kind packetKind, samples uint32, at, end time.Duration) {
	if !w.sending() || s.sendsDigit.Load() {
		return
	}
	o, pt, stream := &s.out, w.number(kind), b.recoder(s).stream
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.relayed && o.feed == b && o.feedSSRC != h.SSRC && kind == event {
		if e := &o.event; e.ssrc != h.SSRC || e.ts != h.Timestamp {
			e.ssrc, e.ts, e.as = h.SSRC, h.Timestamp, o.stamp(at)
		}
		s.emit(w, packet, pt, h.Marker, o.seq, o.event.as)
		o.seq++
		o.seqShift++ // the audio makes room for it and keeps its clock
		o.anchor = o.seq
		o.inTalkspurt = true
		s.count.relayed.Add(1)
		return
	}
	marker := h.Marker
	seq, ts := h.SequenceNumber+o.seqShift, h.Timestamp+o.tsShift
	ahead := timeline.Packets(seq, o.seq)
	clock := timeline.Ticks(ts+samples, o.stamp(at)) // where it ends: RFC 4733 §2.2.1, an event is stamped with its beginning
	if !o.relayed || o.feed != b || o.feedSSRC != h.SSRC || o.stream != stream || ahead > relayGap || ahead < -relayGap || clock > relayJump || clock < -relayJump {
		seq, ts = o.seq, o.stamp(at)
		o.seqShift, o.tsShift = seq-h.SequenceNumber, ts-h.Timestamp
		if o.feed != b {
			s.engine.pacer.stir(s)
		}
		o.feed, o.feedSSRC, o.stream, o.anchor, o.relayed = b, h.SSRC, stream, seq, true
		ahead, marker = 0, true
	}
	if ahead < 0 && timeline.Packets(seq, o.anchor) < 0 {
		return // from before the relay began: its number is taken
	}
	s.emit(w, packet, pt, marker, seq, ts)
	if ahead >= 0 {
		o.seq = seq + 1
		if timeline.Packets(seq, o.anchor) > 2*relayGap {
			o.anchor = seq - relayGap // nothing older is taken, and what is 2^15 behind would be ahead again
		}
		o.inTalkspurt = true
		o.advance(ts+samples, end)
	}
	s.count.relayed.Add(1)
}
