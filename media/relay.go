package media

import (
	"sync"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/codec"
	"parklamp/media/jitter"
)

// How a digit goes on to a leg that takes no telephone-events.
const (
	relayedDigit    = 100 * time.Millisecond
	relayedDigitGap = 60 * time.Millisecond
)

// Bridge is a relay between two sessions. What one receives the other sends, on receipt, undecoded where the
// codecs agree and through the G.711 tables where not. Each session plays its own source until the first
// packet of the other comes, and again after Close; its SSRC, sequence and clock go on throughout.
type Bridge struct {
	a, b *Session
	once sync.Once
}

// Relay joins two sessions of one engine. Each can be in one relay only (ErrBridged).
func Relay(a, b *Session) (*Bridge, error) {
	if a == b {
		return nil, ErrBridged
	}
	br := &Bridge{a: a, b: b}
	if err := a.join(br, b); err != nil {
		return nil, err
	}
	if err := b.join(br, a); err != nil {
		a.part(br)
		return nil, err
	}
	// A session that was closed meanwhile took its half down already.
	if a.wiring.Load().bridge != br {
		br.Close()
		return nil, ErrClosed
	}
	return br, nil
}

// Close parts the sessions. Further calls do nothing.
func (br *Bridge) Close() {
	br.once.Do(func() {
		br.a.part(br)
		br.b.part(br)
	})
}

func (s *Session) join(br *Bridge, peer *Session) error {
	taken := false
	err := s.change(func(w *wiring) {
		if taken = w.bridge != nil; !taken {
			w.bridge, w.peer = br, peer
		}
	})
	if taken {
		return ErrBridged
	}
	return err
}

func (s *Session) part(br *Bridge) {
	_ = s.change(func(w *wiring) {
		if w.bridge == br {
			w.bridge, w.peer = nil, nil
		}
	})
}

// pass forwards a packet that was received to the other session. payload may be overwritten.
func (br *Bridge) pass(to *Session, h *rtp.Header, kind packetKind, id codec.ID, payload []byte, now time.Duration) {
	w := to.wiring.Load()
	if w.bridge != br || len(payload) > jitter.MaxPayload {
		return
	}
	room := &to.engine.inbox
	switch kind {
	case audio:
		payload, ok := br.recode(to, w, id, payload)
		if !ok {
			return
		}
		n := len(payload)
		packet := room.packet[:headerSize+copy(room.packet[headerSize:], payload)]
		to.forward(w, br, h, packet, w.params.PayloadType, uint32(n), now, now+time.Duration(n)*time.Second/SampleRate)
	case event:
		if pt := w.params.DTMFPayloadType; pt != 0 && len(payload) >= 4 {
			packet := room.packet[:headerSize+copy(room.packet[headerSize:], payload)]
			to.forward(w, br, h, packet, pt, uint32(payload[2])<<8|uint32(payload[3]), now, now)
		}
	case noise:
		// Comfort noise is never agreed by us (RFC 3389 §4 needs it in SDP), so no leg can be sent it.
	}
}

// recode makes a payload one of the codec that the other session speaks; false if there is no way. It may overwrite it.
func (br *Bridge) recode(_ *Session, w *wiring, id codec.ID, payload []byte) ([]byte, bool) {
	return payload, codec.Transcode(w.params.Codec, id, payload)
}

// digit is called once for each digit that the other session received.
func (br *Bridge) digit(to *Session, digit byte) {
	if to.wiring.Load().params.DTMFPayloadType == 0 {
		_ = to.SendDTMF(string(digit), relayedDigit, relayedDigitGap)
	}
}
