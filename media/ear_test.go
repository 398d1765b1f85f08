package media

import (
	"math"
	"testing"
	"time"

	"github.com/pion/rtp"

	"parklamp/media/codec"
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
