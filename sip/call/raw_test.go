package call

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/sip"
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

// RFC 3261 §12.1.2: reversed; §12.2.1.1: loose routes stay, the target is the Request-URI.
func TestLooseRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, p, c, inv := dialled(t)
		for _, want := range []string{"Allow", "Supported", "Contact", "Session-Expires", "Min-SE"} {
			if line(inv, want) == "" {
				t.Errorf("INVITE lacks %s", want)
			}
		}
		p.reply(inv, "200 OK", "b", "Record-Route: <sip:far.example.com;lr>, <sip:10.0.0.9;lr>", peerSDP)
		ack := p.take("ACK sip:peer@10.0.0.9:5060 ")
		i, j := strings.Index(ack, "Route: <sip:10.0.0.9;lr>"), strings.Index(ack, "Route: <sip:far.example.com;lr>")
		if i < 0 || j < i {
			t.Errorf("routes of the ACK:\n%s", ack)
		}
		c.Hangup("over")
		bye := p.take("BYE sip:peer@10.0.0.9:5060 ")
		if !strings.Contains(bye, "Route: <sip:10.0.0.9;lr>\r\nRoute: <sip:far.example.com;lr>\r\n") || line(bye, "Reason") != `Q.850;cause=16;text="over"` {
			t.Errorf("BYE:\n%s", bye)
		}
		p.reply(bye, "200 OK", "", "", "")
	})
}

// RFC 3261 §12.2.1.1: a strict router becomes the Request-URI.
func TestStrictRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, p, c, inv := dialled(t)
		p.reply(inv, "200 OK", "b", "Record-Route: <sip:10.0.0.9;strict>", peerSDP)
		p.take("ACK sip:10.0.0.9;strict ")
		c.Hangup("")
		bye := p.take("BYE sip:10.0.0.9;strict ")
		if line(bye, "Route") != "<sip:peer@10.0.0.9:5060>" {
			t.Errorf("BYE:\n%s", bye)
		}
	})
}

// RFC 3261 §13.2.2.4: the first answer wins, the others are acknowledged and ended, each in its dialog.
func TestForkedAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, p, c, inv := dialled(t)
		p.reply(inv, "180 Ringing", "one", "", "")
		p.reply(inv, "180 Ringing", "two", "", "")
		p.reply(inv, "183 Session Progress", "two", "", peerSDP)
		p.reply(inv, "200 OK", "one", "", peerSDP)
		if to := line(p.take("ACK"), "To"); !strings.HasSuffix(to, ";tag=one") {
			t.Errorf("ACK to %s", to)
		}
		a.expect(c, "ringing 180", "ringing 180", "ringing 183", "early send receive 10.0.0.9:6000", "answered send receive 10.0.0.9:6000")
		p.reply(inv, "200 OK", "two", "", peerSDP)
		if to := line(p.take("ACK"), "To"); !strings.HasSuffix(to, ";tag=two") {
			t.Errorf("ACK to %s", to)
		}
		bye := p.take("BYE")
		if !strings.HasSuffix(line(bye, "To"), ";tag=two") {
			t.Errorf("BYE to %s", line(bye, "To"))
		}
		p.reply(bye, "200 OK", "", "", "")
		// The 200 comes again: so does the ACK, and no second BYE.
		p.reply(inv, "200 OK", "one", "", peerSDP)
		p.take("ACK")
		p.none("BYE")
		a.expect(c)
		if c.Dialog().RemoteTag != "one" {
			t.Errorf("dialog with %s", c.Dialog().RemoteTag)
		}
		// The loser's dialog is not ours any more.
		p.request("BYE", "sip:desk@10.0.0.1", "<sip:x@10.0.0.9>;tag=two", line(inv, "From"), line(inv, "Call-ID"), 1, "", "")
		if s := status(p.take("SIP/2.0")); s != "481" {
			t.Errorf("BYE of the losing fork: %s", s)
		}
		if !c.Answered() {
			t.Error("the call is down")
		}
	})
}

// A 200 that comes although we have cancelled. The endpoint sends CANCEL, this package cleans up.
func TestAnswerAfterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, p, c, inv := dialled(t)
		p.reply(inv, "180 Ringing", "b", "", "")
		c.Hangup("")
		a.expect(c, "ringing 180", "ended cancelled 0")
		cancel := p.take("CANCEL")
		p.reply(inv, "200 OK", "b", "", peerSDP)
		p.reply(cancel, "200 OK", "", "", "")
		p.take("ACK")
		bye := p.take("BYE")
		p.reply(bye, "200 OK", "", "", "")
		a.idle()
	})
}

func TestManyProvisionals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, p, c, inv := dialled(t)
		for range 50 {
			p.reply(inv, "182 Queued", "b", "", "")
			time.Sleep(time.Second)
		}
		p.reply(inv, "200 OK", "b", "", peerSDP)
		a.expect(c, "ringing 182", "answered send receive 10.0.0.9:6000")
	})
}

