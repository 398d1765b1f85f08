package media_test

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/rtcp"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
	"parklamp/media/rtcp"
)

// compound is one RTCP datagram that the network has seen.
type compound struct {
	from, to netip.AddrPort
	at       time.Time
	packets  []pion.Packet
}

// wiretap keeps the RTCP of the network.
type wiretap struct {
	mu  sync.Mutex
	all []compound
}

// wiretap begins to listen, after f has had its way with each datagram.
func (b *bench) wiretap(f func(d *mediatest.Datagram)) *wiretap {
	w := &wiretap{}
	b.net.Hook(func(d *mediatest.Datagram) {
		if f != nil {
			f(d)
		}
		if rtcp.Is(d.Data) {
			packets, err := pion.Unmarshal(d.Data)
			if err != nil {
				b.t.Errorf("RTCP from %s: %v", d.From, err)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.all = append(w.all, compound{d.From, d.To, time.Now(), packets})
		}
	})
	return w
}

// take returns what was heard since the last time.
func (w *wiretap) take() []compound {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

// couple is two sessions that talk to each other.
func (b *bench) couple(change func(p *media.Params)) (x, y *media.Session) {
	x, y = b.session(), b.session()
	for _, s := range []struct{ s, peer *media.Session }{{x, y}, {y, x}} {
		p := both(s.peer.LocalAddr(), codec.PCMU)
		if change != nil {
			change(&p)
		}
		b.configure(s.s, p)
		s.s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		s.s.Listen(mediatest.NewRecorder())
	}
	return x, y
}

func lastly[T pion.Packet](all []compound, from netip.AddrPort) (last T, n int) {
	for _, c := range all {
		for _, p := range c.packets {
			if p, ok := p.(T); ok && c.from == from {
				last = p
				n++
			}
		}
	}
	return last, n
}

// above is the RTCP port of an RTP address.
func above(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), a.Port()+1) }

// TestLossIsWhatTheFarEndReports loses every 20th packet one way and delays all by 40 ms: what one end counts is what the
// other learns, on two ports and on one.
func TestLossIsWhatTheFarEndReports(t *testing.T) {
	for _, mux := range []bool{false, true} {
		inBubble(t, func(t *testing.T, b *bench) {
			x, y := b.couple(func(p *media.Params) { p.Mux, p.Extended = mux, true })
			n := 0
			taps := b.wiretap(func(d *mediatest.Datagram) {
				d.Delay = 40 * time.Millisecond
				if !rtcp.Is(d.Data) && d.From == x.LocalAddr() {
					n++
					d.Drop = n%20 == 10
				}
			})
			time.Sleep(30 * time.Second)
			x.Play(nil)
			time.Sleep(7 * time.Second)

			there, here := y.Quality(), x.Quality()
			if got, want := here.Out.Lost, there.In.Lost; got != want || want == 0 || want != uint64((n+10)/20) {
				t.Errorf("mux %v: x learns that %d were lost, y counts %d, the network dropped %d", mux, got, want, (n+10)/20)
			}
			// The first packet goes out at once, and may come before the far end is configured.
			if here.Out.Packets-there.In.Packets > 1 {
				t.Errorf("mux %v: of %d packets, and of %d", mux, here.Out.Packets, there.In.Packets)
			}
			if rt := here.RoundTrip; rt < 79*time.Millisecond || rt > 82*time.Millisecond {
				t.Errorf("mux %v: round trip %s, want 80 ms", mux, rt)
			}
			if r := there.In.R; r < 70 || r > 80 || here.Out.R < r-1 || here.Out.R > r+1 {
				t.Errorf("mux %v: y hears with R %.1f, and tells x %.1f", mux, r, here.Out.R)
			}
			if q := here.In; !q.Known || q.Lost != 0 || q.R < 89 || q.MOS < 4.2 {
				t.Errorf("mux %v: x hears %+v", mux, q)
			}
			for _, c := range taps.take() {
				if muxed := c.from == x.LocalAddr() || c.from == y.LocalAddr(); muxed != mux {
					t.Errorf("mux %v: a report from %s to %s", mux, c.from, c.to)
				}
			}
			if s := x.Stats(); s.ReportsSent < 4 || s.ReportsTaken < 4 || s.ReportsRefused != 0 || s.Unwanted != 0 || s.Bad != 0 {
				t.Errorf("mux %v: %+v", mux, s)
			}
		})
	}
}

