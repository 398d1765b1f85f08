package event

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// publish sends a PUBLISH for 701.
func (p *peer) publish(seq int, body string, lines ...string) {
	p.t.Helper()
	if body != "" {
		lines = append(lines, "Content-Type: text/claim")
	}
	p.send(fmt.Sprintf(`
PUBLISH sip:701@10.0.0.1 SIP/2.0
Via: SIP/2.0/UDP PEER:5060;branch=z9hG4bK-p%d
Max-Forwards: 70
From: <sip:office@PEER>;tag=p%d
To: <sip:701@10.0.0.1>
Call-ID: p%d
CSeq: 1 PUBLISH
%s

%s`, seq, seq, seq, strings.Join(lines, "\n"), body))
}

// claims is a taker of publications that refuses a body "no".
type claims struct {
	tag string

	mu   sync.Mutex // guards seen
	seen []string
}

// flush waits until all is quiet and returns what has come since the last time.
func (c *claims) flush() string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := strings.Join(c.seen, "; ")
	c.seen = nil
	return s
}

func (c *claims) take(p Publication) (int, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, fmt.Sprintf("%d %s %q %v %s", p.Kind, p.Resource, p.Body, p.Expires, p.From))
	if string(p.Body) == "no" {
		return 486, ""
	}
	return 200, c.tag
}

func TestPublications(t *testing.T) {
	c := &claims{}
	inWorldWith(t, func(a *Agent) { a.OnPublish("Claim", c.take) }, func(w *world) {
		p := w.peer
		p.publish(1, "mine", "Event: claim", "Expires: 2")
		res := p.response(200)
		expect(t, "Expires", header(res, "Expires"), "2")
		first := header(res, "SIP-ETag")
		expect(t, "callback", c.flush(), `0 701 "mine" 2s sip:office@10.0.0.2`)

		p.publish(2, "", "Event: claim", "Expires: 5", "SIP-If-Match: "+first)
		second := header(p.response(200), "SIP-ETag")
		if second == first || first == "" {
			t.Errorf("entity-tags %q and %q", first, second)
		}
		p.publish(3, "", "Event: claim", "SIP-If-Match: "+first)
		p.response(412)
		p.publish(4, "changed", "Event: claim", "Expires: 5", "SIP-If-Match: "+second)
		third := header(p.response(200), "SIP-ETag")
		p.publish(5, "no", "Event: claim", "Expires: 5", "SIP-If-Match: "+third)
		p.response(486)
		p.publish(6, "", "Event: claim", "Expires: 0", "SIP-If-Match: "+third) // still stands
		p.response(200)
		expect(t, "callback", c.flush(), `2 701 "" 5s sip:office@10.0.0.2; 1 701 "changed" 5s sip:office@10.0.0.2; `+
			`1 701 "no" 5s sip:office@10.0.0.2; 3 701 "" 0s sip:office@10.0.0.2`)
		time.Sleep(time.Hour)
		expect(t, "callback", c.flush(), "")

		p.publish(7, "mine", "Event: claim", "Expires: 2")
		p.response(200)
		time.Sleep(2*time.Second - time.Nanosecond)
		expect(t, "before the end", c.flush(), `0 701 "mine" 2s sip:office@10.0.0.2`)
		time.Sleep(2 * time.Nanosecond)
		expect(t, "at the end", c.flush(), `4 701 "" 0s sip:office@10.0.0.2`)

		for i, bad := range []struct {
			code  int
			body  string
			lines []string
		}{
			{489, "x", []string{"Event: conference"}},
			{489, "x", nil},
			{400, "", []string{"Event: claim"}},
			{400, "x", []string{"Event: claim", "Expires: x"}},
			{412, "x", []string{"Event: claim", "SIP-If-Match: unknown"}},
		} {
			p.publish(20+i, bad.body, bad.lines...)
			p.response(bad.code)
		}
		expect(t, "callback", c.flush(), "")
		for i := range 3 {
			p.publish(40+i, "x", "Event: claim")
		}
		p.response(200)
		p.response(200)
		expect(t, "Retry-After", header(p.response(503), "Retry-After"), "60")
	}, func(c *Config, _ *Package) { c.MaxPublications = 2 })
}

func claim() PublishRequest {
	return PublishRequest{
		Target: gosip.Uri{Scheme: "sip", User: "701", Host: peerAddr}, Event: "claim",
		ContentType: "text/claim", Body: []byte("mine"), Expires: 3 * time.Second, Timeout: time.Minute,
	}
}

