package sip_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

// withPeer runs f in a bubble with an endpoint at 10.0.0.1 and a peer at 10.0.0.9.
func withPeer(t *testing.T, f func(t *testing.T, n *siptest.Net, e *sip.Endpoint, p *peer), setup ...func(*sip.Endpoint)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		e := siptest.NewEndpoint(t, n, "10.0.0.1", setup...)
		f(t, n, e, newPeer(t, n, "10.0.0.9"))
	})
}

const peerURI = "sip:carol@10.0.0.9"

func TestCancelWhileConnecting(t *testing.T) {
	withPeer(t, func(t *testing.T, n *siptest.Net, e *sip.Endpoint, p *peer) {
		n.Cut(addrA, netip.MustParseAddr("10.0.0.9"))
		tx := e.Request(request("INVITE", peerURI+";transport=tcp", "early", 1), sip.Send{})
		synctest.Wait()
		began := time.Now()
		tx.Cancel()
		if codes, _ := collect(tx); len(codes) != 0 || !errors.Is(tx.Err(), sip.ErrCancelled) || time.Since(began) != 0 {
			t.Errorf("got %v, %v after %v", codes, tx.Err(), time.Since(began))
		}
	})
}

// sipgo's WaitAnswer gives up after 10 provisional responses.
func TestManyProvisionalResponses(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		tx := e.Request(request("INVITE", peerURI, "many", 1), sip.Send{})
		invite := p.request("INVITE")
		for range 100 {
			p.answer(invite, 182, "x")
			synctest.Wait()
		}
		p.answer(invite, 486, "x")
		p.request("ACK")
		synctest.Wait()
		codes, _ := collect(tx)
		if len(codes) != 32 || codes[31] != 486 || codes[0] != 182 {
			t.Errorf("got %d responses, the last is %d", len(codes), codes[len(codes)-1])
		}
	})
}

func TestFinal(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		tx := e.Request(request("MESSAGE", peerURI, "final", 1), sip.Send{})
		req := p.request("MESSAGE")
		p.answer(req, 100, "")
		p.answer(req, 202, "x")
		if res, err := tx.Final(t.Context()); err != nil || res.StatusCode != 202 {
			t.Errorf("answered: got %v, %v", res, err)
		}
		silent := e.Request(request("MESSAGE", peerURI, "silent", 1), sip.Send{})
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("somebody has lost his patience")
		time.AfterFunc(time.Second, func() { cancel(why) })
		if res, err := silent.Final(ctx); res != nil || err != why {
			t.Errorf("given up: got %v, %v", res, err)
		}
		if res, err := silent.Final(t.Context()); res != nil || !errors.Is(err, sip.ErrTimeout) {
			t.Errorf("silent: got %v, %v", res, err)
		}
	})
}

// sipgo sends the CANCEL to where the Record-Route of the 180 points.
func TestCancelGoesTheWayOfItsInvite(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		tx := e.Request(request("INVITE", peerURI, "rr", 1), sip.Send{})
		invite := p.request("INVITE")
		tx.Cancel() // before any answer: must wait for one
		synctest.Wait()
		if len(p.in) != 0 {
			t.Fatal("CANCEL before a provisional response")
		}
		p.answer(invite, 180, "x", "Record-Route: <sip:10.0.0.77;lr>", "Contact: <sip:carol@10.0.0.78>")
		cancel := p.request("CANCEL")
		if got, want := cancel.Via().Value(), invite.Via().Value(); got != want {
			t.Errorf("Via of CANCEL %q, of INVITE %q", got, want)
		}
		if cancel.CSeq().SeqNo != invite.CSeq().SeqNo || cancel.Recipient.String() != invite.Recipient.String() {
			t.Errorf("CANCEL does not match: %s", firstLine(cancel))
		}
		// An unanswered CANCEL must not hide the final response.
		p.answer(invite, 486, "x")
		p.request("ACK")
		codes, _ := collect(tx)
		if len(codes) != 2 || codes[1] != 486 {
			t.Errorf("got %v", codes)
		}
	})
}

func TestCancelledInviteThatIsNeverAnswered(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		tx := e.Request(request("INVITE", peerURI, "mute", 1), sip.Send{})
		invite := p.request("INVITE")
		p.answer(invite, 180, "x")
		<-tx.Responses()
		began := time.Now()
		tx.Cancel()
		p.answer(p.request("CANCEL"), 200, "x")
		collect(tx)
		if d := time.Since(began); !errors.Is(tx.Err(), sip.ErrTimeout) || d != 32*time.Second {
			t.Errorf("got %v after %v, want ErrTimeout after 64*T1", tx.Err(), d)
		}
	})
}