// TestReportsGoOnDuringHold: neither inactive nor a far end that only listens ends the reports (RFC 3264 §5.1), a zero
// address does.
func TestReportsGoOnDuringHold(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		taps := b.wiretap(nil)
		x, y := b.couple(nil)
		from := above(x.LocalAddr())
		time.Sleep(10 * time.Second)
		for _, c := range []struct {
			name string
			p    media.Params
			want bool
		}{
			{"inactive", media.Params{Remote: y.LocalAddr()}, true},
			{"resumed", both(y.LocalAddr(), codec.PCMU), true},
			{"zero address", media.Params{Remote: netip.MustParseAddrPort("0.0.0.0:4000")}, false},
			{"resumed again", both(y.LocalAddr(), codec.PCMU), true},
		} {
			b.configure(x, c.p)
			taps.take()
			time.Sleep(20 * time.Second)
			heard := taps.take()
			_, n := lastly[*pion.SourceDescription](heard, from)
			if (n >= 3) != c.want || !c.want && n > 0 {
				t.Errorf("%s: %d reports in 20 s", c.name, n)
			}
			if _, senders := lastly[*pion.SenderReport](heard, from); c.name == "inactive" && senders > 2 {
				t.Errorf("%s: %d sender reports of who does not send", c.name, senders)
			}
		}
	})
}

// TestWithheld: while nobody has shown that he is there, nothing goes to him; then all of it does.
func TestWithheld(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		taps := b.wiretap(nil)
		open := func() (*media.Session, *mediatest.Peer, media.Params) {
			s, p := b.session(), b.peer(farHost)
			params := both(p.Addr(), codec.PCMU)
			params.Withhold = true
			b.configure(s, params)
			s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
			b.talk(p, s, codec.PCMU, mediatest.Voice(1, 30*time.Second))
			return s, p, params
		}
		gone, _, _ := open()
		s, p, params := open()
		time.Sleep(30 * time.Second)
		gone.Close()
		if n, reports := len(p.Packets()), len(taps.take()); n+reports > 0 {
			t.Errorf("%d packets and %d reports while they were withheld", n, reports)
		}
		if stored, err := json.Marshal(s.State()); err != nil || strings.Contains(string(stored), "Withhold") {
			t.Errorf("another life would withhold it too: %s, %v", stored, err)
		}
		params.Withhold = false
		b.configure(s, params)
		time.Sleep(20 * time.Second)
		if n, reports := len(p.Packets()), len(taps.take()); n < 990 || reports < 3 {
			t.Errorf("%d packets and %d reports afterwards", n, reports)
		}
	})
}

// TestGoodBye: the end of a session ends its stream.
func TestGoodBye(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		taps := b.wiretap(nil)
		x, _ := b.couple(nil)
		time.Sleep(3 * time.Second)
		x.Close()
		time.Sleep(10 * time.Second)
		var last compound
		for _, c := range taps.take() {
			if c.from == above(x.LocalAddr()) {
				last = c
			}
		}
		bye, ok := last.packets[len(last.packets)-1].(*pion.Goodbye)
		sr, isSR := last.packets[0].(*pion.SenderReport)
		if !ok || !isSR || len(bye.Sources) != 1 || bye.Sources[0] != sr.SSRC {
			t.Errorf("the last report: %v", last.packets)
		}
		unused := b.session()
		b.configure(unused, both(netip.AddrPortFrom(farHost, 4000), codec.PCMU))
		taps.take()
		unused.Close()
		time.Sleep(time.Second)
		if _, n := lastly[*pion.Goodbye](taps.take(), above(unused.LocalAddr())); n != 0 {
			t.Errorf("a session that has sent nothing said good-bye")
		}
	})
}

// TestKeptStreamsHaveNoGoodBye: when an engine ends, its streams end too, unless another process goes on with them.
func TestKeptStreamsHaveNoGoodBye(t *testing.T) {
	for _, kept := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := mediatest.NewNet()
			e := media.NewEngine(media.Default(), slog.New(slog.DiscardHandler), media.WithNetwork(n), media.WithClock(media.NewTimerClock()))
			b := &bench{t, n, e}
			taps := b.wiretap(nil)
			var x *media.Session
			runEngine(t, e, func() {
				x, _ = b.couple(nil)
				time.Sleep(3 * time.Second)
				if kept {
					e.Keep()
				}
			})
			time.Sleep(time.Second)
			_, byes := lastly[*pion.Goodbye](taps.take(), above(x.LocalAddr()))
			if byes > 0 == kept {
				t.Errorf("kept %v: %d good-byes", kept, byes)
			}
		})
	}
}

