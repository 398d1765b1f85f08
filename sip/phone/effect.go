package phone

import (
	"fmt"
	"strconv"
	"time"
)

// Effect is one thing that the owner of the machine is to do, in the order of the slice. String gives the transcript
// form. No effect may be answered by a nested Step: answers are queued as inputs.
type Effect interface {
	fmt.Stringer
	effect()
}

// What is to be done with calls.
type (
	// Dial starts an outgoing call. It is answered by Progress, Answered or Failed.
	Dial struct {
		Call      CallID
		Number    string // as dialled, without the closing #
		Emergency bool   // goes before everything else and never to parkd
	}

	// Answer accepts an incoming call (200). No answer is expected; should the call be gone already, Ended follows.
	Answer struct{ Call CallID }

	// Reject refuses an incoming call. Ended is expected.
	Reject struct {
		Call CallID
		Code int // SIP status
	}

	// HangUp ends a call in whatever state it is: CANCEL or BYE. Ended is expected.
	HangUp struct{ Call CallID }

	// Hold tells the far end that it is on hold and plays music to it.
	Hold struct{ Call CallID }

	// Resume takes a call off hold. Connect follows.
	Resume struct{ Call CallID }

	// Music plays music to a call from the next frame on, without any SIP: the worker has let go of it.
	Music struct{ Call CallID }

	// SendDTMF sends one digit to the far end (RFC 4733).
	SendDTMF struct {
		Call  CallID
		Digit byte
	}

	// BlindTransfer asks the far end of Call to call Target (RFC 3515), answered by TransferProgress. The call
	// stays here until that is final.
	BlindTransfer struct {
		Call   CallID
		Target string
	}

	// AttendedTransfer asks the far end of Call to replace this phone in its call To (REFER with Replaces,
	// RFC 5589 §7), answered by TransferProgress for Call. Both calls stay here until that is final.
	AttendedTransfer struct{ Call, To CallID }

	// Follow obeys a transfer asked for by the far end of Referrer: the owner calls the target of that REFER under
	// the name Call, and reports its progress to the far end. Answered like Dial.
	Follow struct{ Call, Referrer CallID }

	// RefuseTransfer answers a REFER with an error.
	RefuseTransfer struct {
		Call CallID
		Code int
	}
)

// What is to be asked of parkd.
type (
	// Park asks parkd to take over a call, answered by ParkCommitted or ParkRefused. The call stays with the phone
	// until then.
	Park struct {
		Call  CallID
		Orbit string // "" for the lowest that is free
	}

	// Fetch asks parkd for a parked call, answered by Fetched or FetchRefused with the same Call.
	Fetch struct {
		Call  CallID // the name that the call will have here
		Orbit string // "" for the call that has waited longest
	}

	// UndoPark asks for the call back that this phone has just parked, answered like Fetch.
	UndoPark struct {
		Call  CallID
		Orbit string
	}

	// CancelFetch gives up a Fetch or UndoPark: the handset went down. It is answered like Fetch all the same; a
	// call that had already been handed over arrives by Fetched and is parked again at once.
	CancelFetch struct{ Call CallID }

	// ListParked speaks the parked calls, oldest first, on the open path. Spoken follows its end. ToneStop ends it.
	ListParked struct{}

	// Page calls people to an orbit: "call on 7 0 3".
	Page struct{ Orbit string }
)

