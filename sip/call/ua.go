package call

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/sdp"
)

var (
	// ErrTooManyCalls says that Config.MaxCalls calls are up.
	ErrTooManyCalls = errors.New("call: too many calls")
	// ErrStopping says that Refuse has been called or that Run has ended.
	ErrStopping = errors.New("call: stopping")
)

const (
	// maxEnded bounds the memory of calls that have ended, which RFC 3891 §3 asks for: a Replaces for
	// one of them is answered 603 and not 481.
	maxEnded = 1024
	// endedFor is how long an ended call is remembered.
	endedFor = 5 * time.Minute
	// retryAfter is what a 503 and a 500 say to the far end, in seconds.
	retryAfter = "5"
)

// leg is our half of a dialog's name. Our tags are random, so that it is unique; the far end's half can
// change while a call is being set up.
type leg struct{ callID, localTag string }

// UA is all calls of an endpoint.
type UA struct {
	// immutable after Run has begun
	ep       *sip.Endpoint
	cfg      Config
	log      *slog.Logger
	incoming func(c *Call) Handler
	stop     chan struct{} // closed when Run ends
	most     sdp.Local     // the most that any owner accepts

	// guarded by mu
	mu       sync.Mutex
	running  bool
	draining bool
	hushed   bool           // see Refuse
	past     map[*Call]bool // which calls were over when new ones began to be refused
	early    []func()       // goroutines to start when Run begins
	calls    map[leg]*Call
	live     int // calls that have not ended
	ended    map[leg]memory
	forget   []leg // keys of ended, oldest first
	serial   uint64
	wg       sync.WaitGroup
}

// memory is what is kept of an ended call.
type memory struct {
	remoteTag string
	at        time.Time
}

// New makes a UA and registers its methods at the endpoint, which must not run yet.
func New(ep *sip.Endpoint, cfg Config, log *slog.Logger) *UA {
	u := &UA{
		ep: ep, cfg: cfg, log: log,
		stop:  make(chan struct{}),
		calls: map[leg]*Call{},
		ended: map[leg]memory{},
		most:  sdp.Local{Codecs: []sdp.Codec{sdp.PCMU, sdp.PCMA, sdp.G722}, Security: sdp.Preferred, Keys: sdp.NewKeys()},
	}
	ep.Handle("INVITE", u.onInvite)
	ep.Handle("ACK", u.onACK)
	ep.Handle("BYE", u.inDialog((*Call).onBYE))
	ep.Handle("UPDATE", u.inDialog((*Call).onUPDATE))
	ep.Handle("REFER", u.inDialog((*Call).onREFER))
	ep.Handle("INFO", u.inDialog((*Call).onINFO))
	ep.AddSupported("replaces")
	ep.AddSupported("timer")
	ep.AddAccept("application/sdp")
	return u
}

// OnIncoming says who takes incoming calls. It is called from the new call's goroutine and must not
// block; a nil Handler refuses the call with 480. Without OnIncoming all calls are refused. Set it
// before Run.
func (u *UA) OnIncoming(h func(c *Call) Handler) { u.incoming = h }

// RegisterNotify takes the method NOTIFY for refer alone, for an endpoint without package event.
func (u *UA) RegisterNotify() {
	u.ep.Handle("NOTIFY", func(req *gosip.Request, tx *sip.ServerTx) {
		if !u.HandleNotify(req, tx) {
			// RFC 6665 §8.3.2.
			respond(req, tx, 489, "Bad Event")
		}
	})
}

// HandleNotify takes a NOTIFY for Event: refer and says whether it was one. Package event gives every
// NOTIFY to it first.
func (u *UA) HandleNotify(req *gosip.Request, tx *sip.ServerTx) bool {
	event, _, _ := strings.Cut(value(req, "event", "o"), ";")
	if !strings.EqualFold(strings.TrimSpace(event), "refer") {
		return false
	}
	u.inDialog((*Call).onNOTIFY)(req, tx)
	return true
}

