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
	"strings"
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

// TestBadTraceIsRefused wants each error to name the line, the column or key, its value and what is allowed.
func TestBadTraceIsRefused(t *testing.T) {
	many := strings.Builder{}
	for n := range maxPackets + 1 {
		fmt.Fprintf(&many, "%d,0,0,0\n", n%65536)
	}
	const good = "\n1,160,20000,50000\n"
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", "without a voice packet"},
		{"comments alone", "# name=x\nseq,rtp_ts\n", "without a voice packet"},
		{"comfort noise alone", "1,160,20000,50000,C\n", "without a voice packet"},
		{"skew not a number", "# rx_skew_ppm=NaN" + good, `line 1: rx_skew_ppm="NaN"; -10000 to 10000 is allowed`},
		{"skew without end", "# rx_skew_ppm=-Inf" + good, `rx_skew_ppm="-Inf"; -10000`},
		{"clock that stands", "# rx_skew_ppm=-1000000" + good, `rx_skew_ppm="-1000000"; -10000`},
		{"packets not of a length", "# ptime_us=nan" + good, `ptime_us="nan"; 5000 to 60000`},
		{"tick of another day", "# tick_phase_us=1e9" + good, `tick_phase_us="1e9"; 0 to 19999`},
		{"wideband", "#clock_rate=16000" + good, `clock_rate="16000"; 8000 is allowed`},
		{"arrival not a number", good + "2,320,40000,NaN\n", `line 3: arrival_time_us="NaN"; -86400000000 to 86400000000 is allowed`},
		{"arrival after years", "2,320,40000,9e17\n", `arrival_time_us="9e17"; -864`},
		{"sent never", "2,320,inf,0\n", `send_time_us="inf"; -864`},
		{"seq of 17 bits", "65536,320,0,0\n", `seq="65536"; 0 to 65535 is allowed`},
		{"timestamp below 0", "1,-1,0,0\n", `rtp_ts="-1"; 0 to 4294967295 is allowed`},
		{"flag nobody knows", "1,0,0,0,MX\n", `flags="MX"; M, C and D are allowed`},
		{"a column too many", "1,0,0,0,M,0\n", `line 1: "1,0,0,0,M,0" has 6 columns; seq,rtp_ts,`},
		{"noise", strings.Repeat("\x01\xff", 700), `line 1: "\x01\xff\x01\xff`},
		{"a line without end", good + strings.Repeat("1", 70000), "line 3 has 65536 bytes or more"},
		{"more than seq can name", many.String(), "line 65536: packet 65536; 65535 are allowed"},
	} {
		_, err := Read(strings.NewReader(tc.text))
		if !errors.Is(err, errTrace) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v does not say %q", tc.name, err, tc.want)
		} else if len(err.Error()) > 250 {
			t.Errorf("%s: an error of %d bytes", tc.name, len(err.Error()))
		}
	}
}

// TestDamagedFileIsNamed: of a packed trace that was cut off or changed on its way no line is blamed.
func TestDamagedFileIsNamed(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for n := range 3000 {
		fmt.Fprintf(z, "%d,%d,%d,%d\n", n, 160*n, 20000*n, 20000*n+n*n%7919)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for cut := 20; cut < packed.Len(); cut += 97 {
		if _, err := Read(bytes.NewReader(packed.Bytes()[:cut])); !errors.Is(err, errTrace) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut off after %d of %d bytes: %v", cut, packed.Len(), err)
		}
	}
	changed := bytes.Clone(packed.Bytes())
	changed[len(changed)/2] ^= 0xff
	if _, err := Read(bytes.NewReader(changed)); !errors.Is(err, errTrace) || !strings.Contains(err.Error(), "the file is damaged: ") {
		t.Errorf("with a changed byte: %v", err)
	}
}

