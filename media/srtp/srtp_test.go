package srtp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

var suites = []Suite{AES128CM80, AES128CM32, AES256CM80, AES256CM32, AEADAES128GCM, AEADAES256GCM}

// packet is an RTP packet of 160 bytes of payload with room for protection.
func packet(ssrc uint32, seq uint16) []byte {
	b := make([]byte, rtpHeader+160, rtpHeader+160+Overhead)
	b[0] = 0x80
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], uint32(seq)*160)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	for i := range b[rtpHeader:] {
		b[rtpHeader+i] = byte(i) ^ byte(seq)
	}
	return b
}

func sealer(t testing.TB, k Key, roc uint32) *Sealer {
	t.Helper()
	s, err := NewSealer(k, roc)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func opener(t testing.TB, k Key, late bool) *Opener {
	t.Helper()
	o, err := NewOpener(k, late)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// sealed is a protected packet.
func sealed(t testing.TB, s *Sealer, ssrc uint32, seq uint16) []byte {
	t.Helper()
	b, err := s.RTP(packet(ssrc, seq))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// opens checks that a protected packet gives back what was sealed.
func opens(t testing.TB, o *Opener, b []byte, ssrc uint32, seq uint16) {
	t.Helper()
	got, err := o.RTP(bytes.Clone(b))
	if err != nil {
		t.Fatalf("ssrc %d seq %d: %v", ssrc, seq, err)
	}
	if !bytes.Equal(got, packet(ssrc, seq)) {
		t.Fatalf("ssrc %d seq %d: another packet", ssrc, seq)
	}
}

func refuses(t testing.TB, o *Opener, b []byte, want error) {
	t.Helper()
	if _, err := o.RTP(bytes.Clone(b)); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// The test vector of libsrtp, which shares no code with ours.
func TestKnownAnswer(t *testing.T) {
	secret, _ := hex.DecodeString("e1f97a0d3e018be0d64fa32c06de4139" + "0ec675ad498afeebb6960b3aabe6")
	plain, _ := hex.DecodeString("800f1234decafbadcafebabe" + strings.Repeat("ab", 16))
	want, _ := hex.DecodeString("800f1234decafbadcafebabe" + "4e55dc4ce79978d88ca4d215949d2402" + "b78d6acc99ea179b8dbb")
	k, err := NewKey(AES128CM80, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sealer(t, k, 0).RTP(append(make([]byte, 0, 64), plain...))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v\nwant %x", got, err, want)
	}
	back, err := opener(t, k, false).RTP(got)
	if err != nil || !bytes.Equal(back, plain) {
		t.Errorf("back: %x, %v", back, err)
	}
}

func TestEverySuite(t *testing.T) {
	for _, suite := range suites {
		t.Run(suite.String(), func(t *testing.T) {
			k := GenerateKey(suite)
			if SuiteByName(suite.String()) != suite || k.Suite() != suite {
				t.Error("a suite by another name")
			}
			s, o := sealer(t, k, 0), opener(t, k, false)
			clear := packet(1, 7)
			b := sealed(t, s, 1, 7)
			if n := len(b) - len(clear); n > Overhead || n < 4 || bytes.Contains(b, clear[rtpHeader:rtpHeader+16]) {
				t.Errorf("grew by %d, or is in clear", n)
			}
			// Any bit that is changed is noticed, and the packet that was meant still comes in.
			for _, at := range []int{1, 3, 5, 9, rtpHeader, len(b) - 1} {
				bad := bytes.Clone(b)
				bad[at] ^= 1
				refuses(t, o, bad, ErrAuthentication)
			}
			opens(t, o, b, 1, 7)
			refuses(t, o, b, ErrReplayed)
			refuses(t, opener(t, GenerateKey(suite), false), b, ErrAuthentication)
			refuses(t, opener(t, GenerateKey(suite), true), b, ErrAuthentication)

			report := append(make([]byte, 0, 100), 0x80, 200, 0, 6, 0, 0, 0, 1)
			report = append(report, make([]byte, 20)...)
			want := bytes.Clone(report)
			r, err := s.RTCP(report)
			if err != nil || len(r)-len(want) > OverheadRTCP || !bytes.Equal(r[:rtcpHeader], want[:rtcpHeader]) || bytes.Equal(r[:len(want)], want) {
				t.Fatalf("%x, %v", r, err)
			}
			bad := bytes.Clone(r)
			bad[10] ^= 1
			if _, err := o.RTCP(bad); !errors.Is(err, ErrAuthentication) {
				t.Errorf("changed report: %v", err)
			}
			copied := bytes.Clone(r)
			if got, err := o.RTCP(r); err != nil || !bytes.Equal(got, want) {
				t.Errorf("report: %x, %v", got, err)
			}
			if _, err := o.RTCP(copied); !errors.Is(err, ErrReplayed) {
				t.Errorf("report twice: %v", err)
			}
		})
	}
}

// RFC 3711 §3.3.1: the sequence number wraps, packets are lost, late and early around it.
func TestWrap(t *testing.T) {
	for _, suite := range []Suite{AES128CM80, AEADAES128GCM} {
		k := GenerateKey(suite)
		s, o := sealer(t, k, 0), opener(t, k, false)
		seq := uint16(20000)
		var late []byte
		for n := range 3 * 65536 {
			seq++
			b := sealed(t, s, 9, seq)
			switch {
			case seq == 65530:
				late = b // comes after the wrap
			case n%7 == 3: // lost
			case n%1000 == 0 || seq < 100 || seq > 65500:
				opens(t, o, b, 9, seq)
			}
			if seq == 20 {
				opens(t, o, late, 9, 65530)
			}
		}
		if s.ROC() != 3 {
			t.Errorf("rollover counter %d after three wraps", s.ROC())
		}
	}
}

// RFC 3711 §3.3.2: what came before or is older than the list is refused, what is late is not.
func TestReplay(t *testing.T) {
	k := GenerateKey(AES128CM80)
	s, o := sealer(t, k, 0), opener(t, k, false)
	var all [][]byte
	for seq := range uint16(200) {
		all = append(all, sealed(t, s, 5, 1000+seq))
	}
	opens(t, o, all[0], 5, 1000)
	opens(t, o, all[100], 5, 1100)
	refuses(t, o, all[100], ErrReplayed)
	refuses(t, o, all[0], ErrReplayed)
	opens(t, o, all[100-window+1], 5, 1100-window+1)
	refuses(t, o, all[100-window+1], ErrReplayed)
	refuses(t, o, all[100-window], ErrReplayed)
	opens(t, o, all[199], 5, 1199)
}

// Two packets under one piece of keystream would give both away.
func TestNoIndexTwice(t *testing.T) {
	s := sealer(t, GenerateKey(AES128CM80), 0)
	sealed(t, s, 5, 10)
	sealed(t, s, 5, 200)
	sealed(t, s, 5, 199)
	for _, seq := range []uint16{199, 200, 200 - window, 10, 65535} {
		if _, err := s.RTP(packet(5, seq)); !errors.Is(err, ErrReused) {
			t.Errorf("seq %d: %v, want ErrReused", seq, err)
		}
	}
	sealed(t, s, 5, 201)
}

// A far end that changes its SSRC is followed, up to a limit, and forged SSRCs leave nothing behind.
func TestSSRCs(t *testing.T) {
	for _, late := range []bool{false, true} {
		k := GenerateKey(AES128CM80)
		o := opener(t, k, late)
		forger := sealer(t, GenerateKey(AES128CM80), 0)
		for ssrc := range uint32(200) {
			refuses(t, o, sealed(t, forger, 1000+ssrc, 5), ErrAuthentication)
		}
		s := sealer(t, k, 0)
		for ssrc := range uint32(maxStreams) {
			opens(t, o, sealed(t, s, ssrc, 65000), ssrc, 65000)
			opens(t, o, sealed(t, s, ssrc, 200), ssrc, 200)
		}
		refuses(t, o, sealed(t, s, 500, 7), ErrStreams)
		b := sealed(t, s, maxStreams-1, 1)
		refuses(t, o, b, ErrReplayed) // its rollover counter is 0 again at our sealer
	}
}

// A stream that has gone on for hours before its key came to us is found; RFC 3711 §3.3.1 keeps the counter.
func TestLate(t *testing.T) {
	for _, suite := range suites {
		for _, roc := range []uint32{0, 1, searched - 1} {
			k := GenerateKey(suite)
			s := sealer(t, k, roc)
			o := opener(t, k, true)
			refuses(t, o, sealed(t, sealer(t, GenerateKey(suite), 0), 3, 1), ErrAuthentication)
			for _, seq := range []uint16{65534, 65535, 0, 1} {
				b := sealed(t, s, 3, seq)
				opens(t, o, b, 3, seq)
				refuses(t, o, b, ErrReplayed)
			}
		}
		k := GenerateKey(suite)
		refuses(t, opener(t, k, true), sealed(t, sealer(t, k, searched), 3, 1), ErrAuthentication)
	}
}

// A key that comes back: each of its streams is found again, whichever comes first, from the counter on that was known, which a
// packet that comes again does not change.
func TestSearchAnew(t *testing.T) {
	k := GenerateKey(AES128CM80)
	o := opener(t, k, true)
	audio, events := sealer(t, k, searched-1), sealer(t, k, 0)
	var all [][]byte
	for _, seq := range []uint16{20000, 40000, 60000, 10000, 30000, 50000, 1000} { // two wraps
		all = append(all, sealed(t, audio, 3, seq))
		opens(t, o, all[len(all)-1], 3, seq)
	}
	opens(t, o, sealed(t, events, 4, 1), 4, 1)
	for n, roc := range []uint32{searched + 1, searched + 2, 2*searched + 1} { // as it was, one more, as many more as are tried
		if err := o.Search(); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			refuses(t, o, all[len(all)-1], ErrReplayed)
			refuses(t, o, all[0], ErrAuthentication) // a counter that has gone by is not looked for
		}
		opens(t, o, sealed(t, events, 4, uint16(2+n)), 4, uint16(2+n))
		opens(t, o, sealed(t, sealer(t, k, roc), 3, 1200), 3, 1200)
		if o.search != nil {
			t.Error("the search goes on")
		}
	}
}

func TestMKI(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 30)
	with, err := NewKey(AES128CM80, secret, []byte{0, 0, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	without, err := NewKey(AES128CM80, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := sealer(t, with, 0)
	b := packet(1, 1)
	b = append(make([]byte, 0, len(b)+Overhead+4), b...)
	b, err = s.RTP(b)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, opener(t, with, false), b, 1, 1)
	refuses(t, opener(t, without, false), b, ErrAuthentication)
	refuses(t, opener(t, with, false), sealed(t, sealer(t, without, 0), 1, 1), ErrAuthentication)
}

func TestBadPackets(t *testing.T) {
	k := GenerateKey(AES128CM80)
	s, o := sealer(t, k, 0), opener(t, k, false)
	extension := packet(1, 1)
	extension[0] |= 0x10
	copy(extension[rtpHeader:], []byte{0xbe, 0xde, 0xff, 0xff})
	for name, b := range map[string][]byte{"empty": nil, "short": packet(1, 1)[:21], "version 1": append([]byte{0x40}, packet(1, 1)[1:]...), "extension": extension} {
		if _, err := o.RTP(bytes.Clone(b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
		if name == "short" {
			continue
		}
		if _, err := s.RTP(append(make([]byte, 0, 300), b...)); !errors.Is(err, ErrMalformed) {
			t.Errorf("seal %s: %v, want ErrMalformed", name, err)
		}
	}
	if _, err := s.RTP(packet(1, 1)[:172:172]); !errors.Is(err, ErrRoom) {
		t.Errorf("no room: %v", err)
	}
	for n := range 22 {
		if _, err := o.RTCP(append([]byte{0x80, 200}, make([]byte, n)...)[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("report of %d bytes: %v", n, err)
		}
	}
}

// A key shows itself nowhere.
func TestKeysAreNotPrinted(t *testing.T) {
	secret := bytes.Repeat([]byte("K"), 30)
	k, err := NewKey(AES128CM80, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "struct", struct{ inner any }{k})
	texts := []string{log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s"} {
		texts = append(texts, fmt.Sprintf(verb, k), fmt.Sprintf(verb, struct{ k Key }{k}))
	}
	b, err := json.Marshal(struct{ K Key }{k})
	if err == nil {
		t.Error("a key can be marshalled")
	}
	texts = append(texts, string(b), fmt.Sprint(err))
	for _, text := range texts {
		if strings.Contains(text, "KKKK") || strings.Contains(text, "4b4b4b4b") || strings.Contains(text, "75 75 75") || strings.Contains(text, "0x4b") {
			t.Errorf("the key is in %q", text)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		suite Suite
		n     int
		mki   int
	}{{None, 30, 0}, {99, 30, 0}, {AES128CM80, 29, 0}, {AES128CM80, 46, 0}, {AEADAES128GCM, 30, 0}, {AES128CM80, 30, 129}} {
		if _, err := NewKey(c.suite, make([]byte, c.n), make([]byte, c.mki)); !errors.Is(err, ErrKey) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := NewSealer(Key{}, 0); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	if _, err := NewOpener(Key{}, false); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	a, b := GenerateKey(AES128CM80), GenerateKey(AES128CM80)
	if a.Equal(b) || !a.Equal(a) || a.Equal(Key{}) || !(Key{}).Equal(Key{}) {
		t.Error("keys are compared wrongly")
	}
}

func FuzzOpen(f *testing.F) {
	k := GenerateKey(AES128CM80)
	f.Add(sealed(f, sealer(f, k, 0), 1, 1))
	f.Add([]byte{0x80, 200, 0, 1, 0, 0, 0, 1, 0x80, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, suite := range suites {
			for _, late := range []bool{false, true} {
				o := opener(t, GenerateKey(suite), late)
				if _, err := o.RTP(bytes.Clone(b)); err == nil {
					t.Fatal("authentic by chance")
				}
				if _, err := o.RTCP(bytes.Clone(b)); err == nil {
					t.Fatal("authentic by chance")
				}
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, suite := range suites {
		b.Run(suite.String(), func(b *testing.B) {
			s, p, seq := sealer(b, GenerateKey(suite), 0), packet(1, 0), uint16(0)
			b.ReportAllocs()
			for b.Loop() {
				seq++
				binary.BigEndian.PutUint16(p[2:], seq)
				if _, err := s.RTP(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, suite := range suites {
		b.Run(suite.String(), func(b *testing.B) {
			k := GenerateKey(suite)
			s, o := sealer(b, k, 0), opener(b, k, false)
			const many = 1 << 12
			var all [many][]byte
			buf, seq := make([]byte, 300), 0
			b.ReportAllocs()
			for b.Loop() {
				if seq%many == 0 {
					b.StopTimer()
					for i := range all {
						all[i] = sealed(b, s, 1, uint16(seq+i))
					}
					b.StartTimer()
				}
				p := all[seq%many]
				seq++
				if _, err := o.RTP(buf[:copy(buf, p)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
