package playout

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"parklamp/media/codec"
	"parklamp/media/jitter"
)

const ms = time.Millisecond

// mu decodes µ-law at the player's rate by repeating samples.
type mu int

func (m mu) Decode(_ uint8, dst []int16, payload []byte) int {
	n := 0
	for _, b := range payload {
		var s [1]int16
		codec.Decode(codec.PCMU, s[:], []byte{b})
		for range int(m) {
			dst[n] = s[0]
			n++
		}
	}
	return n
}

// tone is packet n of a steady vowel.
func tone(n int) []byte {
	var pcm [160]int16
	for i := range pcm {
		x := 2 * math.Pi * 125 * float64(n*160+i) / 8000
		pcm[i] = int16(5000 * (math.Sin(x) + 0.5*math.Sin(3*x+1)))
	}
	payload := make([]byte, 160)
	codec.Encode(codec.PCMU, payload, pcm[:])
	return payload
}

func packet(n int) *jitter.Packet {
	return &jitter.Packet{SSRC: 1, Seq: uint16(n), TS: uint32(n * 160), Samples: 160, Payload: tone(n)}
}

// TestDelayFallsByStretching: after a stall the delay returns to what it was without a frame left out.
func TestDelayFallsByStretching(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		p := New(jitter.Default(), rate, mu(rate/8000))
		played := map[uint16]bool{}
		var late time.Duration
		p.Observe = func(e Piece) {
			if e.New {
				played[e.Seq] = true
				late = e.At - time.Duration(e.Seq)*20*ms
			}
		}
		frame := make([]int16, rate/50)
		next := 0
		for k := range 2000 {
			at := time.Duration(k) * 20 * ms
			for ; next < 2000; next++ {
				arrives := time.Duration(next)*20*ms + 5*ms
				if next >= 400 && next < 404 {
					arrives = 404*20*ms + 5*ms
				}
				if arrives > at {
					break
				}
				p.Put(packet(next), arrives)
			}
			p.Read(frame, at)
		}
		st, _ := p.Stats()
		if st.Removed == 0 || st.Inserted == 0 {
			t.Errorf("%d Hz: %+v; want sound put in while packets are late, and taken out later", rate, st)
		}
		if missing := 1990 - len(played); missing > 12 {
			t.Errorf("%d Hz: %d packets not played", rate, missing)
		}
		if late > 50*ms {
			t.Errorf("%d Hz: the delay ends at %s", rate, late)
		}
	}
}

// TestSenderStoodStill: a sender that stood still, its clock too, goes on later than before. What comes just in time is not
// made shorter to get there, for then there is nothing to go on with.
func TestSenderStoodStill(t *testing.T) {
	for _, size := range []int{80, 160, 240, 320, 480} {
		for _, still := range []time.Duration{200 * ms, 450 * ms, time.Second, 1900 * ms, 3 * time.Second} {
			p := New(jitter.Default(), 8000, mu(1))
			r := rand.New(rand.NewPCG(3, 4))
			frame, sound := make([]int16, 160), append(append(tone(0), tone(1)...), tone(2)...)
			length := time.Duration(size) * 125 * time.Microsecond
			n, concealed := 0, 0
			sent, arrives := time.Duration(0), time.Duration(0)
			for at := time.Duration(0); at < 40*time.Second; at += 20 * ms {
				for ; arrives <= at; arrives = max(arrives, sent+time.Duration(r.IntN(8000))*time.Microsecond) {
					p.Put(&jitter.Packet{SSRC: 1, Seq: uint16(n), TS: uint32(n * size), Samples: size, Payload: sound[:size]}, arrives)
					n++
					if sent += length; sent >= 20*time.Second && sent-length < 20*time.Second {
						sent += still
					}
				}
				if p.Read(frame, at) == Concealed && (at < 20*time.Second || at > 20*time.Second+still+200*ms) {
					concealed++
				}
			}
			if concealed > 2 {
				t.Errorf("packets of %d, still for %s: %d frames concealed on a good network", size, still, concealed)
			}
		}
	}
}

// TestLongestFrames: 60 ms at once, of packets of any length that come late.
func TestLongestFrames(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		p := New(jitter.Default(), rate, mu(rate/8000))
		r := rand.New(rand.NewPCG(1, 2))
		frame, sound := make([]int16, rate*3/50), append(append(tone(0), tone(1)...), tone(2)...)
		n, ts, arrives := 0, 0, time.Duration(0)
		for at := time.Duration(0); at < 5*time.Minute; at += 60 * ms {
			for ; arrives <= at; arrives = max(arrives, time.Duration(ts)*125*time.Microsecond+time.Duration(r.IntN(150))*ms) {
				size := 333 + r.IntN(jitter.MaxPayload-332)
				p.Put(&jitter.Packet{SSRC: 1, Seq: uint16(n), TS: uint32(ts), Samples: size, Payload: sound[:size]}, arrives)
				n, ts = n+1, ts+size
			}
			p.Read(frame, at)
		}
		if st, _ := p.Stats(); st.Inserted == 0 {
			t.Errorf("%d Hz: nothing was made longer", rate)
		}
	}
}

