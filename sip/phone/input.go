package phone

import (
	"fmt"
	"strconv"
	"strings"
)

// CallID names a call between the machine and its owner. The machine names the calls that it starts ("p1", "p2", …);
// the owner names incoming calls and must not use that form, nor a name that is still in View.
type CallID string

// Key is a key with a fixed meaning; digits and orbit keys have inputs of their own.
type Key string

// The keys. The names are those of the board's key definitions.
const (
	KeyPark       Key = "park"
	KeyHold       Key = "hold"
	KeyTransfer   Key = "transfer"
	KeyConference Key = "conference"
	KeyRedial     Key = "redial"
	KeyMute       Key = "mute"
	KeyDND        Key = "dnd"
	KeySpeaker    Key = "speaker"
	KeyVolumeUp   Key = "volume-up"
	KeyVolumeDown Key = "volume-down"
)

// Input is one thing that happened: a key, a hook, a timer, or news of a call. String gives the transcript form.
type Input interface {
	fmt.Stringer
	input()
}

// The worker's inputs.
type (
	// Hook reports the handset: up when lifted.
	Hook struct{ Up bool }

	// Digit is one key of the dial pad: '0' to '9', '*' or '#'. Any other byte is ignored.
	Digit struct{ Digit byte }

	// KeyDown is a press of a function key.
	KeyDown struct{ Key Key }

	// Orbit is a press of an orbit key: either the short press (sent when the key comes up before the long-press
	// time) or the long one, never both for one press.
	Orbit struct {
		Number string
		State  OrbitState // as the lamp showed it
		Long   bool
	}
)

// News of calls, from sip/call.
type (
	// Incoming is a new call that is to ring here. The owner has not answered it.
	Incoming struct {
		Call       CallID
		From       string // number of the caller; for a recall the parked caller, never the parking service
		Name       string
		Recall     bool   // a parked call comes back to its parker
		Orbit      string // of a recall: where it was parked
		AutoAnswer bool   // intercom or page: open the loudspeaker if the phone is at rest
		Emergency  bool   // the emergency service calls back (RFC 7090): rings in spite of do-not-disturb
	}

	// Progress is a provisional response to an outgoing call. Early says that its audio is to be heard instead of
	// our own ringback tone.
	Progress struct {
		Call  CallID
		Early bool
	}

	// Answered says that the far end has answered an outgoing call.
	Answered struct{ Call CallID }

	// Failed ends an outgoing call before it was answered. Code is the SIP status, 0 if there was none.
	Failed struct {
		Call CallID
		Code int
	}

	// Ended says that a call is over, for whatever reason, including a HangUp or Reject effect of this machine.
	Ended struct{ Call CallID }

	// RemoteHold says that the far end has put this phone on hold, or has taken it back.
	RemoteHold struct {
		Call CallID
		Held bool
	}

	// Identity is a new name of the far end: P-Asserted-Identity in an UPDATE or re-INVITE, or a dialog that took the
	// place of another (RFC 3891), which keeps its CallID here.
	Identity struct {
		Call CallID
		From string
		Name string
	}

	// Referred is a transfer asked for by the far end (RFC 3515). It is answered by Follow or RefuseTransfer.
	Referred struct{ Call CallID }

	// TransferProgress reports a transfer that this machine has asked for. Code is the SIP status of the
	// transferred call (or of the REFER itself); Final is set once, on the last report.
	TransferProgress struct {
		Call  CallID
		Code  int
		Final bool
	}
)

// News from parkd.
type (
	// ParkCommitted says that parkd owns the call now. It is the answer to Park.
	ParkCommitted struct {
		Call  CallID
		Orbit string
	}

	// ParkRefused says that the call stays with the phone. It is the answer to Park.
	ParkRefused struct {
		Call   CallID
		Orbit  string
		Reason Reason
	}

	// Fetched says that the caller has been handed to the phone. It is the answer to Fetch and UndoPark.
	Fetched struct {
		Call  CallID
		Orbit string // where it was
		From  string
		Name  string
	}

	// FetchRefused is the other answer to Fetch and UndoPark.
	FetchRefused struct {
		Call   CallID
		Orbit  string
		Reason Reason
	}
)

