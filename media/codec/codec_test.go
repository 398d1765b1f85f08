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
