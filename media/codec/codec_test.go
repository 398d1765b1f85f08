package codec

import (
	"testing"

	"github.com/zaf/g711"
)

func TestTablesEqualTheLibrary(t *testing.T) {
	mu, a := 0, 0
	for i := range 1 << 16 {
		s := []int16{int16(uint16(i))}
		var b [1]byte
		Encode(PCMU, b[:], s)
		if b[0] != g711.EncodeUlawFrame(s[0]) {
			mu++
		}
		Encode(PCMA, b[:], s)
		if b[0] != g711.EncodeAlawFrame(s[0]) {
			a++
		}
	}
	if mu+a != 0 {
		t.Errorf("encodings that differ from the library: %d µ-law, %d A-law", mu, a)
	}
}

func TestTranscodeEqualsTheLibrary(t *testing.T) {
	for i := range 256 {
		mu, a := []byte{byte(i)}, []byte{byte(i)}
		Transcode(PCMA, PCMU, mu)
		Transcode(PCMU, PCMA, a)
		if mu[0] != g711.Ulaw2AlawFrame(byte(i)) || a[0] != g711.Alaw2UlawFrame(byte(i)) {
			t.Errorf("byte %d: %d and %d", i, mu[0], a[0])
		}
	}
	if b := []byte{1, 2}; !Transcode(PCMU, PCMU, b) || b[0] != 1 || Transcode(None, PCMU, b) {
		t.Error("equal codecs change nothing, none cannot be had")
	}
}

func TestRoundTripIsClose(t *testing.T) {
	for _, id := range []ID{PCMU, PCMA} {
		var b [1]byte
		var s [1]int16
		for v := -32768; v <= 32767; v += 7 {
			Encode(id, b[:], []int16{int16(v)})
			Decode(id, s[:], b[:])
			// G.711 keeps about 36 dB: a step is a 16th of the value, and a clip of µ-law at 32,635.
			if d := max(v-int(s[0]), int(s[0])-v); d > 16+max(v, -v)/16 {
				t.Fatalf("%s: %d became %d", id, v, s[0])
			}
		}
		Encode(id, b[:], []int16{0})
		if want := map[ID]byte{PCMU: 0xff, PCMA: 0xd5}[id]; b[0] != want {
			t.Errorf("%s: zero is %#x, want %#x", id, b[0], want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, id := range []ID{PCMU, PCMA, G722} {
		if ByPayloadType(id.PayloadType()) != id || ByName(id.String()) != id {
			t.Errorf("%s does not find itself by its payload type and name", id)
		}
	}
}
