package rtcp

import (
	"cmp"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	pion "github.com/pion/rtcp"

	"parklamp/media/quality"
	"parklamp/media/timeline"
)

var update = flag.Bool("update", false, "rewrite the transcripts")

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// end is one side of a simulated call: a steady sender, a receiver and a reporter.
type end struct {
	name     string
	ssrc     uint32
	sending  bool
	packets  uint64
	r        *Reporter
	in       Reception
	playout  Playout
	datagram int // octets of RTCP
}

func newEnd(name string, ssrc uint32) *end {
	return &end{name: name, ssrc: ssrc, sending: true, r: NewReporter("cname-of-"+name, epoch, 0, rand.New(rand.NewPCG(uint64(ssrc), 5))),
		playout: Playout{Delay: 30 * time.Millisecond, Longest: 400 * time.Millisecond}}
}

func (e *end) out(now time.Duration) Sending {
	return Sending{SSRC: e.ssrc, First: 65000, Packets: e.packets, Octets: 160 * e.packets, TS: uint32(now / timeline.Tick)}
}

// call is two ends with a network of constant delay between them.
type call struct {
	a, b  *end
	delay time.Duration
	drop  func(from *end, n uint64) bool
	log   strings.Builder
	queue []flight
}

type flight struct {
	at   time.Duration
	to   *end
	data []byte
}

func (c *call) run(from, to time.Duration) {
	for now := from; now < to; now += 5 * time.Millisecond {
		for len(c.queue) > 0 && c.queue[0].at <= now {
			f := c.queue[0]
			c.queue = c.queue[1:]
			if err := f.to.r.Take(f.data, now, f.to.out(now), func(uint32) bool { return true }); err != nil {
				fmt.Fprintf(&c.log, "%9.3f  %s refuses: %v\n", now.Seconds(), f.to.name, err)
			}
		}
		for _, e := range []*end{c.a, c.b} {
			peer := c.b
			if e == c.b {
				peer = c.a
			}
			if now%frame == 0 && e.sending {
				if c.drop == nil || !c.drop(e, e.packets) {
					peer.in.Take(&Packet{SSRC: e.ssrc, Seq: uint16(65000 + e.packets), TS: uint32(now / timeline.Tick), At: now + c.delay, Timed: true})
				}
				e.packets++
			}
			if now >= e.r.Due() {
				in, known := e.in.Received()
				c.send(now, e, peer, e.r.Report(now, e.out(now), in, known, e.playout))
			}
		}
	}
}

func (c *call) bye(now time.Duration, e, peer *end) {
	in, known := e.in.Received()
	c.send(now, e, peer, e.r.Bye(now, e.out(now), in, known, e.playout))
}

func (c *call) send(now time.Duration, e, peer *end, b []byte) {
	if b == nil {
		return
	}
	e.datagram += len(b) + overhead
	fmt.Fprintf(&c.log, "%9.3f  %s  %s\n", now.Seconds(), e.name, tell(b))
	c.queue = append(c.queue, flight{now + c.delay, peer, append([]byte(nil), b...)})
}

