package call

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"parklamp/sip/siptest"
)

func TestReferFromPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, "", peerSDP)
		if res := r.request("REFER", "Refer-To: <sip:*68@10.0.0.1>", ""); status(res) != "403" {
			t.Errorf("REFER while ringing: %s", res)
		}
		ack := r.seq
		r.seq = 1
		r.answer("")
		r.seq = ack
		r.a.forget(r.c)
		for name, h := range map[string]string{
			"none": "", "garbled": "Refer-To: <sip:", "two": "Refer-To: <sip:1@10.0.0.1>\nRefer-To: <sip:2@10.0.0.1>", "scheme": "Refer-To: <http://x>",
		} {
			if res := r.request("REFER", h, ""); status(res) != "400" {
				t.Errorf("%s Refer-To:\n%s", name, res)
			}
		}
		r.a.expect(r.c)
		r.seq++
		id := r.seq
		r.p.request("REFER", "sip:701@10.0.0.1:5060", r.from, r.to, "raw", r.seq, "Refer-To: <sip:*68@10.0.0.1>\nReferred-By: <sip:peer@10.0.0.9>", "")
		r.a.expect(r.c, "referred *68")
		r.p.none("SIP/2.0")
		tr := r.a.refs[0]
		tr.Accept()
		tr.Done(200, "Parked at 701")
		r.p.take("SIP/2.0 202")
		first := r.p.take("NOTIFY")
		if line(first, "Event") != fmt.Sprintf("refer;id=%d", id) || !strings.HasPrefix(line(first, "Subscription-State"), "active;expires=") ||
			!strings.HasSuffix(first, "\r\n\r\nSIP/2.0 100 Trying\r\n") || line(first, "Content-Type") != "message/sipfrag;version=2.0" {
			t.Errorf("first NOTIFY:\n%s", first)
		}
		// The second waits for the answer to the first, and cannot overtake it.
		r.p.none("NOTIFY")
		r.p.reply(first, "200 OK", "", "", "")
		second := r.p.take("NOTIFY")
		if line(second, "Subscription-State") != "terminated;reason=noresource" || !strings.HasSuffix(second, "\r\n\r\nSIP/2.0 200 Parked at 701\r\n") {
			t.Errorf("second NOTIFY:\n%s", second)
		}
		r.p.reply(second, "200 OK", "", "", "")
	})
}

func TestReferOutsideDialog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		a := newSide(t, n, "10.0.0.1")
		p := newPeer(t, n, "10.0.0.9", a.addr)
		p.request("REFER", "sip:701@10.0.0.1", peerFrom, "<sip:701@10.0.0.1>", "raw", 1, "Refer-To: <sip:1@10.0.0.1>", "")
		p.take("SIP/2.0 403")
		p.request("REFER", "sip:701@10.0.0.1", peerFrom, "<sip:701@10.0.0.1>;tag=x", "raw", 2, "Refer-To: <sip:1@10.0.0.1>", "")
		p.take("SIP/2.0 481")
	})
}

func TestReferToPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, p, c, inv := dialled(t)
		p.reply(inv, "200 OK", "b", "Allow: INVITE, REFER", peerSDP)
		p.take("ACK")
		a.forget(c)
		c.Refer(a.uri("*68"), &DialogID{"x@y", "1", "2"})
		refer := p.take("REFER")
		if line(refer, "Refer-To") != "<sip:*68@10.0.0.1:5060?Replaces=x%40y%3Bto-tag%3D1%3Bfrom-tag%3D2>" || line(refer, "Referred-By") == "" {
			t.Errorf("REFER:\n%s", refer)
		}
		seq, _, _ := strings.Cut(line(refer, "CSeq"), " ")
		notify := func(n int, headers, body string) string {
			p.request("NOTIFY", "sip:desk@10.0.0.1:5060", line(inv, "To")+";tag=b", line(inv, "From"), line(inv, "Call-ID"), n,
				headers+"\nContent-Type: message/sipfrag", body)
			return status(p.take("SIP/2.0"))
		}
		active := "Event: refer;id=" + seq + "\nSubscription-State: active;expires=60"
		// Before the 202, which is lost or late.
		if s := notify(1, active, "SIP/2.0 100 Trying"); s != "200" {
			t.Error("early NOTIFY: ", s)
		}
		p.reply(refer, "202 Accepted", "", "", "")
		for i, bad := range []struct{ want, headers, body string }{
			{"481", "Event: refer;id=7777\nSubscription-State: active", "SIP/2.0 100 Trying"},
			{"481", "Event: refer;id=x\nSubscription-State: active", "SIP/2.0 100 Trying"},
			{"400", "Event: refer;id=" + seq, "SIP/2.0 100 Trying"},
			{"400", active, "hello"},
			{"400", active, "SIP/2.0 99 x"},
			{"489", "Event: presence\nSubscription-State: active", ""},
		} {
			if s := notify(10+i, bad.headers, bad.body); s != bad.want {
				t.Errorf("NOTIFY %d: %s, want %s", i, s, bad.want)
			}
		}
		if s := notify(30, "Event: refer\nSubscription-State: active", "SIP/2.0 180 Ringing\r\n"); s != "200" {
			t.Error("NOTIFY without id: ", s)
		}
		if s := notify(31, "Event: refer\nSubscription-State: terminated;reason=noresource", "SIP/2.0 200 OK"); s != "200" {
			t.Error("last NOTIFY: ", s)
		}
		if s := notify(32, active, "SIP/2.0 200 OK"); s != "481" {
			t.Error("NOTIFY after the last: ", s)
		}
		a.expect(c, "transfer 100 final=false", "transfer 180 final=false", "transfer 200 final=true")
	})
}

func TestInfoDTMF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, "", peerSDP)
		r.answer("")
		r.a.forget(r.c)
		for _, c := range []struct{ headers, body, status string }{
			{"Content-Type: application/dtmf-relay", "Signal=5\nDuration=160\n", "200"},
			{"Content-Type: application/dtmf-relay", "Signal= # \n", "200"},
			{"Content-Type: application/dtmf", "d", "200"},
			{"Content-Type: application/dtmf", "10", "200"},
			{"", "", "200"},
			{"Content-Type: application/dtmf", "55", "400"},
			{"Content-Type: application/dtmf-relay", "Duration=160", "400"},
			{"Content-Type: text/plain", "5", "415"},
		} {
			if res := r.request("INFO", c.headers, c.body); status(res) != c.status {
				t.Errorf("%q: %s, want %s", c.body, status(res), c.status)
			}
		}
		r.a.expect(r.c, "dtmf 5", "dtmf #", "dtmf D", "dtmf *")
	})
}
