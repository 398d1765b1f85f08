package dtmf

import (
	"errors"
	"testing"
	"time"
)

func TestEventRoundTrip(t *testing.T) {
	for _, e := range []Event{{5, false, 10, 160}, {11, true, 63, 65535}, {0, true, 0, 0}} {
		var b [EventSize]byte
		e.Put(b[:])
		if got, ok := parse(b[:]); !ok || got != e {
			t.Errorf("%+v came back as %+v, %v", e, got, ok)
		}
	}
	if _, ok := parse([]byte{1, 2, 3}); ok {
		t.Error("three bytes were taken for an event")
	}
}

func TestReceiver(t *testing.T) {
	type packet struct {
		ts     uint32
		marker bool
		events []Event
	}
	of := func(ts uint32, events ...Event) packet { return packet{ts, false, events} }
	first := func(ts uint32, events ...Event) packet { return packet{ts, true, events} }
	five, six := Event{Code: 5, Duration: 160}, Event{Code: 6, Duration: 160}
	lasts := func(e Event, d uint16) Event { e.Duration = d; return e }
	end := func(e Event) Event { e.End, e.Duration = true, 800; return e }
	full := Event{Code: 5, Duration: 0xffff}
	for _, tc := range []struct {
		name    string
		packets []packet
		want    string
	}{
		{"one digit, many packets", []packet{first(1000, five), of(1000, five), of(1000, end(five)), of(1000, end(five)), of(1000, end(five))}, "5"},
		{"only the last end arrives", []packet{of(1000, end(five))}, "5"},
		{"the start is lost", []packet{of(1000, lasts(five, 480)), of(1000, end(five))}, "5"},
		{"every end is lost", []packet{first(1000, five), first(3000, six), first(5000, five)}, "565"},
		{"every end and the next start are lost", []packet{first(1000, five), of(3000, lasts(five, 320))}, "55"},
		{"the same digit twice", []packet{first(1000, five), of(1000, end(five)), first(3000, five), of(3000, end(five))}, "55"},
		{"the same digit twice, both starts lost", []packet{of(1000, end(five)), of(3000, end(five))}, "55"},
		{"the start after the end", []packet{of(1000, end(five)), first(1000, five)}, "5"},
		{"an old end after the next digit", []packet{first(1000, five), first(3000, six), of(1000, end(five)), of(3000, end(six))}, "56"},
		{"over the wrap of the clock", []packet{first(0xffffff00, five), first(0x700, six)}, "56"},
		{"a long press in segments", []packet{first(1000, full), of(1000+0xffff, five), of(1000+0xffff, end(five))}, "5"},
		{"the last report of a segment is lost", []packet{first(1000, lasts(five, 65000)), of(1000+0xffff, five), of(1000+0xffff, end(five))}, "5"},
		{"a repeated report of the segment before", []packet{first(1000, full), of(1000+0xffff, five), of(1000, full), of(1000+0xffff, end(five))}, "5"},
		{"pressed again where a segment would follow", []packet{first(1000, full), first(1000+0xffff, five)}, "55"},
		{"three in a packet", []packet{first(1000, end(five), end(six), five), of(2600, lasts(five, 320)), of(2600, end(five))}, "565"},
		{"three in a packet, twice", []packet{first(1000, end(five), end(six), end(five)), of(1000, end(five), end(six), end(five))}, "565"},
		{"two of a kind in a packet", []packet{first(1000, end(five), end(five))}, "55"},
		{"the timestamp moves with each packet", []packet{first(1000, five), of(1160, lasts(five, 320)), of(1320, lasts(five, 480)), of(1480, end(five))}, "5"},
		{"the timestamp stands still", []packet{first(1000, five), of(1000, end(five)), first(1000, six), of(1000, end(six))}, "56"},
		{"a report of no duration", []packet{first(1000, lasts(five, 0))}, ""},
		{"an end of no duration", []packet{first(1000, lasts(five, 0)), of(1000, Event{Code: 5, End: true})}, "5"},
		{"not a digit", []packet{first(1000, Event{Code: 16, Duration: 80}), first(2000, Event{Code: 255, Duration: 80})}, ""},
		{"a digit after flash in a packet", []packet{first(1000, Event{Code: 16, End: true, Duration: 80}, five)}, "5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r Receiver
			got := ""
			for i, p := range tc.packets {
				var b []byte
				for _, e := range p.events {
					b = append(b, make([]byte, EventSize)...)
					e.Put(b[len(b)-EventSize:])
				}
				got += string(r.Put(1, p.ts, p.marker, b, time.Duration(i)*20*time.Millisecond))
			}
			if got != tc.want {
				t.Errorf("heard %q, want %q", got, tc.want)
			}
		})
	}
}

// TestReceiverForgets: a sender whose clock began anew is heard, though its timestamps are older than those before.
func TestReceiverForgets(t *testing.T) {
	b := []byte{5, 10, 0, 160}
	for _, tc := range []struct {
		name  string
		back  uint32 // ticks
		after time.Duration
		want  string
	}{
		{"an event of a second before, overtaken", 8000, 100 * time.Millisecond, ""},
		{"a clock that went back by a minute", 480000, 100 * time.Millisecond, "5"},
		{"a clock that went back by a second, later", 8000, 3 * time.Second, "5"},
	} {
		var r Receiver
		r.Put(1, 1e6, true, b, 0)
		if got := r.Put(1, 1e6-tc.back, true, b, tc.after); string(got) != tc.want {
			t.Errorf("%s: heard %q, want %q", tc.name, got, tc.want)
		}
	}
}

