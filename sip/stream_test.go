package sip_test

import (
	"context"
	"errors"
	"io"
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

// dialRaw connects from 10.0.0.9 to the endpoint at 10.0.0.1.
func dialRaw(t *testing.T, n *siptest.Net) net.Conn {
	t.Helper()
	a := netip.MustParseAddr("10.0.0.9")
	c, err := n.Host(a).Dial(t.Context(), a, netip.AddrPortFrom(addrA, 5060))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func tcpText(method, branch, callID string) string {
	return crlf(strings.Replace(text(method, branch, callID, 1), "/UDP", "/TCP", 1))
}

// readSome reads what there is once everything has come to rest.
func readSome(t *testing.T, c net.Conn) string {
	t.Helper()
	synctest.Wait()
	buf := make([]byte, 65536)
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	var out strings.Builder
	for {
		n, err := c.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			if errors.Is(err, io.EOF) {
				out.WriteString("EOF")
			}
			return out.String()
		}
	}
}

func TestStream(t *testing.T) {
	long := strings.Replace(tcpText("MESSAGE", "1", "x"), "Length: 0", "Length: 70000", 1)
	for _, c := range []struct {
		name  string
		write []string
		want  []string // parts of what comes back, in order
		count int      // answers
	}{
		{"keep-alive", []string{"\r\n\r\n", "\r\n", "\r\n"}, []string{"\r\n\r\n"}, 0},
		{"two in one piece", []string{tcpText("OPTIONS", "1", "a") + tcpText("OPTIONS", "2", "b")}, []string{"Call-ID: a", "Call-ID: b"}, 2},
		{"byte by byte", strings.Split(tcpText("OPTIONS", "1", "a"), ""), []string{"200 OK"}, 1},
		{"line break before it", []string{"\r\n" + tcpText("OPTIONS", "1", "a")}, []string{"200 OK"}, 1},
		{"a bad one before a good one", []string{strings.Replace(tcpText("OPTIONS", "1", "a"), "CSeq: 1", "CSeq: x", 1) + tcpText("OPTIONS", "2", "b")},
			[]string{"400 Malformed CSeq", "200 OK"}, 2},
		{"no length", []string{strings.Replace(tcpText("OPTIONS", "1", "a"), "Content-Length: 0\r\n", "", 1)}, []string{"400 Missing Or", "EOF"}, 1},
		{"unreadable length", []string{strings.Replace(tcpText("OPTIONS", "1", "a"), "Length: 0", "Length: x", 1)}, []string{"400 Missing Or", "EOF"}, 1},
		{"body too large", []string{long}, []string{"413 Request Entity", "EOF"}, 1},
		{"head without end", []string{"OPTIONS sip:x SIP/2.0\r\n" + strings.Repeat("X: y\r\n", 12000)}, []string{"EOF"}, 0},
		{"garbage", []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n"}, []string{"EOF"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.New(1)
				siptest.NewEndpoint(t, n, "10.0.0.1")
				conn := dialRaw(t, n)
				for _, w := range c.write {
					if _, err := conn.Write([]byte(w)); err != nil {
						break // closed meanwhile
					}
				}
				got := readSome(t, conn)
				rest := got
				for _, want := range c.want {
					_, after, ok := strings.Cut(rest, want)
					if !ok {
						t.Fatalf("%q is missing in %q", want, got)
					}
					rest = after
				}
				if k := strings.Count(got, "SIP/2.0 "); k != c.count {
					t.Errorf("%d answers in %q", k, got)
				}
			})
		})
	}
}

func TestStreamLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		cfg := sip.Default()
		cfg.Listen, cfg.MaxConnections = []string{"tcp:10.0.0.1:5060"}, 2
		e := siptest.Start(t, cfg, []sip.Option{sip.WithNetwork(n.Host(addrA))})
		silent := dialRaw(t, n)
		time.Sleep(time.Millisecond) // who gives way is the oldest: of several that came at one instant it may be any
		idle, partial := dialRaw(t, n), dialRaw(t, n)
		if got := readSome(t, silent); got != "EOF" || e.Stats().Dropped["connections"] != 1 {
			t.Errorf("the first of three connections, which has said nothing: %q", got)
		}
		if !pings(t, idle) || !pings(t, partial) {
			t.Fatal("the others do not work")
		}
		if got := readSome(t, dialRaw(t, n)); got != "EOF" || e.Stats().Dropped["connections"] != 2 {
			t.Errorf("one too many: %q", got)
		}
		if _, err := partial.Write([]byte("OPTIONS sip:")); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			time.Sleep(8 * time.Second)
			_, _ = partial.Write([]byte("X"))
		}
		if got := readSome(t, partial); got != "EOF" {
			t.Errorf("half a message that drips holds its connection: %q", got)
		}
		time.Sleep(9 * time.Minute)
		if got := readSome(t, idle); got != "" {
			t.Errorf("got %q", got)
		}
		time.Sleep(time.Minute)
		if got := readSome(t, idle); got != "EOF" || e.Stats().Connections != 0 {
			t.Errorf("idle connection: %q", got)
		}
	})
}

// A broken connection fails what waits on it at once, not after 32 s.
func TestBrokenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		e := siptest.NewEndpoint(t, n, "10.0.0.1")
		a := netip.MustParseAddr("10.0.0.9")
		ln, err := n.Host(a).Listen(t.Context(), netip.AddrPortFrom(a, 5060))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		began := time.Now()
		var txs []*sip.ClientTx
		for _, m := range []string{"INVITE", "MESSAGE"} {
			txs = append(txs, e.Request(request(m, peerURI+";transport=tcp", m, 1), sip.Send{}))
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = conn.Close()
		for _, tx := range txs {
			collect(tx)
			if !errors.Is(tx.Err(), sip.ErrTransport) || time.Since(began) != 0 {
				t.Errorf("got %v after %v", tx.Err(), time.Since(began))
			}
		}
	})
}

// RFC 3261 §18.2.2: an answer whose connection is gone opens another.
func TestAnswerAfterTheConnectionWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		type waiting struct {
			req *gosip.Request
			tx  *sip.ServerTx
		}
		came := make(chan waiting, 1)
		siptest.NewEndpoint(t, n, "10.0.0.1", func(e *sip.Endpoint) {
			e.Handle("MESSAGE", func(req *gosip.Request, tx *sip.ServerTx) { came <- waiting{req, tx} })
		})
		a := netip.MustParseAddr("10.0.0.9")
		ln, err := n.Host(a).Listen(t.Context(), netip.AddrPortFrom(a, 5060))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		first := dialRaw(t, n)
		if _, err := first.Write([]byte(tcpText("MESSAGE", "1", "x"))); err != nil {
			t.Fatal(err)
		}
		w := <-came
		_ = first.Close()
		synctest.Wait()
		if err := w.tx.Respond(sip.NewResponse(w.req, 200, "OK")); err != nil {
			t.Fatal(err)
		}
		second, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := readSome(t, second); !strings.HasPrefix(got, "SIP/2.0 200 OK") {
			t.Errorf("got %q", got)
		}
		_ = second.Close()
	})
}

