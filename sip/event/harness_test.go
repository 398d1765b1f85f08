package event

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

const (
	agentAddr = "10.0.0.1"
	peerAddr  = "10.0.0.2"
)

// world is an agent at 10.0.0.1 that serves Event: dialog for 701 and 702, and a
// scripted peer at 10.0.0.2 that speaks UDP.
type world struct {
	t     *testing.T
	net   *siptest.Net
	agent *Agent
	peer  *peer
	stop  func() // ends the agent, not its endpoint

	state atomic.Int64 // what the documents say
	gone  atomic.Bool  // there is no resource any more
}

// inWorld runs f inside a synctest bubble. Setup may change configuration and package.
func inWorld(t *testing.T, f func(w *world), setup ...func(c *Config, p *Package)) {
	inWorldWith(t, func(*Agent) {}, f, setup...)
}

// inWorldWith also calls before with the agent before it runs.
func inWorldWith(t *testing.T, before func(*Agent), f func(w *world), setup ...func(c *Config, p *Package)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: siptest.New(1)}
		cfg, p := Default(), w.dialogPackage()
		for _, s := range setup {
			s(&cfg, &p)
		}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		w.agent, w.stop = newAgent(t, w.net, agentAddr, cfg, before, func(a *Agent) { a.Serve(p) })
		w.peer = newPeer(t, w.net, peerAddr)
		f(w)
	})
}

func (w *world) dialogPackage() Package {
	return Package{Name: "dialog", ContentType: "application/dialog-info+xml", Document: func(r Request) ([]byte, bool) {
		if w.gone.Load() || r.Resource != "701" && r.Resource != "702" {
			return nil, false
		}
		return fmt.Appendf(nil, "%s version=%d state=%d", r.Resource, r.Version, w.state.Load()), true
	}}
}

// newAgent runs an agent on its own endpoint until the test ends or stop is called.
func newAgent(t testing.TB, n *siptest.Net, addr string, cfg Config, setup ...func(*Agent)) (a *Agent, stop func()) {
	t.Helper()
	siptest.NewEndpoint(t, n, addr, func(ep *sip.Endpoint) {
		a = New(ep, cfg, slog.New(slog.DiscardHandler))
		for _, s := range setup {
			s(a)
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = a.Run(ctx) // always nil
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return a, stop
}

// change changes the state of 701 and says so.
func (w *world) change() { w.state.Add(1); w.agent.Changed("dialog", "701") }

// peer is a far end that does only what the test says, in UDP datagrams.
type peer struct {
	t    testing.TB
	addr string
	conn net.PacketConn
	in   chan gosip.Message // capacity 1000: a test that reads less fails anyway
	seen map[string]bool    // datagrams, to leave out retransmissions
}

func newPeer(t testing.TB, n *siptest.Net, addr string) *peer {
	a := netip.MustParseAddr(addr)
	conn, err := n.Host(a).ListenPacket(t.Context(), netip.AddrPortFrom(a, 5060))
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, addr: addr, conn: conn, in: make(chan gosip.Message, 1000), seen: map[string]bool{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 65536)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if p.seen[string(buf[:n])] {
				continue
			}
			p.seen[string(buf[:n])] = true
			m, err := gosip.ParseMessage(append([]byte(nil), buf[:n]...))
			if err != nil {
				t.Errorf("peer got %q: %v", buf[:n], err)
				continue
			}
			p.in <- m
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	return p
}

// send sends text, its lines ended as SIP wants and with the body's length. PEER
// stands for the peer's address.
func (p *peer) send(text string) {
	p.t.Helper()
	text = strings.ReplaceAll(text, "PEER", p.addr)
	head, body, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n\n")
	msg := strings.ReplaceAll(strings.TrimRight(head, "\n"), "\n", "\r\n") +
		fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(agentAddr + ":5060"))
	if _, err := p.conn.WriteTo([]byte(msg), to); err != nil {
		p.t.Fatal(err)
	}
}

// next returns the next message, nil if none comes within d.
func (p *peer) next(d time.Duration) gosip.Message {
	select {
	case m := <-p.in:
		return m
	case <-time.After(d):
		return nil
	}
}

// silent fails the test if anything comes within d.
func (p *peer) silent(d time.Duration) {
	p.t.Helper()
	if m := p.next(d); m != nil {
		p.t.Fatalf("unexpected message:\n%v", m)
	}
}

// request returns the next message, which has to be a request of this method.
func (p *peer) request(method string) *gosip.Request {
	p.t.Helper()
	m := p.next(time.Hour)
	req, ok := m.(*gosip.Request)
	if !ok || string(req.Method) != method {
		p.t.Fatalf("want %s, got:\n%v", method, m)
	}
	return req
}

// response returns the next message, which has to be a response with this code.
func (p *peer) response(code int) *gosip.Response {
	p.t.Helper()
	m := p.next(time.Minute)
	res, ok := m.(*gosip.Response)
	if !ok || res.StatusCode != code {
		p.t.Fatalf("want %d, got:\n%v", code, m)
	}
	return res
}

// answer sends a response to a request, with extra header lines.
func (p *peer) answer(req *gosip.Request, code int, lines ...string) {
	p.t.Helper()
	res := gosip.NewResponseFromRequest(req, code, "Reason", nil)
	res.RemoveHeader("Content-Length")
	p.send(strings.ReplaceAll(strings.TrimRight(res.String(), "\r\n"), "\r\n", "\n") + "\n" + strings.Join(lines, "\n"))
}

// notify returns the next NOTIFY, answered with 200.
func (p *peer) notify() *gosip.Request {
	p.t.Helper()
	req := p.request("NOTIFY")
	p.answer(req, 200)
	return req
}

// watch is the peer as subscriber. Its lines are complete: nothing is added.
type watch struct {
	callID, toTag string
	seq           int
}

// subscribe sends a SUBSCRIBE in the dialog of w, or the first one.
func (p *peer) subscribe(w *watch, lines ...string) {
	p.t.Helper()
	w.seq++
	to := "<sip:701@10.0.0.1>"
	if w.toTag != "" {
		to += ";tag=" + w.toTag
	}
	p.send(fmt.Sprintf(`
SUBSCRIBE sip:701@10.0.0.1 SIP/2.0
Via: SIP/2.0/UDP PEER:5060;branch=z9hG4bK-%s-%d
Max-Forwards: 70
From: "Lamp" <sip:lamp@PEER>;tag=lamp-1
To: %s
Call-ID: %s
CSeq: %d SUBSCRIBE
%s`, w.callID, w.seq, to, w.callID, w.seq, strings.Join(lines, "\n")))
}

var usual = []string{"Contact: <sip:lamp@PEER:5060>", "Event: dialog", "Expires: 600", "Accept: application/dialog-info+xml"}

// subscribed makes a subscription and takes its 200 and first NOTIFY.
func (p *peer) subscribed(callID string) (*watch, *gosip.Request) {
	p.t.Helper()
	w := &watch{callID: callID}
	p.subscribe(w, usual...)
	res := p.response(200)
	w.toTag, _ = res.To().Params.Get("tag")
	return w, p.notify()
}

func header(m message, name string) string { return value(m, name) }

func expect(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}
