package wire

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"parklamp/board"
	"parklamp/cmd/internal/health"
	"parklamp/keypad"
	"parklamp/leds"
	"parklamp/media/prompt"
	"parklamp/parkd"
	"parklamp/sip/phone"
)

// dtmfEach and dtmfGap are the length of a digit that is sent and the pause after it (RFC 4733 leaves both to us; 100 and 50 ms are what phones use and every gateway hears).
const (
	dtmfEach   = 100 * time.Millisecond
	dtmfGap    = 50 * time.Millisecond
	confirmFor = 400 * time.Millisecond // a beep that says: done
)

// desk is the desk phone: keys in, calls and sounds out. It is owned by the loop; a gateway has none.
type desk struct {
	a         *Appliance // whose phone it is: legs, lamps, log and loop are its
	machine   *phone.Machine
	calls     map[phone.CallID]*leg
	connected [2]phone.CallID // whose audio the open path has, even before the leg is here; two in a conference
	handset   *handset
	worn      bool               // hands-free is the headset and not the loudspeaker
	longKey   board.Key          // the orbit key whose long press has been reported and which is still down
	jammed    map[board.Key]bool // down since the keypad began: their coming up is no press
	prompt    string             // words last spoken to the worker
	promptAt  time.Time
	stuck     uint64 // times that a key was stuck
	boot      powerOn
	complaint complaint
}

// step gives the phone an input and carries out its effects in order; an input that comes of an effect waits for its turn.
func (d *desk) step(in phone.Input) {
	if _, ok := in.(phone.Incoming); ok {
		d.a.examiner.Stop("a call came in") // it wins
	}
	d.a.inTurn(func() {
		if _, digit := in.(phone.Digit); !digit || d.machine.View().State != phone.Talking { // within a call it may be a password
			d.a.log.Debug("phone", "input", in.String())
		}
		for _, e := range d.machine.Step(d.a.now(), in) {
			d.do(e)
		}
		d.showLamps()
	})
}

// showLamps lights the function keys.
func (d *desk) showLamps() {
	v := d.machine.View()
	hold := leds.Free
	for _, c := range v.Calls {
		switch c.State {
		case phone.CallHeld:
			hold = max(hold, leds.Held)
		case phone.CallRinging:
			hold = leds.Ringing // more urgent than a call on hold
		}
	}
	active := func(on bool) leds.State {
		if on {
			return leds.Active
		}
		return leds.Free
	}
	d.a.lamps.Set("hold", hold)
	d.a.lamps.Set("conference", active(v.With != ""))
	d.a.lamps.Set("mute", active(v.Muted))
	d.a.lamps.Set(headsetKey, active(d.worn))
	d.a.lamps.Set("dnd", active(v.DoNotDisturb))
	d.a.lamps.Set("park", active(v.State == phone.Parked || v.State == phone.Listing)) // Park does something of its own now
}

// key translates an event of the keypad.
func (d *desk) key(e keypad.Event) {
	if d.a.examiner.Underway() {
		if e.Kind == keypad.Up {
			delete(d.jammed, e.Key)
		}
		d.a.examiner.Key(e)
		return
	}
	if d.power(e) {
		return
	}
	defer d.complain(e)
	switch e.Kind {
	case keypad.Lifted, keypad.Replaced:
		d.step(phone.Hook{Up: e.Kind == keypad.Lifted})
		return
	case keypad.Stuck:
		d.stuck++
		d.a.health.Raise(d.a.now(), "key."+string(e.Key), health.Warning, fmt.Sprintf("key %s is stuck", e.Key),
			"something lies on the key, or it is wired wrongly")
		return
	}
	switch {
	case e.Kind == keypad.Held:
		d.jammed[e.Key] = true
		return
	case e.Kind == keypad.Up:
		d.a.health.Clear("key." + string(e.Key))
		if d.jammed[e.Key] {
			delete(d.jammed, e.Key)
			return
		}
	}
	if number, ok := strings.CutPrefix(string(e.Key), board.OrbitPrefix); ok {
		// A long press is told from a short one when the key comes up, or after the long-press time.
		switch {
		case e.Kind == keypad.Long:
			d.longKey = e.Key
			d.step(phone.Orbit{Number: number, State: d.orbitState(number), Long: true})
		case e.Kind == keypad.Up && d.longKey != e.Key:
			d.step(phone.Orbit{Number: number, State: d.orbitState(number)})
		case e.Kind == keypad.Up:
			d.longKey = ""
		}
		return
	}
	if e.Key == headsetKey {
		d.headset(e)
		return
	}
	if e.Kind != keypad.Down {
		return
	}
	if k := string(e.Key); len(k) == 1 {
		d.step(phone.Digit{Digit: k[0]})
		return
	}
	d.step(phone.KeyDown{Key: phone.Key(e.Key)})
}

