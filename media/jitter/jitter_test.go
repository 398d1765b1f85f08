package jitter

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"parklamp/media/timeline"
)

const ms = time.Millisecond

// line sends numbered packets through a buffer and plays them in ticks of 20 ms.
type line struct {
	b       *Buffer
	now     time.Duration
	ahead   time.Duration // played beyond now
	pending []arrival
	played  []uint16
	kinds   map[Kind]int
	delays  []time.Duration // of played packets, from sending
}

type arrival struct {
	at time.Duration
	p  Packet
}

func newLine() *line { return &line{b: New(Default()), kinds: map[Kind]int{}} }

// send makes packet n, sent at n·20 ms, arrive delay later.
func (l *line) send(n int, delay time.Duration) {
	l.pending = append(l.pending, arrival{time.Duration(n)*20*ms + delay, Packet{
		SSRC: 1, Seq: uint16(n + 65000), TS: uint32(n*160) + 0xffff0000, Samples: 160, Payload: []byte{byte(n)},
	}})
}

// run plays until a time.
func (l *line) run(until time.Duration) {
	slices.SortStableFunc(l.pending, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	for l.now < until {
		l.now += 20 * ms
		for len(l.pending) > 0 && l.pending[0].at <= l.now {
			l.b.Put(&l.pending[0].p, l.pending[0].at)
			l.pending = l.pending[1:]
		}
		for l.ahead < 20*ms {
			l.get()
		}
		l.ahead -= 20 * ms
	}
}

// get plays a piece, stretched as the buffer wishes.
func (l *line) get() {
	at := l.now + l.ahead
	out := l.b.Get(Ask{At: at, Ahead: l.ahead, Need: int((20*ms - l.ahead) / tick)})
	l.ahead += time.Duration(out.Samples+out.Stretch) * tick
	l.kinds[out.Kind]++
	if out.Kind == Play {
		n := out.Seq - 65000
		l.played = append(l.played, n)
		l.delays = append(l.delays, at-time.Duration(n)*20*ms)
	}
}

func (l *line) missing(t *testing.T, n int) (missing int) {
	t.Helper()
	seen := map[uint16]bool{}
	last := -1
	for _, p := range l.played {
		if seen[p] || int(p) <= last {
			t.Fatalf("packet %d played after %d", p, last)
		}
		seen[p], last = true, int(p)
	}
	return n - len(seen)
}

func TestEvenNetwork(t *testing.T) {
	l := newLine()
	for n := range 1000 {
		l.send(n, 7*ms)
	}
	l.run(19900 * ms)
	if m := l.missing(t, 1000); m > 7 {
		t.Errorf("%d packets were not played", m)
	}
	if d := l.delays[len(l.delays)-1]; d > 40*ms {
		t.Errorf("delay on an even network is %s, want the packet's own 7 ms and at most a tick and a half", d)
	}
	if l.kinds[Conceal] > 0 {
		t.Errorf("%d frames concealed", l.kinds[Conceal])
	}
}

func TestJitterIsLearnt(t *testing.T) {
	l := newLine()
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 3000 {
		l.send(n, 10*ms+time.Duration(r.IntN(60))*ms)
	}
	l.run(59 * time.Second)
	if m := l.missing(t, 3000); m > 60 {
		t.Errorf("%d of 3000 packets were not played", m)
	}
	late := l.b.Stats().Late
	l.run(61 * time.Second)
	if d := l.b.Stats().Delay; d < 30*ms || d > 110*ms {
		t.Errorf("delay is %s at 60 ms of jitter", d)
	}
	t.Logf("%d late, %d concealed, delay %s", late, l.kinds[Conceal], l.b.Stats().Delay)
}

func TestLossIsConcealedInPlace(t *testing.T) {
	l := newLine()
	lost := 0
	for n := range 1000 {
		if n%25 == 24 {
			lost++
			continue
		}
		l.send(n, 5*ms)
	}
	l.run(20 * time.Second)
	if m := l.missing(t, 1000); m > lost+2 {
		t.Errorf("%d packets missing, %d were lost", m, lost)
	}
	if c := l.kinds[Conceal]; c < lost-3 || c > lost+5 {
		t.Errorf("%d frames concealed for %d lost", c, lost)
	}
}

func TestReorderedAndDuplicate(t *testing.T) {
	l := newLine()
	for n := range 1000 {
		d := 5 * ms
		if n%20 == 10 {
			d = 27 * ms
		}
		l.send(n, d)
		if n%10 == 3 {
			l.send(n, d+ms)
		}
	}
	l.run(20500 * ms)
	st := l.b.Stats()
	if st.Duplicates != 100 || st.Reordered+st.Late < 45 {
		t.Errorf("duplicates %d reordered %d late %d", st.Duplicates, st.Reordered, st.Late)
	}
	if m := l.missing(t, 1000); m > 15 {
		t.Errorf("%d packets missing of a reordering network", m)
	}
}

// TestLateCopies: a copy that comes much later than the packet, or than it could be told for one, changes nothing.
func TestLateCopies(t *testing.T) {
	for _, late := range []time.Duration{20 * ms, 120 * ms, 250 * ms, 1270 * ms, 1500 * ms} {
		with, without := newLine(), newLine()
		r := rand.New(rand.NewPCG(5, 6))
		copies := 0
		for n := range 3000 {
			d := time.Duration(r.ExpFloat64() * 3e6)
			with.send(n, d)
			without.send(n, d)
			if r.IntN(20) == 0 {
				with.send(n, d+late+time.Duration(r.IntN(10))*ms)
				copies++
			}
		}
		with.run(59 * time.Second)
		without.run(59 * time.Second)
		a, b := with.b.Stats(), without.b.Stats()
		if a.Target != b.Target || a.Delay != b.Delay || !slices.Equal(with.delays, without.delays) {
			t.Errorf("%d copies %s late: target %s, delay %s; without them %s, %s", copies, late, a.Target, a.Delay, b.Target, b.Delay)
		}
	}
}

// TestOutageEndsWithoutADebt: after half a second in which packets were kept back, the delay is soon what it was.
func TestOutageEndsWithoutADebt(t *testing.T) {
	l := newLine()
	for n := range 1500 {
		d := 5 * ms
		if n >= 500 && n < 520 {
			d = time.Duration(520-n)*20*ms + 5*ms
		}
		l.send(n, d)
	}
	l.run(11 * time.Second)
	if d := l.b.Stats().Delay; d > 150*ms {
		t.Errorf("delay half a second after the outage is %s", d)
	}
	l.run(30 * time.Second)
	if d := l.b.Stats().Delay; d > 100*ms {
		t.Errorf("delay at the end is %s", d)
	}
}

func TestRouteStep(t *testing.T) {
	l := newLine()
	for n := range 3000 {
		d := 20 * ms
		if n > 1000 && n < 2000 {
			d = 90 * ms
		}
		l.send(n, d)
	}
	l.run(60 * time.Second)
	if m := l.missing(t, 3000); m > 20 {
		t.Errorf("%d packets missing at two route changes", m)
	}
	if n := l.b.Stats().RouteChanges; n != 2 {
		t.Errorf("%d route changes counted, want 2", n)
	}
	if d := l.delays[len(l.delays)-1]; d > 80*ms {
		t.Errorf("20 s after the delay of the network fell to 20 ms, packets are played after %s", d)
	}
}

func TestClockSkew(t *testing.T) {
	for _, ppm := range []float64{300, -300} {
		l := newLine()
		for n := range 6000 {
			l.send(n, 10*ms+time.Duration(float64(n)*20e6*ppm*1e-6))
		}
		l.run(120 * time.Second)
		if m := l.missing(t, 6000); m > 10 {
			t.Errorf("%g ppm: %d packets missing in two minutes", ppm, m)
		}
		if d := l.b.Stats().Delay; d > 60*ms {
			t.Errorf("%g ppm: delay ends at %s", ppm, d)
		}
		if got := l.b.Stats().SkewPPM; got < ppm-20 || got > ppm+20 {
			t.Errorf("%g ppm are taken for %.0f", ppm, got)
		}
	}
}

// TestPauseIsSilenceNotLoss: a sender with silence suppression leaves timestamps out, not sequence numbers.
func TestPauseIsSilenceNotLoss(t *testing.T) {
	b := New(Default())
	var kinds [4]int
	seq, now := uint16(0), time.Duration(0)
	for spurt := range 20 {
		for k := range 100 {
			p := Packet{SSRC: 9, Seq: seq, TS: uint32(spurt*100+k) * 160, Samples: 160, Payload: []byte{1}}
			switch {
			case k < 50:
			case k == 50:
				p.Comfort, p.Samples = true, 0
			default:
				p.SSRC = 0
			}
			now += 20 * ms
			if p.SSRC != 0 {
				seq++
				b.Put(&p, now-3*ms)
			}
			kinds[b.Get(Ask{At: now}).Kind]++
		}
	}
	if kinds[Play] < 995 || kinds[Comfort] < 19 || kinds[Conceal] > 2 {
		t.Errorf("played %d of 1000, comfort %d of 20, concealed %d", kinds[Play], kinds[Comfort], kinds[Conceal])
	}
}

func TestNewStream(t *testing.T) {
	for _, tc := range []struct {
		name         string
		change       func(p *Packet)
		first, later Verdict
	}{
		{"another SSRC", func(p *Packet) { p.SSRC, p.Seq, p.TS = 2, p.Seq+777, p.TS+888 }, Jumped, NewSource},
		{"another sequence", func(p *Packet) { p.Seq, p.TS = p.Seq+30000, p.TS+5e6 }, Jumped, Restarted},
		{"another clock under the same numbers", func(p *Packet) { p.TS -= 5e6 }, Spliced, Accepted},
		{"a clock that leaps ahead", func(p *Packet) { p.TS += 5e6 }, Spliced, Accepted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := New(Default())
			now, played := time.Duration(0), map[byte]bool{}
			for n := range 400 {
				p := Packet{SSRC: 1, Seq: uint16(n), TS: uint32(n * 160), Samples: 160, Payload: []byte{byte(n)}}
				if n >= 200 {
					tc.change(&p)
				}
				now += 20 * ms
				v := b.Put(&p, now)
				if n == 200 && v != tc.first || n == 201 && v != tc.later {
					t.Errorf("verdict of packet %d is %s, want %s, then %s", n, v, tc.first, tc.later)
				}
				if out := b.Get(Ask{At: now}); out.Kind == Play && n >= 200 {
					played[out.Payload[0]] = true
				}
			}
			if !played[200] || len(played) < 195 {
				t.Errorf("played %d of 200, the first one %v", len(played), played[200])
			}
		})
	}
}

