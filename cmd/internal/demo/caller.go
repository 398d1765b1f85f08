package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/speech"
	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
	"parklamp/sip"
	"parklamp/sip/call"
	"parklamp/sip/sdp"
)

// callerName and callerNumber are who the phones show.
const (
	callerName   = "Martha Lindqvist"
	callerNumber = "5551234"
)

// errBusy says that the caller has one telephone and is on it.
var errBusy = errors.New("the outside caller is in a call already: hang up first")

// caller is the outside caller: a telephone of its own that plays recorded speech and keeps what it hears.
type caller struct {
	endpoint *sip.Endpoint
	ua       *call.UA
	engine   *media.Engine
	addr     netip.Addr
	say      func(format string, args ...any) // for the transcript

	mu      sync.Mutex
	current *call.Call                    // guarded by mu
	lines   map[*call.Call]*media.Session // guarded by mu; of current, and of one that takes its place in a transfer
	asked   *call.Transfer                // guarded by mu; what that one obeys, nil if it came in
	heard   *ear                          // guarded by mu
	state   string                        // guarded by mu; words for the page
	changed chan struct{}                 // closed and replaced at each change; guarded by mu
}

// ear keeps what the caller hears, with the time of each frame.
type ear struct {
	mu     sync.Mutex
	frames []heardFrame // guarded by mu; at most maxHeard, the oldest go
}

type heardFrame struct {
	at    time.Time
	frame media.Frame
}

const maxHeard = 30 * 50 // 30 s

func (e *ear) Write(f *media.Frame, _ media.Kind) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.frames) == maxHeard {
		e.frames = append(e.frames[:0], e.frames[maxHeard/2:]...)
	}
	e.frames = append(e.frames, heardFrame{time.Now(), *f})
}

func (e *ear) since(t time.Time) []int16 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var pcm []int16
	for _, h := range e.frames {
		if h.at.After(t) {
			pcm = append(pcm, h.frame[:]...)
		}
	}
	return pcm
}

func newCaller(addr netip.Addr, log *slog.Logger, say func(string, ...any)) (*caller, error) {
	cfg := sip.Default()
	cfg.Listen = []string{"udp:" + netip.AddrPortFrom(addr, 5060).String(), "tcp:" + netip.AddrPortFrom(addr, 5060).String()}
	cfg.UserAgent = "Outside caller"
	endpoint, err := sip.New(cfg, log)
	if err != nil {
		return nil, err
	}
	c := &caller{endpoint: endpoint, engine: media.NewEngine(media.Default(), log), addr: addr, say: say, state: "on hook",
		lines: map[*call.Call]*media.Session{}, changed: make(chan struct{})}
	c.ua = call.New(endpoint, call.Default(), log)
	c.ua.RegisterNotify()
	c.ua.OnIncoming(c.incoming)
	return c, nil
}

// run serves until ctx ends and then hangs up.
func (c *caller) run(ctx context.Context) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var wg sync.WaitGroup
	errs := make(chan error, 3) // one for each part
	for _, part := range []func(context.Context) error{c.endpoint.Run, c.engine.Run, c.ua.Run} {
		wg.Go(func() { errs <- part(base) })
	}
	var err error
	select {
	case <-ctx.Done():
		grace, end := context.WithTimeout(base, 2*time.Second)
		c.ua.Refuse(false)
		c.ua.Drain(grace, nil) // what does not answer is cut
		end()
	case err = <-errs:
	}
	cut()
	wg.Wait()
	return err
}

// ring calls a phone.
func (c *caller) ring(name, number string, at netip.AddrPort) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		return errBusy
	}
	c.heard = &ear{}
	made, err := c.invite(call.Invite{To: gosip.Uri{Scheme: "sip", User: number, Host: at.Addr().String(), Port: int(at.Port())}})
	if err != nil {
		return err
	}
	c.current = made
	c.setState("ringing " + name)
	return nil
}

// invite calls somebody with a session of its own. mu is held.
func (c *caller) invite(o call.Invite) (*call.Call, error) {
	session, offer, err := c.open()
	if err != nil {
		return nil, err
	}
	o.From, o.FromName, o.Media = gosip.Uri{Scheme: "sip", User: callerNumber, Host: c.addr.String()}, callerName, offer
	made, err := c.ua.Invite(o, c.onCall)
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	c.lines[made] = session
	c.say("caller   INVITE %s", o.To.String())
	return made, nil
}

// open makes a session that says her speech and keeps what she hears. mu is held.
func (c *caller) open() (*media.Session, sdp.Local, error) {
	session, err := c.engine.Open(c.addr)
	if err != nil {
		return nil, sdp.Local{}, err
	}
	session.Play(mediatest.NewLoop(speech.Caller()))
	session.Listen(c.heard)
	local := session.LocalAddr()
	return session, sdp.Local{Addr: local.Addr(), Port: local.Port(), Codecs: []sdp.Codec{sdp.PCMU, sdp.PCMA}, DTMF: true}, nil
}