// orbitState is what the lamp of an orbit shows, as far as a key press cares.
func (d *desk) orbitState(orbit string) phone.OrbitState {
	switch d.a.lot.machine.View(orbit).State {
	case parkd.ViewFree:
		return phone.OrbitFree
	case parkd.ViewUnknown:
		return phone.OrbitUnknown
	}
	return phone.OrbitTaken
}

func (d *desk) do(e phone.Effect) {
	if _, digit := e.(phone.SendDTMF); !digit {
		d.a.log.Debug("phone", "effect", e.String())
	}
	switch e := e.(type) {
	case phone.Dial:
		d.dial(e)
	case phone.Answer:
		d.answerCall(e.Call)
	case phone.Reject:
		d.endCall(e.Call, e.Code)
	case phone.HangUp:
		d.endCall(e.Call, 0)
	case phone.Hold:
		if l := d.calls[e.Call]; l != nil {
			d.a.hold(l, true)
			l.playMusic(d.a.moh)
		}
	case phone.Resume:
		if l := d.calls[e.Call]; l != nil {
			d.a.hold(l, false)
		}
	case phone.Music:
		if l := d.calls[e.Call]; l != nil {
			l.playMusic(d.a.moh)
		}
	case phone.SendDTMF:
		if l := d.calls[e.Call]; l != nil && l.media != nil {
			if err := l.media.SendDTMF(string(rune(e.Digit)), dtmfEach, dtmfGap); err != nil {
				d.a.log.Warn("a digit is not sent", "call", l.id, "err", err)
			}
		}
	case phone.BlindTransfer:
		d.blindTransfer(e)
	case phone.AttendedTransfer:
		d.attendedTransfer(e)
	case phone.Follow:
		d.follow(e)
	case phone.RefuseTransfer:
		if l := d.calls[e.Call]; l != nil && l.transfer != nil {
			l.transfer.Reject(e.Code)
			l.transfer = nil
		}
	case phone.Park:
		d.park(e)
	case phone.Fetch:
		d.a.lot.step(parkd.Fetch{Token: d.a.lot.open("fetch", &request{desk: e.Call, orbit: e.Orbit}), Orbit: e.Orbit})
	case phone.UndoPark:
		d.a.lot.step(parkd.Undo{Token: d.a.lot.open("undo", &request{desk: e.Call, orbit: e.Orbit}), ParkerRef: parkd.DeskPhone})
	case phone.CancelFetch:
		d.cancelFetch(e.Call)
	case phone.Page:
		d.page(e.Orbit)
	case phone.Connect:
		d.connected = [2]phone.CallID{e.Call, e.With}
		d.connect()
	case phone.SetTimer:
		d.a.loop.after("phone "+e.ID.String(), e.After, func() { d.step(phone.Timer{ID: e.ID}) })
	case phone.StopTimer:
		d.a.loop.stop("phone " + e.ID.String())
	case phone.RingStart:
		if l := d.calls[e.Call]; l != nil && l.incoming && !l.answered {
			l.call.Ring()
		}
		d.handset.ring(e.Kind)
		if e.Kind != phone.RingWaiting && e.Kind != phone.RingRecallWaiting {
			d.a.lamps.Set("ringer", leds.Ringing) // a bell or a strobe; who talks hears the call that waits
		}
	case phone.RingStop:
		d.handset.ring(phone.RingNone)
		d.a.lamps.Set("ringer", leds.Free)
	case phone.Ignored:
		d.a.ignored++
	case phone.Show, phone.DoNotDisturb: // the panel and the lamps read the machine's View
	default:
		d.sound(e)
	}
}

