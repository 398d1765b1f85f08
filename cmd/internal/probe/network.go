package probe

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"parklamp/cmd/internal/links"
	"parklamp/cmd/internal/selftest"
)

const (
	pings     = 5               // asked of each peer
	pingFor   = 2 * time.Second // an answer takes at most
	slowPing  = 50 * time.Millisecond
	maxPeers  = 64 // of a mesh
	dnsServer = 3  // of resolv.conf are asked, as resolvers do
)

// Pong is the answer of a peer: how long it took, and the peer's clock if it told it (RFC 3261 §20.17, whole seconds).
type Pong struct {
	Took time.Duration
	Date time.Time
}

// Peer is another appliance of the site.
type Peer struct {
	Name, Address string
	Ping          func(context.Context) (Pong, error)
}

// Account is a registration as it stands.
type Account struct {
	AOR        string
	Registered bool
	Reason     string
}

// Net is what an appliance needs of its network.
type Net struct {
	Addresses []netip.Addr // that SIP listens on
	Accounts  []Account
	Peers     []Peer
	Names     []string // host names that the configuration has

	Root string // "" but in tests: where /sys, /proc and /etc are
}

// Network asks everything that a call needs, and each peer some times.
func Network(ctx context.Context, n Net) []selftest.Finding {
	all := n.links()
	all = append(all, n.gateway())
	all = append(all, n.dns(ctx)...)
	for _, a := range n.Accounts {
		f := finding(selftest.Network, "registrar "+a.AOR, selftest.Passed, "registered")
		if !a.Registered {
			f.Outcome, f.Text = selftest.Failed, "not registered: "+a.Reason
		}
		all = append(all, f)
	}
	for _, p := range n.Peers[:min(len(n.Peers), maxPeers)] {
		all = append(all, p.test(ctx))
	}
	return all
}

func finding(s selftest.Step, item string, o selftest.Outcome, text string, figures ...selftest.Figure) selftest.Finding {
	return selftest.Finding{Step: s, Item: item, Outcome: o, Text: text, Figures: figures}
}

// links looks at the link of each address, or at all where there is no address.
func (n *Net) links() []selftest.Finding {
	interfaces, err := net.Interfaces()
	if err != nil {
		return []selftest.Finding{finding(selftest.Network, "links", selftest.Failed, err.Error())}
	}
	missing := slices.Clone(n.Addresses)
	var all []selftest.Finding
	for _, i := range interfaces {
		addresses, _ := i.Addrs() // a link that is gone has none
		var ours []string
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				if p.Addr().Is4() || !p.Addr().IsLinkLocalUnicast() {
					ours = append(ours, a.String())
				}
				missing = slices.DeleteFunc(missing, func(m netip.Addr) bool { return m == p.Addr() || i.Flags&net.FlagLoopback != 0 && p.Contains(m) })
			}
		}
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		dir := filepath.Join(n.Root, "/sys/class/net", i.Name)
		if read(filepath.Join(dir, "type")) != "1" || !physical(i.Name) {
			continue // no Ethernet
		}
		all = append(all, judgeLink(i.Name, read(filepath.Join(dir, "carrier")), read(filepath.Join(dir, "speed")), read(filepath.Join(dir, "duplex")), ours))
	}
	for _, m := range missing {
		if !m.IsUnspecified() {
			all = append(all, finding(selftest.Network, m.String(), selftest.Failed, "is to be listened on and is no address of this machine"))
		}
	}
	return all
}

