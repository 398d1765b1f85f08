package call

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/sdp"
)

// ID names a call for maps and logs: unique in the process, the same for the call's whole life.
type ID string

// phase is how far a call has come.
type phase uint8

const (
	phaseCalling   phase = iota // our INVITE has no final response
	phaseIncoming               // their INVITE has none
	phaseAnswering              // we have sent 2xx and wait for its ACK
	phaseActive
	phaseEnded // Ended has been told; transactions may still be under way
)

func (p phase) String() string {
	return [...]string{"calling", "incoming", "answering", "active", "ended"}[p]
}

// Info is what is known of a call. Everything but Remote and AnsweredFrom stays as it was when the call began.
type Info struct {
	Direction   Direction
	Started     time.Time
	RequestUser string // user part of the Request-URI: the number that was dialled
	RequestURI  string
	Remote      Party // the far end: asserted identity, else From (incoming) or To (outgoing)
	Local       Party // To of an incoming, From of an outgoing call
	ReferredBy  Party
	Diversion   Party // who sent the call on to us last (RFC 5806)
	Replaces    *Call // the call that this one wants to take the place of, matched as RFC 3891 §3 says; who answers this one ends that one
	AutoAnswer  bool  // the caller asks us to answer without ringing
	UserAgent   string
	TLS         bool           // the INVITE came by TLS
	Source      netip.AddrPort // where the INVITE came from; invalid for an outgoing call
	// AnsweredFrom is the host that the newest answer to an INVITE of ours came from, or of a call that nobody has answered yet the
	// newest ringing: the far end's or a proxy's. Invalid before it.
	AnsweredFrom netip.Addr
	Proved       []string                 // names that the far end proved by a certificate of the site
	Header       func(name string) string // of the INVITE, "" if missing; never nil
}

// Call is one call. All methods can be called from any goroutine and return at once; what they lead to
// comes as events.
type Call struct {
	// immutable after UA.add
	ua       *UA
	id       ID
	log      *slog.Logger
	incoming bool
	offered  []byte        // the description that an incoming call came with, nil without one; it may hold keys
	wake     chan struct{} // capacity 1: a full one has already woken the goroutine
	said     chan struct{} // closed when the call is over and no request waits for an answer
	settled  chan struct{} // closed when the goroutine has ended

	// owned by the call's goroutine
	state          phase
	d              Dialog
	options        *Invite // outgoing: what to call with; incoming: nothing, and the next three are nil
	media          sdp.Media
	sent           string // our description as it was sent last, with its keys; "" in a restored call
	hasMedia       bool
	identity       *Party            // who we say to be, when it is not who From or To says
	busy           int               // transactions, transfers and answers that keep an ended call alive
	answered       int               // those of them that are transactions with a final response, of which more may come
	outbox         []outgoing        // requests that wait for the one under way
	underWay       int               // requests in the dialog without a final response
	sentAt         time.Time         // when the last request in the dialog was sent
	hurry          *timer            // when what waits may go although no answer has come
	forks          map[string]Dialog // outgoing: early dialogs by remote tag
	winners        map[string]bool   // remote tags of 2xx to the first INVITE
	detours        []gosip.Uri       // targets of redirections that were not tried yet
	turns          map[string]bool   // those that were
	lastRing       string            // tag and code of the provisional response told last
	ringTimer      *timer
	byeOnAck       []gosip.Header // not nil: BYE with these headers once the ACK is there
	invite         *invite        // our INVITE or re-INVITE that has no final response
	update         *sdp.Local     // Update that waits for its turn
	updates        int            // tries of it
	retry          *timer         // glare: when to try again
	tx             *sip.ServerTx  // their INVITE that has no final response
	req            *gosip.Request // the INVITE of tx
	waitACK        uint32         // CSeq of their INVITE that we answered with 2xx, 0: none
	lateOffer      bool           // the ACK must bring the answer to our offer
	sentOffer      sdp.Local      // what lateOffer was made from
	refresh        *timer
	expiry         *timer
	notified       map[uint32]*reference // our REFERs by CSeq, once sent
	owed           int                   // our REFERs that are under way
	transfers      []*Transfer           // their REFERs
	reINVITEOn     bool                  // refresh by re-INVITE because UPDATE was refused
	pendingRefresh bool                  // a refreshing re-INVITE waits for its turn
	resting        []chan struct{}       // closed as soon as the call is at rest

	// guarded by mu
	mu      sync.Mutex
	queue   []func()
	waiting [2]int  // of queue: from the network, from the owner
	leaving [2]bool // Hangup and Reject have been called
	closed  bool
	handler Handler
	info    Info
	snap    Dialog
	shown   phase
	tags    map[string]bool // remote tags of this call
	auth    *sip.Credentials
}

