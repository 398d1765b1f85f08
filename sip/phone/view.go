package phone

import "time"

// CallView is one call as panel and parkctl show it.
type CallView struct {
	Call       CallID
	State      CallState
	From       string // number of the far end
	Name       string
	Incoming   bool // came to this phone, or was fetched
	Emergency  bool
	Recall     bool
	RemoteHold bool
	Conference bool      // joined with another call, or held together with it
	Since      time.Time // when it came to this phone or was started here
}

// View is a copy of everything that can be seen of the phone.
type View struct {
	State        State
	HookUp       bool
	Path         Path
	Active       CallID   // the call in hand, "" without one
	Ear          CallID   // the call that is heard, "" without one
	With         CallID   // in a conference the other call that is heard, else ""
	Tone         ToneKind // that plays, or follows the prompt
	Prompt       Prompt   // of this state
	PromptOrbit  string
	Ring         RingKind
	RingCall     CallID
	Digits       string // dialled so far
	Muted        bool
	DoNotDisturb bool
	RingerVolume int
	VoiceVolume  int
	Calls        []CallView // at most MaxCalls, an emergency call, and those that are ending
}

// EmergencyAtEnd returns the longest emergency number that the keys pressed lately end with, "" for none. Who lends the
// keypad to something else, such as a self test, asks with each key and gives the number back to Step, digit by digit.
func (m *Machine) EmergencyAtEnd(keys string) string { return m.plan.emergencyAtEnd(keys) }

// View returns a copy of what can be seen.
func (m *Machine) View() View {
	v := View{
		State: m.state, HookUp: m.hookUp, Path: m.path, Active: m.active, Ear: m.ear, With: m.with,
		Tone: m.want.tone, Prompt: m.want.prompt, PromptOrbit: m.want.orbit,
		Ring: m.ringing.kind, RingCall: m.ringing.call, Digits: m.digits, Muted: m.muted, DoNotDisturb: m.dnd,
		RingerVolume: m.ringerVolume, VoiceVolume: m.voiceVolume,
	}
	for _, c := range m.calls {
		v.Calls = append(v.Calls, CallView{Call: c.id, State: c.state, From: c.from, Name: c.name, Incoming: c.incoming,
			Emergency: c.emergency, Recall: c.recall, RemoteHold: c.remoteHold, Conference: c.with != "", Since: c.since})
	}
	return v
}
