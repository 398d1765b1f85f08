package lab

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"parklamp/media/jitter"
	"parklamp/media/playout"
)

// write writes the trace as Read takes it.
func (t *Trace) write(w io.Writer) error {
	z := gzip.NewWriter(w)
	b := bufio.NewWriter(z)
	fmt.Fprintf(b, "# jbtrace=1 name=%s\n# clock_rate=8000 ptime_us=%d rx_skew_ppm=%g tick_phase_us=%d\n",
		t.Name, t.PTime.Microseconds(), t.SkewPPM, t.Phase.Microseconds())
	fmt.Fprintln(b, "seq,rtp_ts,send_time_us,arrival_time_us,flags")
	for _, p := range t.Packets {
		at := "lost"
		if !p.Lost {
			at = strconv.FormatInt(p.Arrival.Microseconds(), 10)
		}
		fmt.Fprintf(b, "%d,%d,%d,%s", p.Seq, p.TS, p.Sent.Microseconds(), at)
		for _, f := range []struct {
			set  bool
			flag string
		}{{p.Marker, ",M"}, {p.Comfort, ",C"}, {p.Copy, ",D"}} {
			if f.set {
				fmt.Fprint(b, f.flag)
			}
		}
		fmt.Fprintln(b)
	}
	return errors.Join(b.Flush(), z.Close())
}

func TestTraceSurvivesItsFile(t *testing.T) {
	for _, n := range Networks() {
		a := n.Trace(3, 10*time.Second)
		var b bytes.Buffer
		if err := a.write(&b); err != nil {
			t.Fatal(err)
		}
		c, err := Read(&b)
		if err != nil {
			t.Fatal(err)
		}
		if c.Name != a.Name || c.PTime != a.PTime || c.SkewPPM != a.SkewPPM || len(c.Packets) != len(a.Packets) {
			t.Fatalf("%s: %d packets became %d", n.Name, len(a.Packets), len(c.Packets))
		}
		for i, p := range a.Packets {
			p.Sent, p.Arrival = p.Sent.Truncate(time.Microsecond), p.Arrival.Truncate(time.Microsecond)
			if p != c.Packets[i] {
				t.Fatalf("%s: packet %d was %+v and is %+v", n.Name, i, p, c.Packets[i])
			}
		}
		if d := n.Trace(4, 10*time.Second); slices.Equal(a.Packets, d.Packets) {
			t.Errorf("%s: two seeds make the same trace", n.Name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("# name=x ptime_us=20000 rx_skew_ppm=-3\nseq,rtp_ts\n1,2,3,4,M\n2,162,20003,lost\n"))
	f.Add([]byte("# ptime_us=1\n"))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		trace, err := Read(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, errTrace) {
				t.Fatal(err)
			}
			return
		}
		var b bytes.Buffer
		if err := trace.write(&b); err != nil {
			t.Fatal(err)
		}
		if again, err := Read(&b); err != nil || len(again.Packets) != len(trace.Packets) {
			t.Fatalf("%d packets, then %v", len(trace.Packets), err)
		}
	})
}

// even is a trace of n packets that all take 30 ms.
func even(n int) *Trace {
	t := &Trace{PTime: 20 * time.Millisecond}
	for i := range n {
		at := time.Duration(i) * t.PTime
		t.Packets = append(t.Packets, Packet{Seq: uint16(i), TS: uint32(i * 160), Sent: at, Arrival: at + 30*time.Millisecond})
	}
	return t
}

// TestScoreCountsBadFrames gives the scorer logs whose score can be told without it.
func TestScoreCountsBadFrames(t *testing.T) {
	play := func(skip func(i int) (missing, concealed bool)) Score {
		r := Run{Trace: even(100)}
		for i := range 100 {
			missing, concealed := skip(i)
			at := time.Duration(i)*20*time.Millisecond + 40*time.Millisecond
			if concealed {
				r.Events = append(r.Events, Event{At: at, Kind: playout.Concealed, Length: 20 * time.Millisecond})
			}
			if !missing {
				r.Events = append(r.Events, Event{At: at, New: true, Seq: uint16(i)})
			}
		}
		return r.Score()
	}
	for _, tc := range []struct {
		name string
		bad  float64
		skip func(i int) (bool, bool)
	}{
		{"nothing missing", 0, func(int) (bool, bool) { return false, false }},
		{"one concealed", 0.01, func(i int) (bool, bool) { return i == 50, i == 50 }},
		{"two left out", 0.02, func(i int) (bool, bool) { return i == 50 || i == 60, false }},
		{"one put in", 1.0 / 101, func(i int) (bool, bool) { return false, i == 50 }},
		{"the last ten missing", 0.1, func(i int) (bool, bool) { return i >= 90, i >= 90 }},
	} {
		if s := play(tc.skip); math.Abs(s.Bad-tc.bad) > 1e-9 || s.Delay != 10*time.Millisecond {
			t.Errorf("%s: %.4f bad with a delay of %s, want %.4f with 10ms", tc.name, s.Bad, s.Delay, tc.bad)
		}
	}
}

// TestEveryNetworkIsPlayed holds the buffer to a floor on each kind of network, so that a change that ruins one is seen.
func TestEveryNetworkIsPlayed(t *testing.T) {
	speech := make([]byte, 40000)
	for i := range speech { // a vowel with pauses, µ-law
		speech[i] = 0xff
		if i%12000 < 8000 {
			speech[i] = byte(0x90 + 8*math.Sin(float64(i)*0.1)*math.Sin(float64(i)*0.001))
		}
	}
	for _, n := range Networks() {
		s := Replay(n.Trace(1, time.Minute), jitter.Default(), speech, false).Score()
		if s.R < 45 || s.Own > 0.05 {
			t.Errorf("%s: R %.1f, %.2f %% bad by our own doing, delay %s", n.Name, s.R, 100*s.Own, s.Delay)
		}
	}
}
