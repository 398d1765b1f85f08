package media

// The shape of wideband audio (G.722): 16-bit mono at 16 kHz in frames of the same 20 ms.
const (
	WideRate    = 2 * SampleRate   // samples per second
	WideSamples = 2 * FrameSamples // samples in one frame
)

// WideFrame is 20 ms of linear audio at 16 kHz.
type WideFrame = [WideSamples]int16

// WideSource is a Source that has more to give than 4 kHz of it. NextWide takes the place of Next in a tick of a
// session whose codec is wideband, with the same meaning; Next is called in the others. A Source that is not wide is
// brought to 16 kHz by the session.
type WideSource interface {
	Source
	NextWide(f *WideFrame) bool
}

// WideSink is a Sink that can make use of more than 4 kHz. WriteWide takes the place of Write in a tick whose audio
// came at 16 kHz; both may be called in turn while the far end's codec changes. A Sink that is not wide gets the
// same audio at 8 kHz.
type WideSink interface {
	Sink
	WriteWide(f *WideFrame, k Kind)
}

// fitEar gives a session the ear that its sink and codec need: a new one when the sink begins or ends to hear wideband,
// which costs what the old one knew of the network.
func (s *Session) fitEar(w *wiring) {
	rate := SampleRate
	if _, ok := w.sink.(WideSink); ok {
		rate = w.params.Codec.Rate()
	}
	switch {
	case w.sink == nil:
		w.ear = nil
	case w.ear == nil || w.ear.rate != rate:
		w.ear = newEar(s.engine, &s.count, rate)
	}
}

// fetch asks the source for a frame in the shape that the codec wants: room.wide or room.frame.
func (w *wiring) fetch(room *scratch) bool {
	if w.speaksWide() {
		return w.wide.NextWide(&room.wide)
	}
	return w.source.Next(&room.frame)
}

// speaksWide reports whether the source is asked for 16 kHz.
func (w *wiring) speaksWide() bool { return w.wide != nil && w.params.Codec.Rate() == WideRate }

// encode makes what was fetched into room.payload and returns the bytes.
func (t *pacing) encode(w *wiring, room *scratch) int {
	if w.speaksWide() {
		return t.encoder.Encode(w.params.Codec, room.payload[:], room.wide[:], WideRate)
	}
	return t.encoder.Encode(w.params.Codec, room.payload[:], room.frame[:], SampleRate)
}