func TestAnswerIn183Only(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, p, c, inv := dialled(t)
		p.reply(inv, "183 Session Progress", "b", "", peerSDP)
		p.reply(inv, "200 OK", "b", "", "")
		a.expect(c, "ringing 183", "early send receive 10.0.0.9:6000", "answered send receive 10.0.0.9:6000")
	})
}

func TestBadAnswer(t *testing.T) {
	for name, body := range map[string]string{"missing": "", "port 0": strings.Replace(peerSDP, "6000", "0", 1), "codec": strings.Replace(peerSDP, "AVP 0", "AVP 18", 1), "garbage": "hello\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, p, c, inv := dialled(t)
				p.reply(inv, "200 OK", "b", "", body)
				p.take("ACK")
				bye := p.take("BYE")
				p.reply(bye, "200 OK", "", "", "")
				a.expect(c, "ended bad media 488")
				a.idle()
			})
		})
	}
}

func TestLateOfferRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, p, c, inv := dialled(t, func(o *Invite) { o.LateOffer = true })
		if strings.Contains(inv, "m=audio") {
			t.Error("INVITE has an offer")
		}
		p.reply(inv, "200 OK", "b", "", peerSDP)
		ack := p.take("ACK")
		if !strings.Contains(ack, "m=audio 4000 RTP/AVP 0\r\n") || line(ack, "Content-Type") != "application/sdp" {
			t.Errorf("ACK:\n%s", ack)
		}
		a.expect(c, "answered send receive 10.0.0.9:6000")
	})
	for name, body := range map[string]string{"no answer": "", "refused": strings.Replace(peerSDP, "6000", "0", 1)} {
		t.Run("incoming, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := ring(t, "", "")
				ok := r.answer(body)
				if !strings.Contains(ok, "m=audio 4000 RTP/AVP 0 8 101\r\n") {
					t.Errorf("200:\n%s", ok)
				}
				r.p.take("BYE")
				r.a.expect(r.c, "ended bad media 488")
			})
		})
	}
	t.Run("incoming", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := ring(t, "", "")
			r.answer(peerSDP)
			r.a.expect(r.c, "answered send receive 10.0.0.9:6000", "acked")
		})
	})
}

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
		r.p.none("INVITE")
		time.Sleep(2 * time.Second)
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

// The endpoint answers challenges and counts on; ACK, BYE and refer subscriptions keep up with it.
func TestChallenges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, p, c, inv := dialled(t, func(o *Invite) { o.Auth = &sip.Credentials{Username: "desk", Password: "secret"} })
		challenge := `WWW-Authenticate: Digest realm="pbx", nonce="n", algorithm=MD5, qop="auth"`
		p.reply(inv, "401 Unauthorized", "x", challenge, "")
		p.take("ACK")
		inv = p.take("INVITE")
		if line(inv, "Authorization") == "" {
			t.Fatalf("no credentials:\n%s", inv)
		}
		p.reply(inv, "200 OK", "b", "", peerSDP)
		ack := p.take("ACK")
		if !strings.Contains(inv, "CSeq: "+strings.Replace(line(ack, "CSeq"), "ACK", "INVITE", 1)) || line(ack, "Authorization") == "" {
			t.Errorf("ACK:\n%s", ack)
		}
		a.forget(c)
		c.Refer(a.uri("1"), nil)
		p.reply(p.take("REFER"), "401 Unauthorized", "", challenge, "")
		refer := p.take("REFER")
		p.reply(refer, "202 Accepted", "", "", "")
		seq, _, _ := strings.Cut(line(refer, "CSeq"), " ")
		p.request("NOTIFY", "sip:desk@10.0.0.1:5060", line(inv, "To")+";tag=b", line(inv, "From"), line(inv, "Call-ID"), 1,
			"Event: refer;id="+seq+"\nSubscription-State: terminated;reason=noresource\nContent-Type: message/sipfrag", "SIP/2.0 200 OK")
		p.take("SIP/2.0 200")
		a.expect(c, "transfer 200 final=true")
		last := c.Dialog().LocalCSeq
		if fmt.Sprint(last) != seq {
			t.Errorf("CSeq %d, the REFER had %s", last, seq)
		}
		c.Hangup("")
		if bye := p.take("BYE"); line(bye, "CSeq") != fmt.Sprint(last+1, " BYE") {
			t.Errorf("BYE:\n%s", bye)
		}
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

