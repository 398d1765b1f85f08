package codec

import (
	"fmt"
	"math"
	"testing"
)

// frameBytes is 20 ms of any codec.
const frameBytes = 160

// tone is 100 ms of a sine of an amplitude of 8,000.
func tone(hz float64, rate int) []int16 {
	x := make([]int16, rate/10)
	for i := range x {
		x[i] = int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
	}
	return x
}

// level is the amplitude of a frequency in the second half of x.
func level(x []int16, hz float64, rate int) float64 {
	var re, im float64
	for i := len(x) / 2; i < len(x); i++ {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
		re += float64(x[i]) * cos
		im += float64(x[i]) * sin
	}
	return math.Hypot(re, im) * 2 / float64(len(x)-len(x)/2)
}

var all = []ID{PCMU, PCMA, G722}

// From every codec and rate to every other, a tone comes through as loud as it was.
func TestStreams(t *testing.T) {
	for _, from := range []int{8000, 16000} {
		for _, id := range all {
			for _, to := range []int{8000, 16000} {
				x := tone(1000, from)
				var e Encoder
				d := Decoder{Rate: to}
				var heard []int16
				var payload [frameBytes]byte
				var out [2 * frameBytes]int16
				for at := 0; at < len(x); at += from / 50 {
					n := e.Encode(id, payload[:], x[at:at+from/50], from)
					if n != frameBytes {
						t.Fatalf("%d Hz to %s: %d bytes", from, id, n)
					}
					n = d.Decode(id, out[:], payload[:n])
					if n != to/50 {
						t.Fatalf("%s to %d Hz: %d samples", id, to, n)
					}
					heard = append(heard, out[:n]...)
				}
				if l := level(heard, 1000, to); math.Abs(l-8000) > 200 {
					t.Errorf("%d Hz, %s, %d Hz: amplitude %.0f", from, id, to, l)
				}
			}
		}
	}
}

// What lies above 4 kHz comes through G.722, and does not come back as something else where there is no room for it.
func TestWideband(t *testing.T) {
	for _, c := range []struct {
		hz, want float64
		rate     int
	}{{6000, 8000, 16000}, {2000, 0, 8000}} {
		var e Encoder
		d := Decoder{Rate: c.rate}
		x := tone(6000, 16000)
		var heard []int16
		for at := 0; at < len(x); at += 320 {
			var payload [160]byte
			out := make([]int16, c.rate/50)
			e.Encode(G722, payload[:], x[at:at+320], 16000)
			d.Decode(G722, out, payload[:])
			heard = append(heard, out...)
		}
		if l := level(heard, c.hz, c.rate); math.Abs(l-c.want) > 400 {
			t.Errorf("6 kHz at %d Hz: amplitude %.0f of %.0f Hz", c.rate, l, c.hz)
		}
	}
}

// A relay between any two codecs keeps a tone, packet by packet.
func TestTranscoder(t *testing.T) {
	for _, from := range all {
		for _, to := range all {
			var e Encoder
			var tr Transcoder
			var d Decoder
			x := tone(1000, 8000)
			var heard []int16
			for at := 0; at < len(x); at += 160 {
				var a, b [160]byte
				var out [160]int16
				e.Encode(from, a[:], x[at:at+160], 8000)
				if n := tr.Convert(to, from, b[:], a[:]); n != 160 {
					t.Fatalf("%s to %s: %d bytes", from, to, n)
				}
				d.Decode(to, out[:], b[:])
				heard = append(heard, out[:]...)
			}
			if l := level(heard, 1000, 8000); math.Abs(l-8000) > 400 {
				t.Errorf("%s to %s: amplitude %.0f", from, to, l)
			}
		}
	}
	var tr Transcoder
	if tr.Convert(None, PCMU, make([]byte, 9), make([]byte, 9))+tr.Convert(PCMU, None, make([]byte, 9), make([]byte, 9)) != 0 {
		t.Error("none can be had")
	}
}

// Whatever the lengths, nothing is written beyond the room, and nothing panics.
func TestOddLengths(t *testing.T) {
	var e Encoder
	var tr Transcoder
	src, dst := make([]int16, 3000), make([]byte, 3000)
	for _, id := range append(all, None) {
		for _, rate := range []int{8000, 16000} {
			d := Decoder{Rate: rate}
			for _, n := range []int{0, 1, 159, 161, 480, 481, 2000} {
				e.Encode(id, dst[:n], src[:min(2*n+1, 3000)], rate)
				e.Encode(id, dst, src[:n], rate)
				d.Decode(id, src[:n], dst)
				d.Decode(id, src, dst[:n])
				tr.Convert(G722, id, dst[:n/2], dst[:n])
			}
		}
	}
}

func TestStreamsDoNotAllocate(t *testing.T) {
	var e Encoder
	var tr Transcoder
	d := Decoder{Rate: 16000}
	x, room, b := tone(1000, 16000)[:320], make([]int16, 320), make([]byte, 160)
	for _, id := range all {
		if n := testing.AllocsPerRun(20, func() {
			e.Encode(id, b, x, 16000)
			d.Decode(id, room, b)
			tr.Convert(G722, id, b, b)
			tr.Convert(PCMA, id, b, b)
		}); n != 0 {
			t.Errorf("%s: %v allocations", id, n)
		}
	}
}

// BenchmarkFrame is 20 ms of every codec, as a session does it: the rate is the codec's own but where said.
func BenchmarkFrame(b *testing.B) {
	narrow, wide := tone(1000, 8000)[:160], tone(1000, 16000)[:320]
	room, payload := make([]int16, 320), make([]byte, 160)
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	for _, id := range all {
		src := narrow
		if id.Rate() == 16000 {
			src = wide
		}
		var e Encoder
		d := Decoder{Rate: id.Rate()}
		run(fmt.Sprintf("encode %s", id), func() { e.Encode(id, payload, src, id.Rate()) })
		run(fmt.Sprintf("decode %s", id), func() { d.Decode(id, room, payload) })
	}
	var e Encoder
	var d Decoder
	run("encode G722 from 8 kHz", func() { e.Encode(G722, payload, narrow, 8000) })
	run("decode G722 to 8 kHz", func() { d.Decode(G722, room, payload) })
	run("transcode PCMU to PCMA", func() { Transcode(PCMA, PCMU, payload) })
	var there, back Transcoder
	run("transcode G722 to PCMA", func() { there.Convert(PCMA, G722, payload, payload) })
	run("transcode PCMA to G722", func() { back.Convert(G722, PCMA, payload, payload) })
}
