package siptest

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"parklamp/sip"
)

// NewEndpoint returns an endpoint that runs on n with UDP and TCP at addr:5060
// until the test ends. setup is called before Run, to register handlers.
func NewEndpoint(t testing.TB, n *Net, addr string, setup ...func(*sip.Endpoint)) *sip.Endpoint {
	t.Helper()
	a := netip.MustParseAddr(addr)
	cfg := sip.Default()
	at := netip.AddrPortFrom(a, 5060).String()
	cfg.Listen = []string{"udp:" + at, "tcp:" + at}
	cfg.UserAgent = "siptest"
	return Start(t, cfg, append([]sip.Option{sip.WithNetwork(n.Host(a))}, WithNames(nil)), setup...)
}

// Start runs an endpoint until the test ends and fails the test if it cannot
// come up or does not stop.
func Start(t testing.TB, cfg sip.Config, opts []sip.Option, setup ...func(*sip.Endpoint)) *sip.Endpoint {
	t.Helper()
	e, err := sip.New(cfg, slog.New(slog.DiscardHandler), opts...)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range setup {
		f(e)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	select {
	case <-e.Ready():
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("endpoint did not stop")
		}
	})
	return e
}
