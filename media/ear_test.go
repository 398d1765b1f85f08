package media

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/codec"
	"parklamp/media/jitter"
	"parklamp/media/jitter/lab"
	"parklamp/media/playout"
)

// What a session has counted does not go back when another ear takes over: a call that is parked and fetched.
func TestCountersOutliveAnEar(t *testing.T) {
	var count counters
	e := &Engine{clock: NewTimerClock(), cfg: Default()}
	var played, concealed [2]uint64
	for i, rate := range []int{SampleRate, WideRate} {
		ear := newEar(e, &count, rate)
		for n := range 40 {
			at := e.clock.Now() + FrameDuration
			if n < 20 && n != 10 {
				ear.offer(&rtp.Header{SSRC: 1, SequenceNumber: uint16(n), Timestamp: uint32(n * FrameSamples)}, audio, codec.PCMU, make([]byte, FrameSamples), at)
			}
			ear.play(make([]int16, rate/50), at)
		}
		played[i], concealed[i] = count.played.Load(), count.concealed.Load()
	}
	if played[0] == 0 || played[1] < 2*played[0]-FrameSamples || concealed[0] == 0 || concealed[1] < 2*concealed[0]-FrameSamples {
		t.Errorf("played %d, concealed %d", played, concealed)
	}
}

// After a time in which the whole program stood still, so that packets waited in the socket, the far end is heard, and soon
// as near as before.
func TestEarAfterAStandstill(t *testing.T) {
	for _, still := range []time.Duration{300 * time.Millisecond, time.Second, 1500 * time.Millisecond, 3 * time.Second, time.Minute} {
		for _, pulls := range []bool{true, false} {
			var count counters
			clock := &stepClock{}
			e := newEar(&Engine{clock: clock, cfg: Default()}, &count, SampleRate)
			sent := 0
			until := func(end time.Duration) {
				for clock.now < end {
					clock.now += 5 * time.Millisecond
					for ; time.Duration(sent)*FrameDuration <= clock.now; sent++ {
						var x Frame
						for i := range x { // a tone whose level comes and goes, as of one who speaks
							at := float64(sent*FrameSamples+i) / SampleRate
							x[i] = int16(8000 * math.Max(0, math.Sin(2*math.Pi*at)) * math.Sin(2*math.Pi*200*at))
						}
						var payload [FrameSamples]byte
						codec.Encode(codec.PCMU, payload[:], x[:])
						e.offer(&rtp.Header{SSRC: 1, SequenceNumber: uint16(sent), Timestamp: uint32(sent * FrameSamples)}, audio, codec.PCMU,
							payload[:], time.Duration(sent)*FrameDuration)
					}
					if pulls {
						e.Read(make([]int16, SampleRate/200), 0)
					} else if clock.now%FrameDuration == 0 {
						e.play(make([]int16, FrameSamples), clock.now)
					}
				}
			}
			until(10 * time.Second)
			clock.now += still
			until(clock.now + 5*time.Second)
			concealed := count.concealed.Load()
			until(clock.now + 10*time.Second)
			if n := count.concealed.Load() - concealed; n > 0 || time.Duration(e.delay.Load()) > 100*time.Millisecond {
				t.Errorf("still for %s, pulled %t: %d samples of 10 s concealed, delay %s", still, pulls, n, time.Duration(e.delay.Load()))
			}
		}
	}
}

// TestEarIsWhatIsReplayed: what was held up and comes at once, more than the ring has room for, is played by the ear just as
// the replays play it that the buffer is measured with.
func TestEarIsWhatIsReplayed(t *testing.T) {
	for _, tc := range []struct {
		held   int
		length time.Duration
	}{{10, 20 * time.Millisecond}, {50, 20 * time.Millisecond}, {75, 20 * time.Millisecond}, {150, 20 * time.Millisecond}, {50, 10 * time.Millisecond}, {100, 5 * time.Millisecond}} {
		const from, packets = 400, 1500
		size := int(tc.length * SampleRate / time.Second)
		trace := &lab.Trace{PTime: tc.length}
		for n := range packets {
			sent := time.Duration(n) * tc.length
			arrival := sent + time.Duration(1000+n*7919%6000)*time.Microsecond
			if n >= from && n < from+tc.held {
				arrival = max(arrival, time.Duration(from+tc.held)*tc.length)
			}
			trace.Packets = append(trace.Packets, lab.Packet{Seq: uint16(n), TS: uint32(n * size), Sent: sent, Arrival: arrival})
		}
		speech := make([]byte, size) // a hum, the same in every packet
		for i := range speech {
			speech[i] = byte(0x90 + i%40)
		}
		want := lab.Replay(trace, jitter.Default(), speech, false)

		var count counters
		var events []playout.Piece
		clock := &stepClock{}
		e := newEar(&Engine{clock: clock, cfg: Default()}, &count, SampleRate)
		e.player.Observe = func(p playout.Piece) { events = append(events, p) }
		slices.SortStableFunc(trace.Packets, func(a, b lab.Packet) int { return cmp.Compare(a.Arrival, b.Arrival) })
		in := trace.Packets
		frame := make([]int16, int(lab.Grid*SampleRate/time.Second))
		for end := in[packets-1].Arrival + 2*time.Second; clock.now <= end; clock.now += lab.Grid {
			for ; len(in) > 0 && in[0].Arrival <= clock.now; in = in[1:] {
				if !e.offer(&rtp.Header{SSRC: 1, SequenceNumber: in[0].Seq, Timestamp: in[0].TS}, audio, codec.PCMU, speech, in[0].Arrival) {
					t.Errorf("%d packets of %s at once: packet %d was refused", tc.held, tc.length, in[0].Seq)
				}
			}
			e.Read(frame, 0)
		}
		for i, w := range want.Events[:min(len(events), len(want.Events))] {
			if g := events[i]; g.At != w.At || g.Kind != w.Kind || g.New != w.New || g.Seq != w.Seq || g.Change != w.Change {
				t.Fatalf("%d packets of %s at once: piece %d is %+v, in the replay %+v", tc.held, tc.length, i, g, w)
			}
		}
		if len(events) != len(want.Events) {
			t.Fatalf("%d packets of %s at once: %d pieces, %d in the replay", tc.held, tc.length, len(events), len(want.Events))
		}
	}
}

