package reg

import (
	"errors"
	"fmt"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// State is where an account is.
type State int

// The states of an account. It stays Failed while it is tried again.
const (
	Trying State = iota // for the first time
	Registered
	Failed
	Unregistered // Run has ended
)

func (s State) String() string {
	switch s {
	case Trying:
		return "trying"
	case Registered:
		return "registered"
	case Failed:
		return "failed"
	case Unregistered:
		return "unregistered"
	}
	return fmt.Sprintf("state %d", int(s))
}

// Status is what OnState hears. It is a copy.
type Status struct {
	AOR          string
	State        State
	Since        time.Time   // of the State
	Code         int         // Failed: the registrar's answer, 0 when there was none
	Reason       string      // Failed: what happened
	Hint         string      // Failed: what a person can do about it
	Expires      time.Time   // Registered: when the registration ends unless refreshed
	Retry        time.Time   // Failed: when it is tried again
	Contact      gosip.Uri   // as registered
	ServiceRoute []gosip.Uri // RFC 3608: the way for requests of this account
}

// failure is a registration that did not work.
type failure struct {
	code         int
	reason, hint string
	after        time.Duration // the registrar's Retry-After, 0 if none
	slow         bool          // somebody has to change something first
}

func explainError(err error, registrar string) failure {
	switch {
	case errors.Is(err, sip.ErrUnresolvable):
		return failure{reason: "the registrar " + registrar + " has no address",
			hint: "check the name in registrar and the DNS server of this network"}
	case errors.Is(err, sip.ErrTimeout):
		return failure{reason: "the registrar " + registrar + " does not answer",
			hint: "check the cable, the address in registrar, and firewalls between"}
	case errors.Is(err, sip.ErrTransport):
		return failure{reason: "the registrar " + registrar + " cannot be reached: " + err.Error(),
			hint: "check the address, port and transport of the account"}
	}
	return failure{reason: err.Error(), hint: "see the log of this appliance"}
}

func explainResponse(code int, reason string, hasPassword bool) failure {
	f := failure{code: code, reason: fmt.Sprintf("the registrar answered %d %s", code, reason)}
	switch {
	case (code == 401 || code == 407) && !hasPassword:
		f.hint, f.slow = "the registrar wants a password: set password_file", true
	case code == 401 || code == 407:
		f.hint, f.slow = "user name or password is wrong: check username and password_file", true
	case code == 403:
		f.hint, f.slow = "the registrar forbids it: check username, password_file, and that the account is enabled there", true
	case code == 404 || code == 604:
		f.hint, f.slow = "the registrar does not know this aor: check its spelling", true
	case code == 408 || code >= 500 && code < 600:
		f.hint = "the registrar has a problem of its own; it is tried again"
	case code >= 300 && code < 400:
		f.hint, f.slow = "the registrar has moved: set registrar to its new address", true
	default:
		f.hint, f.slow = "check the account at the registrar", true
	}
	return f
}
