package wire

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"parklamp/board"
	"parklamp/board/gpio"
	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/selftest"
	"parklamp/keypad"
	"parklamp/media/audio"
	"parklamp/media/audio/alsa"
	"parklamp/media/moh"
)

func appliance(t *testing.T, change func(*config.Config)) *Appliance {
	t.Helper()
	cfg := config.Default()
	cfg.SIP.Listen = []string{"udp:127.0.0.1:5060"}
	cfg.Journal.Path = ""
	change(&cfg)
	a, err := New(cfg, "test", true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.board.Close() })
	return a
}

// conditions are the codes of what ails an appliance.
func conditions(a *Appliance) string {
	var codes []string
	for _, c := range a.health.All() {
		codes = append(codes, c.Code)
	}
	return strings.Join(codes, " ")
}

// Nothing that is missing keeps the phone from starting: it says what is not there.
func TestStartsWithoutItsParts(t *testing.T) {
	// No machine of ours has a Raspberry Pi's chips.
	a := appliance(t, func(c *config.Config) { c.Board.Model = "rpi-4" })
	for _, want := range []string{"board.soc", "board.leds-a", "board.leds-b"} {
		if !strings.Contains(conditions(a), want) {
			t.Errorf("conditions %q lack %s", conditions(a), want)
		}
	}
	if got := a.desk.handset.using().Card; got != "wm8960soundcard" {
		t.Errorf("sound card %q, want the board's", got)
	}
	a.lampFault([]gpio.Fault{{Part: "leds-a"}, {Part: "soc"}})(nil)
	if got := conditions(a); strings.Contains(got, "leds-a") || !strings.Contains(got, "board.soc") {
		t.Errorf("after the expander came back: %q", got)
	}
	files := appliance(t, func(c *config.Config) { c.Music.File, c.Audio.Speech = "none.wav", "board_test.go" })
	if got := conditions(files); got != "music speech" || files.moh != moh.BuiltIn() || files.desk.handset.sim == nil {
		t.Errorf("without music and speech: %q", got)
	}
	// A self test asks for nothing that hangs on what is missing; what came back it asks for.
	faults := itemFaults(a.board.Model(), a.health.All())
	for item, want := range map[string]string{"5": "soc: no GPIO chip", selftest.HookSwitch: "soc: no GPIO chip", "fault red": "soc: no GPIO chip",
		"fault green": "leds-b: mcp23017", "lot contact": "leds-b: mcp23017", "orbit-701 green": "", "hold red": ""} {
		if got := faults[item]; !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", item, got, want)
		}
	}
	if _, err := board.Detected(); err == nil {
		t.Log("this machine is a board: the rest cannot be seen here")
		return
	}
	unknown := appliance(t, func(c *config.Config) { c.Board.Model = board.Auto })
	if got := conditions(unknown); got != "board.model" {
		t.Errorf("unknown board: %q", got)
	}
}

// With auto on a machine that is no board the configuration is right all the same.
func TestAutoIsNoBadConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dock.toml")
	if err := os.WriteFile(file, []byte("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[board]\nmodel = \"auto\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := config.Check(file); err != nil {
		t.Error(err)
	}
}

func TestShortsAreConditions(t *testing.T) {
	a := appliance(t, func(*config.Config) {})
	a.shorts([]keypad.Short{{Cause: keypad.LowColumn, Column: 1}, {Cause: keypad.JoinedRows, Row: 0, Other: 3}})
	if got := conditions(a); got != "keypad.COL1 keypad.ROW0-ROW3" {
		t.Errorf("conditions %q", got)
	}
	a.shorts([]keypad.Short{{Cause: keypad.JoinedRows, Row: 0, Other: 3}})
	if got := conditions(a); got != "keypad.ROW0-ROW3" {
		t.Errorf("conditions %q", got)
	}
	a.shorts([]keypad.Short{{Cause: keypad.Flicker, Column: len(a.board.Model().Columns)}})
	if got := conditions(a); got != "keypad.HOOK" {
		t.Errorf("conditions %q", got)
	}
	a.shorts(nil)
	if got := conditions(a); got != "" {
		t.Errorf("conditions %q", got)
	}
}

func TestBoardSound(t *testing.T) {
	m, err := board.Load("rpi-3", nil)
	if err != nil {
		t.Fatal(err)
	}
	own := audio.Default()
	own.Card, own.Rate = "Mine", 8000
	if got, err := boardSounds(own, m.Sounds); err != nil || !reflect.DeepEqual(got, []audio.Config{own}) {
		t.Errorf("the configuration has a card: %+v, %v", got, err)
	}
	none := audio.Default()
	none.Card = "none"
	if got, err := boardSounds(none, m.Sounds); err != nil || len(got) != 1 || got[0].Card != "" {
		t.Errorf("none: %+v, %v", got, err)
	}
	may, err := boardSounds(audio.Default(), m.Sounds)
	if err != nil || len(may) != 2 {
		t.Fatal(may, err)
	}
	if may[0].Card != "wm8960soundcard" || may[0].Rate != 16000 || may[1].Card != "Device" || may[1].Rate != 48000 {
		t.Errorf("%+v", may)
	}
	codec := may[0]
	if codec.Handset.Output != "left" || codec.Headset.Output != "right" || codec.Speaker.Echo != "duplex" ||
		codec.Speaker.Controls["Speaker Playback Volume"] != "80%" || codec.Handset.Controls["Speaker Playback Volume"] != "0" {
		t.Errorf("paths %+v", codec)
	}
	howl := []board.Sound{{Name: "x", Card: "X", Paths: map[string]board.SoundPath{"speaker": {Sidetone: new(-12.0)}}}}
	if _, err := boardSounds(audio.Default(), howl); err == nil || !strings.Contains(err.Error(), "sound.x.speaker.sidetone") {
		t.Errorf("a path that cannot be: %v", err)
	}
}

// Where a phone may have several sound cards, the condition names all of them.
func TestNoSoundCard(t *testing.T) {
	missing := &alsa.Error{Card: "wm8960soundcard", Err: alsa.ErrNoCard, Allowed: "vc4hdmi (vc4-hdmi)"}
	for card, want := range map[string]string{
		"":      "no sound card: neither USB sound adapter with a C-Media chip (CM108, CM119) (Device) nor I2S sound board with a WM8960 (wm8960soundcard) is there; there is vc4hdmi (vc4-hdmi)",
		"Other": missing.Error(),
	} {
		a := appliance(t, func(c *config.Config) { c.Board.Model, c.Audio.Card = "rpi-4", card })
		a.soundCard(missing)
		if got, _ := a.health.Get(soundCode); got.Text != want {
			t.Errorf("audio.card = %q: %s", card, got.Text)
		}
	}
}