// What is to be heard.
type (
	// Open selects the microphone and loudspeaker in use; PathNone switches both off.
	Open struct{ Path Path }

	// Connect joins the open path with the audio of a call, in place of the one before; with an empty Call it is
	// joined with none. With With, the two calls and the open path hear each other. It says nothing about what a call
	// that was let go hears: Hold, Music, HangUp or parkd do.
	Connect struct{ Call, With CallID }

	// Tone plays a lasting tone on the open path until ToneStop.
	Tone struct{ Kind ToneKind }

	// ToneStop ends Tone, Say and ListParked.
	ToneStop struct{}

	// Say speaks a prompt on the open path, then plays the tone Then (if any) until ToneStop. Spoken follows its end.
	Say struct {
		Prompt Prompt
		Orbit  string // "" if the prompt names none
		Then   ToneKind
	}

	// Beep mixes a signal over whatever the worker hears, and only the worker, for the time given; the call under it
	// goes on. With PathNone it comes from the loudspeaker.
	Beep struct {
		Kind ToneKind
		For  time.Duration
	}

	// Whisper speaks a prompt over whatever the worker hears, and only to the worker; the call under it goes on. It
	// comes for a park that ends while the worker does something else.
	Whisper struct {
		Prompt Prompt
		Orbit  string
	}

	// RingStart rings for a call until RingStop, or until the next RingStart.
	RingStart struct {
		Kind RingKind
		Call CallID
	}

	// RingStop ends the ring.
	RingStop struct{}

	// Mute cuts the microphone, or opens it again.
	Mute struct{ On bool }

	// Volume is a new level, 0 (quietest) to MaxVolume, of the ringer or of the open path.
	Volume struct {
		Ringer bool
		Level  int
	}
)

// What is to be shown, timed and counted.
type (
	// Show names the far end of a call to whoever watches (panel, display).
	Show struct {
		Call CallID
		From string
		Name string
		Note string // such as "recall 701", "fetched 701" or "on hold by far end"; may be empty
	}

	// DoNotDisturb is the new setting, for its lamp.
	DoNotDisturb struct{ On bool }

	// SetTimer asks for Timer{ID} after the time given; a timer of that ID that runs is replaced.
	SetTimer struct {
		ID    TimerID
		After time.Duration
	}

	// StopTimer takes SetTimer back.
	StopTimer struct{ ID TimerID }

	// Ignored says that an input means nothing in this state. The owner counts it.
	Ignored struct {
		State State
		Input Input
	}
)

func (Dial) effect()             {}
func (Answer) effect()           {}
func (Reject) effect()           {}
func (HangUp) effect()           {}
func (Hold) effect()             {}
func (Resume) effect()           {}
func (Music) effect()            {}
func (SendDTMF) effect()         {}
func (BlindTransfer) effect()    {}
func (AttendedTransfer) effect() {}
func (Follow) effect()           {}
func (RefuseTransfer) effect()   {}
func (Park) effect()             {}
func (Fetch) effect()            {}
func (UndoPark) effect()         {}
func (CancelFetch) effect()      {}
func (ListParked) effect()       {}
func (Page) effect()             {}
func (Open) effect()             {}
func (Connect) effect()          {}
func (Tone) effect()             {}
func (ToneStop) effect()         {}
func (Say) effect()              {}
func (Beep) effect()             {}
func (Whisper) effect()          {}
func (RingStart) effect()        {}
func (RingStop) effect()         {}
func (Mute) effect()             {}
func (Volume) effect()           {}
func (Show) effect()             {}
func (DoNotDisturb) effect()     {}
func (SetTimer) effect()         {}
func (StopTimer) effect()        {}
func (Ignored) effect()          {}

// String returns "dial p1 204", with "emergency" where it is one.
func (e Dial) String() string {
	return words("dial", string(e.Call), e.Number, mark(e.Emergency, "emergency"))
}

// String returns "answer c1".
func (e Answer) String() string { return words("answer", string(e.Call)) }

// String returns "reject c1 486".
func (e Reject) String() string { return words("reject", string(e.Call), strconv.Itoa(e.Code)) }

// String returns "hang-up c1".
func (e HangUp) String() string { return words("hang-up", string(e.Call)) }

// String returns "hold c1".
func (e Hold) String() string { return words("hold", string(e.Call)) }

// String returns "resume c1".
func (e Resume) String() string { return words("resume", string(e.Call)) }

