package call

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/sip/sdp"
	"parklamp/sip/siptest"
)

// The far end in these tests is a script, so that both ends are not our own code.

// dialled makes a call from a UA to a scripted peer; it gives the INVITE as the peer got it.
func dialled(t testing.TB, change ...func(*Invite)) (*siptest.Net, *side, *peer, *Call, string) {
	n := siptest.New(1)
	a := newSide(t, n, "10.0.0.1")
	p := newPeer(t, n, "10.0.0.9", a.addr)
	o := Invite{To: a.uri("701"), Media: a.local()}
	o.To.Host, o.From.Scheme, o.From.User = "10.0.0.9", "sip", "desk"
	for _, f := range change {
		f(&o)
	}
	c, err := a.ua.Invite(o, a.handle)
	if err != nil {
		t.Fatal(err)
	}
	return n, a, p, c, p.take("INVITE")
}

// rung is a UA that a scripted peer has called: the peer's From, the To with our tag, and the call.
type rung struct {
	n        *siptest.Net
	a        *side
	p        *peer
	c        *Call
	from, to string
	seq      int
}

const peerFrom = `"Peer" <sip:peer@10.0.0.9>;tag=pt`

func ring(t testing.TB, headers, body string) *rung {
	n := siptest.New(1)
	a := newSide(t, n, "10.0.0.1")
	p := newPeer(t, n, "10.0.0.9", a.addr)
	p.request("INVITE", "sip:701@10.0.0.1", peerFrom, "<sip:701@10.0.0.1>", "raw", 1, headers, body)
	p.take("SIP/2.0 100")
	r := &rung{n: n, a: a, p: p, c: a.incoming(), from: peerFrom, seq: 1}
	r.c.Ring()
	r.to = line(p.take("SIP/2.0 180"), "To")
	return r
}

// answer brings the call up and acknowledges; it gives the 200.
func (r *rung) answer(ackBody string) string {
	r.p.t.Helper()
	r.c.Answer(r.a.local())
	ok := r.p.take("SIP/2.0 200")
	r.ack(ackBody)
	return ok
}

func (r *rung) ack(body string) {
	headers := ""
	if body != "" {
		headers = "Content-Type: application/sdp"
	}
	r.p.t.Helper()
	r.p.send(fmt.Sprintf("ACK sip:701@10.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKack%d;rport\nMax-Forwards: 70\nFrom: %s\nTo: %s\nCall-ID: raw\nCSeq: %d ACK%s\n\n%s",
		r.seq, r.from, r.to, r.seq, prefixed(headers), body))
}

// request sends the next request in the dialog and gives its final response.
func (r *rung) request(method, headers, body string) string {
	r.p.t.Helper()
	r.seq++
	r.p.request(method, "sip:701@10.0.0.1:5060", r.from, r.to, "raw", r.seq, headers, body)
	if method == "INVITE" {
		res := r.p.take("SIP/2.0")
		if strings.HasPrefix(res, "SIP/2.0 2") {
			r.ack("")
		}
		return res
	}
	return r.p.take("SIP/2.0")
}

func status(msg string) string { return strings.Fields(msg)[1] }

func TestHoldForms(t *testing.T) {
	for _, c := range []struct{ name, body, event, answer string }{
		{"sendonly", peerSDP + "a=sendonly\n", "media receive held 10.0.0.9:6000", "a=recvonly"},
		{"inactive", peerSDP + "a=inactive\n", "media held 10.0.0.9:6000", "a=inactive"},
		{"zero address", strings.Replace(peerSDP, "c=IN IP4 10.0.0.9", "c=IN IP4 0.0.0.0", 1), "media receive held invalid AddrPort", "a=recvonly"},
		{"session level", strings.Replace(peerSDP, "t=0 0\n", "t=0 0\na=sendonly\n", 1), "media receive held 10.0.0.9:6000", "a=recvonly"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := ring(t, "", peerSDP)
				r.answer("")
				r.a.forget(r.c)
				for range 2 {
					if res := r.request("INVITE", "", c.body); !strings.Contains(res, c.answer+"\r\n") {
						t.Errorf("answer:\n%s", res)
					}
					r.a.expect(r.c, c.event)
					if res := r.request("INVITE", "", peerSDP); !strings.Contains(res, "a=sendrecv\r\n") {
						t.Errorf("answer:\n%s", res)
					}
					r.a.expect(r.c, "media send receive 10.0.0.9:6000")
				}
				// A refresh without a change is answered, and is no news.
				r.request("INVITE", "", peerSDP)
				r.a.expect(r.c)
			})
		})
	}
}

func TestReINVITEWithoutOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, "", peerSDP)
		r.answer("")
		r.a.forget(r.c)
		r.seq++
		r.p.request("INVITE", "sip:701@10.0.0.1:5060", r.from, r.to, "raw", r.seq, "", "")
		if res := r.p.take("SIP/2.0 200"); !strings.Contains(res, "m=audio 4000") {
			t.Errorf("200:\n%s", res)
		}
		r.ack(strings.Replace(peerSDP, "6000", "7000", 1))
		r.a.expect(r.c, "media send receive 10.0.0.9:7000")
	})
}

