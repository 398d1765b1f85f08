package media_test

import (
	"net/netip"
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/dtmf"
	"parklamp/media/mediatest"
	"parklamp/media/rtpio"
)

// told collects digits, those in band in brackets.
func told(s *media.Session) chan byte {
	got := make(chan byte, 60)
	s.OnDTMF(func(d byte, inBand bool) {
		if inBand {
			got <- '('
			got <- d
			got <- ')'
			return
		}
		got <- d
	})
	return got
}

// TestTonesAreDigits: a far end that agreed to no events sends its digits as tones; each is told once, whatever the codec,
// and whatever the network does to its packets.
func TestTonesAreDigits(t *testing.T) {
	const digits = "*68703#"
	want := ""
	for _, d := range digits {
		want += "(" + string(d) + ")"
	}
	for _, tc := range []struct {
		name string
		id   codec.ID
		hook func(n int, d *mediatest.Datagram)
	}{
		{"mu-law", codec.PCMU, nil},
		{"A-law", codec.PCMA, nil},
		{"G.722", codec.G722, nil},
		{"every ninth packet lost", codec.PCMU, func(n int, d *mediatest.Datagram) { d.Drop = n%9 == 0 }},
		{"a stray packet of another stream", codec.PCMU, func(n int, d *mediatest.Datagram) {
			if n == 40 {
				d.Data[2] ^= 0x20 // 8192 numbers ahead or behind
				d.Data[8] ^= 0x55
			}
		}},
		{"every packet late by up to 50 ms", codec.PCMU, func(n int, d *mediatest.Datagram) { d.Delay = time.Duration(n%6) * 10 * time.Millisecond }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s, o := b.session(), b.session()
				for _, x := range [2][2]*media.Session{{s, o}, {o, s}} {
					p := both(x[1].LocalAddr(), tc.id)
					p.DTMFPayloadType = 0
					b.configure(x[0], p)
				}
				n := 0
				if tc.hook != nil {
					b.net.Hook(func(d *mediatest.Datagram) { n++; tc.hook(n, d) })
				}
				got := told(o)
				s.Play(mediatest.NewLoop(mediatest.Voice(1, time.Second)))
				if err := s.SendDTMF(digits, 120*time.Millisecond, 120*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * time.Second)
				if text := drain(got); text != want {
					t.Errorf("heard %q, want %q", text, want)
				}
			})
		})
	}
}

// TestTonesAfterALongHold: digits are heard at once when a call is taken up again after so long that the numbers seem to go back.
func TestTonesAfterALongHold(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, o := b.session(), b.session()
		var agreed media.Params
		for _, x := range [2][2]*media.Session{{o, s}, {s, o}} {
			agreed = both(x[1].LocalAddr(), codec.PCMU)
			agreed.DTMFPayloadType = 0
			b.configure(x[0], agreed)
		}
		o.Play(mediatest.NewLoop(make([]int16, 160)))
		got := told(s)
		for range 2 {
			if err := o.SendDTMF("1", 100*time.Millisecond, 100*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			held := agreed
			held.Receive = false
			b.configure(s, held)
			time.Sleep(12 * time.Minute)
			b.configure(s, agreed)
		}
		if text := drain(got); text != "(1)(1)" {
			t.Errorf("heard %q before and after the hold", text)
		}
	})
}

// TestTonesThroughARelay: a far end whose digits are tones is heard as it spoke, whatever codec the relay makes of it for the
// other one, who hears the tones as well.
func TestTonesThroughARelay(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, p1 := b.session(), b.peer(otherHost)
		s2, o := b.session(), b.session()
		for _, x := range [3]struct {
			s  *media.Session
			to netip.AddrPort
			id codec.ID
		}{{s1, p1.Addr(), codec.PCMA}, {s2, o.LocalAddr(), codec.PCMU}, {o, s2.LocalAddr(), codec.PCMU}} {
			p := both(x.to, x.id)
			p.DTMFPayloadType = 0
			b.configure(x.s, p)
		}
		if _, err := media.Join(s1, s2); err != nil {
			t.Fatal(err)
		}
		here, there := told(s1), told(o)
		var tone dtmf.Tone
		for n := range 3 * 16 {
			var sound [160]int16
			if n%16 < 8 {
				tone.Fill(sound[:], byte(n/16))
			}
			var coded [160]byte
			codec.Encode(codec.PCMA, coded[:], sound[:])
			p1.Send(s1.LocalAddr(), 8, n == 0, coded[:], 160)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		for name, got := range map[string]string{"the relay": drain(here), "the other end": drain(there)} {
			if got != "(0)(1)(2)" {
				t.Errorf("%s heard %q, want the tones of 0, 1 and 2", name, got)
			}
		}
	})
}