// Timer C: sipgo has none.
func TestInviteThatRingsForEver(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		tx := e.Request(request("INVITE", peerURI, "ring", 1), sip.Send{})
		invite := p.request("INVITE")
		p.answer(invite, 180, "x")
		cancel := p.request("CANCEL")
		p.answer(cancel, 200, "x")
		p.answer(invite, 487, "x")
		p.request("ACK")
		if codes, _ := collect(tx); codes[len(codes)-1] != 487 {
			t.Errorf("got %v", codes)
		}
	})
}

// sipgo acknowledges the second fork with the tag of the first, and a repeated
// 486 only after 4 s.
func TestForksAndRepeatedFinals(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		tx := e.Request(request("INVITE", peerURI, "fork", 1), sip.Send{})
		invite := p.request("INVITE")
		ack := func(res *gosip.Response) {
			a := request("ACK", peerURI, "fork", 1)
			tag, _ := res.To().Params.Get("tag")
			a.To().Params.Add("tag", tag)
			if err := e.Ack(a, sip.Send{}); err != nil {
				t.Error(err)
			}
		}
		for _, tag := range []string{"one", "two"} {
			p.answer(invite, 200, tag)
			ack(<-tx.Responses())
			got, _ := p.request("ACK").To().Params.Get("tag")
			if got != tag {
				t.Errorf("ACK for %q, want %q", got, tag)
			}
		}
		p.answer(invite, 200, "one") // its ACK was lost
		if got, _ := p.request("ACK").To().Params.Get("tag"); got != "one" {
			t.Errorf("repeated ACK is for %q", got)
		}
		began := time.Now()
		if codes, _ := collect(tx); len(codes) != 0 || tx.Err() != nil {
			t.Errorf("got %v, %v", codes, tx.Err())
		}
		if d := time.Since(began); d != 32*time.Second {
			t.Errorf("open for %v, want 64*T1", d)
		}

		tx = e.Request(request("INVITE", peerURI, "busy", 1), sip.Send{})
		invite = p.request("INVITE")
		p.answer(invite, 486, "x")
		p.request("ACK")
		began = time.Now()
		p.answer(invite, 486, "x")
		p.request("ACK")
		if d := time.Since(began); d != 0 {
			t.Errorf("a repeated 486 is acknowledged after %v", d)
		}
		collect(tx)
	})
}

// A request must leave from the port that its Via names.
func TestRequestLeavesFromItsListener(t *testing.T) {
	withPeer(t, func(t *testing.T, n *siptest.Net, e *sip.Endpoint, p *peer) {
		from := make(chan netip.AddrPort, 8)
		n.Tap(func(p siptest.Packet) { from <- p.From })
		tx := e.Request(request("MESSAGE", peerURI, "port", 1), sip.Send{})
		req := p.request("MESSAGE")
		if got := <-from; got != netip.AddrPortFrom(addrA, 5060) || req.Via().SentBy() != "10.0.0.1:5060" {
			t.Errorf("from %v with Via %s", got, req.Via().SentBy())
		}
		p.answer(req, 200, "x")
		collect(tx)
	})
}

func large(uri, callID string) *gosip.Request {
	req := request("MESSAGE", uri, callID, 1)
	req.SetBody([]byte(strings.Repeat("x", 1400)))
	return req
}

// RFC 3261 §18.1.1; sipgo returns an error.
func TestLargeRequestMovesToTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		a := siptest.NewEndpoint(t, n, "10.0.0.1")
		by := make(chan string, 2)
		siptest.NewEndpoint(t, n, "10.0.0.2", func(e *sip.Endpoint) {
			e.Handle("MESSAGE", func(req *gosip.Request, tx *sip.ServerTx) {
				by <- tx.Transport() + " " + req.Via().Transport
				_ = tx.Respond(sip.NewResponse(req, 200, "OK"))
			})
		})
		tx := a.Request(large("sip:bob@10.0.0.2", "large"), sip.Send{})
		if codes, _ := collect(tx); len(codes) != 1 || codes[0] != 200 {
			t.Fatalf("got %v, %v", codes, tx.Err())
		}
		if got := <-by; got != "tcp TCP" {
			t.Errorf("came by %s", got)
		}
	})
}

func TestLargeRequestFallsBackToUDP(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) { // the peer has no TCP
		tx := e.Request(large(peerURI, "large"), sip.Send{})
		p.answer(p.request("MESSAGE"), 200, "x")
		if codes, _ := collect(tx); len(codes) != 1 || codes[0] != 200 {
			t.Fatalf("got %v, %v", codes, tx.Err())
		}
	})
}