// tell writes a compound in one line.
func tell(b []byte) string {
	all, err := pion.Unmarshal(b)
	if err != nil {
		return err.Error()
	}
	var words []string
	blocks := func(rs []pion.ReceptionReport) {
		for _, r := range rs {
			words = append(words, fmt.Sprintf("block(of %d: %d/256, lost %d, highest %d, jitter %d, LSR %08x, DLSR %d)", r.SSRC, r.FractionLost, r.TotalLost,
				r.LastSequenceNumber, r.Jitter, r.LastSenderReport, r.Delay))
		}
	}
	for _, p := range all {
		switch p := p.(type) {
		case *pion.SenderReport:
			words = append(words, fmt.Sprintf("SR(%d: NTP %016x, RTP %d, packets %d, octets %d)", p.SSRC, p.NTPTime, p.RTPTime, p.PacketCount, p.OctetCount))
			blocks(p.Reports)
		case *pion.ReceiverReport:
			words = append(words, fmt.Sprintf("RR(%d)", p.SSRC))
			blocks(p.Reports)
		case *pion.SourceDescription:
			words = append(words, fmt.Sprintf("SDES(%d: %s)", p.Chunks[0].Source, p.Chunks[0].Items[0].Text))
		case *pion.Goodbye:
			words = append(words, fmt.Sprintf("BYE%v", p.Sources))
		case *pion.ExtendedReport:
			for _, x := range p.Reports {
				switch x := x.(type) {
				case *pion.ReceiverReferenceTimeReportBlock:
					words = append(words, fmt.Sprintf("RRTR(%016x)", x.NTPTimestamp))
				case *pion.DLRRReportBlock:
					words = append(words, fmt.Sprintf("DLRR%v", x.Reports))
				case *pion.VoIPMetricsReportBlock:
					words = append(words, fmt.Sprintf("VoIP(of %d: loss %d, discard %d, bursts %d/256 %d ms, gaps %d/256 %d ms, trip %d, system %d, levels %d %d %d, Gmin %d, R %d %d, MOS %d %d, config %02x, buffer %d %d %d)",
						x.SSRC, x.LossRate, x.DiscardRate, x.BurstDensity, x.BurstDuration, x.GapDensity, x.GapDuration, x.RoundTripDelay, x.EndSystemDelay,
						x.SignalLevel, x.NoiseLevel, x.RERL, x.Gmin, x.RFactor, x.ExtRFactor, x.MOSLQ, x.MOSCQ, x.RXConfig, x.JBNominal, x.JBMaximum, x.JBAbsMax))
				}
			}
		}
	}
	return strings.Join(words, " ")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at it and run with -update. Got:\n%s", path, got)
	}
}

// TestCallTranscript is a call with loss one way, a hold and its end, each datagram in words.
func TestCallTranscript(t *testing.T) {
	c := &call{a: newEnd("a", 1001), b: newEnd("b", 2002), delay: 30 * time.Millisecond}
	c.drop = func(from *end, n uint64) bool { return from == c.a && n%10 == 9 }
	c.a.r.Extend()
	c.run(0, 12*time.Second)
	fmt.Fprintln(&c.log, "a is put on hold: it sends nothing, b goes on")
	c.a.sending = false
	c.run(12*time.Second, 30*time.Second)
	fmt.Fprintln(&c.log, "and off")
	c.a.sending = true
	c.run(30*time.Second, 36*time.Second)
	c.a.sending = false // so that a report of b counts everything
	c.run(36*time.Second, 43*time.Second)
	c.bye(43*time.Second, c.a, c.b)
	c.b.sending = false
	c.run(43*time.Second, 43100*time.Millisecond)
	golden(t, "call.txt", c.log.String())

	in, _ := c.b.in.Received()
	if got := c.a.r.Learnt(); !got.Reported || got.Lost != int64(in.Lost) || got.Expected != in.Packets || got.RoundTrip.Round(time.Millisecond) != 60*time.Millisecond || got.Name != "cname-of-b" {
		t.Errorf("a has learnt %+v, b has received %+v", got, in)
	}
	if got := c.b.r.Learnt(); !got.Bye || got.Lost != 0 || !got.Extended.Known || got.Extended.R < 80 || got.RoundTrip.Round(time.Millisecond) != 60*time.Millisecond {
		t.Errorf("b has learnt %+v", got)
	}
	q := c.a.r.Call(Received{}, false, c.a.playout)
	if q.In.Known || !q.Out.Known || q.Out.LossRate() < 0.098 || q.Out.LossRate() > 0.101 || q.Out.R > 70 || q.Out.MOS > 3.6 {
		t.Errorf("quality at a: %+v", q)
	}
}

