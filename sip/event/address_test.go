package event

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

// An agent whose address changes goes on to watch and to be watched: the far end learns the new address at once, in the
// dialogs that there are.
func TestDialogsFollowTheAddress(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{t: t, net: siptest.New(1)}
				host := w.net.Roamer()
				first, second := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.7")
				host.Move(first)
				cfg := sip.Default()
				cfg.Listen = []string{"udp:eth0:5060", "tcp:eth0:5060"}
				var ep *sip.Endpoint
				var moving *Agent
				siptest.Start(t, cfg, host.Options(), func(e *sip.Endpoint) {
					ep = e
					moving = New(e, Default(), slog.New(slog.DiscardHandler))
					moving.Serve(w.dialogPackage())
				})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- moving.Run(ctx) }()
				defer func() { cancel(); <-done }()
				fixed, _ := newAgent(t, w.net, "10.0.0.2", Default(), func(a *Agent) { a.Serve(w.dialogPackage()) })

				var seen, watched []string
				note := func(to *[]string) func(Update) {
					return func(u Update) { *to = append(*to, u.State.String()+" "+string(u.Body)) }
				}
				at := func(host string) Subscribe {
					u := gosip.Uri{Scheme: "sip", User: "701", Host: host, Port: 5060, UriParams: gosip.NewParams()}
					u.UriParams.Add("transport", transport)
					return Subscribe{Target: u, Event: "dialog", From: gosip.Uri{Scheme: "sip", User: "x", Host: "x.invalid"}, Transport: transport}
				}
				moving.Subscribe(at("10.0.0.2"), note(&seen))
				fixed.Subscribe(at("10.0.0.1"), note(&watched))
				time.Sleep(time.Second)
				synctest.Wait()
				expect(t, "seen", seen, []string{"active 701 version=0 state=0"})
				expect(t, "watched", watched, []string{"active 701 version=0 state=0"})

				host.Move(second)
				ep.AddressesChanged([]netip.Addr{first})
				moving.AddressesChanged()
				time.Sleep(time.Second)
				synctest.Wait()
				w.state.Add(1)
				fixed.Changed("dialog", "701")
				moving.Changed("dialog", "701")
				time.Sleep(time.Second)
				synctest.Wait()
				expect(t, "seen", seen[1:], []string{"active 701 version=1 state=0", "active 701 version=2 state=1"})
				expect(t, "watched", watched[1:], []string{"active 701 version=1 state=0", "active 701 version=2 state=1"})
				moving.AddressesChanged() // nothing has changed for the dialogs
				time.Sleep(time.Second)
				synctest.Wait()
				expect(t, "news", len(seen)+len(watched), 6)
			})
		})
	}
}