// TestStrayPacket: what does not go on beside the stream leaves it alone (RFC 3550 appendix A.1).
func TestStrayPacket(t *testing.T) {
	for name, stray := range map[string]func(p *Packet, n int){
		"of another SSRC":          func(p *Packet, n int) { p.SSRC, p.Seq = 2, uint16(n) },
		"of another SSRC, in line": func(p *Packet, n int) { p.SSRC, p.Seq = 2, uint16(n/5) },
		"of another sequence":      func(p *Packet, n int) { p.Seq += 20000 },
	} {
		l := newLine()
		for n := range 500 {
			l.send(n, 5*ms)
			if p := l.pending[len(l.pending)-1]; n%5 == 4 {
				stray(&p.p, n)
				l.pending = append(l.pending, p)
			}
		}
		l.run(9900 * ms)
		if m := l.missing(t, 500); m > 7 || l.kinds[Conceal] > 0 {
			t.Errorf("a packet %s now and then: %d of 500 were not played, %d concealed", name, m, l.kinds[Conceal])
		}
	}
}

// TestTwoStreamsAtOnce: of two that go on side by side one is played, and the other one once that has ended.
func TestTwoStreamsAtOnce(t *testing.T) {
	l := newLine()
	r := rand.New(rand.NewPCG(3, 4))
	var other []arrival
	for n := range 1000 {
		l.send(n, 10*ms+time.Duration(r.IntN(30))*ms)
		if n >= 100 && n < 600 {
			p := l.pending[len(l.pending)-1]
			p.p.SSRC, p.p.Seq, p.at = 2, uint16(n), time.Duration(n)*20*ms+time.Duration(r.IntN(30))*ms
			other = append(other, p)
		}
	}
	l.pending = append(l.pending, other...)
	l.run(19900 * ms)
	if st := l.b.Stats(); st.NewSources > 2 || st.Played < 950 {
		t.Errorf("%d times another stream, %d of 1000 packets played", st.NewSources, st.Played)
	}
}