// incoming takes a call that wants the place of the present one (RFC 3891), and no other.
func (c *caller) incoming(made *call.Call) call.Handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || made.Info().Replaces != c.current || len(c.lines) > 1 {
		return nil
	}
	session, offer, err := c.open()
	if err != nil {
		c.say("caller   media: %v", err)
		return nil
	}
	c.lines[made] = session
	c.say("caller   INVITE from %s in place of the call", made.Info().Remote.Number)
	made.Answer(offer)
	return c.onCall
}

// transferred does what the far end asks for: she calls whom it names, in its place (RFC 3515, RFC 5589 §7).
func (c *caller) transferred(t *call.Transfer) {
	if len(c.lines) > 1 {
		t.Reject(486)
		return
	}
	o := call.Invite{To: t.Target, Replaces: t.Replaces}
	if t.ReferredBy.URI != "" {
		o.ReferredBy = "<" + t.ReferredBy.URI + ">"
	}
	t.Accept()
	if _, err := c.invite(o); err != nil {
		t.Done(503, "")
		return
	}
	c.asked = t
}

// hangUp ends the call.
func (c *caller) hangUp() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return errors.New("the outside caller is not in a call")
	}
	c.current.Hangup("")
	return nil
}

func (c *caller) onCall(made *call.Call, ev call.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	session := c.lines[made]
	if session == nil {
		return
	}
	switch ev := ev.(type) {
	case call.Referred:
		c.say("caller   REFER to %s", ev.Transfer.Target.String())
		c.transferred(ev.Transfer)
	case call.Ringing:
		c.say("caller   %d Ringing", ev.Code)
	case call.Answered:
		c.say("caller   200 OK, ACK; RTP with %s", ev.Media.Remote)
		c.configure(session, ev.Media)
		if old := c.current; old != made && old != nil && c.asked == nil {
			old.Hangup("") // RFC 3891 §3: the new call has taken its place
		}
		if made != c.current {
			c.transferDone(200, "") // whom she talked to before hangs up
		}
		c.current = made
		c.setState("talking")
	case call.MediaChanged:
		c.say("caller   re-INVITE; RTP with %s", ev.Media.Remote)
		c.configure(session, ev.Media)
	case call.Ended:
		c.say("caller   call ended: %s %s", ev.Cause, ev.Reason)
		_ = session.Close() // the port is given back either way
		delete(c.lines, made)
		if made == c.current {
			c.current = nil
			c.setState("on hook: " + ending(ev))
		} else {
			c.transferDone(max(ev.Code, 480), ev.Reason) // nothing if it was done before
		}
	}
}

// transferDone tells the far end how the transfer that it asked for has gone, once.
func (c *caller) transferDone(code int, reason string) {
	if c.asked != nil {
		c.asked.Done(code, reason)
		c.asked = nil
	}
}

// ending says how a call ended, for the page.
func ending(ev call.Ended) string {
	switch ev.Cause {
	case call.Local, call.Cancelled:
		return "she hung up"
	case call.Remote:
		return "the other side hung up"
	case call.Rejected:
		return strings.TrimSpace(fmt.Sprintf("not taken, %d %s", ev.Code, ev.Reason))
	}
	return strings.TrimSpace(ev.Cause.String() + " " + ev.Reason)
}

func (c *caller) configure(session *media.Session, m sdp.Media) {
	id := codec.PCMU
	if m.Codec.Name == sdp.PCMA.Name {
		id = codec.PCMA
	}
	err := session.Configure(media.Params{Remote: m.Remote, Codec: id, PayloadType: m.Codec.PayloadType,
		DTMFPayloadType: m.DTMFPayloadType, Send: m.Send, Receive: m.Receive})
	if err != nil {
		c.say("caller   media: %v", err)
	}
}

// setState is called with mu held.
func (c *caller) setState(s string) {
	c.state = s
	close(c.changed)
	c.changed = make(chan struct{})
}

// await blocks until the caller's state begins with a word.
func (c *caller) await(ctx context.Context, state string) error {
	for {
		c.mu.Lock()
		now, changed := c.state, c.changed
		c.mu.Unlock()
		if len(now) >= len(state) && now[:len(state)] == state {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the outside caller is %q, not %q: %w", now, state, ctx.Err())
		}
	}
}

// hears returns what came from a moment on.
func (c *caller) hears(since time.Time) []int16 {
	c.mu.Lock()
	e := c.heard
	c.mu.Unlock()
	if e == nil {
		return nil
	}
	return e.since(since)
}