// Run runs the calls until ctx ends. Calls that are up then end with cause Stopped and without a word
// to the far end, since their dialogs may be restored; Drain before it says good-bye.
func (u *UA) Run(ctx context.Context) error {
	u.mu.Lock()
	u.running = true
	for _, f := range u.early {
		u.wg.Go(f)
	}
	u.early = nil
	u.mu.Unlock()

	<-ctx.Done()
	u.mu.Lock()
	u.running, u.draining = false, true
	u.mu.Unlock()
	close(u.stop)
	u.wg.Wait()
	return nil
}

func (u *UA) listHeld() []*Call {
	var out []*Call
	for _, c := range u.calls {
		out = append(out, c)
	}
	return out
}

// Calls lists the calls that have not ended, oldest first.
func (u *UA) Calls() []*Call {
	u.mu.Lock()
	all := u.listHeld()
	u.mu.Unlock()
	all = slices.DeleteFunc(all, func(c *Call) bool { return c.Ended() })
	slices.SortFunc(all, func(a, b *Call) int { return a.Info().Started.Compare(b.Info().Started) })
	return all
}

// From counts the calls that an address has begun and that are not over.
func (u *UA) From(a netip.Addr) int {
	n := 0
	for _, c := range u.Calls() {
		if info := c.Info(); info.Direction == Incoming && info.Source.Addr().Unmap() == a && !c.Ended() {
			n++
		}
	}
	return n
}

// start runs f as one of Run's goroutines, at once or when Run begins. After Run it does nothing.
func (u *UA) start(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.running:
		u.wg.Go(f)
	case !u.draining:
		u.early = append(u.early, f)
	}
}

// add puts a call into the table and starts its goroutine with first.
func (u *UA) add(c *Call, first func()) error {
	u.mu.Lock()
	if u.draining {
		u.mu.Unlock()
		return ErrStopping
	}
	if u.live >= u.cfg.MaxCalls && !c.options.Emergency {
		u.mu.Unlock()
		return ErrTooManyCalls
	}
	k := leg{c.d.CallID, c.d.LocalTag}
	if u.calls[k] != nil {
		u.mu.Unlock()
		return fmt.Errorf("call: dialog %s is up already", c.d.CallID)
	}
	u.live++
	u.serial++
	c.id = ID(fmt.Sprintf("c%d", u.serial))
	c.log = u.log.With("call", string(c.id))
	u.calls[k] = c
	u.mu.Unlock()

	c.publish()
	c.post(first)
	u.start(c.run)
	return nil
}

// noteEnded takes the call out of the count and remembers its name.
func (u *UA) noteEnded(c *Call) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.live--
	now := time.Now()
	for len(u.forget) > 0 && (len(u.forget) >= maxEnded || now.Sub(u.ended[u.forget[0]].at) > endedFor) {
		delete(u.ended, u.forget[0])
		u.forget = u.forget[1:]
	}
	k := leg{c.d.CallID, c.d.LocalTag}
	if _, again := u.ended[k]; !again {
		u.forget = append(u.forget, k)
	}
	u.ended[k] = memory{c.d.RemoteTag, now}
}

func (u *UA) remove(c *Call) {
	u.mu.Lock()
	delete(u.calls, leg{c.d.CallID, c.d.LocalTag})
	u.mu.Unlock()
}

// lookup finds the call that an in-dialog request belongs to.
func (u *UA) lookup(req *gosip.Request) *Call {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls[leg{callID(req), toTag(req)}]
}

