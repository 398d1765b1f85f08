package call

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/sip/siptest"
)

func TestBlindTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		c := newSide(t, n, "10.0.0.3")
		ca, cb := established(t, a, b)
		ca.Refer(c.uri("*68"), nil)
		b.expect(cb, "referred *68")
		tr := b.refs[0]
		if tr.Target.Host != "10.0.0.3" || tr.Replaces != nil || tr.ReferredBy.Number != "caller" {
			t.Errorf("transfer %+v", tr)
		}
		tr.Accept()
		a.expect(ca, "transfer 100 final=false")
		tr.Progress(180, "")
		tr.Progress(183, "")
		a.expect(ca, "transfer 180 final=false", "transfer 183 final=false")
		tr.Done(200, "")
		a.expect(ca, "transfer 200 final=true")
		tr.Done(486, "") // no effect
		tr.Reject(486)
		a.expect(ca)
		if !ca.Answered() {
			t.Error("the transferor's call has ended by itself")
		}
		ca.Hangup("")
		b.expect(cb, "ended remote 0")
		a.idle()
		b.idle()
	})
}

func TestTransferRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca, cb := established(t, a, b)
		ca.Refer(b.uri("1"), nil)
		synctest.Wait()
		b.refs[0].Reject(486)
		a.expect(ca, "transfer 486 final=true")
		ca.Refer(b.uri("2"), nil)
		synctest.Wait()
		b.refs[1].Accept()
		b.refs[1].Done(603, "")
		a.expect(ca, "transfer 100 final=false", "transfer 603 final=true")
		// Nobody decides.
		ca.Refer(b.uri("3"), nil)
		time.Sleep(21 * time.Second)
		a.expect(ca, "transfer 480 final=true")
		// Decided, but never reported.
		ca.Refer(b.uri("4"), nil)
		synctest.Wait()
		b.refs[3].Accept()
		time.Sleep(61 * time.Second)
		a.expect(ca, "transfer 100 final=false", "transfer 408 final=true")
		if !ca.Answered() || !cb.Answered() {
			t.Error("a refused transfer has ended the call")
		}
	})
}

// The far end dies between 202 and the first report.
func TestTransferWithoutReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t, func(c *Config) { c.TransferTimeout = 20 * time.Second })
		ca, _ := established(t, a, b)
		ca.Refer(b.uri("1"), nil)
		synctest.Wait()
		n.SetLink(b.addr, a.addr, siptest.Link{Drop: func(p siptest.Packet) bool { return strings.HasPrefix(string(p.Data), "NOTIFY") }})
		b.refs[0].Accept()
		time.Sleep(21 * time.Second)
		a.expect(ca, "transfer 408 final=true")
	})
}

// Several at once, told apart by id; above the limit they are refused.
func TestSeveralTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t, func(c *Config) { c.MaxTransfers = 2 })
		ca, _ := established(t, a, b)
		for i := range 3 {
			ca.Refer(b.uri(fmt.Sprint(i)), nil)
		}
		time.Sleep(5 * time.Second) // one waits a while for the answer to the one before
		a.expect(ca, "transfer 486 final=true")
		b.refs[0].Accept()
		b.refs[1].Accept()
		a.expect(ca, "transfer 100 final=false", "transfer 100 final=false")
		b.refs[1].Done(404, "")
		b.refs[0].Done(200, "")
		synctest.Wait()
		a.mu.Lock()
		got := strings.Join(a.seen[ca], "; ")
		a.mu.Unlock()
		if !strings.Contains(got, "transfer 404 final=true") || !strings.Contains(got, "transfer 200 final=true") {
			t.Errorf("saw %s", got)
		}
		a.forget(ca)
		ca.Refer(b.uri("again"), nil)
		synctest.Wait()
		if len(b.refs) != 3 {
			t.Error("the limit counts transfers that are over")
		}
	})
}

// A transfer is reported on after the call that it came in has ended (RFC 5057: usages of one dialog).
func TestTransferOutlivesCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		ca, cb := established(t, a, b)
		ca.Refer(b.uri("1"), nil)
		synctest.Wait()
		b.refs[0].Accept()
		synctest.Wait()
		w := tap(n, b.addr)
		cb.Hangup("")
		synctest.Wait()
		b.refs[0].Done(200, "")
		synctest.Wait()
		if w.count("NOTIFY") != 1 {
			t.Errorf("%d NOTIFYs after BYE", w.count("NOTIFY"))
		}
		a.expect(ca, "transfer 100 final=false", "ended remote 0")
		a.idle()
		b.idle()
	})
}

