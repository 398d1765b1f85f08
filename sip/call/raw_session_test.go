package call

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