// physical leaves out links that programs make for themselves.
func physical(name string) bool {
	for _, p := range []string{"docker", "veth", "br-", "virbr", "dummy", "ifb", "tap"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return true
}

// judgeLink judges an Ethernet link by what the kernel tells of it.
func judgeLink(name, carrier, speed, duplex string, addresses []string) selftest.Finding {
	f := finding(selftest.Network, name, selftest.Passed, "no address")
	if len(addresses) > 0 {
		f.Text = strings.Join(addresses, ", ")
	}
	var mbit float64
	if _, err := fmt.Sscan(speed, &mbit); err == nil && mbit > 0 {
		f.Figures = append(f.Figures, selftest.Figure{Name: "speed", Value: mbit, Unit: "Mbit/s"})
	}
	switch {
	case carrier != "1":
		f.Outcome, f.Text = selftest.Failed, "no link: check cable and switch"
		if len(addresses) == 0 {
			f.Outcome = selftest.Warned // a second socket that nobody uses
		}
	case len(addresses) == 0:
		f.Outcome, f.Text = selftest.Warned, "has a link and no address: check the DHCP server"
	case duplex == "half":
		f.Outcome, f.Text = selftest.Warned, f.Text+"; half duplex: set the switch's port to automatic"
	}
	return f
}

// gateway looks where the default routes lead.
func (n *Net) gateway() selftest.Finding {
	var all []string
	for _, r := range links.DefaultRoutes(n.Root) {
		all = append(all, r.Via.String()+" on "+r.Link)
	}
	if len(all) > 0 {
		return finding(selftest.Network, "gateway", selftest.Passed, strings.Join(all, ", "))
	}
	return finding(selftest.Network, "gateway", selftest.Warned, "there is none: only this network can be reached")
}

// dns asks the name servers for the names of the configuration. Without names none is needed.
func (n *Net) dns(ctx context.Context) []selftest.Finding {
	if len(n.Names) == 0 {
		return []selftest.Finding{finding(selftest.Network, "DNS", selftest.Absent, "the configuration has no host names")}
	}
	var servers []string
	for line := range strings.Lines(read(filepath.Join(n.Root, "/etc/resolv.conf"))) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" && len(servers) < dnsServer {
			servers = append(servers, f[1])
		}
	}
	if len(servers) == 0 {
		return []selftest.Finding{finding(selftest.Network, "DNS", selftest.Failed, "no name server is known, and "+strings.Join(n.Names, ", ")+" must be found")}
	}
	var all []selftest.Finding
	for _, s := range servers {
		took, err := query(ctx, net.JoinHostPort(s, "53"), n.Names[0])
		if err != nil {
			all = append(all, finding(selftest.Network, "DNS "+s, selftest.Failed, err.Error()))
			continue
		}
		all = append(all, finding(selftest.Network, "DNS "+s, selftest.Passed, "", selftest.Figure{Name: "round trip", Value: inMS(took), Unit: "ms"}))
	}
	for _, name := range n.Names {
		look, cancel := context.WithTimeout(ctx, pingFor)
		addresses, err := net.DefaultResolver.LookupHost(look, name)
		cancel()
		if err != nil {
			all = append(all, finding(selftest.Network, "name "+name, selftest.Warned, "is not found as a host: "+err.Error()))
			continue
		}
		all = append(all, finding(selftest.Network, "name "+name, selftest.Passed, strings.Join(addresses, ", ")))
	}
	return all
}

// query asks a name server one question. Any answer to it is one, "no such name" as well.
func query(ctx context.Context, server, host string) (time.Duration, error) {
	if !strings.HasSuffix(host, ".") {
		host += "."
	}
	name, err := dnsmessage.NewName(host)
	if err != nil {
		return 0, fmt.Errorf("%q is no name: %w", host, err)
	}
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: binary.BigEndian.Uint16(id[:]), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	packet, err := q.Pack()
	if err != nil {
		return 0, err
	}
	answer := make([]byte, 1500)
	took, n, err := exchange(ctx, server, packet, answer)
	if err != nil {
		return 0, err
	}
	var p dnsmessage.Parser
	h, err := p.Start(answer[:n])
	if err != nil || h.ID != q.ID || !h.Response {
		return 0, errors.New("it answers something else")
	}
	return took, nil
}

// exchange sends a datagram and waits for one.
func exchange(ctx context.Context, to string, packet, answer []byte) (time.Duration, int, error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, pingFor)
	defer cancel()
	c, err := d.DialContext(ctx, "udp", to)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	began := time.Now()
	if _, err := c.Write(packet); err != nil {
		return 0, 0, err
	}
	n, err := c.Read(answer)
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer within %v", pingFor)
	}
	return time.Since(began), n, err
}

// test asks a peer some times.
func (p *Peer) test(ctx context.Context) selftest.Finding {
	item := "peer " + p.Name
	var times []time.Duration
	var last error
	for range pings {
		one, cancel := context.WithTimeout(ctx, pingFor)
		pong, err := p.Ping(one)
		cancel()
		if err != nil {
			last = err
			if len(times) == 0 {
				break // one that is away answers no question
			}
			continue
		}
		times = append(times, pong.Took)
	}
	return judgePeer(item, p.Address, times, last)
}

// judgePeer judges the answers of a peer.
func judgePeer(item, address string, times []time.Duration, err error) selftest.Finding {
	if len(times) == 0 {
		return finding(selftest.Network, item, selftest.Failed, fmt.Sprintf("%s does not answer: %v", address, err))
	}
	f := finding(selftest.Network, item, selftest.Passed, "", selftest.Figure{Name: "round trip", Value: inMS(percentile(times, 50)), Unit: "ms"},
		selftest.Figure{Name: "longest", Value: inMS(percentile(times, 100)), Unit: "ms"})
	switch {
	case len(times) < pings:
		f.Outcome, f.Text = selftest.Warned, fmt.Sprintf("%d of %d questions were not answered: %v", pings-len(times), pings, err)
	case percentile(times, 50) > slowPing:
		f.Outcome, f.Text = selftest.Warned, fmt.Sprintf("slow: on one site %v are not exceeded", slowPing)
	}
	return f
}

// Hardware lists the MAC addresses of this machine's Ethernet links.
func Hardware() []string {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var all []string
	for _, i := range interfaces {
		if len(i.HardwareAddr) == 6 && physical(i.Name) {
			all = append(all, i.Name+" "+i.HardwareAddr.String())
		}
	}
	return all
}

// Machine is what the device tree calls this machine; empty where there is none.
func Machine() string {
	lines := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(read("/proc/device-tree/model"), "\x00", "")))
	lines.Scan()
	return lines.Text()
}
