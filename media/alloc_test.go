package media

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"parklamp/media/codec"
	"parklamp/media/rtcp"
	"parklamp/media/rtpio"
)

// deadNetwork takes packets and gives none.
type deadNetwork struct{}

func (deadNetwork) Listen(addr netip.AddrPort, s rtpio.Socket) (rtpio.Conn, error) {
	return &deadConn{addr, s.DSCP}, nil
}

func (deadNetwork) NewPoller() rtpio.Poller { return deadPoller{} }

type deadPoller struct{}

func (deadPoller) Add(rtpio.Conn, rtpio.Receiver) error { return nil }
func (deadPoller) Run(context.Context) error            { return nil }

type deadConn struct {
	local netip.AddrPort
	dscp  int
}

func (c *deadConn) WriteToAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }
func (c *deadConn) Mark(dscp int) error                                     { c.dscp = dscp; return nil }
func (c *deadConn) LocalAddr() netip.AddrPort                               { return c.local }
func (c *deadConn) Close() error                                            { return nil }

// stepClock stands still until it is moved.
type stepClock struct{ now time.Duration }

func (c *stepClock) Now() time.Duration         { return c.now }
func (c *stepClock) SleepUntil(t time.Duration) { c.now = t }
func (c *stepClock) Wake()                      {}

type hum struct{ n int16 }

func (h *hum) Next(f *Frame) bool {
	for i := range f {
		h.n += 257
		f[i] = h.n
	}
	return true
}

type encodedHum struct{ hum }

func (*encodedHum) NextEncoded(_ codec.ID, dst []byte) int {
	for i := range dst {
		dst[i] = byte(i)
	}
	return len(dst)
}

type wideHum struct{ hum }

func (h *wideHum) NextWide(f *WideFrame) bool {
	for i := range f {
		h.n += 257
		f[i] = h.n
	}
	return true
}

type deafWideSink struct{ deafSink }

func (deafWideSink) WriteWide(*WideFrame, Kind) {}

type deafPuller struct {
	deafSink
	voice Voice
}

func (p *deafPuller) Take(v Voice) { p.voice = v }
func (p *deafPuller) Drop(Voice)   { p.voice = nil }

type deafSink struct{}

func (deafSink) Write(*Frame, Kind) {}

// rig steps sessions by hand: no goroutine runs.
type rig struct {
	engine *Engine
	clock  *stepClock
	room   scratch
	packet []byte
	seq    uint16
}

var rigRemote = netip.MustParseAddrPort("10.0.0.2:4000")

func newRig(tb testing.TB) *rig {
	clock := &stepClock{}
	cfg := Default()
	r := &rig{
		engine: NewEngine(cfg, slog.New(slog.DiscardHandler), WithNetwork(deadNetwork{}), WithClock(clock)),
		clock:  clock,
		packet: make([]byte, headerSize+FrameSamples),
	}
	r.packet[0] = 0x80
	for i := range FrameSamples {
		r.packet[headerSize+i] = byte(i * 7)
	}
	tb.Cleanup(func() {
		for _, s := range *r.engine.sessions.Load() {
			s.Close()
		}
	})
	return r
}

func (r *rig) session(tb testing.TB) *Session {
	s, err := r.engine.Open(netip.MustParseAddr("10.0.0.1"))
	if err != nil {
		tb.Fatal(err)
	}
	p := Params{Remote: rigRemote, Codec: codec.PCMU, DTMFPayloadType: 101, Send: true, Receive: true}
	if err := s.Configure(p); err != nil {
		tb.Fatal(err)
	}
	return s
}

// speaks configures a session anew with another codec.
func (r *rig) speaks(tb testing.TB, s *Session, id codec.ID) {
	p := s.wiring.Load().params
	p.Codec, p.PayloadType = id, id.PayloadType()
	if err := s.Configure(p); err != nil {
		tb.Fatal(err)
	}
}

// arrive gives a session its next packet of a stream.
func (r *rig) arrive(s *Session, lose int) {
	r.next()
	if lose > 0 && int(r.seq)%lose == 0 {
		return
	}
	s.receive(r.packet, rigRemote, r.clock.now)
}

// next makes the packet the next one.
func (r *rig) next() {
	r.seq++
	binary.BigEndian.PutUint16(r.packet[2:], r.seq)
	binary.BigEndian.PutUint32(r.packet[4:], uint32(r.seq)*FrameSamples)
}

