package sip

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Another DSCP holds for the sockets that listen, for a connection that is there and for the next.
func TestSetDSCP(t *testing.T) {
	cfg := Default()
	cfg.Listen = []string{"udp:127.0.0.1:0", "tcp:127.0.0.1:0"}
	e, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	<-e.Ready()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(e.listeners[1].String(), "tcp:"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("\r\n\r\n")); err != nil { // RFC 5626 §3.5.1: the pong says that it was adopted
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	sockets := func() (all []any) {
		pc, _ := e.listeners[0].sockets()
		_, ln := e.listeners[1].sockets()
		e.mu.Lock()
		defer e.mu.Unlock()
		streams, _, _ := e.snapshot()
		for _, c := range streams {
			all = append(all, c.conn)
		}
		return append(all, pc, ln)
	}
	check := func(want, number int) {
		t.Helper()
		all := sockets()
		if len(all) != number {
			t.Errorf("%d sockets, want %d", len(all), number)
		}
		for _, s := range all {
			raw, err := s.(syscall.Conn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			_ = raw.Control(func(fd uintptr) {
				if tos, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS); tos != want<<2 || err != nil {
					t.Errorf("%T: DSCP %d, %v; want %d", s, tos>>2, err, want)
				}
			})
		}
	}
	first := dial()
	defer first.Close()
	check(24, 3)
	e.SetDSCP(46)
	check(46, 3)
	second := dial()
	defer second.Close()
	check(46, 4)
	e.SetDSCP(0)
	check(0, 4)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