// TestNoClick: whatever the network does to a steady sound, no step is much steeper than its own.
func TestNoClick(t *testing.T) {
	p := New(jitter.Default(), 8000, mu(1))
	r := rand.New(rand.NewPCG(1, 2))
	frame := make([]int16, 160)
	var last int16
	worst := 0.0
	next := 0
	until := time.Duration(0)
	for k := range 5000 {
		at := time.Duration(k) * 20 * ms
		if r.IntN(60) == 0 {
			until = at + time.Duration(r.IntN(150))*ms
		}
		for ; at >= until && next*20 <= k*20; next++ {
			if r.IntN(40) > 0 {
				p.Put(packet(next), at)
			}
		}
		p.Read(frame, at)
		for _, s := range frame {
			if k > 50 {
				worst = max(worst, math.Abs(float64(s)-float64(last)))
			}
			last = s
		}
	}
	if worst > 2200 { // the vowel's own steepest step is 1070, µ-law's error 130
		t.Errorf("a step of %.0f", worst)
	}
}

// TestClockOfTheListenerStopsAndJumps: a consumer that stood still for a while, or was asked for nothing, goes on.
func TestClockOfTheListenerStopsAndJumps(t *testing.T) {
	for _, jump := range []time.Duration{300 * ms, 3 * time.Second, time.Hour} {
		p := New(jitter.Default(), 8000, mu(1))
		frame := make([]int16, 160)
		at, audio := time.Duration(0), 0
		n := 0
		for k := range 600 {
			at += 20 * ms
			if k == 300 {
				at += jump // packets wait in the kernel meanwhile; at most 32 of them
				n += max(0, int(jump/(20*ms))-32)
				for range min(32, int(jump/(20*ms))) {
					p.Put(packet(n), at)
					n++
				}
			}
			p.Put(packet(n), at-3*ms)
			n++
			if kind := p.Read(frame, at); kind == Audio && k >= 400 {
				audio++
			}
		}
		if audio < 195 {
			t.Errorf("after a jump of %s, %d of the last 200 frames are audio", jump, audio)
		}
		if _, b := p.Stats(); b.Delay > 100*ms {
			t.Errorf("after a jump of %s the delay is %s", jump, b.Delay)
		}
	}
}

func TestComfortNoiseLastsUntilSpeech(t *testing.T) {
	p := New(jitter.Default(), 8000, mu(1))
	frame := make([]int16, 160)
	var kinds [4]int
	at := time.Duration(0)
	for n := range 300 {
		at += 20 * ms
		switch {
		case n < 100:
			p.Put(packet(n), at)
		case n == 100:
			p.Put(&jitter.Packet{SSRC: 1, Seq: 100, TS: 16000, Comfort: true, Type: ComfortType, Payload: []byte{50}}, at)
		case n >= 180:
			in := packet(n)
			in.Seq = uint16(n - 79)
			p.Put(in, at)
		}
		kinds[p.Read(frame, at)]++
	}
	if kinds[Comfort] < 75 || kinds[Comfort] > 85 || kinds[Concealed] > 0 || kinds[Audio] < 210 {
		t.Errorf("%d audio, %d comfort, %d silence, %d concealed", kinds[Audio], kinds[Comfort], kinds[Silence], kinds[Concealed])
	}
}

func TestNoAllocation(t *testing.T) {
	p := New(jitter.Default(), 8000, mu(1))
	frame := make([]int16, 160)
	in := packet(0)
	at, n := time.Duration(0), 0
	if got := testing.AllocsPerRun(2000, func() {
		at += 20 * ms
		in.Seq, in.TS = uint16(n), uint32(n*160)
		if n%50 > 3 {
			p.Put(in, at-time.Duration(n%30)*ms)
		}
		n++
		p.Read(frame, at)
	}); got != 0 {
		t.Errorf("%.1f allocations", got)
	}
}

// FuzzPlayer: any packets at any times: no panic, and every frame is filled.
func FuzzPlayer(f *testing.F) {
	f.Add([]byte{0, 1, 0, 160, 20, 0, 2, 1, 64, 20})
	f.Add([]byte{1, 255, 0, 1, 255, 9, 3, 1, 200, 7, 2, 2, 1, 64, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := New(jitter.Default(), 8000, mu(1))
		at := time.Duration(0)
		played := time.Duration(-1)
		p.Observe = func(e Piece) {
			if e.At < played || e.Samples <= 0 || e.Samples > jitter.MaxPayload+p.stretch.Longest() {
				t.Fatalf("piece of %d samples at %s after one at %s", e.Samples, e.At, played)
			}
			played = e.At + p.time(e.Samples)
		}
		for len(data) >= 5 {
			in := jitter.Packet{
				SSRC: uint32(data[0] & 1), Seq: uint16(data[1]) << (data[0] >> 6), TS: uint32(data[2]) * 160 << (data[0] >> 5),
				Samples: int(data[3]), Payload: data[:min(len(data), int(data[3]))],
			}
			if in.Samples = len(in.Payload); in.Samples == 0 {
				in.Comfort = true
			}
			p.Put(&in, at)
			for range data[4] % 8 {
				at += time.Duration(data[4]) * ms
				frame := make([]int16, 40<<(data[0]>>3&3))
				p.Read(frame, at)
				at += p.time(len(frame))
			}
			data = data[5:]
		}
	})
}

// BenchmarkPlayer is a packet in and a frame out, with decoding, stretching and concealment where they happen.
func BenchmarkPlayer(b *testing.B) {
	b.ReportAllocs()
	p := New(jitter.Default(), 8000, mu(1))
	r := rand.New(rand.NewPCG(1, 1))
	frame := make([]int16, 160)
	in := packet(0)
	at, n := time.Duration(0), 0
	for b.Loop() {
		at += 20 * ms
		in.Seq, in.TS = uint16(n), uint32(n*160)
		if n++; n%50 > 0 {
			p.Put(in, at-time.Duration(r.IntN(20))*ms)
		}
		p.Read(frame, at)
	}
}
