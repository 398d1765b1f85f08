package media

import (
	"sync"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/codec"
	"parklamp/media/dtmf"
	"parklamp/media/jitter"
	"parklamp/media/timeline"
)

// How a digit goes on to a leg that takes no telephone-events.
const (
	relayedDigit    = 100 * time.Millisecond
	relayedDigitGap = 60 * time.Millisecond
)

// Relay is two sessions that hear each other. What one receives the other sends, on receipt, undecoded where the
// codecs agree, through the G.711 tables where both are of G.711, else decoded and encoded anew. Each session plays
// its own source until the first packet of the other comes, and again after Close; its SSRC, sequence and clock go on
// throughout.
type Relay struct {
	a, b *Session
	once sync.Once

	toA, toB recoder // guarded by in.mu of the other session
}

// Join joins two sessions of one engine. Each can be in one relay only (ErrRelayed).
func Join(a, b *Session) (*Relay, error) {
	if a == b {
		return nil, ErrRelayed
	}
	rel := &Relay{a: a, b: b}
	if err := a.join(rel, b); err != nil {
		return nil, err
	}
	if err := b.join(rel, a); err != nil {
		a.part(rel)
		return nil, err
	}
	// A session that was closed meanwhile took its half down already.
	if a.wiring.Load().relay != rel {
		rel.Close()
		return nil, ErrClosed
	}
	return rel, nil
}

// Close parts the sessions. Further calls do nothing.
func (rel *Relay) Close() {
	rel.once.Do(func() {
		rel.a.part(rel)
		rel.b.part(rel)
	})
}

func (s *Session) join(rel *Relay, other *Session) error {
	taken := false
	err := s.change(func(w *wiring) {
		if taken = w.relay != nil; !taken {
			w.relay, w.other = rel, other
		}
	})
	if taken {
		return ErrRelayed
	}
	return err
}

func (s *Session) part(rel *Relay) {
	_ = s.change(func(w *wiring) {
		if w.relay == rel {
			w.relay, w.other = nil, nil
		}
	})
	s.engine.pacer.stir(s)
}

// pass forwards a packet that was received to the other session. stream names the one that it is of, as reception does.
func (rel *Relay) pass(to *Session, h *rtp.Header, stream uint64, kind packetKind, id codec.ID, payload []byte, now time.Duration) {
	w := to.wiring.Load()
	if w.relay != rel || len(payload) > jitter.MaxPayload { // the latter was counted when it came
		return
	}
	// RFC 3550 §8.2: what the other session sent has come back to this one. To send it again would never end.
	if h.SSRC == to.out.ssrc {
		rel.from(to).count.looped.Add(1)
		return
	}
	r := rel.recoder(to)
	r.stream = stream
	switch kind {
	case audio:
		n := r.recode(w, h, id, r.packet[headerSize:headerSize+jitter.MaxPayload], payload)
		if n == 0 {
			return
		}
		packet := r.packet[:headerSize+n]
		to.forward(w, rel, h, packet, kind, uint32(n), now, now+time.Duration(n)*time.Second/SampleRate)
	case event:
		// RFC 4733 §2.5.1.1: nobody is sent an event that was not agreed, and we agree to digits only.
		if ticks, digits := dtmf.Samples(payload); digits && w.params.DTMFPayloadType != 0 {
			packet := r.packet[:headerSize+copy(r.packet[headerSize:], payload)]
			to.forward(w, rel, h, packet, kind, ticks, now, now)
		}
	case noise:
		// RFC 3389 §4: only who said so in SDP is sent comfort noise. Others hear nothing in the pauses.
		if w.params.NoisePayloadType != 0 {
			packet := r.packet[:headerSize+copy(r.packet[headerSize:], payload)]
			to.forward(w, rel, h, packet, kind, 0, now, now)
		}
	}
}

// from returns the session whose packets go to another one.
func (rel *Relay) from(to *Session) *Session {
	if to == rel.a {
		return rel.b
	}
	return rel.a
}

// recoder returns that of the packets that go to a session.
func (rel *Relay) recoder(to *Session) *recoder {
	if to == rel.b {
		return &rel.toB
	}
	return &rel.toA
}

// recode writes a payload into dst as one of the codec that the other session speaks, and returns its length; 0 if it
// cannot, or must not, be sent.
func (r *recoder) recode(w *wiring, h *rtp.Header, id codec.ID, dst, payload []byte) int {
	if n := copy(dst, payload); codec.Transcode(w.params.Codec, id, dst[:n]) {
		return n
	}
	return r.convert(w.params.Codec, id, h, dst, payload)
}

// recoder is one direction of a relay: the packet that is being forwarded, and what it has to remember for G.722 on one of
// its sides.
type recoder struct {
	packet [packetRoom]byte
	stream uint64 // that it is of

	codec.Transcoder
	known bool
	of    uint64 // the stream that the Transcoder is in
	seq   uint16 // of the packet before
}

// convert takes the packets in the order in which they were sent: what comes twice or too late would take the state
// back, and is left out. The far end, whose numbers go on with a gap, conceals it like any loss.
func (r *recoder) convert(to, from codec.ID, h *rtp.Header, dst, payload []byte) int {
	step := timeline.Packets(h.SequenceNumber, r.seq)
	if !r.known || r.of != r.stream || step > relayGap || step < -relayGap {
		r.Transcoder, r.known, r.of = codec.Transcoder{}, true, r.stream
	} else if step <= 0 {
		return 0
	}
	r.seq = h.SequenceNumber
	return r.Convert(to, from, dst, payload)
}

// digit is called once for each digit that the other session received.
func (rel *Relay) digit(to *Session, digit byte) {
	if to.wiring.Load().params.DTMFPayloadType == 0 {
		_ = to.SendDTMF(string(digit), relayedDigit, relayedDigitGap)
	}
}
