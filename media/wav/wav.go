// Package wav reads WAV files into the audio that Parklamp uses everywhere, 16-bit mono at 8 kHz, and writes
// 16-bit mono at any rate.
//
// It takes linear PCM of 8, 16, 24 and 32 bits, 32-bit floats, µ-law and A-law, one to eight channels (mixed to
// one), any rate from 4 to 192 kHz. It is for files named by people: everything is checked, length is bounded,
// memory grows with what is really there and not with what a header claims. It never streams and starts no
// goroutine.
//
// Standards: RIFF WAVE (Microsoft Multimedia Programming Interface 1.0, WAVE_FORMAT_EXTENSIBLE).
package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"parklamp/media/codec"
	"parklamp/media/timeline"
)

var (
	// ErrFormat means that the bytes are not a WAV file, or one that is damaged.
	ErrFormat = errors.New("wav: not a readable WAV file")
	// ErrUnsupported means a WAV file in an encoding, rate or shape that is not read.
	ErrUnsupported = errors.New("wav: unsupported WAV file")
	// ErrTooLong means that the file plays longer than the caller allows.
	ErrTooLong = errors.New("wav: file plays too long")
)

// Rate is the rate of all audio in Parklamp, in hertz.
const Rate = timeline.ClockRate

// Taken says what is read, for people. The keys of the configuration that name a WAV file have it in their documentation.
const Taken = "4 to 192 kHz, 1 to 8 channels, which are mixed; PCM of 8 to 32 bits, float, mu-law or A-law"

// Limits of what is read.
const (
	minRate     = 4000   // hertz
	maxRate     = 192000 // hertz
	maxChannels = 8
	maxHeader   = 1 << 20 // bytes of chunks before the audio
)

// Format tags of WAVE.
const (
	tagPCM        = 1
	tagFloat      = 3
	tagALaw       = 6
	tagMuLaw      = 7
	tagExtensible = 0xfffe
)

// format is the contents of the fmt chunk.
type format struct {
	tag      uint16
	channels int
	rate     int
	bits     int
}

// Read returns the audio of a WAV file as mono samples at 8 kHz. A file that plays longer than limit is refused
// with ErrTooLong.
func Read(r io.Reader, limit time.Duration) ([]int16, error) { return ReadAt(r, limit, Rate) }

// ReadAt is Read with rate samples a second.
func ReadAt(r io.Reader, limit time.Duration, rate int) ([]int16, error) {
	x, _, err := read(r, limit, func(int) int { return rate })
	return x, err
}

// ReadOwn is Read with 16,000 samples a second where the file has at least as many, else 8,000; it returns which.
func ReadOwn(r io.Reader, limit time.Duration) ([]int16, int, error) {
	return read(r, limit, func(rate int) int {
		if rate >= 2*Rate {
			return 2 * Rate
		}
		return Rate
	})
}

// read returns samples at the rate that want chooses for that of the file.
func read(r io.Reader, limit time.Duration, want func(rate int) int) ([]int16, int, error) {
	f, size, err := header(r)
	if err != nil {
		return nil, 0, err
	}
	if err := f.check(); err != nil {
		return nil, 0, err
	}
	width := f.channels * f.bits / 8
	most := int64(limit.Seconds()*float64(f.rate)) * int64(width)
	// Writers that stream leave the size at 0 or all ones: then the audio ends with the file.
	bound := min(most+1, int64(size))
	if size == 0 || size >= math.MaxUint32-64 {
		bound = most + 1
	}
	body, err := io.ReadAll(io.LimitReader(r, bound))
	if err != nil {
		return nil, 0, fmt.Errorf("read WAV audio: %w", err)
	}
	if int64(len(body)) > most {
		return nil, 0, fmt.Errorf("%w: limit is %v", ErrTooLong, limit)
	}
	rate := want(f.rate)
	return resampled(f.mono(body[:len(body)/width*width]), f.rate, rate), rate, nil
}

