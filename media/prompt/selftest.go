package prompt

// words of keys that are not spelled; a key of another name is written and not spoken.
var keyWords = map[string]string{
	"*": "star", "#": "pound", "dnd": "do not disturb", "volume-up": "volume up", "volume-down": "volume down",
}

// keyPhrase is the name of a key; one with an orbit is named by it.
func keyPhrase(key, orbit string) Phrase {
	if orbit != "" {
		return say("orbit", orbit)
	}
	if w, ok := keyWords[key]; ok {
		return say(w)
	}
	return say(key)
}

// SelfTest begins a test that somebody walks through.
func SelfTest() Phrase { return say("self test,", "press hold to skip, hang up to end") }

// PressKey asks for a key by the name that the board gives it; orbit is the number of an orbit's key, else empty.
func PressKey(key, orbit string) Phrase { return say("press").and(keyPhrase(key, orbit)) }

// BesideLamp asks which lamp is lit in a colour: green, red or amber.
func BesideLamp(colour string) Phrase {
	return say("press the key beside the lamp that is", colour+",", "press star if none is")
}

// IsLamp asks about a lamp that has no key, by the name that the board gives it.
func IsLamp(name, colour string) Phrase { return say("is the", name, "lamp", colour+",").and(yesNo()) }

// IsContact asks whether what hangs on a switched line is on: the ringer, or the relay of a lamp.
func IsContact(name string) Phrase {
	if name != "ringer" {
		name = "relay"
	}
	return say("is the", name, "switched on,").and(yesNo())
}

// AreLamps asks about all lamps: amber or dark.
func AreLamps(colour string) Phrase { return say("are all lamps", colour+",").and(yesNo()) }

// yesNo says which keys answer.
func yesNo() Phrase { return say("press pound for yes, star for no") }

// LiftHandset and the phrases after it ask for something that hands do.
func LiftHandset() Phrase { return say("lift the handset") }

// PutBack asks for the handset to be put back.
func PutBack() Phrase { return say("put the handset back") }

// HearTone asks whether a tone is heard; path is handset, headset or loudspeaker.
func HearTone(path string) Phrase { return say("do you hear a tone in the", path+",").and(yesNo()) }

// Speak asks for speech.
func Speak() Phrase { return say("say something after the tone") }

// HeardYourself asks after it was played back.
func HeardYourself() Phrase { return say("did you hear yourself,").and(yesNo()) }

// TryAgain says that an answer was not the one asked for.
func TryAgain() Phrase { return say("try again") }

// PleaseWait begins what needs no hands.
func PleaseWait() Phrase { return say("please wait,", "you may hang up") }

// steps are the names of the test's steps as they are spoken.
var steps = map[string]string{"loop": "sound loop", "disk": "storage"}

// TestPassed ends a self test without a fault: the names of the steps with a warning.
func TestPassed(warned []string) Phrase {
	if len(warned) == 0 {
		return say("self test", "passed")
	}
	return say("self test", "passed,", "attention,").and(named(warned))
}

// TestFailed ends one with faults: the names of the steps that have some.
func TestFailed(failed []string) Phrase { return say("self test", "failed,").and(named(failed)) }

// named are the names of steps.
func named(all []string) (p Phrase) {
	for _, s := range all {
		if w, ok := steps[s]; ok {
			s = w
		}
		p = p.and(say(s + ","))
	}
	return p
}

// NobodyAnswered says why no more is asked.
func NobodyAnswered() Phrase { return say("nobody answered,", "please wait") }

// Ailment is what ails the appliance, for who lifts its handset.
type Ailment int

// The ailments that have words of their own, the worst first.
const (
	NotSetUp Ailment = iota
	NoNetwork
	NotRegistered
	NoStorage
	NoClock
	OtherFault
)

// Attention tells an ailment.
func Attention(a Ailment) Phrase {
	text := [...]string{"this phone is not set up yet", "there is no network", "this phone is not registered", "storage does not work",
		"the clock is not set", "something needs a technician"}
	return say("attention,", text[max(0, min(int(a), len(text)-1))])
}
