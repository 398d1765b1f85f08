package depot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/pion/mdns/v2"

	"parklamp/cmd/internal/nettest"
)

// What python3-zeroconf, an independent implementation, says to the link. It ends with its standard input.
const announcer = `
import sys, socket
from zeroconf import Zeroconf, ServiceInfo, IPVersion
z = Zeroconf(interfaces=["192.0.2.1"], ip_version=IPVersion.V4Only)
for name, port, txt in (("hall", int(sys.argv[1]), {"path": "/phones"}), ("Halle Süd", 9, {"Scheme": "https"}), ("odd", 9, {"scheme": "ftp"})):
    z.register_service(ServiceInfo("_parklamp-site._tcp.local.", name + "._parklamp-site._tcp.local.", port=port,
        properties=txt, server="desk.local.", addresses=[socket.inet_aton("192.0.2.1")]))
print("announced", flush=True)
sys.stdin.read()
z.close()
`

// An appliance without an identity finds the servers of its link, and gets its set from the one that has it.
func TestOffersOfTheLink(t *testing.T) {
	if !nettest.Inside(t, "--map-root-user") {
		return
	}
	nettest.Sh(t, "ip link set lo up && ip link add eth0 type veth peer name desk && ip link set desk up && ip link set eth0 up && "+
		"ip addr add 192.0.2.7/24 dev eth0 && ip addr add 192.0.2.1/24 dev desk && sysctl -q -w net.ipv4.conf.all.rp_filter=0")
	if offers, err := Find(t.Context(), "eth0"); !errors.Is(err, ErrNobody) || !errors.Is(err, errNothing) || offers != nil {
		t.Fatalf("%v, %v", offers, err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/phones/02-00-00-00-00-07.tar" && strings.HasPrefix(r.Host, "desk.local:") {
			_, _ = w.Write([]byte("the set"))
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	port := netip.MustParseAddrPort(server.Listener.Addr().String()).Port()

	cmd := exec.Command("/usr/bin/python3", "-c", announcer, netip.AddrPortFrom(netip.IPv4Unspecified(), port).String()[len("0.0.0.0:"):])
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	says, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("package python3-zeroconf: %v", err)
	}
	defer func() { _ = hold.Close(); _ = cmd.Wait() }()
	if line, err := bufio.NewReader(says).ReadString('\n'); err != nil || line != "announced\n" {
		t.Fatalf("package python3-zeroconf says %q, %v", line, err)
	}
	offers, err := Find(t.Context(), "eth0")
	if err != nil || len(offers) != 2 {
		t.Fatalf("%v, %v", offers, err)
	}
	slices.SortFunc(offers, func(a, b Offer) int { return strings.Compare(a.URL, b.URL) })
	if got := offers[0]; !strings.HasPrefix(got.URL, "http://desk.local:") || !strings.HasSuffix(got.URL, "/phones") || got.Address != netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port) {
		t.Errorf("%+v", got)
	}
	if got := offers[1]; got.URL != "https://desk.local:9/" || got.Address.String() != "192.0.2.1:9" {
		t.Errorf("%+v", got)
	}
	// The name desk.local is in no DNS: the address that was announced counts.
	var set bytes.Buffer
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	if err := Fetch(t.Context(), Request{URL: offers[0].URL + "/", MAC: "02:00:00:00:00:07", Address: at}, &set); err != nil || set.String() != "the set" {
		t.Errorf("%q, %v", set.String(), err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Find(ended, "eth0"); err == nil {
		t.Error("found somebody after the end")
	}
}

func TestOffer(t *testing.T) {
	ev := func(host string, port uint16, addr string, txt ...mdns.TXTEntry) mdns.ServiceEvent {
		return mdns.ServiceEvent{Instance: mdns.ServiceInstance{Instance: "x", Service: Service, Host: host, Port: port, Text: txt}, Addr: netip.MustParseAddr(addr)}
	}
	other := ev("desk.local.", 80, "192.0.2.1")
	other.Instance.Service = "_http._tcp"
	for name, e := range map[string]mdns.ServiceEvent{
		"no port": ev("desk.local.", 0, "192.0.2.1"), "no host": ev(".", 80, "192.0.2.1"), "another scheme": ev("desk.local.", 80, "192.0.2.1", mdns.NewTXTString("scheme", "file")),
		"IPv6": ev("desk.local.", 80, "fe80::1%lo"), "another service": other} {
		if o, ok := offer(e); ok {
			t.Errorf("%s: %+v", name, o)
		}
	}
	// Whatever the network says ends in a URL of one line with nothing of it in another part.
	o, ok := offer(ev("desk.local.", 80, "192.0.2.1", mdns.NewTXTString("PATH", "a b?c#d\r\n"), mdns.NewTXTFlag("x")))
	if u, err := resolve(o.URL, "02:00:00:00:00:07"); !ok || err != nil || u.Host != "desk.local:80" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(u.String(), " \r\n") {
		t.Errorf("%+v: %v, %v", o, u, err)
	}
	if _, err := Find(t.Context(), "no-such-link"); err == nil {
		t.Error("found somebody on a link that does not exist")
	}
	if _, err := net.InterfaceByName("lo"); err != nil {
		t.Error(err)
	}
}
