package call

import (
	"strings"
	"testing"
	"testing/synctest"

	"parklamp/sip"
)

// A redirection is followed to the preferred target, then to the others, with To, From and Call-ID of the first INVITE.
func TestRedirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _, p, c, inv := dialled(t)
		b := newSide(t, n, "10.0.0.3")
		p.reply(inv, "302 Moved Temporarily", "b", "Contact: <mailto:x@y>\nContact: <sip:lee@10.0.0.3?Subject=x>;q=0.2, <sip:701@10.0.0.9:5060;again=1>;q=0.7", "")
		p.take("ACK")
		again := p.take("INVITE")
		if line(again, "Call-ID") != line(inv, "Call-ID") || line(again, "From") != line(inv, "From") || line(again, "To") != line(inv, "To") ||
			line(again, "CSeq") == line(inv, "CSeq") || !strings.HasPrefix(again, "INVITE sip:peer@10.0.0.9:5060 ") {
			t.Errorf("second INVITE:\n%s", again)
		}
		for _, tag := range []string{"c", "d"} { // the peer names itself, too
			p.reply(again, "486 Busy Here", tag, "", "")
			p.take("ACK")
			if tag == "c" {
				if again = p.take("INVITE"); !strings.HasPrefix(again, "INVITE sip:701@10.0.0.9:5060;again=1 ") {
					t.Errorf("third INVITE:\n%s", again)
				}
			}
		}
		cb := b.incoming()
		if user := cb.Info().RequestUser; user != "lee" || cb.Info().Header("Subject") != "" {
			t.Errorf("%s is called, subject %q", user, cb.Info().Header("Subject"))
		}
		cb.Answer(b.local())
		synctest.Wait()
		if !c.Answered() {
			t.Error("the call is not up")
		}
		c.Hangup("")
		b.expectEnd(cb, "ended remote 0")
	})
}

// Who redirects for ever is given up.
func TestRedirectionsEnd(t *testing.T) {
	for _, contact := range []string{"<sip:701@10.0.0.9:5060>", "<sip:701@10.0.0.9:5060;n=N>"} {
		synctest.Test(t, func(t *testing.T) {
			_, a, p, c, inv := dialled(t)
			asked := 1
			for ; asked < 20 && !c.Ended(); asked++ {
				p.reply(inv, "301 Moved Permanently", "b", "Contact: "+strings.Replace(contact, "N", string(rune('a'+asked)), 1), "")
				p.take("ACK")
				synctest.Wait()
				if !c.Ended() {
					inv = p.take("INVITE")
				}
			}
			if asked > maxRedirects+2 {
				t.Errorf("%d INVITEs", asked)
			}
			a.expectEnd(c, "ended rejected 301")
		})
	}
}

// A password is not shown to another host than the one that it is for.
func TestRedirectionForgetsThePassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, p, _, inv := dialled(t, func(o *Invite) { o.Auth = &sip.Credentials{Username: "desk", Password: "secret"} })
		other := newPeer(t, n, "10.0.0.4", a.addr)
		p.reply(inv, "302 Moved Temporarily", "b", "Contact: <sip:x@10.0.0.4>", "")
		p.take("ACK")
		p.reply(p.take("INVITE"), "404 Not Found", "d", "", "") // the peer names itself, too
		p.take("ACK")
		again := other.take("INVITE")
		other.reply(again, "401 Unauthorized", "c", `WWW-Authenticate: Digest realm="evil", nonce="1"`, "")
		other.take("ACK")
		other.none("INVITE")
	})
}