// TestNumbersBeginAnew: a gateway that was answered begins at its first number and timestamp again, under the same SSRC.
func TestNumbersBeginAnew(t *testing.T) {
	for _, size := range []int{160, 240} {
		for _, before := range []int{10, 40, 64, 99, 100, 101, 200, 400, 499, 600} {
			b := New(Default())
			length := time.Duration(size) * tick
			var last, gap, due time.Duration
			for n := range 2*before + 50 {
				now := time.Duration(n) * length
				k := n
				if n >= before {
					k = n - before
				}
				p := Packet{SSRC: 1, Seq: uint16(k), TS: uint32(k * size), Samples: size, Payload: make([]byte, size)}
				b.Put(&p, now)
				for ; due < now+length; due += 20 * ms {
					gap = max(gap, due-last)
					if b.Get(Ask{At: due}).Kind == Play {
						last = due
					}
				}
			}
			if most := (timeline.Anew + 2) * length; gap > most {
				t.Errorf("%d ticks, after %d packets: nothing was played for %s, want at most %s", size, before, gap, most)
			}
		}
	}
}

// TestHeldUpIsNotAnew: packets that were held up come in a row, late and beside newer ones.
func TestHeldUpIsNotAnew(t *testing.T) {
	for _, every := range []time.Duration{0, ms, 20 * ms} {
		l := newLine()
		for n := range 500 {
			d := 5 * ms
			if n >= 200 && n < 220 {
				d = time.Duration(240-n)*20*ms + time.Duration(n-200)*every
			}
			l.send(n, d)
		}
		l.run(11 * time.Second)
		if st := l.b.Stats(); st.Restarts > 0 {
			t.Errorf("20 packets that came %s after each other began another stream", every)
		}
		if m := l.missing(t, 500); m > 25 {
			t.Errorf("20 packets that came %s after each other: %d not played", every, m)
		}
	}
}