// inDialog is the handler of a method that only exists inside a dialog.
func (u *UA) inDialog(method func(c *Call, req *gosip.Request, tx *sip.ServerTx)) sip.Handler {
	return func(req *gosip.Request, tx *sip.ServerTx) {
		if tx == nil {
			return
		}
		if !req.IsInvite() && req.GetHeader("replaces") != nil {
			// RFC 3891 §3: Replaces belongs into INVITE only.
			respond(req, tx, 400, statusText(400))
			return
		}
		if toTag(req) == "" && req.Method == gosip.REFER {
			// RFC 3515 allows it; nobody here places calls for strangers.
			respond(req, tx, 403, statusText(403))
			return
		}
		c := u.lookup(req)
		if c != nil && c.phaseNow() == phaseCalling && !c.knowsTag(fromTag(req)) && req.Method != gosip.BYE {
			// RFC 5407 §3.1.3: the request has overtaken the response that makes its dialog.
			respond(req, tx, 500, statusText(500), header("Retry-After", "1"))
			return
		}
		if c == nil || !c.knowsTag(fromTag(req)) {
			// RFC 3261 §12.2.2.
			respond(req, tx, 481, statusText(481))
			return
		}
		if c.admit(func() { method(c, req, tx) }) {
			return
		}
		if c.Ended() {
			respond(req, tx, 481, statusText(481))
		} else {
			respond(req, tx, 503, statusText(503), header("Retry-After", retryAfter))
		}
	}
}

func (u *UA) onACK(req *gosip.Request, _ *sip.ServerTx) {
	// An ACK is never answered, whatever is wrong with it.
	if c := u.lookup(req); c != nil && c.knowsTag(fromTag(req)) {
		c.admit(func() { c.onACK(req) })
	}
}

// onInvite sorts INVITEs: inside a dialog, in place of a call (Replaces), or new.
func (u *UA) onInvite(req *gosip.Request, tx *sip.ServerTx) {
	if toTag(req) != "" {
		u.inDialog((*Call).onReINVITE)(req, tx)
		return
	}
	replaced, code := u.matchReplaces(req)
	if code != 0 {
		respond(req, tx, code, statusText(code))
		return
	}
	if code, headers := u.acceptable(req); code != 0 {
		respond(req, tx, code, statusText(code), headers...)
		return
	}
	c, err := u.newIncoming(req, tx, replaced)
	if err != nil {
		respond(req, tx, 400, statusText(400))
		return
	}
	err = u.add(c, c.arrive)
	if err != nil && u.quiet() {
		return
	}
	if err != nil {
		u.log.Warn("incoming call refused", "err", err)
		// RFC 3261 §21.5.4.
		respond(req, tx, 503, statusText(503), header("Retry-After", retryAfter))
	}
}

// acceptable says with which code an INVITE must be refused before anybody is asked, 0 if it is good.
func (u *UA) acceptable(req *gosip.Request) (int, []gosip.Header) {
	if len(req.Body()) > 0 {
		if !isSDP(req) {
			// RFC 3261 §8.2.3.
			return 415, []gosip.Header{header("Accept", "application/sdp")}
		}
		// The codecs are the owner's business; that there is a stream at all is not.
		err := sdp.Check(u.most, req.Body())
		switch {
		case errors.Is(err, sdp.ErrMalformed):
			return 400, nil
		case err != nil:
			return 488, []gosip.Header{warning(err)}
		}
	}
	if minimum, small := tooSmall(req, u.cfg.MinSE); small {
		return 422, []gosip.Header{minimum}
	}
	return 0, nil
}

// warning tells the far end what is wrong with its description. RFC 3261 §20.43.
func warning(err error) gosip.Header {
	switch {
	case errors.Is(err, sdp.ErrNoCodec):
		return header("Warning", `305 parklamp "no common codec"`)
	case errors.Is(err, sdp.ErrAddress):
		return header("Warning", `301 parklamp "unusable media address"`)
	case errors.Is(err, sdp.ErrSecurity):
		return header("Warning", `302 parklamp "no common media encryption"`)
	}
	return header("Warning", `304 parklamp "no usable audio stream"`)
}

// respond answers a request that no call is in charge of.
func respond(req *gosip.Request, tx *sip.ServerTx, code int, reason string, headers ...gosip.Header) {
	res := sip.NewResponse(req, code, reason)
	for _, h := range headers {
		res.AppendHeader(h)
	}
	// A failure to send is the transaction's business: the far end asks again.
	_ = tx.Respond(res)
}
