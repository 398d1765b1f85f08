package media_test

import (
	"encoding/json"
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
)

// hasTones fails unless every tone is there at a level at which an equal share of the chord would be, give or take.
func (b *bench) hasTones(who string, wide []int16, hz ...float64) {
	b.t.Helper()
	if len(wide) < media.WideRate/2 {
		b.t.Fatalf("%s heard %d samples", who, len(wide))
	}
	for _, f := range hz {
		if l := mediatest.LevelWide(wide[media.WideRate/4:], f); l < -20 || l > -8 {
			b.t.Errorf("%s hears %.0f Hz at %.1f dBFS", who, f, l)
		}
	}
}

// From one wide source to another session's wide sink, both ways, tones up to 7 kHz go through as they are.
func TestWidebandBothWays(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, s2 := b.session(), b.session()
		b.configure(s1, both(s2.LocalAddr(), codec.G722))
		b.configure(s2, both(s1.LocalAddr(), codec.G722))
		low, high := mediatest.Chord(time.Second, 300, 3000, 6000), mediatest.Chord(time.Second, 60, 5000, 6900)
		var ear1, ear2 mediatest.WideRecorder
		s1.Play(mediatest.NewWideLoop(low))
		s2.Play(mediatest.NewWideLoop(high))
		s1.Listen(&ear1)
		s2.Listen(&ear2)
		time.Sleep(3 * time.Second)
		heard1, narrow1 := ear1.Samples()
		heard2, narrow2 := ear2.Samples()
		b.hasTones("the second", heard2[media.WideRate:], 300, 3000, 6000)
		b.hasTones("the first", heard1[media.WideRate:], 60, 5000, 6900)
		if narrow1+narrow2 != 0 {
			t.Errorf("%d and %d frames came at 8 kHz", narrow1, narrow2)
		}
	})
}

// A far end that changes the codec and back hears one stream, and so do we; the sink is told which rate it gets.
func TestCodecChangesInTheCall(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.session(), b.peer(farHost)
		voice := mediatest.Voice(1, 2*time.Second)
		theirs := mediatest.Voice(2, 2*time.Second)
		ear := mediatest.NewRecorder()
		s.Listen(ear)
		for _, id := range []codec.ID{codec.PCMU, codec.G722, codec.PCMA, codec.G722} {
			b.configure(s, both(p.Addr(), id))
			s.Play(mediatest.NewLoop(voice))
			b.talk(p, s, id, theirs)
			from := len(p.Packets())
			before := len(ear.Samples())
			time.Sleep(2*time.Second + 5*time.Millisecond)
			b.hears("the far end with "+id.String(), mediatest.Audio(p.Packets()[from:]), voice)
			b.hears("the near end with "+id.String(), ear.Samples()[before:], theirs[:12000])
			for _, q := range p.Packets()[from+1:] {
				if q.Header.PayloadType != id.PayloadType() || len(q.Payload) != 160 {
					t.Fatalf("payload type %d with %d bytes, agreed is %s", q.Header.PayloadType, len(q.Payload), id)
				}
			}
		}
		b.oneStream(p.Packets())
	})
}

// A far end that answered with one codec may send any of our offer (RFC 3264 §6.1).
func TestFarEndSendsAnotherCodecThanWe(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.session(), b.peer(farHost)
		b.configure(s, both(p.Addr(), codec.PCMU))
		ear := mediatest.NewRecorder()
		s.Listen(ear)
		voice := mediatest.Voice(1, 2*time.Second)
		b.talk(p, s, codec.G722, voice)
		time.Sleep(3 * time.Second)
		b.hears("the near end", ear.Samples(), voice)
		if st := s.Stats(); st.Unwanted != 0 {
			t.Errorf("%d packets unwanted", st.Unwanted)
		}
	})
}

