package call

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"

	"parklamp/sip"
	"parklamp/sip/sdp"
	"parklamp/sip/siptest"
)

// The address of one side changes during calls in both directions: the far end learns Contact and media, the session is
// the same, and a BYE finds its way.
func TestCallMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		host := n.Roamer()
		first, second := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.5")
		host.Move(first)
		a := &side{t: t, net: n, addr: first, seen: map[*Call][]string{}, last: map[*Call]Event{}}
		cfg := sip.Default()
		cfg.Listen = []string{"udp:eth0:5060", "tcp:eth0:5060"}
		var ep *sip.Endpoint
		siptest.Start(t, cfg, host.Options(), func(e *sip.Endpoint) { ep = e; a.ua = New(e, Default(), logger()) })
		a.ua.OnIncoming(func(c *Call) Handler {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.calls = append(a.calls, c)
			return a.handle
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.ua.Run(ctx) }()
		defer func() { cancel(); <-done }()
		b := newSide(t, n, "10.0.0.2")

		out, outFar := established(t, a, b)
		inFar, in := established(t, b, a)
		origin := out.Dialog().Local
		host.Move(second)
		ep.AddressesChanged([]netip.Addr{first})
		a.addr = second
		for _, c := range []*Call{out, in} {
			c.Move(ep.ContactFor("10.0.0.2", ""), second, sdp.Local{Addr: second, Port: 4000, Codecs: []sdp.Codec{sdp.PCMU, sdp.PCMA}, DTMF: true})
			a.expect(c, "media send receive 10.0.0.2:4000")
		}
		for _, c := range []*Call{outFar, inFar} {
			b.expect(c, "media send receive 10.0.0.5:4000")
			if at := c.Dialog().RemoteTarget; at != "sip:caller@10.0.0.5:5060" && at != "sip:701@10.0.0.5:5060" {
				t.Errorf("the far end's target is %s", at)
			}
		}
		if l := out.Dialog().Local; l.SessionID != origin.SessionID || l.Origin != first || l.Version != origin.Version+1 {
			t.Errorf("the session was %+v and is %+v", origin, l)
		}
		outFar.Hangup("")
		in.Hangup("")
		a.expect(out, "ended remote 0")
		b.expect(inFar, "ended remote 0")
	})
}
