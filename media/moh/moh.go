// Package moh is the music on hold: what a parked caller hears until somebody picks the call up.
//
// The music is encoded once for each codec and shared by all calls; each call has a Source with its own place
// in it, so that every caller hears the piece from its beginning. The built-in piece is our own and made by
// the program in compose; a WAV file named in the configuration takes its place.
//
// The package never touches RTP, starts no goroutine, and does no work per frame but to copy 160 bytes; of the built-in piece, whose
// A-law is in no memory, it looks them up in a table.
//
// Standards: ITU-T G.711, G.722.
package moh

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/codec/g722"
	"parklamp/media/halfband"
	"parklamp/media/wav"
)

// errTooShort means that a music file plays for less than minLength.
var errTooShort = errors.New("moh: music is too short")

// Limits of a music file.
const (
	minLength = time.Second
	maxLength = 30 * time.Minute // 14 MB for each of three codecs
)

// seam is how long the end of a user's music fades into its beginning, so that the loop does not click.
const seam = media.WideRate / 4

// Config says what is played.
type Config struct {
	File      string  `toml:"file" doc:"WAV file that callers on hold hear (4 to 192 kHz, 1 to 8 channels, which are mixed; PCM of 8 to 32 bits, float, mu-law or A-law); empty for the built-in piece."`
	LevelDBFS float64 `toml:"level_dbfs" doc:"Loudness to which the file is brought, in dB below full scale (mean power)."`
}

// Default returns the built-in piece. -20 dBFS is as loud as speech on a call.
func Default() Config { return Config{LevelDBFS: -20} }

// Validate reports a loudness that is out of range. The file is looked at by Open.
func (c Config) Validate() error {
	if !(c.LevelDBFS >= -40 && c.LevelDBFS <= -10) {
		return fmt.Errorf("level_dbfs: %v is not from -40 to -10", c.LevelDBFS)
	}
	return nil
}

// Music is a piece in every codec. It is immutable and shared.
type Music struct {
	pcmu []byte
	pcma []byte // nil: made of pcmu by a table, frame by frame
	g722 []byte
}

//go:embed music.ulaw
var builtIn []byte

//go:embed music.g722
var builtInWide []byte

var ours = &Music{pcmu: builtIn, g722: builtInWide}

// BuiltIn returns the built-in piece.
func BuiltIn() *Music { return ours }

// Open returns the music that cfg names.
func Open(cfg Config) (*Music, error) {
	if cfg.File == "" {
		return BuiltIn(), nil
	}
	f, err := os.Open(cfg.File)
	if err != nil {
		return nil, fmt.Errorf("music on hold: %w", err)
	}
	defer f.Close()
	m, err := read(f, cfg.LevelDBFS)
	if err != nil {
		return nil, fmt.Errorf("music on hold %s: %w", cfg.File, err)
	}
	return m, nil
}

// read makes music from a WAV file: brought to a loudness, its end faded into its beginning.
func read(r io.Reader, levelDBFS float64) (*Music, error) {
	x, err := wav.ReadAt(r, maxLength, media.WideRate)
	if err != nil {
		return nil, err
	}
	if time.Duration(len(x))*time.Second/media.WideRate < minLength {
		return nil, fmt.Errorf("%w: %d ms, at least %v are needed", errTooShort, len(x)*1000/media.WideRate, minLength)
	}
	return fromSamples(loop(levelled(x, levelDBFS))), nil
}

// fromSamples encodes a piece at 16 kHz.
func fromSamples(wide []int16) *Music {
	x := make([]int16, len(wide)/2)
	var down halfband.Down
	down.Fill(x, wide)
	down.Fill(x, wide) // twice: filter and codec begin in the state in which the end of the piece leaves them
	m := &Music{pcmu: make([]byte, len(x)), pcma: make([]byte, len(x)), g722: make([]byte, len(x))}
	codec.Encode(codec.PCMU, m.pcmu, x)
	codec.Encode(codec.PCMA, m.pcma, x)
	var e g722.Encoder
	e.Encode(m.g722, wide)
	e.Encode(m.g722, wide)
	return m
}

// levelled brings x to a mean power, but no peak above full scale. Silence stays silence.
func levelled(x []int16, dbfs float64) []int16 {
	var power, peak float64
	for _, s := range x {
		power += float64(s) * float64(s)
		peak = max(peak, math.Abs(float64(s)))
	}
	if peak == 0 {
		return x
	}
	gain := min(32768*math.Pow(10, dbfs/20)/math.Sqrt(power/float64(len(x))), 32767/peak)
	for i, s := range x {
		x[i] = int16(math.Round(float64(s) * gain))
	}
	return x
}

// loop fades the last part of x into its first and cuts it off.
func loop(x []int16) []int16 {
	n := len(x) - seam
	for i := range seam {
		in := float64(i) / seam
		x[i] = int16(math.Round(float64(x[i])*math.Sqrt(in)*0.99 + float64(x[n+i])*math.Sqrt(1-in)*0.99))
	}
	return x[:n]
}

// Length is how long the piece plays before it begins again.
func (m *Music) Length() time.Duration {
	return time.Duration(len(m.pcmu)) * time.Second / media.SampleRate
}

// Samples decodes the piece, for tests that recognise it.
func (m *Music) Samples() []int16 {
	x := make([]int16, len(m.pcmu))
	codec.Decode(codec.PCMU, x, m.pcmu)
	return x
}

// Source returns the piece from its beginning, for one call.
func (m *Music) Source() *Source { return &Source{music: m} }

// Source is one call's place in the music. One goroutine uses it.
type Source struct {
	music *Music
	at    int // sample
}

var _ media.EncodedSource = (*Source)(nil)

// NextEncoded fills dst with the next bytes in the codec; it never ends. A codec without an encoding gives -1.
func (s *Source) NextEncoded(id codec.ID, dst []byte) int {
	var from []byte
	as := id
	switch id {
	case codec.PCMU:
		from = s.music.pcmu
	case codec.PCMA:
		if from = s.music.pcma; from == nil {
			from, as = s.music.pcmu, codec.PCMU
		}
	case codec.G722:
		from = s.music.g722
	default:
		return -1
	}
	dst = dst[:min(len(dst), media.FrameSamples)]
	for n := 0; n < len(dst); {
		c := copy(dst[n:], from[s.at:])
		n += c
		if s.at += c; s.at == len(from) {
			s.at = 0
		}
	}
	codec.Transcode(id, as, dst)
	return len(dst)
}

// Next decodes the next frame; it never ends.
func (s *Source) Next(f *media.Frame) bool {
	var b [media.FrameSamples]byte
	s.NextEncoded(codec.PCMU, b[:])
	codec.Decode(codec.PCMU, f[:], b[:])
	return true
}