var nothing Invite

func newCall(u *UA) *Call {
	return &Call{
		ua: u, wake: make(chan struct{}, 1), said: make(chan struct{}), settled: make(chan struct{}),
		options: &nothing, notified: map[uint32]*reference{}, tags: map[string]bool{},
	}
}

// ID gives the call's name.
func (c *Call) ID() ID { return c.id }

// Info tells what is known of the call.
func (c *Call) Info() Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info
}

// Dialog gives the dialog as it was after the last event or message, for the journal and for Replaces.
func (c *Call) Dialog() Dialog {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.snap
}

// Ended says whether the call's last event has been told.
func (c *Call) Ended() bool { return c.phaseNow() == phaseEnded }

// SetOwner hands the call to another owner, who gets every event from now on; a call that has ended has none. Called from a Handler of
// this call it works from the next event.
func (c *Call) SetOwner(h Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shown != phaseEnded {
		c.handler = h
	}
}

// SetAuth gives the credentials for requests inside the dialog, for a call that came in or was restored.
func (c *Call) SetAuth(a *sip.Credentials) {
	c.mu.Lock()
	c.auth = a
	c.mu.Unlock()
}

func (c *Call) phaseNow() phase {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown
}

// knowsTag says whether the remote tag belongs to this call. A call that waits for its first response
// knows none.
func (c *Call) knowsTag(tag string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tags[tag]
}

// publish makes what the goroutine knows visible to others.
func (c *Call) publish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snap, c.shown = c.d, c.state
	c.info.Remote = c.d.Remote
	if c.incoming || c.state == phaseActive && c.d.Confirmed {
		c.tags[c.d.RemoteTag] = true
	}
	for tag := range c.forks {
		c.tags[tag] = true
	}
}

// emit tells the owner. After Ended nobody is told anything.
func (c *Call) emit(ev Event) {
	c.publish()
	c.mu.Lock()
	h := c.handler
	c.mu.Unlock()
	if h != nil {
		h(c, ev)
	}
}

// ended tells the owner that the call is over, once.
func (c *Call) ended(ev Ended) {
	if c.state == phaseEnded {
		return
	}
	c.state = phaseEnded
	c.update = nil
	for _, t := range []*timer{c.ringTimer, c.retry, c.refresh, c.expiry} {
		t.stop()
	}
	c.dropReferences()
	c.dropOutbox()
	c.ua.noteEnded(c)
	c.log.Debug("call ended", "cause", ev.Cause.String(), "code", ev.Code, "reason", ev.Reason)
	c.emit(ev)
	c.mu.Lock()
	c.handler = nil
	c.mu.Unlock()
}

// Hangup ends the call whatever it is at: CANCEL, refusal with 480, or BYE. reason is for the far end's
// people and goes into a Reason header; "" sends none.
func (c *Call) Hangup(reason string) {
	c.leave(hangingUp, func() { c.hangup(Ended{Cause: Local, Reason: reason}, reason) })
}

// hangup ends the call from our side and tells ev (as Cancelled, if it was not answered yet).
func (c *Call) hangup(ev Ended, reason string) {
	var headers []gosip.Header
	if reason != "" {
		headers = append(headers, reasonHeader(reason))
	}
	switch c.state {
	case phaseCalling:
		c.invite.tx.Cancel()
		if ev.Cause == Local {
			ev.Cause = Cancelled
		}
	case phaseIncoming:
		c.answerINVITE(480, statusText(480), nil, headers...)
		if ev.Cause == Local {
			ev.Cause, ev.Code = Cancelled, 480
		}
	case phaseAnswering:
		// RFC 3261 §15: the callee must not send BYE before the ACK has come or has timed out.
		c.byeOnAck = append([]gosip.Header{}, headers...)
		c.busy++
	case phaseActive:
		if c.invite != nil {
			c.invite.tx.Cancel()
		}
		c.refuseINVITE()
		c.sendBYE(headers...)
	case phaseEnded:
		return
	}
	c.ended(ev)
}
