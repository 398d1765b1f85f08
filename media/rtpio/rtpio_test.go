package rtpio_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parklamp/media/mediatest"
	"parklamp/media/rtpio"
)

// networks are the kernel and the one in memory: both pass the same tests.
var networks = []struct {
	name string
	make func() rtpio.Network
	ips  []string
}{
	{"kernel", func() rtpio.Network { return rtpio.Kernel }, []string{"127.0.0.1", "::1"}},
	{"memory", func() rtpio.Network { return mediatest.NewNet() }, []string{"10.0.0.1", "2001:db8::1"}},
}

func eachNetwork(t *testing.T, f func(t *testing.T, n rtpio.Network, ip netip.Addr)) {
	for _, n := range networks {
		for _, ip := range n.ips {
			t.Run(n.name+" "+ip, func(t *testing.T) { f(t, n.make(), netip.MustParseAddr(ip)) })
		}
	}
}

// caught is a datagram as a receiver got it.
type caught struct {
	text string
	from netip.AddrPort
	age  time.Duration
}

// catcher is a receiver that shows what it gets, and fails the test if it has less room than is promised.
type catcher struct {
	t   *testing.T
	got chan caught // capacity 16: more than any test sends
}

func newCatcher(t *testing.T) *catcher { return &catcher{t, make(chan caught, 16)} }

func (c *catcher) Receive(b []byte, from netip.AddrPort, age time.Duration) {
	if len(b) > rtpio.MaxDatagram || cap(b) < rtpio.MaxDatagram+rtpio.Spare {
		c.t.Errorf("a datagram of %d octets in room for %d", len(b), cap(b))
	}
	c.got <- caught{string(b), from, age}
}

// polling runs a poller for the time of a test and checks that it ends.
func polling(t *testing.T, n rtpio.Network) rtpio.Poller {
	p := n.NewPoller()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return p
}

func listen(t *testing.T, n rtpio.Network, ip netip.Addr) rtpio.Conn {
	t.Helper()
	c, err := n.Listen(netip.AddrPortFrom(ip, 0), rtpio.Socket{DSCP: 46})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestDatagramsArriveWithTheirSource(t *testing.T) {
	eachNetwork(t, func(t *testing.T, n rtpio.Network, ip netip.Addr) {
		p, r := polling(t, n), newCatcher(t)
		a, b := listen(t, n, ip), listen(t, n, ip)
		if err := p.Add(b, r); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"orbit", strings.Repeat("x", rtpio.MaxDatagram+1), "701"} {
			if k, err := a.WriteToAddrPort([]byte(text), b.LocalAddr()); err != nil || k != len(text) {
				t.Fatal(k, err)
			}
			got := <-r.got
			if got.text != text[:min(len(text), rtpio.MaxDatagram)] || got.from != a.LocalAddr() || got.age < 0 {
				t.Errorf("received %d octets from %s, %s old; want %d from %s", len(got.text), got.from, got.age, len(text), a.LocalAddr())
			}
		}
		if _, err := n.Listen(b.LocalAddr(), rtpio.Socket{}); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a taken port: %v, want EADDRINUSE", err)
		}
	})
}

func TestClosedConn(t *testing.T) {
	eachNetwork(t, func(t *testing.T, n rtpio.Network, ip netip.Addr) {
		p, r := polling(t, n), newCatcher(t)
		a, b := listen(t, n, ip), listen(t, n, ip)
		if err := p.Add(b, r); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if _, err := b.WriteToAddrPort([]byte("late"), a.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after Close: %v", err)
		}
		if err := p.Add(b, r); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Add after Close: %v", err)
		}
		// The port is free at once, and its next owner gets nothing of the last one's.
		again, err := n.Listen(b.LocalAddr(), rtpio.Socket{})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		next := newCatcher(t)
		if err := p.Add(again, next); err != nil {
			t.Fatal(err)
		}
		a.WriteToAddrPort([]byte("orbit"), again.LocalAddr())
		if got := <-next.got; got.text != "orbit" || len(r.got) > 0 {
			t.Errorf("the next owner received %q, the last one %d datagrams", got.text, len(r.got))
		}
	})
}

func TestOnePollerForManyConns(t *testing.T) {
	eachNetwork(t, func(t *testing.T, n rtpio.Network, ip netip.Addr) {
		p := polling(t, n)
		from := listen(t, n, ip)
		const conns = 600 // more than one page of the kernel's table
		for round := range 2 {
			var all []rtpio.Conn
			var ears []*catcher
			for range conns {
				c, r := listen(t, n, ip), newCatcher(t)
				if err := p.Add(c, r); err != nil {
					t.Fatal(err)
				}
				all, ears = append(all, c), append(ears, r)
			}
			for i, c := range all {
				if _, err := from.WriteToAddrPort([]byte(fmt.Sprint(round, i)), c.LocalAddr()); err != nil {
					t.Fatal(err)
				}
			}
			for i, r := range ears {
				if got := <-r.got; got.text != fmt.Sprint(round, i) {
					t.Fatalf("socket %d received %q", i, got.text)
				}
			}
			for _, c := range all {
				c.Close()
			}
		}
	})
}

