package wire

import (
	"slices"
	"testing"

	"parklamp/board"
	"parklamp/cmd/internal/config"
	"parklamp/keypad"
	"parklamp/leds"
	"parklamp/media/audio"
	"parklamp/sip/phone"
)

// opened remembers which path is open.
type opened struct {
	audio.Device
	path audio.Path
}

func (o *opened) Open(p audio.Path) { o.path = p }

// keyless is a board without a headset key.
type keyless struct{ board.Board }

func (k keyless) Model() board.Model {
	m := k.Board.Model()
	m.Keys = slices.DeleteFunc(slices.Clone(m.Keys), func(p board.ModelKey) bool { return p.Key == headsetKey })
	return m
}

// A board without a headset key has a headset if the sound card has a place for it that is there now: another one may have been
// plugged in since the start.
func TestHeadsetOfTheCardThatIsThere(t *testing.T) {
	a := appliance(t, func(c *config.Config) { c.Board.Model = "rpi-4" })
	a.desk.a.board = keyless{a.board}
	may, err := boardSounds(audio.Default(), a.board.Model().Sounds)
	if err != nil {
		t.Fatal(err)
	}
	for _, card := range append(may, may[0]) {
		a.desk.handset.using = func() audio.Config { return card }
		if got, want := (subject{a.desk}).Parts().Headset, card.Card == "wm8960soundcard"; got != want {
			t.Errorf("%s is there: headset %v", card.Card, got)
		}
	}
}

func TestHeadsetKey(t *testing.T) {
	a := appliance(t, func(*config.Config) {})
	device := &opened{Device: a.desk.handset.device}
	a.desk.handset.device = device
	press := func(k board.Key) {
		a.desk.key(keypad.Event{Key: k, Kind: keypad.Down})
		a.desk.key(keypad.Event{Key: k, Kind: keypad.Up})
	}
	hook := func(k keypad.Kind) { a.desk.key(keypad.Event{Key: keypad.Hook, Kind: k}) }
	for _, step := range []struct {
		name string
		do   func()
		path audio.Path
		worn bool
	}{
		{"opens the headset", func() { press("headset") }, audio.PathHeadset, true},
		{"closes it", func() { press("headset") }, audio.PathClosed, false},
		{"the speaker key opens the loudspeaker", func() { press("speaker") }, audio.PathSpeaker, false},
		{"over to the headset", func() { press("headset") }, audio.PathHeadset, true},
		{"over to the handset", func() { hook(keypad.Lifted) }, audio.PathHandset, false},
		{"and back", func() { press("headset") }, audio.PathHeadset, true},
		{"the handset is put down: the headset stays", func() { hook(keypad.Replaced) }, audio.PathHeadset, true},
		{"closes", func() { press("headset") }, audio.PathClosed, false},
	} {
		step.do()
		lit := a.lamps.States()["headset"] == leds.Active
		if device.path != step.path || a.desk.worn != step.worn || lit != step.worn {
			t.Errorf("%s: path %v, worn %v, lamp %v; want %v, %v (the phone says %v)", step.name, device.path, a.desk.worn, lit, step.path, step.worn,
				a.desk.machine.View().Path)
		}
	}
	if p := a.desk.machine.View().Path; p != phone.PathNone {
		t.Errorf("path %v is left open", p)
	}
}