// TestOvertakenAtASplice: the last packet of the old clock comes after the first of the new one. It is of no use any more,
// and says nothing of the delay.
func TestOvertakenAtASplice(t *testing.T) {
	for _, jump := range []time.Duration{-20 * time.Minute, -2 * time.Second, -200 * ms, 2 * time.Second, 20 * time.Minute} {
		for depth := 1; depth <= 3; depth++ {
			l := newLine()
			for n := range 500 {
				l.send(n, 5*ms)
				p := &l.pending[n]
				if n >= 250 {
					p.p.TS += uint32(jump / tick)
				}
				if n == 250-depth {
					p.at = 250*20*ms + 6*ms
				}
			}
			l.run(10100 * ms)
			if m := l.missing(t, 500); m > 8 {
				t.Errorf("clock moved by %s, %d overtaken: %d packets were not played", jump, depth, m)
			}
			if st := l.b.Stats(); st.Delay > 60*ms || st.Target > 60*ms {
				t.Errorf("clock moved by %s, %d overtaken: delay %s, target %s", jump, depth, st.Delay, st.Target)
			}
		}
	}
}

// TestNumbersLeapAhead: a sender that leaves out numbers and time alike has lost nothing that is waited for, and its delay is what
// it would be.
func TestNumbersLeapAhead(t *testing.T) {
	delays := func(leap int) (d [20]time.Duration) {
		l := newLine()
		r := rand.New(rand.NewPCG(20, 11))
		for n := range 1500 {
			l.send(n, time.Duration(r.ExpFloat64()*8e6))
			p := &l.pending[n]
			if n > 0 {
				p.at = max(p.at, l.pending[n-1].at)
			}
			if n >= 600 {
				p.p.Seq, p.p.TS = p.p.Seq+uint16(leap), p.p.TS+uint32(leap*160)
			}
		}
		for i := range d {
			l.run(10*time.Second + time.Duration(i)*time.Second)
			d[i] = l.b.Stats().Delay
		}
		return d
	}
	without := delays(0)
	for _, leap := range []int{5, 20, 45, 100, 400} {
		for i, d := range delays(leap) {
			if d > without[i]+30*ms {
				t.Errorf("%d packets ahead at 12 s: delay %s at %d s, without that %s", leap, d, 10+i, without[i])
			}
		}
	}
}

// TestSlowTimestamps: a sender whose timestamps grow by less than its packets last is played by sequence.
func TestSlowTimestamps(t *testing.T) {
	for _, step := range []int{1, 40, 80, 120, 159} {
		l := newLine()
		r := rand.New(rand.NewPCG(8, 9))
		for n := range 3000 {
			l.send(n, time.Duration(r.IntN(15))*ms)
			l.pending[len(l.pending)-1].p.TS = uint32(n * step)
			if n%50 == 30 {
				l.pending = l.pending[:len(l.pending)-1]
			}
		}
		l.run(59900 * ms)
		if m := l.missing(t, 2940); m > 15 || l.kinds[Conceal] > 90 {
			t.Errorf("timestamps grow by %d: %d of 2940 packets were not played, %d pieces concealed for 60 lost", step, m, l.kinds[Conceal])
		}
		if d := l.b.Stats().Delay; d > 80*ms {
			t.Errorf("timestamps grow by %d: delay %s", step, d)
		}
	}
}

