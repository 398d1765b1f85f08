package event

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

// crashable runs an agent that kill ends without a word to anybody.
func crashable(t *testing.T, n *siptest.Net, addr string, p Package) (a *Agent, kill func()) {
	t.Helper()
	host := netip.MustParseAddr(addr)
	cfg := sip.Default()
	cfg.Listen = []string{"udp:" + addr + ":5060", "tcp:" + addr + ":5060"}
	ep, err := sip.New(cfg, slog.New(slog.DiscardHandler), sip.WithNetwork(n.Host(host)))
	if err != nil {
		t.Fatal(err)
	}
	a = New(ep, Default(), slog.New(slog.DiscardHandler))
	a.Serve(p)
	epCtx, epCancel := context.WithCancel(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	go func() { _ = ep.Run(epCtx); ended <- struct{}{} }()
	<-ep.Ready()
	go func() { _ = a.Run(ctx); ended <- struct{}{} }()
	return a, func() {
		epCancel()
		<-ended
		cancel()
		<-ended
	}
}

// A notifier crashes and comes back with other state. The subscriber that hears of
// it asks in the old dialog, gets 481, and has full state in the same instant.
func TestNotifierRestart(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.New(1)
				life := 1
				p := Package{Name: "dialog", ContentType: "application/dialog-info+xml", Document: func(r Request) ([]byte, bool) {
					return fmt.Appendf(nil, "life %d version %d", life, r.Version), true
				}}
				near, kill := crashable(t, n, agentAddr, p)
				far, _ := newAgent(t, n, "10.0.0.9", Default())
				s := what()
				s.Target.Host, s.Transport = agentAddr, transport
				var r record
				sub := far.Subscribe(s, r.add)
				synctest.Wait()
				near.Changed("dialog", "701")
				time.Sleep(time.Second)
				expect(t, "updates", r.flush(), "active life 1 version 0, active life 1 version 1")
				kill()
				time.Sleep(time.Second)
				life = 2
				near, kill = crashable(t, n, agentAddr, p)
				defer kill()
				began := time.Now()
				sub.Refresh()
				expect(t, "updates", r.flush(), "lost subscription does not exist at the notifier, active life 2 version 0")
				expect(t, "time", time.Since(began), time.Duration(0))
				near.Changed("dialog", "701")
				time.Sleep(time.Second)
				expect(t, "updates", r.flush(), "active life 2 version 1")
			})
		})
	}
}

// A notifier that is stopped in order says so: the subscriber knows at once that it
// knows nothing, and is back when told.
func TestNotifierStopsInOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		far, _ := newAgent(w.t, w.net, "10.0.0.9", Default())
		s := what()
		s.Target.Host = agentAddr
		var r record
		far.Subscribe(s, r.add)
		expect(t, "updates", r.flush(), "active 701 version=0 state=0")
		w.stop()
		expect(t, "updates", r.flush(), "lost probation")
		time.Sleep(3 * time.Second)
		expect(t, "updates", r.flush(), "lost 503 Service Unavailable")
	})
}

// A partition that outlasts the subscription: lost, and active again after it.
func TestPartition(t *testing.T) {
	inWorld(t, func(w *world) {
		far, _ := newAgent(w.t, w.net, "10.0.0.9", Default())
		s := what()
		s.Target.Host = agentAddr
		var r record
		far.Subscribe(s, r.add)
		expect(t, "updates", r.flush(), "active 701 version=0 state=0")
		a, b := netip.MustParseAddr(agentAddr), netip.MustParseAddr("10.0.0.9")
		w.net.Cut(a, b)
		w.change()
		time.Sleep(time.Minute)
		expect(t, "watchers", w.agent.Stats().Watchers, 0)
		time.Sleep(time.Hour)
		if got := r.flush(); len(got) < 4 || got[:4] != "lost" {
			t.Errorf("updates = %q", got)
		}
		w.net.Heal(a, b)
		time.Sleep(80 * time.Second) // 64*T1 for the try that is under way, which may be told as lost, then the back-off
		if got := r.flush(); !strings.HasSuffix(got, "active 701 version=0 state=1") {
			t.Errorf("updates = %q, want active at the end", got)
		}
	})
}

// More requests than the agent can queue get 503 at once, not silence.
func TestOverload(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer.subscribe(&watch{callID: "slow"}, usual...)
		synctest.Wait() // it is being handled
		for i := range 39 {
			w.peer.subscribe(&watch{callID: fmt.Sprint("c", i)}, usual...)
		}
		refused := 0
		for ; w.peer.next(100*time.Millisecond) != nil; refused++ {
		}
		expect(t, "refused", refused, 39-16)
		expect(t, "refused by count", w.agent.Stats().Refused, 39-16)
	}, func(c *Config, p *Package) {
		c.MaxPending = 16
		p.Document = func(Request) ([]byte, bool) {
			time.Sleep(time.Second)
			return nil, false
		}
	})
}

// Who is about to be followed by another process sends the subscribers of one package away, who come back to that; those of
// others hear nothing. It waits for their answers, and for nobody who does not answer for long.
func TestDismiss(t *testing.T) {
	for _, dead := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := siptest.New(1)
			p := Package{Name: "dialog", ContentType: "application/dialog-info+xml", Document: func(Request) ([]byte, bool) { return []byte("state"), true }}
			near, kill := crashable(t, n, agentAddr, p)
			far, _ := newAgent(t, n, "10.0.0.9", Default())
			s := what()
			s.Target.Host = agentAddr
			var r record
			far.Subscribe(s, r.add)
			synctest.Wait()
			expect(t, "updates", r.flush(), "active state")
			near.Dismiss(t.Context(), "presence")
			synctest.Wait()
			expect(t, "updates", r.flush(), "")
			if dead {
				n.Cut(netip.MustParseAddr(agentAddr), netip.MustParseAddr("10.0.0.9"))
			}
			began := time.Now()
			near.Dismiss(t.Context(), "dialog")
			if took, want := time.Since(began), map[bool]time.Duration{true: Default().ShutdownFor}[dead]; took != want {
				t.Errorf("dead %v: took %v, want %v", dead, took, want)
			}
			kill()
			if dead {
				return
			}
			_, kill = crashable(t, n, agentAddr, p)
			defer kill()
			time.Sleep(Default().ComeBack)
			synctest.Wait()
			expect(t, "updates", r.flush(), "lost probation, active state")
			near.Dismiss(t.Context(), "dialog") // one that has ended has nobody to send away
		})
	}
}
