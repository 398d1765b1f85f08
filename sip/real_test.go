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
		cfg.Listen = []string{"udp:192.0.2.99:5060", kind + ":" + at} // and not even the other can be had
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

// A listener that cannot be opened, because its port is taken or its address is not of this machine, does not keep the
// others from work: it is told, nothing leaves from it, and it comes up when it can.
func TestListenerThatCannotBeOpened(t *testing.T) {
	port := freePort(t)
	taken := fmt.Sprintf("127.0.0.1:%d", port)
	thief, err := net.ListenPacket("udp", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	told := map[string]chan error{"udp:" + taken: make(chan error, 64), "udp:192.0.2.99:5060": make(chan error, 64), "tcp:" + taken: make(chan error, 64)}
	cfg := sip.Default()
	cfg.Listen = []string{"udp:" + taken, "udp:192.0.2.99:5060", "tcp:" + taken}
	e := siptest.Start(t, cfg, nil, func(e *sip.Endpoint) {
		e.OnHealth(func(listen string, err error) {
			select {
			case told[listen] <- err:
			default: // said often enough
			}
		})
	})
	if got, want := fmt.Sprint(e.Listening()), "[tcp:"+taken+"]"; got != want {
		t.Errorf("listens on %s, want %s", got, want)
	}
	if c := e.ContactFor("127.0.0.1", "udp"); c.Host != "" {
		t.Errorf("a Contact names %s, where nobody listens", c.String())
	}
	if err := <-told["udp:192.0.2.99:5060"]; err == nil || !strings.Contains(err.Error(), "udp:192.0.2.99:5060 is not an address of this machine; change sip.listen[1]") {
		t.Errorf("told of the address %v", err)
	}
	if err := <-told["udp:"+taken]; err == nil || !strings.Contains(err.Error(), "udp:"+taken+" is in use by another program; stop it or change sip.listen[0]") {
		t.Errorf("told of the port %v", err)
	}
	if err := <-told["tcp:"+taken]; err != nil {
		t.Errorf("told of the listener that is up %v", err)
	}
	_ = thief.Close()
	for err := range told["udp:"+taken] {
		if err == nil {
			break
		}
	}
	if got, want := fmt.Sprint(e.Listening()), "[udp:"+taken+" tcp:"+taken+"]"; got != want {
		t.Errorf("listens on %s after the port was free, want %s", got, want)
	}
}
