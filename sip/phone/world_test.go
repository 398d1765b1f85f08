package phone

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// far is one call as the world around the phone knows it.
type far struct {
	id        CallID
	answered  bool
	fetching  bool // asked of parkd, not answered
	parking   int  // parks asked and not answered
	transfer  bool // a REFER is out
	emergency bool
	recall    bool
	tried     time.Time // emergency: when the worker first tried to hang up
	hears     string    // "ear", "hold", "music" or, until told, ""
	over      bool      // by the far end, by the phone, or parkd has it
	reported  bool      // Ended or Failed was sent
}

// world answers the phone as sip/call, parkd and the clocks may, in any order, and checks after each step what must
// always hold.
type world struct {
	*bench
	t       *rapid.T
	calls   []*far
	byID    map[CallID]*far
	path    Path
	ear     CallID
	ring    RingKind
	sound   bool
	with    CallID // in a conference: the other call in the ear
	muted   bool
	dnd     bool
	nextID  int
	state   State // before the step
	steps   map[step]bool
	history []string
}

func newWorld(t *rapid.T, documented map[step]bool) *world {
	cfg := testConfig()
	cfg.ConferenceJoin = rapid.Bool().Draw(t, "conference join")
	return &world{bench: newBench(cfg), t: t, byID: make(map[CallID]*far), steps: documented}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(w.history, "\n"))
}

// input steps the machine and checks.
func (w *world) input(in Input) []Effect {
	out := w.bench.step(in)
	w.record(in, out)
	return out
}

func (w *world) pass(d time.Duration) { w.bench.wait(d, w.record) }

func (w *world) record(in Input, out []Effect) {
	w.history = append(w.history, "> "+in.String())
	closed := w.path == PathNone
	for _, e := range out {
		w.history = append(w.history, "  "+e.String())
		w.apply(in, e)
	}
	w.checkHangUp(in, out)
	if !closed && w.path == PathNone && w.ring == RingNone {
		for _, c := range w.m.View().Calls {
			if c.State == CallHeld {
				w.fail("%s is held, the handset went down, and nothing rings", c.Call)
			}
		}
	}
	w.history = append(w.history, "= "+w.m.state.String())
	if s := (step{w.state, w.m.state}); s.from != s.to && !w.steps[s] {
		w.fail("%v -> %v is not in the package comment", s.from, s.to)
	}
	w.state = w.m.state
	w.check()
}

// add starts a call that the machine has named.
func (w *world) add(id CallID) *far {
	if w.byID[id] != nil {
		w.fail("name %s given twice", id)
	}
	c := &far{id: id}
	w.byID[id] = c
	w.calls = append(w.calls, c)
	return c
}

// known returns a call that an effect is about; it must be alive.
func (w *world) known(id CallID, e Effect) *far {
	c := w.byID[id]
	if c == nil {
		w.fail("%v is about an unknown call", e)
	}
	if c.over {
		if _, again := e.(HangUp); !again {
			w.fail("%v is about a call that is over", e)
		}
	}
	return c
}

func (w *world) apply(in Input, e Effect) {
	switch e := e.(type) {
	case Dial:
		w.add(e.Call).emergency = e.Emergency
	case Follow:
		w.known(e.Referrer, e)
		w.add(e.Call)
	case Fetch:
		w.add(e.Call).fetching = true
	case UndoPark:
		w.add(e.Call).fetching = true
	case CancelFetch:
		if !w.known(e.Call, e).fetching {
			w.fail("%v without a fetch", e)
		}
	case Answer:
		w.known(e.Call, e).answered = true
	case Reject:
		c := w.known(e.Call, e)
		if c.answered {
			w.fail("%v of an answered call", e)
		}
		c.over = true
	case HangUp:
		w.hangUp(in, e)
	case Hold:
		w.hears(e.Call, e, "hold")
	case Music:
		w.hears(e.Call, e, "music")
	case Resume:
		w.hears(e.Call, e, "")
	case Park:
		w.known(e.Call, e).parking++
		if c := w.byID[e.Call]; !c.answered || c.emergency || c.parking > 1 {
			w.fail("%v: answered %v, emergency %v", e, c.answered, c.emergency)
		}
	case BlindTransfer:
		w.known(e.Call, e).transfer = true
	case AttendedTransfer:
		w.known(e.Call, e).transfer = true
		if !w.known(e.To, e).answered {
			w.fail("%v to a call that is not answered", e)
		}
	case SendDTMF:
		if id := w.known(e.Call, e).id; id != w.ear && id != w.with {
			w.fail("%v goes to a call that is not heard", e)
		}
	case Connect:
		w.connect(e)
	case Open:
		w.path = e.Path
	case Tone, Say, ListParked:
		if w.sound || w.ear != "" {
			w.fail("%v over another sound or call", e)
		}
		w.sound = true
	case ToneStop:
		if !w.sound {
			w.fail("tone-stop without a tone")
		}
		w.sound = false
	case RingStart:
		w.ring = e.Kind
		if c := w.known(e.Call, e); c.recall && !c.answered && e.Kind != RingRecall && e.Kind != RingRecallWaiting {
			w.fail("%v of a recall", e)
		}
	case RingStop:
		if w.ring == RingNone {
			w.fail("ring-stop without a ring")
		}
		w.ring = RingNone
	case Mute:
		w.muted = e.On
	case DoNotDisturb:
		w.dnd = e.On
	}
}

