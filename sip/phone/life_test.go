package phone

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// news draws something that may happen to a call now; ok is false if nothing can.
func (w *world) news() (in Input, ok bool) {
	var can []Input
	for _, c := range w.calls {
		switch {
		case c.reported:
			continue
		case c.over:
			can = append(can, Ended{c.id}, Answered{c.id})
			continue
		}
		if c.fetching {
			can = append(can, Fetched{c.id, "701", "0309", "Ann"}, FetchRefused{c.id, "701", ReasonLost})
			continue
		}
		switch s := w.find(c.id); s {
		case CallDialing, CallAlerting, CallEarly:
			can = append(can, Progress{c.id, false}, Progress{c.id, true}, Answered{c.id}, Answered{c.id}, Failed{c.id, 486})
		default:
			can = append(can, Ended{c.id}, RemoteHold{c.id, true}, Referred{c.id}, Identity{c.id, "1", ""})
		}
		if c.parking > 0 {
			can = append(can, ParkCommitted{c.id, "702"}, ParkRefused{c.id, "702", ReasonTaken})
		}
		if c.transfer {
			can = append(can, TransferProgress{c.id, 100, false}, TransferProgress{c.id, 200, true}, TransferProgress{c.id, 486, true})
		}
	}
	if len(can) == 0 {
		return nil, false
	}
	return rapid.SampledFrom(can).Draw(w.t, "news"), true
}

// tell notes what news means before the machine hears it.
func (w *world) tell(in Input) {
	switch in := in.(type) {
	case Fetched:
		c := w.byID[in.Call]
		c.fetching, c.answered = false, true
	case FetchRefused:
		c := w.byID[in.Call]
		c.fetching, c.over, c.reported = false, true, true
	case Answered:
		c := w.byID[in.Call]
		c.answered = c.answered || !c.over
	case Failed:
		c := w.byID[in.Call]
		c.over, c.reported = true, true
	case Ended:
		c := w.byID[in.Call]
		c.over, c.reported, c.parking = true, true, 0
	case ParkCommitted:
		c := w.byID[in.Call]
		c.parking--
		c.over, c.reported = true, true
	case ParkRefused:
		w.byID[in.Call].parking--
	case TransferProgress:
		if in.Final {
			w.byID[in.Call].transfer = false
		}
	}
	w.input(in)
}

// hand draws an act of the worker.
func (w *world) hand() {
	switch rapid.IntRange(0, 8).Draw(w.t, "hand") {
	case 0, 1:
		w.input(Hook{!w.m.hookUp})
	case 2, 3:
		w.input(KeyDown{rapid.SampledFrom(allKeys).Draw(w.t, "key")})
	case 4:
		w.input(KeyDown{rapid.SampledFrom(allKeys[:4]).Draw(w.t, "main key")})
	case 5:
		w.input(Orbit{rapid.SampledFrom([]string{"701", "702"}).Draw(w.t, "orbit"),
			OrbitState(rapid.IntRange(0, 2).Draw(w.t, "lamp")), rapid.IntRange(0, 9).Draw(w.t, "long") == 0})
	case 6:
		w.dial(rapid.SampledFrom(numbers).Draw(w.t, "number"))
	case 8:
		w.attend(rapid.IntRange(1, 3).Draw(w.t, "how far"))
	case 7:
		w.input(Hook{rapid.Bool().Draw(w.t, "hook")})
	}
}

// attend goes some of the way of an attended transfer, which single acts seldom find.
func (w *world) attend(far int) {
	w.input(KeyDown{KeyTransfer})
	w.dial("204")
	if c := w.m.View().Active; far > 1 && w.m.state == Calling && !w.byID[c].emergency {
		w.tell(Answered{c})
		if far > 2 {
			w.input(KeyDown{rapid.SampledFrom([]Key{KeyTransfer, KeyConference}).Draw(w.t, "then")})
		}
	}
}

func (w *world) dial(number string) (emergency bool) {
	for _, d := range []byte(number) {
		for _, e := range w.input(Digit{d}) {
			if d, is := e.(Dial); is {
				emergency = emergency || d.Emergency
			}
		}
	}
	return emergency
}

