package call

import (
	"fmt"

	"parklamp/sip/sdp"
)

// Event is something that has happened to a call; one of the types below.
type Event interface{ event() }

// Ringing says that the far end of an outgoing call sent a provisional response, 180 to 199.
type Ringing struct{ Code int }

// EarlyMedia says that the far end can be heard before it answers. With forked calls the newest counts.
type EarlyMedia struct{ Media sdp.Media }

// Answered says that the call is up, in either direction. For an incoming call it comes when our 200
// has been sent (after the ACK, if the caller left the offer to us).
type Answered struct {
	Media   sdp.Media
	Headers func(name string) string // of the 200; nil for an incoming call
}

// Acked says that the caller has acknowledged our answer: an incoming call is established.
type Acked struct{}

// KeyAgreed says that the far end has a new key: an answer of ours to its offer is about to go, after which it may use it (RFC
// 3264 §6.1: the answerer is prepared then), or its answer has come. MediaChanged follows.
type KeyAgreed struct{ Media sdp.Media }

// MediaChanged says that an offer of either side has been accepted.
type MediaChanged struct{ Media sdp.Media }

// UpdateFailed says that the far end refused our Update; the session is as it was.
type UpdateFailed struct {
	Code   int
	Reason string
}

// IdentityChanged says that there is somebody else at the far end, as Info.Remote does from now on.
type IdentityChanged struct{ Party Party }

// Referred says that the far end asks us to transfer it. The owner must use the Transfer.
type Referred struct{ Transfer *Transfer }

// TransferProgress tells how the far end gets on with our Refer. After Final nothing follows.
type TransferProgress struct {
	Code   int // of the call that the far end makes; 408 without a report, or of the refusal of REFER
	Reason string
	Final  bool
}

// DTMF is a key press that came by INFO: 0-9, *, #, A-D.
type DTMF struct{ Digit byte }

// Ended is the last event of every call.
type Ended struct {
	Cause  Cause
	Code   int    // SIP code where the cause has one, else 0
	Reason string // for people: reason phrase, or text of the Reason header

	Headers func(name string) string // of the response that refused our call (Contact of a 302, Retry-After), else nil
}

func (Ringing) event()          {}
func (EarlyMedia) event()       {}
func (Answered) event()         {}
func (Acked) event()            {}
func (KeyAgreed) event()        {}
func (MediaChanged) event()     {}
func (UpdateFailed) event()     {}
func (IdentityChanged) event()  {}
func (Referred) event()         {}
func (TransferProgress) event() {}
func (DTMF) event()             {}
func (Ended) event()            {}

// Cause says why a call has ended.
type Cause uint8

// The causes of Ended.
const (
	Local       Cause = iota // Hangup of an answered call
	Remote                   // BYE of the far end
	Cancelled                // before the answer: our Hangup, or the caller's CANCEL
	Rejected                 // final response that is no 2xx, theirs or ours
	Timeout                  // nobody answered, or the far end has vanished
	NoAck                    // our answer was never acknowledged
	Unreachable              // the request could not be sent
	Gone                     // the far end knows nothing of the call (481)
	BadMedia                 // the two descriptions do not fit
	Stopped                  // the UA's Run has ended; the dialog may live on at the far end
)

var causes = [...]string{"local", "remote", "cancelled", "rejected", "timeout", "no ack", "unreachable", "gone", "bad media", "stopped"}

// String names the cause for logs.
func (c Cause) String() string {
	if int(c) < len(causes) {
		return causes[c]
	}
	return fmt.Sprintf("cause(%d)", c)
}

// Handler takes the events of a call, one at a time, in order, from the call's own goroutine. It must
// not block; it may call any method of any Call.
type Handler func(c *Call, ev Event)

// Direction says who called.
type Direction uint8

// The two directions.
const (
	Outgoing Direction = iota
	Incoming
)

// String names the direction for logs.
func (d Direction) String() string {
	if d == Incoming {
		return "incoming"
	}
	return "outgoing"
}

// statusText gives the phrase of RFC 3261 §21 for the codes that this package sends by itself.
func statusText(code int) string {
	switch code {
	case 100:
		return "Trying"
	case 180:
		return "Ringing"
	case 181:
		return "Call Is Being Forwarded"
	case 182:
		return "Queued"
	case 183:
		return "Session Progress"
	case 200:
		return "OK"
	case 202:
		return "Accepted"
	case 400:
		return "Bad Request"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 408:
		return "Request Timeout"
	case 415:
		return "Unsupported Media Type"
	case 422:
		return "Session Interval Too Small"
	case 480:
		return "Temporarily Unavailable"
	case 481:
		return "Call/Transaction Does Not Exist"
	case 486:
		return "Busy Here"
	case 487:
		return "Request Terminated"
	case 488:
		return "Not Acceptable Here"
	case 491:
		return "Request Pending"
	case 500:
		return "Server Internal Error"
	case 503:
		return "Service Unavailable"
	case 603:
		return "Decline"
	}
	return "Status " + fmt.Sprint(code)
}

// reader gives the header look-up of a message for people who keep it: it holds the message.
func reader(m message) func(string) string {
	return func(name string) string { return clean(value(m, name)) }
}
