package wire

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"parklamp/media"
	"parklamp/media/audio"
	"parklamp/media/prompt"
	"parklamp/media/tone"
	"parklamp/parkd"
	"parklamp/sip/phone"
)

// tones and rings are the sounds of the phone's kinds.
var (
	tones = map[phone.ToneKind]tone.Kind{
		phone.ToneDial: tone.Dial, phone.ToneRingback: tone.Ringback, phone.ToneBusy: tone.Busy, phone.ToneReorder: tone.Congestion,
		phone.ToneConfirm: tone.Confirm, phone.ToneError: tone.Error, phone.ToneReminder: tone.Reminder,
	}
	rings = map[phone.RingKind]tone.Kind{
		phone.RingNormal: tone.Ring, phone.RingRecall: tone.RingRecall, phone.RingReminder: tone.RingReminder,
		phone.RingWaiting: tone.CallWaiting, phone.RingRecallWaiting: tone.RecallWaiting,
	}
)

// handset is what the worker hears and speaks into, in the words of the phone. It is owned by the loop.
type handset struct {
	device  audio.Device
	sim     *audio.Sim          // nil with a sound card
	using   func() audio.Config // of the sound card that is there; nil without one
	country string
	calls   []*media.Session // joined with the open path: none, one, or the two of a conference
	parties []member         // of a conference, in the order of calls; else nil
	ringing phone.RingKind
}

// newHandset returns the handset of the sound cards that it may have, the best first, or a simulated one. report is told of the card's faults. The
// error is one of the simulated one's speech: it has none then.
func newHandset(may []audio.Config, country string, log *slog.Logger, report func(error)) (*handset, error) {
	if may[0].Card != "" {
		card := audio.NewCard(may, log, report)
		return &handset{device: card, using: card.Using, country: country}, nil
	}
	sim := audio.NewSim()
	speech, err := audio.OpenSpeech(may[0])
	if err == nil {
		sim.Speak(speech)
	}
	return &handset{device: sim, sim: sim, country: country}, err
}

// hasHeadset says whether the sound card that is there has a place for a headset.
func (h *handset) hasHeadset() bool {
	if h.using == nil {
		return false
	}
	none, is := audio.Default().Headset, h.using().Headset
	return len(is.Controls) > 0 || is.Output != none.Output || is.Input != none.Input
}

func (h *handset) run(ctx context.Context) error { return h.device.Run(ctx) }

// paths are the phone's in the words of the sound device.
var paths = map[phone.Path]audio.Path{
	phone.PathNone: audio.PathClosed, phone.PathHandset: audio.PathHandset, phone.PathSpeaker: audio.PathSpeaker,
}

// open selects what the worker uses.
func (h *handset) open(p phone.Path) { h.device.Open(paths[p]) }

// join connects microphone and earpiece with calls in place of those before: with none, one, or two that hear each other
// as well.
func (h *handset) join(legs []*leg) error {
	before := h.calls
	h.calls = nil
	for _, l := range legs {
		h.calls = append(h.calls, l.media)
	}
	for _, s := range before {
		if !slices.Contains(h.calls, s) {
			s.Listen(nil)
		}
	}
	h.parties = nil
	if len(legs) > 1 {
		return h.confer(legs)
	}
	for _, s := range h.calls {
		s.Play(h.device.Capture())
		s.Listen(h.device.Playback())
	}
	return nil
}

// tone plays a lasting tone.
func (h *handset) tone(k phone.ToneKind) { h.device.Play(tone.New(h.country, tones[k]), nil) }

// quiet ends a tone or a prompt.
func (h *handset) quiet() { h.device.Play(nil, nil) }

// say speaks, then plays a tone if one is given, and calls done when the speech is over.
func (h *handset) say(p prompt.Phrase, then phone.ToneKind, done func()) {
	if then == phone.ToneNone {
		h.device.Play(p.Source(), done)
		return
	}
	h.device.Play(&sequence{first: p.Source(), second: tone.New(h.country, tones[then]), between: done}, nil)
}

// beep plays a short signal above everything else.
func (h *handset) beep(k phone.ToneKind, d time.Duration) {
	h.device.Overlay(&limited{source: tone.New(h.country, tones[k]), frames: int(d / media.FrameDuration)})
}

// whisper speaks over whatever the worker hears.
func (h *handset) whisper(p prompt.Phrase) { h.device.Overlay(p.Source()) }

// ring rings in the way of its kind; RingNone stops it. Waiting calls are heard softly in the open path.
func (h *handset) ring(k phone.RingKind) {
	switch k {
	case h.ringing:
		return
	case phone.RingNone:
		h.device.Ring(nil)
		h.device.Overlay(nil)
	case phone.RingWaiting, phone.RingRecallWaiting:
		h.device.Ring(nil)
		h.device.Overlay(tone.New(h.country, rings[k]))
	default:
		h.device.Ring(tone.New(h.country, rings[k]))
	}
	h.ringing = k
}

func (h *handset) mute(on bool) { h.device.Mute(on) }

func (h *handset) volume(ringer bool, level int) {
	if ringer {
		h.device.SetRingerVolume(level)
		return
	}
	h.device.SetVolume(level)
}

// sequence is one source after another.
type sequence struct {
	first, second media.Source
	between       func() // called once, after first; must not block
}

// Next implements media.Source.
func (s *sequence) Next(f *media.Frame) bool {
	if s.first != nil {
		if s.first.Next(f) {
			return true
		}
		s.first = nil
		s.between()
	}
	return s.second.Next(f)
}

// limited is the beginning of a source.
type limited struct {
	source media.Source
	frames int // still to come
}

// Next implements media.Source.
func (l *limited) Next(f *media.Frame) bool {
	l.frames--
	return l.frames >= 0 && l.source.Next(f)
}

// phraseOf is a prompt of the phone in words and sound.
func phraseOf(p phone.Prompt, orbit string) prompt.Phrase {
	switch p {
	case phone.PromptParkedOn:
		return prompt.ParkedOn(orbit)
	case phone.PromptTaken:
		return prompt.Taken(orbit)
	case phone.PromptLost:
		return prompt.Lost(orbit)
	case phone.PromptFull:
		return prompt.Full()
	case phone.PromptEmpty:
		if orbit == "" {
			return prompt.NoneParked()
		}
		return prompt.Empty(orbit)
	case phone.PromptNoOrbit:
		return prompt.NoSuchOrbit(orbit)
	case phone.PromptUnknown:
		return prompt.Unreachable(orbit)
	}
	return prompt.Failed()
}

// listOf is the spoken list of parked calls, oldest first. Those whose host cannot be reached cannot be fetched and are
// left out.
func listOf(calls []parkd.SlotState, now time.Time) prompt.Phrase {
	var waiting []prompt.Waiting
	for _, c := range calls {
		if !c.Unknown {
			waiting = append(waiting, prompt.Waiting{Orbit: c.Orbit, Age: now.Sub(c.Since)})
		}
	}
	return prompt.List(waiting)
}

// ending tells when its source has ended.
type ending struct {
	source media.Source
	ended  func() // called once; must not block
}

// Next implements media.Source.
func (e *ending) Next(f *media.Frame) bool {
	if e.source == nil {
		return false
	}
	if e.source.Next(f) {
		return true
	}
	e.source = nil
	e.ended()
	return false
}