// sound carries out what is heard and nothing else.
func (d *desk) sound(e phone.Effect) {
	switch e := e.(type) {
	case phone.Open:
		d.openPath(e.Path)
	case phone.Tone:
		d.handset.tone(e.Kind)
	case phone.ToneStop:
		d.handset.quiet()
	case phone.Say:
		d.say(phraseOf(e.Prompt, e.Orbit), e.Then)
	case phone.ListParked:
		d.say(listOf(d.a.lot.machine.List(), d.a.now()), phone.ToneNone)
	case phone.Beep:
		d.handset.beep(e.Kind, e.For)
	case phone.Whisper:
		p := phraseOf(e.Prompt, e.Orbit)
		d.told(p)
		d.handset.whisper(p)
	case phone.Mute:
		d.handset.mute(e.On)
	case phone.Volume:
		d.handset.volume(e.Ringer, e.Level)
	default:
		panic(fmt.Sprintf("wire: effect %T of the phone is not carried out", e))
	}
}

// say speaks to the worker, and tells the phone when that is over.
func (d *desk) say(p prompt.Phrase, then phone.ToneKind) {
	d.told(p)
	d.handset.say(p, then, func() {
		d.a.loop.post(func() { d.step(phone.Spoken{}) })
	})
}

// told keeps what the worker was told, for the panel.
func (d *desk) told(p prompt.Phrase) {
	d.prompt, d.promptAt = p.Text(), d.a.now()
	d.a.log.Info("spoken to the worker", "words", d.prompt)
}

// connect joins the open path with the audio of the connected calls whose legs are here, and lets go of those before.
func (d *desk) connect() {
	var legs []*leg
	for _, id := range d.connected {
		if l := d.calls[id]; l != nil && l.media != nil {
			legs = append(legs, l)
		}
	}
	if err := d.handset.join(legs); err != nil {
		d.a.log.Error("the calls of a conference do not hear each other", "err", err)
	}
}

// hears reports whether the open path is joined with a call.
func (d *desk) hears(id phone.CallID) bool { return id != "" && slices.Contains(d.connected[:], id) }

// take gives a leg to the desk phone under a name.
func (d *desk) take(l *leg, id phone.CallID) {
	l.desk = id
	d.calls[id] = l
	if d.hears(id) {
		d.connect()
	}
}

// release takes a leg from the desk phone: it is parked now. The phone itself is told by its owner.
func (d *desk) release(l *leg) {
	if l.desk == "" {
		return
	}
	delete(d.calls, l.desk)
	if d.hears(l.desk) {
		d.connect()
	}
	l.desk = ""
}

// arrived tells the phone that a parked call is its own now.
func (d *desk) arrived(id phone.CallID, s parkd.SlotState) {
	d.step(phone.Fetched{Call: id, Orbit: s.Orbit, From: s.Caller.Number, Name: s.Caller.Name})
}

// fetchEnded tells the phone that a fetch was refused; a recall that it answered was taken by somebody else.
func (d *desk) fetchEnded(id phone.CallID, recall bool, orbit string, reason parkd.Reason) {
	if recall {
		d.step(phone.Ended{Call: id})
		return
	}
	d.step(phone.FetchRefused{Call: id, Orbit: orbit, Reason: phoneReason(reason)})
}
