package wire

import (
	"strings"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/keypad"
	"parklamp/media/prompt"
	"parklamp/parkd/panel"
	"parklamp/sip/phone"
)

// tellAgain is how long a worker is not told again what she has been told.
const tellAgain = 10 * time.Minute

// ailments are the words of conditions by their codes; a code that ends in a full stop stands for all that begin with it.
// Of those that are not told for a warning, only an error is. Who is set up keeps his identity while a new one is refused
// (system.provision), and the network is there without its file (system.network.toml): such faults want a technician.
var ailments = []struct {
	code    string
	ailment prompt.Ailment
	warning bool
}{
	{firmwareCode + initapi.CodeIdentity, prompt.NotSetUp, true}, {firmwareCode + initapi.CodeConfiguration, prompt.NotSetUp, true},
	{firmwareCode + initapi.CodeNetwork, prompt.NoNetwork, false}, {"address.", prompt.NoNetwork, false}, {panel.CodeListener + ".", prompt.NoNetwork, false},
	{"registration.", prompt.NotRegistered, false},
	{journalCode, prompt.NoStorage, true}, {storageCode, prompt.NoStorage, false},
	{firmwareCode + initapi.CodeData, prompt.NoStorage, false}, {firmwareCode + initapi.CodeData + ".", prompt.NoStorage, false},
	{clockCode, prompt.NoClock, true}, {firmwareCode + initapi.CodeClock, prompt.NoClock, true},
}

// ailmentOf is the worst that ails the appliance and that a person at the phone should hear of.
func ailmentOf(conditions []health.Condition) (worst prompt.Ailment, ails bool) {
	for _, c := range conditions {
		a, tell := prompt.OtherFault, c.Severity == health.Error
		for _, w := range ailments {
			if c.Code == w.code || strings.HasSuffix(w.code, ".") && strings.HasPrefix(c.Code, w.code) {
				a, tell = w.ailment, tell || w.warning
				break
			}
		}
		if tell && (!ails || a < worst) {
			worst, ails = a, true
		}
	}
	return worst, ails
}

// complaint is what the worker was told last. It is owned by the loop.
type complaint struct {
	ailment  prompt.Ailment
	at       time.Time // zero: nothing yet
	speaking bool      // until a key is pressed or the handset put back
}

// due says whether an ailment is to be told now.
func (c *complaint) due(a prompt.Ailment, ails bool, now time.Time) bool {
	if !ails {
		*c = complaint{}
		return false
	}
	if !c.at.IsZero() && c.ailment == a && now.Sub(c.at) < tellAgain {
		return false
	}
	c.ailment, c.at, c.speaking = a, now, true
	return true
}

// complain tells whoever lifts the handset for dial tone what ails the phone, above the tone; a key cuts it short. Who
// lifts it for a call hears the call and nothing else.
func (d *desk) complain(e keypad.Event) {
	switch e.Kind {
	case keypad.Lifted:
		if v := d.machine.View(); v.State != phone.DialTone || len(v.Calls) > 0 {
			return
		}
		a, ails := ailmentOf(d.a.health.All())
		if d.complaint.due(a, ails, d.a.now()) {
			words := prompt.Attention(a)
			d.told(words)
			d.handset.whisper(words)
		}
	case keypad.Down, keypad.Replaced:
		if d.complaint.speaking {
			d.complaint.speaking = false
			d.handset.device.Overlay(nil)
		}
	}
}