// hears notes what a call that was let go hears. An emergency call is never let go.
func (w *world) hears(id CallID, e Effect, what string) {
	c := w.known(id, e)
	if !c.answered || c.emergency {
		w.fail("%v: answered %v, emergency %v", e, c.answered, c.emergency)
	}
	c.hears = what
}

func (w *world) connect(e Connect) {
	before := [2]CallID{w.ear, w.with}
	for _, id := range before {
		if old := w.byID[id]; old != nil && old.hears == "ear" {
			old.hears = ""
		}
	}
	w.ear, w.with = e.Call, e.With
	for _, id := range [2]CallID{e.Call, e.With} {
		if id == "" {
			continue
		}
		c := w.known(id, e)
		c.hears = "ear"
		if w.muted && id != before[0] && id != before[1] {
			w.fail("%v: the microphone is still muted", e)
		}
		if e.With != "" && (!c.answered || c.emergency || c.parking > 0 || e.Call == e.With) {
			w.fail("%v: answered %v, emergency %v, parks %d", e, c.answered, c.emergency, c.parking)
		}
	}
}

// hangUp: a call ends here by the worker's hand only, or because a transfer has succeeded.
func (w *world) hangUp(in Input, e HangUp) {
	c := w.known(e.Call, e)
	meant := false
	switch in := in.(type) {
	case Hook:
		meant = !in.Up
	case KeyDown:
		meant = in.Key == KeySpeaker || !c.answered && (in.Key == KeyHold || in.Key == KeyTransfer)
	case Digit:
		meant = !c.answered // makes room for an emergency call
	case TransferProgress:
		meant = in.Final && in.Code/100 == 2
	case Answered:
		meant = c.over // crossed the hanging up
	}
	if !meant {
		w.fail("%v after %v", e, in)
	}
	if c.emergency && c.tried.IsZero() && !c.over {
		w.fail("%v: an emergency call ends by one act", e)
	}
	c.over = true
}

// checkHangUp: an emergency call takes two acts in a short time, and an answer that crosses a hanging up is hung up.
func (w *world) checkHangUp(in Input, out []Effect) {
	act := false
	switch in := in.(type) {
	case Hook:
		act = !in.Up
	case KeyDown:
		act = in.Key == KeySpeaker
	case Answered:
		if c := w.byID[in.Call]; c.over && !c.reported && (len(out) == 0 || out[0] != Effect(HangUp{c.id})) {
			w.fail("%v is left connected", in)
		}
	}
	for _, c := range w.calls {
		if !c.emergency || c.over {
			continue
		}
		if act {
			c.tried = w.now
		} else if w.now.Sub(c.tried) > testConfig().EmergencyHangUp {
			c.tried = time.Time{}
		}
	}
}

// find returns the state of a call in the view, or callStates if it is not there.
func (w *world) find(id CallID) CallState {
	for _, c := range w.m.View().Calls {
		if c.Call == id {
			return c.State
		}
	}
	return callStates
}

// handStates has the states that the call in hand may have in each state of the phone; callStates is none.
var handStates = [states]map[CallState]bool{
	Idle: {callStates: true}, Ringing: {callStates: true}, DialTone: {callStates: true}, Dialing: {callStates: true},
	Calling: {CallDialing: true, CallAlerting: true, CallEarly: true}, Talking: {CallTalking: true},
	Conferring: {CallTalking: true},
	Parking:    {CallParking: true}, Fetching: {CallFetching: true}, Transferring: {CallTransferring: true},
	Parked: {callStates: true}, Listing: {callStates: true}, Failure: {callStates: true}, Quiet: {callStates: true},
}

