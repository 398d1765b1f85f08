package sip_test

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

var (
	addrA = netip.MustParseAddr("10.0.0.1")
)

// request builds what a caller of Endpoint.Request has to set.
func request(method, to, callID string, seq uint32) *gosip.Request {
	var uri gosip.Uri
	if err := gosip.ParseUri(to, &uri); err != nil {
		panic(err)
	}
	req := gosip.NewRequest(gosip.RequestMethod(method), uri)
	from := &gosip.FromHeader{Address: gosip.Uri{Scheme: "sip", User: "alice", Host: "10.0.0.1"}, Params: gosip.NewParams()}
	from.Params.Add("tag", "from-"+callID)
	req.AppendHeader(from)
	req.AppendHeader(&gosip.ToHeader{Address: uri})
	id := gosip.CallIDHeader(callID)
	req.AppendHeader(&id)
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: seq, MethodName: gosip.RequestMethod(method)})
	return req
}

// collect reads a ClientTx to its end and returns the status codes.
func collect(tx *sip.ClientTx) (codes []int, last *gosip.Response) {
	for res := range tx.Responses() {
		codes, last = append(codes, res.StatusCode), res
	}
	return codes, last
}

func respond(code int, reason string) sip.Handler {
	return func(req *gosip.Request, tx *sip.ServerTx) {
		_ = tx.Respond(sip.NewResponse(req, code, reason))
	}
}

func TestRequestAnswered(t *testing.T) {
	for _, uri := range []string{"sip:bob@10.0.0.2", "sip:bob@10.0.0.2;transport=tcp"} {
		t.Run(uri, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.New(1)
				a := siptest.NewEndpoint(t, n, "10.0.0.1")
				siptest.NewEndpoint(t, n, "10.0.0.2", func(e *sip.Endpoint) { e.Handle("MESSAGE", respond(200, "OK")) })
				tx := a.Request(request("MESSAGE", uri, "one", 1), sip.Send{})
				codes, _ := collect(tx)
				if len(codes) != 1 || codes[0] != 200 || tx.Err() != nil {
					t.Fatalf("got %v, %v", codes, tx.Err())
				}
			})
		})
	}
}

func TestRequestTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		a := siptest.NewEndpoint(t, n, "10.0.0.1")
		sent := 0
		n.Tap(func(siptest.Packet) { sent++ })
		began := time.Now()
		tx := a.Request(request("MESSAGE", "sip:bob@10.0.0.2", "one", 1), sip.Send{})
		collect(tx)
		if !errors.Is(tx.Err(), sip.ErrTimeout) {
			t.Fatalf("got %v", tx.Err())
		}
		if d := time.Since(began); d != 32*time.Second {
			t.Errorf("ended after %v, want 64*T1", d)
		}
		if sent != 11 { // RFC 3261 §17.1.2.2: 500 ms, 1 s, 2 s, 4 s, 4 s ...
			t.Errorf("%d datagrams", sent)
		}
	})
}

func TestInviteAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		a := siptest.NewEndpoint(t, n, "10.0.0.1")
		acks := 0
		siptest.NewEndpoint(t, n, "10.0.0.2", func(e *sip.Endpoint) {
			e.Handle("INVITE", func(req *gosip.Request, tx *sip.ServerTx) {
				_ = tx.Respond(sip.NewResponse(req, 180, "Ringing"))
				_ = tx.Respond(sip.NewResponse(req, 200, "OK"))
			})
			e.Handle("ACK", func(*gosip.Request, *sip.ServerTx) { acks++ })
		})
		tx := a.Request(request("INVITE", "sip:bob@10.0.0.2", "one", 1), sip.Send{})
		var codes []int
		for res := range tx.Responses() {
			codes = append(codes, res.StatusCode)
			if res.StatusCode == 200 {
				ack := request("ACK", "sip:bob@10.0.0.2", "one", 1)
				tag, _ := res.To().Params.Get("tag")
				ack.To().Params.Add("tag", tag)
				if err := a.Ack(ack, sip.Send{}); err != nil {
					t.Error(err)
				}
			}
		}
		synctest.Wait()
		if len(codes) != 2 || codes[0] != 180 || codes[1] != 200 || tx.Err() != nil {
			t.Fatalf("got %v, %v", codes, tx.Err())
		}
		if acks != 1 {
			t.Errorf("%d ACKs", acks)
		}
	})
}

func TestInviteCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		a := siptest.NewEndpoint(t, n, "10.0.0.1")
		siptest.NewEndpoint(t, n, "10.0.0.2", func(e *sip.Endpoint) {
			e.Handle("INVITE", func(req *gosip.Request, tx *sip.ServerTx) {
				tx.OnCancel(func(*gosip.Request) { _ = tx.Respond(sip.NewResponse(req, 487, "Request Terminated")) })
				_ = tx.Respond(sip.NewResponse(req, 180, "Ringing"))
			})
		})
		tx := a.Request(request("INVITE", "sip:bob@10.0.0.2", "one", 1), sip.Send{})
		ringing := <-tx.Responses()
		tx.Cancel()
		final := <-tx.Responses()
		if final == nil || final.StatusCode != 487 {
			t.Fatalf("got %v, %v", final, tx.Err())
		}
		x, _ := ringing.To().Params.Get("tag")
		y, _ := final.To().Params.Get("tag")
		if x != y {
			t.Errorf("180 has tag %q, 487 has %q", x, y)
		}
	})
}

// What is registered is read without a lock: too late is a mistake that shows at once, not a race that shows some day.
func TestRegisteredTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := siptest.NewEndpoint(t, siptest.New(1), "10.0.0.1")
		for name, late := range map[string]func(){
			"Handle":       func() { e.Handle("MESSAGE", respond(200, "OK")) },
			"Guard":        func() { e.Guard(func(*gosip.Request, *sip.ServerTx) bool { return true }) },
			"OnHealth":     func() { e.OnHealth(func(string, error) {}) },
			"AddSupported": func() { e.AddSupported("timer") },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s is taken", name)
					}
				}()
				late()
			}()
		}
		if e.Allow() != "OPTIONS" || e.Supported() != "" {
			t.Errorf("%s; %s", e.Allow(), e.Supported())
		}
	})
}
