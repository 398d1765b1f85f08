package g722

import (
	"hash/crc32"
	"math"
	"testing"
)

// dice is a generator whose numbers are the same for ever (the constants are those of Knuth's MMIX).
type dice uint64

func (d *dice) next() uint16 {
	*d = *d*6364136223846793005 + 1442695040888963407
	return uint16(*d >> 40)
}

// wild is sound that no microphone gives: noise of every level, full-scale steps, silence.
func wild(n int) []int16 {
	var d dice = 722
	x := make([]int16, n)
	for i := range x {
		switch i / 4000 % 5 {
		case 0:
			x[i] = int16(d.next()) >> (i / 400 % 12)
		case 1:
			x[i] = 32767
			if i/(1+i/500%40)%2 == 1 {
				x[i] = -32768
			}
		case 2:
			at := uint16(i * i >> 3) // a sawtooth that climbs through all frequencies again and again
			x[i] = int16(at) / 2
		case 3:
			x[i] = int16(d.next()%3) - 1
		}
	}
	return x
}

// anyCodes is every sequence of bytes that chance gives, and runs of the same byte, which drive the predictors to
// their limits.
func anyCodes(n int) []byte {
	var d dice = 27
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.next())
		if i/3000%3 == 1 && i > 0 && i%50 > 0 {
			b[i] = b[i-1]
		}
	}
	return b
}

func checksum(x []int16) uint32 {
	b := make([]byte, 0, 2*len(x))
	for _, v := range x {
		b = append(b, byte(v), byte(uint16(v)>>8))
	}
	return crc32.ChecksumIEEE(b)
}

// The sums are those of what ITU-T's own program gives for the same input (software tool library STL2023, module
// g722, mode 1). Its recorded speech and all five digital test sequences of G.722 Appendix II were compared in the
// same way and are equal as well; they are ITU's and not kept here.
func TestReference(t *testing.T) {
	in := wild(96000)
	if sum := checksum(in); sum != wildSum {
		t.Fatalf("the input is another one: %#x", sum)
	}
	var e Encoder
	codes := make([]byte, len(in)/2)
	e.Encode(codes, in)
	if sum := crc32.ChecksumIEEE(codes); sum != encodedSum {
		t.Errorf("encoded: %#x, ITU has %#x", sum, encodedSum)
	}
	var d Decoder
	out := make([]int16, len(in))
	d.Decode(out, codes)
	if sum := checksum(out); sum != decodedSum {
		t.Errorf("decoded: %#x, ITU has %#x", sum, decodedSum)
	}
	d = Decoder{}
	d.Decode(out, anyCodes(len(codes)))
	if sum := checksum(out); sum != anySum {
		t.Errorf("any codes decoded: %#x, ITU has %#x", sum, anySum)
	}
}

// What TestReference compares: CRC-32 of the input, and of ITU's results.
const (
	wildSum    uint32 = 0xec28d37c
	encodedSum uint32 = 0x9e8caa42
	decodedSum uint32 = 0xbef110b4
	anySum     uint32 = 0xc177a314
)

// However a stream is cut into packets, the bytes are the same.
func TestPackets(t *testing.T) {
	in := wild(9600)
	var whole, parts Encoder
	want, got := make([]byte, 4800), make([]byte, 4800)
	whole.Encode(want, in)
	at := 0
	for _, n := range []int{1, 160, 3, 0, 480, 161, 1995, 2000} {
		at += parts.Encode(got[at:at+n], in[2*at:2*(at+n)])
	}
	if at != len(got) || string(got) != string(want) {
		t.Errorf("%d bytes, other ones", at)
	}
	var d, p Decoder
	out, cut := make([]int16, 9600), make([]int16, 9600)
	d.Decode(out, want)
	at = 0
	for _, n := range []int{1, 160, 3, 0, 480, 161, 1995, 2000} {
		at += p.Decode(cut[2*at:], want[at:at+n]) / 2
	}
	if checksum(out) != checksum(cut) {
		t.Error("decoded in parts it is another sound")
	}
}

// A decoder that missed 60 ms is as good as one that did not 50 ms later, and never louder than the sound itself.
func TestLoss(t *testing.T) {
	in := make([]int16, 32000)
	for i := range in {
		in[i] = int16(8000*math.Sin(float64(i)*0.13)*math.Sin(float64(i)*0.0007) + 2000*math.Sin(float64(i)*2.1))
	}
	codes := make([]byte, 16000)
	new(Encoder).Encode(codes, in)
	want, got := make([]int16, 32000), make([]int16, 32000)
	var whole, lossy Decoder
	whole.Decode(want, codes)
	for at := 0; at < 16000; at += 160 {
		if at < 8000 || at >= 8480 {
			lossy.Decode(got[2*at:], codes[at:at+160])
		}
	}
	var error, signal float64
	for i := 2*8480 + 800; i < 2*8480+800+3200; i++ {
		d := float64(got[i]) - float64(want[i])
		error += d * d
		signal += float64(want[i]) * float64(want[i])
		if got[i] > 14000 || got[i] < -14000 {
			t.Fatalf("sample %d: %d", i, got[i])
		}
	}
	if snr := 10 * math.Log10(signal/max(error, 1)); snr < 30 {
		t.Errorf("50 ms after a loss: %.1f dB", snr)
	} else {
		t.Logf("50 ms after a loss: %.1f dB", snr)
	}
}

func TestNoAllocation(t *testing.T) {
	var e Encoder
	var d Decoder
	in, out, codes := wild(320), make([]int16, 320), make([]byte, 160)
	if n := testing.AllocsPerRun(100, func() { e.Encode(codes, in); d.Decode(out, codes) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDecode: any bytes decode, and what is decoded can be encoded again.
func FuzzDecode(f *testing.F) {
	f.Add(anyCodes(320))
	f.Fuzz(func(t *testing.T, codes []byte) {
		out := make([]int16, 2*len(codes))
		if n := new(Decoder).Decode(out, codes); n != len(out) {
			t.Fatalf("%d samples of %d bytes", n, len(codes))
		}
		again := make([]byte, len(codes))
		if n := new(Encoder).Encode(again, out); n != len(again) {
			t.Fatalf("%d bytes of %d samples", n, len(out))
		}
	})
}

// BenchmarkFrame is 20 ms of a voice-like sound.
func BenchmarkFrame(b *testing.B) {
	x := make([]int16, 16000)
	for i := range x {
		x[i] = int16(8000*math.Sin(float64(i)*0.13)*math.Sin(float64(i)*0.0007) + float64(i*i%601))
	}
	codes := make([]byte, 8000)
	new(Encoder).Encode(codes, x)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		var e Encoder
		for n := 0; b.Loop(); n++ {
			at := n % 50 * 160
			e.Encode(codes[at:at+160], x[2*at:2*at+320])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		var d Decoder
		for n := 0; b.Loop(); n++ {
			at := n % 50 * 160
			d.Decode(x[2*at:], codes[at:at+160])
		}
	})
}