func TestPollerEnds(t *testing.T) {
	eachNetwork(t, func(t *testing.T, n rtpio.Network, ip netip.Addr) {
		p := n.NewPoller()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := p.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestPortsGoRoundTheRange(t *testing.T) {
	eachNetwork(t, func(t *testing.T, n rtpio.Network, ip netip.Addr) {
		const lo, hi = 41001, 41010
		taken, err := n.Listen(netip.AddrPortFrom(ip, 41005), rtpio.Socket{})
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		p := rtpio.NewPorts(n, lo, hi, 0)
		seen := map[uint16]bool{}
		var last *rtpio.Pair
		for range 3 {
			pair, err := p.Open(ip)
			if err != nil {
				t.Fatal(err)
			}
			defer pair.Close()
			port := pair.RTP.LocalAddr().Port()
			if port%2 != 0 || port < lo || port+1 > hi || pair.RTCP.LocalAddr().Port() != port+1 || seen[port] {
				t.Errorf("pair %d, %d", port, pair.RTCP.LocalAddr().Port())
			}
			seen[port], last = true, pair
		}
		if _, err := p.Open(ip); !errors.Is(err, rtpio.ErrNoPort) {
			t.Errorf("a full range: %v, want ErrNoPort", err)
		}
		last.Close()
		if pair, err := p.Open(ip); err != nil {
			t.Errorf("after one was closed: %v", err)
		} else {
			pair.Close()
		}
	})
}

func TestWildcardIsRefused(t *testing.T) {
	for _, ip := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if _, err := rtpio.NewPorts(mediatest.NewNet(), 20000, 20010, 0).Open(ip); !errors.Is(err, rtpio.ErrAddress) {
			t.Errorf("%s: %v, want ErrAddress", ip, err)
		}
	}
}

type silentReceiver struct{ n chan struct{} }

func (r silentReceiver) Receive([]byte, netip.AddrPort, time.Duration) { r.n <- struct{}{} }

func TestKernelSocketDoesNotAllocate(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		p := polling(t, rtpio.Kernel)
		a := listen(t, rtpio.Kernel, netip.MustParseAddr(ip))
		r := silentReceiver{make(chan struct{})}
		if err := p.Add(a, r); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 172)
		to := a.LocalAddr()
		if n := testing.AllocsPerRun(100, func() { a.WriteToAddrPort(buf, to); <-r.n }); n != 0 {
			t.Errorf("%s: %.1f allocations for a packet out and in", ip, n)
		}
	}
}

func BenchmarkKernelPacket(b *testing.B) {
	a, err := rtpio.Kernel.Listen(netip.MustParseAddrPort("127.0.0.1:0"), rtpio.Socket{DSCP: 46})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	p := rtpio.Kernel.NewPoller()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	r := silentReceiver{make(chan struct{}, 1)}
	if err := p.Add(a, r); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 172)
	to := a.LocalAddr()
	for b.Loop() {
		a.WriteToAddrPort(buf, to)
		<-r.n
	}
	cancel()
	<-ended
}

func TestSocketsAreMarked(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		c := listen(t, rtpio.Kernel, netip.MustParseAddr(ip))
		got, err := rtpio.MarkedDSCP(c)
		if err != nil || got != 46 {
			t.Errorf("%s: DSCP %d, %v; want 46", ip, got, err)
		}
		if err = c.Mark(34); err == nil {
			got, err = rtpio.MarkedDSCP(c)
		}
		if err != nil || got != 34 {
			t.Errorf("%s: DSCP %d, %v; want 34", ip, got, err)
		}
		_ = c.Close()
		if err := c.Mark(46); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

// sequence is a receiver that wants datagrams one after the other, in the order in which they were sent. Its fields have no lock.
type sequence struct {
	t    *testing.T
	next byte
	last byte
	done chan struct{}
}

func (s *sequence) Receive(b []byte, _ netip.AddrPort, _ time.Duration) {
	if len(b) != 1 || b[0] != s.next {
		s.t.Errorf("datagram %v came, want %d", b, s.next)
	}
	if s.next++; s.next == s.last {
		close(s.done)
	}
}

func TestEachConnIsReadByOneAtATime(t *testing.T) {
	eachNetwork(t, func(t *testing.T, n rtpio.Network, ip netip.Addr) {
		p := polling(t, n)
		const datagrams = 60
		var all [4]*sequence
		var wg sync.WaitGroup
		for i := range all {
			from, to := listen(t, n, ip), listen(t, n, ip)
			all[i] = &sequence{t: t, last: datagrams, done: make(chan struct{})}
			if err := p.Add(to, all[i]); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for k := range datagrams {
					if _, err := from.WriteToAddrPort([]byte{byte(k)}, to.LocalAddr()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for _, s := range all {
			<-s.done
		}
	})
}

// counting takes datagrams of any number.
type counting struct{ n chan int }

func (c counting) Receive(b []byte, _ netip.AddrPort, _ time.Duration) { c.n <- len(b) }

// TestReportsWaitForTheReader: reports that come to the RTCP port while nobody reads are there afterwards.
func TestReportsWaitForTheReader(t *testing.T) {
	ports := rtpio.NewPorts(rtpio.Kernel, 30000, 39999, 46)
	pair, err := ports.Open(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer pair.Close()
	from := listen(t, rtpio.Kernel, netip.MustParseAddr("127.0.0.1"))
	for range 4 {
		if _, err := from.WriteToAddrPort(make([]byte, 1200), pair.RTCP.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	c := counting{make(chan int, 4)}
	if err := polling(t, rtpio.Kernel).Add(pair.RTCP, c); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		select {
		case <-c.n:
		case <-time.After(5 * time.Second):
			t.Fatalf("%d of 4 reports came", i)
		}
	}
}
