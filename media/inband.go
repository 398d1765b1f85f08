package media

import (
	"github.com/pion/rtp"

	"parklamp/media/codec"
	"parklamp/media/dtmf"
	"parklamp/media/jitter"
	"parklamp/media/timeline"
)

// tones listens for the digits of a far end that did not agree to telephone-events: as tones in its audio. It is
// guarded by in.mu of its session.
//
// It hears packets as they come, without the wait of a jitter buffer. One that is lost is left out: a digit around it stays
// one digit, since the detector takes it for an interruption.
type tones struct {
	detector dtmf.Detector
	decoder  codec.Decoder
	known    bool
	seq      uint16 // of the last packet that was heard
	pcm      [jitter.MaxPayload]int16
}

// inBand reports whether the digits of the far end can come as tones only, and somebody wants to know them. A far end that
// agreed to events sends none of its digits twice: its tones are not looked at.
func (w *wiring) inBand() bool {
	return w.onDTMF != nil && w.params.DTMFPayloadType == 0 && w.params.DTMFReceive == 0
}

// listenForTones looks for digits in a packet of audio.
func (s *Session) listenForTones(w *wiring, id codec.ID, h *rtp.Header, payload []byte) {
	t := s.in.tones
	if t == nil { // once in a call
		t = &tones{decoder: codec.Decoder{Rate: SampleRate}}
		s.in.tones = t
	}
	if step := timeline.Packets(h.SequenceNumber, t.seq); t.known && step <= 0 && step >= -relayGap {
		return // twice or too late; what is further back comes after minutes in which nobody listened
	}
	t.known, t.seq = true, h.SequenceNumber
	pcm := t.pcm[:t.decoder.Decode(id, t.pcm[:], payload)]
	for len(pcm) > 0 {
		n := min(len(pcm), FrameSamples)
		if digit, ok := t.detector.Put(pcm[:n]); ok {
			s.tellDigit(w, digit, true)
		}
		pcm = pcm[n:]
	}
}

// tellDigit reports a digit to whoever asked for them.
func (s *Session) tellDigit(w *wiring, digit byte, inBand bool) {
	if f := w.onDTMF; f != nil && !s.engine.post(func() { f(digit, inBand) }) {
		s.count.digitsDropped.Add(1)
	}
}