// TestEarIsAskedInABurst: while somebody asks, the reader does not wait, and nothing is lost, doubled or out of order.
func TestEarIsAskedInABurst(t *testing.T) {
	var count counters
	e := newEar(&Engine{clock: &stepClock{}, cfg: Default()}, &count, SampleRate)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		room := make([]int16, FrameSamples)
		for n := time.Duration(1); ; n++ {
			select {
			case <-stop:
				return
			default:
				e.mu.Lock()
				e.play(room, n)
				e.mu.Unlock()
			}
		}
	}()
	const packets = 20000
	refused := 0
	for n := range packets {
		if !e.offer(&rtp.Header{SSRC: 1, SequenceNumber: uint16(n), Timestamp: uint32(n * FrameSamples)}, audio, codec.PCMU, make([]byte, FrameSamples), 0) {
			refused++
		}
	}
	close(stop)
	<-done
	e.play(make([]int16, FrameSamples), time.Second)
	if _, b := e.player.Stats(); int(b.Put) != packets-refused || b.Duplicates+b.Reordered+b.Late > 0 {
		t.Errorf("%d of %d packets offered, %d refused: %+v", b.Put, packets, refused, b)
	}
}

// TestEarIsHeld: while somebody asks, and takes long, the ring keeps what it has room for and the reader goes on at once; the
// first packet after that is taken.
func TestEarIsHeld(t *testing.T) {
	var count counters
	e := newEar(&Engine{clock: &stepClock{}, cfg: Default()}, &count, SampleRate)
	taken := make(chan int)
	offer := func(from, to int) int {
		go func() {
			n := 0
			for seq := from; seq < to; seq++ {
				if e.offer(&rtp.Header{SSRC: 1, SequenceNumber: uint16(seq), Timestamp: uint32(seq * FrameSamples)}, audio, codec.PCMU, make([]byte, FrameSamples), 0) {
					n++
				}
			}
			taken <- n
		}()
		select {
		case n := <-taken:
			return n
		case <-time.After(10 * time.Second):
			t.Fatal("the reader waits")
			return 0
		}
	}
	e.mu.Lock()
	if n := offer(0, 2*ringSlots); n != ringSlots {
		t.Errorf("%d packets taken while somebody asks, want %d", n, ringSlots)
	}
	e.mu.Unlock()
	if n := offer(2*ringSlots, 2*ringSlots+1); n != 1 {
		t.Error("the packet after it is refused")
	}
	e.play(make([]int16, FrameSamples), time.Second)
	if _, b := e.player.Stats(); b.Put != ringSlots+1 {
		t.Errorf("the buffer has got %d packets", b.Put)
	}
}

// TestForgottenIsDiscarded: what was not heard of a stream when another one took its place was discarded.
func TestForgottenIsDiscarded(t *testing.T) {
	var count counters
	cfg := Default()
	cfg.JitterMin = 200 * time.Millisecond
	clock := &stepClock{}
	e := newEar(&Engine{clock: clock, cfg: cfg}, &count, SampleRate)
	for n := range 500 {
		clock.now = time.Duration(n) * FrameDuration
		e.offer(&rtp.Header{SSRC: uint32(1 + n/300), SequenceNumber: uint16(n), Timestamp: uint32(n * FrameSamples)}, audio, codec.PCMU, make([]byte, FrameSamples), clock.now)
		e.play(make([]int16, FrameSamples), clock.now)
	}
	if n := count.discarded.Load(); n < 9 || n > 12 {
		t.Errorf("%d packets discarded of 200 ms that were not heard", n)
	}
}