// RFC 3261 §12.2.1.2: re-INVITE and UPDATE move the target.
func TestTargetRefresh(t *testing.T) {
	for _, method := range []string{"INVITE", "UPDATE"} {
		synctest.Test(t, func(t *testing.T) {
			r := ring(t, "", peerSDP)
			r.answer("")
			r.seq++
			r.p.send(fmt.Sprintf("%s sip:701@10.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKtr;rport\nMax-Forwards: 70\nFrom: %s\nTo: %s\nCall-ID: raw\nCSeq: %d %s\nContact: <sip:moved@10.0.0.9:5060>\nContent-Type: application/sdp\n\n%s",
				method, r.from, r.to, r.seq, method, peerSDP))
			r.p.take("SIP/2.0 200")
			r.ack("")
			r.c.Hangup("")
			r.p.take("BYE sip:moved@10.0.0.9:5060 ")
		})
	}
}

func TestINVITEOutOfTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, "", peerSDP)
		// RFC 3261 §14.2: before the final response 500 with Retry-After.
		res := r.request("INVITE", "", peerSDP)
		if status(res) != "500" || line(res, "Retry-After") == "" {
			t.Errorf("re-INVITE while ringing:\n%s", res)
		}
		r.c.Answer(r.a.local())
		r.p.take("SIP/2.0 200")
		r.seq++
		r.p.request("INVITE", "sip:701@10.0.0.1:5060", r.from, r.to, "raw", r.seq, "", peerSDP)
		if res := r.p.take("SIP/2.0"); status(res) != "491" {
			t.Errorf("re-INVITE before ACK:\n%s", res)
		}
		r.seq = 1
		r.ack("")
		r.a.expect(r.c, "answered send receive 10.0.0.9:6000", "acked")
		// RFC 3261 §12.2.2: a lower number is out of order.
		r.p.request("INFO", "sip:701@10.0.0.1:5060", r.from, r.to, "raw", 2, "", "")
		if res := r.p.take("SIP/2.0"); status(res) != "500" {
			t.Errorf("old CSeq:\n%s", res)
		}
		// Our re-INVITE is open.
		r.c.Update(r.a.with(sdp.SendOnly))
		mine := r.p.take("INVITE")
		r.seq = 5
		if res := r.request("INVITE", "", peerSDP); status(res) != "491" {
			t.Errorf("glare:\n%s", res)
		}
		if res := r.request("UPDATE", "", peerSDP); status(res) != "491" {
			t.Errorf("UPDATE with an offer in glare:\n%s", res)
		}
		if res := r.request("UPDATE", "", ""); status(res) != "200" {
			t.Errorf("UPDATE without an offer:\n%s", res)
		}
		// 491, wait, again; 500 with Retry-After, wait, again; 488 is final and changes nothing.
		r.p.reply(mine, "491 Request Pending", "", "", "")
		r.p.take("ACK")
		time.Sleep(2 * time.Second) // RFC 3261 §14.1: we do not own the Call-ID, and wait 0 to 2 s; 0 is one of them
		mine = r.p.take("INVITE")
		r.p.reply(mine, "488 Not Acceptable Here", "", "", "")
		r.p.take("ACK")
		r.a.expect(r.c, "update failed 488")
		if d := r.c.Dialog().Local.Direction; d != sdp.SendRecv {
			t.Errorf("direction is %v after a refused hold", d)
		}
		r.c.Update(r.a.with(sdp.SendOnly))
		mine = r.p.take("INVITE")
		r.p.reply(mine, "500 Busy", "", "Retry-After: 3", "")
		time.Sleep(4 * time.Second)
		mine = r.p.take("INVITE")
		r.p.reply(mine, "200 OK", "", "", peerSDP+"a=recvonly\n")
		r.p.take("ACK")
		r.p.take("ACK")
		r.a.expect(r.c, "media send 10.0.0.9:6000")
	})
}

// RFC 3261 §15: the caller may say BYE in an early dialog.
func TestByeInEarlyDialog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, "", peerSDP)
		r.p.request("BYE", "sip:701@10.0.0.1:5060", r.from, r.to, "raw", 2, `Reason: SIP;cause=200;text="Call completed elsewhere"`, "")
		r.p.take("SIP/2.0 200")
		r.p.take("SIP/2.0 487")
		r.a.expect(r.c, "ended remote 0")
		if ev := r.a.last[r.c].(Ended); ev.Reason != "Call completed elsewhere" {
			t.Errorf("reason %q", ev.Reason)
		}
	})
}