// Some phones hang up right after their REFER. It can still be accepted, and is reported on.
func TestTransferorHangsUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		a := newSide(t, n, "10.0.0.1")
		b := newSide(t, n, "10.0.0.2")
		ca, cb := established(t, a, b)
		ca.Refer(b.uri("701"), nil)
		ca.Hangup("")
		time.Sleep(5 * time.Second)
		b.expect(cb, "referred 701", "ended remote 0")
		w := tap(n, b.addr)
		b.refs[0].Accept()
		b.refs[0].Done(200, "")
		time.Sleep(time.Second)
		synctest.Wait()
		if w.count("SIP/2.0 202") != 1 || w.count("NOTIFY") == 0 {
			t.Errorf("sent %q", w.lines)
		}
		a.idle()
		b.idle()
	})
}

// RFC 5589 §7: a has b and c on the line and brings them together.
func TestAttendedTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := pair(t)
		c := newSide(t, n, "10.0.0.3")
		ab, ba := established(t, a, b)
		ac, ca := established(t, a, c)
		ab.ReferTo(ac)
		b.expect(ba, "referred 701")
		tr := b.refs[0]
		if tr.Replaces == nil || *tr.Replaces != ca.Dialog().ID() {
			t.Fatalf("replaces %+v, want %+v", tr.Replaces, ca.Dialog().ID())
		}
		tr.Accept()
		o := Invite{To: tr.Target, Media: b.local(), Replaces: tr.Replaces, ReferredBy: "<" + tr.ReferredBy.URI + ">"}
		bc, err := b.ua.Invite(o, b.handle)
		if err != nil {
			t.Fatal(err)
		}
		cb := c.incoming()
		if cb.Info().Replaces != ca || cb.Info().ReferredBy.Number != "caller" {
			t.Fatalf("info %+v", cb.Info())
		}
		cb.Answer(c.local())
		ca.Hangup("replaced")
		c.expect(cb, "answered "+"send receive 10.0.0.2:4000", "acked")
		c.expect(ca, "ended local 0")
		a.expect(ac, "ended remote 0")
		b.expect(bc, "answered send receive 10.0.0.3:4000")
		tr.Done(200, "")
		a.expect(ab, "transfer 100 final=false", "transfer 200 final=true")
		ab.Hangup("")
		b.expect(ba, "ended remote 0")
		if !bc.Answered() || !cb.Answered() {
			t.Error("the transferred call is not up")
		}
	})
}

func TestReferWhileNotUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		ca := a.call(b, "701")
		ca.Refer(b.uri("1"), nil)
		a.expect(ca, "transfer 491 final=true")
	})
}

func TestParseReferTo(t *testing.T) {
	for _, c := range []struct {
		in, user string
		replaces string
		bad      bool
	}{
		{in: "<sip:701@10.0.0.2>", user: "701"},
		{in: "sip:701@10.0.0.2", user: "701"},
		{in: `"Lot" <sip:*68@10.0.0.2;transport=tcp>`, user: "*68"},
		{in: "<sip:701@10.0.0.2;method=INVITE>", user: "701"},
		// RFC 3515 §2.1.
		{in: "<sip:dave@denver.example.org?Replaces=12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994>",
			user: "dave", replaces: "12345@192.168.118.3;to-tag=12345;from-tag=5FFE-3994"},
		{in: "<sip:carol@cleveland.example.org;method=SUBSCRIBE>", bad: true},
		{in: "", bad: true},
		{in: "<>", bad: true},
		{in: "<tel:+1201>", bad: true},
		{in: "<http://example.com>", bad: true},
		{in: "<sip:a@b?Replaces=x>", bad: true},
		{in: "<sip:a@b?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2%0D%0AX: y>", bad: true},
		{in: "<sip:a@b?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>", bad: true},
		{in: "<sip:a@b?Replaces=%zz>", bad: true},
	} {
		uri, r, err := parseReferTo(c.in)
		if (err != nil) != c.bad {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if c.bad {
			continue
		}
		got := ""
		if r != nil {
			got = replaces{id: *r}.String()
		}
		if uri.User != c.user || got != c.replaces {
			t.Errorf("%q: user %q replaces %q", c.in, uri.User, got)
		}
		again, r2, err := parseReferTo(referTo(uri, r))
		if err != nil || again.String() != uri.String() || (r == nil) != (r2 == nil) || r != nil && *r != *r2 {
			t.Errorf("%q does not survive a round trip: %v", c.in, err)
		}
	}
}
