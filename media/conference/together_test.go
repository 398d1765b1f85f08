package conference_test

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/conference"
	"parklamp/media/mediatest"
	"parklamp/media/rtpio"
)

// mic is a silent local end whose clock is fast: every second tick it wants the next one earlier.
type mic struct {
	n    int
	fast bool
}

func (m *mic) Next(f *media.Frame) bool       { clear(f[:]); return true }
func (m *mic) Write(*media.Frame, media.Kind) {}
func (m *mic) Shift(time.Duration) time.Duration {
	if m.n++; m.fast && m.n%2 == 0 {
		return -time.Millisecond
	}
	return 0
}

// Sessions of a conference that began anywhere in the 20 ms have their ticks together soon, and stay together when the local
// end's clock pulls at them. What one says reaches all others at the same time, without waiting for a tick of theirs.
func TestPartiesComeTogether(t *testing.T) {
	for _, fast := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			network := mediatest.NewNet()
			e := media.NewEngine(media.Default(), slog.New(slog.DiscardHandler), media.WithNetwork(network), media.WithClock(media.NewTimerClock()))
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = e.Run(ctx) })
			defer wg.Wait()
			defer cancel()
			m := conference.New()
			local := &mic{fast: fast}
			if _, err := m.AddLocal(local, local); err != nil {
				t.Fatal(err)
			}
			var peers []*mediatest.Peer
			var sessions []*media.Session
			for _, wait := range []time.Duration{7, 16, 3, 11} {
				s, err := e.Open(netip.MustParseAddr("10.0.0.1"))
				if err != nil {
					t.Fatal(err)
				}
				conn, err := network.Listen(netip.MustParseAddrPort("10.0.0.2:0"), rtpio.Socket{})
				if err != nil {
					t.Fatal(err)
				}
				far := mediatest.NewPeer(conn)
				wg.Go(far.Record)
				defer far.Close()
				if err := s.Configure(media.Params{Remote: far.Addr(), Codec: codec.PCMU, Send: true, Receive: true}); err != nil {
					t.Fatal(err)
				}
				p, err := m.Add()
				if err != nil {
					t.Fatal(err)
				}
				s.Play(p)
				s.Listen(p)
				time.Sleep(wait * time.Millisecond)
				peers, sessions = append(peers, far), append(sessions, s)
			}
			time.Sleep(time.Second)
			for _, far := range peers {
				far.Forget()
			}
			// One second of silence with a word of 20 ms in it every 200 ms.
			word := make([]int16, 8000)
			for i := 0; i < len(word); i += 1600 {
				for k := range 160 {
					word[i+k] = 8000
				}
			}
			began := time.Now()
			for range 10 {
				if err := peers[0].Talk(t.Context(), sessions[0].LocalAddr(), codec.PCMU, word); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Millisecond)
			}
			synctest.Wait()
			first := peers[0].Packets()
			for n, far := range peers {
				got := far.Packets()
				if len(got) < 495 || len(got) != len(first) {
					t.Fatalf("%d packets for %d, %d for the first", len(got), n, len(first))
				}
				for i, p := range got {
					if p.At != first[i].At {
						t.Fatalf("packet %d goes to %d %s later than to the first", i, n, p.At.Sub(first[i].At))
					}
					if i > 0 && (p.Header.Marker || p.Header.SequenceNumber != got[i-1].Header.SequenceNumber+1 || p.At.Sub(got[i-1].At) < 19*time.Millisecond) {
						t.Fatalf("packet %d to %d comes %s after the one before", i, n, p.At.Sub(got[i-1].At))
					}
				}
				i := slices.IndexFunc(got, func(p mediatest.Packet) bool {
					return slices.Max(mediatest.Audio([]mediatest.Packet{p})) > 4000
				})
				if n > 0 && (i < 0 || got[i].At.Sub(began) > 60*time.Millisecond) {
					t.Errorf("a word reaches %d at packet %d of %d", n, i, len(got))
				} else if n > 0 && !fast {
					t.Logf("a word reaches %d after %s", n, got[i].At.Sub(began))
				}
			}
		})
	}
}