// TestReportsOfStrangers: who is not the far end neither gets reports nor is believed, wherever the audio comes from.
func TestReportsOfStrangers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		// The far end signals a private address and sends from the public face of its NAT.
		private := netip.MustParseAddrPort("192.168.0.7:4000")
		s, p := b.session(), b.peer(farHost)
		params := both(private, codec.PCMU)
		params.SignalledFrom = farHost
		b.configure(s, params)
		s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		taps := b.wiretap(nil)
		begin := time.Now()
		say := func(n int) {
			for range n {
				p.Send(s.LocalAddr(), 0, false, make([]byte, 160), 160)
				time.Sleep(20 * time.Millisecond)
			}
		}
		say(500)
		if s.Stats().Remote != p.Addr() {
			t.Fatal("audio does not follow the far end")
		}
		for _, c := range taps.take() {
			if c.at.After(begin.Add(time.Second)) && c.from == above(s.LocalAddr()) {
				t.Errorf("a report to %s, which nobody has proved", c.to)
			}
		}
		report := func(from netip.AddrPort, ssrc uint32) {
			b.t.Helper()
			data, err := pion.Marshal([]pion.Packet{&pion.ReceiverReport{SSRC: ssrc}})
			if err != nil {
				t.Fatal(err)
			}
			b.net.Inject(mediatest.Datagram{From: from, To: above(s.LocalAddr()), Data: data})
			time.Sleep(time.Millisecond)
		}
		ours := p.SSRC()
		report(netip.AddrPortFrom(otherHost, 9), ours)
		report(netip.AddrPortFrom(farHost, 9), ours+1)
		if st := s.Stats(); st.ReportsTaken != 0 || st.ReportsRefused != 2 {
			t.Errorf("taken %d, refused %d, want 0 and 2", st.ReportsTaken, st.ReportsRefused)
		}
		taps.take()
		report(netip.AddrPortFrom(farHost, 9), ours)
		say(500)
		if st := s.Stats(); st.ReportsTaken != 1 {
			t.Errorf("the far end's own report was not taken")
		}
		n := 0
		for _, c := range taps.take() {
			if c.from == above(s.LocalAddr()) {
				n++
				if c.to != netip.AddrPortFrom(farHost, 9) {
					t.Errorf("a report to %s", c.to)
				}
			}
		}
		if n == 0 {
			t.Error("no report to the address that the far end proved")
		}
	})
}

// TestReportsGoOnAfterRestore: the next life has the same name and goes on with the counts.
func TestReportsGoOnAfterRestore(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		taps := b.wiretap(nil)
		x, y := b.couple(nil)
		time.Sleep(20 * time.Second)
		state := x.State()
		from := above(x.LocalAddr())
		heard := taps.take()
		before, _ := lastly[*pion.SenderReport](heard, from)
		name, _ := lastly[*pion.SourceDescription](heard, from)
		x.Close()
		time.Sleep(300 * time.Millisecond)
		taps.take()
		x, err := b.engine.Restore(state)
		if err != nil {
			t.Fatal(err)
		}
		b.configure(x, state.Params)
		x.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		time.Sleep(20 * time.Second)
		heard = taps.take()
		after, n := lastly[*pion.SenderReport](heard, from)
		again, _ := lastly[*pion.SourceDescription](heard, from)
		if n == 0 || after.SSRC != before.SSRC || after.PacketCount < before.PacketCount+600 || after.PacketCount > before.PacketCount+1400 {
			t.Fatalf("before %v, after %v", before, after)
		}
		if again.Chunks[0].Items[0].Text != name.Chunks[0].Items[0].Text {
			t.Errorf("another name: %v, %v", name, again)
		}
		time.Sleep(5 * time.Second)
		out, in := x.Quality().Out, y.Quality().In
		if out.Lost < in.Lost-2 || out.Lost > in.Lost || in.Lost < 10 || in.Lost > 20 {
			t.Errorf("y counts %d lost in the gap of 300 ms, x learns of %d", in.Lost, out.Lost)
		}
	})
}

// TestRelayHidesNoLoss: RTCP ends at each leg, and the leg's far end sees the losses of the whole way.
func TestRelayHidesNoLoss(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		leg1, end1 := b.couple(nil)
		leg2, end2 := b.couple(nil)
		n := 0
		taps := b.wiretap(func(d *mediatest.Datagram) {
			if d.From == end1.LocalAddr() {
				n++
				d.Drop = n%10 == 0
			}
		})
		relay, err := media.Join(leg1, leg2)
		if err != nil {
			t.Fatal(err)
		}
		defer relay.Close()
		time.Sleep(30 * time.Second)
		end1.Play(nil)
		time.Sleep(7 * time.Second)
		lost := uint64(n / 10)
		near := func(got uint64) bool { return got+2 >= lost && got <= lost+2 }
		if got := leg1.Quality().In.Lost; !near(got) {
			t.Errorf("leg 1 counts %d lost, want %d", got, lost)
		}
		if got := end1.Quality().Out.Lost; !near(got) {
			t.Errorf("the far end of leg 1 learns of %d lost, want %d", got, lost)
		}
		if got := end2.Quality().In.Lost; !near(got) {
			t.Errorf("the far end of leg 2 counts %d lost, want %d", got, lost)
		}
		if got := leg2.Quality().Out.Lost; !near(got) {
			t.Errorf("leg 2 learns of %d lost, want %d", got, lost)
		}
		// Nobody's report passes the relay.
		for _, c := range taps.take() {
			pairs := map[netip.AddrPort]netip.AddrPort{above(leg1.LocalAddr()): above(end1.LocalAddr()), above(leg2.LocalAddr()): above(end2.LocalAddr()),
				above(end1.LocalAddr()): above(leg1.LocalAddr()), above(end2.LocalAddr()): above(leg2.LocalAddr())}
			if pairs[c.from] != c.to {
				t.Errorf("a report from %s to %s", c.from, c.to)
			}
		}
	})
}