// TestDelayIsThatOfEachDirection: both ends of a call tell the same delays, each direction that of the buffer at its ear, and
// the mean of both is what RFC 3611 §4.7.3 reckons from what both tell.
func TestDelayIsThatOfEachDirection(t *testing.T) {
	c := &call{a: newEnd("a", 1), b: newEnd("b", 2), delay: 25 * time.Millisecond}
	c.b.playout.Delay = 90 * time.Millisecond
	c.a.r.Extend()
	c.b.r.Extend()
	c.run(0, 20*time.Second)
	rate := func(e *end) quality.Call {
		in, known := e.in.Received()
		return e.r.Call(in, known, e.playout)
	}
	a, b := rate(c.a), rate(c.b)
	for _, d := range []struct {
		what string
		got  time.Duration
		want time.Duration
	}{
		{"a hears", a.In.Delay, 25 + 30 + 28}, {"a tells that b hears", a.Out.Delay, 25 + 90 + 28},
		{"b hears", b.In.Delay, 25 + 90 + 28}, {"b tells that a hears", b.Out.Delay, 25 + 30 + 28},
	} {
		if d.want *= time.Millisecond; (d.got - d.want).Abs() > time.Millisecond {
			t.Errorf("%s it after %s, want %s", d.what, d.got, d.want)
		}
	}
	// endSystem of both, as in RFC 3611 §4.7.3.
	if got, want := (a.In.Delay+a.Out.Delay)/2, (50+30+28+90+28)*time.Millisecond/2; (got - want).Abs() > time.Millisecond {
		t.Errorf("the mean is %s, want %s", got, want)
	}
}

// TestFarEndThatTellsLess: what an extended report leaves out is assumed.
func TestFarEndThatTellsLess(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name           string
		told           Metrics
		buffer, stages time.Duration
	}{
		{"no report", Metrics{}, 40 * ms, 28 * ms},
		{"all", Metrics{Known: true, EndSystem: 110 * ms, BufferNominal: 70 * ms}, 70 * ms, 40 * ms},
		{"no end system", Metrics{Known: true, BufferNominal: 70 * ms}, 70 * ms, 28 * ms},
		{"no buffer", Metrics{Known: true, EndSystem: 110 * ms}, 40 * ms, 70 * ms},
		{"an end system shorter than the buffer", Metrics{Known: true, EndSystem: 20 * ms, BufferNominal: 70 * ms}, 20 * ms, 0},
	} {
		r := Reporter{learnt: Learnt{Extended: c.told, RoundTrip: 50 * ms}}
		if buffer, stages := r.farEnd(); buffer != c.buffer || stages != c.stages {
			t.Errorf("%s: a buffer of %s and %s besides, want %s and %s", c.name, buffer, stages, c.buffer, c.stages)
		}
	}
}

// TestBurstsLastAsLongAsTheirPackets: how long bursts and gaps are told to last goes by the packets of the far end.
func TestBurstsLastAsLongAsTheirPackets(t *testing.T) {
	for _, lasts := range []time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond} {
		var heard Reception
		for n := range 200 {
			if n < 100 || n >= 110 {
				heard.Take(&Packet{SSRC: 7, Seq: uint16(n), TS: uint32(n * 160), Lasts: lasts})
			}
		}
		heard.Take(&Packet{SSRC: 7, Seq: 200}) // of comfort noise, say
		in, _ := heard.Received()
		v := newEnd("a", 1).r.voip(in, Playout{})
		each := cmp.Or(lasts, 20*time.Millisecond)
		if want := uint16(10 * each / time.Millisecond); v.BurstDuration != want || v.GapDuration < 7*want || v.GapDuration > 10*want {
			t.Errorf("packets of %s: bursts of %d ms and gaps of %d ms, want bursts of %d ms", lasts, v.BurstDuration, v.GapDuration, want)
		}
	}
}

// TestReceiverMeasuresToo: who sends nothing knows the round trip from extended reports.
func TestReceiverMeasuresToo(t *testing.T) {
	c := &call{a: newEnd("a", 1), b: newEnd("b", 2), delay: 100 * time.Millisecond}
	c.a.sending = false
	c.a.r.Extend()
	c.run(0, 30*time.Second)
	if got := c.a.r.Learnt().RoundTrip.Round(time.Millisecond); got != 200*time.Millisecond {
		t.Errorf("round trip of the receiver: %s", got)
	}
}

// TestShareOfTheBandwidth: an hour of a call, with the largest reports there are, stays below 5 % for both together, and
// the intervals are those of RFC 3550 §6.3.
func TestShareOfTheBandwidth(t *testing.T) {
	c := &call{a: newEnd("a", 1), b: newEnd("b", 2), delay: 10 * time.Millisecond}
	c.a.r.Extend()
	const length = time.Hour
	c.run(0, length)
	octets := c.a.datagram + c.b.datagram
	if limit := int(length.Seconds()) * sessionBandwidth / 8 * 5 / 100; octets > limit || octets == 0 {
		t.Errorf("%d octets of RTCP, 5 %% are %d", octets, limit)
	}
	n := c.a.r.Learnt().Taken
	mean := length / time.Duration(n)
	if mean < leastInterval*8/10 || mean > leastInterval*12/10 {
		t.Errorf("a report each %s, want about %s", mean, leastInterval)
	}
}

