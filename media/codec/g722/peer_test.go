package g722_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os/exec"
	"testing"

	"parklamp/media"
	"parklamp/media/codec/g722"
	"parklamp/media/halfband"
	"parklamp/media/prompt"
)

// ffmpeg runs the codec of FFmpeg (package ffmpeg in Debian), which has nothing in common with ours.
func ffmpeg(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", append([]string{"-nostdin", "-v", "error"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s(make test-deps installs it)", err, errs.String())
	}
	return out.Bytes()
}

func toBytes(x []int16) []byte {
	b := make([]byte, 0, 2*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return b
}

func fromBytes(b []byte) []int16 {
	x := make([]int16, len(b)/2)
	for i := range x {
		x[i] = int16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return x
}

// sweep climbs from 50 Hz to 7 kHz in four seconds.
func sweep() []int16 {
	x := make([]int16, 64000)
	phase := 0.0
	for i := range x {
		phase += 2 * math.Pi * 50 * math.Pow(140, float64(i)/float64(len(x))) / 16000
		x[i] = int16(8000 * math.Sin(phase))
	}
	return x
}

// speech is a spoken sentence of the appliance at 16 kHz.
func speech() []int16 {
	var x []int16
	var up halfband.Up
	var f media.Frame
	for src := prompt.ParkedOn("703").Source(); src.Next(&f); {
		wide := make([]int16, media.WideSamples)
		up.Fill(wide, f[:])
		x = append(x, wide...)
	}
	return x
}

// snr is the best ratio of signal to difference over delays up to 2 ms, in dB.
func snr(want, got []int16) float64 {
	best := math.Inf(-1)
	for delay := range 32 {
		var signal, noise float64
		for i := 1600; i+delay < len(want); i++ {
			d := float64(got[i+delay]) - float64(want[i])
			signal += float64(want[i]) * float64(want[i])
			noise += d * d
		}
		best = max(best, 10*math.Log10(signal/noise))
	}
	return best
}

// Bytes of either side are decoded by the other, to the same samples to the bit, and they sound as they should.
func TestFFmpegIsOfOneMind(t *testing.T) {
	for _, c := range []struct {
		name string
		x    []int16
		snr  float64
	}{{"sweep", sweep(), 16}, {"speech", speech(), 19}} {
		t.Run(c.name, func(t *testing.T) {
			ours := make([]byte, len(c.x)/2)
			new(g722.Encoder).Encode(ours, c.x)
			theirs := ffmpeg(t, toBytes(c.x), "-f", "s16le", "-ar", "16000", "-ac", "1", "-i", "-", "-c:a", "g722", "-f", "g722", "-")
			if !bytes.Equal(ours, theirs[:min(len(ours), len(theirs))]) {
				t.Errorf("the encoders differ")
			}
			mine := make([]int16, len(c.x))
			new(g722.Decoder).Decode(mine, ours)
			far := fromBytes(ffmpeg(t, ours, "-f", "g722", "-i", "-", "-f", "s16le", "-"))
			if !bytes.Equal(toBytes(mine), toBytes(far)) {
				t.Errorf("the decoders differ")
			}
			got := snr(c.x, mine)
			t.Logf("%d bytes, signal to noise %.1f dB", len(ours), got)
			if got < c.snr {
				t.Errorf("signal to noise %.1f dB, at least %.0f expected", got, c.snr)
			}
		})
	}
}
