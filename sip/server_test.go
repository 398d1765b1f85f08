package sip_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

// sipgo reversed 846 of 2,000 INFO and BYE that came one after the other.
func TestRequestsOfACallComeInOrder(t *testing.T) {
	var mu sync.Mutex
	got := make(map[string][]string)
	note := func(req *gosip.Request, tx *sip.ServerTx) {
		mu.Lock()
		id := req.CallID().Value()
		got[id] = append(got[id], string(req.Method))
		mu.Unlock()
		_ = tx.Respond(sip.NewResponse(req, 200, "OK"))
	}
	withPeer(t, func(t *testing.T, _ *siptest.Net, _ *sip.Endpoint, p *peer) {
		for i := range 2000 {
			id := fmt.Sprintf("call-%d", i)
			p.send(text("INFO", id+"a", id, 1))
			p.send(text("BYE", id+"b", id, 2))
			if i%50 == 0 {
				time.Sleep(200 * time.Millisecond) // the rate limit is another test
			}
		}
		synctest.Wait()
		for id, methods := range got {
			if len(methods) != 2 || methods[0] != "INFO" {
				t.Fatalf("%s: %v", id, methods)
			}
		}
		if len(got) != 2000 {
			t.Errorf("%d calls", len(got))
		}
	}, func(e *sip.Endpoint) {
		e.Handle("INFO", note)
		e.Handle("BYE", note)
	})
}

// With sipgo a handler that returns before the final answer ends the transaction.
func TestAnswerAfterTheHandler(t *testing.T) {
	type waiting struct {
		req *gosip.Request
		tx  *sip.ServerTx
	}
	var txs chan waiting
	withPeer(t, func(t *testing.T, _ *siptest.Net, _ *sip.Endpoint, p *peer) {
		req := text("INVITE", "late", "late", 1)
		p.send(req)
		p.response(100) // sipgo's 100 after 200 ms
		time.Sleep(2 * time.Minute)
		w := <-txs
		p.send(req)
		p.response(100)
		if err := w.tx.Respond(sip.NewResponse(w.req, 486, "Busy Here")); err != nil {
			t.Fatal(err)
		}
		p.response(486)
		p.response(486) // again until ACK
		p.send(text("ACK", "late", "late", 1))
		time.Sleep(time.Minute)
		if len(p.in) != 0 {
			t.Errorf("still sending after the ACK")
		}
		if err := w.tx.Respond(sip.NewResponse(w.req, 200, "OK")); !errors.Is(err, sip.ErrAnswered) {
			t.Errorf("second final response: %v", err)
		}
	}, func(e *sip.Endpoint) {
		txs = make(chan waiting, 1) // inside the bubble
		e.Handle("INVITE", func(req *gosip.Request, tx *sip.ServerTx) { txs <- waiting{req, tx} })
	})
}

func TestRequestThatIsNeverAnswered(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		p.send(text("MESSAGE", "never", "never", 1))
		began := time.Now()
		p.response(500)
		if d := time.Since(began); d != 3*time.Minute {
			t.Errorf("answered after %v", d)
		}
		time.Sleep(33 * time.Second)
		if s := e.Stats(); s.ServerTxs != 0 {
			t.Errorf("%d transactions left", s.ServerTxs)
		}
	}, func(e *sip.Endpoint) { e.Handle("MESSAGE", func(*gosip.Request, *sip.ServerTx) {}) })
}

// A proxy gives up an INVITE after 3 minutes without a provisional response.
func TestRingingIsRepeatedEveryMinute(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, _ *sip.Endpoint, p *peer) {
		p.send(text("INVITE", "ring", "ring", 1))
		began := time.Now()
		for range 4 {
			p.response(180)
		}
		if d := time.Since(began); d != 3*time.Minute {
			t.Errorf("fourth 180 after %v", d)
		}
	}, func(e *sip.Endpoint) {
		e.Handle("INVITE", respond(180, "Ringing"))
	})
}