// TestReceiverOfAnotherSource: another SSRC has another clock.
func TestReceiverOfAnotherSource(t *testing.T) {
	var r Receiver
	for ssrc := uint32(1); ssrc <= 2; ssrc++ {
		if got := r.Put(ssrc, 1000, true, []byte{5, 10, 0, 160}, 0); string(got) != "5" {
			t.Errorf("source %d: heard %q, want 5", ssrc, got)
		}
	}
}

// TestLongPress: RFC 4733 §2.5.1.3 and §2.5.1.4, for keys whose end comes anywhere around the end of a segment.
func TestLongPress(t *testing.T) {
	for on := uint16(405); on < 420; on++ {
		var s Sender
		var r Receiver
		s.Start(Key{Code: 5, On: on, Gap: 2})
		var got string
		fulls, ends, last := 0, 0, uint32(0)
		for tick := 0; s.Busy(); tick++ {
			step := s.Next()
			if !step.Send {
				continue
			}
			if step.Event.Duration == longest && !step.Event.End {
				fulls++
			}
			if step.Event.End {
				ends++
				if lasts := step.Offset + uint32(step.Event.Duration); lasts != uint32(on)*160 {
					t.Errorf("%d ticks: the end says %d", on, lasts)
				}
			}
			if until := step.Offset + uint32(step.Event.Duration); until < last {
				t.Errorf("%d ticks: the event got shorter, from %d to %d", on, last, until)
			} else {
				last = until
			}
			var b [EventSize]byte
			step.Event.Put(b[:])
			got += string(r.Put(1, 77+step.Offset, step.First, b[:], time.Duration(tick)*20*time.Millisecond))
		}
		want := 0
		if on > 409 {
			want = 3
		}
		if fulls != want || ends != 3 || got != "5" {
			t.Errorf("%d ticks: %d reports of a full segment, %d of the end, heard %q; want %d, 3, 5", on, fulls, ends, got, want)
		}
	}
}

func TestSenderFollowsTheRFC(t *testing.T) {
	keys, err := Keys("7", 100*time.Millisecond, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	var s Sender
	s.Start(keys[0])
	sent, ends, firsts, ticks := 0, 0, 0, 0
	last := uint16(0)
	for s.Busy() {
		step := s.Next()
		ticks++
		if !step.Send {
			continue
		}
		sent++
		if step.First {
			firsts++
		}
		if step.Event.Duration < last {
			t.Errorf("duration fell from %d to %d", last, step.Event.Duration)
		}
		last = step.Event.Duration
		if step.Event.End {
			ends++
		}
	}
	if ticks != 10 || sent != 7 || ends != 3 || firsts != 1 || last != 800 {
		t.Errorf("%d ticks, %d packets, %d of them ends, %d first, %d long; want 10, 7, 3, 1, 800", ticks, sent, ends, firsts, last)
	}
}

func TestKeys(t *testing.T) {
	if _, err := Keys("12x", 0, 0); !errors.Is(err, errDigit) {
		t.Errorf("x: %v, want ErrDigit", err)
	}
	k, err := Keys("0123456789*#ABCDabcd", 0, time.Hour)
	if err != nil || len(k) != 20 || k[10].Code != 10 || k[19].Code != 15 || k[0].On != 2 || k[0].Gap != 3000 {
		t.Errorf("%v %v", k, err)
	}
}

func FuzzReceiver(f *testing.F) {
	f.Add(uint32(1), true, []byte{5, 0x8a, 3, 0x20})
	f.Add(uint32(0xffffffff), false, []byte{16, 0, 0})
	f.Add(uint32(1), true, []byte{5, 0x8a, 3, 0x20, 6, 0x8a, 3, 0x20, 5, 10, 0, 80})
	var r Receiver
	f.Fuzz(func(t *testing.T, ts uint32, marker bool, b []byte) {
		got := r.Put(1, ts, marker, b, 0)
		if len(got) > len(b)/EventSize {
			t.Errorf("%x gave %q", b, got)
		}
		for _, d := range got {
			if _, known := Code(d); !known {
				t.Errorf("%x gave digit %q", b, d)
			}
		}
		if len(b) < 2*EventSize {
			if again := r.Put(1, ts, marker, b, 0); len(again) > 0 {
				t.Errorf("%x counted twice", b)
			}
		}
		if ticks, digits := Samples(b); digits && (len(b) < EventSize || ticks > maxEvents*longest) {
			t.Errorf("%x lasts %d", b, ticks)
		}
	})
}

func BenchmarkReceiver(b *testing.B) {
	b.ReportAllocs()
	var r Receiver
	p := []byte{5, 10, 0, 160}
	for ts := uint32(0); b.Loop(); ts += 80 {
		r.Put(1, ts, true, p, 0)
	}
}
