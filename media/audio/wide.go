package audio

import (
	"parklamp/media"
	"parklamp/media/halfband"
)

// WideClip is recorded sound at 16 kHz as a media source, for whoever asks at that rate or at 8 kHz. One goroutine uses
// it. It begins again at its end.
type WideClip struct {
	samples []int16
	at      int
	down    halfband.Down
}

var _ media.WideSource = (*WideClip)(nil)

// LoopWide returns samples at 16 kHz as a source; without samples it is at its end.
func LoopWide(samples []int16) *WideClip { return &WideClip{samples: samples} }

// NextWide gives the next frame at 16 kHz.
func (c *WideClip) NextWide(f *media.WideFrame) bool {
	if len(c.samples) == 0 {
		return false
	}
	for i := 0; i < len(f); {
		n := copy(f[i:], c.samples[c.at:])
		i += n
		if c.at += n; c.at == len(c.samples) {
			c.at = 0
		}
	}
	return true
}

// Next gives the next frame at 8 kHz.
func (c *WideClip) Next(f *media.Frame) bool {
	var wide media.WideFrame
	if !c.NextWide(&wide) {
		return false
	}
	c.down.Fill(f[:], wide[:])
	return true
}