// TestTimestampsThatAreOff: a sender that stamps packets with the time of day, or rounds, loses none.
func TestTimestampsThatAreOff(t *testing.T) {
	for _, by := range []int{1, 8, 40} {
		l := newLine()
		r := rand.New(rand.NewPCG(8, 9))
		for n := range 3000 {
			l.send(n, time.Duration(r.IntN(10))*ms)
			p := &l.pending[n]
			p.p.TS += uint32(r.IntN(2*by+1) - by)
			if n%50 == 30 {
				p.at += 10 * ms // the one after it comes first
			}
		}
		l.run(59900 * ms)
		if m := l.missing(t, 3000); m > 10 || l.kinds[Conceal] > 5 {
			t.Errorf("off by %d: %d of 3000 packets were not played, %d pieces concealed", by, m, l.kinds[Conceal])
		}
		if st := l.b.Stats(); st.Delay > 40*ms || st.Splices > 0 {
			t.Errorf("off by %d: delay %s, %d splices", by, st.Delay, st.Splices)
		}
	}
}

// TestOverlapsAreOfOneRow: packets that begin before the one before them has ended prove nothing while there are pauses between
// them.
func TestOverlapsAreOfOneRow(t *testing.T) {
	l := newLine()
	for n := range 200 {
		at := n / 2 * 10 // packets
		l.pending = append(l.pending, arrival{time.Duration(at)*20*ms + time.Duration(n%2)*5*ms, Packet{
			SSRC: 1, Seq: uint16(n + 65000), TS: uint32(at*160 + n%2*40), Samples: 160, Payload: []byte{1},
		}})
	}
	l.run(21 * time.Second)
	if n := len(l.played); n < 98 || n > 100 {
		t.Errorf("%d packets played, want 100", n)
	}
}

// TestMarkerOfEachPacket: a sender that marks each packet is heard as one that marks none, whatever the network does.
func TestMarkerOfEachPacket(t *testing.T) {
	var without *line
	for _, marker := range []bool{false, true} {
		l := newLine()
		r := rand.New(rand.NewPCG(8, 9))
		for n := range 3000 {
			delay := time.Duration(r.IntN(10)) * ms
			if at := n % 250; n >= 250 && at < 6 { // these come together
				delay += time.Duration(6-at) * 20 * ms
			}
			l.send(n, delay)
			l.pending[n].p.Marker = marker
		}
		l.run(59900 * ms)
		switch {
		case !marker:
			without = l
		case !slices.Equal(l.played, without.played) || !slices.Equal(l.delays, without.delays):
			t.Errorf("%d pieces concealed, %d without markers", l.kinds[Conceal], without.kinds[Conceal])
		}
	}
}

// TestUncountedPauses: a sender whose timestamps stand while it sends nothing, with or without a marker after it, is late by no
// more than one that counts.
func TestUncountedPauses(t *testing.T) {
	for _, marker := range []bool{false, true} {
		for _, pause := range []int{10, 25, 50, 75, 95, 120} {
			l := newLine()
			r := rand.New(rand.NewPCG(8, 9))
			at, spurts, sent := 0, 0, map[uint16]time.Duration{}
			for seq := 0; at < 3000; at++ {
				first := seq%60 == 0
				if first {
					at, spurts = at+pause, spurts+1
				}
				sent[uint16(seq)] = time.Duration(at) * 20 * ms
				l.pending = append(l.pending, arrival{sent[uint16(seq)] + time.Duration(r.IntN(20))*ms, Packet{
					SSRC: 1, Seq: uint16(seq + 65000), TS: uint32(seq * 160), Samples: 160, Payload: []byte{1}, Marker: marker && first,
				}})
				seq++
			}
			var told, worst, real time.Duration
			for n := range at {
				l.run(time.Duration(n+1) * 20 * ms)
				delay := l.b.Stats().Delay
				told, worst = told+delay/time.Duration(at), max(worst, delay)
			}
			for i, p := range l.played {
				real += (l.delays[i] + time.Duration(p)*20*ms - sent[p]) / time.Duration(len(l.played))
			}
			if told > 50*ms || worst > 80*ms || real > 55*ms {
				t.Errorf("pauses of %d packets, marker %v: said to be %s late, at most %s, and is %s", pause, marker, told, worst, real)
			}
			if m := l.missing(t, len(sent)); m > spurts+5 || marker && m > 5 {
				t.Errorf("pauses of %d packets, marker %v: %d packets of %d talkspurts were not played", pause, marker, m, spurts)
			}
		}
	}
}

