package moh

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/wav"
)

func dbfs(x []int16) float64 {
	var power float64
	for _, s := range x {
		power += float64(s) * float64(s)
	}
	return 10 * math.Log10(power/float64(len(x))/(32768*32768))
}

func TestBuiltInIsPleasantToListenTo(t *testing.T) {
	m := BuiltIn()
	if m.Length() < time.Minute || m.Length()%media.FrameDuration != 0 {
		t.Errorf("the piece lasts %v", m.Length())
	}
	x := m.Samples()
	if l := dbfs(x); math.Abs(l+20) > 1 {
		t.Errorf("level is %.1f dBFS", l)
	}
	// No second is silent or loud, so that nobody thinks the line is dead.
	for i := 0; i+media.SampleRate <= len(x); i += media.SampleRate {
		if l := dbfs(x[i : i+media.SampleRate]); l < -30 || l > -14 {
			t.Errorf("second %d has %.1f dBFS", i/media.SampleRate, l)
		}
	}
	// The seam is as smooth as the rest.
	biggest := 0
	for i := 1; i < len(x); i++ {
		biggest = max(biggest, int(math.Abs(float64(x[i])-float64(x[i-1]))))
	}
	if step := int(math.Abs(float64(x[0]) - float64(x[len(x)-1]))); step > biggest/2 {
		t.Errorf("the loop jumps by %d, the music nowhere by more than %d", step, biggest)
	}
}

func TestSourcesHaveTheirOwnPlace(t *testing.T) {
	m := BuiltIn()
	first, second := m.Source(), m.Source()
	var b, c [media.FrameSamples]byte
	for range 3 * int(m.Length()/media.FrameDuration) / 2 {
		if n := first.NextEncoded(codec.PCMU, b[:]); n != len(b) {
			t.Fatalf("frame of %d bytes", n)
		}
	}
	if n := second.NextEncoded(codec.PCMU, c[:]); n != len(c) || !bytes.Equal(c[:], m.pcmu[:len(c)]) {
		t.Error("a new call does not hear the beginning")
	}
	half := len(m.pcmu) / 2
	if !bytes.Equal(b[:], m.pcmu[half-len(b):half]) {
		t.Error("after one and a half times the call is not in the middle")
	}
	if n := first.NextEncoded(codec.None, b[:]); n != -1 {
		t.Errorf("no codec: %d", n)
	}
	if n := first.NextEncoded(codec.PCMU, make([]byte, 500)); n != media.FrameSamples {
		t.Errorf("a large buffer got %d bytes", n)
	}
}

// A source that changes codec in the middle goes on where it was, and decodes to the same music.
func TestCodecsAgree(t *testing.T) {
	s := BuiltIn().Source()
	x := BuiltIn().Samples()
	var b [media.FrameSamples]byte
	var f media.Frame
	for i := range 300 {
		switch i % 3 {
		case 0:
			s.Next(&f)
		case 1:
			s.NextEncoded(codec.PCMA, b[:])
			codec.Decode(codec.PCMA, f[:], b[:])
		case 2:
			s.NextEncoded(codec.PCMU, b[:])
			codec.Decode(codec.PCMU, f[:], b[:])
		}
		for j, v := range f {
			want := float64(x[i*media.FrameSamples+j])
			if d := math.Abs(float64(v) - want); d > 16+math.Abs(want)/16 {
				t.Fatalf("frame %d sample %d: %d, want %v", i, j, v, want)
			}
		}
	}
}

// Everybody whose call is in G.722 hears the same piece, from the shared encoding, at the same place, with no seam at the
// loop: the built-in one and one from a file.
func TestWideMusicIsTheSame(t *testing.T) {
	x := make([]int16, 3*media.SampleRate)
	for i := range x {
		x[i] = int16(6000 * math.Sin(2*math.Pi*440*float64(i)/media.SampleRate))
	}
	var file bytes.Buffer
	if err := wav.Write(&file, x, wav.Rate); err != nil {
		t.Fatal(err)
	}
	own, err := read(&file, -20)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*Music{"built-in": BuiltIn(), "own": own} {
		s := m.Source()
		d := codec.Decoder{Rate: media.SampleRate}
		var b [media.FrameSamples]byte
		var f media.Frame
		var heard []int16
		turn := len(m.pcmu)
		for len(heard) < turn+4*media.SampleRate {
			if n := s.NextEncoded(codec.G722, b[:]); n != len(b) {
				t.Fatalf("%s: frame of %d bytes", name, n)
			}
			d.Decode(codec.G722, f[:], b[:])
			heard = append(heard, f[:]...)
		}
		want := m.Samples()
		best := math.Inf(-1)
		for delay := range 24 { // the filters of the codec
			var signal, noise float64
			for i := turn - media.SampleRate; i < turn+media.SampleRate; i++ {
				v := float64(want[i%turn])
				e := v - float64(heard[i+delay])
				signal, noise = signal+v*v, noise+e*e
			}
			best = max(best, 10*math.Log10(signal/noise))
		}
		if best < 12 {
			t.Errorf("%s: around the loop's seam it differs from the music by %.1f dB", name, best)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, seconds, amplitude float64) string {
		x := make([]int16, int(seconds*media.SampleRate))
		for i := range x {
			x[i] = int16(amplitude * math.Sin(2*math.Pi*313*float64(i)/media.SampleRate))
		}
		var b bytes.Buffer
		if err := wav.Write(&b, x, wav.Rate); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg := Default()
	m, err := Open(cfg)
	if err != nil || m != BuiltIn() {
		t.Errorf("no file: %v, %v", m, err)
	}
	cfg.File = write("quiet.wav", 3, 100)
	m, err = Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	x := m.Samples()
	if l := dbfs(x); math.Abs(l+20) > 1 {
		t.Errorf("%s has %.1f dBFS", cfg.File, l)
	}
	for i := range x {
		if d := math.Abs(float64(x[i]) - float64(x[(i+1)%len(x)])); d > 2000 {
			t.Errorf("a click of %v at %d", d, i)
		}
	}
	cfg.File = write("silent.wav", 2, 0)
	if m, err = Open(cfg); err != nil || dbfs(m.Samples()) > -70 {
		t.Errorf("silence: %v", err)
	}
	cfg.File = write("short.wav", 0.5, 100)
	if _, err = Open(cfg); !errors.Is(err, errTooShort) {
		t.Errorf("half a second: %v", err)
	}
	cfg.File = filepath.Join(dir, "none.wav")
	if _, err = Open(cfg); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none.wav") {
		t.Errorf("missing file: %v", err)
	}
	text := filepath.Join(dir, "text.wav")
	if err := os.WriteFile(text, []byte("this is no music at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.File = text
	if _, err = Open(cfg); !errors.Is(err, wav.ErrFormat) {
		t.Errorf("text: %v", err)
	}
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	for _, l := range []float64{-50, 0, math.NaN()} {
		if err := (Config{LevelDBFS: l}).Validate(); err == nil || !strings.Contains(err.Error(), "level_dbfs") {
			t.Errorf("level %v: %v", l, err)
		}
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	s := BuiltIn().Source()
	var b [media.FrameSamples]byte
	var f media.Frame
	if n := testing.AllocsPerRun(100, func() { s.NextEncoded(codec.PCMA, b[:]); s.Next(&f) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkNextEncoded(b *testing.B) {
	s := BuiltIn().Source()
	var f [media.FrameSamples]byte
	b.ReportAllocs()
	for range b.N {
		s.NextEncoded(codec.PCMU, f[:])
	}
}
