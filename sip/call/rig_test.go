package call

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/sdp"
	"parklamp/sip/siptest"
)

// side is a UA on the in-memory network that writes down what happens to its calls.
type side struct {
	t    testing.TB
	net  *siptest.Net
	addr netip.Addr
	ua   *UA

	mu    sync.Mutex
	calls []*Call // incoming
	seen  map[*Call][]string
	last  map[*Call]Event
	refs  []*Transfer
	on    func(c *Call, ev Event) // may act on an event
	take  func(c *Call)           // may act on an incoming call
}

func logger() *slog.Logger {
	if os.Getenv("CALL_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

func newSide(t testing.TB, n *siptest.Net, addr string, change ...func(*Config)) *side {
	t.Helper()
	return newSideOn(t, n, addr, func(setup func(*sip.Endpoint)) { siptest.NewEndpoint(t, n, addr, setup) }, change...)
}

// newSideOn makes a side with an endpoint of its own.
func newSideOn(t testing.TB, n *siptest.Net, addr string, endpoint func(setup func(*sip.Endpoint)), change ...func(*Config)) *side {
	t.Helper()
	s := &side{t: t, net: n, addr: netip.MustParseAddr(addr), seen: map[*Call][]string{}, last: map[*Call]Event{}}
	cfg := Default()
	for _, f := range change {
		f(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	endpoint(func(e *sip.Endpoint) {
		s.ua = New(e, cfg, logger())
		s.ua.RegisterNotify()
	})
	s.ua.OnIncoming(func(c *Call) Handler {
		s.mu.Lock()
		s.calls = append(s.calls, c)
		take := s.take
		s.mu.Unlock()
		if take != nil {
			take(c)
		}
		return s.handle
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.ua.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for c, seen := range s.seen {
			ends := 0
			for _, e := range seen {
				if strings.HasPrefix(e, "ended") {
					ends++
				}
			}
			if ends > 1 {
				t.Errorf("%s %s: %d times ended: %v", s.addr, c.ID(), ends, seen)
			}
		}
	})
	return s
}

func (s *side) handle(c *Call, ev Event) {
	s.mu.Lock()
	s.seen[c] = append(s.seen[c], eventText(ev))
	s.last[c] = ev
	if r, ok := ev.(Referred); ok {
		s.refs = append(s.refs, r.Transfer)
	}
	on := s.on
	s.mu.Unlock()
	if on != nil {
		on(c, ev)
	}
}

func eventText(ev Event) string {
	switch ev := ev.(type) {
	case Ringing:
		return fmt.Sprint("ringing ", ev.Code)
	case EarlyMedia:
		return "early " + mediaText(ev.Media)
	case Answered:
		return "answered " + mediaText(ev.Media)
	case Acked:
		return "acked"
	case MediaChanged:
		return "media " + mediaText(ev.Media)
	case UpdateFailed:
		return fmt.Sprint("update failed ", ev.Code)
	case IdentityChanged:
		return "identity " + ev.Party.Number + " " + ev.Party.Name
	case Referred:
		return "referred " + ev.Transfer.Target.User
	case TransferProgress:
		return fmt.Sprintf("transfer %d final=%v", ev.Code, ev.Final)
	case DTMF:
		return "dtmf " + string(ev.Digit)
	case Ended:
		return fmt.Sprintf("ended %v %d", ev.Cause, ev.Code)
	}
	return fmt.Sprintf("%T", ev)
}

func mediaText(m sdp.Media) string {
	s := ""
	if m.Send {
		s += "send "
	}
	if m.Receive {
		s += "receive "
	}
	if m.RemoteHold {
		s += "held "
	}
	return s + m.Remote.String()
}

func (s *side) local() sdp.Local {
	return sdp.Local{Addr: s.addr, Port: 4000, Codecs: []sdp.Codec{sdp.PCMU, sdp.PCMA}, DTMF: true}
}

func (s *side) with(d sdp.Direction) sdp.Local {
	l := s.local()
	l.Direction = d
	return l
}

func (s *side) uri(user string) gosip.Uri {
	return gosip.Uri{Scheme: "sip", User: user, Host: s.addr.String(), Port: 5060}
}

// call invites user at another side.
func (s *side) call(to *side, user string, change ...func(*Invite)) *Call {
	s.t.Helper()
	o := Invite{To: to.uri(user), From: gosip.Uri{Scheme: "sip", User: "caller"}, FromName: "Ann", Media: s.local()}
	for _, f := range change {
		f(&o)
	}
	c, err := s.ua.Invite(o, s.handle)
	if err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
	return c
}

// incoming gives the newest incoming call.
func (s *side) incoming() *Call {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) == 0 {
		s.t.Fatalf("%s: no incoming call", s.addr)
	}
	return s.calls[len(s.calls)-1]
}

// expect compares everything that has happened to a call; it forgets what it has seen.
func (s *side) expect(c *Call, want ...string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	got := s.seen[c]
	s.seen[c] = nil
	s.mu.Unlock()
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		s.t.Errorf("%s\n got %q\nwant %q", s.addr, got, want)
	}
}

// expectEnd compares the last event only.
func (s *side) expectEnd(c *Call, want string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.seen[c]; len(got) == 0 || got[len(got)-1] != want {
		s.t.Errorf("%s\n got %q\nwant %q at the end", s.addr, got, want)
	}
}

func (s *side) forget(c *Call) {
	synctest.Wait()
	s.mu.Lock()
	s.seen[c] = nil
	s.mu.Unlock()
}

// idle fails if a UA still holds calls.
func (s *side) idle() {
	s.t.Helper()
	time.Sleep(70 * time.Second) // of the bubble: longer than every transaction
	synctest.Wait()
	s.ua.mu.Lock()
	defer s.ua.mu.Unlock()
	if len(s.ua.calls) != 0 || s.ua.live != 0 {
		s.t.Errorf("%s: %d calls in the table, %d live", s.addr, len(s.ua.calls), s.ua.live)
	}
}

// Answered says whether the call is up: answered and not ended.
func (c *Call) Answered() bool {
	p := c.phaseNow()
	return p == phaseActive || p == phaseAnswering
}

// Progress sends 183 with an answer to the offer, as gateways do and we do not: the caller hears them before the call is answered.
func (c *Call) Progress(l sdp.Local) {
	c.post(func() {
		if c.state != phaseIncoming {
			return
		}
		if !isSDP(c.req) {
			c.respond(183, statusText(183), nil)
			return
		}
		body, m, err := c.answer(c.stamp(l), c.req.Body())
		if err != nil {
			c.unacceptable(err)
			return
		}
		c.adopt(l)
		c.setMedia(m)
		c.respond(183, statusText(183), body)
		c.emit(EarlyMedia{Media: m})
	})
}

// established makes a call between a and b that is up.
func established(t testing.TB, a, b *side, change ...func(*Invite)) (ca, cb *Call) {
	t.Helper()
	ca = a.call(b, "701", change...)
	cb = b.incoming()
	cb.Answer(b.local())
	synctest.Wait()
	if !ca.Answered() || !cb.Answered() {
		t.Fatal("call is not up")
	}
	a.forget(ca)
	b.forget(cb)
	return ca, cb
}

// pair makes a network with two sides.
func pair(t testing.TB, change ...func(*Config)) (*siptest.Net, *side, *side) {
	n := siptest.New(1)
	return n, newSide(t, n, "10.0.0.1", change...), newSide(t, n, "10.0.0.2", change...)
}

// wire records the start lines of what is sent from one address.
type wire struct {
	mu    sync.Mutex
	lines []string
	texts []string
}

func tap(n *siptest.Net, from netip.Addr) *wire {
	w := &wire{}
	n.Tap(func(p siptest.Packet) {
		if p.From.Addr() != from {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		line, _, _ := strings.Cut(string(p.Data), "\r\n")
		w.lines = append(w.lines, line)
		w.texts = append(w.texts, string(p.Data))
	})
	return w
}

// find gives the last message whose start line begins so.
func (w *wire) find(prefix string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.texts) - 1; i >= 0; i-- {
		if strings.HasPrefix(w.texts[i], prefix) {
			return w.texts[i]
		}
	}
	return ""
}

func (w *wire) count(prefix string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, l := range w.lines {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

// peer is a far end that says what the test writes, at 10.0.0.9:5060.
type peer struct {
	t    testing.TB
	conn net.PacketConn
	to   net.Addr
	mu   sync.Mutex
	in   []string
	seen map[string]bool
}

func newPeer(t testing.TB, n *siptest.Net, addr string, to netip.Addr) *peer {
	t.Helper()
	a := netip.MustParseAddr(addr)
	conn, err := n.Host(a).ListenPacket(context.Background(), netip.AddrPortFrom(a, 5060))
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: conn, seen: map[string]bool{}, to: net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 5060))}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65536)
		for {
			k, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			msg := string(buf[:k])
			p.mu.Lock()
			// Retransmissions are not what these tests look at; only the ACK that comes again is.
			if !p.seen[msg] || strings.HasPrefix(msg, "ACK") {
				p.in = append(p.in, msg)
			}
			p.seen[msg] = true
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return p
}

// send writes a message; line ends are made right and Content-Length is filled in.
func (p *peer) send(text string) {
	p.t.Helper()
	head, body, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n\n")
	head = strings.ReplaceAll(strings.TrimSpace(head), "\n", "\r\n")
	body = strings.ReplaceAll(body, "\n", "\r\n")
	msg := fmt.Sprintf("%s\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
	if _, err := p.conn.WriteTo([]byte(msg), p.to); err != nil {
		p.t.Fatal(err)
	}
	synctest.Wait()
}

// take removes and gives the first message whose start line begins so; it fails if there is none.
func (p *peer) take(prefix string) string {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range p.in {
		if strings.HasPrefix(m, prefix) {
			p.in = append(p.in[:i:i], p.in[i+1:]...)
			return m
		}
	}
	have := ""
	for _, m := range p.in {
		first, _, _ := strings.Cut(m, "\r\n")
		have += "\n" + first
	}
	p.t.Fatalf("no %q came; have%s", prefix, have)
	return ""
}

// none fails if a message with this start has come.
func (p *peer) none(prefix string) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.in {
		if strings.HasPrefix(m, prefix) {
			p.t.Errorf("unexpected message:\n%s", m)
		}
	}
}

// line gives the value of a header in a message, "" if it is missing.
func line(msg, name string) string {
	for l := range strings.Lines(msg) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.EqualFold(k, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// reply sends a response to a request that was taken. An empty tag copies To as it is.
func (p *peer) reply(req string, status, tag, headers, body string) {
	p.t.Helper()
	to := line(req, "To")
	if tag != "" {
		to += ";tag=" + tag
	}
	if body != "" {
		headers += "\nContent-Type: application/sdp"
	}
	p.send("SIP/2.0 " + status + "\nVia: " + line(req, "Via") + "\nFrom: " + line(req, "From") + "\nTo: " + to +
		"\nCall-ID: " + line(req, "Call-ID") + "\nCSeq: " + line(req, "CSeq") +
		"\nContact: <sip:peer@10.0.0.9:5060>" + prefixed(headers) + "\n\n" + body)
}

func prefixed(headers string) string {
	headers = strings.Trim(headers, "\n")
	if headers == "" {
		return ""
	}
	return "\n" + headers
}

const peerSDP = `v=0
o=peer 1 1 IN IP4 10.0.0.9
s=-
c=IN IP4 10.0.0.9
t=0 0
m=audio 6000 RTP/AVP 0
`

// request sends a request of the peer: headers may be several lines.
func (p *peer) request(method, uri, from, to, callID string, seq int, headers, body string) {
	p.t.Helper()
	if body != "" && !strings.Contains(headers, "Content-Type") {
		headers += "\nContent-Type: application/sdp"
	}
	p.send(fmt.Sprintf("%s %s SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK%s%s%d;rport\nMax-Forwards: 70\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %d %s\nContact: <sip:peer@10.0.0.9:5060>%s\n\n%s",
		method, uri, method, callID, seq, from, to, callID, seq, method, prefixed(headers), body))
}

// find gives the call with this dialog, nil if there is none.
func (s *side) find(id DialogID) *Call {
	for _, c := range s.ua.Calls() {
		if c.Dialog().ID() == id && !c.Ended() {
			return c
		}
	}
	return nil
}