// header reads up to the first byte of audio and returns the size that the data chunk claims.
func header(r io.Reader) (f format, size uint32, err error) {
	var riff [12]byte
	if _, err := io.ReadFull(r, riff[:]); err != nil || string(riff[:4]) != "RIFF" || string(riff[8:]) != "WAVE" {
		return f, 0, fmt.Errorf("%w: no RIFF WAVE header", ErrFormat)
	}
	known := false
	for skipped := 0; skipped < maxHeader; {
		var chunk [8]byte
		if _, err := io.ReadFull(r, chunk[:]); err != nil {
			return f, 0, fmt.Errorf("%w: it ends before its audio", ErrFormat)
		}
		n := binary.LittleEndian.Uint32(chunk[4:])
		if string(chunk[:4]) == "data" {
			if !known {
				return f, 0, fmt.Errorf("%w: audio comes before its format", ErrFormat)
			}
			return f, n, nil
		}
		if n > maxHeader {
			return f, 0, fmt.Errorf("%w: chunk %q claims %d bytes", ErrFormat, chunk[:4], n)
		}
		body := make([]byte, n+n%2) // chunks are padded to an even length
		if _, err := io.ReadFull(r, body); err != nil {
			return f, 0, fmt.Errorf("%w: it ends inside chunk %q", ErrFormat, chunk[:4])
		}
		skipped += len(chunk) + len(body)
		if string(chunk[:4]) == "fmt " {
			if f, err = parseFormat(body); err != nil {
				return f, 0, err
			}
			known = true
		}
	}
	return f, 0, fmt.Errorf("%w: more than %d bytes before the audio", ErrFormat, maxHeader)
}

func parseFormat(b []byte) (format, error) {
	if len(b) < 16 {
		return format{}, fmt.Errorf("%w: format chunk of %d bytes", ErrFormat, len(b))
	}
	f := format{
		tag:      binary.LittleEndian.Uint16(b),
		channels: int(binary.LittleEndian.Uint16(b[2:])),
		bits:     int(binary.LittleEndian.Uint16(b[14:])),
	}
	rate := binary.LittleEndian.Uint32(b[4:])
	f.rate = int(min(rate, maxRate+1))
	if f.tag == tagExtensible {
		if len(b) < 26 {
			return format{}, fmt.Errorf("%w: extensible format chunk of %d bytes", ErrFormat, len(b))
		}
		f.tag = binary.LittleEndian.Uint16(b[24:]) // the first two bytes of the GUID are the tag
	}
	return f, nil
}

func (f format) check() error {
	if f.channels < 1 || f.channels > maxChannels {
		return fmt.Errorf("%w: %d channels, at most %d are read", ErrUnsupported, f.channels, maxChannels)
	}
	if f.rate < minRate || f.rate > maxRate {
		return fmt.Errorf("%w: rate is not from %d to %d Hz", ErrUnsupported, minRate, maxRate)
	}
	switch [2]int{int(f.tag), f.bits} {
	case [2]int{tagPCM, 8}, [2]int{tagPCM, 16}, [2]int{tagPCM, 24}, [2]int{tagPCM, 32},
		[2]int{tagFloat, 32}, [2]int{tagALaw, 8}, [2]int{tagMuLaw, 8}:
		return nil
	}
	return fmt.Errorf("%w: encoding %d with %d bits; convert it with: sox IN -b 16 -e signed OUT.wav",
		ErrUnsupported, f.tag, f.bits)
}

// mono turns whole sample frames into the mean of their channels, full scale being 1.
func (f format) mono(b []byte) []float32 {
	width := f.bits / 8
	out := make([]float32, len(b)/(width*f.channels))
	for i := range out {
		var sum float32
		for range f.channels {
			sum += f.sample(b)
			b = b[width:]
		}
		out[i] = sum / float32(f.channels)
	}
	return out
}

// sample reads the sample at the beginning of b.
func (f format) sample(b []byte) float32 {
	var one [1]int16
	switch {
	case f.tag == tagMuLaw:
		codec.Decode(codec.PCMU, one[:], b[:1])
		return float32(one[0]) / (1 << 15)
	case f.tag == tagALaw:
		codec.Decode(codec.PCMA, one[:], b[:1])
		return float32(one[0]) / (1 << 15)
	case f.tag == tagFloat:
		v := math.Float32frombits(binary.LittleEndian.Uint32(b))
		if v != v { // NaN in a damaged file is silence
			return 0
		}
		return max(-1, min(1, v))
	case f.bits == 8:
		return float32(int(b[0])-128) / (1 << 7)
	case f.bits == 16:
		return float32(int16(binary.LittleEndian.Uint16(b))) / (1 << 15)
	case f.bits == 24:
		return float32(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
	default:
		return float32(int32(binary.LittleEndian.Uint32(b))) / (1 << 31)
	}
}

// WriteFile writes a file as Write does.
func WriteFile(path string, samples []int16, rate int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(Write(f, samples, rate), f.Close())
}

// Write writes mono samples, rate a second, as a 16-bit WAV file.
func Write(w io.Writer, samples []int16, rate int) error {
	const head = 44
	b := make([]byte, 0, head+2*len(samples))
	b = append(b, "RIFF"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(head-8+2*len(samples)))
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, tagPCM)
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(2*rate))
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 16)
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(2*len(samples)))
	for _, s := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write WAV file: %w", err)
	}
	return nil
}
