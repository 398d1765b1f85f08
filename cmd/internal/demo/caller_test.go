package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/call"
	"parklamp/sip/sdp"
)

// desk is a phone that answers every call.
type desk struct {
	at     netip.AddrPort
	ua     *call.UA
	events chan deskEvent // more than a test has
}

type deskEvent struct {
	c  *call.Call
	ev call.Event
}

func (d *desk) media() sdp.Local {
	return sdp.Local{Addr: d.at.Addr(), Port: 40000, Codecs: []sdp.Codec{sdp.PCMU}}
}

func (d *desk) on(c *call.Call, ev call.Event) { d.events <- deskEvent{c, ev} }

// next waits for an event of a kind and returns its call.
func next[E call.Event](t *testing.T, d *desk) (*call.Call, E) {
	t.Helper()
	for {
		select {
		case e := <-d.events:
			if ev, ok := e.ev.(E); ok {
				return e.c, ev
			}
		case <-t.Context().Done():
			t.Fatal("the test is over")
		}
	}
}

// newDesk runs a phone until the test ends.
func newDesk(t *testing.T, ip string) *desk {
	d := &desk{at: netip.AddrPortFrom(addr(ip), 5060), events: make(chan deskEvent, 64)}
	cfg := sip.Default()
	cfg.Listen = []string{"udp:" + d.at.String()}
	log := slog.New(slog.DiscardHandler)
	endpoint, err := sip.New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	d.ua = call.New(endpoint, call.Default(), log)
	d.ua.RegisterNotify()
	d.ua.OnIncoming(func(c *call.Call) call.Handler {
		c.Answer(d.media())
		return d.on
	})
	runs(t, endpoint.Run, d.ua.Run)
	<-endpoint.Ready()
	return d
}

func runs(t *testing.T, parts ...func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(func() { _ = part(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// TestCallerIsTransferred: the worker of a conference joins the outside caller and another phone, and leaves; whichever of
// the two he asks, she goes on with the other.
func TestCallerIsTransferred(t *testing.T) {
	for _, asked := range []string{"caller", "phone"} {
		t.Run(asked, func(t *testing.T) {
			dock1, dock2 := newDesk(t, "127.0.61.1"), newDesk(t, "127.0.61.2")
			c, err := newCaller(addr("127.0.61.9"), slog.New(slog.DiscardHandler), t.Logf)
			if err != nil {
				t.Fatal(err)
			}
			runs(t, c.run)
			<-c.endpoint.Ready()
			if err := c.ring("dock-1", "201", dock1.at); err != nil {
				t.Fatal(err)
			}
			first, _ := next[call.Answered](t, dock1)
			if err := c.await(t.Context(), "talking"); err != nil { // she knows the dialog, by which she is asked for
				t.Fatal(err)
			}
			second, err := dock1.ua.Invite(call.Invite{To: gosip.Uri{Scheme: "sip", User: "202", Host: dock2.at.Addr().String(), Port: 5060},
				From: gosip.Uri{Scheme: "sip", User: "201"}, Media: dock1.media()}, dock1.on)
			if err != nil {
				t.Fatal(err)
			}
			next[call.Answered](t, dock1)
			old, _ := next[call.Answered](t, dock2)
			if asked == "caller" {
				first.ReferTo(second)
				next[call.Answered](t, dock2)
				if _, ev := next[call.TransferProgress](t, dock1); !ev.Final {
					if _, ev = next[call.TransferProgress](t, dock1); !ev.Final || ev.Code != 200 {
						t.Fatalf("the last report is %+v", ev)
					}
				}
				first.Hangup("")
				second.Hangup("")
			} else { // what dock-2 does when it is asked
				d := first.Dialog()
				id := d.ID().Reverse()
				var to gosip.Uri
				if err := gosip.ParseUri(d.RemoteTarget, &to); err != nil {
					t.Fatal(err)
				}
				if _, err := dock2.ua.Invite(call.Invite{To: to, From: gosip.Uri{Scheme: "sip", User: "202"}, Media: dock2.media(), Replaces: &id}, dock2.on); err != nil {
					t.Fatal(err)
				}
				next[call.Answered](t, dock2)
				for !first.Ended() {
					next[call.Ended](t, dock1)
				}
				old.Hangup("")
			}
			if err := c.await(t.Context(), "talking"); err != nil {
				t.Error(err)
			}
			c.mu.Lock()
			now := c.current
			c.mu.Unlock()
			if now == nil || now.Info().Remote.Number == "201" {
				t.Error("the caller talks to nobody else")
			}
		})
	}
}

func TestTakenAddressTellsWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.61.5:5060")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = net.Listen("tcp", "127.0.61.5:5060")
	if err = taken("tcp", netip.MustParseAddrPort("127.0.61.5:5060"), err); err == nil ||
		!strings.Contains(err.Error(), "127.0.61.5:5060, which the demonstration needs, is in use by demo.test (pid ") || !strings.Contains(err.Error(), "Ctrl-C") {
		t.Errorf("error %v", err)
	}
}
