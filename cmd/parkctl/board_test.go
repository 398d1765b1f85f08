package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBoard(t *testing.T) {
	code, out, _ := parkctl("", "board", "wiring", "rpi-4")
	if code != exitDone {
		t.Errorf("wiring: exit code %d", code)
	}
	golden(t, "wiring.txt", out)
	sheet := filepath.Join(t.TempDir(), "rpi-4.svg")
	if code, out, errs := parkctl("", "board", "wiring", "rpi-4", sheet); code != exitDone || out != sheet+": the wiring of rpi-4, for a browser or a printer\n" || errs != "" {
		t.Errorf("sheet: exit code %d, %q", code, out+errs)
	}
	if text, err := os.ReadFile(sheet); err != nil || !strings.HasPrefix(string(text), "<svg ") {
		t.Errorf("sheet: %v", err)
	}
	if _, out, _ := parkctl("", "board", "wiring", "rpi-4", "--json"); !strings.HasPrefix(out, `{"lines":[{"line":"ROW0",`) || !strings.Contains(out, `"legs":[{"chip":"leds-a","pin":"9 VDD","wired":"3V3"}`) {
		t.Errorf("wiring for programs: %.200s", out)
	}
	own := filepath.Join(t.TempDir(), "own.toml")
	if err := os.WriteFile(own, []byte("name = 'x'\nfrom = 'rpi-4'\n[keys]\nconference = false\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := parkctl("", "board", "check", own); code != exitError || !strings.Contains(out, "Mind: The lamp Conference has no key beside it.") {
		t.Errorf("check: exit code %d, %s", code, out)
	}
	typo := filepath.Join(t.TempDir(), "typo.toml")
	if err := os.WriteFile(typo, []byte("name = 'x'\nhok = 'H'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"board", "wiring", "rpi-4", "sheet.pdf"}, exitUsage, "ends in .svg"},
		{[]string{"board", "wiring", "desk"}, exitError, "no lines on hardware"},
		{[]string{"board", "check", "desk"}, exitError, "no lines on hardware"},
		{[]string{"board", "check", "toaster"}, exitUsage, "there are: beaglebone-black, desk, qemu-virt, rpi-3"},
		{[]string{"board", "check", "auto"}, exitUsage, "no model is for this board"},
		{[]string{"board", "check", typo}, exitUsage, typo + ":2:1: hok: unknown key"},
		{[]string{"board", "check", "./none.toml"}, exitUsage, "none.toml"},
		{[]string{"board", "check"}, exitUsage, "want: parkctl board check"},
		{[]string{"board"}, exitUsage, "want: parkctl board check|wiring"},
		// The machine of the tests has no Raspberry Pi's chips: each of the three is named, and the sound card.
		{[]string{"board", "check", "rpi-4"}, exitError, "not complete"},
	} {
		code, out, errs := parkctl("", c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%v: exit code %d, %q; want %d, %q", c.args, code, out+errs, c.code, c.want)
		}
	}
	if _, out, _ := parkctl("", "board", "check", "rpi-4"); strings.Count(out, "\n") != 4 || !strings.Contains(out, "sound: no sound card is called wm8960soundcard or Device") || !strings.Contains(out, "soc: no GPIO chip is called pinctrl-bcm2711") {
		t.Errorf("check prints %q", out)
	}
	if _, out, _ := parkctl("", "board", "check", "rpi-4", "--json"); !strings.Contains(out, `{"part":"soc","text":"no GPIO chip`) {
		t.Errorf("check for programs prints %s", out)
	}
}
