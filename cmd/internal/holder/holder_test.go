package holder

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

func TestSocketInode(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:13C4 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0
   1: 0200007F:13C4 0300007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0
   2: 00000000:13C6 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0
   3: 00000000000000000000000001000000:13C4 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1 0
   4: short
`
	for at, want := range map[string]string{
		"127.0.0.1:5060": "111", "127.0.0.2:5060": "", "127.0.0.9:5062": "333", "[::1]:5060": "444", "127.0.0.1:5061": "",
	} {
		if got := socketInode(table, netip.MustParseAddrPort(at), true); got != want {
			t.Errorf("%s: inode %q, want %q", at, got, want)
		}
	}
}

func TestOf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	want := fmt.Sprintf("(pid %d)", os.Getpid())
	for _, c := range []struct {
		network string
		at      net.Addr
	}{{"tcp", l.Addr()}, {"tls", l.Addr()}, {"udp", u.LocalAddr()}} {
		if got := Of(c.network, netip.MustParseAddrPort(c.at.String())); !strings.HasSuffix(got, want) {
			t.Errorf("%s %s is held by %q, want %s", c.network, c.at, got, want)
		}
	}
	_ = l.Close()
	if got := Of("tcp", netip.MustParseAddrPort(l.Addr().String())); got != "" {
		t.Errorf("a free port is held by %s", got)
	}
}

func FuzzSocketInode(f *testing.F) {
	f.Add("  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 34671 1\n", uint16(8080))
	f.Add("0: : 0 0A 0 0 0 0 0 0", uint16(0))
	f.Fuzz(func(t *testing.T, table string, port uint16) {
		at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
		if got := socketInode(table, at, true); got != "" && !strings.Contains(table, got) {
			t.Errorf("inode %q is not in the table", got)
		}
	})
}