func TestSessionTimerWithPeer(t *testing.T) {
	t.Run("peer refreshes, then vanishes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := ring(t, "Supported: timer\nSession-Expires: 120;refresher=uac\nMin-SE: 100", peerSDP)
			ok := r.answer("")
			if line(ok, "Session-Expires") != "120;refresher=uac" || line(ok, "Require") != "timer" {
				t.Errorf("200:\n%s", ok)
			}
			time.Sleep(60 * time.Second)
			res := r.request("UPDATE", "Supported: timer\nSession-Expires: 120;refresher=uac", "")
			if status(res) != "200" || line(res, "Session-Expires") != "120;refresher=uac" {
				t.Errorf("UPDATE:\n%s", res)
			}
			// RFC 4028 §10: 32 s before the end.
			time.Sleep(87 * time.Second)
			r.p.none("BYE")
			time.Sleep(2 * time.Second)
			bye := r.p.take("BYE")
			if !strings.Contains(line(bye, "Reason"), "cause=408") {
				t.Errorf("BYE:\n%s", bye)
			}
			r.a.expectEnd(r.c, "ended timeout 408")
		})
	})
	t.Run("peer knows neither timer nor UPDATE", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, a, p, c, inv := dialled(t)
			p.reply(inv, "200 OK", "b", "", peerSDP)
			p.take("ACK")
			time.Sleep(5 * time.Minute)
			re := p.take("INVITE")
			if !strings.Contains(re, "m=audio 4000") || line(re, "Session-Expires") != "600;refresher=uac" {
				t.Errorf("refresh:\n%s", re)
			}
			o1, o2 := inv[strings.Index(inv, "o=-"):], re[strings.Index(re, "o=-"):]
			if o1[:strings.Index(o1, "\r\n")] != o2[:strings.Index(o2, "\r\n")] {
				t.Error("refresh has another version")
			}
			p.reply(re, "200 OK", "", "", peerSDP)
			a.expect(c, "answered send receive 10.0.0.9:6000")
			time.Sleep(5 * time.Minute)
			re = p.take("INVITE")
			p.reply(re, "481 Gone", "", "", "")
			a.expect(c, "ended gone 481")
			p.none("BYE")
		})
	})
	t.Run("peer refuses UPDATE", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, a, p, c, inv := dialled(t)
			p.reply(inv, "200 OK", "b", "Allow: INVITE, UPDATE\nSession-Expires: 90;refresher=uac", peerSDP)
			p.take("ACK")
			time.Sleep(45*time.Second + 10*time.Millisecond)
			p.reply(p.take("UPDATE"), "501 Not Implemented", "", "", "")
			p.reply(p.take("INVITE"), "200 OK", "", "Session-Expires: 90;refresher=uac", peerSDP)
			p.take("ACK")
			time.Sleep(45*time.Second + 10*time.Millisecond)
			p.none("UPDATE")
			p.take("INVITE")
			a.expect(c, "answered send receive 10.0.0.9:6000")
		})
	})
	t.Run("peer wants a longer one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, _, p, _, inv := dialled(t)
			p.reply(inv, "422 Session Interval Too Small", "b", "Min-SE: 1800", "")
			p.take("ACK")
			again := p.take("INVITE")
			if line(again, "Session-Expires") != "1800" || line(again, "Min-SE") != "1800" || line(again, "Call-ID") != line(inv, "Call-ID") ||
				line(again, "CSeq") == line(inv, "CSeq") || strings.Contains(line(again, "To"), "tag") {
				t.Errorf("second INVITE:\n%s", again)
			}
		})
	})
}

func TestIdentityFromPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring(t, `P-Asserted-Identity: "Lee, Ann" <sip:+123@pbx.example.com>, <tel:+123>`, peerSDP)
		if p := r.c.Info().Remote; p != (Party{"Lee, Ann", "sip:+123@pbx.example.com", "+123"}) {
			t.Errorf("remote %+v", p)
		}
		r.answer("")
		r.a.forget(r.c)
		r.request("UPDATE", `P-Asserted-Identity: "Bob" <sip:200@pbx.example.com>`, "")
		r.a.expect(r.c, "identity 200 Bob")
		r.request("UPDATE", "P-Asserted-Identity: <sip:200@pbx.example.com>\nPrivacy: id", "")
		r.a.expect(r.c, "identity anonymous Anonymous")
	})
}

// A refused or answered call to a name without an address, and a target that is none.
func TestInviteNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := pair(t)
		o := Invite{To: a.uri("1"), Media: a.local()}
		o.To.Host = "nowhere.example.com"
		c, err := a.ua.Invite(o, a.handle)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.expect(c, "ended unreachable 503")
		for name, spoil := range map[string]func(*Invite){
			"no host":  func(o *Invite) { o.To.Host = "" },
			"no media": func(o *Invite) { o.Media = sdp.Local{} },
			"IPv6":     func(o *Invite) { o.To.Host = "[fd00::1]" },
		} {
			o := Invite{To: a.uri("1"), Media: a.local()}
			spoil(&o)
			if _, err := a.ua.Invite(o, nil); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}