// RFC 3261 §13.3.1.4; sipgo's timing is off and nobody hears that no ACK came.
func TestSuccessIsRepeatedUntilAck(t *testing.T) {
	var lost time.Time
	var answered []time.Duration
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		p.send(text("INVITE", "noack", "noack", 1))
		began := time.Now()
		tags := make(map[string]bool)
		for range 11 {
			tag, _ := p.response(200).To().Params.Get("tag")
			tags[tag] = true
			answered = append(answered, time.Since(began))
		}
		want := []time.Duration{0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500}
		for i := range want {
			if answered[i] != want[i]*time.Millisecond {
				t.Fatalf("sent at %v", answered)
			}
		}
		if len(tags) != 1 {
			t.Errorf("%d To tags", len(tags))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if d := lost.Sub(began); d != 32*time.Second {
			t.Errorf("owner told after %v", d)
		}
		if len(p.in) != 0 || e.Stats().AwaitingAcks != 0 {
			t.Error("still sending")
		}
	}, func(e *sip.Endpoint) {
		e.Handle("INVITE", func(req *gosip.Request, tx *sip.ServerTx) {
			tx.OnAckTimeout(func() { lost = time.Now() })
			_ = tx.Respond(sip.NewResponse(req, 200, "OK"))
		})
	})
}

func TestAckEndsTheRepeats(t *testing.T) {
	var acks atomic.Int32
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		p.send(text("INVITE", "ack", "ack", 1))
		tag, _ := p.response(200).To().Params.Get("tag")
		p.response(200)
		ack := strings.Replace(text("ACK", "other", "ack", 1), "To: <sip:park@10.0.0.1>", "To: <sip:park@10.0.0.1>;tag="+tag, 1)
		p.send(strings.Replace(ack, "tag="+tag, "tag=wrong", 1))
		p.response(200) // that was not for it
		p.send(ack)
		time.Sleep(time.Minute)
		if len(p.in) != 0 || e.Stats().AwaitingAcks != 0 {
			t.Error("still sending")
		}
		if acks.Load() != 2 {
			t.Errorf("%d ACKs handed over", acks.Load())
		}
	}, func(e *sip.Endpoint) {
		e.Handle("INVITE", respond(200, "OK"))
		e.Handle("ACK", func(_ *gosip.Request, tx *sip.ServerTx) {
			if tx != nil {
				t.Error("ACK with a transaction")
			}
			acks.Add(1)
		})
	})
}

func TestCancelReceived(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, _ *sip.Endpoint, p *peer) {
		p.send(text("CANCEL", "nothing", "nothing", 1))
		p.response(481)
		p.send(text("INVITE", "c", "c", 1))
		ringing, _ := p.response(180).To().Params.Get("tag")
		p.send(text("CANCEL", "c", "c", 1))
		ok, _ := p.response(200).To().Params.Get("tag")
		final, _ := p.response(487).To().Params.Get("tag")
		if ringing != ok || ringing != final {
			t.Errorf("tags: 180 %q, CANCEL %q, 487 %q", ringing, ok, final)
		}
		p.send(text("ACK", "c", "c", 1))
		p.send(text("CANCEL", "c", "c", 1)) // too late, or again
		p.response(200)
		synctest.Wait()
		if len(p.in) != 0 {
			t.Error("a second answer to the INVITE")
		}
	}, func(e *sip.Endpoint) {
		e.Handle("INVITE", func(req *gosip.Request, tx *sip.ServerTx) {
			told := 0
			tx.OnCancel(func(c *gosip.Request) {
				if told++; told > 1 || c.Method != gosip.CANCEL {
					t.Errorf("told %d times, by %s", told, c.Method)
				}
				_ = tx.Respond(sip.NewResponse(req, 487, "Request Terminated"))
			})
			_ = tx.Respond(sip.NewResponse(req, 180, "Ringing"))
		})
	})
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		msg    string
		want   int
		header string // "Name: value" that the answer must have
	}{
		{"unknown method", text("FLY", "1", "x", 1), 405, "Allow: ACK, CANCEL, INVITE, MESSAGE, OPTIONS"},
		{"hop count", strings.Replace(text("MESSAGE", "1", "x", 1), "Forwards: 70", "Forwards: 0", 1), 483, ""},
		{"hop count of OPTIONS", strings.Replace(text("OPTIONS", "1", "x", 1), "Forwards: 70", "Forwards: 0", 1), 200, "Supported: replaces"},
		{"extension", text("MESSAGE", "1", "x", 1, "Require: replaces, foo", "Require: bar"), 420, "Unsupported: foo, bar"},
		{"known extension", text("MESSAGE", "1", "x", 1, "Require: replaces"), 200, ""},
		{"encoding", strings.Replace(text("MESSAGE", "1", "x", 1, "Content-Encoding: gzip"), "Length: 0\n\n", "Length: 1\n\nx", 1), 415, "Accept-Encoding: identity"},
		{"body too short", strings.Replace(text("MESSAGE", "1", "x", 1), "Length: 0", "Length: 9", 1), 400, ""},
		{"OPTIONS", text("OPTIONS", "1", "x", 1), 200, "Accept: application/sdp"},
		{"events in OPTIONS", text("OPTIONS", "1", "x", 1), 200, "Allow-Events: dialog"},
	} {
		t.Run(c.name, func(t *testing.T) {
			withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
				p.send(c.msg)
				res := p.response(c.want)
				if name, value, ok := strings.Cut(c.header, ": "); ok {
					if h := res.GetHeader(name); h == nil || h.Value() != value {
						t.Errorf("%s is %v, want %q", name, h, value)
					}
				}
				tag, _ := res.To().Params.Get("tag")
				p.send(c.msg)
				if again, _ := p.response(c.want).To().Params.Get("tag"); tag == "" || again != tag {
					t.Errorf("To tag %q, then %q", tag, again) // RFC 3261 §8.2.7
				}
			}, func(e *sip.Endpoint) {
				e.AddSupported("replaces")
				e.AddAllowEvent("dialog")
				e.Handle("INVITE", respond(200, "OK"))
				e.Handle("MESSAGE", respond(200, "OK"))
			})
		})
	}
}

