package wire

import (
	"context"
	"time"

	"parklamp/board"
	"parklamp/cmd/internal/selftest"
	"parklamp/keypad"
	"parklamp/sip/phone"
)

const (
	// bootWindow is how long after the start Park, held down, begins a self test.
	bootWindow = 5 * time.Second
	// heldSince is how long Park must go on being held if it was down before the keypad began: a finger that happens to be
	// there when the program starts anew is gone by then.
	heldSince = 3 * time.Second
	// parkKey is the key that begins a test.
	parkKey board.Key = "park"
)

// powerOn is what Park means shortly after the start: its press waits until it is known whether it is a long one.
type powerOn struct {
	waiting bool // a press of Park has not been taken yet
	begun   bool // it was a long one: its coming up means nothing
}

// power takes Park while the appliance has just started. It says whether the event is done with.
func (d *desk) power(e keypad.Event) bool {
	if e.Key != parkKey {
		return false
	}
	switch e.Kind {
	case keypad.Held:
		d.a.loop.after("park held at power-on", heldSince, d.bootTest)
	case keypad.Down:
		v := d.machine.View()
		d.boot.waiting = d.a.now().Sub(d.a.started) < bootWindow && v.State == phone.Idle && len(v.Calls) == 0
		return d.boot.waiting
	case keypad.Long:
		if d.boot.waiting {
			d.boot = powerOn{begun: true}
			d.bootTest()
			return true
		}
	case keypad.Up:
		d.a.loop.stop("park held at power-on")
		begun, waiting := d.boot.begun, d.boot.waiting
		d.boot = powerOn{}
		if waiting {
			d.step(phone.KeyDown{Key: phone.Key(parkKey)})
		}
		return begun || waiting
	}
	return false
}

// bootTest begins the self test that needs no laptop.
func (d *desk) bootTest() {
	if err := d.examine(context.Background(), "Park at power-on", selftest.Steps, false, nil); err != nil {
		d.a.log.Warn("no self test, although Park was held at power-on", "err", err)
	}
}