func TestPublish(t *testing.T) {
	inWorld(t, func(w *world) {
		var r PublishResult
		var err error
		publish := func(p PublishRequest) <-chan struct{} {
			done := make(chan struct{})
			go func() { r, err = w.agent.Publish(w.t.Context(), p); close(done) }()
			return done
		}
		done := publish(claim())
		req := w.peer.request("PUBLISH")
		expect(t, "Request-URI", req.Recipient.String(), "sip:701@10.0.0.2")
		expect(t, "Event", header(req, "Event"), "claim")
		expect(t, "Expires", header(req, "Expires"), "3")
		expect(t, "Content-Type", header(req, "Content-Type"), "text/claim")
		expect(t, "body", string(req.Body()), "mine")
		expect(t, "SIP-If-Match", req.GetHeader("SIP-If-Match"), nil)
		w.peer.answer(req, 200, "SIP-ETag: e1", "Expires: 2")
		<-done
		expect(t, "result", fmt.Sprintf("%+v %v", r, err), "{Code:200 Reason:Reason ETag:e1 Expires:2s} <nil>")

		// The far end has forgotten the tag: once more without it.
		p := claim()
		p.ETag = "e1"
		done = publish(p)
		req = w.peer.request("PUBLISH")
		expect(t, "SIP-If-Match", header(req, "SIP-If-Match"), "e1")
		w.peer.answer(req, 412)
		again := w.peer.request("PUBLISH")
		expect(t, "SIP-If-Match", again.GetHeader("SIP-If-Match"), nil)
		expect(t, "CSeq", again.CSeq().SeqNo, req.CSeq().SeqNo+1)
		w.peer.answer(again, 200, "SIP-ETag: e2")
		<-done
		expect(t, "ETag", r.ETag, "e2")

		// A removal says Expires: 0 and is not repeated.
		p.Expires, p.Body = -1, nil
		done = publish(p)
		req = w.peer.request("PUBLISH")
		expect(t, "Expires", header(req, "Expires"), "0")
		w.peer.answer(req, 412)
		<-done
		expect(t, "code", fmt.Sprint(r.Code, err), "412 <nil>")

		done = publish(claim())
		w.peer.answer(w.peer.request("PUBLISH"), 423, "Min-Expires: 30")
		req = w.peer.request("PUBLISH")
		expect(t, "Expires", header(req, "Expires"), "30")
		w.peer.answer(req, 423, "Min-Expires: 60")
		<-done
		expect(t, "code", fmt.Sprint(r.Code, err), "423 <nil>")

		// A claim is passed over after 300 ms.
		p = claim()
		p.Timeout = 300 * time.Millisecond
		began := time.Now()
		<-publish(p)
		if d := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || d != p.Timeout {
			t.Errorf("%v after %v", err, d)
		}
	})
}

func TestPublishToAgent(t *testing.T) {
	c := &claims{tag: "mine"}
	inWorldWith(t, func(a *Agent) { a.OnPublish("claim", c.take) }, func(w *world) {
		far, stop := newAgent(w.t, w.net, "10.0.0.9", Default())
		p := claim()
		p.Target.Host, p.Transport = agentAddr, "tcp"
		began := time.Now()
		r, err := far.Publish(w.t.Context(), p)
		expect(t, "result", fmt.Sprintf("%+v %v %v", r, err, time.Since(began)), "{Code:200 Reason:OK ETag:mine Expires:3s} <nil> 0s")
		p.Body = []byte("no")
		r, err = far.Publish(w.t.Context(), p)
		expect(t, "result", fmt.Sprintf("%+v %v", r, err), "{Code:486 Reason:Busy Here ETag: Expires:0s} <nil>")
		stop()
		w.net.Cut(netip.MustParseAddr(agentAddr), netip.MustParseAddr("10.0.0.9"))
		if _, err = far.Publish(w.t.Context(), p); !errors.Is(err, ErrStopped) {
			t.Errorf("error after the end = %v", err)
		}
	})
}

func TestNotifyHookComesFirst(t *testing.T) {
	hooked := 0
	hook := func(a *Agent) {
		a.NotifyHook(func(req *gosip.Request, tx *sip.ServerTx) bool {
			if header(req, "Event") != "refer" {
				return false
			}
			hooked++
			return tx.Respond(sip.NewResponse(req, 200, "OK")) == nil
		})
	}
	inWorldWith(t, hook, func(w *world) {
		_, r, n := w.watching()
		n.tell("active", "two")
		n.sub.ReplaceHeader(gosip.NewHeader("Event", "refer"))
		n.tell("active", "SIP/2.0 100 Trying")
		expect(t, "updates", r.flush(), "active two")
		expect(t, "hooked", hooked, 1)
	})
}