// TestIntervals: each is 0.5 to 1.5 times the deterministic one, less the compensation, and the first half as long.
func TestIntervals(t *testing.T) {
	for seed := range uint64(200) {
		r := NewReporter("x", epoch, 0, rand.New(rand.NewPCG(seed, 1)))
		low, high := leastInterval*100000/compensation/2, leastInterval*3/2*100000/compensation
		if at := r.Due(); at < low/2 || at > high/2 {
			t.Fatalf("first report at %s", at)
		}
		last := time.Duration(-1)
		for now := time.Duration(0); now < time.Minute; now += 10 * time.Millisecond {
			if r.Report(now, Sending{SSRC: 1}, Received{}, false, Playout{}) == nil {
				continue
			}
			if gap := now - last; last >= 0 && (gap < low || gap > high+10*time.Millisecond) {
				t.Fatalf("seed %d: %s between two reports", seed, gap)
			}
			last = now
		}
	}
	// A compound near the limit of a datagram makes reports rarer.
	i := newInterval(rand.New(rand.NewPCG(1, 1)), 0)
	i.initial = false
	for range 100 {
		i.took(0, MaxSize)
	}
	if got := i.deterministic(0); got < 6*time.Second {
		t.Errorf("compounds of %d octets every %s", MaxSize, got)
	}
}