func (r *rig) tick() {
	r.clock.now += FrameDuration
	r.engine.pacer.tick(r.clock.now, *r.engine.sessions.Load(), &r.room)
}

// framePath is one way of a frame through a session.
type framePath struct {
	name  string
	setUp func(tb testing.TB, r *rig) (step func())
}

var framePaths = []framePath{
	{"music encoded once", func(tb testing.TB, r *rig) func() {
		r.session(tb).Play(&encodedHum{})
		return r.tick
	}},
	{"source encoded here", func(tb testing.TB, r *rig) func() {
		r.session(tb).Play(&hum{})
		return r.tick
	}},
	{"parked caller who talks", func(tb testing.TB, r *rig) func() {
		s := r.session(tb)
		s.Play(&encodedHum{})
		return func() { r.arrive(s, 0); r.tick() }
	}},
	{"parked caller who talks and has no events", func(tb testing.TB, r *rig) func() {
		s := r.session(tb)
		p := s.wiring.Load().params
		p.DTMFPayloadType = 0
		if err := s.Configure(p); err != nil {
			tb.Fatal(err)
		}
		s.OnDTMF(func(byte, bool) {})
		s.Play(&encodedHum{})
		return func() { r.arrive(s, 0); r.tick() }
	}},
	{"phone call, 5 % lost", func(tb testing.TB, r *rig) func() {
		s := r.session(tb)
		s.Play(&hum{})
		s.Listen(deafSink{})
		return func() { r.arrive(s, 20); r.tick() }
	}},
	{"phone call read by a card, 5 % lost", func(tb testing.TB, r *rig) func() {
		s := r.session(tb)
		s.Play(&hum{})
		p := &deafPuller{}
		s.Listen(p)
		var x [40]int16
		return func() {
			r.arrive(s, 20)
			for range 4 {
				r.clock.now += FrameDuration / 4
				p.voice.Read(x[:], 0)
			}
			r.clock.now -= FrameDuration
			r.tick()
		}
	}},
	{"relay", func(tb testing.TB, r *rig) func() {
		a, b := r.session(tb), r.session(tb)
		if _, err := Join(a, b); err != nil {
			tb.Fatal(err)
		}
		return func() { r.arrive(a, 0); r.tick() }
	}},
	{"relay that transcodes", func(tb testing.TB, r *rig) func() {
		a, b := r.session(tb), r.session(tb)
		r.speaks(tb, b, codec.PCMA)
		if _, err := Join(a, b); err != nil {
			tb.Fatal(err)
		}
		return func() { r.arrive(a, 0); r.tick() }
	}},
	{"relay between G.722 and A-law", func(tb testing.TB, r *rig) func() {
		a, b := r.session(tb), r.session(tb)
		r.speaks(tb, a, codec.G722)
		r.speaks(tb, b, codec.PCMA)
		if _, err := Join(a, b); err != nil {
			tb.Fatal(err)
		}
		r.packet[1] = codec.G722.PayloadType()
		return func() { r.arrive(a, 0); r.tick() }
	}},
	{"wideband phone call, 5 % lost", func(tb testing.TB, r *rig) func() {
		s := r.session(tb)
		r.speaks(tb, s, codec.G722)
		s.Play(&wideHum{})
		s.Listen(deafWideSink{})
		r.packet[1] = codec.G722.PayloadType()
		return func() { r.arrive(s, 20); r.tick() }
	}},
	{"digits", func(tb testing.TB, r *rig) func() {
		s := r.session(tb)
		s.Play(&hum{})
		for range maxDigits {
			if err := s.SendDTMF("5", 8*time.Second, time.Second); err != nil {
				tb.Fatal(err)
			}
		}
		return r.tick
	}},
	{"stranger", func(tb testing.TB, r *rig) func() {
		s := r.session(tb)
		from := netip.MustParseAddrPort("10.0.0.9:9")
		return func() { s.receive(r.packet, from, r.clock.now); r.tick() }
	}},
}

func TestFramePathDoesNotAllocate(t *testing.T) {
	for _, tc := range framePaths {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			step := tc.setUp(t, r)
			for range 100 {
				step()
			}
			if n := testing.AllocsPerRun(500, step); n != 0 {
				t.Errorf("%.1f allocations in each frame", n)
			}
			for _, s := range *r.engine.sessions.Load() {
				if st := s.Stats(); st.SendErrors+st.Overruns > 0 {
					t.Errorf("%d send errors, %d overruns: the path was not what it is called", st.SendErrors, st.Overruns)
				}
			}
		})
	}
}

