// Package audio joins calls with what a person holds to the ear: microphone, earpiece and ringer.
//
// Handset is the part that no hardware changes: it takes what a media session receives (Playback), mixes it
// with the phone's own tones and prompts, and hands a session what the microphone hears (Capture). A device
// trades frames with it by its own clock; small buffers stand between that clock and the pacer's. Sim is a
// device without hardware: its microphone hears a clip or silence, and anybody may listen to its earpiece.
//
// The package never opens a socket and never decides what is to be heard. Sim.Run runs in the caller's
// goroutine and starts none; with the path closed and nothing to play it sleeps.
package audio

import (
	"context"
	"math"
	"sync"

	"parklamp/media"
)

// Buffer sizes in frames of 20 ms.
const (
	bufferFrames = 6 // capacity; the oldest frame is dropped when another comes
	prefill      = 2 // held back after a gap, so that two clocks of one rate do not starve each other
)

// MaxVolume is the loudest volume; Normal leaves the sound as it is. A step is 3 dB, 0 is silence.
const (
	MaxVolume = 10
	Normal    = 6
)

// Device is the audio of a phone, whatever the hardware: a Handset and the clock that drives it.
type Device interface {
	// Run trades frames with the hardware until ctx ends.
	Run(ctx context.Context) error
	Open(on bool)
	Play(src media.Source, ended func())
	Overlay(src media.Source)
	Ring(src media.Source)
	Mute(on bool)
	SetVolume(level int)
	SetRingerVolume(level int)
	Capture() media.Source
	Playback() media.Sink
}

// Handset is the device-independent half of a phone's audio. All methods may be called from any goroutine;
// none waits for more than the copying of a frame.
type Handset struct {
	wake chan struct{} // capacity 1: Sim.Run looks at everything, so one wake-up is as good as many

	// guarded by mu
	mu       sync.Mutex
	open     bool
	muted    bool
	volume   int
	ringing  int // volume of the ringer
	fromCall buffer
	fromMic  buffer
	local    media.Source // tone or prompt
	ended    func()
	overlay  media.Source // short signal above everything
	ringer   media.Source
	scratch  media.Frame
}

// NewHandset returns a handset with its path closed and both volumes normal.
func NewHandset() *Handset {
	return &Handset{wake: make(chan struct{}, 1), volume: Normal, ringing: Normal}
}

// Open connects microphone and earpiece (the handset is lifted), or cuts both. What waited in the buffers is
// forgotten. Tones of Play are heard only on an open path; the ringer has its own loudspeaker.
func (h *Handset) Open(on bool) {
	h.change(func() {
		if h.open != on {
			h.open = on
			h.fromCall.reset()
			h.fromMic.reset()
		}
	})
}

// Play lets the person hear a tone or a prompt, mixed with the call, until it ends, another takes its place or
// Play(nil, nil). ended, if not nil, is called once, from the device's goroutine, when the source ends by
// itself; it must not block.
func (h *Handset) Play(src media.Source, ended func()) {
	h.change(func() { h.local, h.ended = src, ended })
}

// Overlay lets the person hear a short signal above all else; nil ends it.
func (h *Handset) Overlay(src media.Source) { h.change(func() { h.overlay = src }) }

// Ring plays a source on the ringer until Ring(nil).
func (h *Handset) Ring(src media.Source) { h.change(func() { h.ringer = src }) }

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

// Capture is what the microphone hears, for media.Session.Play. It gives a frame in every tick: silence when
// the path is closed or muted, or when the device is late.
func (h *Handset) Capture() media.Source { return (*capture)(h) }

// Playback takes what a call receives, for media.Session.Listen.
func (h *Handset) Playback() media.Sink { return (*playback)(h) }

type capture Handset

// Next gives the pacer the next frame of the microphone.
func (c *capture) Next(f *media.Frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fromMic.pop(f) {
		clear(f[:])
	}
	return true
}

type playback Handset

// Write takes the next frame from the pacer.
func (p *playback) Write(f *media.Frame, _ media.Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		p.fromCall.push(f)
	}
}

// Exchange is a tick of the device: mic goes in, ear and ringer come out. It does not allocate.
func (h *Handset) Exchange(mic, ear, ringer *media.Frame) {
	if ended := h.exchange(mic, ear, ringer); ended != nil {
		ended()
	}
}

func (h *Handset) exchange(mic, ear, ringer *media.Frame) (ended func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(ear[:])
	clear(ringer[:])
	if h.ringer != nil {
		if h.ringer.Next(&h.scratch) {
			mix(ringer, &h.scratch, h.ringing)
		} else {
			h.ringer = nil
		}
	}
	if h.open {
		if h.muted {
			clear(mic[:])
		}
		h.fromMic.push(mic)
		if h.fromCall.pop(&h.scratch) {
			mix(ear, &h.scratch, h.volume)
		}
	}
	// A tone runs on while the path is closed, unheard, so that its end is not missed.
	if h.local != nil {
		switch {
		case !h.local.Next(&h.scratch):
			ended, h.local, h.ended = h.ended, nil, nil
		case h.open:
			mix(ear, &h.scratch, h.volume)
		}
	}
	if h.overlay != nil {
		switch {
		case !h.overlay.Next(&h.scratch):
			h.overlay = nil
		case h.open:
			mix(ear, &h.scratch, h.volume)
		}
	}
	return ended
}

// busy reports whether there is anything to do in a tick.
func (h *Handset) busy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open || h.local != nil || h.overlay != nil || h.ringer != nil
}

// gains are the volume steps as factors of 1/256.
var gains = func() (g [MaxVolume + 1]int32) {
	for i := 1; i < len(g); i++ {
		g[i] = int32(math.Round(256 * math.Pow(10, 3*float64(i-Normal)/20)))
	}
	return g
}()

// mix adds src to dst at a volume; what is too loud is held at full scale.
func mix(dst, src *media.Frame, volume int) {
	gain := gains[volume]
	for i, s := range src {
		dst[i] = int16(max(-32768, min(32767, int32(dst[i])+(int32(s)*gain)>>8)))
	}
}

// buffer is a ring of frames between two clocks.
type buffer struct {
	frames [bufferFrames]media.Frame
	first  int
	count  int
	filled bool // prefill was reached since the last gap
}

func (b *buffer) reset() { b.first, b.count, b.filled = 0, 0, false }

// push adds a frame; a full buffer drops its oldest.
func (b *buffer) push(f *media.Frame) {
	if b.count == bufferFrames {
		b.first = (b.first + 1) % bufferFrames
		b.count--
	}
	b.frames[(b.first+b.count)%bufferFrames] = *f
	b.count++
	b.filled = b.filled || b.count >= prefill
}

// pop takes the oldest frame. After a gap it waits for prefill frames.
func (b *buffer) pop(f *media.Frame) bool {
	if b.count == 0 {
		b.filled = false
	}
	if !b.filled {
		return false
	}
	*f = b.frames[b.first]
	b.first = (b.first + 1) % bufferFrames
	b.count--
	return true
}
