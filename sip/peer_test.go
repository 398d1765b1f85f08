package sip_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip/siptest"
)

// peer is a far end that does exactly what a test tells it, message by message.
type peer struct {
	t    *testing.T
	conn net.PacketConn
	to   net.Addr
	in   chan gosip.Message // capacity 8192
}

// newPeer binds addr:5060 on n and talks to 10.0.0.1:5060.
func newPeer(t *testing.T, n *siptest.Net, addr string) *peer {
	t.Helper()
	a := netip.MustParseAddr(addr)
	conn, err := n.Host(a).ListenPacket(t.Context(), netip.AddrPortFrom(a, 5060))
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: conn, to: net.UDPAddrFromAddrPort(netip.AddrPortFrom(addrA, 5060)), in: make(chan gosip.Message, 8192)}
	go func() {
		buf := make([]byte, 65536)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			m, err := gosip.ParseMessage(buf[:n])
			if err != nil {
				t.Errorf("unreadable message from the endpoint: %v", err)
				continue
			}
			p.in <- m
		}
	}()
	t.Cleanup(func() { _ = conn.Close() })
	return p
}

func (p *peer) send(text string) {
	p.t.Helper()
	text = strings.ReplaceAll(strings.TrimLeft(text, "\n"), "\n", "\r\n")
	if _, err := p.conn.WriteTo([]byte(text), p.to); err != nil {
		p.t.Error(err)
	}
}

func (p *peer) next() gosip.Message {
	p.t.Helper()
	select {
	case m := <-p.in:
		return m
	case <-time.After(20 * time.Minute):
		p.t.Fatal("nothing came in 20 minutes")
		return nil
	}
}

// request waits for a request of a method; anything else fails the test.
func (p *peer) request(method string) *gosip.Request {
	p.t.Helper()
	m := p.next()
	req, ok := m.(*gosip.Request)
	if !ok || string(req.Method) != method {
		p.t.Fatalf("want %s, got %s", method, firstLine(m))
	}
	return req
}

// response waits for a response with a code.
func (p *peer) response(code int) *gosip.Response {
	p.t.Helper()
	m := p.next()
	res, ok := m.(*gosip.Response)
	if !ok || res.StatusCode != code {
		p.t.Fatalf("want %d, got %s", code, firstLine(m))
	}
	return res
}

// answer responds to a request, with more header lines.
func (p *peer) answer(req *gosip.Request, code int, tag string, more ...string) {
	p.t.Helper()
	res := gosip.NewResponse(code, "Reason")
	for _, h := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		gosip.CopyHeaders(h, req, res)
	}
	if tag != "" {
		res.To().Params.Add("tag", tag)
	}
	for _, line := range more {
		name, value, _ := strings.Cut(line, ": ")
		res.AppendHeader(gosip.NewHeader(name, value))
	}
	res.SetBody(nil)
	if _, err := p.conn.WriteTo([]byte(res.String()), p.to); err != nil {
		p.t.Error(err)
	}
}

func firstLine(m gosip.Message) string {
	line, _, _ := strings.Cut(m.String(), "\r\n")
	return line
}

// text is a request as a far end sends it.
func text(method, branch, callID string, seq int, more ...string) string {
	return fmt.Sprintf(`%s sip:park@10.0.0.1 SIP/2.0
Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK%s;rport
From: <sip:carol@10.0.0.9>;tag=carol
To: <sip:park@10.0.0.1>
Call-ID: %s
CSeq: %d %s
Max-Forwards: 70
%sContent-Length: 0

`, method, branch, callID, seq, method, strings.Join(append(more, ""), "\n"))
}
