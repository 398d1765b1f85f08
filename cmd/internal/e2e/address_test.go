package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/parkd/panel"
)

// cable is a network namespace with one link, eth0, and its other end on this machine: an appliance that runs in it can
// lose its address and its link.
type cable struct {
	network
	t         *testing.T
	namespace string
	far       string // name of the end on this machine
}

// newCable makes one; the end on this machine has the addresses .1 and those that are given. It needs root.
func newCable(t *testing.T, here ...int) *cable {
	t.Helper()
	n := nets.Add(1)
	c := &cable{t: t, namespace: fmt.Sprintf("parklamp-%d-%d", os.Getpid(), n), far: fmt.Sprintf("pl%d-%d", os.Getpid()%1000000, n),
		// RFC 2544 appendix C.2.2: addresses for tests of networks.
		network: network{fmt.Sprintf("198.%d.%d.", 18+n%2, 1+(os.Getpid()*7+int(n))%250)}}
	c.ip("netns", "add", c.namespace)
	t.Cleanup(func() {
		_ = exec.Command("ip", "netns", "del", c.namespace).Run() // takes the link along
		_ = exec.Command("ip", "link", "del", c.far).Run()
	})
	c.ip("link", "add", c.far, "type", "veth", "peer", "name", "eth0", "netns", c.namespace)
	for _, last := range append([]int{1}, here...) {
		c.ip("addr", "add", c.addr(last).String()+"/24", "dev", c.far)
	}
	c.ip("link", "set", c.far, "up")
	c.inside("link", "set", "lo", "up")
	c.inside("link", "set", "eth0", "up")
	return c
}

