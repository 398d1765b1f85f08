package call

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/sip"
	"parklamp/sip/sdp"
	"parklamp/sip/siptest"
)

// Both sides do random things over a bad network. However it goes, every call ends exactly once on each
// side, nothing is left behind, and two sides that are still up agree on the media.
func TestChaos(t *testing.T) {
	for seed := uint64(1); seed <= 25; seed++ {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			n := siptest.New(seed)
			a := newSide(t, n, "10.0.0.1", func(c *Config) { c.SessionExpires = 90 * time.Second; c.RingTimeout = 10 * time.Second })
			b := newSide(t, n, "10.0.0.2", func(c *Config) { c.RingTimeout = 15 * time.Second })
			for _, d := range [][2]*side{{a, b}, {b, a}} {
				n.SetLink(d[0].addr, d[1].addr, siptest.Link{
					Loss: rng.Float64() * 0.2, Duplicate: 0.1, Reorder: 0.1, Delay: 5 * time.Millisecond, Jitter: 20 * time.Millisecond,
				})
			}
			referred := func(_ *Call, ev Event) {
				if r, ok := ev.(Referred); ok {
					r.Transfer.Accept()
					r.Transfer.Done(200, "")
				}
			}
			a.on, b.on = referred, referred
			b.take = func(c *Call) {
				if seed%4 > 0 {
					c.Ring()
				}
			}
			var calls []*Call
			act := func(s *side, c *Call) {
				switch rng.IntN(9) {
				case 0:
					c.Hangup("")
				case 1:
					c.Reject(486, "")
				case 2, 3, 4:
					c.Answer(s.local())
				case 5:
					c.Progress(s.local())
				case 6:
					c.Refer(a.uri("1"), nil)
				case 7:
					c.SetIdentity(Party{URI: "sip:x@y"})
				case 8:
					c.Update(s.with(sdp.Direction(rng.IntN(4))))
				}
			}
			for range 60 {
				if len(calls) < 8 {
					calls = append(calls, a.call(b, "701", func(o *Invite) { o.LateOffer = rng.IntN(4) == 0 }))
				}
				time.Sleep(time.Duration(rng.IntN(800)) * time.Millisecond)
				if rng.IntN(2) == 0 {
					act(a, calls[rng.IntN(len(calls))])
				} else if b.mu.Lock(); len(b.calls) > 0 {
					c := b.calls[rng.IntN(len(b.calls))]
					b.mu.Unlock()
					act(b, c)
				} else {
					b.mu.Unlock()
				}
			}
			n.Heal(a.addr, b.addr)
			time.Sleep(3 * time.Minute) // session timers find those that only one side believes in
			synctest.Wait()
			if up, down := len(a.ua.Calls()), len(b.ua.Calls()); up != down {
				t.Errorf("seed %d: a has %d calls, b has %d", seed, up, down)
			}
			for _, c := range a.ua.Calls() {
				far := b.find(c.Dialog().ID().Reverse())
				if far == nil {
					t.Errorf("seed %d: b does not have %s", seed, c.ID())
				} else if c.media.Send && !far.media.Receive || far.media.Send && !c.media.Receive {
					t.Errorf("seed %d: a %s, b %s", seed, mediaText(c.media), mediaText(far.media))
				}
				c.Hangup("")
			}
			a.idle()
			b.idle()
			for _, s := range []*side{a, b} {
				for c, seen := range s.seen {
					if !strings.HasPrefix(seen[len(seen)-1], "ended") {
						t.Errorf("seed %d: %s %s: no end: %v", seed, s.addr, c.ID(), seen)
					}
				}
			}
		})
	}
}

// BenchmarkCall sets up and ends a call between two UAs over the in-memory network.
func BenchmarkCall(b *testing.B) {
	n := siptest.New(1)
	var sides [2]*side
	for i, addr := range []string{"10.0.0.1", "10.0.0.2"} {
		s := &side{addr: netip.MustParseAddr(addr)}
		cfg := sip.Default()
		cfg.Listen = []string{"udp:" + addr + ":5060"}
		cfg.MaxDatagramsPerSourcePerSecond, cfg.MaxTransactions = 1<<20, 1<<20
		siptest.Start(b, cfg, []sip.Option{sip.WithNetwork(n.Host(s.addr)), siptest.WithNames(nil)}, func(e *sip.Endpoint) {
			s.ua = New(e, Default(), logger())
		})
		go func() { _ = s.ua.Run(b.Context()) }()
		sides[i] = s
	}
	caller, callee := sides[0], sides[1]
	callee.ua.OnIncoming(func(c *Call) Handler {
		c.Answer(callee.local())
		return func(*Call, Event) {}
	})
	ended := make(chan struct{}, 1)
	b.ReportAllocs()
	for b.Loop() {
		_, err := caller.ua.Invite(Invite{To: callee.uri("701"), Media: caller.local()}, func(c *Call, ev Event) {
			switch ev.(type) {
			case Answered:
				c.Hangup("")
			case Ended:
				ended <- struct{}{}
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		<-ended
	}
}
