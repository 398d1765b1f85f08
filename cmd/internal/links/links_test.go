package links

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/cmd/internal/nettest"
)

func link(name string, up bool, addrs ...string) Link {
	l := Link{Name: name, Up: up}
	for _, a := range addrs {
		l.Addrs = append(l.Addrs, netip.MustParseAddr(a))
	}
	return l
}

func TestDiff(t *testing.T) {
	lo, gw := link("lo", true, "127.0.0.1", "::1"), []Route{{netip.MustParseAddr("192.0.2.254"), "eth0"}}
	for name, c := range map[string]struct {
		old, now State
		want     string
	}{
		"nothing": {State{Links: []Link{lo}}, State{Links: []Link{lo}}, ""},
		"another address": {State{Links: []Link{lo, link("eth0", true, "192.0.2.1")}}, State{Links: []Link{lo, link("eth0", true, "192.0.2.2")}},
			"address removed 192.0.2.1 (eth0), address added 192.0.2.2 (eth0)"},
		"cable out": {State{Links: []Link{link("eth0", true, "192.0.2.1")}}, State{Links: []Link{link("eth0", false, "192.0.2.1")}}, "link down (eth0)"},
		"cable in":  {State{Links: []Link{link("eth0", false)}}, State{Links: []Link{link("eth0", true)}}, "link up (eth0)"},
		"adapter pulled": {State{Links: []Link{lo, link("usb0", true, "192.0.2.1")}}, State{Links: []Link{lo}},
			"address removed 192.0.2.1 (usb0), link down (usb0)"},
		"adapter plugged": {State{}, State{Links: []Link{link("usb0", true, "2001:db8::1")}}, "address added 2001:db8::1 (usb0), link up (usb0)"},
		"route":           {State{}, State{Routes: gw}, "default route changed"},
	} {
		var got []string
		for _, d := range diff(c.old, c.now) {
			got = append(got, d.String())
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

func TestLinkOf(t *testing.T) {
	s := State{Links: []Link{link("lo", true, "127.0.0.1", "::1"), link("eth0", true, "192.0.2.1", "fe80::1")}}
	for a, want := range map[string]bool{"127.0.0.1": true, "127.9.8.7": true, "192.0.2.1": true, "::ffff:192.0.2.1": true, "192.0.2.2": false,
		"fe80::1%eth0": true, "::1": true, "::2": false} {
		if l, got := s.LinkOf(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v, %v", a, l, got)
		}
	}
}

// fake is a network that a test changes.
type fake struct {
	events chan struct{} // capacity 10: no test changes more

	mu  sync.Mutex
	now State // guarded by mu
}

// set changes the network and says that something may have changed.
func (f *fake) set(all ...Link) {
	f.mu.Lock()
	f.now = State{Links: all}
	f.mu.Unlock()
	f.events <- struct{}{}
}

func (f *fake) State() (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, nil
}

func (f *fake) Wait(ctx context.Context) error {
	select {
	case <-f.events:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// What comes and goes within settle is one change, and a message that changes nothing is none.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{now: State{Links: []Link{link("eth0", true, "192.0.2.1")}}, events: make(chan struct{}, 10)}
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- Watch(ctx, f, func(c []Change, _ State) { told = append(told, fmt.Sprint(c)) })
		}()
		synctest.Wait()
		f.set(link("eth0", true))
		time.Sleep(settle / 2)
		f.set(link("eth0", true, "192.0.2.9"))
		time.Sleep(time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := []string{"[]", "[address removed 192.0.2.1 (eth0) address added 192.0.2.9 (eth0)]"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// The kernel tells of a real address on a real link, in a namespace that the test makes.
func TestKernel(t *testing.T) {
	if !nettest.Inside(t, "--map-root-user") {
		return
	}
	k, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	news := make(chan string, 100)
	done, begun := make(chan error, 1), make(chan struct{})
	go func() {
		done <- Watch(ctx, k, func(changes []Change, _ State) {
			if changes == nil {
				close(begun)
			}
			for _, c := range changes {
				news <- c.String()
			}
		})
	}()
	<-begun // what changes before is no change
	for _, step := range []struct{ command, want string }{
		{"link set lo up", "link up (lo)"},
		{"link add eth0 type veth peer name far", ""},
		{"link set far up", ""},
		{"link set eth0 up", "link up (eth0)"},
		{"addr add 192.0.2.1/24 dev eth0", "address added 192.0.2.1 (eth0)"},
		{"route add default via 192.0.2.254", "default route changed"},
		{"addr del 192.0.2.1/24 dev eth0", "address removed 192.0.2.1 (eth0)"},
		{"addr add 2001:db8::1/64 dev eth0 nodad", "address added 2001:db8::1 (eth0)"},
		{"link set far down", "link down (eth0)"},
		{"link del eth0", "address removed 2001:db8::1 (eth0)"},
	} {
		nettest.Sh(t, "ip "+step.command)
		for got := ""; step.want != "" && got != step.want; {
			select {
			case got = <-news:
			case <-ctx.Done():
				t.Fatalf("after ip %s nobody told %q", step.command, step.want)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRouteTables(t *testing.T) {
	v4 := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\tFE0200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	if got := fmt.Sprint(routes4(v4)); got != "[{192.0.2.254 eth0}]" {
		t.Error(got)
	}
	z := strings.Repeat("0", 32)
	v6 := z + " 00 " + z + " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n" +
		z + " 00 " + z + " 00 " + z + " ffffffff 00000001 00000000 00200200       lo\nshort\n"
	if got := fmt.Sprint(routes6(v6)); got != "[{fe80::1 eth0}]" {
		t.Error(got)
	}
}