func (c *cable) ip(args ...string) {
	c.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		c.t.Fatalf("ip %s (this test makes a network namespace, which takes root): %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (c *cable) inside(args ...string) {
	c.t.Helper()
	c.ip(append([]string{"-n", c.namespace}, args...)...)
}

// under is the command that runs a program in the namespace.
func (c *cable) under() []string { return []string{"ip", "netns", "exec", c.namespace} }

// mediaIn is the address in a description.
func mediaIn(t *testing.T, body string) netip.AddrPort {
	t.Helper()
	c := regexp.MustCompile(`(?m)^c=IN IP4 (\S+)`).FindStringSubmatch(body)
	m := regexp.MustCompile(`(?m)^m=audio (\d+) `).FindStringSubmatch(body)
	if c == nil || m == nil {
		t.Fatalf("no media in %q", body)
	}
	return netip.MustParseAddrPort(c[1] + ":" + m[1])
}

// The DHCP server gives dock-1 another address while a caller is parked and one talks: it registers anew at once, both
// hear on, the parked one can be fetched, and the registrar finds it.
func TestAddressChanges(t *testing.T) {
	t.Parallel()
	c := newCable(t, 5, 11, 12)
	for i := 20; i < 220; i++ { // where guests may be
		c.ip("addr", "add", c.addr(i).String()+"/24", "dev", c.far)
	}
	p := &place{T: t, network: c.network, dir: t.TempDir()}
	r := p.registrar()
	c.inside("addr", "add", c.addr(2).String()+"/24", "dev", "eth0")
	p.start([]site.Member{{Name: "dock-1", Number: "201", Addr: c.addr(2), LogLevel: "debug", SIPOn: []string{"udp:eth0:5060", "tcp:eth0:5060"},
		Under: c.under(), Extra: p.worker() + r.account("dock-1", passwords["dock-1"], `expires = "1h"`)}})
	p.registered(p.dock1())
	parked := p.guest(p.dock1(), "dock-1", visit{via: r.addr})
	p.answer(p.dock1())
	p.press(p.dock1(), "park")
	p.everywhere("701", "parked-here")
	p.hook(p.dock1(), false)
	p.music(parked.outside)
	talking := p.guest(p.dock1(), "dock-1", visit{via: r.addr})
	p.answer(p.dock1())
	p.conversation(p.dock1(), talking.outside)

	began := time.Now()
	c.inside("addr", "del", c.addr(2).String()+"/24", "dev", "eth0")
	c.inside("addr", "add", c.addr(3).String()+"/24", "dev", "eth0")
	p.dock1().Addr = c.addr(3)
	for _, text := range []string{`line="REGISTER `, `line="200 OK to REGISTER"`} { // the next one would be due in most of an hour
		t.Logf("%s %v after the change", text, p.loggedAt(p.dock1(), began, text).Sub(began))
	}
	for _, g := range []*guest{parked, talking} {
		m := g.expect("a re-INVITE from the new address", func(m peer.Message) bool {
			return !m.Sent && m.Method() == "INVITE" && m.Status() == 0 && strings.Contains(m.Header("Contact"), c.addr(3).String()) &&
				mediaIn(t, m.Body()).Addr() == c.addr(3)
		})
		g.Aim(mediaIn(t, m.Body()))
		t.Logf("re-INVITE %v after the change", m.At.Sub(began))
		g.expect("its ACK", func(m peer.Message) bool { return m.Method() == "ACK" && !m.Sent && m.At.After(began) })
	}
	p.listen(recordingOf("the parked caller", parked.Audio, music()), handsetOf(p.dock1(), speech.Caller()),
		recordingOf("the caller", talking.Audio, speech.Worker()))
	for _, g := range []*guest{parked, talking} {
		heard := g.Heard(began.Add(-time.Second))
		last := heard[len(heard)-1]
		if last.From.Addr() != c.addr(3) {
			t.Errorf("the sound comes from %s", last.From)
		}
		gap, err := g.LongestGap(began.Add(-time.Second))
		t.Logf("gap %v (%v)", gap, err)
	}

	p.hook(p.dock1(), false)
	talking.expect("BYE", func(m peer.Message) bool { return !m.Sent && m.Method() == "BYE" })
	p.fetch(p.dock1(), "701")
	p.conversation(p.dock1(), parked.outside)
	p.hook(p.dock1(), false)
	parked.expect("BYE", func(m peer.Message) bool { return !m.Sent && m.Method() == "BYE" })
	p.idle(p.dock1())
	o := p.callTo(r.addr, "dock-1", 12, "caller")
	p.answer(p.dock1())
	p.conversation(p.dock1(), o)
	p.hook(p.dock1(), false)
	o.ended()
	p.idle(p.dock1())
}

// Somebody pulls the cable of dock-1, on whose address dock-2 relies, and puts it back: the fault is shown while it
// lasts, then the peers know each other at once and the parked caller has her music.
func TestCableOut(t *testing.T) {
	t.Parallel()
	c := newCable(t, 4, 11)
	p := &place{T: t, network: c.network, dir: t.TempDir()}
	c.inside("addr", "add", c.addr(2).String()+"/24", "dev", "eth0")
	p.start([]site.Member{{Name: "dock-1", Number: "201", Addr: c.addr(2), LogLevel: "debug", Under: c.under(), Extra: dies + p.worker()},
		{Name: "dock-2", Number: "202", Addr: c.addr(4), LogLevel: "debug", Extra: dies + p.worker()}})
	o := p.parked(11, "701")
	fault := func(st panel.Status) bool {
		for _, h := range st.Health {
			if h.Code == "address."+c.addr(2).String() && h.Hint != "" {
				return true
			}
		}
		return false
	}
	c.ip("link", "set", c.far, "down")
	p.await(p.dock1(), "the fault", fault)
	p.await(p.dock2(), "unknown", func(st panel.Status) bool { return lamp(st, "orbit-701").Pattern == "unknown" })
	began := time.Now()
	c.ip("link", "set", c.far, "up")
	p.await(p.dock1(), "no fault", func(st panel.Status) bool { return !fault(st) })
	p.everywhere("701", "parked-here", "parked-elsewhere")
	t.Logf("the lamps are right %v after the cable is back", time.Since(began))
	p.music(o)
	p.fetch(p.dock2(), "701")
	p.conversation(p.dock2(), o)
	p.hook(p.dock2(), false)
	o.ended()
}
