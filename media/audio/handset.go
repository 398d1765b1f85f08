// Package audio joins calls with what a person holds to the ear: microphone, earpiece, loudspeaker and ringer.
//
// Handset is the part that no hardware changes: it takes what a media session receives (Playback), mixes it with the
// phone's own tones and prompts, and hands a session what the microphone hears (Capture), at 8 or 16 kHz as the call
// needs. A device trades pieces of a few milliseconds with it by its own clock. What a session receives is read by that
// clock (media.Puller). Microphone and conference go through a line each, which stands between that clock and the
// pacer's, keeps as little as is safe and says how much faster the device's side is to run. Card is a
// sound card of the kernel. Sim is a device without hardware: its microphone hears a clip or silence, and anybody may
// listen to its earpiece. Both pass the same suite (audiotest).
//
// The package never opens a socket and never decides what is to be heard. Sim.Run runs in the caller's goroutine and
// starts none; Card.Run owns one for each direction while there is anything to hear or to say. With the path closed and
// nothing to play both sleep.
package audio

import (
	"context"
	"sync"
	"time"

	"parklamp/media"
	"parklamp/media/audio/duplex"
	"parklamp/media/resample"
)

// MaxVolume is the loudest volume; Normal leaves the sound as it is. A step is 3 dB, 0 is silence.
const (
	MaxVolume = 10
	Normal    = 6
)

// maxPiece is the longest piece that a device may trade.
const maxPiece = media.FrameDuration

// maxSamples is maxPiece at the highest rate of a device.
const maxSamples = 48000 / 50

// Path is the pair of microphone and loudspeaker that the person uses.
type Path uint8

// The paths. A board says what each of them is; the ringer sounds on PathSpeaker.
const (
	PathClosed  Path = iota // both are off
	PathHandset             // the handset
	PathHeadset             // a headset in its socket
	PathSpeaker             // hands-free
	paths
)

// String returns the name that the configuration uses.
func (p Path) String() string {
	if p >= paths {
		return "unknown"
	}
	return [...]string{"closed", "handset", "headset", "speaker"}[p]
}

// Device is the audio of a phone, whatever the hardware: a Handset and the clock that drives it.
type Device interface {
	// Run trades pieces with the hardware until ctx ends.
	Run(ctx context.Context) error
	Open(p Path)
	Play(src media.Source, ended func())
	Overlay(src media.Source)
	Ring(src media.Source)
	Mute(on bool)
	SetVolume(level int)
	SetRingerVolume(level int)
	Capture() media.WideSource
	Playback() media.WideSink
}

// Handset is the device-independent half of a phone's audio. All methods may be called from any goroutine, but Hear by
// one and Sound by one; none waits for more than the copying of a frame.
type Handset struct {
	wake  chan struct{} // capacity 1: the device looks at everything, so one wake-up is as good as many
	epoch time.Time

	// owned by who calls Hear
	hear way
	// owned by who calls Sound
	sound, bell way

	// guarded by mu
	mu       sync.Mutex
	using    Path
	muted    bool
	volume   int
	ringing  int         // volume of the ringer
	voice    media.Voice // of the call that is heard; nil: what is heard comes through fromCall
	fromCall *line
	fromMic  *line
	side     *line // microphone to earpiece, at the device's rate; only while sidetone is on
	sidetone int32 // gain, 1/256; 0 is off
	micGain  int32
	outGain  int32
	echo     *duplex.Switch // on a path with echo control
	local    reader         // tone or prompt
	overlay  reader         // short signal above everything
	ringer   reader
	widen    *resample.Converter // tones at 16 kHz
	tones    [media.FrameSamples + 8]int16
	scratch  [maxSamples]int16
}

// way is a converter between the device's rate and the call's, made anew when one of them changes.
type way struct {
	from, to int
	oneClock bool
	conv     *resample.Converter // nil when the rates are one and the clock is
	samples  [2 * maxSamples]int16
}

