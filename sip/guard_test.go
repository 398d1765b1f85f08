package sip_test

import (
	"testing"
	"testing/synctest"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

// A guard with digest lets in who knows the password, sees nothing of a dialog, and answers everybody else itself.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := siptest.New(1)
		seen := make(chan gosip.RequestMethod, 10)
		siptest.NewEndpoint(t, net, "10.0.0.1", func(e *sip.Endpoint) {
			door := sip.NewAuthenticator("site", func(user string) (string, bool) { return "wrench", user == "ann" })
			e.Guard(door.Check)
			e.Handle("SUBSCRIBE", func(req *gosip.Request, tx *sip.ServerTx) {
				seen <- req.Method
				_ = tx.Respond(sip.NewResponse(req, 200, "OK"))
			})
		})
		client := siptest.NewEndpoint(t, net, "10.0.0.2")
		for _, c := range []struct {
			name string
			auth *sip.Credentials
			tag  string
			code int
		}{
			{"stranger", nil, "", 401},
			{"wrong password", &sip.Credentials{Username: "ann", Password: "hammer"}, "", 401},
			{"right password", &sip.Credentials{Username: "ann", Password: "wrench"}, "", 200},
			{"inside a dialog", nil, "tag", 200},
		} {
			code := 0
			for res := range client.Request(subscribe(c.tag), sip.Send{Auth: c.auth}).Responses() {
				code = res.StatusCode
			}
			if code != c.code {
				t.Errorf("%s: answered %d, want %d", c.name, code, c.code)
			}
			if reached := len(seen); (reached == 1) != (c.code == 200) {
				t.Errorf("%s: %d requests reached the handler", c.name, reached)
			}
			for len(seen) > 0 {
				<-seen
			}
		}
	})
}

func subscribe(toTag string) *gosip.Request {
	req := gosip.NewRequest(gosip.SUBSCRIBE, gosip.Uri{Scheme: "sip", User: "701", Host: "10.0.0.1"})
	from := &gosip.FromHeader{Address: gosip.Uri{Scheme: "sip", User: "ann", Host: "10.0.0.2"}, Params: gosip.NewParams()}
	from.Params.Add("tag", "a")
	to := &gosip.ToHeader{Address: req.Recipient, Params: gosip.NewParams()}
	if toTag != "" {
		to.Params.Add("tag", toTag)
	}
	id := gosip.CallIDHeader("guard-" + gosip.GenerateTagN(8))
	req.AppendHeader(from)
	req.AppendHeader(to)
	req.AppendHeader(&id)
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: 1, MethodName: gosip.SUBSCRIBE})
	return req
}
