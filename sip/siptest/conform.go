package siptest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"parklamp/sip"
)

// Conform checks what package sip relies on in a sip.Network. The in-memory
// hosts and the operating system pass the same checks. a and b are the networks
// as two hosts see them; they may be the same.
func Conform(t *testing.T, a, b sip.Network, addrA, addrB netip.Addr) {
	t.Run("datagrams keep their bounds and sources", func(t *testing.T) {
		ca, cb := listenPacket(t, a, addrA), listenPacket(t, b, addrB)
		for _, size := range []int{1, 1300, 9000} {
			want := bytes.Repeat([]byte{byte(size)}, size)
			if _, err := ca.WriteTo(want, cb.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 65536)
			n, from, err := cb.ReadFrom(buf)
			if err != nil || !bytes.Equal(buf[:n], want) || from.String() != ca.LocalAddr().String() {
				t.Fatalf("read %d bytes from %v, %v; want %d from %v", n, from, err, size, ca.LocalAddr())
			}
		}
	})
	t.Run("a port is taken once, and free after Close", func(t *testing.T) {
		c := listenPacket(t, a, addrA)
		at := netip.MustParseAddrPort(c.LocalAddr().String())
		if _, err := a.ListenPacket(t.Context(), at); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second bind: %v", err)
		}
		l, err := a.Listen(t.Context(), at) // TCP has ports of its own
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Listen(t.Context(), at); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second bind: %v", err)
		}
		_, _ = c.Close(), l.Close()
		if c, err = a.ListenPacket(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	})
	t.Run("an address of somebody else", func(t *testing.T) {
		other := netip.MustParseAddrPort("192.0.2.1:0") // RFC 5737: nobody's
		if _, err := a.ListenPacket(t.Context(), other); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("udp: %v", err)
		}
		if _, err := a.Listen(t.Context(), other); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("tcp: %v", err)
		}
	})
	t.Run("Close ends a read", func(t *testing.T) {
		c := listenPacket(t, a, addrA)
		l := listen(t, b, addrB)
		ended := make(chan error, 2)
		go func() { _, _, err := c.ReadFrom(make([]byte, 1)); ended <- err }()
		go func() { _, err := l.Accept(); ended <- err }()
		_, _ = c.Close(), l.Close()
		for range 2 {
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		if _, err := c.WriteTo([]byte("x"), c.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %v", err)
		}
	})
	t.Run("a connection carries both ways, then ends", func(t *testing.T) {
		l := listen(t, b, addrB)
		near, far := connect(t, a, addrA, l)
		if got := netip.MustParseAddrPort(far.RemoteAddr().String()); got.Addr() != addrA || near.LocalAddr().String() != got.String() {
			t.Errorf("connection comes from %v, is at %v", got, near.LocalAddr())
		}
		big := bytes.Repeat([]byte("0123456789abcdef"), 4096)
		for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
			go func() { _, _ = pair[0].Write(big) }() // the reader sees what is missing
			got := make([]byte, len(big))
			if _, err := io.ReadFull(pair[1], got); err != nil || !bytes.Equal(got, big) {
				t.Fatalf("read: %v", err)
			}
		}
		_ = far.SetReadDeadline(time.Now().Add(time.Millisecond))
		var timeout net.Error
		if _, err := far.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("deadline: %v", err)
		}
		_ = far.SetReadDeadline(time.Time{})
		_ = near.Close()
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the far end closed: %v", err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		l := listen(t, b, addrB)
		to := netip.MustParseAddrPort(l.Addr().String())
		_ = l.Close()
		if _, err := a.Dial(t.Context(), addrA, to); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v", err)
		}
	})
}

func listenPacket(t *testing.T, n sip.Network, addr netip.Addr) net.PacketConn {
	t.Helper()
	c, err := n.ListenPacket(context.Background(), netip.AddrPortFrom(addr, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func listen(t *testing.T, n sip.Network, addr netip.Addr) net.Listener {
	t.Helper()
	l, err := n.Listen(context.Background(), netip.AddrPortFrom(addr, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func connect(t *testing.T, n sip.Network, from netip.Addr, l net.Listener) (near, far net.Conn) {
	t.Helper()
	near, err := n.Dial(context.Background(), from, netip.MustParseAddrPort(l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}