// TestStallIsNoPause: packets that were held up, few or many, are not taken for those that follow a pause, even where the link
// is but twice as fast as they are.
func TestStallIsNoPause(t *testing.T) {
	for _, held := range []int{6, 10, 30, 60} {
		for _, every := range []time.Duration{0, 2 * ms, 10 * ms} {
			l := newLine()
			for n := range 700 {
				d := 5 * ms
				if n >= 500 {
					d = max(d, time.Duration(500+held-n)*20*ms+time.Duration(n-500)*every)
				}
				l.send(n, d)
			}
			for n, p := range l.pending {
				before := l.b.delay.base
				if l.b.Put(&p.p, p.at); n > 0 && l.b.delay.base != before {
					t.Fatalf("%d packets held up that came every %s: the least delay is %s later", held, every, l.b.delay.base-before)
				}
			}
		}
	}
}

// TestOvertakenEvents: an event that audio has overtaken, or the reverse, leaves no hole.
func TestOvertakenEvents(t *testing.T) {
	for events := 1; events <= 8; events++ {
		for late := range events + 1 { // how many packets after the audio before the digit
			l := newLine()
			l.b = New(Config{Min: 60 * ms, Max: 400 * ms})
			for n := range 300 {
				l.send(n, 5*ms)
				p := &l.pending[n]
				switch {
				case n == 199+late:
					p.at += 21 * ms
					fallthrough
				case n >= 200 && n < 200+events:
					if n >= 200 {
						p.p.TS, p.p.Samples, p.p.Comfort, p.p.Event = l.pending[200].p.TS, 0, true, true
					}
				}
			}
			l.run(5 * time.Second)
			if st := l.b.Stats(); l.kinds[Conceal] > 0 || st.Lost > 0 || l.b.held > 3 {
				t.Errorf("digit of %d packets, the one %d after the audio before it overtaken: %d pieces concealed, %d lost, %d held",
					events, late, l.kinds[Conceal], st.Lost, l.b.held)
			}
		}
	}
}

// TestForgotten: what was here and not heard yet when another stream began is counted.
func TestForgotten(t *testing.T) {
	l := newLine()
	l.b = New(Config{Min: 200 * ms, Max: 400 * ms})
	for n := range 600 {
		l.send(n, 5*ms)
		if n >= 300 {
			l.pending[n].p.SSRC = 2
		}
	}
	l.run(11900 * ms)
	st := l.b.Stats()
	if st.NewSources != 1 || st.Forgotten < 8 || st.Forgotten > 12 || st.Played+st.Forgotten+uint64(l.b.held) != st.Put {
		t.Errorf("%d held, %+v", l.b.held, st)
	}
}

// TestShortPacketsLeaveRoom: the delay is never more than the packets that can be held.
func TestShortPacketsLeaveRoom(t *testing.T) {
	for _, size := range []int{40, 80, 160, 240, 480} {
		l := newLine()
		l.b = New(Config{Max: time.Second})
		r := rand.New(rand.NewPCG(8, 9))
		for n := range 60 * 8000 / size {
			at := time.Duration((n+1)*size)*tick + time.Duration(r.IntN(250))*ms
			if n*size/8000%3 == 0 {
				at += 700 * ms
			}
			l.pending = append(l.pending, arrival{at, Packet{
				SSRC: 1, Seq: uint16(n), TS: uint32(n * size), Samples: size, Payload: make([]byte, size),
			}})
		}
		l.run(59 * time.Second)
		if st := l.b.Stats(); st.Overflows > st.Put/100 {
			t.Errorf("packets of %s: %+v", time.Duration(size)*tick, st)
		}
	}
}

// TestPacketTimeChanges: the packets of a sender that makes them longer or shorter are neither late nor early.
func TestPacketTimeChanges(t *testing.T) {
	l := newLine()
	r := rand.New(rand.NewPCG(1, 2))
	at, ts, seq := time.Duration(0), uint32(0), uint16(65500)
	for at < 60*time.Second {
		size := []int{160, 240, 80, 480}[int(at/(15*time.Second))]
		at += time.Duration(size) * tick
		l.pending = append(l.pending, arrival{at + 30*ms + time.Duration(r.ExpFloat64()*2e6), Packet{
			SSRC: 1, Seq: seq, TS: ts, Samples: size, Payload: make([]byte, size),
		}})
		seq, ts = seq+1, ts+uint32(size)
	}
	for _, end := range []time.Duration{15, 30, 45, 60} {
		l.run((end - 1) * time.Second)
		if st := l.b.Stats(); st.Target > 30*ms || st.Delay > 60*ms {
			t.Errorf("after %d s: target %s, delay %s", end-1, st.Target, st.Delay)
		}
		l.run(end * time.Second)
	}
	if n := l.kinds[Conceal]; n > 6 {
		t.Errorf("%d pieces concealed", n)
	}
}