// TestForgedRoundTrip: an answer to a report that was never made, or a kept time that cannot be, measures nothing.
func TestForgedRoundTrip(t *testing.T) {
	r := NewReporter("x", epoch, 0, rand.New(rand.NewPCG(1, 1)))
	out := Sending{SSRC: 1, Packets: 500, First: 0}
	now := 5 * time.Second
	if r.Report(now, out, Received{}, false, Playout{}) == nil {
		t.Fatal("no report")
	}
	sent := middle(r.ntp(now))
	for _, c := range []struct {
		name       string
		last, kept uint32
		want       time.Duration
	}{
		{"none", 0, 0, 0}, {"never sent", sent + 1, 0, 0}, {"kept for longer than it is known", sent, 3 << 16, 0},
		{"right", sent, 1 << 16, time.Second},
	} {
		b, err := pion.Marshal([]pion.Packet{&pion.ReceiverReport{SSRC: 2, Reports: []pion.ReceptionReport{{SSRC: 1, LastSenderReport: c.last, Delay: c.kept}}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Take(b, now+2*time.Second, out, func(uint32) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if got := r.Learnt().RoundTrip.Round(time.Millisecond); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestWhoReportsChanges: after a transfer somebody else counts anew; what was lost before is kept.
func TestWhoReportsChanges(t *testing.T) {
	r := NewReporter("x", epoch, 0, rand.New(rand.NewPCG(1, 1)))
	tell := func(ssrc uint32, lost uint32, highest uint32, sent uint64) Learnt {
		b, err := pion.Marshal([]pion.Packet{&pion.ReceiverReport{SSRC: ssrc, Reports: []pion.ReceptionReport{{SSRC: 1, TotalLost: lost, LastSequenceNumber: highest}}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Take(b, time.Second, Sending{SSRC: 1, First: 65500, Packets: sent}, func(uint32) bool { return true }); err != nil {
			t.Fatal(err)
		}
		return r.Learnt()
	}
	if l := tell(2, 5, 65500+99, 100); l.Lost != 5 || l.Expected != 100 {
		t.Errorf("first: %d of %d", l.Lost, l.Expected)
	}
	if l := tell(3, 0, 263, 303); l.Lost != 5 || l.Expected != 300 { // 65500+299 without the cycle that it has not seen
		t.Errorf("second: %d of %d", l.Lost, l.Expected)
	}
	if l := tell(3, 0xffffff, 363, 400); l.Lost != 4 { // -1: duplicates
		t.Errorf("duplicates: %d", l.Lost)
	}
}

func TestIllFormed(t *testing.T) {
	own := Sending{SSRC: 1}
	for _, c := range []struct {
		name, datagram string
		err            error
	}{
		{"empty", "", ErrCompound},
		{"a receiver report", "80c90001 00000002", nil},
		{"and text after it", "80c90001 00000002 6869", ErrCompound},
		{"version 1", "40c90001 00000002", ErrCompound},
		{"BYE alone", "81cb0001 00000002", ErrCompound},
		{"BYE behind a report", "80c90001 00000002 81cb0001 00000002", nil},
		{"a block that is not there", "81c90001 00000002", ErrCompound},
		{"longer than the datagram", "80c90002 00000002", ErrCompound},
		{"padding in the first", "a0c90002 00000002 00000004", ErrCompound},
		{"padding in the last", "80c90001 00000002 a1cb0002 00000002 00000004", nil},
		{"padding in between", "80c90001 00000002 a1cb0002 00000002 00000004 81cb0001 00000002", ErrCompound},
		{"padding of 0", "80c90001 00000002 a1cb0002 00000002 00000000", ErrCompound},
		{"SDES without an end", "80c90001 00000002 81ca0002 00000002 01026869", ErrCompound},
		{"a type that nobody knows", "80c90001 00000002 80d20001 00000002", nil},
		{"an extended report with a cut block", "80c90001 00000002 80cf0002 00000002 07000008", ErrCompound},
		{"an extended report with an unknown block", "80c90001 00000002 80cf0003 00000002 63000001 00000000", nil},
		{"our own", "80c90001 00000001", ErrOwn},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(c.datagram, " ", ""))
		if err != nil {
			t.Fatal(c.name, err)
		}
		r := NewReporter("x", epoch, 0, rand.New(rand.NewPCG(1, 1)))
		err = r.Take(b, 0, own, func(uint32) bool { return true })
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if l := r.Learnt(); l.Refused+l.Taken != 1 || (l.Refused == 1) != (c.err != nil) {
			t.Errorf("%s: counted %d taken and %d refused", c.name, l.Taken, l.Refused)
		}
	}
}

// TestFlood: what comes faster than anybody reports is not even looked at.
func TestFlood(t *testing.T) {
	r := NewReporter("x", epoch, 0, rand.New(rand.NewPCG(1, 1)))
	rr := []byte{0x80, 0xc9, 0, 1, 0, 0, 0, 2}
	for n := range 1000 {
		err := r.Take(rr, time.Duration(n)*time.Millisecond, Sending{SSRC: 1}, func(uint32) bool { return true })
		if n == 999 && !errors.Is(err, ErrFlood) {
			t.Errorf("the last: %v", err)
		}
	}
	if l := r.Learnt(); l.Taken > 2*intake || l.Refused < 900 {
		t.Errorf("%d of 1000 taken", l.Taken)
	}
}

func TestRoute(t *testing.T) {
	at := netip.MustParseAddrPort
	const ours, theirs = 1, 2
	for _, c := range []struct {
		name      string
		signalled string
		muxed     bool
		rtp       string
		from      string
		sender    uint32
		ok        bool
		target    string // "" for nowhere
	}{
		{"signalled", "192.0.2.1:4001", false, "192.0.2.1:4000", "192.0.2.1:4001", theirs, true, "192.0.2.1:4001"},
		{"signalled, not sending audio", "192.0.2.1:4001", false, "192.0.2.1:4000", "192.0.2.1:4001", 9, true, "192.0.2.1:4001"},
		{"another port of the host that knows the stream", "192.0.2.1:4001", false, "192.0.2.1:4000", "192.0.2.1:7777", theirs, true, "192.0.2.1:7777"},
		{"another port of the host that does not", "192.0.2.1:4001", false, "192.0.2.1:4000", "192.0.2.1:7777", 9, false, "192.0.2.1:4001"},
		{"a stranger", "192.0.2.1:4001", false, "192.0.2.1:4000", "198.51.100.7:4001", theirs, false, "192.0.2.1:4001"},
		{"audio from behind a NAT, no report yet", "10.0.0.1:4001", false, "192.0.2.1:4000", "198.51.100.7:4001", theirs, false, ""},
		{"audio from behind a NAT, a report from there", "10.0.0.1:4001", false, "192.0.2.1:4000", "192.0.2.1:6001", theirs, true, "192.0.2.1:6001"},
		{"one port", "192.0.2.1:4000", true, "192.0.2.1:4000", "192.0.2.1:4000", theirs, true, "192.0.2.1:4000"},
		{"one port, from behind a NAT", "10.0.0.1:4000", true, "192.0.2.1:5555", "192.0.2.1:5555", theirs, true, "192.0.2.1:5555"},
		{"one port, somebody else on the host", "192.0.2.1:4000", true, "192.0.2.1:4000", "192.0.2.1:4001", theirs, false, "192.0.2.1:4000"},
		{"nothing signalled", "0.0.0.0:0", false, "0.0.0.0:0", "192.0.2.1:4001", theirs, false, ""},
	} {
		var r Route
		r.Signal(at(c.signalled), c.muxed)
		if ok := r.Admit(at(c.from), at(c.rtp), c.sender, theirs, true); ok != c.ok {
			t.Errorf("%s: admitted %v", c.name, ok)
		}
		r.Signal(at(c.signalled), c.muxed) // as a re-INVITE repeats it
		to, ok := r.Target(at(c.rtp))
		if want := c.target; ok != (want != "") || ok && to != at(want) {
			t.Errorf("%s: reports go to %s (%v), want %q", c.name, to, ok, want)
		}
	}
	var r Route
	r.Signal(at("192.0.2.1:4001"), false)
	r.Admit(at("192.0.2.1:7777"), at("192.0.2.1:4000"), theirs, theirs, true)
	if to, ok := r.Target(at("192.0.2.9:4000")); ok {
		t.Errorf("audio went to another host, reports still go to %s", to)
	}
}

func TestNamesAreRandom(t *testing.T) {
	a, b := NewName(), NewName()
	if a == b || len(a) != 16 {
		t.Errorf("%q, %q", a, b)
	}
}

// FuzzTake: no datagram breaks anything, refused ones change nothing, and what we make afterwards can be read.
func FuzzTake(f *testing.F) {
	for _, seed := range []string{
		"80c9000100000002", "80c900010000000281cb000100000002",
		"81c8000c000000020102030405060708000000640000000a000006400000000100000000000000ff000000100000000000000000",
		"80c900010000000281ca0004000000020108616263646566676800",
		"80c900010000000280cf000b000000020700000800000001000000000000000000000000000000007f7f7f105d7f2c2af000001e005a0190",
		"80c900010000000280cf00080000000204000002010203040506070805000003000000010000000200000003",
	} {
		b, _ := hex.DecodeString(seed)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReporter("x", epoch, 0, rand.New(rand.NewPCG(1, 1)))
		before := *r
		err := r.Take(b, time.Second, Sending{SSRC: 1, Packets: 10}, func(uint32) bool { return true })
		if err != nil {
			if r.learnt.Taken != 0 || r.learnt.Reported || r.extended != before.extended || r.timing.heard != before.timing.heard {
				t.Fatalf("refused (%v), yet %+v", err, r.learnt)
			}
		}
		out := r.Bye(time.Second, Sending{SSRC: 1, Packets: 10}, Received{SSRC: 2, Expected: 10, Arrived: 9, Packets: 10}, true, Playout{})
		if len(out) == 0 || len(out) > MaxSize || len(out)%4 != 0 {
			t.Fatalf("%d octets", len(out))
		}
		if _, err := parse(out); err != nil {
			t.Fatal(err)
		}
		q := r.Call(Received{}, false, Playout{})
		if q.Out.R < 0 || q.Out.R > 100 || q.Out.MOS > 5 || q.Out.Lost > 1<<24 {
			t.Fatalf("%+v", q.Out)
		}
	})
}

func BenchmarkReport(b *testing.B) {
	r := NewReporter("x", epoch, 0, rand.New(rand.NewPCG(1, 1)))
	r.Extend()
	b.ReportAllocs()
	for n := range b.N {
		r.compound(time.Duration(n)*time.Second, Sending{SSRC: 1, Packets: uint64(n)}, Received{SSRC: 2, Expected: uint64(n), Arrived: uint64(n)}, true, Playout{}, false)
	}
}
