package audio

import (
	"time"

	"parklamp/media"
)

// Capture is what the microphone hears, for media.Session.Play. It gives a frame in every tick: silence when
// the path is closed or muted, or when the device is late.
func (h *Handset) Capture() media.WideSource { return (*capture)(h) }

// Playback takes what a call receives: a session's voice by the clock of the device (media.Session.Listen), or frames of
// somebody else's clock.
func (h *Handset) Playback() media.WideSink { return (*playback)(h) }

type capture Handset

// Next gives the pacer the next frame of the microphone at 8 kHz.
func (c *capture) Next(f *media.Frame) bool { return c.next(f[:], media.SampleRate) }

// NextWide gives the pacer the next frame of the microphone at 16 kHz.
func (c *capture) NextWide(f *media.WideFrame) bool { return c.next(f[:], media.WideRate) }

func (c *capture) next(f []int16, rate int) bool {
	now := (*Handset)(c).now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fromMic.rate != rate {
		c.fromMic.reset(rate)
	}
	c.fromMic.pop(f, now)
	return true
}

var _ media.Timed = (*capture)(nil)

// Shift keeps the ticks of a session just behind the pieces of the device.
func (c *capture) Shift(time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fromMic.lead()
}

type playback Handset

var _ media.Puller = (*playback)(nil)

// Take lets the device read a call.
func (p *playback) Take(v media.Voice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.voice = v
}

// Drop ends it, unless another call has come meanwhile.
func (p *playback) Drop(v media.Voice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.voice == v {
		p.voice = nil
		p.fromCall.reset(p.fromCall.rate)
	}
}

// Write takes the next frame of another clock.
func (p *playback) Write(f *media.Frame, _ media.Kind) { p.write(f[:], media.SampleRate) }

// WriteWide takes the next frame of another clock at 16 kHz.
func (p *playback) WriteWide(f *media.WideFrame, _ media.Kind) { p.write(f[:], media.WideRate) }

func (p *playback) write(f []int16, rate int) {
	now := (*Handset)(p).now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.using == PathClosed || p.voice != nil {
		return
	}
	if p.fromCall.rate != rate {
		p.fromCall.reset(rate)
	}
	p.fromCall.push(f, now)
}