func TestByeBeforeACK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, "", peerSDP)
		r.c.Answer(r.a.local())
		r.p.take("SIP/2.0 200")
		if res := r.request("BYE", "", ""); status(res) != "200" {
			t.Errorf("BYE: %s", res)
		}
		r.a.expect(r.c, "answered send receive 10.0.0.9:6000", "ended remote 0")
		r.a.idle()
	})
}

// The owner has hung up before the ACK, and the ACK never comes: BYE after 64*T1.
func TestHangupWithoutACK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, "", peerSDP)
		r.c.Answer(r.a.local())
		r.c.Hangup("")
		r.p.none("BYE")
		time.Sleep(33 * time.Second)
		r.p.take("BYE")
		r.a.idle()
	})
}

func TestRefusedINVITEs(t *testing.T) {
	valid := "Session-Expires: 1800"
	for _, c := range []struct{ name, headers, body, status, header string }{
		{"body of another type", "Content-Type: text/plain", "hello", "415", "Accept"},
		{"malformed description", "", "hello", "400", ""},
		{"video only", "", strings.Replace(peerSDP, "audio", "video", 1), "488", "Warning"},
		{"no codec", "", strings.Replace(peerSDP, "AVP 0", "AVP 18", 1), "488", "Warning"},
		{"session timer", "Supported: timer\nSession-Expires: 60", peerSDP, "422", "Min-SE"},
		{"session timer, compact", "k: timer\nx: 60", peerSDP, "422", "Min-SE"},
		{"garbled Replaces", "Replaces: x", peerSDP, "400", ""},
		{"two Replaces", "Replaces: x;to-tag=1;from-tag=2\nReplaces: x;to-tag=1;from-tag=2", peerSDP, "400", ""},
		{"Replaces and Join", "Replaces: x;to-tag=1;from-tag=2\nJoin: x;to-tag=1;from-tag=2", peerSDP, "400", ""},
		{"Replaces of nothing", "Replaces: x;to-tag=1;from-tag=2", peerSDP, "481", ""},
		{"tag of nothing", "", peerSDP, "481", ""},
		{"good", valid, peerSDP, "100", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.New(1)
				a := newSide(t, n, "10.0.0.1")
				p := newPeer(t, n, "10.0.0.9", a.addr)
				to := "<sip:701@10.0.0.1>"
				if c.name == "tag of nothing" {
					to += ";tag=x"
				}
				p.request("INVITE", "sip:701@10.0.0.1", peerFrom, to, "raw", 1, c.headers, c.body)
				res := p.take("SIP/2.0")
				if status(res) != c.status || c.header != "" && line(res, c.header) == "" {
					t.Errorf("want %s with %s:\n%s", c.status, c.header, res)
				}
				if len(a.calls) > 0 != (c.name == "good") {
					t.Errorf("%d calls", len(a.calls))
				}
			})
		})
	}
	t.Run("no Contact", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := siptest.New(1)
			a := newSide(t, n, "10.0.0.1")
			p := newPeer(t, n, "10.0.0.9", a.addr)
			p.send("INVITE sip:701@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKnc;rport\nMax-Forwards: 70\nFrom: " + peerFrom + "\nTo: <sip:701@10.0.0.1>\nCall-ID: raw\nCSeq: 1 INVITE\n\n")
			p.take("SIP/2.0 400")
		})
	})
}

// What is wrong inside the dialog is refused and leaves the session as it was.
func TestRefusedInDialog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, "", peerSDP)
		r.answer("")
		r.a.forget(r.c)
		before := r.c.Dialog()
		for _, method := range []string{"INVITE", "UPDATE"} {
			for _, c := range []struct{ headers, body, status string }{
				{"Content-Type: text/plain", "hello", "415"},
				{"", "hello", "400"},
				{"", strings.Replace(peerSDP, "6000", "0", 1), "488"},
				{"", strings.Replace(peerSDP, "AVP 0", "AVP 18", 1), "488"},
				{"Supported: timer\nSession-Expires: 30", peerSDP, "422"},
			} {
				if res := r.request(method, c.headers, c.body); status(res) != c.status {
					t.Errorf("%s %q: %s, want %s", method, c.body, status(res), c.status)
				}
			}
		}
		for _, method := range []string{"INFO", "UPDATE", "REFER", "BYE"} {
			if res := r.request(method, "Replaces: x;to-tag=1;from-tag=2", ""); status(res) != "400" {
				t.Errorf("%s with Replaces: %s", method, status(res))
			}
		}
		r.a.expect(r.c)
		if after := r.c.Dialog(); after.Local.Version != before.Local.Version || !r.c.Answered() {
			t.Errorf("before %+v\nafter %+v", before.Local, after.Local)
		}
		res := r.request("UPDATE", "", peerSDP+"a=sendonly\n")
		if status(res) != "200" || !strings.Contains(res, "a=recvonly\r\n") || line(res, "Contact") == "" {
			t.Errorf("UPDATE:\n%s", res)
		}
		r.a.expect(r.c, "media receive held 10.0.0.9:6000")
	})
}