// TestNothingHeardIsAllBad: a trace in which all was lost is a measurement, and the worst.
func TestNothingHeardIsAllBad(t *testing.T) {
	trace, err := Read(strings.NewReader("1,160,0,lost\n2,320,20000,lost\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Score{Bad: 1, Longest: 40 * time.Millisecond}
	if s := Replay(trace, jitter.Default(), make([]byte, 400), false).Score(); s != want {
		t.Errorf("%v, want %v", s, want)
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

// vowel is one with pauses, µ-law.
func vowel() []byte {
	speech := make([]byte, 40000)
	for i := range speech {
		speech[i] = 0xff
		if i%12000 < 8000 {
			speech[i] = byte(0x90 + 8*math.Sin(float64(i)*0.1)*math.Sin(float64(i)*0.001))
		}
	}
	return speech
}

// TestEveryNetworkIsPlayed holds the buffer to a floor on each kind of network, so that a change that ruins one is seen.
func TestEveryNetworkIsPlayed(t *testing.T) {
	speech := vowel()
	for _, n := range Networks() {
		s := Replay(n.Trace(1, time.Minute), jitter.Default(), speech, false).Score()
		most := 0.05
		if n.Name == "vpn-far" { // a minute is hardly enough to learn how long its stalls are
			most = 0.12
		}
		if s.R < 45 || s.Own > most {
			t.Errorf("%s: R %.1f, %.2f %% bad by our own doing, delay %s", n.Name, s.R, 100*s.Own, s.Delay)
		}
	}
}

// TestShortCalls: before anything is known of a network, the delay is such that jitter of tens of ms is played.
func TestShortCalls(t *testing.T) {
	const calls = 20
	var own float64
	short := Network{Name: "short", make: func(g *generator) {
		g.mixes = true
		g.delay = func(float64) float64 { return g.between(0, 80) }
	}}
	for seed := range uint64(calls) {
		s := Replay(short.Trace(seed, 20*time.Second), jitter.Default(), make([]byte, 400), false).Score()
		own += s.Own / calls
	}
	if own > 0.004 {
		t.Errorf("%.2f %% bad by our doing in calls of 20 s", 100*own)
	}
}

// TestLongStalls: what was held up for seconds and comes at once is left out as far as it was missed already, and playout
// is soon where it was.
func TestLongStalls(t *testing.T) {
	for _, tc := range []struct {
		least, most float64 // ms
		delay       time.Duration
		own         float64
	}{{1000, 1250, 80 * time.Millisecond, 0.11}, {1700, 1950, 96 * time.Millisecond, 0.18}, {2200, 3500, 262 * time.Millisecond, 0.268}} {
		n := Network{Name: "stalls", make: func(g *generator) {
			stall, until := g.every(10000), 0.0
			g.delay = func(at float64) float64 {
				if stall(at) {
					until = at + g.between(tc.least, tc.most)
				}
				return max(0, until-at) + g.exp(3)
			}
		}}
		var sum Score
		for seed := range uint64(4) {
			s := Replay(n.Trace(seed, 100*time.Second), jitter.Default(), make([]byte, 400), false).Score()
			sum.Own, sum.Delay = sum.Own+s.Own/4, sum.Delay+s.Delay/4
		}
		if sum.Delay > tc.delay || sum.Own > tc.own {
			t.Errorf("stalls of %.0f to %.0f ms: delay %s, %.2f %% bad", tc.least, tc.most, sum.Delay, 100*sum.Own)
		}
	}
}

// TestBestConstantDelay compares with a buffer of one constant delay that knows the future.
func TestBestConstantDelay(t *testing.T) {
	networks, speech := Networks(), vowel()
	for _, tc := range []struct {
		network string
		above   float64 // R
	}{{"vpn-far", 5}, {"roams", -2}, {"waves", 0}, {"ptime60-stalls", 0}} {
		n := networks[slices.IndexFunc(networks, func(n Network) bool { return n.Name == tc.network })]
		const seeds = 2
		var ours, best float64
		for seed := range uint64(seeds) {
			trace := n.Trace(seed, 3*time.Minute)
			ours += Replay(trace, jitter.Default(), speech, false).Score().R / seeds
			best += BestFixed(trace).R / seeds
		}
		if ours < best+tc.above {
			t.Errorf("%s: R %.2f; the best constant delay has %.2f", tc.network, ours, best)
		}
	}
}