// TestDigitInAStall: whatever is left out after a stall, an event (RFC 4733) is never given out as a packet of noise, which it would be
// a very loud one of.
func TestDigitInAStall(t *testing.T) {
	for _, held := range []int{20, 60, 99, 110, 150} {
		for _, lasts := range []int{3, 20, 60} {
			for _, before := range []int{1, 5, 10, 30, 60} {
				for _, beside := range []bool{false, true} {
					l, seq := newLine(), 0
					send := func(n int, event bool) {
						at := n
						if n >= 200 && n < 200+held {
							at = 200 + held
						}
						p := Packet{SSRC: 1, Seq: uint16(seq), TS: uint32(n * 160), Samples: 160, Payload: []byte{1}}
						if event {
							p.TS, p.Samples, p.Comfort, p.Event = uint32((200+before)*160), 0, true, true
						}
						seq++
						l.pending = append(l.pending, arrival{time.Duration(at) * 20 * ms, p})
					}
					for n := range 1000 {
						event := n >= 200+before && n < 200+before+lasts
						if event {
							send(n, true)
						}
						if !event || beside {
							send(n, false)
						}
					}
					l.run(20 * time.Second)
					if st := l.b.Stats(); l.kinds[Comfort] > 0 || l.b.held > 3 || st.Delay > 100*ms {
						t.Errorf("%d packets held up, digit of %d after %d, audio beside it %v: %d events given out, %d held, delay %s",
							held, lasts, before, beside, l.kinds[Comfort], l.b.held, st.Delay)
					}
				}
			}
		}
	}
}

// TestLargePackets: payloads of several blocks come back as they were, also when there are more than fit.
func TestLargePackets(t *testing.T) {
	b := New(Default())
	next, played := uint16(0), 0
	for n := range 400 {
		payload := make([]byte, 480)
		for i := range payload {
			payload[i] = byte(n*7 + i/3)
		}
		p := Packet{SSRC: 1, Seq: uint16(n), TS: uint32(n * 480), Samples: 480, Payload: payload}
		now := time.Duration(n) * 60 * ms
		if b.Put(&p, now); n >= 200 && n < 240 {
			continue // the listener stands still
		}
		for range 3 {
			out := b.Get(Ask{At: now})
			if out.Kind != Play {
				continue
			}
			if next = out.Seq; len(out.Payload) != 480 {
				t.Fatalf("packet %d has %d bytes", next, len(out.Payload))
			}
			for i, v := range out.Payload {
				if v != byte(int(next)*7+i/3) {
					t.Fatalf("byte %d of packet %d is another's", i, next)
				}
			}
			played++
		}
	}
	if st := b.Stats(); played < 300 || st.Overflows < 10 || st.Lost < 10 {
		t.Errorf("%d played, %+v", played, st)
	}
}

// A burst fills the buffer, and the packet that it has overtaken comes last: where there is no room for it, it is left out.
func TestOvertakenWhenFull(t *testing.T) {
	for _, tc := range []struct {
		samples, burst int
		event          bool
		overflows      uint64
	}{{480, 16, false, 0}, {240, 31, false, 0}, {240, 32, false, 1}, {240, 32, true, 1}, {480, 21, true, 1}} {
		b := New(Default())
		p := Packet{SSRC: 1, Samples: tc.samples, Payload: make([]byte, tc.samples)}
		for n := 1; n <= tc.burst; n++ {
			p.Seq, p.TS = uint16(n), uint32(n*tc.samples)
			b.Put(&p, time.Second)
		}
		p.Seq, p.TS = 0, 0
		if p.Event, p.Comfort = tc.event, tc.event; tc.event {
			p.Samples = 0
		}
		b.Put(&p, time.Second)
		if st := b.Stats(); st.Overflows != tc.overflows || b.held != tc.burst+1-int(tc.overflows) {
			t.Errorf("%+v: %d packets held, %+v", tc, b.held, st)
		}
	}
}

// TestMemory: a session carries this only while somebody listens, but there it should be small too.
func TestMemory(t *testing.T) {
	if n := unsafe.Sizeof(Buffer{}); n > 16<<10 {
		t.Errorf("a buffer takes %d bytes", n)
	}
}

func TestNoAllocation(t *testing.T) {
	step := stepper()
	for range 1000 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%.1f allocations in each put and get", n)
	}
}