// between makes the way fit.
func (w *way) between(from, to int, oneClock bool) {
	if w.from == from && w.to == to && (w.oneClock == oneClock || from != to) {
		return
	}
	w.from, w.to, w.oneClock, w.conv = from, to, oneClock, nil
	if from != to || !oneClock {
		// Rates were checked by whoever opened the device: 8, 16 or 48 kHz.
		w.conv, _ = resample.New(from, to)
	}
}

// newHandset returns a handset with its path closed and both volumes normal, for a device that is late by up to margin and whose clock
// may be the pacer's own.
func newHandset(margin time.Duration, oneClock bool) *Handset {
	widen, _ := resample.New(media.SampleRate, media.WideRate)
	return &Handset{
		wake: make(chan struct{}, 1), epoch: time.Now(), volume: Normal, ringing: Normal, micGain: unity, outGain: unity, widen: widen,
		fromCall: newLine(media.SampleRate, margin, oneClock),
		fromMic:  newLine(media.SampleRate, margin, oneClock),
		side:     newLine(media.SampleRate, 0, true),
	}
}

// Open connects microphone and earpiece of a path in place of those of another, or cuts both (PathClosed). What waited is
// forgotten when the path opens or closes. Tones of Play are heard only on an open path; the ringer is that of PathSpeaker.
func (h *Handset) Open(p Path) {
	h.change(func() {
		if (h.using == PathClosed) != (p == PathClosed) {
			h.fromCall.reset(h.fromCall.rate)
			h.fromMic.reset(h.fromMic.rate)
		}
		h.using = min(p, PathSpeaker)
	})
}

// Play lets the person hear a tone or a prompt, mixed with the call, until it ends, another takes its place or
// Play(nil, nil). ended, if not nil, is called once, from the device's goroutine, when the source ends by
// itself; it must not block.
func (h *Handset) Play(src media.Source, ended func()) {
	h.change(func() { h.local = reader{src: src, ended: ended} })
}

// Overlay lets the person hear a short signal above all else; nil ends it.
func (h *Handset) Overlay(src media.Source) { h.change(func() { h.overlay = reader{src: src} }) }

// Ring plays a source on the ringer until Ring(nil).
func (h *Handset) Ring(src media.Source) { h.change(func() { h.ringer = reader{src: src} }) }

// Mute sends silence in place of the microphone.
func (h *Handset) Mute(on bool) { h.change(func() { h.muted = on }) }

// SetVolume sets the earpiece, 0 to MaxVolume.
func (h *Handset) SetVolume(level int) { h.change(func() { h.volume = max(0, min(MaxVolume, level)) }) }

// SetRingerVolume sets the ringer, 0 to MaxVolume.
func (h *Handset) SetRingerVolume(level int) {
	h.change(func() { h.ringing = max(0, min(MaxVolume, level)) })
}

