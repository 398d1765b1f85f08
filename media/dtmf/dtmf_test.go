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
		if got, ok := Parse(b[:]); !ok || got != e {
			t.Errorf("%+v came back as %+v, %v", e, got, ok)
		}
	}
	if _, ok := Parse([]byte{1, 2, 3}); ok {
		t.Error("three bytes were taken for an event")
	}
}

func TestReceiver(t *testing.T) {
	type packet struct {
		ts uint32
		e  Event
	}
	five, six := Event{Code: 5, Duration: 160}, Event{Code: 6, Duration: 160}
	end := func(e Event) Event { e.End, e.Duration = true, 800; return e }
	full := Event{Code: 5, Duration: 0xffff}
	for _, tc := range []struct {
		name    string
		packets []packet
		want    string
	}{
		{"one digit, many packets", []packet{{1000, five}, {1000, five}, {1000, end(five)}, {1000, end(five)}, {1000, end(five)}}, "5"},
		{"only the last end arrives", []packet{{1000, end(five)}}, "5"},
		{"the same digit twice", []packet{{1000, five}, {1000, end(five)}, {3000, five}, {3000, end(five)}}, "55"},
		{"an old end after the next digit", []packet{{1000, five}, {3000, six}, {1000, end(five)}, {3000, end(six)}}, "56"},
		{"over the wrap of the clock", []packet{{0xffffff00, five}, {0x700, six}}, "56"},
		{"a long press in segments", []packet{{1000, full}, {1000 + 0xffff, five}, {1000 + 0xffff, end(five)}}, "5"},
		{"not a digit", []packet{{1000, Event{Code: 16}}, {2000, Event{Code: 255}}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r Receiver
			got := ""
			for _, p := range tc.packets {
				var b [EventSize]byte
				p.e.Put(b[:])
				if d, ok := r.Put(p.ts, b[:]); ok {
					got += string(d)
				}
			}
			if got != tc.want {
				t.Errorf("heard %q, want %q", got, tc.want)
			}
		})
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
	if _, err := Keys("12x", 0, 0); !errors.Is(err, ErrDigit) {
		t.Errorf("x: %v, want ErrDigit", err)
	}
	k, err := Keys("0123456789*#ABCDabcd", 0, time.Hour)
	if err != nil || len(k) != 20 || k[10].Code != 10 || k[19].Code != 15 || k[0].On != 2 || k[0].Gap != 400 {
		t.Errorf("%v %v", k, err)
	}
}

func FuzzReceiver(f *testing.F) {
	f.Add(uint32(1), []byte{5, 0x8a, 3, 0x20})
	f.Add(uint32(0xffffffff), []byte{16, 0, 0})
	var r Receiver
	f.Fuzz(func(t *testing.T, ts uint32, b []byte) {
		if d, ok := r.Put(ts, b); ok {
			if _, known := Code(d); !known {
				t.Errorf("%x gave digit %q", b, d)
			}
			if _, again := r.Put(ts, b); again {
				t.Errorf("%x counted twice", b)
			}
		}
	})
}

func BenchmarkReceiver(b *testing.B) {
	b.ReportAllocs()
	var r Receiver
	p := []byte{5, 10, 0, 160}
	for ts := uint32(0); b.Loop(); ts += 80 {
		r.Put(ts, p)
	}
}