func stepper() func() {
	b := New(Default())
	r := rand.New(rand.NewPCG(1, 1))
	n, now := 0, time.Duration(0)
	payload := make([]byte, 160)
	return func() {
		n++
		now += 20 * ms
		p := Packet{SSRC: 1, Seq: uint16(n), TS: uint32(n * 160), Samples: 160, Payload: payload}
		if n%50 != 0 {
			b.Put(&p, now-time.Duration(r.IntN(20))*ms)
		}
		b.Get(Ask{At: now})
	}
}

// BenchmarkPutGet is one packet in and one out.
func BenchmarkPutGet(b *testing.B) {
	b.ReportAllocs()
	step := stepper()
	for b.Loop() {
		step()
	}
}

// FuzzBuffer: any packets at any times: no panic, bounded pieces, playout never repeats or goes back within a
// stream.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 1, 0, 160, 20, 0, 2, 1, 64, 20})
	f.Add([]byte{0, 0, 0, 255, 0, 0, 1, 255, 160, 3, 1, 200, 7, 0, 250, 0, 2, 1, 64, 0})
	f.Add([]byte{2, 0, 0, 0, 0, 2, 0, 1, 0, 20, 0, 0, 2, 160, 90, 4, 0, 3, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		b := New(Default())
		now := time.Duration(0)
		last, lastOf := int16(0), false
		var lastSeq uint16
		for len(data) >= 5 {
			flags := data[0]
			p := Packet{
				SSRC: uint32(flags & 1), Seq: uint16(int8(data[1])) * uint16(1+flags>>6),
				TS:      uint32(int32(int16(binary.BigEndian.Uint16(data[2:])))) * uint32(1+flags>>5),
				Samples: 160, Payload: data[:min(len(data), 160+int(flags>>4)*20)],
			}
			if flags&2 != 0 {
				p.Comfort, p.Samples = true, 0
			}
			if flags&4 != 0 {
				p.Samples = 80
			}
			if v := b.Put(&p, now); v == Restarted || v == NewSource || v == Resumed {
				lastOf = false
			}
			for range data[4] % 8 {
				now += time.Duration(data[4]) * ms / 2
				out := b.Get(Ask{At: now})
				if out.Samples <= 0 || out.Samples > MaxPayload || len(out.Payload) > MaxPayload {
					t.Fatalf("piece of %d samples, %d bytes", out.Samples, len(out.Payload))
				}
				if out.Kind == Play {
					if last = int16(out.Seq - lastSeq); lastOf && last <= 0 {
						t.Fatalf("played %d after %d", out.Seq, lastSeq)
					}
					lastSeq, lastOf = out.Seq, true
				}
			}
			free, used := 0, 0
			for i := b.free; i != noBlock; i = b.chain[i] {
				free++
			}
			for _, s := range b.slot {
				for i := s.block; i != noBlock; i = b.chain[i] {
					used++
				}
			}
			if b.held < 0 || b.held > slots || free+used != blocks {
				t.Fatalf("%d packets held, %d blocks used and %d free", b.held, used, free)
			}
			data = data[5:]
		}
	})
}

// Whoever was not asked for a while, as the machine stood still, goes on with what is here: what has no room any more is
// not waited for.
func TestListenerStoodStill(t *testing.T) {
	for _, still := range []time.Duration{100 * ms, 300 * ms, time.Second, 1300 * ms, 2 * time.Second, time.Minute} {
		l := newLine()
		for n := range 5000 {
			l.send(n, 7*ms)
		}
		l.run(10 * time.Second)
		l.now += still
		l.run(l.now + 5*time.Second)
		played, concealed := len(l.played), l.kinds[Conceal]
		l.run(l.now + 10*time.Second)
		if n := len(l.played) - played; n < 490 || l.kinds[Conceal] > concealed {
			t.Errorf("after %s: %d packets played in 10 s, %d concealed", still, n, l.kinds[Conceal]-concealed)
		}
		if d := l.delays[len(l.delays)-1]; d > 40*ms {
			t.Errorf("after %s: delay %s", still, d)
		}
	}
}

// TestSlopeOfDelay compares with G.107 worked by hand: about 1 R for 40 ms while a conversation is easy, several times
// that beyond 200 ms.
func TestSlopeOfDelay(t *testing.T) {
	if s := slopeOf(100) * 40; s < 0.6 || s > 1.4 {
		t.Errorf("40 ms at 100 ms cost %.2f R", s)
	}
	if s := slopeOf(250) * 40; s < 3 || s > 8 {
		t.Errorf("40 ms at 250 ms cost %.2f R", s)
	}
}