// check tests what the package comment promises.
func (w *world) check() {
	v := w.m.View()
	held, ringing, emergency := false, false, false
	transferring := 0 // followers less leaders: each leader has a timer and at most one follower
	for _, c := range w.calls {
		s := w.find(c.id)
		if c.over {
			if s != callStates && s != CallEnding {
				w.fail("%s is over but %v", c.id, s)
			}
			continue
		}
		if s == callStates || s == CallEnding {
			w.fail("%s is lost", c.id)
		}
		if c.answered && (c.hears == "" || c.hears == "ear" && w.ear != c.id && w.with != c.id) {
			w.fail("%s (%v) hears nothing", c.id, s)
		}
		if s == CallHeld && c.hears != "hold" {
			w.fail("%s is held and hears %q", c.id, c.hears)
		}
		if (s == CallParking) && c.parking == 0 {
			w.fail("%s waits for a park that nobody answers", c.id)
		}
		_, timed := w.timers[TimerID{TimerCall, c.id}]
		switch {
		case s == CallParking || s == CallFetching:
			if !timed {
				w.fail("%s (%v) waits without a timer", c.id, s)
			}
		case s == CallTransferring:
			transferring++
			if timed {
				transferring -= 2
			}
		case timed:
			w.fail("%s (%v) has a timer", c.id, s)
		}
		held = held || s == CallHeld
		ringing = ringing || s == CallRinging
		emergency = emergency || c.emergency
	}
	if transferring > 0 {
		w.fail("a call waits for a transfer that is over")
	}
	for _, c := range v.Calls {
		if w.byID[c.Call] == nil {
			w.fail("%s in the view was never there", c.Call)
		}
	}
	if v.Path != w.path || v.Ear != w.ear || v.With != w.with || v.Ring != w.ring || v.Muted != w.muted || v.DoNotDisturb != w.dnd {
		w.fail("the view %+v differs from the effects", v)
	}
	_, reminder := w.timers[TimerID{Kind: TimerReminder}]
	switch {
	case w.path == PathNone && (v.HookUp || w.ear != "" || w.sound || v.Active != ""):
		w.fail("closed, but hook up %v, ear %q, sound %v, active %q", v.HookUp, w.ear, w.sound, v.Active)
	case (w.path == PathNone) != (v.State == Idle || v.State == Ringing):
		w.fail("state %v with path %v", v.State, w.path)
	case held != reminder:
		w.fail("held %v, but reminder timer %v", held, reminder)
	case ringing && w.ring == RingNone && !emergency:
		w.fail("a caller rings and is not heard")
	case emergency && w.ring != RingNone:
		w.fail("%s ring during an emergency call", w.ring)
	case w.ear != "" && w.sound:
		w.fail("a tone over %s", w.ear)
	case len(w.calls) > 0 && len(v.Calls) > testConfig().MaxCalls+1+maxEnding:
		w.fail("%d calls", len(v.Calls))
	case v.State == Talking && w.ear == "":
		w.fail("talking to nobody")
	case (v.State == Conferring) != (w.with != ""):
		w.fail("state %v with %q and %q in the ear", v.State, w.ear, w.with)
	}
	if inHand := w.find(v.Active); !handStates[v.State][inHand] {
		w.fail("state %v with call %q %v", v.State, v.Active, inHand)
	}
	for id := range w.timers {
		if id.Kind == TimerCall && w.byID[id.Call].over {
			w.fail("timer %v of a call that is over", id)
		}
	}
	if len(w.m.deadlines) != len(w.timers) {
		w.fail("timers %v differ from those asked for %v", w.m.deadlines, w.timers)
	}
}

var (
	allKeys = []Key{KeyPark, KeyHold, KeyTransfer, KeyConference, KeyRedial, KeyMute, KeyDND, KeySpeaker, KeyVolumeUp, KeyVolumeDown, "coffee"}
	numbers = []string{"204", "030", "0301#", "9", "20", "*68", "*68701", "*68#", "*88702", "*88#", "701", "112", "11", "#", "5"}
)