// A relay that has to decode on one side carries both ways, with losses, repetitions and late packets.
func TestRelayOfG722AndG711(t *testing.T) {
	for _, other := range []codec.ID{codec.PCMU, codec.PCMA} {
		t.Run(other.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s1, p1 := b.session(), b.peer(farHost)
				s2, p2 := b.session(), b.peer(otherHost)
				b.configure(s1, both(p1.Addr(), codec.G722))
				b.configure(s2, both(p2.Addr(), other))
				if _, err := media.Join(s1, s2); err != nil {
					t.Fatal(err)
				}
				n := 0
				b.net.Hook(func(d *mediatest.Datagram) {
					if d.From != p1.Addr() {
						return
					}
					switch n++; n % 20 {
					case 5:
						d.Drop = true
					case 11:
						d.Delay = 30 * time.Millisecond
					}
				})
				v1, v2 := mediatest.Voice(1, 3*time.Second), mediatest.Voice(2, 3*time.Second)
				b.talk(p1, s1, codec.G722, v1)
				b.talk(p2, s2, other, v2)
				time.Sleep(4 * time.Second)
				b.hears("who speaks G.711", mediatest.Audio(p2.Packets()), v1)
				b.hears("who speaks G.722", mediatest.Audio(p1.Packets()), v2)
				b.oneStream(p1.Packets())
				got := mediatest.Inspect(p2.Packets())
				if got.SSRCs != 1 || got.Backwards != 0 || got.Packets < 130 || got.Lost+got.Packets < 149 {
					t.Errorf("%s; want 135 of 150 packets in order", got)
				}
				for _, q := range p2.Packets() {
					if q.Header.PayloadType != other.PayloadType() {
						t.Fatalf("payload type %d went to a leg that speaks %s", q.Header.PayloadType, other)
					}
				}
			})
		})
	}
}

// Two wideband legs are relayed without decoding: what goes out is what came in.
func TestRelayOfG722IsUntouched(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s1, p1 := b.session(), b.peer(farHost)
		s2, p2 := b.session(), b.peer(otherHost)
		b.configure(s1, both(p1.Addr(), codec.G722))
		b.configure(s2, both(p2.Addr(), codec.G722))
		if _, err := media.Join(s1, s2); err != nil {
			t.Fatal(err)
		}
		chord := mediatest.Chord(2*time.Second, 1000, 6500)
		go p1.TalkWide(t.Context(), s1.LocalAddr(), codec.G722, chord)
		time.Sleep(3 * time.Second)
		b.hasTones("the other side", mediatest.AudioWide(p2.Packets()), 1000, 6500)
		want := make([]byte, len(chord)/2)
		var e codec.Encoder
		for at := 0; at < len(want); at += 160 {
			e.Encode(codec.G722, want[at:at+160], chord[2*at:2*at+320], media.WideRate)
		}
		for i, q := range p2.Packets() {
			if string(q.Payload) != string(want[i*160:(i+1)*160]) {
				t.Fatalf("packet %d is another one", i)
			}
		}
	})
}

// Each side has its own number for telephone-events: ours is what comes.
func TestEventsWithANumberOfEachSide(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.session(), b.peer(farHost)
		params := both(p.Addr(), codec.G722)
		params.DTMFPayloadType, params.DTMFReceive = 96, 101
		b.configure(s, params)
		digits := make(chan byte, 10)
		s.OnDTMF(func(d byte, _ bool) { digits <- d })
		if err := s.SendDTMF("7", 80*time.Millisecond, 80*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		p.Send(s.LocalAddr(), 101, true, []byte{5, 0x8a, 3, 0x20}, 160)
		time.Sleep(time.Second)
		if got := drain(digits); got != "5" {
			t.Errorf("heard %q, want 5", got)
		}
		for _, q := range p.Packets() {
			if q.Header.PayloadType != 96 {
				t.Fatalf("payload type %d was sent, the far end has 96", q.Header.PayloadType)
			}
		}
		if len(p.Packets()) == 0 {
			t.Error("no digit was sent")
		}
	})
}

// A stream of G.722 that is gone on with in another process is the same stream, with the music in G.722.
func TestRestoreOfG722(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, p := b.session(), b.peer(farHost)
		b.configure(s, both(p.Addr(), codec.G722))
		voice := mediatest.Voice(3, 2*time.Second)
		s.Play(mediatest.NewLoop(voice))
		time.Sleep(time.Second)
		text, err := json.Marshal(s.State())
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		var st media.State
		if err := json.Unmarshal(text, &st); err != nil {
			t.Fatal(err)
		}
		again, err := b.engine.Restore(st)
		if err != nil {
			t.Fatal(err)
		}
		b.configure(again, st.Params)
		again.Play(mediatest.NewLoop(voice))
		from := len(p.Packets())
		time.Sleep(2 * time.Second)
		b.hears("the far end", mediatest.Audio(p.Packets()[from:]), voice)
		if seams := mediatest.Inspect(p.Packets()); seams.SSRCs != 1 || seams.Backwards+seams.ClockBroken != 0 || p.Packets()[from].Header.PayloadType != 9 {
			t.Errorf("%s", seams)
		}
	})
}
