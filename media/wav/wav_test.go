package wav

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// file builds a WAV file around a body.
func file(tag, channels, rate, bits int, body []byte) []byte {
	var b []byte
	b = append(b, "RIFF\x00\x00\x00\x00WAVELIST\x03\x00\x00\x00abc\x00fmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, uint16(tag))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate*channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(bits))
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

// sine is a WAV body of 1 s of hz at half of full scale on every channel.
func sine(hz float64, tag, channels, rate, bits int) []byte {
	var b []byte
	for i := range rate {
		v := 0.5 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))
		for range channels {
			switch {
			case tag == tagFloat:
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
			case bits == 8:
				b = append(b, byte(128+math.Round(v*127)))
			case bits == 16:
				b = binary.LittleEndian.AppendUint16(b, uint16(int16(v*32767)))
			case bits == 24:
				n := int32(v * (1<<23 - 1))
				b = append(b, byte(n), byte(n>>8), byte(n>>16))
			default:
				b = binary.LittleEndian.AppendUint32(b, uint32(int32(v*(1<<31-1))))
			}
		}
	}
	return b
}

// fit returns the amplitude of the sine of hz in x, and how far below it everything else is, in dB.
func fit(x []int16, hz float64) (amplitude, noiseDB float64) {
	x = x[800 : len(x)-800] // without the edges; a whole number of periods of multiples of 10 Hz
	var re, im float64
	for i, s := range x {
		a := 2 * math.Pi * hz * float64(i) / Rate
		re += float64(s) * math.Cos(a)
		im += float64(s) * math.Sin(a)
	}
	re, im = 2*re/float64(len(x)), 2*im/float64(len(x))
	var rest float64
	for i, s := range x {
		a := 2 * math.Pi * hz * float64(i) / Rate
		d := float64(s) - re*math.Cos(a) - im*math.Sin(a)
		rest += d * d
	}
	amplitude = math.Hypot(re, im)
	return amplitude, 10 * math.Log10(rest/float64(len(x))/(amplitude*amplitude/2+1e-9)+1e-12)
}

func TestReadKeepsATone(t *testing.T) {
	cases := []struct {
		name                      string
		tag, channels, rate, bits int
		noise                     float64
	}{
		{"8 kHz mono", tagPCM, 1, 8000, 16, -70},
		{"16 kHz mono", tagPCM, 1, 16000, 16, -70},
		{"44.1 kHz stereo", tagPCM, 2, 44100, 16, -70},
		{"48 kHz stereo 24 bits", tagPCM, 2, 48000, 24, -70},
		{"22.05 kHz 8 bits", tagPCM, 1, 22050, 8, -40},
		{"48 kHz float", tagFloat, 2, 48000, 32, -70},
		{"11.025 kHz 32 bits", tagPCM, 1, 11025, 32, -70},
		{"6 kHz up", tagPCM, 1, 6000, 16, -70},
		{"12345 Hz", tagPCM, 1, 12345, 16, -70},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x, err := Read(bytes.NewReader(file(c.tag, c.channels, c.rate, c.bits, sine(1000, c.tag, c.channels, c.rate, c.bits))), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if len(x) != Rate {
				t.Errorf("%d samples, want %d", len(x), Rate)
			}
			a, noise := fit(x, 1000)
			if math.Abs(a-16384) > 200 || noise > c.noise {
				t.Errorf("amplitude %.0f, noise %.1f dB", a, noise)
			}
		})
	}
}

// What lies above the telephone band must not come back as a whistle.
func TestResampleDoesNotFold(t *testing.T) {
	for _, hz := range []float64{4300, 5000, 7000, 12000} {
		x, err := Read(bytes.NewReader(file(tagPCM, 1, 48000, 16, sine(hz, tagPCM, 1, 48000, 16))), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range x[800 : len(x)-800] {
			if s > 8 || s < -8 {
				t.Fatalf("%v Hz: sample %d is %d", hz, i, s)
			}
		}
	}
}

func TestWriteAndReadAgain(t *testing.T) {
	want := []int16{0, 1, -1, 32767, -32768, 1234}
	path := filepath.Join(t.TempDir(), "a.wav")
	for _, rate := range []int{Rate, 2 * Rate} {
		if err := WriteFile(path, want, rate); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		got, at, err := ReadOwn(f, time.Second)
		if f.Close(); err != nil || at != rate || !slices.Equal(got, want) {
			t.Errorf("%v at %d, %v; want %v at %d", got, at, err, want, rate)
		}
	}
	if err := WriteFile(filepath.Join(path, "b.wav"), want, Rate); err == nil {
		t.Error("a folder that is none is no error")
	}
}

func TestReadRefuses(t *testing.T) {
	body := make([]byte, 16000)
	good := file(tagPCM, 1, 8000, 16, body)
	streamed := bytes.Replace(good, []byte("data\x80\x3e\x00\x00"), []byte("data\xff\xff\xff\xff"), 1)
	huge := append([]byte("RIFF\x00\x00\x00\x00WAVELIST"), 0xff, 0xff, 0xff, 0x7f)
	cases := []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, ErrFormat},
		{"MP3", []byte("ID3\x04 and so on and so on"), ErrFormat},
		{"no audio", good[:40], ErrFormat},
		{"chunk of 2 GB", huge, ErrFormat},
		{"audio before format", []byte("RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00"), ErrFormat},
		{"no channels", file(tagPCM, 0, 8000, 16, body), ErrUnsupported},
		{"100 channels", file(tagPCM, 100, 8000, 16, body), ErrUnsupported},
		{"rate 0", file(tagPCM, 1, 0, 16, body), ErrUnsupported},
		{"rate 2 GHz", file(tagPCM, 1, 0x7fffffff, 16, body), ErrUnsupported},
		{"ADPCM", file(2, 1, 8000, 4, body), ErrUnsupported},
		{"too long", file(tagPCM, 1, 8000, 16, make([]byte, 16002)), ErrTooLong},
		{"streamed", streamed, nil},
		{"cut short", good[:len(good)-101], nil},
		{"µ-law", file(tagMuLaw, 1, 8000, 8, body[:8000]), nil},
		{"A-law", file(tagALaw, 2, 8000, 8, body[:8000]), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x, err := Read(bytes.NewReader(c.in), time.Second)
			if !errors.Is(err, c.want) || err == nil && len(x) == 0 {
				t.Errorf("%d samples, %v; want %v", len(x), err, c.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(tagPCM, 1, 8000, 16, make([]byte, 100)))
	f.Add(file(tagFloat, 2, 44100, 32, bytes.Repeat([]byte{0xff}, 64)))
	f.Add(file(tagExtensible, 2, 48000, 24, make([]byte, 99)))
	f.Fuzz(func(t *testing.T, in []byte) {
		x, err := Read(bytes.NewReader(in), 100*time.Millisecond)
		if err == nil && len(x) > Rate/10+1 {
			t.Errorf("%d samples from at most 100 ms", len(x))
		}
	})
}

func BenchmarkResample48k(b *testing.B) {
	in := make([]float32, 48000)
	b.ReportAllocs()
	for range b.N {
		resampled(in, 48000, Rate)
	}
}

func TestTakenIsTrue(t *testing.T) {
	if want := fmt.Sprintf("%d to %d kHz, 1 to %d channels", minRate/1000, maxRate/1000, maxChannels); !strings.HasPrefix(Taken, want) {
		t.Errorf("%q, want %q", Taken, want)
	}
}
