package wire

import (
	"parklamp/media"
	"parklamp/media/dtmf"
)

// hearDigits takes the digits that the far end of a leg sends as telephone-events (RFC 4733), or as tones where those were
// not agreed. In a relay both go to the other far end by themselves.
func (a *Appliance) hearDigits(l *leg) {
	l.media.OnDTMF(func(digit byte, inBand bool) {
		if !inBand { // a tone was heard already
			a.loop.post(func() { a.digit(l, digit, false) })
		}
	})
}

// digit lets whoever talks with the far end of a leg hear a digit of it; in a conference that is the worker alone. One that came by INFO is not in the RTP: towards
// another leg it becomes a telephone-event.
func (a *Appliance) digit(l *leg, digit byte, byInfo bool) {
	switch {
	case l.desk != "" && a.desk.hears(l.desk):
		a.desk.handset.digit(digit)
	case byInfo && l.pair != nil:
		if err := l.pair.media.SendDTMF(string(rune(digit)), dtmfEach, dtmfGap); err != nil {
			a.log.Warn("a digit is not passed on", "call", l.id, "err", err)
		}
	}
}

// digit plays the tone of a digit above the call, as long as one that is sent.
func (h *handset) digit(d byte) {
	if code, ok := dtmf.Code(d); ok {
		h.device.Overlay(&limited{source: &digitTone{code: code}, frames: int(dtmfEach / media.FrameDuration)})
	}
}

// digitTone is the tone of a telephone-event.
type digitTone struct {
	code uint8
	tone dtmf.Tone
}

var _ media.Source = (*digitTone)(nil)

// Next implements media.Source.
func (t *digitTone) Next(f *media.Frame) bool {
	t.tone.Fill(f[:], t.code)
	return true
}