// News from the owner of the clocks and of the audio.
type (
	// Timer says that a timer set by SetTimer is due. One that was stopped or set anew in the meantime is
	// recognised and ignored.
	Timer struct{ ID TimerID }

	// Spoken says that the last Say or ListParked has been spoken to its end.
	Spoken struct{}
)

func (Hook) input()             {}
func (Digit) input()            {}
func (KeyDown) input()          {}
func (Orbit) input()            {}
func (Incoming) input()         {}
func (Progress) input()         {}
func (Answered) input()         {}
func (Failed) input()           {}
func (Ended) input()            {}
func (RemoteHold) input()       {}
func (Identity) input()         {}
func (Referred) input()         {}
func (TransferProgress) input() {}
func (ParkCommitted) input()    {}
func (ParkRefused) input()      {}
func (Fetched) input()          {}
func (FetchRefused) input()     {}
func (Timer) input()            {}
func (Spoken) input()           {}

// String returns "hook up" or "hook down".
func (i Hook) String() string {
	if i.Up {
		return "hook up"
	}
	return "hook down"
}

// String returns "digit 7".
func (i Digit) String() string { return "digit " + string(rune(i.Digit)) }

// String returns "key park".
func (i KeyDown) String() string { return "key " + string(i.Key) }

// String returns "orbit 701 taken", with "long" after a long press.
func (i Orbit) String() string {
	return words("orbit", i.Number, i.State.String(), mark(i.Long, "long"))
}

// String returns "incoming c1 from=… name=…" and the flags that are set.
func (i Incoming) String() string {
	return words("incoming", string(i.Call), party(i.From, i.Name), mark(i.Recall, "recall"), field("orbit", i.Orbit),
		mark(i.AutoAnswer, "auto-answer"), mark(i.Emergency, "emergency"))
}

// String returns "progress p1 ringing" or "progress p1 early".
func (i Progress) String() string {
	if i.Early {
		return words("progress", string(i.Call), "early")
	}
	return words("progress", string(i.Call), "ringing")
}

// String returns "answered p1".
func (i Answered) String() string { return words("answered", string(i.Call)) }

// String returns "failed p1 486".
func (i Failed) String() string { return words("failed", string(i.Call), strconv.Itoa(i.Code)) }

// String returns "ended p1".
func (i Ended) String() string { return words("ended", string(i.Call)) }

// String returns "remote-hold c1 on" or "remote-hold c1 off".
func (i RemoteHold) String() string { return words("remote-hold", string(i.Call), onOff(i.Held)) }

// String returns "identity c1 from=… name=…".
func (i Identity) String() string { return words("identity", string(i.Call), party(i.From, i.Name)) }

// String returns "referred c1".
func (i Referred) String() string { return words("referred", string(i.Call)) }

// String returns "transfer-progress c1 200 final".
func (i TransferProgress) String() string {
	return words("transfer-progress", string(i.Call), strconv.Itoa(i.Code), mark(i.Final, "final"))
}

// String returns "park-committed c1 701".
func (i ParkCommitted) String() string { return words("park-committed", string(i.Call), i.Orbit) }

// String returns "park-refused c1 taken orbit=701".
func (i ParkRefused) String() string {
	return words("park-refused", string(i.Call), string(i.Reason), field("orbit", i.Orbit))
}

// String returns "fetched p1 orbit=701 from=… name=…".
func (i Fetched) String() string {
	return words("fetched", string(i.Call), field("orbit", i.Orbit), party(i.From, i.Name))
}

// String returns "fetch-refused p1 empty orbit=701".
func (i FetchRefused) String() string {
	return words("fetch-refused", string(i.Call), string(i.Reason), field("orbit", i.Orbit))
}

// String returns "timer state".
func (i Timer) String() string { return words("timer", i.ID.String()) }

// String returns "spoken".
func (Spoken) String() string { return "spoken" }

// words joins the parts that are not empty with single spaces.
func words(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		if p == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p)
	}
	return b.String()
}

// field returns key=value, quoted where a transcript could not read it back, or nothing without a value.
func field(key, value string) string {
	if value == "" {
		return ""
	}
	if strings.ContainsAny(value, " \"\\=\t\r\n") {
		value = strconv.Quote(value)
	}
	return key + "=" + value
}

func party(number, name string) string { return words(field("from", number), field("name", name)) }

func mark(set bool, name string) string {
	if set {
		return name
	}
	return ""
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
