package call

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/sip"
	"parklamp/sip/sdp"
)

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

// A redirection that is not followed is the owner's business: it gets the response.
func TestRedirected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, p, c, inv := dialled(t)
		p.reply(inv, "305 Use Proxy", "b", "Retry-After: 5", "")
		a.expect(c, "ended rejected 305")
		if h := a.last[c].(Ended).Headers; h("contact") != "<sip:peer@10.0.0.9:5060>" || h("retry-after") != "5" {
			t.Errorf("contact %q", h("contact"))
		}
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
