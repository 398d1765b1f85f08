package sip_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

// freePort finds a port that is free for UDP and TCP on 127.0.0.1 to .3.
func freePort(t testing.TB) int {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		free := true
		for i := 1; i <= 3; i++ {
			at := fmt.Sprintf("127.0.0.%d:%d", i, port)
			if u, err := net.ListenPacket("udp", at); err != nil {
				free = false
			} else {
				_ = u.Close()
			}
			if l, err := net.Listen("tcp", at); err != nil {
				free = false
			} else {
				_ = l.Close()
			}
		}
		if free {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// TestRealSockets runs three endpoints on the kernel's loopback, UDP and TCP on
// the same port, as `make run` does.
func TestRealSockets(t *testing.T) {
	port := freePort(t)
	var es []*sip.Endpoint
	for i := 1; i <= 3; i++ {
		cfg := sip.Default()
		at := fmt.Sprintf("127.0.0.%d:%d", i, port)
		cfg.Listen = []string{"udp:" + at, "tcp:" + at}
		es = append(es, siptest.Start(t, cfg, nil, func(e *sip.Endpoint) {
			e.Handle("MESSAGE", func(req *gosip.Request, tx *sip.ServerTx) {
				_ = tx.Respond(sip.NewResponse(req, 200, tx.Transport()+" from "+tx.Source().Addr().String()))
			})
		}))
	}
	for i, from := range es {
		for j := range es {
			for _, kind := range []string{"udp", "tcp"} {
				uri := fmt.Sprintf("sip:bob@127.0.0.%d:%d;transport=%s", j+1, port, kind)
				_, last := collect(from.Request(request("MESSAGE", uri, fmt.Sprint(i, j, kind), 1), sip.Send{}))
				if want := fmt.Sprintf("%s from 127.0.0.%d", kind, i+1); last == nil || last.Reason != want {
					t.Errorf("%s: got %v, want %q", uri, last, want)
				}
			}
		}
	}
}

func TestBusyPort(t *testing.T) {
	for _, kind := range []string{"udp", "tcp"} {
		port := freePort(t)
		at := fmt.Sprintf("127.0.0.1:%d", port)
		if kind == "udp" {
			c, err := net.ListenPacket("udp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		} else {
			l, err := net.Listen("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		}
		cfg := sip.Default()
		cfg.Listen = []string{fmt.Sprintf("%s:127.0.0.2:%d", kind, port), kind + ":" + at}
		e, err := sip.New(cfg, nil, sip.WithHolder(func(transport string, at netip.AddrPort) string { return transport + " thief at " + at.String() }))
		if err != nil {
			t.Fatal(err)
		}
		err = e.Run(context.Background())
		if err == nil {
			t.Fatal("Run came back without an error")
		}
		for _, part := range []string{kind + ":" + at, "sip.listen[1]", kind + " thief at " + at} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q is missing in %q", part, err)
			}
		}
	}
}