// change applies f and wakes the device.
func (h *Handset) change(f func()) {
	h.mu.Lock()
	f()
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// now is the time on the handset's clock.
func (h *Handset) now() time.Duration { return time.Since(h.epoch) }

// Hear takes what the microphone heard, at the device's rate, at most maxPiece of it. It does not allocate while the rates
// stay, and may change mic.
func (h *Handset) Hear(rate int, mic []int16) {
	h.mu.Lock()
	h.fromMic.tick(len(mic), rate, 1, h.now())
	call, ppm, oneClock := h.fromMic.rate, h.fromMic.ppm, h.fromMic.locked || h.fromMic.led()
	if h.sidetone != 0 {
		if h.side.rate != rate {
			h.side.reset(rate)
		}
		h.side.push(mic, h.now())
	}
	h.mu.Unlock()
	h.hear.between(rate, call, oneClock)
	if h.hear.conv != nil {
		h.hear.conv.SetPPM(ppm)
		mic = h.hear.samples[:h.hear.conv.Convert(h.hear.samples[:], mic)]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.using == PathClosed || h.fromMic.rate != call || len(mic) == 0 {
		return
	}
	scale(mic, h.micGain)
	if h.echo != nil {
		h.echo.Near(mic, call)
	}
	if h.muted {
		clear(mic)
	}
	h.fromMic.push(mic, h.now())
}

// Sound fills what earpiece (or loudspeaker) and ringer are to play, at the device's rate, at most maxPiece of it; both have
// the same length. late is by how much later than usual it is called before they are played. It does not allocate while
// the rates stay.
func (h *Handset) Sound(rate int, ear, ringer []int16, late time.Duration) {
	h.mu.Lock()
	h.fromCall.tick(len(ear), rate, -1, h.now())
	call, ppm, oneClock := h.fromCall.rate, h.fromCall.ppm, h.fromCall.locked
	voice, open := h.voice, h.using != PathClosed
	h.mu.Unlock()
	if voice != nil {
		call, ppm, oneClock = voice.Rate(), 0, true
	}
	h.sound.between(call, rate, oneClock)
	h.bell.between(media.SampleRate, rate, oneClock)
	x, bell := ear, ringer
	if h.sound.conv != nil {
		h.sound.conv.SetPPM(ppm)
		x = h.sound.samples[:h.sound.conv.Need(len(ear))]
	}
	if h.bell.conv != nil {
		bell = h.bell.samples[:h.bell.conv.Need(len(ringer))]
	}
	clear(x)
	if voice != nil && open {
		voice.Read(x, late) // it decodes: the pacer, which wants the microphone, is not to wait for that
	}
	h.mu.Lock()
	ended := h.mix(x, call, voice == nil)
	clear(bell)
	h.ringer.add(bell, gains[h.ringing])
	h.mu.Unlock()
	if h.sound.conv != nil {
		clear(ear[h.sound.conv.Convert(ear, x):])
	}
	if h.bell.conv != nil {
		clear(ringer[h.bell.conv.Convert(ringer, bell):])
	}
	h.sidetoneTo(ear, rate)
	if ended != nil {
		ended()
	}
}

// mix adds the phone's own sounds to the call, which is in x already or is fetched. The caller holds mu.
func (h *Handset) mix(x []int16, rate int, fetch bool) (ended func()) {
	if fetch && h.using != PathClosed && h.fromCall.rate == rate {
		h.fromCall.pop(x, h.now())
	}
	scale(x, gains[h.volume])
	// Tones are made at 8 kHz.
	n := len(x)
	if rate == media.WideRate {
		n = h.widen.Need(len(x))
	}
	tones := h.tones[:min(n, len(h.tones))]
	clear(tones)
	// A tone runs on while the path is closed, unheard, so that its end is not missed.
	sounds := h.local.add(tones, gains[h.volume])
	sounds = h.overlay.add(tones, gains[h.volume]) || sounds
	if h.local.over {
		ended = h.local.ended
		h.local = reader{}
	}
	if rate == media.WideRate {
		n = h.widen.Convert(h.scratch[:len(x)], tones)
		tones, sounds = h.scratch[:n], true // its last samples come out later
	}
	if h.using == PathClosed {
		clear(x)
		return ended
	}
	if sounds {
		for i, s := range tones {
			x[i] = clip(int32(x[i]) + int32(s))
		}
	}
	scale(x, h.outGain)
	if h.echo != nil {
		h.echo.Far(x, rate)
	}
	return ended
}

// sidetoneTo lets the person hear herself.
func (h *Handset) sidetoneTo(ear []int16, rate int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sidetone == 0 || h.using == PathClosed || h.muted || h.side.rate != rate {
		return
	}
	own := h.scratch[:len(ear)]
	h.side.pop(own, h.now())
	for i, s := range own {
		ear[i] = clip(int32(ear[i]) + (int32(s)*h.sidetone)>>8)
	}
}

// path returns the path in use.
func (h *Handset) path() Path {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.using
}

// busy reports whether there is anything to do.
func (h *Handset) busy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.using != PathClosed || h.local.src != nil || h.overlay.src != nil || h.ringer.src != nil
}