func TestMergedRequest(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, _ *sip.Endpoint, p *peer) {
		p.send(text("INVITE", "way1", "merged", 1))
		p.response(180)
		p.send(text("INVITE", "way2", "merged", 1))
		p.response(482)
		p.send(text("INVITE", "way1", "merged", 1)) // only a retransmission
		p.response(180)
	}, func(e *sip.Endpoint) { e.Handle("INVITE", respond(180, "Ringing")) })
}

// RFC 3261 §18.2.2 and RFC 3581 §4.
func TestAnswersFindTheirWay(t *testing.T) {
	for _, c := range []struct{ name, via, to, received string }{
		{"rport", "10.0.0.9:7777;branch=z9hG4bK1;rport", "10.0.0.9:5060", "10.0.0.9"},
		{"sent-by port", "10.0.0.9:7777;branch=z9hG4bK1", "10.0.0.9:7777", ""},
		{"sent-by default port", "10.0.0.9;branch=z9hG4bK1", "10.0.0.9:5060", ""},
		{"sent-by is not the source", "10.9.9.9:7777;branch=z9hG4bK1", "10.0.0.9:7777", "10.0.0.9"},
		{"sent-by is a name", "carol.example;branch=z9hG4bK1", "10.0.0.9:5060", "10.0.0.9"},
		{"maddr makes no reflector", "10.0.0.9:7777;maddr=10.0.0.66;branch=z9hG4bK1", "10.0.0.9:7777", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			withPeer(t, func(t *testing.T, n *siptest.Net, _ *sip.Endpoint, p *peer) {
				sent := make(chan string, 1)
				n.Tap(func(p siptest.Packet) {
					if p.From.Addr() == addrA {
						sent <- p.To.String() + "\n" + string(p.Data)
					}
				})
				p.send(strings.Replace(text("OPTIONS", "1", "x", 1), "10.0.0.9:5060;branch=z9hG4bK1;rport", c.via, 1))
				to, msg, _ := strings.Cut(<-sent, "\n")
				if to != c.to {
					t.Errorf("answer went to %s, want %s", to, c.to)
				}
				m, err := gosip.ParseMessage([]byte(msg))
				if err != nil {
					t.Fatal(err)
				}
				if got, _ := m.Via().Params.Get("received"); got != c.received {
					t.Errorf("received=%s, want %s", got, c.received)
				}
			})
		})
	}
}

