package e2e

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
	"parklamp/sip"
	"parklamp/sip/event/pidf"
	"parklamp/sip/siptest"
)

// impostor says that it is office, from office's address.
type impostor struct {
	*sip.Endpoint
	p         *place
	transport string
	calls     int
}

// impostor starts one; shown is the certificate that it shows.
func (p *place) impostor(transport string, port uint16, shown ...tls.Certificate) *impostor {
	p.Helper()
	cfg := sip.Default()
	cfg.Listen = []string{transport + ":" + netip.AddrPortFrom(p.addr(3), port).String()}
	var server *tls.Config
	if transport == "tls" {
		cert, _, _, _ := siptest.Certificate(p.T, p.addr(3))
		server = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	return &impostor{Endpoint: siptest.Start(p.T, cfg, []sip.Option{sip.WithTLS(server, &tls.Config{InsecureSkipVerify: true, Certificates: shown})}), p: p, transport: transport}
}

// asks sends a request to an appliance and returns its final status, or the first provisional above 100 of an INVITE,
// which is then given up.
func (im *impostor) asks(method string, to *site.Appliance, user string, auth *sip.Credentials, body []byte, headers ...gosip.Header) int {
	im.p.Helper()
	im.calls++
	port := 5060
	if im.transport == "tls" {
		port = 5061
	}
	uri := gosip.Uri{Scheme: "sip", User: user, Host: to.Addr.String(), Port: port, UriParams: gosip.NewParams()}
	uri.UriParams.Add("transport", im.transport)
	req := gosip.NewRequest(gosip.RequestMethod(method), uri)
	own := gosip.Uri{Scheme: "sip", User: "office", Host: im.p.addr(3).String()}
	from := &gosip.FromHeader{Address: own, Params: gosip.NewParams()}
	from.Params.Add("tag", gosip.GenerateTagN(8))
	req.AppendHeader(from)
	req.AppendHeader(&gosip.ToHeader{Address: uri})
	id := gosip.CallIDHeader(gosip.GenerateTagN(12))
	req.AppendHeader(&id)
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: 1, MethodName: gosip.RequestMethod(method)})
	req.AppendHeader(&gosip.ContactHeader{Address: own})
	for _, h := range headers {
		req.AppendHeader(h)
	}
	req.SetBody(body)
	tx := im.Request(req, sip.Send{Transport: im.transport, Auth: auth})
	code := 0
	late := time.After(limit)
	for {
		select {
		case res, open := <-tx.Responses():
			if !open {
				if code == 0 {
					im.p.Fatalf("%s %s: %v", method, user, tx.Err())
				}
				return code
			}
			if code == 0 && res.StatusCode > 100 {
				code = res.StatusCode
				tx.Cancel()
			}
		case <-late:
			im.p.Fatalf("%s %s: no answer", method, user)
		}
	}
}

// Who comes from a peer's address and bears its name gets nothing that peers get, whether he comes without TLS, without
// a certificate, with one of another site, or with that of another appliance. As a phone with a password he may call,
// and then it rings: nobody listens in.
func TestImpostorsGetNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("ann:wrench\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	network := newNetwork()
	p := &place{T: t, network: network, dir: t.TempDir(), hall: newHall(t, network, "dock-1", "dock-2", "office")}
	p.populate(fmt.Sprintf("\n[access]\npassword_file = %q\nalgorithms = [\"MD5\"]\ntrusted = [%q]\n", file, p.addr(11)))
	o := p.parked(11, "701")
	other := newHall(t, network, "dock-1", "dock-2", "office")
	foreign, err := tls.LoadX509KeyPair(other.file("office", provision.CertificateFile), other.file("office", provision.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := tls.LoadX509KeyPair(p.hall.file("dock-2", provision.CertificateFile), p.hall.file("dock-2", provision.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	ann := &sip.Credentials{Username: "ann", Password: "wrench"}
	claim := pidf.Marshal(pidf.Document{Entity: "pres:office", Basic: pidf.Open, Epoch: 1,
		Tuples: []pidf.Tuple{{ID: "claim", Slot: pidf.Slot{Orbit: "702", CallID: "t", State: "claim"}}}})
	expires := gosip.NewHeader("Expires", "60")
	for name, im := range map[string]*impostor{
		"TCP":             p.impostor("tcp", 5070),
		"no certificate":  p.impostor("tls", 5071),
		"another site":    p.impostor("tls", 5072, foreign),
		"another's proof": p.impostor("tls", 5073, stolen),
	} {
		for _, auth := range []*sip.Credentials{nil, ann} {
			presence := im.asks("SUBSCRIBE", p.dock1(), "dock-1", auth, nil, gosip.NewHeader("Event", "presence"), gosip.NewHeader("Accept", pidf.ContentType), expires)
			claimed := im.asks("PUBLISH", p.dock1(), "dock-1", auth, claim, gosip.NewHeader("Event", "parklamp-claim"), gosip.NewHeader("Content-Type", pidf.ContentType), expires)
			want := 403
			if auth == nil && name != "another's proof" {
				want = 401
			}
			if presence != want || claimed != want {
				t.Errorf("%s, password %v: presence %d, claim %d, want %d", name, auth != nil, presence, claimed, want)
			}
		}
		if name == "another's proof" {
			continue // dock-2 may fetch and page
		}
		if code := im.asks("INVITE", p.dock1(), "701", nil, nil); code != 401 {
			t.Errorf("%s: fetch %d, want 401", name, code)
		}
		opens := []gosip.Header{gosip.NewHeader("Answer-Mode", "Auto"), gosip.NewHeader("Call-Info", "<sip:page@parklamp.invalid>;answer-after=0")}
		if code := im.asks("INVITE", p.dock1(), "201", nil, nil, opens...); code != 401 {
			t.Errorf("%s: intercom %d, want 401", name, code)
		}
		if code := im.asks("INVITE", p.dock1(), "201", ann, nil, opens...); code != 180 {
			t.Errorf("%s: intercom with a password %d, want 180", name, code)
		}
		p.await(p.dock1(), "its call alone", func(st panel.Status) bool { return len(st.Calls) == 1 && st.Phone.Ring == "" })
	}
	// The office itself is who it says: it pages, and has the caller without a password.
	if err := p.office().Press(t.Context(), "orbit-701", panel.Long); err != nil {
		t.Fatal(err)
	}
	p.await(p.dock2(), "the page", func(st panel.Status) bool { return st.Phone.State == "talking" })
	p.await(p.dock2(), "its end", func(st panel.Status) bool { return st.Phone.State != "talking" })
	p.fetch(p.office(), "701")
	p.conversation(p.office(), o)
	p.hook(p.office(), false)
	o.ended()
	p.idle(p.Appliances...)
	if st := p.status(p.dock1()); slices.ContainsFunc(st.Health, func(c panel.Condition) bool { return c.Severity == "error" }) || alivePeers(st) != 2 {
		t.Errorf("conditions %+v, peers %+v", st.Health, st.Peers)
	}
}
