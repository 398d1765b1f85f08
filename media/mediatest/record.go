package mediatest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
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

// errWAV: not a file that ReadWAV can read.
var errWAV = errors.New("mediatest: not a 16-bit PCM WAV file")

// ReadWAV returns the first channel of a 16-bit PCM file and its rate in hertz.
func ReadWAV(path string) (samples []int16, rate int, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, err
	}
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, 0, fmt.Errorf("read %s: %w", path, errWAV)
	}
	channels := 0
	for b = b[12:]; len(b) >= 8; {
		id, size := string(b[:4]), int(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		// A recorder that was killed leaves a size of 0 or 2³²-1: take what is there.
		if size > len(b) || id == "data" && size == 0 {
			size = len(b)
		}
		switch {
		case id == "fmt " && size >= 16:
			channels = int(binary.LittleEndian.Uint16(b[2:]))
			rate = int(binary.LittleEndian.Uint32(b[4:]))
			if binary.LittleEndian.Uint16(b[14:]) != 16 || channels == 0 {
				return nil, 0, fmt.Errorf("read %s: %w", path, errWAV)
			}
		case id == "data" && channels > 0:
			for i := 0; i+2*channels <= size; i += 2 * channels {
				samples = append(samples, int16(binary.LittleEndian.Uint16(b[i:])))
			}
			return samples, rate, nil
		}
		b = b[min(size+size%2, len(b)):]
	}
	return nil, 0, fmt.Errorf("read %s: %w", path, errWAV)
}

// WriteWAV writes mono 16-bit PCM.
func WriteWAV(path string, samples []int16, rate int) error {
	b := make([]byte, 44, 44+2*len(samples))
	copy(b, "RIFF")
	binary.LittleEndian.PutUint32(b[4:], uint32(36+2*len(samples)))
	copy(b[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(b[16:], 16)
	binary.LittleEndian.PutUint16(b[20:], 1)
	binary.LittleEndian.PutUint16(b[22:], 1)
	binary.LittleEndian.PutUint32(b[24:], uint32(rate))
	binary.LittleEndian.PutUint32(b[28:], uint32(2*rate))
	binary.LittleEndian.PutUint16(b[32:], 2)
	binary.LittleEndian.PutUint16(b[34:], 16)
	copy(b[36:], "data")
	binary.LittleEndian.PutUint32(b[40:], uint32(2*len(samples)))
	for _, s := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	return os.WriteFile(path, b, 0o644)
}
