package wire

import (
	"parklamp/keypad"
	"parklamp/media/audio"
	"parklamp/sip/phone"
)

// headsetKey is the key, and the lamp, of the headset.
const headsetKey = "headset"

// headset handles the headset key. To the phone a headset is hands-free: this key opens, closes and answers as the speaker key
// does, and what is open is the headset in place of the loudspeaker. Pressed while the loudspeaker is open, it goes over to
// the headset.
func (d *desk) headset(e keypad.Event) {
	if e.Kind != keypad.Down {
		return
	}
	before := d.worn
	d.worn = true
	if !before && d.machine.View().Path == phone.PathSpeaker {
		d.openPath(phone.PathSpeaker)
		d.showLamps()
		return
	}
	d.step(phone.KeyDown{Key: phone.KeySpeaker})
	if d.machine.View().Path != phone.PathSpeaker {
		d.worn = false // the key closed it, or opened nothing
		d.showLamps()
	}
}

// openPath opens what the phone wants; the headset is put down when hands-free is over, so that an intercom call never comes
// to a headset on a hook.
func (d *desk) openPath(p phone.Path) {
	d.worn = d.worn && p == phone.PathSpeaker
	if d.worn {
		d.handset.device.Open(audio.PathHeadset)
		return
	}
	d.handset.open(p)
}