func TestServersOfANameInTurn(t *testing.T) {
	names := &siptest.Names{
		Addrs: map[string][]netip.Addr{
			"a.example": {netip.MustParseAddr("10.0.0.7")}, // nobody there
			"b.example": {netip.MustParseAddr("10.0.0.8")}, // refuses with 503
			"c.example": {netip.MustParseAddr("10.0.0.9")},
		},
		SRV: map[string][]*net.SRV{"_sip._udp.example": {
			{Target: "a.example.", Port: 5060}, {Target: "b.example.", Port: 5060}, {Target: "c.example.", Port: 5060},
		}},
	}
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		cfg := sip.Default()
		cfg.Listen = []string{"udp:10.0.0.1:5060"}
		e := siptest.Start(t, cfg, []sip.Option{sip.WithNetwork(n.Host(addrA)), siptest.WithNames(names)})
		b, c := newPeer(t, n, "10.0.0.8"), newPeer(t, n, "10.0.0.9")
		began := time.Now()
		tx := e.Request(request("MESSAGE", "sip:bob@example", "srv", 1), sip.Send{})
		first := b.request("MESSAGE")
		b.answer(first, 503, "x")
		second := c.request("MESSAGE")
		c.answer(second, 200, "x")
		if codes, _ := collect(tx); len(codes) != 1 || codes[0] != 200 {
			t.Fatalf("got %v, %v", codes, tx.Err())
		}
		if d := time.Since(began); d != 32*time.Second {
			t.Errorf("the dead server cost %v", d)
		}
		x, _ := first.Via().Params.Get("branch")
		if y, _ := second.Via().Params.Get("branch"); x == y {
			t.Error("the same branch at two servers")
		}
	})
}

func TestRequestThatCannotGo(t *testing.T) {
	for _, c := range []struct {
		name, uri string
		send      sip.Send
		want      error
	}{
		{"no such name", "sip:bob@nowhere.example", sip.Send{}, sip.ErrUnresolvable},
		{"no listener for it", "sips:bob@10.0.0.9", sip.Send{}, sip.ErrUnresolvable},
		{"other address family", "sip:bob@[2001:db8::1]", sip.Send{}, sip.ErrUnresolvable},
		{"connection refused", "sip:bob@10.0.0.9;transport=tcp", sip.Send{}, sip.ErrTransport},
		{"a local address that we do not have", peerURI, sip.Send{Local: netip.MustParseAddrPort("10.9.9.9:0")}, sip.ErrUnresolvable},
	} {
		t.Run(c.name, func(t *testing.T) {
			withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, _ *peer) {
				tx := e.Request(request("MESSAGE", c.uri, "x", 1), c.send)
				codes, _ := collect(tx)
				if len(codes) != 0 || !errors.Is(tx.Err(), c.want) {
					t.Errorf("got %v, %v, want %v", codes, tx.Err(), c.want)
				}
			})
		})
	}
}

// Text out of a call must not become a header of its own.
func TestLineBreakInHeader(t *testing.T) {
	withPeer(t, func(t *testing.T, n *siptest.Net, e *sip.Endpoint, _ *peer) {
		n.Tap(func(p siptest.Packet) { t.Errorf("sent %q", p.Data) })
		for _, evil := range []string{"a\r\nRoute: <sip:evil>", "a\nb", "a\rb"} {
			req := request("MESSAGE", peerURI, "evil", 1)
			req.AppendHeader(gosip.NewHeader("Subject", evil))
			tx := e.Request(req, sip.Send{})
			if collect(tx); !errors.Is(tx.Err(), sip.ErrTransport) {
				t.Errorf("%q: got %v", evil, tx.Err())
			}
		}
	})
}

func TestOutboundProxy(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		proxy := gosip.Uri{Scheme: "sip", Host: "10.0.0.9"}
		tx := e.Request(request("MESSAGE", "sip:bob@far.example", "proxy", 1), sip.Send{Route: []gosip.Uri{proxy}})
		req := p.request("MESSAGE")
		if req.Recipient.Host != "far.example" || req.Route().Value() != "<sip:10.0.0.9;lr>" {
			t.Errorf("got %s with Route %s", firstLine(req), req.Route().Value())
		}
		p.answer(req, 200, "x")
		collect(tx)
	})
}

// A finished transaction is kept for T4 (Timer K), not for sipgo's 32 s.
func TestFinishedClientTransactionIsForgotten(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		tx := e.Request(request("MESSAGE", peerURI, "k", 1), sip.Send{})
		p.answer(p.request("MESSAGE"), 200, "x")
		collect(tx)
		time.Sleep(4900 * time.Millisecond)
		if s := e.Stats(); s.ClientTxs != 1 {
			t.Errorf("%d transactions before T4", s.ClientTxs)
		}
		time.Sleep(200 * time.Millisecond)
		if s := e.Stats(); s.ClientTxs != 0 {
			t.Errorf("%d transactions after T4", s.ClientTxs)
		}
	})
}
