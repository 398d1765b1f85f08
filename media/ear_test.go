package media

import (
	"testing"

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