// sipgo keeps 3.5 KB for 32 s of each OPTIONS: a flood reached 480 MB.
func TestFloods(t *testing.T) {
	withPeer(t, func(t *testing.T, _ *siptest.Net, e *sip.Endpoint, p *peer) {
		for i := range 5000 {
			p.send(text("OPTIONS", fmt.Sprint("o", i), fmt.Sprint("o", i), 1))
			if i%500 == 0 {
				synctest.Wait()
				for len(p.in) > 0 {
					<-p.in
				}
			}
		}
		synctest.Wait()
		s := e.Stats()
		if s.ServerTxs != 0 || s.Out != 2000 || s.Dropped["rate"] == 0 {
			t.Errorf("%d transactions, %d answers, %d dropped by rate", s.ServerTxs, s.Out, s.Dropped["rate"])
		}
	})
}

func TestTooManyTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		cfg := sip.Default()
		cfg.Listen, cfg.MaxTransactions = []string{"udp:10.0.0.1:5060"}, 16
		e := siptest.Start(t, cfg, []sip.Option{sip.WithNetwork(n.Host(addrA))}, func(e *sip.Endpoint) {
			e.Handle("MESSAGE", respond(200, "OK"))
			e.Handle("INVITE", respond(180, "Ringing"))
		})
		p := newPeer(t, n, "10.0.0.9")
		for i := range 40 { // answered ones make room for new ones
			p.send(text("MESSAGE", fmt.Sprint("m", i), fmt.Sprint("m", i), 1))
			p.response(200)
		}
		synctest.Wait()
		if s := e.Stats(); s.ServerTxs != 16 {
			t.Errorf("%d transactions", s.ServerTxs)
		}
		for i := range 16 {
			p.send(text("INVITE", fmt.Sprint("i", i), fmt.Sprint("i", i), 1))
			p.response(180)
		}
		p.send(text("INVITE", "more", "more", 1)) // those that ring do not
		if res := p.response(503); res.GetHeader("Retry-After") == nil {
			t.Error("503 without Retry-After")
		}
		for range 16 {
			tx := e.Request(request("MESSAGE", peerURI, "out", 1), sip.Send{})
			defer tx.Cancel()
		}
		tx := e.Request(request("MESSAGE", peerURI, "out", 1), sip.Send{})
		if collect(tx); !errors.Is(tx.Err(), sip.ErrOverload) {
			t.Errorf("got %v", tx.Err())
		}
	})
}

// sipgo logs unparsable datagrams whole; whatever comes, no secret may be logged.
func TestNothingOfAMessageIsLogged(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		cfg := sip.Default()
		cfg.Listen = []string{"udp:10.0.0.1:5060"}
		e, err := sip.New(cfg, slog.Default(), sip.WithNetwork(n.Host(addrA)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		<-e.Ready()
		p := newPeer(t, n, "10.0.0.9")
		p.send("garbage SECRET\n\n")
		p.send(text("MESSAGE", "1", "x", 1, "Authorization: Digest response=\"SECRET\"", "Max-Forwards: SECRET"))
		p.send(text("OPTIONS", "1", "x", 1, "From SECRET", "Authorization: SECRET"))
		tx := e.Request(request("MESSAGE", "sip:bob@10.0.0.77", "SECRET", 1), sip.Send{Auth: &sip.Credentials{Username: "u", Password: "SECRET"}})
		collect(tx)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if strings.Contains(log.String(), "SECRET") {
		t.Errorf("log holds the secret:\n%s", log.String())
	}
}

func TestListenerIsOpenedAgain(t *testing.T) {
	type event struct {
		listen string
		err    error
	}
	var events chan event
	withPeer(t, func(t *testing.T, n *siptest.Net, e *sip.Endpoint, p *peer) {
		<-events
		<-events // both are up
		broken := errors.New("network is down")
		n.FailRead(netip.AddrPortFrom(addrA, 5060), broken)
		if ev := <-events; ev.listen != "udp:10.0.0.1:5060" || !errors.Is(ev.err, broken) {
			t.Errorf("got %+v", ev)
		}
		if ev := <-events; ev.err != nil {
			t.Errorf("got %+v", ev)
		}
		p.send(text("OPTIONS", "1", "x", 1))
		p.response(200)
		if s := e.Stats(); s.Restarts != 1 {
			t.Errorf("%d restarts", s.Restarts)
		}
	}, func(e *sip.Endpoint) {
		events = make(chan event, 16) // inside the bubble
		e.OnHealth(func(l string, err error) { events <- event{l, err} })
	})
}
