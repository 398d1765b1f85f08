package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

var alice = &sip.Credentials{Username: "alice", Password: "wonder:land"}

// guarded registers a MESSAGE handler behind an authenticator.
func guarded(e *sip.Endpoint) {
	auth := sip.NewAuthenticator("site", func(user string) (string, bool) { return alice.Password, user == alice.Username })
	e.Handle("MESSAGE", func(req *gosip.Request, tx *sip.ServerTx) {
		if user, ok := auth.User(req, tx); ok {
			_ = tx.Respond(sip.NewResponse(req, 200, "Hello "+user))
		}
	})
}

func TestDigestBothSides(t *testing.T) {
	for _, c := range []struct {
		name string
		auth *sip.Credentials
		code int
		seq  uint32
	}{
		{"right", alice, 200, 2},
		{"wrong password", &sip.Credentials{Username: "alice", Password: "x"}, 401, 2},
		{"unknown user", &sip.Credentials{Username: "mallory", Password: alice.Password}, 401, 2},
		{"none", nil, 401, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.New(1)
				a := siptest.NewEndpoint(t, n, "10.0.0.1")
				siptest.NewEndpoint(t, n, "10.0.0.2", guarded)
				tx := a.Request(request("MESSAGE", "sip:bob@10.0.0.2", "auth", 1), sip.Send{Auth: c.auth})
				codes, last := collect(tx)
				if len(codes) != 1 || codes[0] != c.code || tx.Request().CSeq().SeqNo != c.seq {
					t.Fatalf("got %v with CSeq %d, %v", codes, tx.Request().CSeq().SeqNo, tx.Err())
				}
				if c.code == 200 && last.Reason != "Hello alice" {
					t.Errorf("got %q", last.Reason)
				}
			})
		})
	}
}

// TestDigestChallenges plays servers of every kind and checks the answer with
// the server's half of RFC 7616.
func TestDigestChallenges(t *testing.T) {
	md5 := `Digest realm="site", nonce="n1", algorithm=MD5, qop="auth"`
	sha := `Digest realm="site", nonce="n2", algorithm=SHA-256, qop="auth, auth-int"`
	for _, c := range []struct {
		name       string
		challenges []string
		want       string // algorithm of the answer, "" for no answer
	}{
		{"MD5", []string{md5}, "MD5"},
		{"SHA-256", []string{sha}, "SHA-256"},
		{"topmost wins", []string{sha, md5}, "SHA-256"},
		{"topmost wins, the other way round", []string{md5, sha}, "MD5"},
		{"topmost that we can", []string{`Digest realm="site", nonce="n", algorithm=FUTURE`, "Basic realm=x", sha}, "SHA-256"},
		{"sess", []string{`Digest realm="site", nonce="n", algorithm=MD5-sess, qop="auth"`}, "MD5-sess"},
		{"SHA-256-sess", []string{`Digest realm="site", nonce="n", algorithm=SHA-256-sess, qop="auth"`}, "SHA-256-sess"},
		{"of RFC 2069", []string{`Digest realm="site", nonce="n"`}, "none"},
		{"integrity only", []string{`Digest realm="site", nonce="n", qop="auth-int"`}, ""},
		{"garbage", []string{`Digest ,,,`, `nonsense`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
				tx := e.Request(request("MESSAGE", peerURI, "auth", 1), sip.Send{Auth: alice})
				var lines []string
				for _, ch := range c.challenges {
					lines = append(lines, "WWW-Authenticate: "+ch)
				}
				p.answer(p.request("MESSAGE"), 401, "x", lines...)
				if c.want == "" {
					if codes, _ := collect(tx); len(codes) != 1 || codes[0] != 401 {
						t.Errorf("got %v", codes)
					}
					return
				}
				again := p.request("MESSAGE")
				p.answer(again, 200, "x")
				collect(tx)
				cred, err := digest.ParseCredentials(again.GetHeader("Authorization").Value())
				if err != nil {
					t.Fatal(err)
				}
				got := cred.Algorithm
				if got == "" {
					got = "none"
				}
				if got != c.want || cred.URI != peerURI || again.CSeq().SeqNo != 2 {
					t.Errorf("answer %+v, CSeq %d", cred, again.CSeq().SeqNo)
				}
			})
		})
	}
}

func TestDigestStaleAndProxy(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		challenge := func(nonce string, stale bool) string {
			return fmt.Sprintf(`Digest realm="site", nonce="%s", qop="auth", stale=%v`, nonce, stale)
		}
		tx := e.Request(request("INVITE", peerURI, "stale", 7), sip.Send{Auth: alice})
		p.answer(p.request("INVITE"), 407, "x", "Proxy-Authenticate: "+challenge("old", false))
		p.request("ACK")
		p.answer(p.request("INVITE"), 407, "x", "Proxy-Authenticate: "+challenge("new", true))
		p.request("ACK")
		third := p.request("INVITE")
		hs := third.GetHeaders("Proxy-Authorization")
		if len(hs) != 1 || !strings.Contains(hs[0].Value(), `nonce="new"`) || third.CSeq().SeqNo != 9 {
			t.Errorf("got %v with CSeq %d", hs, third.CSeq().SeqNo)
		}
		p.answer(third, 407, "x", "Proxy-Authenticate: "+challenge("newer", true)) // for ever stale: enough
		p.request("ACK")
		if codes, _ := collect(tx); len(codes) != 1 || codes[0] != 407 {
			t.Errorf("got %v", codes)
		}
	})
}

// A recorded request must not work a second time, nor an old nonce.
func TestDigestReplay(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, _ *sip.Endpoint, p *peer) {
		p.send(text("MESSAGE", "1", "replay", 1))
		chal, err := digest.ParseChallenge(p.response(401).GetHeader("WWW-Authenticate").Value())
		if err != nil {
			t.Fatal(err)
		}
		if chal.Algorithm != "SHA-256" {
			t.Errorf("first challenge is %s", chal.Algorithm)
		}
		seq := 1
		try := func(count int, want int, stale bool) {
			t.Helper()
			cred, err := digest.Digest(chal, digest.Options{
				Method: "MESSAGE", URI: "sip:park@10.0.0.1", Count: count, Username: alice.Username, Password: alice.Password,
			})
			if err != nil {
				t.Fatal(err)
			}
			seq++
			p.send(text("MESSAGE", fmt.Sprint("r", seq), "replay", seq, "Authorization: "+cred.String()))
			res := p.response(want)
			if h := res.GetHeader("WWW-Authenticate"); h != nil && strings.Contains(h.Value(), "stale=true") != stale {
				t.Errorf("stale is not %v in %s", stale, h.Value())
			}
		}
		try(1, 200, false)
		try(1, 401, true)
		try(3, 200, false)
		try(2, 401, true)
		time.Sleep(6 * time.Minute)
		try(4, 401, true)
		forged := *chal
		forged.Nonce = strings.Repeat("0", len(chal.Nonce))
		chal = &forged
		try(1, 401, false)
	}, guarded)
}
