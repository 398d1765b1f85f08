package e2e

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// rush keeps connecting to an appliance's TLS port from an address until ctx ends, and holds what it has: some
// connections say nothing, some begin a handshake, some end it and say nothing then, some talk nonsense. It returns how
// many it began.
func rush(ctx context.Context, from netip.Addr, to netip.AddrPort) int {
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	var handshakes sync.WaitGroup
	defer handshakes.Wait()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return n
		case <-pace.C:
		}
		c, err := d.DialContext(ctx, "tcp", to.String())
		if err != nil {
			continue
		}
		switch held = append(held, c); n % 4 {
		case 1:
			_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1}) // the begin of a ClientHello of 512 octets
		case 2:
			handshakes.Go(func() {
				_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) // cut off, or in vain
			})
		case 3:
			_, _ = c.Write([]byte("OPTIONS sip:dock-1 SIP/2.0\r\n"))
		}
	}
}

// resident is the memory of a process, in MB.
func resident(t *testing.T, a *site.Appliance) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(a.PID()) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	kb, _ := strconv.Atoi(string(regexp.MustCompile(`VmRSS:\s+(\d+)`).FindSubmatch(text)[1]))
	return kb >> 10
}

// Two addresses rush at the TLS port of dock-1, where a caller waits: her music goes on, the lamps stay, and dock-2, which
// starts anew in the middle of it, gets in and fetches her.
func TestCrowdAtTheTLSPort(t *testing.T) {
	t.Parallel()
	p := provenPlaceOf(t, plain, "", dies)
	o := p.parked(11, "701")
	p.music(o)
	before, began := resident(t, p.dock1()), time.Now()
	ctx, stop := context.WithCancel(t.Context())
	var rushing sync.WaitGroup
	counts := make([]int, 2)
	for i := range counts {
		rushing.Go(func() { counts[i] = rush(ctx, p.addr(66+i), netip.AddrPortFrom(p.dock1().Addr, 5061)) })
	}
	defer func() { stop(); rushing.Wait() }()
	p.kill(p.dock2(), nil)
	p.everywhere("701", "parked-here", "parked-elsewhere")
	// Until it is a rush: more than the table holds were begun, and as many again refused or closed for others.
	for p.status(p.dock1()).Counters["sip.dropped_connections"] < 600 {
		for _, a := range p.Appliances[1:] {
			if l := lamp(p.status(a), "orbit-701"); l.Pattern == panel.StateUnknown {
				t.Fatalf("%s believes that dock-1 is gone", a.Name)
			}
		}
		if time.Since(began) > limit {
			t.Fatal("that is no rush")
		}
		<-time.After(100 * time.Millisecond) // a rush takes its time
	}
	p.fetch(p.dock2(), "701")
	p.conversation(p.dock2(), o)
	after := resident(t, p.dock1())
	gap, err := o.LongestGap(began)
	stop()
	rushing.Wait()
	st := p.status(p.dock1())
	t.Logf("%v connections begun, %d refused or closed for others; memory %d MB, then %d; longest gap %v (%v)",
		counts, st.Counters["sip.dropped_connections"], before, after, gap, err)
	if after-before > 50 { // 512 connections took 7
		t.Errorf("memory went from %d to %d MB", before, after)
	}
	p.hook(p.dock2(), false)
	o.ended()
	p.idle(p.Appliances...)
}