// BenchmarkFrame is one tick of one session (two for relays), without the kernel.
func BenchmarkFrame(b *testing.B) {
	for _, tc := range framePaths {
		b.Run(tc.name, func(b *testing.B) {
			b.ReportAllocs()
			step := tc.setUp(b, newRig(b))
			for range 100 {
				step()
			}
			for b.Loop() {
				step()
			}
		})
	}
}

// FuzzReceive: whatever arrives, from the far end or a stranger, nothing panics, and every datagram is counted once.
func FuzzReceive(f *testing.F) {
	r := newRig(f)
	f.Add(r.packet, true)
	f.Add([]byte{0x90, 0x80, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 1, 0, 0, 9}, true)
	f.Add([]byte{0xb2, 101, 0, 2, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 5, 0x8a, 3, 0x20, 0, 2}, true)
	f.Add([]byte{0x80, 13, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 40}, false)
	a, b := r.session(f), r.session(f)
	a.Listen(deafSink{})
	if _, err := Join(a, b); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, known bool) {
		from := rigRemote
		if !known {
			from = netip.MustParseAddrPort("10.0.0.9:9")
		}
		sum := func() uint64 {
			st := a.Stats()
			return st.Received + st.Bad + st.Unwanted + st.Strangers
		}
		before := sum()
		a.receive(data, from, r.clock.now)
		if sum() != before+1 {
			t.Errorf("datagram %x counted %d times", data, sum()-before)
		}
		r.tick()
	})
}

// TestReportsDoNotAllocateOnTheReader: neither the hand-over of a datagram nor a flood of them costs the reader memory.
func TestReportsDoNotAllocateOnTheReader(t *testing.T) {
	r := newRig(t)
	s := r.session(t)
	b := append(make([]byte, 0, 64), 0x80, 0xc9, 0, 1, 0, 0, 0, 9)
	from := netip.AddrPortFrom(rigRemote.Addr(), rigRemote.Port()+1)
	if n := testing.AllocsPerRun(1000, func() { s.receiveControl(b, from, r.clock.now, false) }); n != 0 {
		t.Errorf("%.1f allocations for a datagram", n)
	}
	if got := s.reports.waiting.Load(); got != controlShare {
		t.Errorf("%d datagrams of one session wait, want %d", got, controlShare)
	}
	other := r.session(t)
	other.receiveControl(b, from, r.clock.now, false)
	if got := other.reports.waiting.Load(); got != 1 {
		t.Error("a flood on one session keeps another's reports out")
	}
	for len(r.engine.controlQueue) > 0 {
		c := <-r.engine.controlQueue
		c.session.takeControl(c)
	}
	if st := s.Stats(); st.ReportsTaken != controlShare || st.ReportsRefused < 900 {
		t.Errorf("taken %d, refused %d", st.ReportsTaken, st.ReportsRefused)
	}
}

// BenchmarkReports is the whole cost of RTCP for one session: a report made and one taken.
func BenchmarkReports(b *testing.B) {
	r := newRig(b)
	s := r.session(b)
	var room [rtcp.MaxSize + guardRoom]byte
	rr := []byte{0x80, 0xc9, 0, 1, 0, 0, 0, 9}
	c := &controlled{session: s, from: netip.AddrPortFrom(rigRemote.Addr(), rigRemote.Port()+1), n: copy(make([]byte, 8), rr)}
	copy(c.data[:], rr)
	b.ReportAllocs()
	for range b.N {
		r.clock.now += 10 * time.Second
		c.at = r.clock.now
		s.takeControl(c)
		s.report(r.clock.now, &room)
	}
}

// BenchmarkReportsNotDue is what looking through the sessions of 200 relayed calls for a report costs.
func BenchmarkReportsNotDue(b *testing.B) {
	r := newRig(b)
	all := make([]*Session, 400)
	for i := range all {
		all[i] = r.session(b)
	}
	var room [rtcp.MaxSize + guardRoom]byte
	for _, s := range all {
		s.report(r.clock.now, &room)
	}
	for b.Loop() {
		for _, s := range all {
			s.report(r.clock.now, &room)
		}
	}
}
