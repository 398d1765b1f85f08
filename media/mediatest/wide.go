package mediatest

import (
	"math"
	"sync"
	"time"

	"parklamp/media"
)

// wideRate is the sampling rate of wideband sound.
const wideRate = media.WideRate

// WideRecorder keeps what a session gives its listener, at 16 kHz where it comes so. Its methods may be called from any
// goroutine.
type WideRecorder struct {
	mu     sync.Mutex
	wide   []int16
	narrow int
}

var _ media.WideSink = (*WideRecorder)(nil)

// Write implements media.Sink.
func (r *WideRecorder) Write(*media.Frame, media.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.narrow++
}

// WriteWide implements media.WideSink.
func (r *WideRecorder) WriteWide(f *media.WideFrame, _ media.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wide) < 2*maxSamples {
		r.wide = append(r.wide, f[:]...)
	}
}

// Samples returns what came at 16 kHz, and the number of frames that came at 8 kHz.
func (r *WideRecorder) Samples() (wide []int16, narrowFrames int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int16(nil), r.wide...), r.narrow
}

// WideLoop plays samples at 16 kHz again and again. It says what it has to say at that rate only.
type WideLoop struct {
	samples []int16
	at      int
}

var _ media.WideSource = (*WideLoop)(nil)

// NewWideLoop returns a source of samples, which must be at least a frame.
func NewWideLoop(samples []int16) *WideLoop { return &WideLoop{samples: samples} }

// Next implements media.Source: silence.
func (l *WideLoop) Next(f *media.Frame) bool {
	clear(f[:])
	return true
}

// NextWide implements media.WideSource.
func (l *WideLoop) NextWide(f *media.WideFrame) bool {
	for n := 0; n < len(f); {
		c := copy(f[n:], l.samples[l.at:])
		n += c
		if l.at += c; l.at == len(l.samples) {
			l.at = 0
		}
	}
	return true
}

// Chord is tones of equal level at 16 kHz, with a peak below full scale.
func Chord(d time.Duration, hz ...float64) []int16 {
	x := make([]int16, int(d*wideRate/time.Second))
	for i := range x {
		var v float64
		for _, f := range hz {
			v += math.Sin(2 * math.Pi * f * float64(i) / wideRate)
		}
		x[i] = int16(20000 * v / float64(len(hz)))
	}
	return x
}

// LevelWide is Level of samples at 16 kHz.
func LevelWide(samples []int16, hz float64) float64 {
	return Level(samples, hz/2) // half the frequency at half the rate is the same rhythm of samples
}
