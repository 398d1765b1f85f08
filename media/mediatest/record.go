package mediatest

import (
	"sync"

	"parklamp/media"
)

// Recorder is a media.Sink that keeps what it hears.
type Recorder struct {
	mu      sync.Mutex
	samples []int16
	kinds   [4]int
}

var _ media.Sink = (*Recorder)(nil)

// NewRecorder returns a recorder with room for some seconds, so that short tests do not allocate while recording.
func NewRecorder() *Recorder { return &Recorder{samples: make([]int16, 0, 30*media.SampleRate)} }

// Write keeps a frame.
func (r *Recorder) Write(f *media.Frame, k media.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kinds[k&3]++
	if len(r.samples) < maxSamples {
		r.samples = append(r.samples, f[:]...)
	}
}

// Samples returns what was heard so far.
func (r *Recorder) Samples() []int16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int16(nil), r.samples...)
}

// Frames returns the number of frames of a kind.
func (r *Recorder) Frames(k media.Kind) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kinds[k&3]
}

// Loop is a media.Source that plays samples again and again.
type Loop struct {
	samples []int16
	pos     int
	once    bool
}

var _ media.Source = (*Loop)(nil)

// NewLoop returns a source of endless samples.
func NewLoop(samples []int16) *Loop { return &Loop{samples: samples} }

// NewOnce returns a source that ends after the samples.
func NewOnce(samples []int16) *Loop { return &Loop{samples: samples, once: true} }

// Next copies the next 20 ms.
func (l *Loop) Next(f *media.Frame) bool {
	if len(l.samples) == 0 || l.once && l.pos >= len(l.samples) {
		return false
	}
	for i := range f {
		if l.pos == len(l.samples) {
			if l.once {
				clear(f[i:])
				return true
			}
			l.pos = 0
		}
		f[i] = l.samples[l.pos]
		l.pos++
	}
	return true
}