// TestNoDigitTwice: where events were agreed, tones in the audio are no digits, whether the far end sends both or a person
// plays them into the telephone.
func TestNoDigitTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.leg()
		got := told(s)
		var tone dtmf.Tone
		sound := make([]int16, 4*160)
		tone.Fill(sound, 5)
		var coded [160]byte
		for i := range 4 {
			codec.Encode(codec.PCMU, coded[:], sound[i*160:(i+1)*160])
			p.Send(s.LocalAddr(), 0, i == 0, coded[:], 160)
			if i == 2 {
				p.Send(s.LocalAddr(), 101, true, []byte{5, 10, 0, 160}, 0)
			}
			time.Sleep(20 * time.Millisecond)
		}
		p.Send(s.LocalAddr(), 101, false, []byte{5, 0x8a, 3, 0x20}, 800)
		time.Sleep(time.Second)
		if text := drain(got); text != "5" {
			t.Errorf("heard %q, want 5", text)
		}
	})
}

// TestRelayPassesEventsThatWereAgreed: several digits in a packet go on as they are, flash (RFC 4733 §3.2, event 16) goes to
// nobody, and the stream has no seam.
func TestRelayPassesEventsThatWereAgreed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, p1 := b.leg()
		s2, p2 := b.session(), b.peer(otherHost)
		params := both(p2.Addr(), codec.PCMU)
		params.DTMFPayloadType = 96
		b.configure(s2, params)
		if _, err := media.Join(s1, s2); err != nil {
			t.Fatal(err)
		}
		got := told(s1)
		if err := p1.Talk(t.Context(), s1.LocalAddr(), codec.PCMU, mediatest.Voice(1, 200*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		p2.Forget()
		two := []byte{5, 0x8a, 1, 0x40, 6, 0x8a, 1, 0x40}
		p1.Send(s1.LocalAddr(), 101, true, []byte{16, 10, 0, 160}, 160)
		p1.Send(s1.LocalAddr(), 101, true, two, 0)
		p1.Send(s1.LocalAddr(), 101, false, two, 640)
		time.Sleep(100 * time.Millisecond)
		if text := drain(got); text != "56" {
			t.Errorf("heard %q, want 56", text)
		}
		events := 0
		for _, q := range p2.Packets() {
			if q.Header.PayloadType != 96 {
				continue
			}
			if events++; string(q.Payload) != string(two) {
				t.Errorf("events % x were sent on, want % x", q.Payload, two)
			}
		}
		if events != 2 {
			t.Errorf("%d packets with events were sent on, want 2", events)
		}
	})
}

// TestEventsOfAnotherSource: a gateway that sends its events under an SSRC of their own presses each key once, and its audio
// is heard.
func TestEventsOfAnotherSource(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		conn, err := b.net.Listen(netip.AddrPortFrom(farHost, 0), rtpio.Socket{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		s, audio, events := b.session(), mediatest.NewPeer(conn), mediatest.NewPeer(conn)
		b.configure(s, both(conn.LocalAddr(), codec.PCMU))
		heard := make(chan byte, 10)
		s.OnDTMF(func(d byte, _ bool) { heard <- d })
		ear := mediatest.NewRecorder()
		s.Listen(ear)
		voice := mediatest.Voice(1, 2*time.Second)
		b.talk(audio, s, codec.PCMU, voice)
		for n := range 10 {
			time.Sleep(media.FrameDuration)
			end := byte(0)
			if n >= 7 {
				end = 0x80
			}
			for range 1 + int(end>>7) { // its last reports come in a row
				events.Send(s.LocalAddr(), 101, n == 0, []byte{5, end | 10, byte((n + 1) * 160 >> 8), byte((n + 1) * 160)}, 0)
			}
		}
		time.Sleep(2500 * time.Millisecond)
		if text := drain(heard); text != "5" {
			t.Errorf("heard %q, want 5", text)
		}
		b.hears("the near end", ear.Samples(), voice)
	})
}