// live draws one thing that happens.
func (w *world) live() {
	switch rapid.IntRange(0, 9).Draw(w.t, "what") {
	case 0, 1, 2, 3:
		w.hand()
	case 4, 5, 6:
		if in, ok := w.news(); ok {
			w.tell(in)
		}
	case 7, 8:
		w.nextID++
		c := w.add(CallID(fmt.Sprintf("c%d", w.nextID)))
		kind := rapid.IntRange(0, 5).Draw(w.t, "kind")
		c.recall = kind == 0
		w.input(Incoming{Call: c.id, From: "0301", Recall: kind == 0, Orbit: []string{"701", ""}[min(kind, 1)],
			AutoAnswer: kind == 1, Emergency: kind == 2})
	case 9:
		w.pass(rapid.SampledFrom([]time.Duration{time.Second, 5 * time.Second, 40 * time.Second}).Draw(w.t, "time"))
	}
}

// rest ends everything that is open; the phone must come to rest without a trace.
func (w *world) rest() {
	for range 3 {
		for _, c := range w.calls {
			switch {
			case c.fetching:
				w.tell(FetchRefused{c.id, "701", ReasonLost})
			case !c.reported:
				w.tell(Ended{c.id})
			}
		}
		if w.m.hookUp {
			w.input(Hook{false})
		}
		if w.path == PathSpeaker {
			w.input(KeyDown{KeySpeaker})
		}
	}
	w.pass(10 * time.Minute)
	v := w.m.View()
	if v.State != Idle || len(v.Calls) != 0 || len(w.timers) != 0 || w.ring != RingNone || w.sound {
		w.fail("at rest: %+v, timers %v, ring %q, sound %v", v, w.timers, w.ring, w.sound)
	}
}

// alarm dials an emergency number as anybody would: at once where digits are dialled, else after hanging up.
func (w *world) alarm() {
	w.pass(5 * time.Second)
	if w.m.inEmergency() {
		return
	}
	switch w.m.state {
	case Talking, Conferring:
		w.input(KeyDown{KeyHold})
		if w.m.state == Talking { // that answered a second call
			w.letGo()
		}
	case Dialing:
		w.letGo()
	case Parking:
		if w.ear != "" {
			w.letGo()
		}
	}
	if !w.dial("112") {
		w.fail("112 in state %v did not dial", w.m.state)
	}
}

func (w *world) letGo() {
	if w.m.hookUp {
		w.input(Hook{false})
	}
	if w.path == PathSpeaker {
		w.input(KeyDown{KeySpeaker})
	}
}

// anything returns the property that random days keep every promise.
func anything(tb testing.TB) func(*rapid.T) {
	documented := documentedSteps(tb)
	return func(t *rapid.T) {
		w := newWorld(t, documented)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.live()
		}
		if rapid.Bool().Draw(t, "alarm") {
			w.alarm()
		}
		w.rest()
	}
}

// TestNothingIsLost lives through random days.
func TestNothingIsLost(t *testing.T) { rapid.Check(t, anything(t)) }

// FuzzPhone is the same, guided by coverage.
func FuzzPhone(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(rapid.MakeFuzz(anything(f)))
}

// FuzzGarbage steps inputs that no owner should send; nothing may panic, and the table stays bounded.
func FuzzGarbage(f *testing.F) {
	f.Add("incoming c1; hook up; key park; park-committed c1 701; key park; fetched p1")
	f.Add("incoming p1; hook up; ended p1; answered p1; fetched p1; failed p1 -1; transfer-progress p1 200 final")
	f.Add("orbit 701 taken; incoming p1; hook up; hook up; key hold; digit *; digit 6; digit 8; digit #")
	f.Fuzz(func(t *testing.T, script string) {
		b := newBench(testConfig())
		for line := range strings.SplitSeq(script, ";") {
			in, err := parseInput(line)
			if err != nil {
				continue
			}
			b.step(in)
			b.now = b.now.Add(time.Second)
			if n := len(b.m.View().Calls); n > testConfig().MaxCalls+1+maxEnding {
				t.Fatalf("%d calls", n)
			}
		}
	})
}
