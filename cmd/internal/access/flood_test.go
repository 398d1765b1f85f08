package access

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

func TestFloodLimitsRateAndCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stranger, trusted, peer := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
		open := 0
		f := NewFlood(Config{InvitesPerMinute: 60, CallsPerSource: 5, Trusted: []netip.Addr{trusted}}, func(a netip.Addr, _ []string) bool { return a == peer }, func(netip.Addr) int { return open })
		count := func(from netip.Addr) (n int) {
			for range 100 {
				if f.allow(from, nil) {
					n++
				}
			}
			return n
		}
		for from, want := range map[netip.Addr]int{stranger: 60, trusted: 100, peer: 100, netip.MustParseAddr("192.0.2.4"): 60} {
			if got := count(from); got != want {
				t.Errorf("%s: %d of 100, want %d", from, got, want)
			}
		}
		time.Sleep(10 * time.Second)
		if got := count(stranger); got != 10 {
			t.Errorf("10 s later: %d, want 10", got)
		}
		time.Sleep(time.Minute)
		if open = 5; f.allow(stranger, nil) || !f.allow(peer, nil) {
			t.Error("with as many calls as allowed")
		}
		none := NewFlood(Config{}, nil, func(netip.Addr) int { return 1 << 20 })
		if !none.allow(stranger, nil) {
			t.Error("refused without a limit")
		}
	})
}

// An INVITE too many is told when to come again; what is no INVITE passes.
func TestFloodAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		f := NewFlood(Config{InvitesPerMinute: 1}, nil, nil)
		siptest.NewEndpoint(t, n, "10.0.0.1", func(e *sip.Endpoint) {
			e.Guard(f.Check)
			for _, m := range []string{"INVITE", "SUBSCRIBE"} {
				e.Handle(m, func(req *gosip.Request, tx *sip.ServerTx) { _ = tx.Respond(sip.NewResponse(req, 486, "Busy Here")) })
			}
		})
		caller := siptest.NewEndpoint(t, n, "10.0.0.9")
		send := func(method gosip.RequestMethod) *gosip.Response {
			u := gosip.Uri{Scheme: "sip", User: "701", Host: "10.0.0.1"}
			req := gosip.NewRequest(method, u)
			from := &gosip.FromHeader{Address: gosip.Uri{Scheme: "sip", User: "x", Host: "10.0.0.9"}, Params: gosip.NewParams()}
			from.Params.Add("tag", gosip.GenerateTagN(8))
			id := gosip.CallIDHeader(gosip.GenerateTagN(16))
			req.AppendHeader(from)
			req.AppendHeader(&gosip.ToHeader{Address: u})
			req.AppendHeader(&id)
			req.AppendHeader(&gosip.CSeqHeader{SeqNo: 1, MethodName: method})
			var last *gosip.Response
			for res := range caller.Request(req, sip.Send{}).Responses() {
				last = res
			}
			return last
		}
		if res := send("INVITE"); res.StatusCode != 486 {
			t.Errorf("the first: %d", res.StatusCode)
		}
		res := send("INVITE")
		if h := res.GetHeader("Retry-After"); res.StatusCode != 503 || h == nil || h.Value() != "10" || f.Refused() != 1 {
			t.Errorf("the second: %v, %d refused", res, f.Refused())
		}
		if res := send("SUBSCRIBE"); res.StatusCode != 486 {
			t.Errorf("a SUBSCRIBE: %d", res.StatusCode)
		}
	})
}