// String returns "music c1".
func (e Music) String() string { return words("music", string(e.Call)) }

// String returns "send-dtmf c1 5".
func (e SendDTMF) String() string { return words("send-dtmf", string(e.Call), string(rune(e.Digit))) }

// String returns "blind-transfer c1 204".
func (e BlindTransfer) String() string { return words("blind-transfer", string(e.Call), e.Target) }

// String returns "attended-transfer c1 to=p1".
func (e AttendedTransfer) String() string {
	return words("attended-transfer", string(e.Call), field("to", string(e.To)))
}

// String returns "follow p1 referrer=c1".
func (e Follow) String() string {
	return words("follow", string(e.Call), field("referrer", string(e.Referrer)))
}

// String returns "refuse-transfer c1 603".
func (e RefuseTransfer) String() string {
	return words("refuse-transfer", string(e.Call), strconv.Itoa(e.Code))
}

// String returns "park c1 701" or "park c1 lowest".
func (e Park) String() string { return words("park", string(e.Call), orElse(e.Orbit, "lowest")) }

// String returns "fetch p1 701" or "fetch p1 oldest".
func (e Fetch) String() string { return words("fetch", string(e.Call), orElse(e.Orbit, "oldest")) }

// String returns "undo-park p1 701".
func (e UndoPark) String() string { return words("undo-park", string(e.Call), e.Orbit) }

// String returns "cancel-fetch p1".
func (e CancelFetch) String() string { return words("cancel-fetch", string(e.Call)) }

// String returns "list-parked".
func (ListParked) String() string { return "list-parked" }

// String returns "page 703".
func (e Page) String() string { return words("page", e.Orbit) }

// String returns "open handset".
func (e Open) String() string { return words("open", e.Path.String()) }

// String returns "connect c1", "connect c1 with=p1" or "connect nothing".
func (e Connect) String() string {
	return words("connect", orElse(string(e.Call), "nothing"), field("with", string(e.With)))
}

// String returns "tone dial".
func (e Tone) String() string { return words("tone", string(e.Kind)) }

// String returns "tone-stop".
func (ToneStop) String() string { return "tone-stop" }

// String returns "say parked-on 701", with "then=busy" where a tone follows.
func (e Say) String() string {
	return words("say", string(e.Prompt), e.Orbit, field("then", string(e.Then)))
}

// String returns "beep busy 2s".
func (e Beep) String() string { return words("beep", string(e.Kind), e.For.String()) }

// String returns "whisper parked-on 701".
func (e Whisper) String() string { return words("whisper", string(e.Prompt), e.Orbit) }

// String returns "ring-start recall c1".
func (e RingStart) String() string { return words("ring-start", string(e.Kind), string(e.Call)) }

// String returns "ring-stop".
func (RingStop) String() string { return "ring-stop" }

// String returns "mute on" or "mute off".
func (e Mute) String() string { return words("mute", onOff(e.On)) }

// String returns "volume ringer 5" or "volume voice 5".
func (e Volume) String() string {
	if e.Ringer {
		return words("volume ringer", strconv.Itoa(e.Level))
	}
	return words("volume voice", strconv.Itoa(e.Level))
}

// String returns "show c1 from=… name=… note=…".
func (e Show) String() string {
	return words("show", string(e.Call), party(e.From, e.Name), field("note", e.Note))
}

// String returns "do-not-disturb on" or "do-not-disturb off".
func (e DoNotDisturb) String() string { return words("do-not-disturb", onOff(e.On)) }

// String returns "set-timer state 5s".
func (e SetTimer) String() string { return words("set-timer", e.ID.String(), e.After.String()) }

// String returns "stop-timer state".
func (e StopTimer) String() string { return words("stop-timer", e.ID.String()) }

// String returns "ignored talking: key redial".
func (e Ignored) String() string { return "ignored " + e.State.String() + ": " + e.Input.String() }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
