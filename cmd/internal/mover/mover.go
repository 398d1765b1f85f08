// Package mover is a caller's phone that moves when somebody asks it to (RFC 3891 §3): it answers an INVITE with Replaces and
// ends the call that is replaced. The tests let an appliance hand such callers over to its peers. It is made of our own
// package call, knows nothing of parking, and has no sound: its SDP points at an RTP end of the test's.
//
// Run starts one goroutine for each of endpoint and calls, and returns when both have ended.
package mover

import (
	"context"
	"log/slog"
	"net/netip"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/call"
	"parklamp/sip/sdp"
)

// Options say what a Phone is.
type Options struct {
	Number string
	Local  netip.AddrPort // SIP over UDP
	Media  netip.AddrPort // of its RTP end
	// Refuse is the code of its answer to Replaces: it only says that it moves. 0: it does.
	Refuse int
}

// Phone is one that moves.
type Phone struct {
	Moved chan *call.Call // calls that have taken the place of another; capacity 16, more than a test needs
	Ended chan call.Ended // of the first call; capacity 1

	options Options
	ep      *sip.Endpoint
	ua      *call.UA
	media   sdp.Local
}

// New returns a phone that does nothing before Run.
func New(o Options) (*Phone, error) {
	cfg := sip.Default()
	cfg.Listen = []string{"udp:" + o.Local.String()}
	log := slog.New(slog.DiscardHandler)
	ep, err := sip.New(cfg, log)
	if err != nil {
		return nil, err
	}
	p := &Phone{Moved: make(chan *call.Call, 16), Ended: make(chan call.Ended, 1), options: o, ep: ep, ua: call.New(ep, call.Default(), log),
		media: sdp.Local{Addr: o.Media.Addr(), Port: o.Media.Port(), Codecs: []sdp.Codec{sdp.PCMU}, Direction: sdp.SendRecv}}
	p.ua.OnIncoming(p.incoming)
	return p, nil
}

func (p *Phone) incoming(c *call.Call) call.Handler {
	switch old := c.Info().Replaces; {
	case old != nil && p.options.Refuse > 0:
		c.Reject(p.options.Refuse, "")
	case old != nil:
		c.Answer(p.media)
		old.Hangup("replaced")
	}
	return func(c *call.Call, ev call.Event) {
		if _, ok := ev.(call.Acked); ok {
			p.Moved <- c
		}
	}
}

// Run is the phone until ctx ends.
func (p *Phone) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 2)
	go func() { done <- p.ep.Run(ctx) }()
	go func() { done <- p.ua.Run(ctx) }()
	err := <-done
	cancel()
	<-done // it ends because the other one has
	return err
}

// Call makes the first call, once Run has opened the socket.
func (p *Phone) Call(to gosip.Uri) (*call.Call, error) {
	<-p.ep.Ready()
	first, err := p.ua.Invite(call.Invite{To: to, From: gosip.Uri{Scheme: "sip", User: p.options.Number}, Media: p.media},
		func(_ *call.Call, ev call.Event) {
			if ev, ok := ev.(call.Ended); ok {
				p.Ended <- ev
			}
		})
	return first, err
}
