package rtpio_test

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

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

func TestDatagramsArriveWithTheirSource(t *testing.T) {
	eachNetwork(t, func(t *testing.T, n rtpio.Network, ip netip.Addr) {
		a, err := n.Listen(netip.AddrPortFrom(ip, 0), rtpio.Socket{DSCP: 46})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		b, err := n.Listen(netip.AddrPortFrom(ip, 0), rtpio.Socket{ReceiveBytes: 4096})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.WriteToAddrPort([]byte("orbit"), b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4)
		if k, from, err := b.ReadFromAddrPort(buf); err != nil || k != 4 || from != a.LocalAddr() || string(buf) != "orbi" {
			t.Errorf("read %q from %s, %v; want the first 4 bytes from %s", buf, from, err, a.LocalAddr())
		}
		if _, err := n.Listen(b.LocalAddr(), rtpio.Socket{}); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a taken port: %v, want EADDRINUSE", err)
		}
		ended := make(chan error)
		go func() { _, _, err := b.ReadFromAddrPort(buf); ended <- err }()
		b.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read that was closed: %v", err)
		}
		if _, err := b.WriteToAddrPort(buf, a.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after Close: %v", err)
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

func TestKernelSocketDoesNotAllocate(t *testing.T) {
	a, err := rtpio.Kernel.Listen(netip.MustParseAddrPort("127.0.0.1:0"), rtpio.Socket{DSCP: 46})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	buf := make([]byte, 172)
	to := a.LocalAddr()
	if n := testing.AllocsPerRun(100, func() { a.WriteToAddrPort(buf, to); a.ReadFromAddrPort(buf) }); n != 0 {
		t.Errorf("%.1f allocations for a packet out and in", n)
	}
}