// A call over TCP: the 2xx is repeated there too, RFC 3261 §13.3.1.4, and the
// ACK goes by the connection that exists.
func TestInviteByTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		a := siptest.NewEndpoint(t, n, "10.0.0.1")
		acks := make(chan string, 8)
		b := siptest.NewEndpoint(t, n, "10.0.0.2", func(e *sip.Endpoint) {
			e.Handle("INVITE", respond(200, "OK"))
			e.Handle("ACK", func(req *gosip.Request, _ *sip.ServerTx) { acks <- req.Via().Transport })
		})
		const uri = "sip:bob@10.0.0.2;transport=tcp"
		tx := a.Request(request("INVITE", uri, "tcp", 1), sip.Send{})
		res := <-tx.Responses()
		if got := res.Contact().Value(); got != "<sip:10.0.0.2:5060;transport=tcp>" {
			t.Errorf("Contact of the answer is %s", got)
		}
		time.Sleep(1600 * time.Millisecond) // two more 2xx come, absorbed
		if len(tx.Responses()) != 0 {
			t.Error("a repeated 2xx was handed over")
		}
		ack := request("ACK", uri, "tcp", 1)
		tag, _ := res.To().Params.Get("tag")
		ack.To().Params.Add("tag", tag)
		if err := a.Ack(ack, sip.Send{}); err != nil {
			t.Fatal(err)
		}
		if got := <-acks; got != "TCP" {
			t.Errorf("ACK by %s", got)
		}
		collect(tx)
		if s := b.Stats(); s.AwaitingAcks != 0 || s.Connections != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		from := make(chan string, 2)
		a := siptest.NewEndpoint(t, n, "2001:db8::1")
		siptest.NewEndpoint(t, n, "2001:db8::2", func(e *sip.Endpoint) {
			e.Handle("MESSAGE", func(req *gosip.Request, tx *sip.ServerTx) {
				from <- tx.Source().String() + " " + req.Via().Value()
				_ = tx.Respond(sip.NewResponse(req, 200, "OK"))
			})
		})
		for _, uri := range []string{"sip:bob@[2001:db8::2]", "sip:bob@[2001:db8::2]:5060;transport=tcp"} {
			tx := a.Request(request("MESSAGE", uri, uri, 1), sip.Send{})
			if codes, _ := collect(tx); len(codes) != 1 || codes[0] != 200 {
				t.Fatalf("got %v, %v", codes, tx.Err())
			}
			if got := <-from; !strings.Contains(got, " SIP/2.0/") || !strings.Contains(got, "[2001:db8::1]:5060;") {
				t.Errorf("Via and source are %s", got)
			}
		}
		c := a.ContactFor("2001:db8::2", "tcp")
		if c.String() != "sip:[2001:db8::1]:5060;transport=tcp" {
			t.Errorf("Contact is %s", c.String())
		}
	})
}

// Of several listeners the one nearest to the destination is the source.
func TestListenerIsChosenByDestination(t *testing.T) {
	n := siptest.New(1)
	cfg := sip.Default()
	cfg.Listen = []string{"udp:127.0.0.1:5060", "udp:192.168.1.2:5062", "udp:10.0.0.1:5060", "tcp:10.0.0.1:5060", "udp:[2001:db8::1]:5060"}
	e, err := sip.New(cfg, nil, sip.WithNetwork(n.Host(addrA)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ dest, transport, want string }{
		{"192.168.1.77", "", "sip:192.168.1.2:5062"},
		{"10.0.0.9", "", "sip:10.0.0.1:5060"},
		{"10.0.0.9", "TCP", "sip:10.0.0.1:5060;transport=tcp"},
		{"127.0.0.2", "udp", "sip:127.0.0.1:5060"},
		{"[2001:db8::9]", "", "sip:[2001:db8::1]:5060"},
		{"2001:db8::9", "tcp", "sip:"},
		{"", "", "sip:127.0.0.1:5060"},
	} {
		got := e.ContactFor(c.dest, c.transport)
		if got.String() != c.want {
			t.Errorf("%s by %q: %s, want %s", c.dest, c.transport, got.String(), c.want)
		}
	}
}

func TestStopWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		cfg := sip.Default()
		cfg.Listen = []string{"udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"}
		e, err := sip.New(cfg, nil, sip.WithNetwork(n.Host(addrA)))
		if err != nil {
			t.Fatal(err)
		}
		e.Handle("INVITE", respond(200, "OK"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		<-e.Ready()
		p := newPeer(t, n, "10.0.0.9")
		dialRaw(t, n)
		p.send(text("INVITE", "1", "x", 1))
		p.response(200)
		out := e.Request(request("INVITE", peerURI, "out", 1), sip.Send{})
		p.request("INVITE")
		began := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(began) != 0 {
			t.Errorf("stopped after %v: %v", time.Since(began), err)
		}
		if collect(out); !errors.Is(out.Err(), sip.ErrStopped) {
			t.Errorf("got %v", out.Err())
		}
		if collect(e.Request(request("MESSAGE", peerURI, "late", 1), sip.Send{})); len(p.in) != 0 {
			t.Error("something was sent after the stop")
		}
	})
}
