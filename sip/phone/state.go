package phone

// State is what the worker's ear and keys are doing now. Calls that wait in the background (held, being parked with
// the handset down, ringing behind another call) do not show here; View lists them.
type State uint8

// The states. Idle and Ringing are the only ones in which neither handset nor loudspeaker is open.
const (
	Idle         State = iota // nothing is open, nothing rings
	Ringing                   // nothing is open; a caller, a recall or a held call rings
	DialTone                  // open, dial tone, no digit yet
	Dialing                   // open, digits are being collected
	Calling                   // open, an outgoing call is not yet answered
	Talking                   // open, a call is in the ear
	Conferring                // open, two calls are in the ear and hear each other
	Parking                   // open, the park of the call in hand has been asked for
	Fetching                  // open, a parked call has been asked for (also undo)
	Transferring              // open, a transfer has been asked for
	Parked                    // open, "parked on 7 0 1"; Park undoes
	Listing                   // open, the list of parked calls is spoken; Park fetches the oldest
	Failure                   // open, a refusal is told by voice or tone
	Quiet                     // open, silence after a tone that nobody obeyed
	states                    // how many states there are
)

var stateNames = [states]string{"idle", "ringing", "dial-tone", "dialing", "calling", "talking", "conference", "parking", "fetching",
	"transferring", "parked", "listing", "failure", "quiet"}

// String returns the name used in transcripts, the panel and logs, such as "dial-tone".
func (s State) String() string {
	if s >= states {
		return "invalid"
	}
	return stateNames[s]
}

// CallState is where one call is, seen from this phone.
type CallState uint8

// The states of a call.
const (
	CallRinging      CallState = iota // incoming, not answered; the caller hears ringing
	CallDialing                       // outgoing, nothing heard from the far end yet
	CallAlerting                      // outgoing, the far end rings
	CallEarly                         // outgoing, the far end sends audio before it answers
	CallTalking                       // answered and in the ear, alone or in a conference
	CallHeld                          // answered, held by this phone, hears music
	CallParking                       // a park was asked for; hears the worker, or music when the handset is down
	CallFetching                      // asked for from parkd, not here yet
	CallReturning                     // a fetch was given up; should it arrive all the same, it is parked again
	CallTransferring                  // a transfer was asked for; here until that has succeeded
	CallEnding                        // hung up or rejected by this phone, its end not yet reported
	callStates                        // how many there are
)

var callStateNames = [callStates]string{"ringing", "dialing", "alerting", "early", "talking", "held", "parking", "fetching",
	"returning", "transferring", "ending"}

// String returns the name used in transcripts, the panel and logs, such as "held".
func (s CallState) String() string {
	if s >= callStates {
		return "invalid"
	}
	return callStateNames[s]
}

// Path is the pair of microphone and loudspeaker that the worker uses.
type Path uint8

// The paths.
const (
	PathNone    Path = iota // both are off
	PathHandset             // the handset
	PathSpeaker             // hands-free
)

// String returns "none", "handset" or "speaker".
func (p Path) String() string {
	switch p {
	case PathNone:
		return "none"
	case PathHandset:
		return "handset"
	case PathSpeaker:
		return "speaker"
	}
	return "invalid"
}

// ToneKind names a tone of the country table (ITU-T E.180); the machine knows meanings, not frequencies.
type ToneKind string

// The tones. The first five last until something else is heard; the others are short signals for Beep.
const (
	ToneNone     ToneKind = ""
	ToneDial     ToneKind = "dial"
	ToneRingback ToneKind = "ringback"
	ToneBusy     ToneKind = "busy"
	ToneReorder  ToneKind = "reorder"  // congestion: it could not be done
	ToneConfirm  ToneKind = "confirm"  // done
	ToneError    ToneKind = "error"    // this key does nothing now
	ToneReminder ToneKind = "reminder" // a call is still held
)

// RingKind is how a call makes itself heard.
type RingKind string

// The rings. The two waiting kinds are soft and mixed into the open path; the others use the ringer.
const (
	RingNone          RingKind = ""
	RingNormal        RingKind = "normal"
	RingRecall        RingKind = "recall"         // a parked call comes back to its parker
	RingReminder      RingKind = "reminder"       // a held call after the handset went down
	RingWaiting       RingKind = "waiting"        // a second call
	RingRecallWaiting RingKind = "recall-waiting" // a parked call comes back during another call
)

// Prompt is a spoken sentence.
type Prompt string

// The prompts.
const (
	PromptNone     Prompt = ""
	PromptParkedOn Prompt = "parked-on"     // "parked on 7 0 1"
	PromptTaken    Prompt = "taken"         // the orbit has another call; the worker's is still here
	PromptLost     Prompt = "lost"          // somebody else was faster to fetch the call
	PromptFull     Prompt = "full"          // no orbit is free
	PromptEmpty    Prompt = "empty"         // nobody is parked there
	PromptNoOrbit  Prompt = "no-such-orbit" // the number is not an orbit
	PromptUnknown  Prompt = "unknown"       // the orbit's host cannot be reached
)

// Reason says why a park or a fetch was refused.
type Reason string

// The reasons. An unlisted one is treated as ReasonUnknown.
const (
	ReasonTaken       Reason = "taken"
	ReasonFull        Reason = "full"
	ReasonEmpty       Reason = "empty"
	ReasonNoSuchOrbit Reason = "no-such-orbit"
	ReasonEmergency   Reason = "emergency"
	ReasonLost        Reason = "lost" // somebody else was faster
	ReasonUnknown     Reason = "unknown"
	ReasonTimeout     Reason = "timeout"
)

// OrbitState is what the lamp of an orbit key showed at the moment of the press.
type OrbitState uint8

// The states of an orbit, as far as a key press cares.
const (
	OrbitFree    OrbitState = iota // dark
	OrbitTaken                     // lit or flashing: somebody is parked there
	OrbitUnknown                   // amber: its host is not reachable
)

// String returns "free", "taken" or "unknown".
func (s OrbitState) String() string {
	switch s {
	case OrbitFree:
		return "free"
	case OrbitTaken:
		return "taken"
	case OrbitUnknown:
		return "unknown"
	}
	return "invalid"
}

// TimerKind says what a timer is for.
type TimerKind uint8

// The timers. Only TimerCall exists once for each call.
const (
	TimerState    TimerKind = iota // the state has lasted long enough (dial tone, digits, prompts, failure tones)
	TimerReminder                  // a held call is waiting
	TimerCall                      // a park, fetch or transfer has not been answered
)

// String returns "state", "reminder" or "call".
func (k TimerKind) String() string {
	switch k {
	case TimerState:
		return "state"
	case TimerReminder:
		return "reminder"
	case TimerCall:
		return "call"
	}
	return "invalid"
}

// TimerID names a timer; it is comparable, so that the owner of the clocks can use it as a map key.
type TimerID struct {
	Kind TimerKind
	Call CallID // set for TimerCall only
}

// String returns "state", "reminder" or "call:<id>".
func (t TimerID) String() string {
	if t.Kind == TimerCall {
		return t.Kind.String() + ":" + string(t.Call)
	}
	return t.Kind.String()
}
